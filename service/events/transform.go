package events

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"fogbank/template"
)

// transform is what a target makes of an event.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
type transform struct {
	constant []byte        // Input
	path     template.Path // InputPath, when parts is nil and constant is
	parts    []part        // InputTransformer
}

// part is a piece of a template and how EventBridge fills it.
type part template.Part

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
		path, ok := template.ParsePath(*t.Path)
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
	paths := map[string]template.Path{}
	for name, text := range t.Variables {
		if strings.HasPrefix(strings.ToLower(name), "aws.") {
			return nil, invalid("Invalid InputPathsMap for target %s : variable names must not begin with AWS.", t.ID)
		}
		path, ok := template.ParsePath(text)
		if !ok {
			return nil, invalid("Invalid InputPathsMap for target %s : %s is not a valid JSON path.", t.ID, text)
		}
		if path == nil {
			path = template.Path{}
		}
		paths[name] = path
	}
	parts := template.Parse(*t.Template, func(name string) (template.Path, bool) {
		path, ok := paths[name]
		return path, ok || slices.Contains(predefined, name)
	})
	list := make([]part, len(parts))
	for i := range parts {
		list[i] = part(parts[i])
	}
	if text := strings.TrimSpace(*t.Template); len(list) == 2 && strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") {
		list[0].Place = template.Value // a variable and nothing else
	}
	return list, nil
}

// apply returns what the target is sent for an event.
func (t *transform) apply(event []byte, o occasion) []byte {
	switch {
	case t == nil:
		return event
	case t.constant != nil:
		return t.constant
	case t.parts == nil:
		if v, ok := t.path.Find(event); ok {
			return v
		}
		return []byte("null")
	}
	b := make([]byte, 0, 512)
	for i, p := range t.parts {
		b = append(b, p.Text...)
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
	case p.Path != nil:
		v, _ := p.Path.Find(event)
		return v
	case p.Name == "aws.events.rule-arn":
		text = o.ruleARN
	case p.Name == "aws.events.rule-name":
		text = o.rule
	case p.Name == "aws.events.event.ingestion-time":
		text = o.ingested
	case p.Name == "aws.events.event":
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
// quotes inside a string or in plain text; objects and arrays inside a string lose all quotes. A variable the event has
// no value for is null, or nothing.
func (p *part) append(b, v []byte) []byte {
	switch {
	case p.Place == template.Value && v == nil:
		return append(b, "null"...)
	case p.Place == template.Value:
		return append(b, v...)
	case v == nil:
		return b
	}
	if v[0] == '"' {
		if p.Place == template.Quoted {
			return append(b, v[1:len(v)-1]...)
		}
		var text string
		if json.Unmarshal(v, &text) != nil {
			return b
		}
		return append(b, text...)
	}
	if p.Place == template.Quoted && p.Path != nil {
		return template.AppendBare(b, v)
	}
	return append(b, v...) // AWS does not touch the predefined events
}

// withoutDetail returns an event but for its detail.
func withoutDetail(event []byte) []byte {
	before, _, found := bytes.Cut(event, []byte(`,"detail":`)) // in a text, the quotes would be escaped
	if !found {
		return event
	}
	return append(slices.Clone(before), '}')
}
