package policy

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// comparison is the family an operator belongs to.
type comparison uint8

const (
	stringCompare comparison = iota
	numericCompare
	dateCompare
	boolCompare
	binaryCompare
	ipCompare
	nullCompare
)

// relation is what must hold between the request's value and the policy's.
type relation uint8

const (
	equal relation = iota
	less
	lessEqual
	greater
	greaterEqual
)

// operator is one condition operator without prefix and suffix.
type operator struct {
	compare comparison
	relate  relation
	syntax  syntax // of the values, for strings and ARNs
	negate  bool
}

// operators is keyed by the operator's name in lower case.
var operators = map[string]operator{
	"stringequals":              {compare: stringCompare, syntax: plainText},
	"stringnotequals":           {compare: stringCompare, syntax: plainText, negate: true},
	"stringequalsignorecase":    {compare: stringCompare, syntax: foldedText},
	"stringnotequalsignorecase": {compare: stringCompare, syntax: foldedText, negate: true},
	"stringlike":                {compare: stringCompare, syntax: wildcards},
	"stringnotlike":             {compare: stringCompare, syntax: wildcards, negate: true},
	"arnequals":                 {compare: stringCompare, syntax: arnLike},
	"arnlike":                   {compare: stringCompare, syntax: arnLike},
	"arnnotequals":              {compare: stringCompare, syntax: arnLike, negate: true},
	"arnnotlike":                {compare: stringCompare, syntax: arnLike, negate: true},
	"numericequals":             {compare: numericCompare},
	"numericnotequals":          {compare: numericCompare, negate: true},
	"numericlessthan":           {compare: numericCompare, relate: less},
	"numericlessthanequals":     {compare: numericCompare, relate: lessEqual},
	"numericgreaterthan":        {compare: numericCompare, relate: greater},
	"numericgreaterthanequals":  {compare: numericCompare, relate: greaterEqual},
	"dateequals":                {compare: dateCompare},
	"datenotequals":             {compare: dateCompare, negate: true},
	"datelessthan":              {compare: dateCompare, relate: less},
	"datelessthanequals":        {compare: dateCompare, relate: lessEqual},
	"dategreaterthan":           {compare: dateCompare, relate: greater},
	"dategreaterthanequals":     {compare: dateCompare, relate: greaterEqual},
	"bool":                      {compare: boolCompare, syntax: foldedText},
	"binaryequals":              {compare: binaryCompare},
	"ipaddress":                 {compare: ipCompare},
	"notipaddress":              {compare: ipCompare, negate: true},
	"null":                      {compare: nullCompare, syntax: foldedText},
}

// quantifier says how a key with many values is compared.
type quantifier uint8

const (
	single quantifier = iota
	forAllValues
	forAnyValue
)

// condition is one key under one operator: any of its operands may match.
type condition struct {
	operator
	over     quantifier
	ifExists bool
	key      string // lower case
	operands []operand
}

// operand is one value in the policy, read in advance unless it has variables.
type operand struct {
	text   pattern
	number float64
	at     time.Time
	net    netip.Prefix
	binary string
}

