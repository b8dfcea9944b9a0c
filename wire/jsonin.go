package wire

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	maxDepth    = 64      // of nested structures, lists and maps
	maxNumber   = 400     // digits of a number
	maxElements = 1 << 17 // of all lists and maps of one request together; AWS's longest list has 10,000
)

// jsonDecoder reads JSON straight into generated structs. It allocates only the values.
type jsonDecoder struct {
	data     []byte // valid UTF-8
	pos      int
	depth    int
	elements int
	model    bool // members are called as in the model, whatever the protocol calls them
	trail    *trail
}

// badInput is input that cannot be read; the caller turns it into the service's own error.
type badInput string

func (e badInput) Error() string { return string(e) }

func bad(format string, args ...any) error { return badInput(fmt.Sprintf(format, args...)) }

// The complaints of AWS's own reader.
const (
	errEnd       = badInput("Unexpected end of input")
	errToken     = badInput("Unexpected token")
	errDeep      = badInput("The request is nested too deeply")
	errMany      = badInput("The request has too many elements")
	errUTF8      = badInput("The request is not valid UTF-8")
	errStructure = badInput("Start of structure or map found where not expected.")
	errList      = badInput("Start of list found where not expected")
	errNotObject = badInput("Unexpected value type in payload")
	errTrailing  = badInput("Unexpected content after the end of the document")
)

// document reads one whole JSON document, an object, into the structure at p and returns which
// required members were seen.
func (d *jsonDecoder) document(s *Shape, p unsafe.Pointer) (seen uint64, err error) {
	if !utf8.Valid(d.data) {
		return 0, errUTF8
	}
	if d.space() != '{' {
		if d.pos == len(d.data) {
			return 0, errEnd
		}
		return 0, errNotObject
	}
	if seen, err = d.structure(s, p); err != nil {
		return 0, err
	}
	if d.space(); d.pos < len(d.data) {
		return 0, errTrailing
	}
	return seen, nil
}

