package expr

import (
	"slices"

	"fogbank/wire/attribute"
)

// Selection is a projection bound to a request. The zero Selection takes everything.
type Selection struct {
	env
	paths []path
}

// Selection binds a ProjectionExpression; a nil text gives the Selection of everything.
func (r *Request) Selection(text *string) (Selection, error) {
	if text == nil {
		return Selection{}, nil
	}
	e, err := r.bind(Projection, *text)
	if err != nil {
		return Selection{}, err
	}
	s := Selection{env: e, paths: e.tree.paths}
	return s, s.checkPaths(len(s.paths), func(i int) path { return s.paths[i] })
}

// SelectNames returns the Selection of top-level attributes, as AttributesToGet wants.
func SelectNames(names []string) Selection {
	if len(names) == 0 {
		return Selection{}
	}
	s := Selection{paths: make([]path, len(names))}
	for i, n := range names {
		s.paths[i] = path{{name: n, ref: -1, index: -1}}
	}
	return s
}

// All reports whether the selection takes everything.
func (s *Selection) All() bool { return s.paths == nil }

// Roots returns the top-level attributes the selection reads.
func (s *Selection) Roots() []string {
	roots := make([]string, len(s.paths))
	for i := range s.paths {
		roots[i] = s.name(&s.paths[i][0])
	}
	return roots
}

// Of returns the selected parts of an item: maps with the members chosen, lists with the elements chosen, closed up.
func (s *Selection) Of(item attribute.Item) attribute.Item {
	if s.paths == nil {
		return item
	}
	return s.members(item, s.paths, 0)
}

// members picks from a map what the paths, equal in their first depth steps, choose.
func (e *env) members(item attribute.Item, paths []path, depth int) attribute.Item {
	out := attribute.Item{}
	for i := range item {
		var below []path
		for _, p := range paths {
			if p[depth].index >= 0 || e.name(&p[depth]) != item[i].Name {
				continue
			}
			if len(p) == depth+1 {
				if out == nil || cap(out) == 0 {
					out = make(attribute.Item, 0, min(len(item), len(paths)))
				}
				out = append(out, item[i])
				below = nil
				break
			}
			below = append(below, p)
		}
		if v, ok := e.below(item[i].Value, below, depth+1); ok {
			out = append(out, attribute.Attribute{Name: item[i].Name, Value: v})
		}
	}
	return out
}

func (e *env) below(v attribute.Value, paths []path, depth int) (attribute.Value, bool) {
	if len(paths) == 0 {
		return v, false
	}
	switch v.Type() {
	case attribute.TypeM:
		m := e.members(v.Map(), paths, depth)
		return attribute.M(m), len(m) > 0
	case attribute.TypeL:
		l := e.elements(v.List(), paths, depth)
		return attribute.L(l...), len(l) > 0
	}
	return v, false
}

func (e *env) elements(list []attribute.Value, paths []path, depth int) (out []attribute.Value) {
	var indexes []int
	for _, p := range paths {
		if i := p[depth].index; i >= 0 && i < len(list) {
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	for _, index := range slices.Compact(indexes) {
		var below []path
		whole := false
		for _, p := range paths {
			if p[depth].index == index {
				whole = whole || len(p) == depth+1
				below = append(below, p)
			}
		}
		if whole {
			out = append(out, list[index])
		} else if v, ok := e.below(list[index], below, depth+1); ok {
			out = append(out, v)
		}
	}
	return out
}
