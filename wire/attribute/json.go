package attribute

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"sync"
	"unicode/utf8"
	"unsafe"

	"fogbank/aws"
)

// AppendJSON appends the value as DynamoDB's JSON, {"S":"…"}.
func (v Value) AppendJSON(b []byte) []byte {
	if v.typ == TypeNone || v.typ == typeInvalid {
		return append(b, "{}"...)
	}
	b = append(b, `{"`...)
	b = append(b, typeNames[v.typ]...)
	b = append(b, `":`...)
	switch v.typ {
	case TypeS, TypeN, TypeB:
		b = v.appendBare(b)
	case TypeBOOL:
		if v.flag {
			b = append(b, "true"...)
		} else {
			b = append(b, "false"...)
		}
	case TypeNULL:
		b = append(b, "true"...)
	case TypeM:
		b = v.Map().AppendJSON(b)
	default:
		b = v.appendElements(b)
	}
	return append(b, '}')
}

func (v Value) appendElements(b []byte) []byte {
	b = append(b, '[')
	for i, e := range v.List() {
		if i > 0 {
			b = append(b, ',')
		}
		if v.typ == TypeL {
			b = e.AppendJSON(b)
		} else {
			b = e.appendBare(b)
		}
	}
	return append(b, ']')
}

// appendBare appends the JSON string of an S, N or B.
func (v Value) appendBare(b []byte) []byte {
	s := v.Text()
	if v.typ != TypeB {
		return appendString(b, s)
	}
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, unsafe.Slice(unsafe.StringData(s), len(s)))
	return append(b, '"')
}

// AppendJSON appends the item as a JSON object of values; null when it is nil.
func (it Item) AppendJSON(b []byte) []byte {
	if it == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i := range it {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, it[i].Name), ':')
		b = it[i].Value.AppendJSON(b)
	}
	return append(b, '}')
}

// MarshalJSON is AppendJSON, for encoding/json.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// UnmarshalJSON is ParseJSON, for encoding/json.
func (v *Value) UnmarshalJSON(b []byte) error { _, err := v.ParseJSON(b); return err }

// MarshalJSON is AppendJSON, for encoding/json.
func (it Item) MarshalJSON() ([]byte, error) { return it.AppendJSON(nil), nil }

// UnmarshalJSON is ParseJSON, for encoding/json.
func (it *Item) UnmarshalJSON(b []byte) error { _, err := it.ParseJSON(b); return err }

// String returns the value's JSON.
func (v Value) String() string { return string(v.AppendJSON(nil)) }

// String returns the item's JSON.
func (it Item) String() string { return string(it.AppendJSON(nil)) }

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// plainRun counts the leading bytes that are ASCII and stand for themselves in a JSON string, eight at a
// time, which saves a third of BenchmarkAppendJSON. It stops at eight
// of which one may not: the high bit of a byte is set there already, or by subtracting what it is below.
func plainRun(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := binary.LittleEndian.Uint64(s[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		if ((w-ones*0x20)|(quote-ones)|(slash-ones)|w)&high != 0 {
			break
		}
	}
	for i < len(s) && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' && s[i] < utf8.RuneSelf {
		i++
	}
	return i
}

const hex = "0123456789abcdef"

// appendString appends s as a JSON string; a byte that is no UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	raw := unsafe.Slice(unsafe.StringData(s), len(s))
	for i := plainRun(raw); i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i += plainRun(raw[i:])
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// parser reads values from JSON. The stacks hold the members of the containers being read; the arena
// all text, which the values then share. Parsers are pooled for their stacks, not for the arena.
type parser struct {
	in    []byte
	arena []byte
	attrs []Attribute
	vals  []Value
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// A parser's first chunk of text is at most firstArena bytes, since what follows in the input may not be its
// item's; maxArena bounds the others, lest one small string keep a whole batch in memory.
const (
	firstArena = 2 << 10
	maxArena   = 16 << 10
)

func newParser(b []byte) *parser {
	p := parsers.Get().(*parser)
	p.in = b
	return p
}

func (p *parser) release() {
	clear(p.attrs[:cap(p.attrs)])
	clear(p.vals[:cap(p.vals)])
	if cap(p.attrs) > 256 || cap(p.vals) > 256 {
		p.attrs, p.vals = nil, nil
	}
	*p = parser{attrs: p.attrs[:0], vals: p.vals[:0]}
	parsers.Put(p)
}

// ParseJSON reads one value from the front of b. The error is a SerializationException for what is no
// AttributeValue by its JSON types, a ValidationException for nesting beyond 32 levels; what
// is wrong inside a value is Check's to tell. The value does not share b.
func (v *Value) ParseJSON(b []byte) (rest []byte, err error) {
	p := newParser(b)
	defer p.release()
	*v, err = p.value(0)
	return p.in, err
}

// ParseJSON reads one object of values from the front of b, null giving a nil Item; errors as Value's.
func (it *Item) ParseJSON(b []byte) (rest []byte, err error) {
	p := newParser(b)
	defer p.release()
	*it, err = p.item(0)
	return p.in, err
}

func malformed(format string, args ...any) error {
	return aws.Errorf("SerializationException", 400, format, args...)
}

var errSyntax = malformed("Unexpected end-of-input or malformed JSON")

func (p *parser) space() byte {
	for i, c := range p.in {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			p.in = p.in[i:]
			return c
		}
	}
	p.in = nil
	return 0
}

