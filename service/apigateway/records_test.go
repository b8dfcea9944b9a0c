package apigateway

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// records are one of each stored form.
var records = []struct {
	name  string
	value any
}{
	{"apigateway/place", &place{"000000000000", "us-east-1"}},
	{"apigateway/api", &api{Name: "n", Description: "d", Version: "1", Created: 946684800000, Disabled: true, Addresses: "ipv4", Cors: &cors{Origins: []string{"*"}, MaxAge: new(int32(1))}, Tags: map[string]string{"a": "b"}}},
	{"apigateway/route", &route{Key: "GET /a/{b}", Target: "integrations/i", Operation: "o", Managed: true}},
	{"apigateway/integration", &integration{Type: "AWS_PROXY", URI: "arn:aws:lambda:us-east-1:000000000000:function:f", Method: "POST", Format: "2.0", Timeout: 30000, Description: "d", Managed: true}},
	{"apigateway/stage", &stage{Created: 946684800000, Updated: 946684800001, AutoDeploy: true, Deployment: "d", Description: "x", Message: "m", Variables: map[string]string{"k": "v"}, Tags: map[string]string{"a": "b"}, Managed: true}},
	{"apigateway/deployment", &deployment{Created: 946684800000, Auto: true, Description: "d", Cors: &cors{Credentials: new(true), Headers: []string{"h"}, Methods: []string{"GET"}, Origins: []string{"https://a"}, Expose: []string{"e"}}, Routes: []route{{Key: "$default", Target: "integrations/i"}}, Integrations: map[string]integration{"i": {Type: "AWS_PROXY", Format: "1.0"}}}},
}

// TestRecords keeps the stored forms from changing by accident, and checks that they are read back.
func TestRecords(t *testing.T) {
	const file = "testdata/records.golden"
	var got strings.Builder
	for _, r := range records {
		again := reflect.New(reflect.TypeOf(r.value).Elem()).Interface()
		text, err := "", error(nil)
		if a, ok := r.value.(encoding.BinaryAppender); ok {
			b, _ := a.AppendBinary(nil)
			text, err = hex.EncodeToString(b), again.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
		} else {
			b, _ := json.Marshal(r.value)
			text, err = string(b), json.Unmarshal(b, again)
		}
		if err != nil || !reflect.DeepEqual(again, r.value) {
			t.Errorf("%s is read back as %+v, %v", r.name, again, err)
		}
		fmt.Fprintf(&got, "%s %s\n", r.name, text)
	}
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("stored forms changed; keep a reader for the old ones (%v)\n got: %s\nwant: %s", err, got.String(), want)
	}
}
