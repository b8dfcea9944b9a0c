package events

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// transform is what a target makes of an event.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
type transform struct {
	constant []byte   // Input
	path     jsonPath // InputPath, when parts is nil and constant is
	parts    []part   // InputTransformer
}

// part is a piece of a template: text, and then a variable unless it is the last.
type part struct {
	text     string
	variable string
	path     jsonPath // of the variable, nil for a predefined one
	quoted   bool     // the variable stands inside a JSON string
	json     bool     // the variable stands where a JSON value is wanted
}

// occasion is what templates may say beside the event.
type occasion struct {
	ruleARN, rule, ingested string
}

// newTransform compiles the input of a target; nil when the event itself is sent.
func newTransform(t *target) (*transform, error) {
	switch {
	case t.Input != nil:
		return &transform{constant: []byte(*t.Input)}, nil
	case t.Path != nil:
		path, ok := parsePath(*t.Path)
		if !ok {
			return nil, invalid("Parameter InputPath is not valid for target %s.", t.ID)
		}
		if len(path) == 0 {
			return nil, nil
		}
		return &transform{path: path}, nil
	case t.Template != nil:
		parts, err := parseTemplate(t)
		return &transform{parts: parts}, err
	}
	return nil, nil
}

// predefined are the variables every template has.
var predefined = []string{"aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time",
	"aws.events.event", "aws.events.event.json"}

// parseTemplate splits a template at its variables, noting which stand inside strings.
func parseTemplate(t *target) ([]part, error) {
	if len(t.Variables) > maxVariables {
		return nil, invalid("InputPathsMap of target %s has more than %d variables.", t.ID, maxVariables)
	}
	paths := map[string]jsonPath{}
	for name, text := range t.Variables {
		if strings.HasPrefix(strings.ToLower(name), "aws.") {
			return nil, invalid("Invalid InputPathsMap for target %s : variable names must not begin with AWS.", t.ID)
		}
		path, ok := parsePath(text)
		if !ok {
			return nil, invalid("Invalid InputPathsMap for target %s : %s is not a valid JSON path.", t.ID, text)
		}
		if path == nil {
			path = jsonPath{}
		}
		paths[name] = path
	}
	text := *t.Template
	trimmed := strings.TrimSpace(text)
	structured := strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") ||
		strings.HasPrefix(trimmed, "<") && strings.IndexByte(trimmed, '>') == len(trimmed)-1
	var parts []part
	quoted, start := false, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case '<':
			end := strings.IndexByte(text[i:], '>')
			if end < 0 {
				continue
			}
			name := text[i+1 : i+end]
			path, ok := paths[name]
			if !ok && !slices.Contains(predefined, name) {
				continue // AWS keeps what is no variable as text
			}
			parts = append(parts, part{text[start:i], name, path, quoted, structured && !quoted})
			i += end
			start = i + 1
		}
	}
	return append(parts, part{text: text[start:]}), nil
}

// apply returns what the target is sent for an event.
func (t *transform) apply(event []byte, o occasion) []byte {
	switch {
	case t == nil:
		return event
	case t.constant != nil:
		return t.constant
	case t.parts == nil:
		if v, ok := t.path.find(event); ok {
			return v
		}
		return []byte("null")
	}
	b := make([]byte, 0, 512)
	for i, p := range t.parts {
		b = append(b, p.text...)
		if i+1 < len(t.parts) {
			b = p.append(b, p.value(event, o))
		}
	}
	return b
}

// value returns the variable's value as JSON, nil when the event has none.
func (p *part) value(event []byte, o occasion) []byte {
	text := ""
	switch {
	case p.path != nil:
		v, _ := p.path.find(event)
		return v
	case p.variable == "aws.events.rule-arn":
		text = o.ruleARN
	case p.variable == "aws.events.rule-name":
		text = o.rule
	case p.variable == "aws.events.event.ingestion-time":
		text = o.ingested
	case p.variable == "aws.events.event":
		return withoutDetail(event)
	default:
		return event
	}
	b, err := json.Marshal(text)
	if err != nil {
		panic("events: a string that is no JSON: " + err.Error())
	}
	return b
}

