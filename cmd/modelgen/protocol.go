package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// suite is one group of AWS's protocol tests: a small model and cases for it.
type suite struct {
	Description string            `json:"description"`
	Shapes      ordered[*shape]   `json:"shapes"`
	Cases       []json.RawMessage `json:"cases"`
}

// protocolCase is one test: params or result are the value, the rest its wire form.
type protocolCase struct {
	Given struct {
		HTTP struct {
			Method       string `json:"method"`
			RequestURI   string `json:"requestUri"`
			ResponseCode int    `json:"responseCode"`
		} `json:"http"`
		Input  *ref `json:"input"`
		Output *ref `json:"output"`
	} `json:"given"`
	Params     json.RawMessage `json:"params"`
	Result     json.RawMessage `json:"result"`
	Serialized struct {
		URI     string            `json:"uri"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
	} `json:"serialized"`
	Response struct {
		StatusCode int               `json:"status_code"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
	} `json:"response"`
}

// protocolTests adds AWS's own tests of the protocols, as Go, to package wire's tests.
func protocolTests(dir string, files map[string][]byte) error {
	m := &model{}
	m.Shapes.vals = map[string]*shape{}
	m.Operations.vals = map[string]operation{}
	var cases bytes.Buffer
	for _, direction := range []string{"input", "output"} {
		for _, protocol := range []string{"json", "query", "rest-json"} {
			b, err := os.ReadFile(filepath.Join(dir, "protocol_tests", direction, protocol+".json"))
			if err != nil {
				return err
			}
			var suites []suite
			if err := json.Unmarshal(b, &suites); err != nil {
				return fmt.Errorf("%s %s: %w", direction, protocol, err)
			}
			for i, s := range suites {
				prefix := exported(strings.ReplaceAll(protocol, "rest-json", "rest")) + exported(direction) + fmt.Sprint(i)
				if err := m.addSuite(&cases, prefix, protocol, s); err != nil {
					return fmt.Errorf("%s %s %s: %w", direction, protocol, s.Description, err)
				}
			}
		}
	}
	g, err := newGenerator("wire_test", m)
	if err != nil {
		return err
	}
	g.begin()
	if err := g.types(); err != nil {
		return err
	}
	if err := g.schema(); err != nil {
		return err
	}
	g.printf("\n// protocolCases are AWS's own tests of its protocols, from github.com/aws/aws-sdk-go (Apache-2.0).\n")
	g.printf("var protocolCases = []protocolCase{\n%s}\n\n", g.operationsFor(cases.String()))
	files["wire/protocol_gen_test.go"], err = g.finish()
	return err
}

// addSuite adds a suite's shapes, renamed to be its own, and its cases.
func (m *model) addSuite(out *bytes.Buffer, prefix, protocol string, s suite) error {
	rename := func(r *ref) {
		if r != nil {
			r.Shape = prefix + r.Shape
		}
	}
	for _, name := range s.Shapes.keys {
		sh := s.Shapes.vals[name]
		for k, r := range sh.Members.vals {
			if target := s.Shapes.vals[r.Shape]; target != nil && r.Location == "" && target.Location != "" {
				r.Location, r.LocationName = target.Location, first(r.LocationName, target.LocationName)
			}
			rename(&r)
			sh.Members.vals[k] = r
		}
		rename(sh.Member)
		rename(sh.Key)
		rename(sh.Value)
		if sh.Exception || sh.Type == "" {
			continue
		}
		m.Shapes.keys = append(m.Shapes.keys, prefix+name)
		m.Shapes.vals[prefix+name] = sh
	}
	for i, raw := range s.Cases {
		var c protocolCase
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		rename(c.Given.Input)
		rename(c.Given.Output)
		if err := m.addCase(out, fmt.Sprintf("%sCase%d", prefix, i), protocol, s.Description, c); err != nil {
			return err
		}
	}
	return nil
}