// space skips white space and returns the next byte without taking it, or 0 at the end.
func (d *jsonDecoder) space() byte {
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

// next takes the separator before the next element of an object or array, or its end.
func (d *jsonDecoder) next(end byte, first bool) (more bool, err error) {
	c := d.space()
	if c == end {
		d.pos++
		return false, nil
	}
	if first {
		return true, nil
	}
	if c != ',' {
		return false, d.unexpected()
	}
	d.pos++
	if c = d.space(); c == end {
		return false, errToken
	}
	return true, nil
}

func (d *jsonDecoder) unexpected() error {
	if d.pos >= len(d.data) {
		return errEnd
	}
	return errToken
}

// literal takes word when it stands next.
func (d *jsonDecoder) literal(word string) bool {
	if len(d.data)-d.pos >= len(word) && string(d.data[d.pos:d.pos+len(word)]) == word {
		d.pos += len(word)
		return true
	}
	return false
}

// open takes the first byte of an object or array and counts the nesting.
func (d *jsonDecoder) open() error {
	d.pos++
	if d.depth++; d.depth > maxDepth {
		return errDeep
	}
	return nil
}

// structure reads an object into the struct at p. Unknown members are skipped, null ones absent.
func (d *jsonDecoder) structure(s *Shape, p unsafe.Pointer) (seen uint64, err error) {
	if err := d.open(); err != nil {
		return 0, err
	}
	for first := true; ; first = false {
		more, err := d.next('}', first)
		if err != nil {
			return 0, err
		}
		if !more {
			d.depth--
			return seen, nil
		}
		name, err := d.name()
		if err != nil {
			return 0, err
		}
		m := d.member(s, name)
		if m == nil {
			if err := d.skip(); err != nil {
				return 0, err
			}
			continue
		}
		if d.space() == 'n' && d.literal("null") {
			continue
		}
		d.trail.enter(step{member: m})
		if err := d.field(s, m, p); err != nil {
			return 0, err
		}
		d.trail.leave()
		if m.Required {
			seen |= 1 << m.bit
		}
	}
}

// member finds the member of that name which travels in the body.
func (d *jsonDecoder) member(s *Shape, name []byte) *Member {
	if d.model {
		return s.Member(string(name))
	}
	if m := s.member(name); m != nil && m.In == InBody {
		return m
	}
	return nil
}

// field reads one member's value.
func (d *jsonDecoder) field(s *Shape, m *Member, p unsafe.Pointer) error {
	if m.Events {
		return d.skip()
	}
	if d.model && m.Shape.Kind == Blob && s.Payload == m.Name && d.space() != '"' {
		start := d.pos
		if err := d.skip(); err != nil {
			return err
		}
		*(*[]byte)(m.into(p)) = append([]byte{}, d.data[start:d.pos]...)
		return nil
	}
	if m.Shape.Kind == String { // the commonest, without an indirection
		if !m.pointer {
			return d.text((*string)(unsafe.Add(p, m.offset)))
		}
		return d.text((*string)(m.into(p)))
	}
	return d.value(&m.Ref, m.into(p))
}

// name reads an object's key and its colon. The result is valid until the next read.
func (d *jsonDecoder) name() ([]byte, error) {
	if d.space() != '"' {
		return nil, d.unexpected()
	}
	raw, plain, err := d.quoted()
	if err != nil {
		return nil, err
	}
	if !plain {
		if raw, err = unescape(nil, raw); err != nil {
			return nil, err
		}
	}
	if d.space() != ':' {
		return nil, d.unexpected()
	}
	d.pos++
	return raw, nil
}

// value reads a value of any shape into p. A null where nothing may be absent is noted as missing.
func (d *jsonDecoder) value(r *Ref, p unsafe.Pointer) error {
	s := r.Shape
	c := d.space()
	switch s.Kind {
	case String:
		return d.text((*string)(p))
	case Structure:
		if c != '{' {
			return d.mismatch("Structure")
		}
		seen, err := d.structure(s, p)
		if err == nil {
			d.trail.require(s, seen)
		}
		return err
	case List:
		return d.list(s, p)
	case Map:
		return d.mapping(s, p)
	case Custom:
		rest, err := s.Type.json(p).ParseJSON(d.data[d.pos:])
		if err != nil {
			return err
		}
		d.pos = len(d.data) - len(rest)
		return nil
	case Boolean:
		switch {
		case d.literal("true"):
			*(*bool)(p) = true
		case d.literal("false"):
			*(*bool)(p) = false
		default:
			return d.mismatch("Boolean")
		}
		return nil
	case Blob:
		return d.blob((*[]byte)(p))
	}
	return d.number(r, c, p)
}

// number reads an integer, a double or a timestamp.
func (d *jsonDecoder) number(r *Ref, c byte, p unsafe.Pointer) error {
	if c == '"' && (r.Shape.Kind == Timestamp || r.Shape.Kind == Double) {
		var s string
		if err := d.text(&s); err != nil {
			return err
		}
		return scalar(r, s, UnixSeconds, p)
	}
	if c != '-' && (c < '0' || c > '9') {
		return d.mismatch(kindNames[r.Shape.Kind])
	}
	text, err := d.digits()
	if err != nil {
		return err
	}
	switch r.Shape.Kind {
	case Integer:
		n, err := whole(text, math.MinInt32, math.MaxInt32)
		*(*int32)(p) = int32(n)
		return err
	case Long:
		n, err := whole(text, math.MinInt64, math.MaxInt64)
		*(*int64)(p) = n
		return err
	case Double:
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return bad("%s is out of range", text)
		}
		*(*float64)(p) = f
		return nil
	}
	t, err := parseEpoch(string(text))
	*(*time.Time)(p) = t
	return err
}

// kindNames are Java's, as AWS's complaints name them.
var kindNames = map[Kind]string{Structure: "Structure", List: "List", Map: "Map", String: "String", Integer: "Integer",
	Long: "Long", Double: "Double", Boolean: "Boolean", Timestamp: "Date", Blob: "Blob", Custom: "Structure"}

