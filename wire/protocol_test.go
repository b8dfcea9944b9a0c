package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fogbank/wire"
)

// protocolCase is one of AWS's protocol tests: a value and its wire form.
type protocolCase struct {
	name     string
	protocol wire.Protocol
	op       *wire.Operation
	value    string // as AppendJSON writes it
	uri      string // of a request; empty for an answer
	headers  map[string]string
	body     string
}

// notOurs are the cases that test what only a client does, or say otherwise than services do.
// A key is a suite's description or a case's own name.
var notOurs = map[string]string{
	"Idempotency token auto fill":         "a client makes the token up",
	"Ignores extra data":                  "an answer never has any",
	"Ignores undefined output":            "an answer never has any",
	"unmodeled non-json response payload": "an answer never has one",
	"Not all members in response":         "its body has an element that is no member",
	"Empty string":                        "its value leaves the empty string out",
	"JsonInput7Case0":                     "it sends values outside the enumeration",
	"QueryInput14Case0":                   "it sends values outside the enumeration",
	"RestInput21Case0":                    "it sends values outside the enumeration",
	"RestInput13Case1":                    "its empty object stands for no payload at all",
	"RestInput20Case2":                    "its empty object stands for no payload at all",
	"RestInput24Case2":                    "its empty object stands for no payload at all",
	"RestInput24Case4":                    "its empty object stands for no payload at all",
	"RestOutput0Case0":                    "its body has a timestamp as text, where services write a number",
	"JsonOutput3Case1":                    "a list has no empty places",
}

// TestProtocolCases decodes the requests and encodes the answers of AWS's own protocol tests.
func TestProtocolCases(t *testing.T) {
	api := wire.NewAPI(wire.API{Name: "test"})
	ran := 0
	for _, c := range protocolCases {
		t.Run(c.name, func(t *testing.T) {
			id, description, _ := strings.Cut(c.name, " ")
			if why := notOurs[description] + notOurs[id]; why != "" {
				t.Skip(why)
			}
			c.op.API = api
			ran++
			if c.uri != "" {
				decodeCase(t, c)
				return
			}
			encodeCase(t, c)
		})
	}
	t.Logf("%d of %d cases", ran, len(protocolCases))
}

func decodeCase(t *testing.T, c protocolCase) {
	r := httptest.NewRequest(c.op.Method, "http://host"+c.uri, nil)
	for k, v := range c.headers {
		r.Header.Set(k, v)
	}
	labels := map[string]string{}
	if c.protocol == wire.RESTJSON {
		var ok bool
		if _, labels, ok = wire.NewPaths(c.op).Match(r.Method, r.URL.EscapedPath(), r.URL.Query()); !ok {
			t.Fatalf("no match for %s in %s", c.uri, c.op.Path)
		}
	}
	in, err := wire.Decode(c.op, c.protocol, r, []byte(c.body), labels)
	if err != nil {
		t.Fatal(err)
	}
	got := wire.AppendJSON(nil, c.op.Input, in)
	if c.value == "" {
		c.value = "{}"
	}
	if !sameJSON(t, got, []byte(c.value)) {
		t.Errorf("decoded %s\n    want %s", got, c.value)
	}
}

func encodeCase(t *testing.T, c protocolCase) {
	if c.value == "" {
		c.value = "{}"
	}
	out, err := wire.ParseJSON(c.op.Output, []byte(c.value))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := wire.Encode(w, c.op, c.protocol, out, "request-id"); err != nil {
		t.Fatal(err)
	}
	for k, want := range c.headers {
		if k == "Content-Length" {
			continue // theirs is not the body's
		}
		if got := w.Header().Get(k); !strings.EqualFold(got, want) && !sameBase64JSON(got, want) {
			t.Errorf("header %s: %q, want %q", k, got, want)
		}
	}
	switch {
	case c.protocol == wire.Query:
		if got, want := members(t, w.Body.String()), members(t, c.body); got != want {
			t.Errorf("encoded %s\n    want %s", got, want)
		}
	case c.op.Status != 204 && json.Valid([]byte(c.body)):
		if !sameJSON(t, w.Body.Bytes(), []byte(c.body)) {
			t.Errorf("encoded %s\n    want %s", w.Body, c.body)
		}
	case strings.TrimSpace(c.body) != w.Body.String():
		t.Errorf("encoded %s\n    want %s", w.Body, c.body)
	}
}

// members writes the result's elements in the order of their names and texts, since neither
// members nor map entries have an order of their own.
func members(t *testing.T, doc string) string {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(doc))
	stack := [][]string{nil}
	text := ""
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return strings.Join(stack[0], "")
		}
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			stack = append(stack, nil)
			text = ""
		case xml.CharData:
			text = string(x)
		case xml.EndElement:
			last := len(stack) - 1
			inner := stack[last]
			stack = stack[:last]
			switch name := x.Name.Local; name {
			case "RequestId", "ResponseMetadata":
			case "OperationNameResult", "OperationNameResponse":
				stack[last-1] = append(stack[last-1], inner...)
			default:
				slices.Sort(inner)
				if len(inner) == 0 {
					inner = []string{strings.TrimSpace(text)}
				}
				stack[last-1] = append(stack[last-1], "<"+name+">"+strings.Join(inner, "")+"</>")
				slices.Sort(stack[last-1])
			}
			text = ""
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Errorf("%s: %v", a, err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Errorf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

func sameBase64JSON(a, b string) bool {
	x, err1 := base64.StdEncoding.DecodeString(a)
	y, err2 := base64.StdEncoding.DecodeString(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
