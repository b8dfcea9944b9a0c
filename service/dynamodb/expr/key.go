package expr

import "fogbank/wire/attribute"

// KeyOp is the comparison of a key condition.
type KeyOp = operator

// The comparisons key conditions allow.
const (
	Equal          = equal
	Less           = less
	LessOrEqual    = lessOrEqual
	Greater        = greater
	GreaterOrEqual = greaterOrEqual
	Between        = between
	BeginsWith     = beginsWith
)

// KeyTest is one condition on a key attribute. High is set for Between only.
type KeyTest struct {
	Name  string
	Op    KeyOp
	Value attribute.Value
	High  attribute.Value
}

// Holds reports whether a value of the key attribute passes.
func (k *KeyTest) Holds(v attribute.Value) bool {
	if k.Op == between {
		return compare(greaterOrEqual, v, k.Value) && compare(lessOrEqual, v, k.High)
	}
	return compare(k.Op, v, k.Value)
}

// Keys binds a KeyConditionExpression and takes it apart: conditions joined by AND, each comparing one
// top-level attribute with values. Whether they suit the table's schema is the caller's to check.
func (r *Request) Keys(text string) ([]KeyTest, error) {
	e, err := r.bind(KeyCondition, text)
	if err != nil {
		return nil, err
	}
	tests := make([]KeyTest, 0, 2)
	if err := e.keyTests(e.tree.condition, &tests); err != nil {
		return nil, err
	}
	for i := range tests {
		for j := range i {
			if tests[i].Name == tests[j].Name {
				return nil, validation("KeyConditionExpressions must only contain one condition per key")
			}
		}
	}
	return tests, nil
}

// keyTests takes a condition apart. DynamoDB does not begin what it refuses here with "Invalid KeyConditionExpression".
func (e *env) keyTests(c *condition, tests *[]KeyTest) error {
	if c.op == and {
		for _, kid := range c.kids {
			if err := e.keyTests(kid, tests); err != nil {
				return err
			}
		}
		return nil
	}
	if err := e.checkCondition(c); err != nil {
		return err
	}
	switch c.op {
	case or, not, notEqual, in, exists, notExists, typeIs, contains:
		return validation("Invalid operator used in KeyConditionExpression: %s", c.op)
	}
	t := KeyTest{Op: c.op}
	at := -1
	for i := range c.args {
		switch o := &c.args[i]; {
		case o.kind == sizeOperand:
			return validation("Invalid operator used in KeyConditionExpression: size")
		case o.kind == pathOperand && len(o.path) > 1:
			return validation("KeyConditionExpressions cannot have conditions on nested attributes")
		case o.kind == pathOperand && at >= 0:
			return validation("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		case o.kind == pathOperand:
			at = i
		}
	}
	if at < 0 {
		return validation("Invalid condition in KeyConditionExpression: No key attribute specified")
	}
	if at > 0 && (c.op == between || c.op == beginsWith) {
		return validation("Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its first operand", c.op)
	}
	t.Name = e.name(&c.args[at].path[0])
	if at == 1 {
		t.Op = mirrored(c.op)
		t.Value = e.values[c.args[0].value]
	} else {
		t.Value = e.values[c.args[1].value]
	}
	if c.op == between {
		t.High = e.values[c.args[2].value]
	}
	*tests = append(*tests, t)
	return nil
}

func mirrored(op operator) operator {
	switch op {
	case less:
		return greater
	case lessOrEqual:
		return greaterOrEqual
	case greater:
		return less
	case greaterOrEqual:
		return lessOrEqual
	}
	return op
}
