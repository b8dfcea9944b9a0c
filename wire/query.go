package wire

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"fogbank/aws"
)

// maxPairs bounds the parameters of one query request.
const maxPairs = 1 << 15

// pair is one parameter of a form.
type pair struct{ key, value string }

// form is a form's parameters sorted by key, so that everything below a prefix is together.
type form []pair

// decodeQuery reads the parameters of the body and of the URL into the structure at v.
func decodeQuery(s *Shape, v unsafe.Pointer, r *http.Request, body []byte, t *trail) (seen uint64, err error) {
	var f form
	if f, err = f.parse(r.URL.RawQuery); err != nil {
		return 0, err
	}
	if f, err = f.parse(string(body)); err != nil {
		return 0, err
	}
	slices.SortStableFunc(f, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return f.structure(s, "", v, 0, t)
}

// parse adds the parameters of one encoded form.
func (f form) parse(s string) (form, error) {
	if strings.Count(s, "&") >= maxPairs {
		return nil, badInput("The request has too many parameters")
	}
	for s != "" {
		var part string
		part, s, _ = strings.Cut(s, "&")
		if part == "" {
			continue
		}
		rawKey, rawValue, _ := strings.Cut(part, "=")
		key, ok := unescapeForm(rawKey)
		if !ok {
			return nil, badInput("A parameter's name is not properly encoded")
		}
		value, ok := unescapeForm(rawValue)
		if !ok {
			return nil, badInput("A parameter's value is not properly encoded")
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, errUTF8
		}
		f = append(f, pair{key, value})
	}
	return f, nil
}

// unescapeForm resolves the plus signs and percent escapes of a form.
func unescapeForm(s string) (string, bool) {
	if strings.IndexByte(s, '+') < 0 && strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if len(s) < i+3 {
				return "", false
			}
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			b = append(b, byte(high<<4|low))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), true // b is ours alone
}

// get finds the parameter called key.
func (f form) get(key string) (string, bool) {
	i := sort.Search(len(f), func(i int) bool { return f[i].key >= key })
	if i < len(f) && f[i].key == key {
		return f[i].value, true
	}
	return "", false
}

// below returns the parameters whose keys begin with prefix.
func (f form) below(prefix string) form {
	lo := sort.Search(len(f), func(i int) bool { return f[i].key >= prefix })
	rest := f[lo:]
	hi := sort.Search(len(rest), func(i int) bool { return !strings.HasPrefix(rest[i].key, prefix) })
	return rest[:hi]
}

// structure reads the members called prefix+name into the struct at p.
func (f form) structure(s *Shape, prefix string, p unsafe.Pointer, depth int, t *trail) (seen uint64, err error) {
	if depth > maxDepth {
		return 0, errDeep
	}
	for i := range s.Members {
		m := &s.Members[i]
		name := prefix + f.memberName(m)
		if !f.has(name, m.Shape.Kind) {
			continue
		}
		t.enter(step{member: m})
		if err := f.value(&m.Ref, name, m.into(p), depth+1, t); err != nil {
			return 0, err
		}
		t.leave()
		if m.Required {
			seen |= 1 << m.bit
		}
	}
	return seen, nil
}

// memberName is a member's name in a request: a flattened list goes by its element's name.
func (f form) memberName(m *Member) string {
	if m.Shape.Kind == List && m.Flat {
		if n := m.Shape.Elem.queryName(""); n != "" {
			return n
		}
	}
	return m.queryName()
}

// queryName is the name a list or map gives its elements, keys or values.
func (r *Ref) queryName(otherwise string) string {
	return first(r.Query, first(r.Wire, otherwise))
}

// has reports whether anything is there for a value of that kind.
func (f form) has(name string, k Kind) bool {
	if _, ok := f.get(name); ok && k != Structure {
		return true
	}
	return (k == Structure || k == List || k == Map) && len(f.below(name+".")) > 0
}

// value reads the value called name, of any shape, into p.
func (f form) value(r *Ref, name string, p unsafe.Pointer, depth int, t *trail) error {
	if depth > maxDepth {
		return errDeep
	}
	s := r.Shape
	switch s.Kind {
	case Structure:
		seen, err := f.below(name+".").structure(s, name+".", p, depth, t)
		if err == nil {
			t.require(s, seen)
		}
		return err
	case List:
		s.Type.open(p)
		prefix := name + "."
		if !r.Flat {
			prefix += s.Elem.queryName("member") + "."
		}
		return f.below(prefix).list(s, prefix, p, depth, t)
	case Map:
		s.Type.open(p)
		prefix := name + "."
		if !r.Flat {
			prefix += "entry."
		}
		return f.below(prefix).mapping(s, prefix, p, depth, t)
	}
	text, _ := f.get(name)
	return scalar(r, text, ISO8601, p)
}

