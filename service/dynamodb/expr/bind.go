package expr

import (
	"slices"
	"strconv"
	"strings"

	"fogbank/wire/attribute"
)

// Request is what a request gives its expressions to work with: ExpressionAttributeNames and
// ExpressionAttributeValues, nil when absent. Bind each expression to it, then call Finish.
type Request struct {
	Names  map[string]string
	Values attribute.Item
	bound  [4]*tree
	count  int
}

// Given returns the error of placeholders that no expression of the request can have. names tells whether there is an expression
// at all, valued which of those that can have values there are; takers are the names of these parameters.
func (r *Request) Given(names bool, valued []*string, takers ...string) error {
	if r.Names != nil && !names {
		return validation("ExpressionAttributeNames can only be specified when using expressions")
	}
	if r.Values == nil {
		return nil
	}
	for _, text := range valued {
		if text != nil {
			return nil
		}
	}
	are := "is"
	if len(takers) > 1 {
		are = "are"
	}
	return validation("ExpressionAttributeValues can only be specified when using expressions: %s %s null", strings.Join(takers, " and "), are)
}

// Check returns the error in the placeholders themselves.
func (r *Request) Check() error {
	if r.Names == nil && r.Values == nil {
		return nil
	}
	if r.Names != nil && len(r.Names) == 0 {
		return validation("ExpressionAttributeNames must not be empty")
	}
	for _, name := range sortedKeys(r.Names) {
		if !placeholder(name, '#') {
			return validation(`ExpressionAttributeNames contains invalid key: Syntax error; key: "%s"`, name)
		}
		if r.Names[name] == "" {
			return validation("ExpressionAttributeNames contains invalid value: Invalid attribute name; attribute name: %s", name)
		}
	}
	if r.Values != nil && len(r.Values) == 0 {
		return validation("ExpressionAttributeValues must not be empty")
	}
	for _, a := range r.Values {
		if !placeholder(a.Name, ':') {
			return validation(`ExpressionAttributeValues contains invalid key: Syntax error; key: "%s"`, a.Name)
		}
		if err := a.Value.Check(); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func placeholder(s string, mark byte) bool {
	if len(s) < 2 || len(s) > 255 || s[0] != mark {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isLetter(s[i]) && !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// Finish returns the error of names and values that no bound expression uses.
func (r *Request) Finish() error {
	var unused []string
	for name := range r.Names {
		if !r.uses(func(t *tree) []string { return t.names }, name) {
			unused = append(unused, name)
		}
	}
	if unused != nil {
		slices.Sort(unused)
		return validation("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(unused, ", "))
	}
	for _, a := range r.Values {
		if !r.uses(func(t *tree) []string { return t.values }, a.Name) {
			unused = append(unused, a.Name)
		}
	}
	if unused != nil {
		return validation("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(unused, ", "))
	}
	return nil
}

func (r *Request) uses(list func(*tree) []string, name string) bool {
	for _, t := range r.bound[:r.count] {
		if slices.Contains(list(t), name) {
			return true
		}
	}
	return false
}

// env holds the names and values of one expression, by number.
type env struct {
	tree   *tree
	names  []string
	values []attribute.Value
}

// bind parses text and looks its placeholders up. Undefined ones are left empty for the checker,
// which reports the first problem in the order of the text.
func (r *Request) bind(kind Kind, text string) (env, error) {
	t, err := parsed(kind, text)
	if err != nil {
		return env{}, err
	}
	if r.count < len(r.bound) {
		r.bound[r.count] = t
		r.count++
	}
	e := env{tree: t}
	if len(t.names) > 0 {
		e.names = make([]string, len(t.names))
		for i, n := range t.names {
			e.names[i] = r.Names[n]
		}
	}
	if len(t.values) > 0 {
		e.values = make([]attribute.Value, len(t.values))
		for i, n := range t.values {
			e.values[i], _ = r.Values.Get(n)
		}
	}
	return e, nil
}

func (e *env) name(s *step) string {
	if s.ref >= 0 {
		return e.names[s.ref]
	}
	return s.name
}

// show prints a path as error messages do: [a, b, [1]].
func (e *env) show(p path) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range p {
		if i > 0 {
			b.WriteString(", ")
		}
		if p[i].index >= 0 {
			b.WriteString("[" + strconv.Itoa(p[i].index) + "]")
		} else {
			b.WriteString(e.name(&p[i]))
		}
	}
	b.WriteByte(']')
	return b.String()
}

func (e *env) errorf(format string, args ...any) error { return e.tree.kind.errorf(format, args...) }

func (e *env) checkPath(p path) error {
	for i := range p {
		if p[i].ref >= 0 && e.names[p[i].ref] == "" {
			return e.errorf("An expression attribute name used in the document path is not defined; attribute name: %s", e.tree.names[p[i].ref])
		}
	}
	return nil
}

func (e *env) checkOperand(o *operand) error {
	switch o.kind {
	case pathOperand:
		return e.checkPath(o.path)
	case valueOperand:
		if e.values[o.value].Type() == attribute.TypeNone {
			return e.errorf("An expression attribute value used in expression is not defined; attribute value: %s", e.tree.values[o.value])
		}
		return nil
	}
	for i := range o.args {
		if err := e.checkOperand(&o.args[i]); err != nil {
			return err
		}
	}
	switch o.kind {
	case plus:
		return e.allow("+", o.args, isNumber)
	case minus:
		return e.allow("-", o.args, isNumber)
	case listAppend:
		return e.allow("list_append", o.args, func(t attribute.Type) bool { return t == attribute.TypeL })
	case sizeOperand:
		return e.allow("size", o.args, func(t attribute.Type) bool {
			return t != attribute.TypeN && t != attribute.TypeBOOL && t != attribute.TypeNULL
		})
	}
	return nil
}

func isNumber(t attribute.Type) bool { return t == attribute.TypeN }
func isText(t attribute.Type) bool   { return t == attribute.TypeS || t == attribute.TypeB }
func ordered(t attribute.Type) bool  { return t == attribute.TypeN || isText(t) }

// allow checks the types of the values among args.
func (e *env) allow(op string, args []operand, good func(attribute.Type) bool) error {
	for i := range args {
		if args[i].kind != valueOperand {
			continue
		}
		if t := e.values[args[i].value].Type(); !good(t) {
			return e.errorf("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", op, t)
		}
	}
	return nil
}

func (e *env) checkCondition(c *condition) error {
	for _, kid := range c.kids {
		if err := e.checkCondition(kid); err != nil {
			return err
		}
	}
	for i := range c.args {
		if err := e.checkOperand(&c.args[i]); err != nil {
			return err
		}
	}
	switch c.op {
	case less, lessOrEqual, greater, greaterOrEqual, between:
		if err := e.allow(c.op.String(), c.args, ordered); err != nil {
			return err
		}
	case beginsWith:
		if err := e.allow(c.op.String(), c.args, isText); err != nil {
			return err
		}
	case typeIs:
		return e.checkType(c)
	}
	if err := e.distinct(c); err != nil {
		return err
	}
	if c.op == between {
		return e.checkBounds(&c.args[1], &c.args[2])
	}
	return nil
}

func (e *env) checkType(c *condition) error {
	if c.args[1].kind != valueOperand {
		return e.errorf("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
	}
	v := e.values[c.args[1].value]
	if v.Type() != attribute.TypeS {
		return e.errorf("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: %s", v.Type())
	}
	if attribute.ParseType(v.Text()) == attribute.TypeNone {
		return e.errorf("Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", v.Text())
	}
	return nil
}

func (e *env) distinct(c *condition) error {
	if len(c.args) < 2 || c.args[0].kind != pathOperand {
		return nil
	}
	for i := range c.args[1:] {
		if o := &c.args[i+1]; o.kind == pathOperand && e.relation(c.args[0].path, o.path) == same {
			return e.errorf("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", c.op, e.show(o.path))
		}
	}
	return nil
}

func (e *env) checkBounds(low, high *operand) error {
	if low.kind != valueOperand || high.kind != valueOperand {
		return nil
	}
	a, b := e.values[low.value], e.values[high.value]
	order, ok := a.Compare(b)
	if !ok {
		return e.errorf("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s", bound(a), bound(b))
	}
	if order > 0 {
		return e.errorf("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s", bound(a), bound(b))
	}
	return nil
}

func bound(v attribute.Value) string { return "{" + v.Type().String() + ":" + v.Text() + "}" }

type relation uint8

const (
	apart    relation = iota
	same              // one leads to the other, or they are equal
	conflict          // one takes for a list what the other takes for a map
)

func (e *env) relation(a, b path) relation {
	for i := range min(len(a), len(b)) {
		if (a[i].index >= 0) != (b[i].index >= 0) {
			return conflict
		}
		if a[i].index != b[i].index || a[i].index < 0 && e.name(&a[i]) != e.name(&b[i]) {
			return apart
		}
	}
	return same
}

// checkPaths refuses paths of which one contains another.
func (e *env) checkPaths(count int, at func(int) path) error {
	for i := range count {
		if err := e.checkPath(at(i)); err != nil {
			return err
		}
	}
	for i := range count {
		for j := range i {
			switch e.relation(at(j), at(i)) {
			case same:
				return e.errorf("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", e.show(at(j)), e.show(at(i)))
			case conflict:
				return e.errorf("Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", e.show(at(j)), e.show(at(i)))
			}
		}
	}
	return nil
}
