package logs

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
	{"logs/group", &group{ID: 1, Created: 946684800000, Retention: 7, KmsKeyID: "k", Class: "STANDARD", Tags: map[string]string{"a": "b"}}},
	{"logs/stream", &stream{ID: 2, Created: 946684800000}},
	{"logs/event", &event{946684800000, "hello"}},
	{"logs/sweep group", &task{Group: 1}},
	{"logs/sweep stream", &task{Stream: 2}},
	{"logs/sweep retention", &task{Expire: "g", Of: 1}},
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
