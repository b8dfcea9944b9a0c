package pattern

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// reserved are the words AWS does not allow as field names inside $or.
var reserved = []string{"exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard",
	"numeric", "cidr", "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after",
	"date-on-or-after", "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range"}

// Parse reads a pattern of a kind. The error is a *SyntaxError, ErrNested, ErrTooManyKeys or ErrTooComplex.
func Parse(kind Kind, source []byte) (*Pattern, error) {
	if len(source) > MaxPolicySize {
		return nil, ErrTooComplex
	}
	p := &parser{scanner: scanner{b: source}, kind: kind, any: []map[string]constraint{{}}}
	err := p.document()
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		syntax.Source = string(source)
	}
	if err != nil {
		return nil, err
	}
	pattern := &Pattern{any: make([]conjunction, 0, len(p.any))}
	for _, fields := range p.any {
		pattern.any = append(pattern.any, slices.SortedFunc(maps.Values(fields),
			func(a, b constraint) int { return strings.Compare(a.path, b.path) }))
	}
	return pattern, nil
}

// maxCopied bounds the fields of all alternatives that the $or fields of a pattern multiply to.
const maxCopied = 100_000

// parser reads one pattern into alternatives of conjunctions.
type parser struct {
	scanner
	kind   Kind
	path   []string
	inOr   int                     // how many $or surround the front
	any    []map[string]constraint // by path
	keys   int                     // top-level keys, those within $or included
	level  int                     // objects around the front
	copied int                     // fields copied into the alternatives of $or
}

func (p *parser) document() error {
	if p.front() != '{' {
		return p.failAt(min(p.pos+1, len(p.b)), "Filter is not an object")
	}
	combinations, err := p.object()
	if err != nil {
		return err
	}
	if p.front(); p.pos < len(p.b) {
		return p.unexpected("the end of the pattern")
	}
	if p.kind == Attributes || p.kind == Body {
		switch {
		case p.keys > MaxPolicyKeys:
			return ErrTooManyKeys
		case combinations > MaxPolicyCombinations:
			return ErrTooComplex
		}
	}
	return nil
}

// object reads an object of fields and returns its combinations: the product
// over its fields of the number of values times the depth.
func (p *parser) object() (combinations int, err error) {
	p.level++
	fields := 0
	combinations = 1
	err = p.list('}', func() error {
		fields++
		key, err := p.key()
		if err != nil {
			return err
		}
		n, err := p.field(string(key))
		combinations = min(combinations*n, 1<<30)
		return err
	})
	if err == nil && fields == 0 {
		err = p.fail("Empty objects are not allowed")
	}
	p.level--
	return combinations, err
}

// field reads one field's value and returns its combinations.
func (p *parser) field(key string) (int, error) {
	if key == "$or" {
		return p.or()
	}
	if p.inOr > 0 && slices.Contains(reserved, key) {
		return 0, p.fail("%s is Ruler reserved fieldName which cannot be used inside $or.", key)
	}
	if p.level == 1 {
		p.keys++
	}
	switch p.front() {
	case '{':
		if p.kind == Attributes {
			return 0, ErrNested
		}
		p.path = append(p.path, key)
		n, err := p.object()
		p.path = p.path[:len(p.path)-1]
		return n, err
	case '[':
		return p.values(strings.Join(append(p.path, key), "."))
	}
	at := p.pos
	if v, err := p.scalar(); err != nil {
		return 0, err
	} else if v.kind == stringValue {
		return 0, p.failAt(at+1, "%q must be an object or an array", key) // AWS stops before it reads a string
	}
	return 0, p.fail("%q must be an object or an array", key)
}

// or reads the alternatives of $or: what was read so far holds together with each of them.
func (p *parser) or() (int, error) {
	if p.front() != '[' {
		return 0, p.failAt(min(p.pos+1, len(p.b)), "It must be an Array followed with $or.")
	}
	before, objects, sum := p.any, 0, 0
	p.any = nil
	p.inOr++
	p.level-- // the objects in the array are as deep as $or itself
	err := p.list(']', func() error {
		if p.front() != '{' {
			return p.failAt(min(p.pos+1, len(p.b)), "Only JSON object is allowed in array of $or relationship.")
		}
		objects++
		done := p.any
		if len(done)+len(before) > MaxAlternatives {
			return ErrTooComplex
		}
		p.any = make([]map[string]constraint, len(before))
		for i, fields := range before {
			if p.copied += len(fields); p.copied > maxCopied {
				return ErrTooComplex
			}
			p.any[i] = maps.Clone(fields)
		}
		n, err := p.object()
		sum = min(sum+n, 1<<30)
		if len(done)+len(p.any) > MaxAlternatives {
			return ErrTooComplex
		}
		p.any = append(done, p.any...)
		return err
	})
	p.level++
	p.inOr--
	if err == nil && objects < 2 {
		err = p.fail("There must have at least 2 Objects in $or relationship.")
	}
	return sum, err
}