func (p *parser) literal(word string) bool {
	if len(p.in) >= len(word) && string(p.in[:len(word)]) == word {
		p.in = p.in[len(word):]
		return true
	}
	return false
}

func (p *parser) null() bool { return p.space() == 'n' && p.literal("null") }

// mismatch names what stands where a value of the Java type want was expected, as the service does.
func (p *parser) mismatch(want string) error {
	switch c := p.space(); {
	case c == '"':
		return malformed("STRING_VALUE cannot be converted to %s", want)
	case c == 't':
		return malformed("TRUE_VALUE cannot be converted to %s", want)
	case c == 'f':
		return malformed("FALSE_VALUE cannot be converted to %s", want)
	case c == '-' || c >= '0' && c <= '9':
		return malformed("NUMBER_VALUE cannot be converted to %s", want)
	case c == '[':
		return malformed("Start of list found where not expected")
	case c == '{':
		return malformed("Start of structure or map found where not expected")
	}
	return errSyntax
}

// next steps over the comma or the end of a container; done is true at the end.
func (p *parser) next(end byte, first bool) (done bool, err error) {
	c := p.space()
	if c == end {
		p.in = p.in[1:]
		return true, nil
	}
	if first {
		return false, nil
	}
	if c != ',' {
		return false, errSyntax
	}
	p.in = p.in[1:]
	return false, nil
}

// key reads a member's name and the colon; the name may share the input.
func (p *parser) key() ([]byte, error) {
	if p.space() != '"' {
		return nil, errSyntax
	}
	k, err := p.quoted()
	if err != nil {
		return nil, err
	}
	if p.space() != ':' {
		return nil, errSyntax
	}
	p.in = p.in[1:]
	return k, nil
}

