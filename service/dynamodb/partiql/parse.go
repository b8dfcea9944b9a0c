package partiql

import (
	"strconv"
	"strings"

	"fogbank/wire/attribute"
)

const (
	maxText  = 8192
	maxDepth = 100 // of conditions
	maxSteps = 32
	maxIn    = 100 // values of an IN
)

type parser struct {
	text       string
	tok        token
	statement  *Statement
	parameters []attribute.Value
	used       int // parameters met
	depth      int
	err        error
}

// Parse reads a statement whose question marks stand for the parameters, in order. Errors are
// ValidationExceptions.
func Parse(text string, parameters []attribute.Value) (*Statement, error) {
	if len(text) > maxText {
		return nil, invalid("1 validation error detected: Value at 'statement' failed to satisfy constraint: Member must have length less than or equal to %d", maxText)
	}
	for _, v := range parameters {
		if err := v.Check(); err != nil {
			return nil, err
		}
	}
	p := &parser{text: text, tok: scan(text, 0), statement: &Statement{Returning: "NONE"}, parameters: parameters}
	p.whole()
	p.sign(";")
	if p.err == nil && p.tok.kind != tokenEnd {
		p.unexpected()
	}
	if p.err == nil && p.used != len(parameters) {
		p.err = invalid("Number of parameters in request and statement don't match.")
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.statement, nil
}

func (p *parser) whole() {
	switch {
	case p.keyword("SELECT"):
		p.selection()
	case p.keyword("INSERT"):
		p.insertion()
	case p.keyword("UPDATE"):
		p.update()
	case p.keyword("DELETE"):
		p.deletion()
	case p.keyword("EXISTS"):
		p.need("(")
		p.needWord("SELECT")
		p.selection()
		p.need(")")
		p.statement.Kind = Exists
		if p.err == nil && p.statement.Order != nil {
			p.fail("Unexpected keyword")
		}
	default:
		p.fail("Expected data manipulation")
	}
}

func (p *parser) fail(detail string) {
	if p.err == nil {
		p.err = malformed(detail)
	}
}

// unexpected fails at the present token.
func (p *parser) unexpected() {
	switch {
	case p.tok.kind == tokenEnd:
		p.fail("Unexpected end of statement")
	case p.tok.kind == tokenWord && isKeyword(p.tok.text):
		p.fail("Unexpected keyword")
	default:
		p.fail("Unexpected term: " + p.tok.text)
	}
}

func (p *parser) next() { p.tok = scan(p.text, p.tok.end) }

func (p *parser) is(sign string) bool {
	return p.err == nil && p.tok.kind == tokenSign && p.tok.text == sign
}

// sign steps over the sign if it is next.
func (p *parser) sign(s string) bool {
	if p.is(s) {
		p.next()
		return true
	}
	return false
}

func (p *parser) need(s string) {
	if !p.sign(s) {
		p.unexpected()
	}
}

func (p *parser) isWord(word string) bool {
	return p.err == nil && p.tok.kind == tokenWord && strings.EqualFold(p.tok.text, word)
}

// keyword steps over the word if it is next, whatever its case.
func (p *parser) keyword(word string) bool {
	if p.isWord(word) {
		p.next()
		return true
	}
	return false
}

func (p *parser) needWord(word string) {
	if !p.keyword(word) {
		p.unexpected()
	}
}

// isKeyword reports the words that cannot be names without quotes.
func isKeyword(word string) bool {
	switch strings.ToUpper(word) {
	case "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "BETWEEN", "IS", "MISSING", "NULL", "TRUE", "FALSE", "INSERT", "INTO",
		"VALUE", "VALUES", "UPDATE", "SET", "REMOVE", "DELETE", "RETURNING", "ORDER", "BY", "ASC", "DESC", "EXISTS", "AS", "LIMIT",
		"GROUP", "HAVING", "JOIN", "UNION", "DISTINCT", "LIKE", "CASE", "ALL":
		return true
	}
	return false
}

// name reads a quoted name, or an unquoted one that is no keyword.
func (p *parser) name() string {
	t := p.tok
	if p.err == nil && (t.kind == tokenName && t.text != "" || t.kind == tokenWord && !isKeyword(t.text)) {
		p.next()
		return t.text
	}
	p.unexpected()
	return ""
}

func (p *parser) target(indexed bool) {
	p.statement.Table = p.name()
	if indexed && p.sign(".") {
		p.statement.Index = p.name()
	}
}

// selection reads what follows SELECT.
func (p *parser) selection() {
	s := p.statement
	if !p.sign("*") {
		s.Columns = p.paths()
	}
	p.needWord("FROM")
	p.target(true)
	p.where()
	if !p.keyword("ORDER") {
		return
	}
	p.needWord("BY")
	for more := true; more && p.err == nil; more = p.sign(",") {
		o := Order{Path: p.path()}
		if p.keyword("DESC") {
			o.Descending = true
		} else {
			p.keyword("ASC")
		}
		s.Order = append(s.Order, o)
	}
}

func (p *parser) where() {
	if p.keyword("WHERE") {
		p.statement.Where = p.disjunction()
	}
}

func (p *parser) insertion() {
	p.statement.Kind = Insert
	p.needWord("INTO")
	p.target(false)
	p.needWord("VALUE")
	v := p.value(0)
	if p.err == nil && v.Type() != attribute.TypeM && v.Type() != attribute.TypeNone {
		p.err = invalid("Unsupported operation: Inserting multiple items in a single statement is not supported, use \"INSERT INTO tableName VALUE item\" instead")
	}
	p.statement.Item = v.Map()
}

func (p *parser) update() {
	s := p.statement
	s.Kind = Update
	p.target(false)
	for p.err == nil {
		switch {
		case p.keyword("SET"):
			for more := true; more && p.err == nil; more = p.sign(",") {
				s.Sets = append(s.Sets, p.assignment())
			}
		case p.keyword("REMOVE"):
			s.Removes = append(s.Removes, p.paths()...)
		default:
			if s.Sets == nil && s.Removes == nil {
				p.unexpected()
				return
			}
			p.where()
			p.returning()
			return
		}
	}
}

func (p *parser) deletion() {
	p.statement.Kind = Delete
	p.needWord("FROM")
	p.target(false)
	p.where()
	p.returning()
	if r := p.statement.Returning; p.err == nil && r != "NONE" && r != "ALL_OLD" {
		p.err = invalid("ReturnValues can only be ALL_OLD or NONE")
	}
}

// returning reads RETURNING ALL|MODIFIED OLD|NEW *.
func (p *parser) returning() {
	if !p.keyword("RETURNING") {
		return
	}
	which := "UPDATED_"
	if p.keyword("ALL") {
		which = "ALL_"
	} else {
		p.needWord("MODIFIED")
	}
	if p.keyword("OLD") {
		which += "OLD"
	} else {
		p.needWord("NEW")
		which += "NEW"
	}
	p.need("*")
	p.statement.Returning = which
}

func (p *parser) paths() (list []Path) {
	for more := true; more && p.err == nil; more = p.sign(",") {
		list = append(list, p.path())
	}
	return list
}

// path reads name.name[1]['name']….
func (p *parser) path() Path {
	out := Path{{Name: p.name(), Index: -1}}
	for p.err == nil {
		if p.sign(".") {
			out = append(out, Step{Name: p.name(), Index: -1})
		} else if p.sign("[") {
			out = append(out, p.bracketed())
			p.need("]")
		} else {
			break
		}
		if len(out) > maxSteps {
			p.err = invalid("The document path has too many nesting elements; nesting levels: %d", len(out))
		}
	}
	return out
}

func (p *parser) bracketed() Step {
	t := p.tok
	if t.kind == tokenString {
		p.next()
		return Step{Name: t.text, Index: -1}
	}
	index, err := strconv.ParseInt(t.text, 10, 32)
	if t.kind != tokenNumber || err != nil {
		p.unexpected()
		return Step{}
	}
	p.next()
	return Step{Index: int(index)}
}

var setFunctions = map[string]Change{"list_append": ListAppend, "set_add": SetAdd, "set_delete": SetDelete}

// assignment reads "path = value" of a SET.
func (p *parser) assignment() Set {
	s := Set{Target: p.path()}
	p.need("=")
	if c, ok := setFunctions[strings.ToLower(p.tok.text)]; ok && p.tok.kind == tokenWord && scan(p.text, p.tok.end).text == "(" {
		p.next()
		p.need("(")
		s.Change, s.Args = c, []Operand{p.operand()}
		p.need(",")
		s.Args = append(s.Args, p.operand())
		p.need(")")
		p.checkSetFunction(&s)
		return s
	}
	s.Args = []Operand{p.operand()}
	for sign, c := range map[string]Change{"+": Plus, "-": Minus} {
		if p.sign(sign) {
			s.Change, s.Args = c, append(s.Args, p.operand())
			break
		}
	}
	for i := range s.Args {
		if p.err == nil && s.Args[i].Size {
			p.fail("Unexpected term: size")
		}
	}
	return s
}

func (p *parser) checkSetFunction(s *Set) {
	if p.err != nil || s.Change == ListAppend {
		return
	}
	v := s.Args[1].Value
	if !s.Args[0].Path.Equal(s.Target) || s.Args[1].Path != nil {
		p.err = invalid("The first operand of set_add and set_delete must be the path that is assigned, the second a set")
	} else if !v.Type().IsSet() && v.Type() != attribute.TypeNone {
		p.err = invalid("Incorrect operand type for operator or function; operator or function: %s, operand type: %s",
			map[Change]string{SetAdd: "set_add", SetDelete: "set_delete"}[s.Change], v.Type())
	}
}