func readConditions(v any, variables bool) ([]condition, error) {
	blocks, ok := v.(object)
	if !ok {
		return nil, errSyntax
	}
	var list []condition
	for _, b := range blocks {
		c, err := readOperator(b.name)
		if err != nil {
			return nil, err
		}
		keys, ok := b.value.(object)
		if !ok {
			return nil, errSyntax
		}
		for _, k := range keys {
			c := c
			c.key = strings.ToLower(k.name)
			if c.operands, err = c.readOperands(k.value, variables); err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// readOperator reads an operator's name with its prefix and suffix.
func readOperator(name string) (condition, error) {
	var c condition
	n := strings.ToLower(name)
	if rest, ok := strings.CutPrefix(n, "forallvalues:"); ok {
		c.over, n = forAllValues, rest
	} else if rest, ok := strings.CutPrefix(n, "foranyvalue:"); ok {
		c.over, n = forAnyValue, rest
	}
	if rest, ok := strings.CutSuffix(n, "ifexists"); ok && rest != "null" {
		c.ifExists, n = true, rest
	}
	op, ok := operators[n]
	if !ok {
		return c, malformed("Invalid Condition type : %s", printable(name))
	}
	c.operator = op
	return c, nil
}

// printable keeps a name from outside short enough for an error message.
func printable(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}

func (c *condition) readOperands(v any, variables bool) ([]operand, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	ops := make([]operand, len(list))
	for i, e := range list {
		var s string
		switch e := e.(type) {
		case string:
			s = e
		case json.Number:
			s = e.String()
		case bool:
			s = strconv.FormatBool(e)
		default:
			return nil, errSyntax
		}
		o := &ops[i]
		o.text = compile(s, c.syntax, variables)
		if !o.text.variables && !o.read(c.compare, s) {
			return nil, malformed("Invalid value in condition: %s", printable(s))
		}
	}
	return ops, nil
}

// read interprets s for the comparison and reports whether it could.
func (o *operand) read(c comparison, s string) (ok bool) {
	switch c {
	case numericCompare:
		o.number, ok = number(s)
	case dateCompare:
		o.at, ok = moment(s)
	case ipCompare:
		o.net, ok = network(s)
	case binaryCompare:
		o.binary, ok = octets(s)
	case boolCompare, nullCompare:
		return strings.EqualFold(s, "true") || strings.EqualFold(s, "false")
	default:
		return true
	}
	return ok
}

func number(s string) (float64, bool) {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false // no names of infinities, no hexadecimal
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// moment reads an ISO 8601 date as W3C profiles it, or seconds since 1970.
func moment(s string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	f, ok := number(s)
	if !ok || f > 1e11 || f < -1e11 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(f * 1000)), true
}

// network reads an address or a CIDR block.
func network(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p, err == nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

func octets(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err == nil
}

// holds reports whether the request satisfies the condition.
func (c *condition) holds(e *evaluation) bool {
	values, present := e.values(c.key)
	if c.compare == nullCompare {
		want := "false"
		if !present || len(values) == 0 {
			want = "true"
		}
		return c.matches(want, e)
	}
	if !present || len(values) == 0 {
		// A missing key satisfies …IfExists, ForAllValues and negated operators.
		return c.ifExists || c.over == forAllValues || c.negate && c.over == single
	}
	switch c.over {
	case forAllValues:
		for _, v := range values {
			if c.matches(v, e) == c.negate {
				return false
			}
		}
		return true
	case forAnyValue:
		for _, v := range values {
			if c.matches(v, e) != c.negate {
				return true
			}
		}
		return false
	}
	for _, v := range values {
		if c.matches(v, e) {
			return !c.negate
		}
	}
	return c.negate
}

// matches reports whether v stands in the operator's relation, not negated, to any operand.
func (c *condition) matches(v string, e *evaluation) bool {
	for i := range c.operands {
		o := &c.operands[i]
		if o.text.variables && c.compare != stringCompare {
			s, ok := o.text.expand(e)
			var fresh operand
			if !ok || !fresh.read(c.compare, s) {
				continue
			}
			fresh.text = compile(s, foldedText, false)
			o = &fresh
		}
		if c.test(v, o, e) {
			return true
		}
	}
	return false
}

// test compares one value of the request with one of the policy.
func (c *condition) test(v string, o *operand, e *evaluation) bool {
	switch c.compare {
	case numericCompare:
		n, ok := number(v)
		return ok && related(c.relate, n < o.number, n == o.number)
	case dateCompare:
		t, ok := moment(v)
		return ok && related(c.relate, t.Before(o.at), t.Equal(o.at))
	case ipCompare:
		a, err := netip.ParseAddr(v)
		return err == nil && o.net.Contains(a.Unmap())
	case binaryCompare:
		b, ok := octets(v)
		return ok && b == o.binary
	}
	return o.text.match(v, e)
}

func related(r relation, before, same bool) bool {
	switch r {
	case less:
		return before
	case lessEqual:
		return before || same
	case greater:
		return !before && !same
	case greaterEqual:
		return !before
	}
	return same
}
