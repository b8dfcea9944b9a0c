package expr

import "fogbank/wire/attribute"

// Comparison is one condition of the older parameters Expected, QueryFilter and ScanFilter: an attribute, an
// operator such as "EQ" or "NOT_NULL", and the values it takes.
type Comparison struct {
	Name     string
	Operator string
	Values   []attribute.Value
}

var comparisons = map[string]operator{"EQ": equal, "NE": notEqual, "LT": less, "LE": lessOrEqual, "GT": greater, "GE": greaterOrEqual,
	"NOT_NULL": exists, "NULL": notExists, "CONTAINS": contains, "NOT_CONTAINS": contains, "BEGINS_WITH": beginsWith, "IN": in, "BETWEEN": between}

// Operands returns how many values the operator takes, -1 for any number above none; ok is false when there is no such operator.
func Operands(comparison string) (n int, ok bool) {
	op, ok := comparisons[comparison]
	switch op {
	case exists, notExists:
		return 0, ok
	case between:
		return 2, ok
	case in:
		return -1, ok
	}
	return 1, ok
}

// KeyComparison returns the KeyTest of a comparison, if keys may be compared so.
func KeyComparison(c Comparison) (t KeyTest, ok bool) {
	op, known := comparisons[c.Operator]
	switch {
	case !known || len(c.Values) == 0:
		return t, false
	case op == equal || op == less || op == lessOrEqual || op == greater || op == greaterOrEqual || op == beginsWith:
		return KeyTest{Name: c.Name, Op: op, Value: c.Values[0]}, len(c.Values) == 1
	case op == between && len(c.Values) == 2:
		return KeyTest{Name: c.Name, Op: op, Value: c.Values[0], High: c.Values[1]}, true
	}
	return t, false
}

// Compare returns the Test that all comparisons hold, or with any that at least one does. Their operators
// exist and have the values they take.
func Compare(list []Comparison, any bool) Test {
	if len(list) == 0 {
		return Test{}
	}
	root := &condition{op: and}
	if any {
		root.op = or
	}
	var t Test
	for _, c := range list {
		n := &condition{op: comparisons[c.Operator], args: []operand{{kind: pathOperand, path: path{{name: c.Name, ref: -1, index: -1}}}}}
		for _, v := range c.Values {
			n.args = append(n.args, operand{kind: valueOperand, value: len(t.values)})
			t.values = append(t.values, v)
		}
		if c.Operator == "NOT_CONTAINS" {
			n = &condition{op: not, kids: []*condition{n}}
		}
		root.kids = append(root.kids, n)
	}
	t.root = root
	return t
}

// Edit is one entry of the older parameter AttributeUpdates. A DELETE without a value removes the attribute.
type Edit struct {
	Name   string
	Action string // PUT, ADD or DELETE
	Value  attribute.Value
}

// Edits returns the Change that makes all edits.
func Edits(list []Edit) Change {
	var c Change
	for _, e := range list {
		a := action{target: path{{name: e.Name, ref: -1, index: -1}}, value: operand{kind: valueOperand, value: len(c.values)}}
		c.values = append(c.values, e.Value)
		switch {
		case e.Action == "ADD":
			a.verb = add
		case e.Action == "DELETE" && e.Value.Type() == attribute.TypeNone:
			a.verb = remove
		case e.Action == "DELETE":
			a.verb = del
		}
		c.actions = append(c.actions, a)
	}
	return c
}

// OnlyRemoves reports whether the change has actions and none could make an attribute: on an item that does
// not exist it then makes no item.
func (c *Change) OnlyRemoves() bool {
	for i := range c.actions {
		if v := c.actions[i].verb; v == set || v == add {
			return false
		}
	}
	return len(c.actions) > 0
}
