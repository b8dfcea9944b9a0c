package pipes

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"fogbank/template"
)

// transform is what the enrichment or the target is given of an event.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-input-transformation.html
type transform struct{ parts []template.Part }

// reserved are the variables every template has.
var reserved = []string{"aws.pipes.pipe-arn", "aws.pipes.pipe-name", "aws.pipes.source-arn", "aws.pipes.enrichment-arn",
	"aws.pipes.target-arn", "aws.pipes.event.ingestion-time", "aws.pipes.event", "aws.pipes.event.json"}

// newTransform compiles a template; nil, which leaves events as they are, when there is none.
func newTransform(text *string) *transform {
	if text == nil || *text == "" {
		return nil
	}
	return &transform{template.Parse(*text, func(name string) (template.Path, bool) {
		if path, ok := template.ParsePath(name); ok {
			return path, true
		}
		return nil, slices.Contains(reserved, name)
	})}
}

// occasion is what templates may say beside the event.
type occasion struct {
	pipeARN, pipe, source, enrichment, target, ingested string
}

// apply returns what becomes of an event.
func (t *transform) apply(event []byte, o *occasion) []byte {
	if t == nil {
		return event
	}
	b := make([]byte, 0, 512)
	for i := range t.parts {
		p := &t.parts[i]
		b = append(b, p.Text...)
		if p.Name != "" {
			b = put(b, value(p, event, o), p.Place)
		}
	}
	return b
}

// value returns a variable's value as JSON, nil when the event has none.
func value(p *template.Part, event []byte, o *occasion) []byte {
	text := ""
	switch p.Name {
	case "aws.pipes.pipe-arn":
		text = o.pipeARN
	case "aws.pipes.pipe-name":
		text = o.pipe
	case "aws.pipes.source-arn":
		text = o.source
	case "aws.pipes.enrichment-arn":
		text = o.enrichment
	case "aws.pipes.target-arn":
		text = o.target
	case "aws.pipes.event.ingestion-time":
		text = o.ingested
	case "aws.pipes.event":
		return event
	case "aws.pipes.event.json":
		return decoded(event)
	default:
		v, _ := seek(p.Path, event)
		return v
	}
	return quote(text)
}

// seek returns the value at a path, in which a body that is JSON counts as what it says.
func seek(path template.Path, event []byte) (json.RawMessage, bool) {
	if body, ok := bodyOf(path, event); ok {
		return path[1:].Find(body)
	}
	return path.Find(event)
}

var bodyPath, _ = template.ParsePath("$.body")

// bodyOf returns the event's body when the path leads into it and the body is a string that says JSON.
func bodyOf(path template.Path, event []byte) ([]byte, bool) {
	if len(path) == 0 || !path.Under(bodyPath) {
		return nil, false
	}
	v, ok := bodyPath.Find(event)
	var text string
	if !ok || json.Unmarshal(v, &text) != nil || !json.Valid([]byte(text)) {
		return nil, false
	}
	return []byte(strings.TrimSpace(text)), true
}

// decoded is an event with its body as JSON; nil when the body is none.
func decoded(event []byte) []byte {
	raw, ok := bodyPath.Find(event)
	if !ok || len(raw) == 0 || raw[0] != '"' {
		return event
	}
	body, ok := bodyOf(bodyPath, event)
	var fields map[string]json.RawMessage
	if !ok || json.Unmarshal(event, &fields) != nil {
		return nil
	}
	fields["body"] = body
	b, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return b
}

// put writes a value as its place wants it: as it is where a JSON value is wanted; else strings without their
// quotes, and of objects and arrays all quotes are removed. What the event lacks is null, or nothing.
func put(b, v []byte, place template.Place) []byte {
	switch {
	case place == template.Value && v == nil:
		return append(b, "null"...)
	case place == template.Value:
		return append(b, v...)
	case v == nil:
		return b
	case v[0] == '"' && place == template.Quoted:
		return append(b, v[1:len(v)-1]...)
	case v[0] == '"':
		return append(b, unquote(v)...)
	}
	return template.AppendBare(b, v)
}

// unquote is the text of a JSON string.
func unquote(v []byte) string {
	var text string
	if json.Unmarshal(v, &text) != nil {
		return string(v)
	}
	return text
}

// quote is a text as a JSON string.
func quote(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		panic("pipes: a string that is no JSON: " + err.Error())
	}
	return b
}

// json is apply for those who take JSON only; ok is false when it is none. A string alone is a JSON string.
func (t *transform) json(event []byte, o *occasion) (b []byte, ok bool) {
	if t != nil && len(t.parts) == 2 && t.parts[0].Text == "" && t.parts[1].Text == "" {
		if v := value(&t.parts[0], event, o); len(v) > 0 && v[0] == '"' {
			return v, true
		}
	}
	b = t.apply(event, o)
	return b, json.Valid(b)
}

// texts is what becomes of events, each of which must be JSON.
func (t *transform) texts(events [][]byte, o *occasion) ([][]byte, error) {
	list := make([][]byte, len(events))
	for i, e := range events {
		var ok bool
		if list[i], ok = t.json(e, o); !ok {
			return nil, invalid("The InputTemplate does not result in JSON, which a function needs.")
		}
	}
	return list, nil
}

// applyAll is what becomes of events.
func (t *transform) applyAll(events [][]byte, o *occasion) [][]byte {
	list := make([][]byte, len(events))
	for i, e := range events {
		list[i] = t.apply(e, o)
	}
	return list
}

// array makes a JSON array of JSON.
func array(list [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(list, []byte(","))...), ']')
}

// parameter is a target's parameter for an event: the value at the path it names, or itself. It is not ok when the
// event has no such value.
func parameter(text string, event []byte) (string, bool) {
	if !strings.HasPrefix(text, "$.") {
		return text, true
	}
	path, ok := template.ParsePath(text)
	if !ok {
		return "", false
	}
	v, ok := seek(path, event)
	if !ok || len(v) == 0 || string(v) == "null" {
		return "", false
	}
	if v[0] == '"' {
		return unquote(v), true
	}
	return string(v), true
}