// quoted reads a string; without escapes it shares the input.
func (p *parser) quoted() ([]byte, error) {
	ascii := true
	for i := 1; i < len(p.in); i++ {
		if ascii {
			i += plainRun(p.in[i:])
			if i == len(p.in) {
				break
			}
		}
		switch c := p.in[i]; {
		case c == '"':
			s := p.in[1:i]
			p.in = p.in[i+1:]
			if !ascii && !utf8.Valid(s) {
				s = bytes.ToValidUTF8(s, []byte("\uFFFD"))
			}
			return s, nil
		case c == '\\':
			return p.escaped(i)
		case c < 0x20:
			return nil, errSyntax
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, errSyntax
}

// escaped is quoted from the first escape on; rare enough for encoding/json.
func (p *parser) escaped(i int) ([]byte, error) {
	for ; i < len(p.in); i++ {
		switch p.in[i] {
		case '\\':
			i++
		case '"':
			var s string
			if json.Unmarshal(p.in[:i+1], &s) != nil {
				return nil, errSyntax
			}
			p.in = p.in[i+1:]
			return []byte(s), nil
		}
	}
	return nil, errSyntax
}

// keep copies s into the arena.
func (p *parser) keep(s []byte) string {
	if len(s) == 0 {
		return ""
	}
	p.reserve(len(s))
	start := len(p.arena)
	p.arena = append(p.arena, s...)
	return unsafe.String(&p.arena[start], len(s))
}

func (p *parser) reserve(n int) {
	if cap(p.arena)-len(p.arena) < n {
		most := maxArena
		if p.arena == nil {
			most = firstArena
		}
		p.arena = make([]byte, 0, max(n, min(n+len(p.in), most)))
	}
}

func (p *parser) text() (string, error) {
	if p.space() != '"' {
		return "", p.mismatch("String")
	}
	s, err := p.quoted()
	if err != nil {
		return "", err
	}
	return p.keep(s), nil
}

func (p *parser) item(depth int) (Item, error) {
	if p.null() {
		return nil, nil
	}
	if p.space() != '{' {
		return nil, p.mismatch("Map")
	}
	p.in = p.in[1:]
	base := len(p.attrs)
	for first := true; ; first = false {
		done, err := p.next('}', first)
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
		k, err := p.key()
		if err != nil {
			return nil, err
		}
		name := p.keep(k)
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		p.attrs = append(p.attrs, Attribute{name, v})
	}
	item := MakeItem(append(make(Item, 0, len(p.attrs)-base), p.attrs[base:]...)...)
	p.attrs = p.attrs[:base]
	return item, nil
}

// value reads {"S":"…"}. Members it does not know are passed over, null ones are absent.
func (p *parser) value(depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, aws.Errorf("ValidationException", 400, "%s", tooDeep)
	}
	if p.null() {
		return Value{}, nil
	}
	if p.space() != '{' {
		if p.space() == '[' {
			return Value{}, malformed("Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue")
		}
		return Value{}, malformed("Unexpected value type in payload")
	}
	p.in = p.in[1:]
	var v Value
	for first := true; ; first = false {
		done, err := p.next('}', first)
		if err != nil || done {
			return v, err
		}
		k, err := p.key()
		if err != nil {
			return v, err
		}
		t := ParseType(string(k))
		if t == TypeNone {
			if err := p.skip(0); err != nil {
				return v, err
			}
			continue
		}
		if p.null() {
			continue
		}
		member, err := p.member(t, depth)
		if err != nil {
			return v, err
		}
		if v.typ != TypeNone {
			member = invalid(manyTypes)
		}
		v = member
	}
}

func (p *parser) member(t Type, depth int) (Value, error) {
	switch t {
	case TypeS:
		s, err := p.text()
		return S(s), err
	case TypeN:
		s, err := p.text()
		return N(s), err
	case TypeB:
		return p.binary()
	case TypeBOOL, TypeNULL:
		return p.boolean(t)
	case TypeM:
		m, err := p.item(depth + 1)
		return M(m), err
	}
	return p.list(t, depth)
}

func (p *parser) boolean(t Type) (Value, error) {
	c := p.space()
	truth := c == 't' && p.literal("true")
	if !truth && !(c == 'f' && p.literal("false")) {
		return Value{}, p.mismatch("Boolean")
	}
	switch {
	case t == TypeBOOL:
		return BOOL(truth), nil
	case truth:
		return NULL(), nil
	}
	return invalid(falseNull), nil
}

func (p *parser) binary() (Value, error) {
	if p.space() != '"' {
		return Value{}, p.mismatch("ByteBuffer")
	}
	s, err := p.quoted()
	if err != nil {
		return Value{}, err
	}
	if len(s)%4 != 0 {
		return Value{}, malformed("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(s))
	}
	n := base64.StdEncoding.DecodedLen(len(s))
	p.reserve(n)
	start := len(p.arena)
	out, err := base64.StdEncoding.Strict().AppendDecode(p.arena, s)
	if err != nil {
		return Value{}, malformed("Invalid Base64 encoding")
	}
	p.arena = out
	return textual(TypeB, unsafe.String(unsafe.SliceData(out[start:]), len(out)-start)), nil
}

func (p *parser) list(t Type, depth int) (Value, error) {
	if p.space() != '[' {
		return Value{}, p.mismatch("List")
	}
	p.in = p.in[1:]
	base := len(p.vals)
	for first := true; ; first = false {
		done, err := p.next(']', first)
		if err != nil {
			return Value{}, err
		}
		if done {
			break
		}
		var v Value
		if t == TypeL {
			v, err = p.value(depth + 1)
		} else {
			v, err = p.member(t.Element(), depth+1)
		}
		if err != nil {
			return Value{}, err
		}
		p.vals = append(p.vals, v)
	}
	list := slices.Clone(p.vals[base:])
	p.vals = p.vals[:base]
	if t == TypeL {
		return listed(t, list), nil
	}
	return Set(t, list), nil
}

// skip passes over one JSON value of any kind, nested at most as deep as values are.
func (p *parser) skip(depth int) error {
	if depth > 2*MaxDepth {
		return errSyntax
	}
	switch c := p.space(); c {
	case '"':
		_, err := p.quoted()
		return err
	case '{', '[':
		p.in = p.in[1:]
		for first := true; ; first = false {
			done, err := p.next(c+2, first)
			if err != nil || done {
				return err
			}
			if c == '{' {
				if _, err := p.key(); err != nil {
					return err
				}
			}
			if err := p.skip(depth + 1); err != nil {
				return err
			}
		}
	}
	n := bytes.IndexAny(p.in, ",]} \n\r\t")
	if n <= 0 || !json.Valid(p.in[:n]) {
		return errSyntax
	}
	p.in = p.in[n:]
	return nil
}
