package expr

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	maxText      = 4096
	maxOperators = 300
	maxIn        = 100
	maxSteps     = 32
	maxNesting   = 100
	maxCached    = 1024
)

type cacheKey struct {
	kind Kind
	text string
}

// cache holds parsed texts; the package comment says why it may.
var cache = struct {
	mu    sync.RWMutex
	trees map[cacheKey]*tree
}{trees: map[cacheKey]*tree{}}

// parsed returns the tree of text, from the cache when it is there. Failures are not kept.
func parsed(kind Kind, text string) (*tree, error) {
	key := cacheKey{kind, text}
	cache.mu.RLock()
	t := cache.trees[key]
	cache.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t, err := parse(kind, strings.Clone(text))
	if err != nil {
		return nil, err
	}
	key.text = strings.Clone(text)
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if len(cache.trees) >= maxCached {
		clear(cache.trees)
	}
	cache.trees[key] = t
	return t, nil
}

type parser struct {
	tree      *tree
	text      string
	last      token // before this one
	tok       token
	operators int
	nesting   int
	err       error
}

// parse reads a whole expression; the tree shares text.
func parse(kind Kind, text string) (*tree, error) {
	if text == "" {
		return nil, kind.errorf("The expression can not be empty;")
	}
	if len(text) > maxText {
		return nil, kind.errorf("Expression size has exceeded the maximum allowed size; expression size: %d", len(text))
	}
	p := &parser{tree: &tree{kind: kind}, text: text, tok: scan(text, 0)}
	if p.tok.kind == tokenEnd {
		return nil, kind.errorf("The expression can not be empty;")
	}
	switch kind {
	case Projection:
		p.projection()
	case Update:
		p.update()
	default:
		p.tree.condition = p.needCondition(p.disjunction())
	}
	if p.err == nil && p.tok.kind != tokenEnd {
		p.syntax()
	}
	if p.err == nil && p.operators > maxOperators {
		p.fail("The expression contains too many operators; operator count: %d", p.operators)
	}
	return p.tree, p.err
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = p.tree.kind.errorf(format, args...)
	}
}

// syntax fails at the present token, quoting it with its neighbours.
func (p *parser) syntax() {
	if p.err != nil {
		return
	}
	end := p.tok.end
	if p.tok.kind != tokenEnd {
		if next := scan(p.text, p.tok.end); next.kind != tokenEnd {
			end = next.end
		}
	}
	near := strings.TrimSpace(p.text[p.last.start:end])
	p.fail(`Syntax error; token: "%s", near: "%s"`, p.tok.text, near)
}

func (p *parser) next() {
	p.last = p.tok
	p.tok = scan(p.text, p.tok.end)
}

func (p *parser) sign(s string) bool {
	if p.err == nil && p.tok.kind == tokenSign && p.tok.text == s {
		p.next()
		return true
	}
	return false
}

func (p *parser) need(s string) {
	if !p.sign(s) {
		p.syntax()
	}
}

// keyword steps over the word, whatever its case.
func (p *parser) keyword(word string) bool {
	if p.err == nil && p.tok.kind == tokenWord && strings.EqualFold(p.tok.text, word) {
		p.next()
		return true
	}
	return false
}

func (p *parser) deeper() bool {
	p.nesting++
	if p.nesting > maxNesting {
		p.fail("The expression is nested too deeply; nesting levels: %d", p.nesting)
	}
	return p.err == nil
}

// term is what a parenthesis may hold: a condition, or an operand of one.
type term struct {
	condition *condition
	operand   operand
	bare      bool // an operand
	wrapped   bool // in parentheses of its own
}

// needCondition turns a term into a condition; after an operand a comparison should have followed.
func (p *parser) needCondition(t term) *condition {
	if p.err == nil && t.bare {
		p.syntax()
	}
	return t.condition
}

func (p *parser) needOperand(t term) operand {
	if p.err == nil && !t.bare {
		p.syntax()
	}
	return t.operand
}

func (p *parser) disjunction() term {
	return p.chain(or, func() term { return p.chain(and, p.negation) })
}

func (p *parser) chain(op operator, part func() term) term {
	first := part()
	if p.err != nil || !p.keyword(op.String()) {
		return first
	}
	c := &condition{op: op, kids: []*condition{p.needCondition(first)}}
	for more := true; more && p.err == nil; more = p.keyword(op.String()) {
		p.operators++
		c.kids = append(c.kids, p.needCondition(part()))
	}
	return term{condition: c}
}

func (p *parser) negation() term {
	if !p.keyword("NOT") {
		return p.comparison()
	}
	p.operators++
	if !p.deeper() {
		return term{}
	}
	defer func() { p.nesting-- }()
	return term{condition: &condition{op: not, kids: []*condition{p.needCondition(p.negation())}}}
}