// values reads the array of alternatives at a path.
func (p *parser) values(path string) (int, error) {
	c := constraint{path: path}
	n := 0
	err := p.list(']', func() error {
		n++
		switch p.front() {
		case '{':
			return p.operator(&c)
		case '[':
			return p.failAt(p.pos+1, "Match value must be String, number, true, false, or null")
		}
		v, err := p.scalar()
		c.terms = append(c.terms, exactly(v)...)
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, p.fail("Empty arrays are not allowed")
	}
	for _, fields := range p.any {
		if _, twice := fields[path]; twice {
			return 0, p.fail("Path `%s` cannot be allowed multiple times", path)
		}
		fields[path] = c
	}
	return n * p.level, nil
}

// exactly returns the terms of a plain value. An IPv6 address equals its other spellings.
func exactly(v value) []term {
	switch v.kind {
	case stringValue:
		terms := []term{{op: opString, text: string(v.text)}}
		if a, ok := address(v.text); ok && a.Is6() {
			terms = append(terms, term{op: opCIDR, first: a, last: a})
		}
		return terms
	case numberValue:
		return []term{number(v)}
	}
	return []term{{op: opLiteral, kind: v.kind}}
}

func number(v value) term {
	if v.comparable {
		return term{op: opNumber, low: v.number}
	}
	return term{op: opNumberText, text: string(v.text)}
}

// operator reads a match expression, an object of one key, into c.
func (p *parser) operator(c *constraint) error {
	name, err := p.open("Match expression name not found")
	if err != nil {
		return err
	}
	switch name {
	case "exactly", "prefix", "suffix", "equals-ignore-case", "wildcard", "cidr":
		if name == "wildcard" && p.kind == Filter {
			break
		}
		t, err := p.textOperator(name)
		if err != nil {
			return err
		}
		c.terms = append(c.terms, t)
		return p.close("Only one key allowed in match expression")
	case "numeric":
		t, err := p.numeric()
		if err != nil {
			return err
		}
		c.terms = append(c.terms, t)
		return p.close("Too many elements in numeric expression")
	case "anything-but":
		t, err := p.anythingBut()
		if err != nil {
			return err
		}
		c.terms = append(c.terms, t)
		return p.close("Too many elements in numeric expression")
	case "exists":
		v, err := p.operand()
		switch {
		case err != nil:
			return err
		case v.kind == trueValue:
			c.terms = append(c.terms, term{op: opExists})
		case v.kind == falseValue:
			c.absent = true
		default:
			return p.fail("exists match pattern must be either true or false.")
		}
		return p.close("Only one key allowed in match expression")
	}
	return p.fail("Unrecognized match type %s", name)
}

// open reads the brace, key and colon of a one-key object.
func (p *parser) open(missing string) (string, error) {
	p.pos++
	if p.front() == '}' {
		p.pos++
		return "", p.fail("%s", missing)
	}
	key, err := p.key()
	p.front()
	return string(key), err
}

// close reads the brace that ends a one-key object.
func (p *parser) close(otherwise string) error {
	if p.take('}') {
		return nil
	}
	if p.take(',') {
		p.front()
		if _, err := p.key(); err != nil {
			return err
		}
		return p.fail("%s", otherwise)
	}
	return p.unexpected("'}' to close Object")
}

// operand reads a scalar, or takes the opening bracket of anything else, which is then of no kind.
func (p *parser) operand() (value, error) {
	if c := p.front(); c == '{' || c == '[' {
		p.pos++
		return value{kind: noValue}, nil
	}
	return p.scalar()
}

// noValue is the kind of an operand that is not a scalar.
const noValue valueKind = 255

// textOperator reads the operand of an operator on strings.
func (p *parser) textOperator(name string) (term, error) {
	if (name == "prefix" || name == "suffix") && p.front() == '{' {
		title := strings.ToUpper(name[:1]) + name[1:]
		inner, err := p.open(title + " expression name not found")
		if err != nil {
			return term{}, err
		}
		if inner != "equals-ignore-case" {
			return term{}, p.fail("Unsupported %s pattern: %s", name, inner)
		}
		t, err := p.textOperator(inner)
		if err != nil {
			return term{}, err
		}
		t.op = opPrefixFold
		if name == "suffix" {
			t.op = opSuffixFold
		}
		return t, p.close("Only one key allowed in match expression")
	}
	v, err := p.operand()
	if err != nil {
		return term{}, err
	}
	if v.kind != stringValue {
		if name == "exactly" {
			name = "exact"
		} else if name == "cidr" {
			name = "prefix" // AWS's own words
		}
		return term{}, p.fail("%s match pattern must be a string", name)
	}
	return p.textTerm(name, string(v.text))
}

// textTerm makes the term of an operator and its string.
func (p *parser) textTerm(name, text string) (term, error) {
	switch name {
	case "prefix":
		return term{op: opPrefix, text: text}, nil
	case "suffix":
		return term{op: opSuffix, text: text}, nil
	case "equals-ignore-case":
		return term{op: opFold, text: string(fold([]byte(text)))}, nil
	case "wildcard":
		parts, err := p.wildcard(text)
		return term{op: opWildcard, text: text, parts: parts}, err
	case "cidr":
		return p.cidr(text)
	}
	return term{op: opString, text: text}, nil
}

// wildcard splits text at its stars; backslash escapes a star or itself. AWS counts
// positions in the text with its opening quote.
func (p *parser) wildcard(text string) ([]string, error) {
	var parts []string
	var part []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			if i+1 < len(text) && text[i+1] == '*' {
				return nil, p.fail("Consecutive wildcard characters at pos %d", i+1)
			}
			parts = append(parts, string(part))
			part = part[:0]
		case '\\':
			if i+1 >= len(text) || text[i+1] != '*' && text[i+1] != '\\' {
				return nil, p.fail("Invalid escape character at pos %d", i+1)
			}
			i++
			part = append(part, text[i])
		default:
			part = append(part, c)
		}
	}
	return append(parts, string(part)), nil
}

