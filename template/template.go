// Package template reads what event targets are told to make of an event: JSON paths, and texts with
// variables between angle brackets. What a variable's value becomes in its place differs between services
// and is theirs to say; this package finds the variables and where they stand.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
package template

import "strings"

// Place is where in a template a variable stands.
type Place uint8

// The places.
const (
	Text   Place = iota // in plain text
	Value               // where a JSON value is wanted
	Quoted              // inside a JSON string
)

// Part is a piece of a template: text, and then a variable unless it is the last.
type Part struct {
	Text  string
	Name  string
	Path  Path // what known returned
	Place Place
}

// Parse splits a template at the variables known knows; what else stands between angle brackets is text.
// The last part is text only.
func Parse(text string, known func(name string) (Path, bool)) []Part {
	trimmed := strings.TrimSpace(text)
	structured := strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[")
	var parts []Part
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
			path, ok := known(name)
			if !ok {
				continue
			}
			p := Part{Text: text[start:i], Name: name, Path: path}
			switch {
			case quoted:
				p.Place = Quoted
			case structured:
				p.Place = Value
			}
			parts = append(parts, p)
			i += end
			start = i + 1
		}
	}
	return append(parts, Part{Text: text[start:]})
}

// AppendBare writes a JSON object or array into a string as AWS does: without any quotes in it.
func AppendBare(b, v []byte) []byte {
	for i, c := range v {
		if c != '"' && (c != '\\' || i+1 == len(v) || v[i+1] != '"') {
			b = append(b, c)
		}
	}
	return b
}