// indices lists the element numbers that follow prefix, in order. Every number stands before at
// least one parameter, so there are never more than those.
func (f form) indices(prefix string) ([]int, error) {
	var list []int
	for _, kv := range f {
		digits, _, _ := strings.Cut(kv.key[len(prefix):], ".")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 || len(digits) > 9 {
			return nil, bad("%.64q is not the number of an element", digits)
		}
		if len(list) == 0 || list[len(list)-1] != n {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (f form) list(s *Shape, prefix string, p unsafe.Pointer, depth int, t *trail) error {
	numbers, err := f.indices(prefix)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		t.enter(step{index: i + 1})
		if err := f.value(&s.Elem, prefix+strconv.Itoa(n), s.Type.grow(p), depth+1, t); err != nil {
			return err
		}
		t.leave()
	}
	return nil
}

func (f form) mapping(s *Shape, prefix string, p unsafe.Pointer, depth int, t *trail) error {
	numbers, err := f.indices(prefix)
	if err != nil {
		return err
	}
	keyName, valueName := s.Key.queryName("key"), s.Elem.queryName("value")
	v := s.Type.elem()
	for _, n := range numbers {
		at := prefix + strconv.Itoa(n) + "."
		key, ok := f.get(at + keyName)
		if !ok {
			continue
		}
		t.enter(step{key: key})
		if err := f.value(&s.Elem, at+valueName, v, depth+1, t); err != nil {
			return err
		}
		s.Type.put(p, key, v)
		t.leave()
	}
	return nil
}

// appendQueryAnswer writes the answer of a query operation.
func appendQueryAnswer(b []byte, op *Operation, v unsafe.Pointer, requestID string) []byte {
	b = append(append(append(b, '<'), op.Name...), `Response xmlns="`...)
	b = append(appendXML(b, op.API.Namespace), `">`...)
	if !op.Output.Nothing {
		b = append(append(append(b, '<'), op.Name...), "Result>"...)
		b = xmlStructure(b, op.Output, v)
		b = append(append(append(b, "</"...), op.Name...), "Result>"...)
	}
	b = append(b, "<ResponseMetadata><RequestId>"...)
	b = append(appendXML(b, requestID), "</RequestId></ResponseMetadata></"...)
	return append(append(b, op.Name...), "Response>"...)
}

// appendQueryError writes an error answer.
func appendQueryError(b []byte, api *API, e *aws.Error, code, requestID string) []byte {
	b = append(b, "<ErrorResponse"...)
	if api.Namespace != "" {
		b = append(appendXML(append(b, ` xmlns="`...), api.Namespace), '"')
	}
	b = append(append(append(b, "><Error><Type>"...), faultName(e)...), "</Type><Code>"...)
	b = append(appendXML(b, first(code, e.Code)), "</Code><Message>"...)
	b = append(appendXML(b, e.Message), "</Message>"...)
	if s, p := detailOf(e); s != nil {
		b = xmlStructure(b, s, p)
	}
	b = append(b, "</Error><RequestId>"...)
	return append(appendXML(b, requestID), "</RequestId></ErrorResponse>"...)
}

// xmlStructure writes the members of the struct at p.
func xmlStructure(b []byte, s *Shape, p unsafe.Pointer) []byte {
	for i := range s.Members {
		m := &s.Members[i]
		if f := m.at(p); f != nil {
			b = xmlValue(b, &m.Ref, m.queryName(), f)
		}
	}
	return b
}

// xmlValue writes a value of any shape as an element, or several when it is flattened.
func xmlValue(b []byte, r *Ref, name string, p unsafe.Pointer) []byte {
	s := r.Shape
	switch s.Kind {
	case List:
		if r.Flat {
			name = s.Elem.queryName(name)
			for i := range length(p) {
				b = xmlValue(b, &s.Elem, name, s.element(p, i))
			}
			return b
		}
		b = xmlTag(b, name)
		member := s.Elem.queryName("member")
		for i := range length(p) {
			b = xmlValue(b, &s.Elem, member, s.element(p, i))
		}
	case Map:
		return xmlMap(b, r, name, p)
	case Structure:
		b = xmlStructure(xmlTag(b, name), s, p)
	case String:
		b = appendXML(xmlTag(b, name), *(*string)(p))
	default:
		b = appendScalar(xmlTag(b, name), r, ISO8601, p)
	}
	return xmlEnd(b, name)
}

func xmlMap(b []byte, r *Ref, name string, p unsafe.Pointer) []byte {
	s := r.Shape
	entry := name
	if !r.Flat {
		b = xmlTag(b, name)
		entry = "entry"
	}
	keyName, valueName := s.Key.queryName("key"), s.Elem.queryName("value")
	eachEntry(s, p, func(k string, v unsafe.Pointer) {
		b = xmlTag(b, entry)
		b = xmlEnd(appendXML(xmlTag(b, keyName), k), keyName)
		b = xmlValue(b, &s.Elem, valueName, v)
		b = xmlEnd(b, entry)
	})
	if !r.Flat {
		b = xmlEnd(b, name)
	}
	return b
}

func xmlTag(b []byte, name string) []byte { return append(append(append(b, '<'), name...), '>') }
func xmlEnd(b []byte, name string) []byte { return append(append(append(b, "</"...), name...), '>') }

// plainXML marks the ASCII characters that stand for themselves in XML text.
var plainXML = func() (plain [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		plain[c] = c != '&' && c != '<' && c != '>' && c != '"' && c != 0x7F
	}
	plain['\t'], plain['\n'] = true, true
	return plain
}()

// appendXML appends text with what XML would misread escaped, and what it cannot
// hold at all replaced by U+FFFD.
func appendXML(b []byte, s string) []byte {
	for s != "" {
		n := 0
		for n < len(s) && plainXML[s[n]] {
			n++
		}
		b = append(b, s[:n]...)
		if s = s[n:]; s == "" {
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		b = appendXMLRune(b, r)
		s = s[size:]
	}
	return b
}

func appendXMLRune(b []byte, r rune) []byte {
	switch {
	case r == '&':
		return append(b, "&amp;"...)
	case r == '<':
		return append(b, "&lt;"...)
	case r == '>':
		return append(b, "&gt;"...)
	case r == '"':
		return append(b, "&quot;"...)
	case r == '\r':
		return append(b, "&#xD;"...)
	case r < 0x20, r == 0xFFFE, r == 0xFFFF:
		r = utf8.RuneError
	}
	return utf8.AppendRune(b, r)
}
