package main

import (
	"bytes"
	"fmt"
	"go/format"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// generator writes the package of one service.
type generator struct {
	pkg    string
	m      *model
	names  []string          // the shapes reached from operations and errors, sorted
	goName map[string]string // structure → Go type
	ident  map[string]string // shape → constant in the schema
	inputs map[string]bool   // Go types that are inputs: all their scalars have getters
	alias  map[string]string // XInput or XOutput → the shared type it names
	out    bytes.Buffer
}

// newGenerator decides what is reached and how everything is called.
func newGenerator(pkg string, m *model) (*generator, error) {
	g := &generator{pkg: pkg, m: m, goName: map[string]string{}, ident: map[string]string{},
		inputs: map[string]bool{}, alias: map[string]string{}}
	g.canonicalScalars()
	uses := map[string]int{}
	seen := map[string]bool{}
	for _, name := range m.Operations.keys {
		op := m.Operations.vals[name]
		for _, r := range []*ref{op.Input, op.Output} {
			if r == nil {
				continue
			}
			uses[r.Shape]++
			if err := g.reach(r.Shape, seen, uses); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for _, name := range m.Shapes.keys {
		if m.Shapes.vals[name].Exception {
			if err := g.reach(name, seen, uses); err != nil {
				return nil, err
			}
		}
	}
	for name := range seen {
		g.names = append(g.names, name)
	}
	sort.Strings(g.names)
	g.nameTypes(uses)
	return g, g.nameShapes()
}

// canonicalScalars makes all scalars that promise nothing the same shape, PlainString and
// its like, names no model has.
func (g *generator) canonicalScalars() {
	plain := map[string]string{}
	for _, name := range g.m.Shapes.keys {
		s := g.m.Shapes.vals[name]
		if k, ok := kinds[s.Type]; ok && k.scalar && s.plain() {
			plain[name] = k.name
		}
	}
	swap := func(r *ref) {
		if r != nil && plain[r.Shape] != "" {
			r.Shape = plain[r.Shape]
		}
	}
	for _, name := range slices.Clone(g.m.Shapes.keys) {
		s := g.m.Shapes.vals[name]
		for k, r := range s.Members.vals {
			swap(&r)
			s.Members.vals[k] = r
		}
		swap(s.Member)
		swap(s.Key)
		swap(s.Value)
	}
	for kind, k := range kinds {
		if k.scalar {
			g.m.Shapes.vals[k.name] = &shape{Type: kind}
		}
	}
}

// plain reports a scalar without constraints of its own.
func (s *shape) plain() bool {
	return s.Min == nil && s.Max == nil && s.Pattern == "" && len(s.Enum) == 0 && s.GoType == "" &&
		s.TimestampFormat == "" && !s.Sensitive
}

// kinds maps the model's types to the schema's kinds and Go's types.
var kinds = map[string]struct {
	name, kind, goType string
	scalar             bool
}{
	"string":    {"PlainString", "wire.String", "string", true},
	"character": {"PlainCharacter", "wire.String", "string", true},
	"integer":   {"PlainInteger", "wire.Integer", "int32", true},
	"long":      {"PlainLong", "wire.Long", "int64", true},
	"double":    {"PlainDouble", "wire.Double", "float64", true},
	"float":     {"PlainFloat", "wire.Double", "float64", true},
	"boolean":   {"PlainBoolean", "wire.Boolean", "bool", true},
	"timestamp": {"PlainTimestamp", "wire.Timestamp", "time.Time", true},
	"blob":      {"PlainBlob", "wire.Blob", "[]byte", true},
	"structure": {"", "wire.Structure", "", false},
	"list":      {"", "wire.List", "", false},
	"map":       {"", "wire.Map", "", false},
}

// reach marks a shape and everything below it.
func (g *generator) reach(name string, seen map[string]bool, uses map[string]int) error {
	if seen[name] {
		return nil
	}
	s := g.m.Shapes.vals[name]
	if s == nil {
		return fmt.Errorf("no shape %s", name)
	}
	if _, ok := kinds[s.Type]; !ok {
		return fmt.Errorf("shape %s has type %q", name, s.Type)
	}
	seen[name] = true
	if s.GoType != "" {
		return nil
	}
	for _, r := range s.refs() {
		uses[r.Shape]++
		if err := g.reach(r.Shape, seen, uses); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// refs lists what a shape refers to.
func (s *shape) refs() []ref {
	var list []ref
	for _, k := range s.members() {
		list = append(list, s.Members.vals[k])
	}
	for _, r := range []*ref{s.Member, s.Key, s.Value} {
		if r != nil {
			list = append(list, *r)
		}
	}
	return list
}

// members names a structure's members in order, those an overlay removed left out.
func (s *shape) members() []string {
	var list []string
	for _, k := range s.Members.keys {
		if r, ok := s.Members.vals[k]; ok && r.Shape != "" {
			list = append(list, k)
		}
	}
	return list
}

// nameTypes gives inputs and outputs their operation's name, unless several share the shape;
// then the shape keeps its own name and the operation's is an alias.
func (g *generator) nameTypes(uses map[string]int) {
	for _, name := range g.names {
		s := g.m.Shapes.vals[name]
		if s.Type == "structure" && s.GoType == "" {
			g.goName[name] = exported(name)
			if s.Exception {
				g.goName[name] += "Detail"
			}
		}
	}
	g.eachBody(func(typeName string, r *ref, _ bool) {
		if r != nil && uses[r.Shape] == 1 {
			g.goName[r.Shape] = typeName
		}
	})
	g.eachBody(func(typeName string, r *ref, isInput bool) {
		if r == nil {
			return
		}
		if g.goName[r.Shape] != typeName {
			g.alias[typeName] = g.goName[r.Shape]
		}
		if isInput {
			g.inputs[g.goName[r.Shape]] = true
		}
	})
}

// eachBody visits every operation's input and output with the type's promised name.
func (g *generator) eachBody(f func(typeName string, r *ref, isInput bool)) {
	for _, name := range g.m.Operations.keys {
		op := g.m.Operations.vals[name]
		f(exported(name)+"Input", op.Input, true)
		f(exported(name)+"Output", op.Output, false)
	}
}

// nameShapes gives every reached shape its constant and refuses two of one name.
func (g *generator) nameShapes() error {
	taken := map[string]string{}
	for _, name := range g.names {
		id := "shape" + exported(name)
		if n := g.goName[name]; n != "" {
			id = "shape" + n
		}
		for taken[id] != "" {
			id += "2"
		}
		taken[id] = name
		g.ident[name] = id
	}
	types := map[string]string{"Service": "", "Client": "", "Unimplemented": "", "API": ""}
	for shape, n := range g.goName {
		if other, ok := types[n]; ok {
			return fmt.Errorf("shapes %q and %q would both be type %s", shape, other, n)
		}
		types[n] = shape
	}
	return nil
}

// goType is the Go type of a use of a shape. Scalars and structures that may be absent are pointers.
func (g *generator) goType(r ref, optional bool) string {
	s := g.m.Shapes.vals[r.Shape]
	star := ""
	if optional {
		star = "*"
	}
	switch {
	case s.GoType != "" && s.Type != "structure":
		return s.GoType
	case s.GoType != "":
		return star + s.GoType
	case s.EventStream:
		return "wire.Events[" + g.goName[r.Shape] + "]"
	case s.Type == "structure":
		return star + g.goName[r.Shape]
	case s.Type == "list":
		return "[]" + g.goType(*s.Member, false)
	case s.Type == "map":
		return "map[string]" + g.goType(*s.Value, false)
	case s.Type == "blob":
		return "[]byte"
	}
	return star + kinds[s.Type].goType
}

func (g *generator) begin() { g.out.Reset() }

func (g *generator) printf(format string, args ...any) { fmt.Fprintf(&g.out, format, args...) }

// finish adds the head of the file and formats it.
func (g *generator) finish() ([]byte, error) {
	body := g.out.String()
	var head strings.Builder
	head.WriteString("// Code generated by cmd/modelgen. DO NOT EDIT.\n\n")
	if strings.HasPrefix(body, "// Package") {
		doc, rest, _ := strings.Cut(body, "\n\n")
		head.WriteString(doc + "\n")
		body = rest
	}
	code := regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAllString(body, "")
	fmt.Fprintf(&head, "package %s\n\nimport (\n", g.pkg)
	for _, group := range [][]string{{"context", "time"}, {"fogbank/aws", "fogbank/wire", "fogbank/wire/attribute"}} {
		for _, path := range group {
			name := path[strings.LastIndex(path, "/")+1:]
			if regexp.MustCompile(`(^|[^\w"./])` + name + `\.[A-Z]`).MatchString(code) {
				fmt.Fprintf(&head, "%q\n", path)
			}
		}
		head.WriteString("\n")
	}
	head.WriteString(")\n\n")
	b, err := format.Source([]byte(head.String() + body))
	if err != nil {
		return []byte(head.String() + body), err
	}
	return bytes.ReplaceAll(b, []byte("import ()\n\n"), nil), nil
}
