package sns

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
	"time"
)

var recorded = message{Kind: confirmation, ID: "m", Topic: "arn", Subject: "s", HasSubject: true, Body: "b", At: 946684800000, Version: "2",
	Host: "http://h", Attributes: []attribute{{Name: "n", Type: "String", Value: "v"}}, Token: "t", Group: "g", Deduplication: "d", Sequence: 7}

// records are one of each stored record, no field empty.
var records = []struct {
	name  string
	value any
}{
	{"message", &recorded},
	{"archived message", func() *message { m := recorded; m.Replayed = true; return &m }()},
	{"traced message", func() *message { m := recorded; m.Trace = "Root=1"; return &m }()},
	{"delivery", &delivery{target: target{"id", "https", "https://e", true, "arn:dead"}, Shared: true, Report: true, turn: &turn{3, 4}, message: recorded}},
	{"delivery tried before", &delivery{target: target{"id", "sqs", "arn", false, ""}, Once: "o", message: recorded}},
	{"spread", &spread{message: recorded, bodies: map[string]string{"default": "d"}, ids: make([]byte, 32)}},
	{"progress", &progress{"i", 3}},
	{"topic", &topic{Name: "n", Attributes: map[string]string{"DisplayName": "d"}, Tags: map[string]string{"k": "v"}, Deleted: 1, Archive: &archive{"a", 2, 3}}},
	{"subscription", &subscription{ID: "i", Protocol: "sqs", Endpoint: "e", Principal: "p", Attributes: map[string]string{"RawMessageDelivery": "true"},
		Pending: true, Ended: true, Token: "t", ConfirmationID: "c", Unauthenticated: true, Guarded: true, Replay: &replay{replayRunning, 1, 2, 3, 4}}},
	{"census", &census{1, 2}},
	{"accepted", &accepted{ID: "i", Sequence: 2, At: time.Unix(3, 4).UTC()}},
	{"account", &smsAccount{Attributes: map[string]string{"DefaultSMSType": "Promotional"}, Month: "2026-01", Spent: 5}},
	{"application", &application{Platform: "GCM", Name: "n", Attributes: map[string]string{"Enabled": "true"}}},
	{"endpoint", &endpoint{ID: "i", Token: "t", UserData: "u", Disabled: true}},
	{"sandbox number", &sandboxNumber{Password: "123456", Expires: time.Unix(3, 4).UTC(), Wrong: 1}},
	{"letter", &Letter{Number: 1, At: time.Unix(3, 4).UTC(), Protocol: "email", To: "t", From: "f", Device: "d", Subject: "s", Body: "b", MessageID: "m", Topic: "arn"}},
	{"key", &keyRecord{Key: []byte{1}, Certificate: []byte{2}}},
}

// TestStoredForms keeps the stored forms from changing by accident, and checks that they are read back.
func TestStoredForms(t *testing.T) {
	const file = "testdata/records.golden"
	var got strings.Builder
	for _, r := range records {
		text := ""
		again := reflect.New(reflect.TypeOf(r.value).Elem()).Interface()
		var err error
		if a, ok := r.value.(encoding.BinaryAppender); ok {
			b := must(a.AppendBinary(nil))
			text = hex.EncodeToString(b)
			err = again.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
		} else {
			b := must(json.Marshal(r.value))
			text = string(b)
			err = json.Unmarshal(b, again)
		}
		if err != nil || !reflect.DeepEqual(again, r.value) {
			t.Errorf("%s is read back as %+v, %v", r.name, again, err)
		}
		fmt.Fprintf(&got, "%s: %s\n", r.name, text)
	}
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(file)); got.String() != string(want) {
		t.Errorf("stored forms changed; keep a reader for the old ones\n got: %s\nwant: %s", got.String(), want)
	}
}
