package attribute

import (
	"encoding/base64"
	"strings"

	"fogbank/aws"
)

// MaxDepth is how deep lists and maps may nest: 32 levels counting the value inside them.
const MaxDepth = 31

const (
	parameterPrefix = "One or more parameter values were invalid: "
	emptyValue      = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
	manyTypes       = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
	falseNull       = parameterPrefix + "Null attribute value types must have the value of true"
	tooDeep         = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)

func emptySet(t Type) string {
	switch t {
	case TypeSS:
		return parameterPrefix + "An string set  may not be empty"
	case TypeNS:
		return parameterPrefix + "An number set  may not be empty"
	}
	return parameterPrefix + "Binary sets should not be empty"
}

func duplicates(t Type, elements []Value) string {
	if t == TypeNS {
		return "Input collection contains duplicates"
	}
	var b strings.Builder
	b.WriteString(parameterPrefix + "Input collection [")
	for i, e := range elements {
		if i > 0 {
			b.WriteString(", ")
		}
		if t == TypeBS {
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(e.Text())))
		} else {
			b.WriteString(e.Text())
		}
	}
	if t == TypeBS {
		b.WriteString("]of type BS contains duplicates.")
	} else {
		b.WriteString("] contains duplicates.")
	}
	return b.String()
}

// Check returns the ValidationException DynamoDB answers when a value is empty or malformed, otherwise nil.
func (v Value) Check() error {
	if message := v.problem(); message != "" {
		return aws.Errorf("ValidationException", 400, "%s", message)
	}
	return nil
}

func (v Value) problem() string {
	switch v.typ {
	case TypeNone:
		return emptyValue
	case typeInvalid:
		return v.Text()
	case TypeM:
		return v.Map().problem()
	case TypeL:
		for _, e := range v.List() {
			if m := e.problem(); m != "" {
				return m
			}
		}
	}
	return ""
}

func (it Item) problem() string {
	for i := range it {
		if m := it[i].Value.problem(); m != "" {
			return m
		}
	}
	return ""
}

// Check returns the ValidationException of the first malformed value, otherwise nil.
func (it Item) Check() error {
	if message := it.problem(); message != "" {
		return aws.Errorf("ValidationException", 400, "%s", message)
	}
	return nil
}

// CheckDepth returns the ValidationException of values nested too deep, which updates can make of values
// that are not; otherwise nil.
func (it Item) CheckDepth() error {
	for i := range it {
		if it[i].Value.deeperThan(MaxDepth) {
			return aws.Errorf("ValidationException", 400, "%s", tooDeep)
		}
	}
	return nil
}

func (v Value) deeperThan(levels int) bool {
	if v.typ != TypeL && v.typ != TypeM {
		return false
	}
	if levels == 0 {
		return true
	}
	for _, e := range v.List() {
		if e.deeperThan(levels - 1) {
			return true
		}
	}
	for _, a := range v.Map() {
		if a.Value.deeperThan(levels - 1) {
			return true
		}
	}
	return false
}