// addCase adds an operation and a row of the table. A shape is marked in the row by «name»,
// to be replaced by its constant when that is known.
func (m *model) addCase(out *bytes.Buffer, name, protocol, description string, c protocolCase) error {
	for _, r := range []**ref{&c.Given.Input, &c.Given.Output} {
		if *r == nil {
			continue
		}
		s := m.Shapes.vals[(*r).Shape]
		if s == nil {
			*r = nil
			continue
		}
		s.Payload = first(s.Payload, (*r).Payload)
	}
	op := operation{Input: c.Given.Input, Output: c.Given.Output}
	m.Operations.keys = append(m.Operations.keys, name)
	m.Operations.vals[name] = op
	body := c.Given.Input
	value := c.Params
	if body == nil {
		body, value = c.Given.Output, c.Result
	}
	if body != nil {
		v, err := m.normalise(*body, value, false)
		if err != nil {
			return err
		}
		value = v
	}
	mark := func(r *ref, kind string) string {
		if r == nil {
			return "shape" + name + kind
		}
		return "«" + r.Shape + "»"
	}
	method, status := first(c.Given.HTTP.Method, "POST"), c.Given.HTTP.ResponseCode
	if status == 0 {
		status = 200
	}
	fmt.Fprintf(out, "{name: %q, protocol: %s, op: &wire.Operation{Name: \"OperationName\", Method: %q, Path: %q, Status: %d, Input: &shapes[%s], Output: &shapes[%s]},\n",
		name+" "+description, map[string]string{"json": "wire.JSON11", "query": "wire.Query", "rest-json": "wire.RESTJSON"}[protocol],
		method, first(c.Given.HTTP.RequestURI, "/"), status, mark(c.Given.Input, "Input"), mark(c.Given.Output, "Output"))
	fmt.Fprintf(out, "value: %s, uri: %q, headers: %#v, body: %s},\n", quote(string(value)), c.Serialized.URI,
		firstMap(c.Serialized.Headers, c.Response.Headers), quote(first(c.Serialized.Body, c.Response.Body)))
	return nil
}

func firstMap(a, b map[string]string) map[string]string {
	if len(a) > 0 {
		return a
	}
	return b
}

// normalise rewrites a value as the tests write it (blobs as text, JSON values as JSON) into
// the form of wire.ParseJSON: base64, text, and no nulls.
func (m *model) normalise(r ref, value json.RawMessage, payload bool) (json.RawMessage, error) {
	s := m.Shapes.vals[r.Shape]
	if s == nil || len(value) == 0 {
		return value, nil
	}
	switch {
	case r.JSONValue:
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return nil, err
		}
		return json.Marshal(compact.String())
	case s.Type == "blob":
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return nil, err
		}
		if payload && json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
		return json.Marshal(base64.StdEncoding.EncodeToString([]byte(text)))
	case s.Type == "structure" || s.Type == "map":
		return m.normaliseObject(s, value)
	case s.Type == "list":
		var list, kept []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, err
		}
		kept = []json.RawMessage{}
		for _, e := range list {
			v, err := m.normalise(*s.Member, e, false)
			if err != nil {
				return nil, err
			}
			kept = append(kept, v)
		}
		return json.Marshal(kept)
	}
	return value, nil
}

func (m *model) normaliseObject(s *shape, value json.RawMessage) (json.RawMessage, error) {
	var o ordered[json.RawMessage]
	if err := json.Unmarshal(value, &o); err != nil {
		return nil, err
	}
	for _, k := range o.keys {
		if string(o.vals[k]) == "null" {
			delete(o.vals, k)
			continue
		}
		r := s.Members.vals[k]
		if s.Type == "map" {
			r = *s.Value
		}
		v, err := m.normalise(r, o.vals[k], s.Payload == k)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		o.vals[k] = v
	}
	return o.bytes(), nil
}

// operationsFor replaces the marks of shapes by their constants.
func (g *generator) operationsFor(cases string) string {
	var pairs []string
	for name, id := range g.ident {
		pairs = append(pairs, "«"+name+"»", id)
	}
	return strings.NewReplacer(pairs...).Replace(cases)
}
