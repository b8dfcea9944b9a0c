package partiql

import "fogbank/wire/attribute"

// value reads a literal or a parameter. Of a parameter that was not given it returns the zero Value; Parse refuses the
// statement at its end.
func (p *parser) value(depth int) (v attribute.Value) {
	if p.err != nil {
		return v
	}
	if depth > maxSteps {
		p.err = invalid("Nesting Levels have exceeded supported limits")
		return v
	}
	t := p.tok
	switch {
	case t.kind == tokenString:
		p.next()
		return attribute.S(t.text)
	case t.kind == tokenNumber:
		return p.number("")
	case p.sign("-"):
		return p.number("-")
	case p.sign("+"):
		return p.number("")
	case p.sign("?"):
		return p.parameter()
	case p.sign("["):
		return attribute.L(p.elements("]", depth)...)
	case p.sign("<<"):
		return p.set(p.elements(">>", depth))
	case p.sign("{"):
		return p.object(depth)
	case p.keyword("TRUE"):
		return attribute.BOOL(true)
	case p.keyword("FALSE"):
		return attribute.BOOL(false)
	case p.keyword("NULL"):
		return attribute.NULL()
	}
	p.unexpected()
	return v
}

func (p *parser) number(sign string) attribute.Value {
	if p.tok.kind != tokenNumber {
		p.unexpected()
		return attribute.Value{}
	}
	v := attribute.N(sign + p.tok.text)
	p.next()
	if err := v.Check(); err != nil && p.err == nil {
		p.err = err
	}
	return v
}

func (p *parser) parameter() (v attribute.Value) {
	if p.used < len(p.parameters) {
		v = p.parameters[p.used]
	}
	p.used++
	return v
}

func (p *parser) elements(end string, depth int) []attribute.Value {
	list := []attribute.Value{}
	if p.sign(end) {
		return list
	}
	for more := true; more && p.err == nil; more = p.sign(",") {
		list = append(list, p.value(depth+1))
	}
	p.need(end)
	return list
}

func (p *parser) set(list []attribute.Value) (v attribute.Value) {
	if p.err != nil || p.used > len(p.parameters) {
		return v
	}
	t := attribute.TypeSS
	if len(list) > 0 {
		switch list[0].Type() {
		case attribute.TypeN:
			t = attribute.TypeNS
		case attribute.TypeB:
			t = attribute.TypeBS
		}
	}
	for _, e := range list {
		if e.Type() != t.Element() {
			p.err = invalid("Sets may contain only strings, numbers or binaries, all of one type")
			return v
		}
	}
	v = attribute.Set(t, list)
	p.err = v.Check()
	return v
}

// object reads what follows the brace of a map.
func (p *parser) object(depth int) attribute.Value {
	var list []attribute.Attribute
	seen := map[string]bool{}
	if p.sign("}") {
		return attribute.M(attribute.MakeItem())
	}
	for more := true; more && p.err == nil; more = p.sign(",") {
		key := p.tok
		if key.kind != tokenString {
			p.unexpected()
			break
		}
		p.next()
		p.need(":")
		if seen[key.text] && p.err == nil {
			p.err = invalid("Duplicate attribute in item: %s", key.text)
		}
		seen[key.text] = true
		list = append(list, attribute.Attribute{Name: key.text, Value: p.value(depth + 1)})
	}
	p.need("}")
	return attribute.M(attribute.MakeItem(list...))
}