// whole reads an integer. As AWS does, a fraction is cut off.
func whole(text []byte, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(text), 64)
		if ferr != nil || f >= math.MaxInt64 || f <= math.MinInt64 || len(text) == 0 {
			return 0, bad("%s can not be converted to an integer", text)
		}
		n = int64(f)
	}
	if n < low || n > high {
		return 0, bad("%s is out of range", text)
	}
	return n, nil
}

// digits takes a number as JSON writes it.
func (d *jsonDecoder) digits() ([]byte, error) {
	start := d.pos
	for d.pos < len(d.data) && isNumeric(d.data[d.pos]) {
		d.pos++
	}
	text := d.data[start:d.pos]
	if len(text) > maxNumber || !validNumber(text) {
		return nil, errToken
	}
	return text, nil
}

func isNumeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// validNumber checks JSON's grammar of numbers.
func validNumber(b []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		b = b[n:]
		return n > 0
	}
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 1 && b[0] == '0' && b[1] >= '0' && b[1] <= '9' || !digits() {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		if b = b[1:]; !digits() {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

// list reads an array. A null among the elements is noted as missing.
func (d *jsonDecoder) list(s *Shape, p unsafe.Pointer) error {
	if d.space() != '[' {
		return d.mismatch("List")
	}
	if err := d.open(); err != nil {
		return err
	}
	s.Type.open(p)
	for i := 1; ; i++ {
		more, err := d.next(']', i == 1)
		if err != nil {
			return err
		}
		if !more {
			d.depth--
			return nil
		}
		if d.elements++; d.elements > maxElements {
			return errMany
		}
		d.trail.enter(step{index: i})
		e := s.Type.grow(p)
		if d.space() == 'n' && d.literal("null") {
			d.trail.absent()
		} else if err := d.value(&s.Elem, e); err != nil {
			return err
		}
		d.trail.leave()
	}
}

// mapping reads an object into a map; null values are left out.
func (d *jsonDecoder) mapping(s *Shape, p unsafe.Pointer) error {
	if d.space() != '{' {
		return d.mismatch("Map")
	}
	if err := d.open(); err != nil {
		return err
	}
	s.Type.open(p)
	var v unsafe.Pointer
	for first := true; ; first = false {
		more, err := d.next('}', first)
		if err != nil {
			return err
		}
		if !more {
			d.depth--
			return nil
		}
		raw, err := d.name()
		if err != nil {
			return err
		}
		if d.space() == 'n' && d.literal("null") {
			continue
		}
		if d.elements++; d.elements > maxElements {
			return errMany
		}
		key := string(raw)
		d.trail.enter(step{key: key})
		if v == nil {
			v = s.Type.elem()
		}
		if err := d.value(&s.Elem, v); err != nil {
			return err
		}
		s.Type.put(p, key, v)
		d.trail.leave()
	}
}

// blob reads base64 text.
func (d *jsonDecoder) blob(to *[]byte) error {
	if d.space() != '"' {
		return d.mismatch("Blob")
	}
	raw, plain, err := d.quoted()
	if err == nil && !plain {
		raw, err = unescape(nil, raw)
	}
	if err != nil {
		return err
	}
	*to, err = decodeBase64(raw)
	return err
}

// decodeBase64 accepts padded and unpadded text; the result is never nil.
func decodeBase64(raw []byte) ([]byte, error) {
	enc := base64.StdEncoding
	if len(raw)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	b := make([]byte, enc.DecodedLen(len(raw)))
	n, err := enc.Decode(b, raw)
	if err != nil {
		return nil, badInput("The base64 text is not valid")
	}
	return b[:n], nil
}

// text reads a string into a fresh copy.
func (d *jsonDecoder) text(to *string) error {
	if d.space() != '"' {
		return d.mismatch("String")
	}
	raw, plain, err := d.quoted()
	if err != nil {
		return err
	}
	if plain {
		*to = string(raw)
		return nil
	}
	b, err := unescape(make([]byte, 0, len(raw)), raw)
	*to = unsafe.String(unsafe.SliceData(b), len(b)) // b is ours alone
	return err
}

// quoted takes a string and returns what is between its quotes; plain means no escapes in it.
func (d *jsonDecoder) quoted() (raw []byte, plain bool, err error) {
	start := d.pos + 1
	plain = true
	for i := start; ; {
		i += plainRun(d.data[i:])
		if i >= len(d.data) {
			return nil, false, errEnd
		}
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			return d.data[start:i], plain, nil
		case c == '\\':
			plain = false
			i += 2
			if i > len(d.data) {
				return nil, false, errEnd
			}
		default:
			return nil, false, badInput("Illegal unquoted character in a string")
		}
	}
}

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// special marks, by the high bit of its byte, the first of the eight bytes in w that does not
// stand for itself in a JSON string: a control character, the quote or the backslash. Bytes
// after the first may be marked without cause.
func special(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	return ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & high
}

// plainRun counts the leading bytes that stand for themselves in a JSON string.
func plainRun(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// asciiRun counts the leading bytes that stand for themselves and are ASCII.
func asciiRun(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := special(w) | w&high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// unescape appends raw to b with its escapes resolved. Half a surrogate pair becomes U+FFFD.
func unescape(b, raw []byte) ([]byte, error) {
	for i := 0; i < len(raw); {
		n := plainRun(raw[i:])
		b = append(b, raw[i:i+n]...)
		if i += n; i >= len(raw) {
			break
		}
		if i+1 >= len(raw) {
			return b, errEnd
		}
		c := raw[i+1]
		i += 2
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, size := unicodeEscape(raw[i:])
			if size == 0 {
				return b, badInput("Unrecognized character escape")
			}
			b = utf8.AppendRune(b, r)
			i += size
		default:
			return b, badInput("Unrecognized character escape")
		}
	}
	return b, nil
}

// unicodeEscape reads what follows \u, both halves of a surrogate pair; size 0 means it cannot.
func unicodeEscape(raw []byte) (r rune, size int) {
	first, ok := hex4(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 4
	}
	if len(raw) >= 10 && raw[4] == '\\' && raw[5] == 'u' {
		if second, ok := hex4(raw[6:]); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, 10
			}
		}
	}
	return utf8.RuneError, 4
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		n := hexDigit(c)
		if n < 0 {
			return 0, false
		}
		r = r<<4 | rune(n)
	}
	return r, true
}

