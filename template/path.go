package template

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// maxPath is how long a path may be, in bytes.
const maxPath = 256

// Path is a JSON path in AWS's subset: names, indices and *. An empty one is the whole event.
type Path []Step

// Step is one step of a Path.
type Step struct {
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

// ParsePath reads "$.a.b[0].*"; "$" is the event itself, an empty path.
func ParsePath(text string) (Path, bool) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || len(text) > maxPath {
		return nil, false
	}
	var path Path
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
				path = append(path, Step{kind: all})
			default:
				path = append(path, Step{name: name})
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
func bracket(inside string) (Step, bool) {
	if inside == "*" {
		return Step{kind: all}, true
	}
	if n := len(inside); n >= 2 && (inside[0] == '\'' || inside[0] == '"') && inside[n-1] == inside[0] {
		return Step{name: inside[1 : n-1]}, true
	}
	n, err := strconv.Atoi(inside)
	return Step{index: n, kind: byIndex}, err == nil && n >= 0
}

// Find returns the value at the path. After * it is the array of all that are found.
func (p Path) Find(v []byte) (json.RawMessage, bool) {
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

func (p Path) findAll(v []byte) (json.RawMessage, bool) {
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
		if found, ok := p.Find(e); ok {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, found...)
		}
	}
	return append(out, ']'), true
}

// Under reports whether the path begins with all of another.
func (p Path) Under(top Path) bool {
	return len(p) >= len(top) && slices.Equal(p[:len(top)], top)
}
