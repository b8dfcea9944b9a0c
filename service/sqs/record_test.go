package sqs

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

	"fogbank/store"
)

// records are one of each stored record, no field empty.
var records = []struct {
	name  string
	value any
}{
	{"message", &message{ID: "5fea7756-0ea4-451a-a703-a558b933e274", Sent: 1700000000123, Sender: "AIDAEXAMPLE", Body: "hello",
		Digest: bodyDigest("hello"), Group: "g", Dedup: "d", Sequence: 7, Origin: "arn:aws:sqs:us-east-1:123456789012:jobs", Due: 1700000000123456789,
		User:   []attribute{{"name", "String", "value", false}, {"raw", "Binary.x", "\x00\xff", true}},
		System: []attribute{{"AWSTraceHeader", "String", "Root=1", false}}}},
	{"state", &state{Due: 1700000000123456789, Received: 3, Here: 2, First: 1700000000456, Taken: 1700000000456000000, Group: "g"}},
	{"member", &member{At: 1700000000123456789, state: state{Due: 5, Received: 3, Here: 2, First: 4, Taken: 6, Group: "g"}}},
	{"group", &group{Turn: 1700000000123456789, Head: 9, Idle: true, Flights: []flight{{9, 1700000000123456790}, {10, 11}}}},
	{"front", &front{Cursor: 1700000000123456789, Sweep: 1700000000123456790, Alarm: 6, Fair: true}},
	{"traffic", &traffic{Flying: 1200, Since: 63}},
	{"total", new(total(-5))},
	{"number", new(store.Number(-5))}, // as a total, which they once were
	{"sent", &sent{ID: "5fea7756-0ea4-451a-a703-a558b933e274", Sequence: 12, At: 1700000000123}},
	{"queue", &queue{Name: "n", Account: "123456789012", Region: "us-east-1", ID: 1<<64 - 1, Space: 2, Created: 3, Modified: 4, Purged: 5, FIFO: true,
		VisibilityTimeout: 6, DelaySeconds: 7, RetentionSeconds: 8, MaxMessageBytes: 9, WaitSeconds: 10, ContentDedup: true, DedupScope: "queue",
		ThroughputLimit: "perQueue", ManagedSSE: true, KeyReuseSeconds: 11, Policy: "p", Redrive: "r", RedriveAllow: "a"}},
	{"attempt", &attempt{At: 1, Took: []takenAt{{"g", 2, 3, 4}}}},
	{"moveTask", &moveTask{ID: "i", Source: "s", Target: "t", Rate: 1, Status: taskFailed, Reason: "r", Started: 2, Moved: 3, ToMove: 4}},
	{"spaceJob", &spaceJob{Queue: "q", Space: 3}},
}

// TestRecords keeps the stored forms from changing by accident, and checks that they are read back.
func TestRecords(t *testing.T) {
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
		fmt.Fprintf(&got, "%s %s\n", r.name, text)
	}
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := must(os.ReadFile(file))
	if got.String() != string(want) {
		t.Errorf("stored forms changed; keep a reader for the old ones\n got: %s\nwant: %s", got.String(), want)
	}
}

// FuzzRecords checks that no bytes make a record's reader fail badly, and that what is read is written back so that it
// is read the same.
func FuzzRecords(f *testing.F) {
	for _, r := range records {
		if a, ok := r.value.(encoding.BinaryAppender); ok {
			f.Add(must(a.AppendBinary(nil)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range records {
			if _, ok := r.value.(encoding.BinaryAppender); !ok {
				continue
			}
			v := reflect.New(reflect.TypeOf(r.value).Elem()).Interface()
			if v.(encoding.BinaryUnmarshaler).UnmarshalBinary(data) != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(r.value).Elem()).Interface()
			b := must(v.(encoding.BinaryAppender).AppendBinary(nil))
			if err := again.(encoding.BinaryUnmarshaler).UnmarshalBinary(b); err != nil || !reflect.DeepEqual(v, again) {
				t.Fatalf("%s: %x is read as %+v, written as %x and read as %+v, %v", r.name, data, v, b, again, err)
			}
		}
	})
}
