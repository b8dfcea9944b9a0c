package main

import "slices"

// errors writes a constructor for every modelled error.
func (g *generator) errors() error {
	g.printf("// errorTable lists the errors the service has a shape or a code for.\nvar errorTable = []*wire.ErrorShape{\n")
	names := g.errorNames()
	for _, name := range names {
		g.printf("err%s,\n", exported(name))
	}
	g.printf("}\n\n")
	if len(names) == 0 {
		return nil
	}
	g.printf("var (\n")
	for _, name := range names {
		g.errorRow(name)
	}
	g.printf(")\n\n")
	for _, name := range names {
		n := exported(name)
		g.printf("// %s is an error of the service; the message is format filled in as by fmt.Sprintf.\n", n)
		g.printf("func %s(format string, args ...any) *aws.Error {\n", n)
		if g.m.Fogbank.ErrorType && slices.Contains(g.fieldsOf(name), "Type") {
			fault := "User"
			if g.status(name) >= 500 {
				fault = "Service"
			}
			g.printf("e := err%s.New(format, args...)\ne.Detail = &%sDetail{Type: new(%q)}\nreturn e\n}\n\n", n, n, fault)
			continue
		}
		g.printf("return err%s.New(format, args...)\n}\n\n", n)
	}
	return nil
}

func (g *generator) errorNames() []string {
	var list []string
	for _, name := range g.names {
		if g.m.Shapes.vals[name].Exception {
			list = append(list, name)
		}
	}
	return list
}

// status is an error's HTTP status: as modelled, else by whose fault it is.
func (g *generator) status(name string) int {
	s := g.m.Shapes.vals[name]
	switch {
	case s.Error.HTTPStatusCode != 0:
		return s.Error.HTTPStatusCode
	case s.Fault:
		return 500
	}
	return 400
}

func (g *generator) errorRow(name string) {
	s := g.m.Shapes.vals[name]
	g.printf("err%s = &wire.ErrorShape{Code: %q, Status: %d, Message: %q", exported(name), name, g.status(name), g.messageName(name))
	if s.Error.Code != "" && s.Error.Code != name {
		g.printf(", Query: %q", s.Error.Code)
	}
	g.printf("}\n")
}