// cidr parses address/bits. The range runs from the address given, as
// AWS has it, to the end of its network.
func (p *parser) cidr(text string) (term, error) {
	base, mask, ok := strings.Cut(text, "/")
	if !ok || strings.Contains(mask, "/") {
		return term{}, p.fail("Malformed CIDR, one '/' required")
	}
	bits, err := strconv.Atoi(mask)
	if err != nil {
		return term{}, p.fail("Malformed CIDR, mask bits must be an integer")
	}
	if bits < 0 {
		return term{}, p.fail("Malformed CIDR, mask bits must not be negative")
	}
	first, ok := address([]byte(base))
	if !ok {
		return term{}, p.fail("Nonstandard IP address: %s", base)
	}
	if first.Is4() && bits > 32 {
		return term{}, p.fail("IPv4 mask bits must be < 32")
	}
	if bits > 128 {
		return term{}, p.fail("IPv6 mask bits must be < 128")
	}
	raw := first.AsSlice()
	for i := range raw {
		kept := min(max(bits-8*i, 0), 8)
		raw[i] |= 0xff >> kept
	}
	last, _ := netip.AddrFromSlice(raw)
	return term{op: opCIDR, first: first, last: last}, nil
}

// anythingBut reads the operand of anything-but: a value, a list of values
// of one type, or an operator on strings with one string or a list.
func (p *parser) anythingBut() (term, error) {
	t := term{op: opNot}
	name, nested := "", p.front() == '{'
	if nested {
		var err error
		if name, err = p.open("Anything-But expression name not found"); err != nil {
			return t, err
		}
		if !slices.Contains([]string{"equals-ignore-case", "prefix", "suffix", "wildcard"}, name) ||
			name == "wildcard" && p.kind == Filter {
			return t, p.fail("Unsupported anything-but pattern: %s", name)
		}
	}
	one := func() error {
		v, err := p.operand()
		if err != nil {
			return err
		}
		inner, err := p.excluded(name, v)
		t.not = append(t.not, inner)
		return err
	}
	var err error
	switch c := p.front(); {
	case c == '[':
		err = p.list(']', one)
	case c == '"' || c == '-' || c >= '0' && c <= '9':
		err = one()
	default:
		if _, err = p.operand(); err == nil {
			err = p.fail("Value of anything-but must be an array or single string/number value.")
		}
	}
	if err == nil && name == "" && !sameType(t.not) {
		err = p.fail("Inside anything but list, either all values are number or string, mixed type is not supported")
	}
	if err == nil && nested {
		err = p.close("Too many elements in numeric expression")
	}
	return t, err
}

// excluded makes the term of one excluded value under an operator, "" being equality.
func (p *parser) excluded(name string, v value) (term, error) {
	if v.kind == stringValue {
		if v.text = v.text[:len(v.text):len(v.text)]; len(v.text) == 0 && (name == "prefix" || name == "suffix") {
			return term{}, p.fail("Null prefix/suffix not allowed")
		}
		return p.textTerm(name, string(v.text))
	}
	switch name {
	case "":
		if v.kind != numberValue {
			return term{}, p.fail("Inside anything but list, start|null|boolean is not supported.")
		}
		if !v.comparable {
			return term{}, p.outOfRange()
		}
		return number(v), nil
	case "equals-ignore-case":
		return term{}, p.fail("Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
	case "wildcard":
		return term{}, p.fail("wildcard match pattern must be a string")
	}
	return term{}, p.fail("prefix/suffix match pattern must be a string")
}

// sameType reports whether terms, which are not none, are all of strings or all of numbers.
func sameType(terms []term) bool {
	for _, t := range terms {
		if t.op != terms[0].op {
			return false
		}
	}
	return len(terms) > 0
}

func (p *parser) outOfRange() error {
	return p.fail("Value must be between -5.0E9 and 5.0E9, inclusive")
}