var comparators = map[string]operator{"=": equal, "<>": notEqual, "<": less, "<=": lessOrEqual, ">": greater, ">=": greaterOrEqual}

// comparison reads a primary and, when it is an operand, what it is compared with.
func (p *parser) comparison() term {
	left := p.primary()
	if p.err != nil || !left.bare {
		return left
	}
	if op, ok := comparators[p.tok.text]; ok && p.tok.kind == tokenSign {
		p.next()
		p.operators++
		return term{condition: &condition{op: op, args: []operand{left.operand, p.needOperand(p.primary())}}}
	}
	if p.keyword("BETWEEN") {
		p.operators++
		low := p.needOperand(p.primary())
		if p.err == nil && !p.keyword("AND") {
			p.syntax()
		}
		return term{condition: &condition{op: between, args: []operand{left.operand, low, p.needOperand(p.primary())}}}
	}
	if p.keyword("IN") {
		p.operators++
		args := append([]operand{left.operand}, p.arguments()...)
		if len(args) > maxIn+1 {
			p.fail("The IN operator is provided with too many operands; number of operands: %d", len(args)-1)
		}
		if p.err == nil && len(args) == 1 {
			p.syntax()
		}
		return term{condition: &condition{op: in, args: args}}
	}
	return left
}

// arguments reads "(operand, …)".
func (p *parser) arguments() (list []operand) {
	p.need("(")
	if p.err != nil || p.sign(")") {
		return nil
	}
	for p.err == nil {
		list = append(list, p.needOperand(p.primary()))
		if !p.sign(",") {
			break
		}
	}
	p.need(")")
	return list
}

func (p *parser) primary() term {
	if p.err != nil {
		return term{}
	}
	switch {
	case p.tok.kind == tokenSign && p.tok.text == "(":
		return p.parenthesis()
	case p.tok.kind == tokenValue:
		return term{bare: true, operand: operand{kind: valueOperand, value: p.value()}}
	case p.tok.kind == tokenWord && scan(p.text, p.tok.end).text == "(" && !strings.EqualFold(p.tok.text, "IN") &&
		!strings.EqualFold(p.tok.text, "AND") && !strings.EqualFold(p.tok.text, "OR"):
		return p.conditionFunction()
	}
	return term{bare: true, operand: operand{kind: pathOperand, path: p.path()}}
}

func (p *parser) parenthesis() term {
	if !p.deeper() {
		return term{}
	}
	defer func() { p.nesting-- }()
	p.next()
	t := p.disjunction()
	p.need(")")
	if p.err == nil && t.wrapped {
		p.fail("The expression has redundant parentheses;")
	}
	t.wrapped = true
	return t
}

var conditionFunctions = map[string]operator{"attribute_exists": exists, "attribute_not_exists": notExists,
	"attribute_type": typeIs, "begins_with": beginsWith, "contains": contains}

func isUpdateFunction(name string) bool { return name == "if_not_exists" || name == "list_append" }

