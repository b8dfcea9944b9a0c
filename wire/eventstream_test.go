package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"fogbank/api/lambda"
	"fogbank/wire"
)

// The first two are the examples every implementation of the format is tested with.
var eventTests = []struct {
	name    string
	headers []string
	payload string
	hex     string
}{
	{"empty", nil, "", "000000100000000005c248eb7d98c8ff"},
	{"payload", nil, "{'foo':'bar'}", "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"},
	{"header", []string{"content-type", "application/json"}, "{'foo':'bar'}",
		"0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1"},
}

func TestEventFrames(t *testing.T) {
	for _, test := range eventTests {
		b, err := wire.AppendEvent([]byte("before"), []byte(test.payload), test.headers...)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b[len("before"):]); got != test.hex {
			t.Errorf("%s: %s, want %s", test.name, got, test.hex)
		}
		e, err := wire.ReadEvent(bytes.NewReader(b[len("before"):]))
		if err != nil || string(e.Payload) != test.payload {
			t.Fatalf("%s: %v %+v", test.name, err, e)
		}
		for i := 0; i < len(test.headers); i += 2 {
			if got := e.Header(test.headers[i]); got != test.headers[i+1] {
				t.Errorf("%s: header %q", test.name, got)
			}
		}
	}
}

// frame makes a message with correct sums of lengths and a body as given.
func frame(total, headers uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, total), headers)
	b = append(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// whole is frame with the lengths of what is there.
func whole(headers, payload string) []byte {
	return frame(uint32(16+len(headers)+len(payload)), uint32(len(headers)), headers+payload)
}

func TestReadEventRefuses(t *testing.T) {
	good := whole("\x01a\x07\x00\x01b", "payload")
	flipped := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"checksum of the lengths":  flipped(3),
		"checksum of the payload":  flipped(20),
		"shorter than its frame":   frame(15, 0, ""),
		"headers beyond the end":   frame(17, 2, "a"),
		"too many headers":         frame(200<<10, 129<<10, ""),
		"too large":                frame(25<<20, 0, ""),
		"cut off":                  good[:len(good)-1],
		"cut off in the lengths":   good[:7],
		"header without a name":    whole("\x00\x07\x00\x01b", ""),
		"header without a type":    whole("\x01a", ""),
		"header of no type":        whole("\x01a\x0a", ""),
		"header beyond its length": whole("\x01a\x07\x00\x09b", ""),
		"header of half a length":  whole("\x01a\x07\x00", ""),
		"number cut off":           whole("\x01a\x05\x00", ""),
	} {
		if e, err := wire.ReadEvent(bytes.NewReader(b)); err == nil || err == io.EOF {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if _, err := wire.ReadEvent(strings.NewReader("")); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	e, err := wire.ReadEvent(bytes.NewReader(whole("\x01a\x00\x01b\x04\x00\x00\x00\x07\x01c\x06\x00\x02xy\x01d\x07\x00\x00", "")))
	want := []wire.EventHeader{{Name: "a"}, {Name: "b", Value: "\x00\x00\x00\x07", Type: 4}, {Name: "c", Value: "xy", Type: 6}, {Name: "d", Type: 7}}
	if err != nil || !reflect.DeepEqual(e.Headers, want) {
		t.Errorf("headers of other types: %+v, %v", e, err)
	}
}

func TestAppendEventRefuses(t *testing.T) {
	for name, headers := range map[string][]string{"no name": {"", "a"}, "long name": {strings.Repeat("a", 256), ""}, "long value": {"a", strings.Repeat("a", 1<<15)}} {
		if _, err := wire.AppendEvent(nil, nil, headers...); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := wire.AppendEvent(nil, make([]byte, 25<<20)); err == nil {
		t.Error("too large a payload is taken")
	}
}

func FuzzReadEvent(f *testing.F) {
	for _, test := range eventTests {
		b, err := hex.DecodeString(test.hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(whole("\x01a\x00\x01b\x04\x00\x00\x00\x07\x01c\x06\x00\x02xy", "p"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := wire.ReadEvent(bytes.NewReader(b))
		if err != nil {
			return
		}
		var headers []string
		for _, h := range e.Headers {
			if h.Type != 7 || len(h.Value) > 0x7fff {
				return
			}
			headers = append(headers, h.Name, h.Value)
		}
		again, err := wire.AppendEvent(nil, e.Payload, headers...)
		if err != nil || !bytes.HasPrefix(b, again) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}

// TestEventStream encodes an answer that is an event stream, as the model describes it.
func TestEventStream(t *testing.T) {
	op := lambda.API.Operation("InvokeWithResponseStream")
	w := httptest.NewRecorder()
	var flushed []bool
	out := &lambda.InvokeWithResponseStreamOutput{ExecutedVersion: new("7"), ResponseStreamContentType: new("text/plain"), EventStream: func(yield func(*lambda.InvokeWithResponseStreamResponseEvent) bool) {
		yield(&lambda.InvokeWithResponseStreamResponseEvent{PayloadChunk: &lambda.InvokeResponseStreamUpdate{Payload: []byte("a\x00b")}})
		flushed = append(flushed, w.Flushed)
		yield(&lambda.InvokeWithResponseStreamResponseEvent{InvokeComplete: &lambda.InvokeWithResponseStreamCompleteEvent{LogResult: new("bG9n")}})
	}}
	if err := wire.Encode(w, op, wire.RESTJSON, out, "id"); err != nil {
		t.Fatal(err)
	}
	h := w.Result().Header
	if w.Code != 200 || h.Get("Content-Type") != wire.EventType || h.Get("X-Amz-Executed-Version") != "7" || !reflect.DeepEqual(flushed, []bool{true}) {
		t.Errorf("%d %v %v", w.Code, h, flushed)
	}
	for _, want := range [][4]string{{"PayloadChunk", "application/octet-stream", "event", "a\x00b"}, {"InvokeComplete", "application/json", "event", `{"LogResult":"bG9n"}`}} {
		e, err := wire.ReadEvent(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := [4]string{e.Header(":event-type"), e.Header(":content-type"), e.Header(":message-type"), string(e.Payload)}; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := wire.ReadEvent(w.Body); err != io.EOF {
		t.Errorf("after the last: %v", err)
	}
	doc := string(wire.AppendJSON(nil, op.Output, out))
	if want := `{"ExecutedVersion":"7","EventStream":[{"PayloadChunk":{"Payload":"YQBi"}},{"InvokeComplete":{"LogResult":"bG9n"}}],"ResponseStreamContentType":"text/plain"}`; doc != want {
		t.Errorf("%s, want %s", doc, want)
	}
	empty := &lambda.InvokeWithResponseStreamOutput{EventStream: func(yield func(*lambda.InvokeWithResponseStreamResponseEvent) bool) {
		yield(&lambda.InvokeWithResponseStreamResponseEvent{})
	}}
	if err := wire.Encode(httptest.NewRecorder(), op, wire.RESTJSON, empty, "id"); err == nil {
		t.Error("an event without a member is written")
	}
}
