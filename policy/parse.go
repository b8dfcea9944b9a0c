package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error says why a document is not a policy, in the words of IAM's MalformedPolicyDocument.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func malformed(format string, args ...any) error {
	return &Error{Reason: fmt.Sprintf(format, args...)}
}

// The reasons IAM gives for what is not JSON and for what is JSON but not a policy.
var (
	errJSON   = &Error{Reason: "This policy contains invalid Json"}
	errSyntax = &Error{Reason: "Syntax errors in policy."}
)

// Document is a parsed policy. It is immutable but for Name.
type Document struct {
	// Name tells where the document is from, for explanations: a policy's ARN or
	// name. Whoever parses sets it before sharing the document.
	Name string

	id         string
	version    string
	statements []statement
}

// statement is one rule of a document.
type statement struct {
	doc        *Document
	sid        string
	label      string // the Sid, or "Statement[2]"
	deny       bool
	principals *principals // nil: no Principal element
	actions    []pattern
	notActions bool
	resources  []pattern
	// hasResources tells a missing Resource from an empty list; notResources inverts it.
	hasResources, notResources bool
	conditions                 []condition
}

// Version returns the document's policy language version: 2008-10-17 when it names none.
func (d *Document) Version() string { return d.version }

// Parse reads a policy document. The error, an *Error, says what is wrong with
// it. Grammar that depends on what the policy is for is left to Check.
func Parse(text string) (*Document, error) {
	if len(text) > MaxDocumentBytes {
		return nil, malformed("The policy document is longer than %d bytes.", MaxDocumentBytes)
	}
	if !utf8.ValidString(text) {
		return nil, errJSON
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := value(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	root, ok := v.(object)
	if !ok {
		return nil, errSyntax
	}
	d := &Document{version: "2008-10-17"}
	if err := d.read(root); err != nil {
		return nil, err
	}
	return d, nil
}

// ParseAll parses each of texts, as Request.Session wants them; nil for none.
func ParseAll(texts []string) ([]*Document, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	docs := make([]*Document, len(texts))
	for i, t := range texts {
		var err error
		if docs[i], err = Parse(t); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// member is one name and value of a JSON object; object keeps them in order.
type member struct {
	name  string
	value any
}

type object []member

// maxDepth bounds nesting: document, statements, statement, condition, operator, list.
const maxDepth = 6

// value reads one JSON value: an object, []any, string, json.Number, bool or nil. Names may not repeat.
func value(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, errJSON
	}
	d, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxDepth {
		return nil, errSyntax
	}
	if d == '[' {
		list := []any{}
		for dec.More() {
			v, err := value(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, end(dec)
	}
	var o object
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errJSON
		}
		k := name.(string)
		if seen[k] {
			return nil, errSyntax
		}
		seen[k] = true
		v, err := value(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{k, v})
	}
	return o, end(dec)
}

// end reads the closing bracket.
func end(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return errJSON
	}
	return nil
}

func (d *Document) read(root object) error {
	var list any
	for _, m := range root {
		switch m.name {
		case "Version":
			v, _ := m.value.(string)
			if v != "2012-10-17" && v != "2008-10-17" {
				return errSyntax
			}
			d.version = v
		case "Id":
			id, ok := m.value.(string)
			if !ok {
				return errSyntax
			}
			d.id = id
		case "Statement":
			list = m.value
		default:
			return errSyntax
		}
	}
	var rows []any
	switch s := list.(type) {
	case object:
		rows = []any{s}
	case []any:
		rows = s
	default:
		return errSyntax
	}
	sids := map[string]bool{}
	d.statements = make([]statement, len(rows))
	for i, row := range rows {
		o, ok := row.(object)
		if !ok {
			return errSyntax
		}
		st := &d.statements[i]
		st.doc = d
		if err := st.read(o, d.version == "2012-10-17"); err != nil {
			return err
		}
		if st.label = st.sid; st.sid == "" {
			st.label = "Statement[" + strconv.Itoa(i) + "]"
		} else if sids[st.sid] {
			return malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[st.sid] = true
	}
	return nil
}

// read fills st from its JSON form.
func (st *statement) read(o object, variables bool) error {
	effect := ""
	for _, m := range o {
		var err error
		switch m.name {
		case "Sid":
			var ok bool
			if st.sid, ok = m.value.(string); !ok {
				err = errSyntax
			}
		case "Effect":
			effect, _ = m.value.(string)
		case "Principal", "NotPrincipal":
			if st.principals != nil {
				return errSyntax
			}
			st.principals, err = readPrincipals(m.value, m.name == "NotPrincipal")
		case "Action", "NotAction":
			if st.actions != nil {
				return errSyntax
			}
			st.notActions = m.name == "NotAction"
			st.actions, err = patterns(m.value, actionName, false)
		case "Resource", "NotResource":
			if st.hasResources {
				return errSyntax
			}
			st.hasResources, st.notResources = true, m.name == "NotResource"
			st.resources, err = patterns(m.value, resourceName, variables)
		case "Condition":
			st.conditions, err = readConditions(m.value, variables)
		default:
			err = errSyntax
		}
		if err != nil {
			return err
		}
	}
	if effect != "Allow" && effect != "Deny" {
		return errSyntax
	}
	st.deny = effect == "Deny"
	return nil
}

// texts reads a string or a list of strings.
func texts(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, errSyntax
			}
			list[i] = s
		}
		return list, nil
	}
	return nil, errSyntax
}

// patterns reads a string or a list of strings as patterns; never nil.
func patterns(v any, s syntax, variables bool) ([]pattern, error) {
	list, err := texts(v)
	if err != nil {
		return nil, err
	}
	ps := make([]pattern, len(list))
	for i, t := range list {
		ps[i] = compile(t, s, variables)
	}
	return ps, nil
}

// Compact returns text without the blanks between its tokens, the form whose
// length IAM's quotas count; text that is not JSON comes back as it is.
func Compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}