func (p *parser) conditionFunction() term {
	name := p.tok.text
	op, known := conditionFunctions[name]
	if !known && name != "size" {
		if isUpdateFunction(name) {
			p.fail("The function is not allowed in a %s; function: %s", p.phrase(), name)
		}
		p.fail("Invalid function name; function: %s", name)
		return term{}
	}
	p.next()
	p.operators++
	if !p.deeper() {
		return term{}
	}
	defer func() { p.nesting-- }()
	args := p.arguments()
	want := 2
	if name == "size" || op == exists || op == notExists {
		want = 1
	}
	if len(args) != want {
		p.fail("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(args))
		return term{}
	}
	if args[0].kind != pathOperand && (name == "size" && args[0].kind != valueOperand || op == exists || op == notExists) {
		p.fail("Operator or function requires a document path; operator or function: %s", name)
	}
	if name != "size" {
		return term{condition: &condition{op: op, args: args}}
	}
	return term{bare: true, operand: operand{kind: sizeOperand, args: args}}
}

// phrase names the kind of expression as the sentence about misplaced functions does.
func (p *parser) phrase() string {
	return [...]string{"condition expression", "filter expression", "key condition expression", "projection expression", "update expression"}[p.tree.kind]
}

func number(list *[]string, s string) int {
	if i := slices.Index(*list, s); i >= 0 {
		return i
	}
	*list = append(*list, s)
	return len(*list) - 1
}

func (p *parser) value() int {
	n := number(&p.tree.values, p.tok.text)
	p.next()
	return n
}

// path reads name.name[1]….
func (p *parser) path() path {
	out := path{p.step()}
	for p.err == nil {
		if p.sign(".") {
			out = append(out, p.step())
			continue
		}
		if !p.sign("[") {
			break
		}
		index, err := strconv.Atoi(p.tok.text)
		if p.tok.kind != tokenNumber {
			p.syntax()
			break
		}
		if err != nil || index > 1<<31-1 {
			p.fail("List index is not within the allowable range; index: [%s]", p.tok.text)
			break
		}
		p.next()
		p.need("]")
		out = append(out, step{ref: -1, index: index})
	}
	if len(out) > maxSteps {
		p.fail("The document path has too many nesting elements; nesting levels: %d", len(out))
	}
	return out
}

func (p *parser) step() step {
	t := p.tok
	switch t.kind {
	case tokenWord:
		if reserved(t.text) {
			if isKeyword(t.text) {
				p.syntax()
			}
			p.fail("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
		p.next()
		return step{name: t.text, ref: -1, index: -1}
	case tokenName:
		p.next()
		return step{ref: number(&p.tree.names, t.text), index: -1}
	}
	p.syntax()
	return step{}
}

// isKeyword reports the words that are part of the grammar itself: where a name should stand they are syntax errors.
func isKeyword(word string) bool {
	switch strings.ToUpper(word) {
	case "AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE":
		return true
	}
	return false
}

func (p *parser) projection() {
	for p.err == nil {
		p.tree.paths = append(p.tree.paths, p.path())
		if !p.sign(",") {
			return
		}
	}
}

func (p *parser) update() {
	var seen [4]bool
	for p.err == nil && p.tok.kind != tokenEnd {
		v := slices.IndexFunc(verbNames[:], func(s string) bool { return strings.EqualFold(s, p.tok.text) })
		if v < 0 || p.tok.kind != tokenWord {
			p.syntax()
			return
		}
		if seen[v] {
			p.fail(`The "%s" section can only be used once in an update expression;`, verbNames[v])
			return
		}
		seen[v] = true
		p.next()
		for more := true; more && p.err == nil; more = p.sign(",") {
			p.action(verb(v))
		}
	}
}

func (p *parser) action(v verb) {
	a := action{verb: v, target: p.path()}
	for _, s := range a.target {
		p.tree.indexed = p.tree.indexed || s.index >= 0
	}
	switch v {
	case set:
		p.need("=")
		a.value = p.sum()
	case add, del:
		if p.err == nil && p.tok.kind != tokenValue {
			p.syntax()
			return
		}
		p.operators++
		a.value = operand{kind: valueOperand, value: p.value()}
	}
	p.tree.actions = append(p.tree.actions, a)
}

// sum reads an assigned value: an operand, or two with + or - between them.
func (p *parser) sum() operand {
	left := p.setOperand()
	for _, op := range [...]struct {
		sign string
		kind operandKind
	}{{"+", plus}, {"-", minus}} {
		if p.sign(op.sign) {
			p.operators++
			return operand{kind: op.kind, args: []operand{left, p.setOperand()}}
		}
	}
	return left
}

func (p *parser) setOperand() operand {
	if p.err != nil {
		return operand{}
	}
	switch {
	case p.tok.kind == tokenSign && p.tok.text == "(":
		if !p.deeper() {
			return operand{}
		}
		defer func() { p.nesting-- }()
		p.next()
		twice := p.tok.text == "("
		o := p.sum()
		p.need(")")
		if twice && p.last.text == ")" && o.kind != plus && o.kind != minus {
			p.fail("The expression has redundant parentheses;")
		}
		return o
	case p.tok.kind == tokenValue:
		return operand{kind: valueOperand, value: p.value()}
	case p.tok.kind == tokenWord && scan(p.text, p.tok.end).text == "(":
		return p.updateFunction()
	}
	return operand{kind: pathOperand, path: p.path()}
}

func (p *parser) updateFunction() operand {
	name := p.tok.text
	if !isUpdateFunction(name) {
		if _, known := conditionFunctions[name]; known || name == "size" {
			p.fail("The function is not allowed in an update expression; function: %s", name)
		}
		p.fail("Invalid function name; function: %s", name)
		return operand{}
	}
	p.next()
	p.operators++
	p.need("(")
	if !p.deeper() {
		return operand{}
	}
	defer func() { p.nesting-- }()
	var args []operand
	for more := p.err == nil && p.tok.text != ")"; more && p.err == nil; more = p.sign(",") {
		args = append(args, p.setOperand())
	}
	p.need(")")
	if len(args) != 2 {
		p.fail("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(args))
		return operand{}
	}
	if name == "list_append" {
		return operand{kind: listAppend, args: args}
	}
	if args[0].kind != pathOperand {
		p.fail("Operator or function requires a document path; operator or function: %s", name)
	}
	return operand{kind: ifNotExists, args: args}
}