// hexDigit is the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// mismatch words the complaint about a value of the wrong type.
func (d *jsonDecoder) mismatch(want string) error {
	switch c := d.space(); {
	case c == 0:
		return errEnd
	case c == '{':
		return errStructure
	case c == '[':
		return errList
	case c == '"':
		return bad("STRING_VALUE cannot be converted to %s", want)
	case d.literal("true"):
		return bad("TRUE_VALUE cannot be converted to %s", want)
	case d.literal("false"):
		return bad("FALSE_VALUE cannot be converted to %s", want)
	case c == '-' || c >= '0' && c <= '9':
		return bad("NUMBER_VALUE cannot be converted to %s", want)
	}
	return errToken
}

// skip passes over one value of any type, checking its grammar.
func (d *jsonDecoder) skip() error {
	switch c := d.space(); {
	case c == '{' || c == '[':
		return d.skipNested(c)
	case c == '"':
		raw, plain, err := d.quoted()
		if err == nil && !plain {
			_, err = unescape(nil, raw)
		}
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := d.digits()
		return err
	case d.literal("true"), d.literal("false"), d.literal("null"):
		return nil
	}
	return d.unexpected()
}

func (d *jsonDecoder) skipNested(c byte) error {
	end := c + 2 // ']' and '}' both follow their opening byte by two
	if err := d.open(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := d.next(end, first)
		if err != nil {
			return err
		}
		if !more {
			d.depth--
			return nil
		}
		if c == '{' {
			if _, err := d.name(); err != nil {
				return err
			}
		}
		if err := d.skip(); err != nil {
			return err
		}
	}
}
