package dynamodb

import (
	"maps"
	"slices"
	"strings"

	"fogbank/api/dynamodb"
	"fogbank/service/dynamodb/expr"
	"fogbank/wire/attribute"
)

// parameters tells which of the expression and of the older parameters a request has, in AWS's order.
type parameters struct{ expressions, older []string }

func (p *parameters) expression(name string, given bool) *parameters {
	if given {
		p.expressions = append(p.expressions, name)
	}
	return p
}

func (p *parameters) old(name string, given bool) *parameters {
	if given {
		p.older = append(p.older, name)
	}
	return p
}

// check refuses a mixture.
func (p *parameters) check() error {
	if len(p.expressions) > 0 && len(p.older) > 0 {
		return validation("Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {%s} Expression parameters: {%s}",
			strings.Join(p.older, ", "), strings.Join(p.expressions, ", "))
	}
	return nil
}

// expectations turns Expected into a test.
func expectations(expected map[string]dynamodb.ExpectedAttributeValue, operator *string) (expr.Test, error) {
	if operator != nil && len(expected) == 0 {
		return expr.Test{}, validation(invalidParameter + "ConditionalOperator cannot be used without Filter or Expected")
	}
	if operator != nil && len(expected) == 1 {
		return expr.Test{}, validation(invalidParameter + "ConditionalOperator can only be used when Filter or Expected has two or more elements")
	}
	var list []expr.Comparison
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		e := expected[name]
		c, err := expectation(name, &e)
		if err != nil {
			return expr.Test{}, err
		}
		list = append(list, c)
	}
	return expr.Compare(list, deref(operator) == dynamodb.ConditionalOperatorOr), nil
}

func expectation(name string, e *dynamodb.ExpectedAttributeValue) (c expr.Comparison, err error) {
	fail := func(format string, args ...any) (expr.Comparison, error) {
		return c, validation(invalidParameter+format+" for Attribute: "+name, args...)
	}
	c.Name = name
	if e.Value != nil {
		c.Values = []attribute.Value{*e.Value}
	}
	switch {
	case e.ComparisonOperator != nil && e.Exists != nil:
		return fail("Exists and ComparisonOperator cannot be used together")
	case e.Value != nil && e.AttributeValueList != nil:
		return fail("Value and AttributeValueList cannot be used together")
	case e.ComparisonOperator == nil && e.AttributeValueList != nil:
		return fail("AttributeValueList can only be used with a ComparisonOperator")
	case e.ComparisonOperator != nil:
		c.Operator = *e.ComparisonOperator
		if e.AttributeValueList != nil {
			c.Values = e.AttributeValueList
		}
		if n, ok := expr.Operands(c.Operator); ok && n != 0 && c.Values == nil {
			return fail("Value or AttributeValueList must be used with ComparisonOperator: %s", c.Operator)
		}
		return c, checkComparison(c)
	case e.Exists != nil && !*e.Exists:
		c.Operator = dynamodb.ComparisonOperatorNull
		if e.Value != nil {
			return fail("Value cannot be used when Exists is false")
		}
		return c, nil
	case e.Value == nil:
		return fail("Value must be provided when Exists is %s", map[bool]string{true: "true", false: "null"}[e.Exists != nil])
	}
	c.Operator = dynamodb.ComparisonOperatorEq
	return c, e.Value.Check()
}

// checkComparison refuses a wrong number or type of values.
func checkComparison(c expr.Comparison) error {
	n, ok := expr.Operands(c.Operator)
	if !ok {
		return validation("Unsupported operator on %s: %s", c.Name, c.Operator)
	}
	if n >= 0 && len(c.Values) != n || n < 0 && len(c.Values) == 0 {
		return validation(invalidParameter+"Invalid number of argument(s) for the %s ComparisonOperator", c.Operator)
	}
	for _, v := range c.Values {
		if err := v.Check(); err != nil {
			return err
		}
		scalar := v.Type() == attribute.TypeS || v.Type() == attribute.TypeN || v.Type() == attribute.TypeB
		switch c.Operator {
		case dynamodb.ComparisonOperatorEq, dynamodb.ComparisonOperatorNe:
			continue
		case dynamodb.ComparisonOperatorBeginsWith:
			scalar = scalar && v.Type() != attribute.TypeN
		case dynamodb.ComparisonOperatorContains, dynamodb.ComparisonOperatorNotContains:
			scalar = scalar || v.Type() == attribute.TypeBOOL || v.Type() == attribute.TypeNULL
		}
		if !scalar {
			return validation(invalidParameter+"ComparisonOperator %s is not valid for %s AttributeValue type", c.Operator, v.Type())
		}
	}
	if c.Operator == dynamodb.ComparisonOperatorBetween {
		if order, ok := c.Values[0].Compare(c.Values[1]); !ok {
			return validation(invalidParameter + "AttributeValues inside AttributeValueList must be of same type")
		} else if order > 0 {
			return validation("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
		}
	}
	return nil
}

// filterConditions turns QueryFilter or ScanFilter into a test.
func filterConditions(filter map[string]dynamodb.Condition, operator *string) (expr.Test, error) {
	if operator != nil && len(filter) == 0 {
		return expr.Test{}, validation(invalidParameter + "ConditionalOperator cannot be used without Filter or Expected")
	}
	if operator != nil && len(filter) == 1 {
		return expr.Test{}, validation(invalidParameter + "ConditionalOperator can only be used when Filter or Expected has two or more elements")
	}
	list, err := comparisons(filter)
	return expr.Compare(list, deref(operator) == dynamodb.ConditionalOperatorOr), err
}

func comparisons(conditions map[string]dynamodb.Condition) (list []expr.Comparison, err error) {
	for _, name := range slices.Sorted(maps.Keys(conditions)) {
		c := expr.Comparison{Name: name, Operator: conditions[name].ComparisonOperator, Values: conditions[name].AttributeValueList}
		if err := checkComparison(c); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// keyConditions turns KeyConditions into key tests.
func keyConditions(conditions map[string]dynamodb.Condition) (tests []expr.KeyTest, err error) {
	list, err := comparisons(conditions)
	for _, c := range list {
		t, ok := expr.KeyComparison(c)
		if !ok {
			return nil, validation("Attempted conditional constraint is not an indexable operation")
		}
		tests = append(tests, t)
	}
	return tests, err
}

// edits turns AttributeUpdates into a change.
func edits(updates map[string]dynamodb.AttributeValueUpdate) (expr.Change, error) {
	var list []expr.Edit
	for _, name := range slices.Sorted(maps.Keys(updates)) {
		u := updates[name]
		e := expr.Edit{Name: name, Action: deref(u.Action)}
		if e.Action == "" {
			e.Action = dynamodb.AttributeActionPut
		}
		if u.Value == nil {
			if e.Action != dynamodb.AttributeActionDelete {
				return expr.Change{}, validation(invalidParameter + "Only DELETE action is allowed when no attribute value is specified")
			}
			list = append(list, e)
			continue
		}
		if err := u.Value.Check(); err != nil {
			return expr.Change{}, err
		}
		e.Value = *u.Value
		t := e.Value.Type()
		addable := t.IsSet() || t == attribute.TypeN || t == attribute.TypeL
		if e.Action == dynamodb.AttributeActionAdd && !addable || e.Action == dynamodb.AttributeActionDelete && !t.IsSet() {
			return expr.Change{}, validation(invalidParameter+"%s action is not supported for the type %s", e.Action, t)
		}
		list = append(list, e)
	}
	return expr.Edits(list), nil
}
