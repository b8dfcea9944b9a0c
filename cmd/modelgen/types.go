package main

import (
	"slices"
)

// types writes the structures, their getters and the enumerations' values.
func (g *generator) types() error {
	g.eachBody(func(typeName string, r *ref, _ bool) {
		switch {
		case r == nil:
			g.printf("// %s has no members.\ntype %s struct{}\n\n", typeName, typeName)
		case g.alias[typeName] != "":
			g.printf("// %s is shared with other uses of its shape.\ntype %s = %s\n\n", typeName, typeName, g.alias[typeName])
		}
	})
	for _, name := range g.names {
		if g.goName[name] != "" && g.fieldsOf(name) != nil {
			g.structure(name)
		}
	}
	return g.enums()
}

// fieldsOf lists the members a structure has as Go fields. An error's message is
// not one of them, and an error with nothing else has no structure: nil.
func (g *generator) fieldsOf(name string) []string {
	s := g.m.Shapes.vals[name]
	if !s.Exception {
		return append([]string{}, s.members()...)
	}
	var list []string
	for _, k := range s.members() {
		if !isMessage(k) {
			list = append(list, k)
		}
	}
	return list
}

func isMessage(member string) bool { return member == "message" || member == "Message" }

func (g *generator) structure(name string) {
	s := g.m.Shapes.vals[name]
	typeName := g.goName[name]
	switch {
	case s.Exception:
		g.printf("// %s holds the members of %s besides its message, for aws.Error.Detail.\n", typeName, name)
	case exported(name) != typeName:
		g.printf("// %s is the model's %s.\n", typeName, name)
	case s.Union:
		g.printf("// %s is a union: exactly one member is set.\n", typeName)
	default:
		g.printf("// %s is a structure of the model.\n", typeName)
	}
	g.printf("type %s struct {\n", typeName)
	for _, k := range g.fieldsOf(name) {
		r := s.Members.vals[k]
		g.printf("%s %s\n", exported(k), g.goType(r, g.optional(name, k)))
	}
	g.printf("}\n\n")
	for _, k := range g.fieldsOf(name) {
		g.getter(typeName, k, s.Members.vals[k], g.optional(name, k))
	}
	if s.Exception {
		g.printf("// WireShape describes the members for the codecs.\n")
		g.printf("func (*%s) WireShape() *wire.Shape { return &shapes[%s] }\n\n", typeName, g.ident[name])
	}
}

// optional reports whether a member may be absent. A structure that contains
// itself is always a pointer.
func (g *generator) optional(name, member string) bool {
	s := g.m.Shapes.vals[name]
	if !slices.Contains(s.Required, member) {
		return true
	}
	return g.contains(s.Members.vals[member].Shape, name, map[string]bool{})
}

// contains reports whether required members lead from structure name to target.
func (g *generator) contains(name, target string, seen map[string]bool) bool {
	if name == target {
		return true
	}
	s := g.m.Shapes.vals[name]
	if s.Type != "structure" || s.GoType != "" || seen[name] {
		return false
	}
	seen[name] = true
	for _, k := range s.Required {
		if r, ok := s.Members.vals[k]; ok && g.contains(r.Shape, target, seen) {
			return true
		}
	}
	return false
}

// getter writes a nil-safe reader of a scalar.
func (g *generator) getter(typeName, member string, r ref, optional bool) {
	k := kinds[g.m.Shapes.vals[r.Shape].Type]
	if !k.scalar || k.goType == "[]byte" || !optional && !g.inputs[typeName] {
		return
	}
	field := exported(member)
	g.printf("// Get%s returns %s, or its zero value when absent.\n", field, field)
	g.printf("func (x *%s) Get%s() (v %s) {\n", typeName, field, k.goType)
	if optional {
		g.printf("if x != nil && x.%s != nil {\nreturn *x.%s\n}\nreturn v\n}\n\n", field, field)
		return
	}
	g.printf("if x != nil {\nreturn x.%s\n}\nreturn v\n}\n\n", field)
}

// enums writes a constant for every value of every reached enumeration.
func (g *generator) enums() error {
	taken := map[string]bool{}
	for _, n := range g.goName {
		taken[n] = true
	}
	for n := range g.alias {
		taken[n] = true
	}
	for _, name := range g.m.Shapes.keys {
		if s := g.m.Shapes.vals[name]; s != nil && s.Exception {
			taken[exported(name)] = true
		}
	}
	for _, name := range g.names {
		s := g.m.Shapes.vals[name]
		if len(s.Enum) == 0 {
			continue
		}
		g.printf("// The values of %s.\nconst (\n", name)
		for _, v := range s.Enum {
			id := enumName(name, v)
			for taken[id] {
				id += "Value"
			}
			taken[id] = true
			g.printf("%s = %q\n", id, v)
		}
		g.printf(")\n\n")
	}
	return nil
}
