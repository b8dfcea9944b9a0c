package wire

import (
	"net/url"
	"slices"
	"strings"
)

// Paths matches request paths against REST templates.
type Paths struct{ templates []template }

// template is one operation's path, taken apart.
type template struct {
	op       *Operation
	segments []segment
	query    map[string]string // fixed query parameters: ?find=LayerVersion
	slash    bool              // the template ends in a slash
}

// segment is one part of a path between slashes.
type segment struct {
	text   string // a literal, or a label's name
	label  bool
	greedy bool // the label takes all that is left, slashes included
}

// NewPaths compiles the operations' templates, the most particular first: at the first segment
// where two differ a literal goes before a label and a label before a greedy one, and a
// template with fixed query parameters goes before the same without.
func NewPaths(ops ...*Operation) Paths {
	var p Paths
	for _, op := range ops {
		p.templates = append(p.templates, parseTemplate(op))
	}
	slices.SortStableFunc(p.templates, func(a, b template) int {
		for i := range min(len(a.segments), len(b.segments)) {
			if d := a.segments[i].rank() - b.segments[i].rank(); d != 0 {
				return d
			}
		}
		if d := len(b.segments) - len(a.segments); d != 0 {
			return d
		}
		return len(b.query) - len(a.query)
	})
	return p
}

func (s segment) rank() int {
	switch {
	case s.greedy:
		return 2
	case s.label:
		return 1
	}
	return 0
}

func parseTemplate(op *Operation) template {
	path, rawQuery, _ := strings.Cut(op.Path, "?")
	t := template{op: op, slash: len(path) > 1 && strings.HasSuffix(path, "/")}
	for _, part := range splitPath(path) {
		name, isLabel := strings.CutPrefix(part, "{")
		if !isLabel {
			t.segments = append(t.segments, segment{text: part})
			continue
		}
		name = strings.TrimSuffix(name, "}")
		name, greedy := strings.CutSuffix(name, "+")
		t.segments = append(t.segments, segment{text: name, label: true, greedy: greedy})
	}
	for _, part := range strings.Split(rawQuery, "&") {
		if k, v, _ := strings.Cut(part, "="); k != "" {
			if t.query == nil {
				t.query = map[string]string{}
			}
			t.query[k] = v
		}
	}
	return t
}

// splitPath splits a path at its slashes, those at its two ends not counted.
func splitPath(path string) []string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// Match finds the operation of a request. The path is still percent-encoded, so that an encoded
// slash stays within its label; labels come back decoded. A final slash makes no difference.
func (p Paths) Match(method, escapedPath string, query url.Values) (op *Operation, labels map[string]string, ok bool) {
	if len(escapedPath) > maxPath {
		return nil, nil, false
	}
	parts := splitPath(escapedPath)
	for i := range p.templates {
		t := &p.templates[i]
		if t.op.Method == method && t.fits(parts, query) {
			labels, ok := t.labels(parts)
			return t.op, labels, ok
		}
	}
	return nil, nil, false
}

// maxPath bounds a request path in bytes.
const maxPath = 16 << 10

// fits reports whether the parts match the template; no label is ever empty.
func (t *template) fits(parts []string, query url.Values) bool {
	if len(parts) < len(t.segments) {
		return false
	}
	for i, s := range t.segments {
		switch {
		case s.greedy && i == len(t.segments)-1:
			return parts[i] != "" && t.fitsQuery(query)
		case s.greedy:
			return t.fitsTail(parts, i) && t.fitsQuery(query)
		case s.label && parts[i] == "", !s.label && s.text != parts[i]:
			return false
		}
	}
	return len(parts) == len(t.segments) && t.fitsQuery(query)
}

// fitsTail matches what follows a greedy label at i, counted from the end.
func (t *template) fitsTail(parts []string, i int) bool {
	shift := len(parts) - len(t.segments)
	for j := i + 1; j < len(t.segments); j++ {
		s := t.segments[j]
		if !s.label && s.text != parts[j+shift] || s.label && parts[j+shift] == "" {
			return false
		}
	}
	return true
}

func (t *template) fitsQuery(query url.Values) bool {
	for k, v := range t.query {
		if got, ok := query[k]; !ok || v != "" && !slices.Contains(got, v) {
			return false
		}
	}
	return true
}

// labels decodes the path's labels; ok is false for a bad percent-encoding.
func (t *template) labels(parts []string) (labels map[string]string, ok bool) {
	shift := len(parts) - len(t.segments)
	at := 0
	for _, s := range t.segments {
		raw := parts[at]
		at++
		if s.greedy {
			raw = strings.Join(parts[at-1:at+shift], "/")
			at += shift
		}
		if !s.label {
			continue
		}
		text, err := url.PathUnescape(raw)
		if err != nil {
			return nil, false
		}
		if labels == nil {
			labels = make(map[string]string, len(t.segments))
		}
		labels[s.text] = text
	}
	return labels, true
}