// append writes a value as its place wants it: as it is where a JSON value is wanted, without its
// quotes inside a string or in plain text. A variable the event has no value for is null, or nothing.
func (p *part) append(b, v []byte) []byte {
	switch {
	case p.json && v == nil:
		return append(b, "null"...)
	case p.json:
		return append(b, v...)
	case v == nil:
		return b
	}
	if v[0] == '"' {
		if p.quoted {
			return append(b, v[1:len(v)-1]...)
		}
		var text string
		if json.Unmarshal(v, &text) != nil {
			return b
		}
		return append(b, text...)
	}
	if v[0] == '[' {
		return p.appendList(b, v)
	}
	if !p.quoted || p.path == nil {
		return append(b, v...) // AWS does not escape the predefined events
	}
	escaped, err := json.Marshal(string(v))
	if err != nil {
		return b
	}
	return append(b, escaped[1:len(escaped)-1]...)
}

// appendList writes an array inside a string: its elements, strings without quotes, between brackets.
func (p *part) appendList(b, v []byte) []byte {
	var list []json.RawMessage
	if json.Unmarshal(v, &list) != nil {
		return b
	}
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.append(b, e)
	}
	return append(b, ']')
}

// withoutDetail returns an event but for its detail.
func withoutDetail(event []byte) []byte {
	before, _, found := bytes.Cut(event, []byte(`,"detail":`)) // in a text, the quotes would be escaped
	if !found {
		return event
	}
	return append(slices.Clone(before), '}')
}

// jsonPath is a JSON path in AWS's subset: names, indices and *.
type jsonPath []pathStep

type pathStep struct {
	name  string
	index int
	kind  stepKind
}

type stepKind uint8

const (
	byName stepKind = iota
	byIndex
	all
)

// parsePath reads "$.a.b[0].*"; "$" is the event itself, an empty path.
func parsePath(text string) (jsonPath, bool) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || len(text) > 256 {
		return nil, false
	}
	var path jsonPath
	for rest != "" {
		switch rest[0] {
		case '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			name := rest[1 : 1+end]
			rest = rest[1+end:]
			switch name {
			case "":
				return nil, false
			case "*":
				path = append(path, pathStep{kind: all})
			default:
				path = append(path, pathStep{name: name})
			}
		case '[':
			inside, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, false
			}
			rest = after
			step, ok := bracket(inside)
			if !ok {
				return nil, false
			}
			path = append(path, step)
		default:
			return nil, false
		}
	}
	return path, true
}

// bracket reads what stands between brackets: an index, * or a quoted name.
func bracket(inside string) (pathStep, bool) {
	if inside == "*" {
		return pathStep{kind: all}, true
	}
	if n := len(inside); n >= 2 && (inside[0] == '\'' || inside[0] == '"') && inside[n-1] == inside[0] {
		return pathStep{name: inside[1 : n-1]}, true
	}
	n, err := strconv.Atoi(inside)
	return pathStep{index: n, kind: byIndex}, err == nil && n >= 0
}

// find returns the value at the path. After * it is the array of all that are found.
func (p jsonPath) find(v []byte) (json.RawMessage, bool) {
	for i, s := range p {
		switch s.kind {
		case byName:
			var m map[string]json.RawMessage
			if json.Unmarshal(v, &m) != nil || m[s.name] == nil {
				return nil, false
			}
			v = m[s.name]
		case byIndex:
			var list []json.RawMessage
			if json.Unmarshal(v, &list) != nil || s.index >= len(list) {
				return nil, false
			}
			v = list[s.index]
		case all:
			return p[i+1:].findAll(v)
		}
	}
	return v, true
}

func (p jsonPath) findAll(v []byte) (json.RawMessage, bool) {
	var list []json.RawMessage
	if json.Unmarshal(v, &list) != nil {
		d := json.NewDecoder(bytes.NewReader(v))
		if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
			return nil, false
		}
		for d.More() {
			var member json.RawMessage
			if _, err := d.Token(); err != nil || d.Decode(&member) != nil {
				return nil, false
			}
			list = append(list, member)
		}
	}
	out := []byte{'['}
	for _, e := range list {
		if found, ok := p.find(e); ok {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, found...)
		}
	}
	return append(out, ']'), true
}
