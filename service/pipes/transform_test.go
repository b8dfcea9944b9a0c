package pipes

import (
	"encoding/json"
	"testing"
	"time"

	"fogbank/api/pipes"
)

var (
	queued = []byte(`{"messageId":"m","body":"{\"id\":7,\"who\":\"ada \\\"x\\\"\",\"list\":[1,\"b\"],\"o\":{\"k\":\"v\"}}","attributes":{"SenderId":"S"}}`)
	plain  = []byte(`{"messageId":"m","body":"just text"}`)
	when   = &occasion{"arn:pipe", "p", "arn:source", "", "arn:target", "2026-01-02T03:04:05Z"}
)

func TestTransform(t *testing.T) {
	for _, c := range []struct {
		event          []byte
		template, want string
		json           string // for a function; "" where that is no JSON
	}{
		{queued, `Hello, sender`, `Hello, sender`, ``},
		{queued, `"Hello, <$.attributes.SenderId>"`, `"Hello, S"`, `"Hello, S"`},
		{queued, `<$.attributes.SenderId>`, `S`, `"S"`},
		{queued, `{"a":<$.body.id>,"b":<$.body.who>,"c":"<$.body.who>"}`, `{"a":7,"b":"ada \"x\"","c":"ada \"x\""}`, `{"a":7,"b":"ada \"x\"","c":"ada \"x\""}`},
		{queued, `{"l":<$.body.list>,"o":<$.body.o>,"s":"is <$.body.o>","e":<$.body.list[1]>}`,
			`{"l":[1,"b"],"o":{"k":"v"},"s":"is {k:v}","e":"b"}`, `{"l":[1,"b"],"o":{"k":"v"},"s":"is {k:v}","e":"b"}`},
		{queued, `<$.body.o>`, `{k:v}`, ``},
		{queued, `{"data":<$.body.o>}`, `{"data":{"k":"v"}}`, `{"data":{"k":"v"}}`},
		{queued, `{"a":<$.nope>,"b":"<$.nope>"}`, `{"a":null,"b":""}`, `{"a":null,"b":""}`},
		{queued, `{"p":<aws.pipes.pipe-arn>,"n":"<aws.pipes.pipe-name>","s":<aws.pipes.source-arn>,"t":<aws.pipes.target-arn>,"e":<aws.pipes.enrichment-arn>,"i":<aws.pipes.event.ingestion-time>}`,
			`{"p":"arn:pipe","n":"p","s":"arn:source","t":"arn:target","e":"","i":"2026-01-02T03:04:05Z"}`,
			`{"p":"arn:pipe","n":"p","s":"arn:source","t":"arn:target","e":"","i":"2026-01-02T03:04:05Z"}`},
		{plain, `{"b":<$.body>,"e":<aws.pipes.event.json>}`, `{"b":"just text","e":null}`, `{"b":"just text","e":null}`},
		{plain, `{"e":<aws.pipes.event>}`, `{"e":` + string(plain) + `}`, `{"e":` + string(plain) + `}`},
		{[]byte(`{"body":"[1]"}`), `{"e":<aws.pipes.event.json>}`, `{"e":{"body":[1]}}`, `{"e":{"body":[1]}}`},
		{plain, `<unknown> <$.body>`, `<unknown> just text`, ``},
	} {
		tr := newTransform(&c.template)
		if got := string(tr.apply(c.event, when)); got != c.want {
			t.Errorf("%s: %s, want %s", c.template, got, c.want)
		}
		got, ok := tr.json(c.event, when)
		if ok != (c.json != "") || ok && string(got) != c.json {
			t.Errorf("%s for a function: %s %t, want %s", c.template, got, ok, c.json)
		}
	}
}

func TestParameter(t *testing.T) {
	for text, want := range map[string]string{"fixed": "fixed", "$.body.id": "7", "$.body.who": `ada "x"`, "$.messageId": "m", "$.body.none": "", "$.[": ""} {
		if got, ok := parameter(text, queued); got != want || ok != (want != "") {
			t.Errorf("%s: %q %t, want %q", text, got, ok, want)
		}
	}
	for text, want := range map[string]string{"$.a": "2026-01-02T03:04:05Z", "$.b": "2026-01-02T03:04:05.5Z", "$.c": "2026-01-02T03:04:05Z", "$.d": ""} {
		at, ok := moment(text, []byte(`{"a":1767323045,"b":1767323045500,"c":"2026-01-02T03:04:05Z","d":"then"}`))
		if ok != (want != "") || ok && at.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v %t, want %s", text, at, ok, want)
		}
	}
}

func FuzzTransform(f *testing.F) {
	f.Add(`{"a":<$.body.id>,"b":"<$.body>","c":<aws.pipes.event.json>}`, string(queued))
	f.Fuzz(func(t *testing.T, text, event string) {
		if !json.Valid([]byte(event)) {
			return
		}
		tr := newTransform(&text)
		if b, ok := tr.json([]byte(event), when); ok && !json.Valid(b) {
			t.Errorf("%q of %q is no JSON: %q", text, event, b)
		}
		parameter(text, []byte(event))
	})
}

// TestRecord guards the stored form of a pipe: one that was stored must be read for ever.
func TestRecord(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := pipe{Name: "p", ID: "id", Desired: "RUNNING", State: "RUNNING", Source: "s", Target: "t", Role: "r", Created: at, Modified: at, Revision: "v",
		From: pipes.PipeSourceParameters{SqsQueueParameters: &pipes.PipeSourceSqsQueueParameters{BatchSize: new(int32(3))}},
		To:   &pipes.PipeTargetParameters{InputTemplate: new("x")}}
	var stored pipe
	if err := json.Unmarshal([]byte(`{"Name":"p","ID":"id","Description":null,"Desired":"RUNNING","State":"RUNNING","Reason":"","Source":"s",`+
		`"From":{"SqsQueueParameters":{"BatchSize":3}},"Target":"t","To":{"InputTemplate":"x"},"Role":"r","Tags":null,`+
		`"Created":"2026-01-02T03:04:05Z","Modified":"2026-01-02T03:04:05Z","Revision":"v"}`), &stored); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(stored)
	want, _ := json.Marshal(p)
	if string(got) != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func BenchmarkTransform(b *testing.B) {
	tr := newTransform(new(`{"order":<$.body.id>,"text":"order <$.body.id> of <$.body.who>"}`))
	for b.Loop() {
		tr.apply(queued, when)
	}
}
