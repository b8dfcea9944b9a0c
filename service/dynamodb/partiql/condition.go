package partiql

import (
	"strings"

	"fogbank/wire/attribute"
)

func (p *parser) deeper() bool {
	if p.depth++; p.depth > maxDepth {
		p.fail("Statement is nested too deeply")
	}
	return p.err == nil
}

func (p *parser) disjunction() *Condition {
	return p.chain(Or, "OR", func() *Condition { return p.chain(And, "AND", p.negation) })
}

func (p *parser) chain(op Operator, word string, part func() *Condition) *Condition {
	first := part()
	if !p.isWord(word) {
		return first
	}
	c := &Condition{Op: op, Kids: []*Condition{first}}
	for p.keyword(word) {
		c.Kids = append(c.Kids, part())
	}
	return c
}

func (p *parser) negation() *Condition {
	if !p.keyword("NOT") {
		return p.predicate()
	}
	if !p.deeper() {
		return nil
	}
	defer func() { p.depth-- }()
	return negated(p.negation())
}

func negated(c *Condition) *Condition { return &Condition{Op: Not, Kids: []*Condition{c}} }

var tests = map[string]Operator{"begins_with": BeginsWith, "contains": Contains, "attribute_type": HasType}

var comparators = map[string]Operator{"=": Equal, "<>": NotEqual, "!=": NotEqual, "<": Less, "<=": LessOrEqual, ">": Greater, ">=": GreaterOrEqual}

func (p *parser) predicate() *Condition {
	if p.is("(") {
		if !p.deeper() {
			return nil
		}
		defer func() { p.depth-- }()
		p.next()
		c := p.disjunction()
		p.need(")")
		return c
	}
	if op, ok := tests[strings.ToLower(p.tok.text)]; ok && p.tok.kind == tokenWord && scan(p.text, p.tok.end).text == "(" {
		p.next()
		p.need("(")
		c := &Condition{Op: op, Args: []Operand{p.operand()}}
		p.need(",")
		c.Args = append(c.Args, p.operand())
		p.need(")")
		return c
	}
	return p.comparison(p.operand())
}

// comparison reads what a left operand is compared with.
func (p *parser) comparison(left Operand) *Condition {
	if op, ok := comparators[p.tok.text]; ok && p.tok.kind == tokenSign {
		p.next()
		return &Condition{Op: op, Args: []Operand{left, p.operand()}}
	}
	if p.keyword("IS") {
		return p.isTest(left)
	}
	not := p.keyword("NOT")
	var c *Condition
	switch {
	case p.keyword("BETWEEN"):
		c = &Condition{Op: Between, Args: []Operand{left, p.operand()}}
		p.needWord("AND")
		c.Args = append(c.Args, p.operand())
	case p.keyword("IN"):
		c = p.membership(left)
	default:
		p.unexpected()
	}
	if not {
		return negated(c)
	}
	return c
}

// isTest reads what follows IS.
func (p *parser) isTest(left Operand) *Condition {
	not := p.keyword("NOT")
	if p.err == nil && (left.Path == nil || left.Size) {
		p.unexpected()
	}
	c := &Condition{Op: Missing, Args: []Operand{left}}
	if p.keyword("NULL") {
		c.Op, c.Args = HasType, append(c.Args, Operand{Value: attribute.S("NULL")})
	} else {
		p.needWord("MISSING")
	}
	if not {
		return negated(c)
	}
	return c
}

// membership reads the list after IN, in brackets or parentheses; a parameter may be the list.
func (p *parser) membership(left Operand) *Condition {
	c := &Condition{Op: In, Args: []Operand{left}}
	end := "]"
	switch {
	case p.sign("["):
	case p.sign("("):
		end = ")"
	default:
		v := p.value(0)
		if v.Type() != attribute.TypeL && v.Type() != attribute.TypeNone {
			p.fail("Expected list after IN")
		}
		list := v.List()
		if len(list) > maxIn {
			p.err, list = tooMany(len(list)), nil
		}
		for _, e := range list {
			c.Args = append(c.Args, Operand{Value: e})
		}
		end = ""
	}
	for more := end != ""; more && p.err == nil; more = p.sign(",") {
		c.Args = append(c.Args, p.operand())
	}
	if end != "" {
		p.need(end)
	}
	if p.err == nil && len(c.Args) > maxIn+1 {
		p.err = tooMany(len(c.Args) - 1)
	}
	if p.err == nil && len(c.Args) == 1 && p.used <= len(p.parameters) {
		p.fail("Unexpected end of list")
	}
	return c
}

func tooMany(operands int) error {
	return invalid("The IN operator is provided with too many operands; number of operands: %d", operands)
}

// operand reads a path, size(path) or a value.
func (p *parser) operand() Operand {
	t := p.tok
	if p.err != nil {
		return Operand{}
	}
	if t.kind == tokenWord && strings.EqualFold(t.text, "size") && scan(p.text, t.end).text == "(" {
		p.next()
		p.need("(")
		o := Operand{Path: p.path(), Size: true}
		p.need(")")
		return o
	}
	if t.kind == tokenName || t.kind == tokenWord && !isKeyword(t.text) {
		return Operand{Path: p.path()}
	}
	return Operand{Value: p.value(0)}
}
