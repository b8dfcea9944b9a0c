package pattern

// numeric reads the operand of numeric: ["=", n], [">", n], [">=", n, "<", m] and so on.
func (p *parser) numeric() (term, error) {
	if p.front() != '[' {
		_, err := p.operand()
		if err == nil {
			err = p.fail("Value of numeric must be an array.")
		}
		return term{}, err
	}
	var items []value
	t := term{op: opRange, low: -maxScaled, high: maxScaled}
	err := p.list(']', func() error {
		v, err := p.operand()
		if err != nil {
			return err
		}
		items = append(items, v)
		return p.numericItem(&t, items)
	})
	if err != nil {
		return t, err
	}
	switch {
	case len(items) == 0:
		return t, p.fail("Invalid member in numeric match: ]")
	case len(items) == 1:
		return t, p.fail("Value of %s must be numeric", operatorName(items[0].text))
	case len(items) == 3:
		return t, p.fail("Value of %s must be numeric", items[2].text)
	}
	return t, nil
}

// operatorName is how AWS's messages name a comparison.
func operatorName(operator []byte) string {
	if string(operator) == "=" {
		return "equals"
	}
	return string(operator)
}

// numericItem checks the last of the items read so far and narrows t by it.
func (p *parser) numericItem(t *term, items []value) error {
	last := items[len(items)-1]
	switch len(items) {
	case 1:
		if last.kind != stringValue {
			return p.fail("Invalid member in numeric match: %s", last.text)
		}
		switch string(last.text) {
		case "=", "<", "<=", ">", ">=":
			return nil
		}
		return p.fail("Unrecognized numeric range operator: %s", last.text)
	case 3:
		if first := items[0].text[0]; first == '=' || first == '<' {
			return p.fail("Too many elements in numeric expression")
		}
		if last.kind != stringValue {
			return p.fail("Bad value in numeric range: %s", last.text)
		}
		if string(last.text) != "<" && string(last.text) != "<=" {
			return p.fail("Bad numeric range operator: %s", last.text)
		}
		return nil
	case 2, 4:
		operator := items[len(items)-2].text
		if last.kind != numberValue {
			return p.fail("Value of %s must be numeric", operatorName(operator))
		}
		if !last.comparable {
			return p.outOfRange()
		}
		if len(items) == 4 && last.number <= items[1].number {
			return p.fail("Bottom must be less than top")
		}
		t.narrow(string(operator), last.number)
		return nil
	}
	return p.fail("Too many terms in numeric range expression")
}

// narrow keeps of a range only the numbers that compare to n. Numbers
// are whole millionths, so that an open end is a closed one a step further.
func (t *term) narrow(operator string, n int64) {
	switch operator {
	case "=":
		t.low, t.high = n, n
	case "<":
		t.high = n - 1
	case "<=":
		t.high = n
	case ">":
		t.low = n + 1
	case ">=":
		t.low = n
	}
}
