package main

import (
	"fmt"
	"strings"
)

// operations writes the API, the operations, the interface and its two implementations.
func (g *generator) operations() error {
	g.printf("// Package %s is the API of %s as AWS models it: types, errors, schema and operations.\n\n", g.pkg, g.m.Metadata.ServiceID)
	if err := g.api(); err != nil {
		return err
	}
	g.printf("// Service is the API as Go methods: what the server implements and Client calls.\ntype Service interface {\n")
	for _, name := range g.m.Operations.keys {
		g.printf("%s(ctx context.Context, in *%[1]sInput) (*%[1]sOutput, error)\n", exported(name))
	}
	g.printf("}\n\n")
	g.printf("// Unimplemented answers every operation with 501 NotImplemented; a server embeds it.\ntype Unimplemented struct{}\n\n")
	invoke := g.invokeField()
	g.printf("// Client calls the operations through %s.\ntype Client struct{ %[1]s wire.Invoker }\n\n", invoke)
	g.printf("var (\n_ Service = Unimplemented{}\n_ Service = Client{}\n)\n\n")
	for _, name := range g.m.Operations.keys {
		n := exported(name)
		g.printf("// %s is not implemented.\n", n)
		g.printf("func (Unimplemented) %s(context.Context, *%[1]sInput) (*%[1]sOutput, error) {\n", n)
		g.printf("return nil, wire.NotImplemented(%q, %q)\n}\n\n", g.pkg, name)
	}
	for _, name := range g.m.Operations.keys {
		n := exported(name)
		g.printf("// %s calls the operation of that name.\n", n)
		g.printf("func (c Client) %s(ctx context.Context, in *%[1]sInput) (*%[1]sOutput, error) {\n", n)
		g.printf("return wire.Invoke[*%sOutput](ctx, c.%s, op%[1]s, in)\n}\n\n", n, invoke)
	}
	for _, name := range g.m.Operations.keys {
		g.operation(name)
	}
	return nil
}

// invokeField is the name of the Client's one field: Invoke, or Invoker beside an
// operation called Invoke.
func (g *generator) invokeField() string {
	if _, ok := g.m.Operations.vals["Invoke"]; ok {
		return "Invoker"
	}
	return "Invoke"
}

var protocols = map[string]string{
	"json1.0": "wire.JSON10", "json1.1": "wire.JSON11", "query": "wire.Query", "rest-json": "wire.RESTJSON",
}

// protocols lists what the service speaks, from the overlay or else the model.
func (g *generator) protocols() ([]string, error) {
	names := g.m.Fogbank.Protocols
	if len(names) == 0 {
		p := g.m.Metadata.Protocol
		if p == "json" {
			p += g.m.Metadata.JSONVersion
		}
		names = []string{p}
	}
	var list []string
	for _, n := range names {
		if protocols[n] == "" {
			return nil, fmt.Errorf("protocol %q is not known", n)
		}
		list = append(list, protocols[n])
	}
	return list, nil
}

// api writes the service's own row.
func (g *generator) api() error {
	speaks, err := g.protocols()
	if err != nil {
		return err
	}
	m, f := g.m.Metadata, g.m.Fogbank
	signing := first(m.SigningName, m.EndpointPrefix)
	g.printf("// API describes the service.\nvar API = wire.NewAPI(wire.API{\n")
	g.printf("Name: %q, ID: %q, Endpoint: %q, Signing: %q, Version: %q,\n", g.pkg, m.ServiceID, m.EndpointPrefix, signing, m.APIVersion)
	g.printf("Protocols: []wire.Protocol{%s},\n", strings.Join(speaks, ", "))
	for _, s := range []struct{ field, value string }{
		{"TargetPrefix", m.TargetPrefix}, {"Namespace", first(f.Namespace, m.XMLNamespace)},
		{"ErrorPrefix", f.ErrorPrefix}, {"CommonPrefix", f.CommonPrefix},
		{"Invalid", f.Invalid}, {"Missing", f.Missing}, {"MissingText", f.MissingText}, {"Malformed", f.Malformed},
	} {
		if s.value != "" {
			g.printf("%s: %q,\n", s.field, s.value)
		}
	}
	if f.Checksum {
		g.printf("Checksum: true,\n")
	}
	g.printf("Errors: errorTable,\nOperations: []*wire.Operation{\n")
	for _, name := range g.m.Operations.keys {
		g.printf("op%s,\n", exported(name))
	}
	g.printf("},\n})\n\n")
	return nil
}

// operation writes one row.
func (g *generator) operation(name string) {
	op := g.m.Operations.vals[name]
	n := exported(name)
	action := op.IAMAction
	if action == "" {
		action = first(g.m.Fogbank.ActionPrefix, g.pkg) + ":" + name
	}
	status := op.HTTP.ResponseCode
	if status == 0 {
		status = 200
	}
	g.printf("var op%s = &wire.Operation{\n", n)
	g.printf("Name: %q, Action: %q, Method: %q, Path: %q, Status: %d,\n", name, action, op.HTTP.Method, op.HTTP.RequestURI, status)
	g.printf("Input: &shapes[%s], Output: &shapes[%s],\n", g.bodyIdent(op.Input, n+"Input"), g.bodyIdent(op.Output, n+"Output"))
	g.printf("Call: func(impl any, ctx context.Context, in any) (any, error) {\n")
	g.printf("return impl.(Service).%s(ctx, in.(*%[1]sInput))\n},\n", n)
	g.printf("}\n\n")
}

func (g *generator) bodyIdent(r *ref, typeName string) string {
	if r == nil {
		return "shape" + typeName
	}
	return g.ident[r.Shape]
}

// first returns the first that is not empty.
func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
