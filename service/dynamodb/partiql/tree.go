// Package partiql is the part of PartiQL that DynamoDB understands: SELECT, INSERT, UPDATE, DELETE and
// EXISTS, each on one table or index.
//
// Parse turns a statement and its parameters into a tree that holds every value already, so that nobody
// after it deals with question marks. Placeholders writes conditions and changes of the tree in
// DynamoDB's expression language: both languages mean the same by them, and so one evaluator, package expr,
// serves both.
//
// # Limits
//
// 8,192 bytes of text, 32 levels of nesting in values, 100 in conditions, 100 values of IN.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.statements.html
package partiql

import (
	"strconv"

	"fogbank/wire/attribute"
)

// Kind is what a statement does.
type Kind uint8

// The kinds of statements. Exists is the check EXISTS(SELECT …) of a transaction.
const (
	Select Kind = iota
	Insert
	Update
	Delete
	Exists
)

// Statement is a parsed statement. It never changes.
type Statement struct {
	Kind    Kind
	Table   string // a name or an ARN
	Index   string // "" for the table itself
	Columns []Path // of a SELECT; nil for *
	Where   *Condition
	Order   []Order
	Item    attribute.Item // of an INSERT
	Sets    []Set
	Removes []Path
	// Returning is one of ReturnValues: NONE, ALL_OLD, ALL_NEW, UPDATED_OLD, UPDATED_NEW.
	Returning string
}

// Step is one step of a path: a name, or the index of a list.
type Step struct {
	Name  string
	Index int // -1 for a name
}

// Path leads to an attribute or into it.
type Path []Step

// Order is one part of an ORDER BY.
type Order struct {
	Path       Path
	Descending bool
}

// Operator is what a condition says of its kids or arguments.
type Operator uint8

// The operators.
const (
	And Operator = iota
	Or
	Not
	Equal
	NotEqual
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
	Between
	In
	Missing
	HasType
	BeginsWith
	Contains
)

// Condition is a node of a WHERE: kids for AND, OR and NOT, arguments otherwise.
type Condition struct {
	Op   Operator
	Kids []*Condition
	Args []Operand
}

// Operand is a value, a path or the size of what a path leads to.
type Operand struct {
	Path  Path // nil for a value
	Size  bool
	Value attribute.Value
}

// Change is how a SET computes what it assigns.
type Change uint8

// The changes. All but Assign take two arguments.
const (
	Assign Change = iota
	Plus
	Minus
	ListAppend
	SetAdd
	SetDelete
)

// Set is one assignment of an UPDATE.
type Set struct {
	Target Path
	Change Change
	Args   []Operand
}

// Of follows the path into an item.
func (p Path) Of(item attribute.Item) (attribute.Value, bool) {
	v, ok := item.Get(p[0].Name)
	for _, s := range p[1:] {
		switch {
		case !ok:
			return v, false
		case s.Index < 0:
			v, ok = v.Map().Get(s.Name)
		case v.Type() == attribute.TypeL && s.Index < v.Len():
			v = v.List()[s.Index]
		default:
			return v, false
		}
	}
	return v, ok
}

// Equal reports whether both are the same path.
func (p Path) Equal(q Path) bool {
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// Roots returns the attributes a SELECT reads, nil for all.
func (s *Statement) Roots() []string {
	var names []string
	seen := map[string]bool{}
	for _, p := range s.Columns {
		if !seen[p[0].Name] {
			seen[p[0].Name] = true
			names = append(names, p[0].Name)
		}
	}
	return names
}

// Project returns the columns of an item. A column is called what its path ends with; one that
// ends with an index is called by its place, _1 for the first.
func (s *Statement) Project(item attribute.Item) attribute.Item {
	if s.Columns == nil {
		return item
	}
	out := make([]attribute.Attribute, 0, len(s.Columns))
	for i, p := range s.Columns {
		if v, ok := p.Of(item); ok {
			out = append(out, attribute.Attribute{Name: p.column(i), Value: v})
		}
	}
	return attribute.MakeItem(out...)
}

// column is what a SELECT calls the i-th column when it is at the path.
func (p Path) column(i int) string {
	last := p[len(p)-1]
	if last.Index >= 0 {
		return "_" + strconv.Itoa(i+1)
	}
	return last.Name
}

// Conjuncts are the conditions that all must hold: those joined by AND, or the one there is.
func (s *Statement) Conjuncts() []*Condition {
	return s.Where.conjuncts(nil)
}

func (c *Condition) conjuncts(list []*Condition) []*Condition {
	if c == nil {
		return list
	}
	if c.Op != And {
		return append(list, c)
	}
	for _, kid := range c.Kids {
		list = kid.conjuncts(list)
	}
	return list
}

// All joins conditions by AND; nil when there are none.
func All(list []*Condition) *Condition {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return &Condition{Op: And, Kids: list}
}
