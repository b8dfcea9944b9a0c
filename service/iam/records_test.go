package iam

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"fogbank/api/iam"
)

// TestRecords pins the stored form of each record: a database of yesterday must be read tomorrow.
// A changed form needs a reader for the old one; then run with -update.
func TestRecords(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var b strings.Builder
	for _, r := range []struct {
		table  string
		record any
	}{
		{"iam/entity", entity{Kind: roleKind, Account: account, Name: "r", Path: "/p/", ID: "AROA", Created: at, Tags: []iam.Tag{{Key: "k", Value: "v"}},
			Boundary: "arn", Trust: "{}", Description: "d", MaxSession: 3600}},
		{"iam/inline", inline{Name: "p", Document: "{}"}},
		{"iam/policy", managed{Account: account, Name: "p", Path: "/", ID: "ANPA", Description: "d", Created: at, Updated: at, Default: 2, Last: 3, Document: "{}",
			Tags: []iam.Tag{{Key: "k", Value: "v"}}}},
		{"iam/policy-version", version{Document: "{}", Created: at}},
		{"iam/key", accessKey{Account: account, UserID: "AIDA", Secret: "s", Inactive: true, Created: at}},
		{"iam/key", accessKey{Account: account, Secret: "s", Created: at}},
		{"iam/seal", seal{Key: []byte{1, 2, 3}}},
		{"iam/count", 5},
		{"iam/member", mark{}},
	} {
		text, err := json.Marshal(r.record)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(r.table + " " + string(text) + "\n")
	}
	const file = "testdata/records.golden"
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the stored form changed\n got: %s\nwant: %s", b.String(), want)
	}
}
