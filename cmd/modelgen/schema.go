package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// schema writes the table of shapes the codecs follow.
func (g *generator) schema() error {
	g.printf("const (\n")
	first := true
	each := func(id string) {
		if first {
			g.printf("%s = iota\n", id)
			first = false
			return
		}
		g.printf("%s\n", id)
	}
	for _, name := range g.names {
		if g.inSchema(name) {
			each(g.ident[name])
		}
	}
	g.eachBody(func(typeName string, r *ref, _ bool) {
		if r == nil {
			each("shape" + typeName)
		}
	})
	g.printf(")\n\n")
	g.printf("// shapes is the schema; shapes refer to each other by their place in it.\n")
	g.printf("var shapes = wire.Link([]wire.Shape{\n")
	for _, name := range g.names {
		if !g.inSchema(name) {
			continue
		}
		if err := g.shape(name); err != nil {
			return err
		}
	}
	g.eachBody(func(typeName string, r *ref, _ bool) {
		if r == nil {
			g.printf("shape%s: {Name: %q, Kind: wire.Structure, Type: wire.StructureOf[%[1]s](), Nothing: true},\n", typeName, typeName)
		}
	})
	g.printf("})\n")
	return nil
}

// inSchema leaves out errors that have nothing but a message.
func (g *generator) inSchema(name string) bool {
	return !g.m.Shapes.vals[name].Exception || g.fieldsOf(name) != nil
}

func (g *generator) shape(name string) error {
	s := g.m.Shapes.vals[name]
	k := kinds[s.Type]
	label := strings.TrimPrefix(name, "Plain")
	if n := g.goName[name]; n != "" {
		label = n
	}
	g.printf("%s: {Name: %q, Kind: ", g.ident[name], label)
	switch {
	case s.GoType != "":
		g.printf("wire.Custom, Type: wire.CustomOf[%s](),", s.GoType)
	case s.Type == "structure":
		of := "StructureOf"
		if s.EventStream {
			of = "EventsOf"
		}
		g.printf("%s, Type: wire.%s[%s](),", k.kind, of, g.goName[name])
		if s.Payload != "" {
			g.printf("Payload: %q,", s.Payload)
		}
		if s.Union {
			g.printf("Union: true,")
		}
		if s.Exception {
			g.printf("Message: %q,", g.messageName(name))
		}
		g.members(name)
	case s.Type == "list":
		g.printf("%s, Type: wire.ListOf[%s](), Elem: wire.Ref{%s},", k.kind, g.goType(*s.Member, false), g.ref(*s.Member))
	case s.Type == "map":
		g.printf("%s, Type: wire.MapOf[%s](), Key: wire.Ref{%s}, Elem: wire.Ref{%s},", k.kind,
			g.goType(*s.Value, false), g.ref(*s.Key), g.ref(*s.Value))
	default:
		g.printf("%s,", k.kind)
	}
	if err := g.constraints(name, s); err != nil {
		return err
	}
	g.printf("},\n")
	return nil
}

// constraints writes what a shape demands of its values.
func (g *generator) constraints(name string, s *shape) error {
	if s.Flattened {
		g.printf("Flat: true,")
	}
	if f := timeFormats[s.TimestampFormat]; f != "" {
		g.printf("Format: %s,", f)
	}
	if s.Sensitive {
		g.printf("Sensitive: true,")
	}
	if s.Unchecked {
		return nil
	}
	for _, b := range []struct {
		name string
		v    *float64
	}{{"Min", s.Min}, {"Max", s.Max}} {
		if b.v == nil {
			continue
		}
		if *b.v != float64(int64(*b.v)) {
			return fmt.Errorf("%s: a bound of %v is not whole", name, *b.v)
		}
		g.printf("%s: wire.Bound(%d),", b.name, int64(*b.v))
	}
	if len(s.Enum) > 0 && len(s.Enum) <= maxEnum {
		g.printf("Enum: %#v,", s.Enum)
	}
	if s.Pattern != "" {
		if re := translate(first(s.Regexp, s.Pattern)); re != "" {
			g.printf("Pattern: wire.Match(%s, %s),", quote(s.Pattern), quote(re))
		} else {
			fmt.Fprintf(os.Stderr, "modelgen: %s.%s: pattern left to the service: %s\n", g.pkg, name, s.Pattern)
		}
	}
	return nil
}

// maxEnum is the size above which an enumeration is not checked here.
const maxEnum = 400

// quote writes a Go string, raw where that reads better.
func quote(s string) string {
	if strings.ContainsAny(s, "`\n\r") {
		return fmt.Sprintf("%q", s)
	}
	return "`" + s + "`"
}

var timeFormats = map[string]string{
	"iso8601": "wire.ISO8601", "unixTimestamp": "wire.UnixSeconds", "rfc822": "wire.RFC822",
}

var locations = map[string]string{
	"header": "wire.InHeader", "headers": "wire.InHeaders", "querystring": "wire.InQuery",
	"uri": "wire.InPath", "statusCode": "wire.InStatus",
}

// messageName is how an error's message is called on the wire in JSON.
func (g *generator) messageName(name string) string {
	s := g.m.Shapes.vals[name]
	for _, k := range s.members() {
		if isMessage(k) {
			if l := s.Members.vals[k].LocationName; l != "" {
				return l
			}
			return k
		}
	}
	return "message"
}

func (g *generator) members(name string) {
	s := g.m.Shapes.vals[name]
	g.printf("Members: []wire.Member{\n")
	for _, k := range g.fieldsOf(name) {
		r := s.Members.vals[k]
		g.printf("{Name: %q, Ref: wire.Ref{%s}", k, g.ref(r))
		if slices.Contains(s.Required, k) {
			g.printf(", Required: true")
		}
		if l := locations[r.Location]; l != "" {
			g.printf(", In: %s", l)
		}
		if r.JSONValue {
			g.printf(", JSONValue: true")
		}
		if r.Unchecked {
			g.printf(", Unchecked: true")
		}
		if r.EventPayload {
			g.printf(", Whole: true")
		}
		if g.m.Shapes.vals[r.Shape].EventStream {
			g.printf(", Events: true")
		}
		g.printf("},\n")
	}
	g.printf("},")
}

// ref writes the fields of a wire.Ref.
func (g *generator) ref(r ref) string {
	list := []string{"At: " + g.ident[r.Shape]}
	if r.LocationName != "" {
		list = append(list, fmt.Sprintf("Wire: %q", r.LocationName))
	}
	if r.QueryName != "" {
		list = append(list, fmt.Sprintf("Query: %q", r.QueryName))
	}
	if r.Flattened {
		list = append(list, "Flat: true")
	}
	if f := timeFormats[r.TimestampFormat]; f != "" {
		list = append(list, "Format: "+f)
	}
	return strings.Join(list, ", ")
}
