package expr

import (
	"strings"
	"unicode/utf16"

	"fogbank/wire/attribute"
)

// Test is a condition or filter bound to a request. The zero Test holds for every item.
type Test struct {
	env
	root *condition
}

// Test binds a condition or filter; a nil text gives the Test that always holds.
func (r *Request) Test(kind Kind, text *string) (Test, error) {
	if text == nil {
		return Test{}, nil
	}
	e, err := r.bind(kind, *text)
	if err != nil {
		return Test{}, err
	}
	t := Test{env: e, root: e.tree.condition}
	return t, t.checkCondition(t.root)
}

// Always reports whether the test holds for every item because there is none.
func (t *Test) Always() bool { return t.root == nil }

// Holds evaluates the test on an item, empty when there is none.
func (t *Test) Holds(item attribute.Item) bool {
	return t.root == nil || t.holds(t.root, item)
}

// Mentions reports whether a path of the test begins with the attribute.
func (t *Test) Mentions(name string) bool {
	return t.root != nil && t.mentions(t.root, name)
}

func (e *env) mentions(c *condition, name string) bool {
	for _, kid := range c.kids {
		if e.mentions(kid, name) {
			return true
		}
	}
	for i := range c.args {
		if e.operandMentions(&c.args[i], name) {
			return true
		}
	}
	return false
}

func (e *env) operandMentions(o *operand, name string) bool {
	if o.kind == pathOperand {
		return e.name(&o.path[0]) == name
	}
	for i := range o.args {
		if e.operandMentions(&o.args[i], name) {
			return true
		}
	}
	return false
}

// lookup follows a path into an item.
func (e *env) lookup(p path, item attribute.Item) (attribute.Value, bool) {
	v, ok := item.Get(e.name(&p[0]))
	for i := 1; ok && i < len(p); i++ {
		v, ok = e.child(v, &p[i])
	}
	return v, ok
}

func (e *env) child(v attribute.Value, s *step) (attribute.Value, bool) {
	if s.index < 0 {
		return v.Map().Get(e.name(s))
	}
	if v.Type() != attribute.TypeL || s.index >= v.Len() {
		return attribute.Value{}, false
	}
	return v.List()[s.index], true
}

// operand evaluates what a condition compares; the zero Value when it is missing.
func (e *env) operand(o *operand, item attribute.Item) attribute.Value {
	switch o.kind {
	case valueOperand:
		return e.values[o.value]
	case sizeOperand:
		v := e.operand(&o.args[0], item)
		switch v.Type() {
		case attribute.TypeNone, attribute.TypeN, attribute.TypeBOOL, attribute.TypeNULL:
			return attribute.Value{}
		case attribute.TypeS:
			return count(units(v.Text()))
		}
		return count(v.Len())
	}
	v, _ := e.lookup(o.path, item)
	return v
}

// units is the length of a text in UTF-16 code units, as DynamoDB's size counts: what is beyond U+FFFF has two.
func units(text string) (n int) {
	for _, r := range text {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

func (e *env) holds(c *condition, item attribute.Item) bool {
	switch c.op {
	case and:
		for _, kid := range c.kids {
			if !e.holds(kid, item) {
				return false
			}
		}
		return true
	case or:
		for _, kid := range c.kids {
			if e.holds(kid, item) {
				return true
			}
		}
		return false
	case not:
		return !e.holds(c.kids[0], item)
	}
	first := e.operand(&c.args[0], item)
	switch c.op {
	case exists:
		return first.Type() != attribute.TypeNone
	case notExists:
		return first.Type() == attribute.TypeNone
	case between:
		return compare(greaterOrEqual, first, e.operand(&c.args[1], item)) && compare(lessOrEqual, first, e.operand(&c.args[2], item))
	case in:
		for i := range c.args[1:] {
			if compare(equal, first, e.operand(&c.args[i+1], item)) {
				return true
			}
		}
		return false
	}
	return compare(c.op, first, e.operand(&c.args[1], item))
}

// compare evaluates an operator of two operands. A missing operand equals nothing, so it differs from everything.
func compare(op operator, a, b attribute.Value) bool {
	if op == notEqual {
		return !compare(equal, a, b)
	}
	if a.Type() == attribute.TypeNone || b.Type() == attribute.TypeNone {
		return false
	}
	switch op {
	case equal:
		return a.Equal(b)
	case typeIs:
		return a.Type().String() == b.Text()
	case beginsWith:
		return a.Type() == b.Type() && isText(a.Type()) && strings.HasPrefix(a.Text(), b.Text())
	case contains:
		if isText(a.Type()) {
			return a.Type() == b.Type() && strings.Contains(a.Text(), b.Text())
		}
		return a.Contains(b)
	}
	order, ok := a.Compare(b)
	if !ok {
		return false
	}
	switch op {
	case less:
		return order < 0
	case lessOrEqual:
		return order <= 0
	case greater:
		return order > 0
	}
	return order >= 0
}
