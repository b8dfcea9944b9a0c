package wire

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"
)

// jsonEncoder appends generated structs as JSON. Maps come in the order of their keys.
type jsonEncoder struct {
	model bool // members are called as in the model, and all of them are written
}

// structure appends the struct at p, absent members left out.
func (e jsonEncoder) structure(b []byte, s *Shape, p unsafe.Pointer) []byte {
	b = append(b, '{')
	return append(e.members(b, s, p), '}')
}

// members appends the members without the braces.
func (e jsonEncoder) members(b []byte, s *Shape, p unsafe.Pointer) []byte {
	for i := range s.Members {
		m := &s.Members[i]
		if (m.In != InBody || m.Events) && !e.model {
			continue
		}
		f := m.at(p)
		if f == nil {
			continue
		}
		if last := b[len(b)-1]; last != '{' {
			b = append(b, ',')
		}
		if !e.model {
			b = append(b, m.key...)
			b = e.value(b, &m.Ref, f)
			continue
		}
		b = append(appendString(b, m.Name), ':')
		if m.Events {
			b = e.events(b, m, f)
			continue
		}
		if m.Shape.Kind == Blob && s.Payload == m.Name && json.Valid(*(*[]byte)(f)) {
			b = append(b, *(*[]byte)(f)...)
			continue
		}
		b = e.value(b, &m.Ref, f)
	}
	return b
}

// events runs through the events at p and appends them as a list.
func (e jsonEncoder) events(b []byte, m *Member, p unsafe.Pointer) []byte {
	b = append(b, '[')
	m.Shape.Type.each(p, func(v unsafe.Pointer) bool {
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		b = e.structure(b, m.Shape, v)
		return true
	})
	return append(b, ']')
}

// value appends the value of any shape at p.
func (e jsonEncoder) value(b []byte, r *Ref, p unsafe.Pointer) []byte {
	s := r.Shape
	switch s.Kind {
	case String:
		return appendString(b, *(*string)(p))
	case Structure:
		return e.structure(b, s, p)
	case List:
		b = append(b, '[')
		for i := range length(p) {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.value(b, &s.Elem, s.element(p, i))
		}
		return append(b, ']')
	case Map:
		return e.mapping(b, s, p)
	case Custom:
		return s.Type.json(p).AppendJSON(b)
	case Boolean:
		return strconv.AppendBool(b, *(*bool)(p))
	case Integer:
		return strconv.AppendInt(b, int64(*(*int32)(p)), 10)
	case Long:
		return strconv.AppendInt(b, *(*int64)(p), 10)
	case Double:
		return appendDouble(b, *(*float64)(p))
	case Timestamp:
		if e.model || r.Format == 0 || r.Format == UnixSeconds {
			return appendEpoch(b, *(*time.Time)(p))
		}
		b = append(b, '"')
		return append(appendTime(b, *(*time.Time)(p), r.Format), '"')
	}
	b = append(b, '"')
	return append(base64.StdEncoding.AppendEncode(b, *(*[]byte)(p)), '"')
}

// keyPool keeps the scratch space in which maps' keys are sorted.
var keyPool = sync.Pool{New: func() any { return new([]string) }}

func (e jsonEncoder) mapping(b []byte, s *Shape, p unsafe.Pointer) []byte {
	b = append(b, '{')
	eachEntry(s, p, func(k string, v unsafe.Pointer) {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = e.value(b, &s.Elem, v)
	})
	return append(b, '}')
}

// eachEntry visits a map's entries in the order of their keys. v is reused.
func eachEntry(s *Shape, p unsafe.Pointer, visit func(k string, v unsafe.Pointer)) {
	scratch := keyPool.Get().(*[]string)
	keys := s.Type.keys(p, (*scratch)[:0])
	v := s.Type.elem()
	for _, k := range keys {
		s.Type.get(p, k, v)
		visit(k, v)
	}
	clear(keys)
	if cap(keys) <= 1024 {
		*scratch = keys
	}
	keyPool.Put(scratch)
}

// appendDouble appends a number; the values JSON cannot write are strings, as in AWS.
func appendDouble(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// appendString appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	raw := unsafe.Slice(unsafe.StringData(s), len(s)) // only read
	b = append(slices.Grow(b, len(s)+2), '"')
	for i := 0; i < len(s); {
		n := asciiRun(raw[i:])
		b = append(b, s[i:i+n]...)
		if i += n; i >= len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		b = appendEscape(b, c)
		i++
	}
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// ParseJSON reads one JSON object into a new value of a structure, a pointer to its Go type.
// Members are called as in the model whatever the protocol, and all are in the document, those
// that travel in headers and paths included. A blob that is a REST payload may be given as a
// JSON value that is not a string. Constraints are not checked.
func ParseJSON(s *Shape, b []byte) (v any, err error) {
	var t trail
	d := jsonDecoder{data: b, model: true, trail: &t}
	p := s.Type.make()
	if _, err := d.document(s, p); err != nil {
		return nil, err
	}
	return s.Type.box(p), nil
}

// ParseInput reads an operation's input as ParseJSON does and checks it as Decode does,
// members that are missing included.
func ParseInput(op *Operation, b []byte) (in any, err error) {
	t := trail{decoded: true}
	d := jsonDecoder{data: b, model: true, trail: &t}
	p := op.Input.Type.make()
	seen, err := d.document(op.Input, p)
	if err != nil {
		return nil, op.API.unreadable(JSON10, err)
	}
	t.require(op.Input, seen)
	t.check(op.Input, p)
	if err := t.err(op.API); err != nil {
		return nil, err
	}
	return op.Input.Type.box(p), nil
}

// AppendJSON appends v, a pointer to the structure's Go type, as JSON in the form ParseJSON reads.
func AppendJSON(b []byte, s *Shape, v any) []byte {
	p := s.Type.hold(v)
	if p == nil {
		return append(b, "{}"...)
	}
	return jsonEncoder{model: true}.structure(b, s, p)
}
