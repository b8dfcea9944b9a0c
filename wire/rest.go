package wire

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// decodeREST reads path labels, query string, headers and body into the structure at v.
func decodeREST(s *Shape, v unsafe.Pointer, r *http.Request, body []byte, labels map[string]string, t *trail) (seen uint64, err error) {
	var query url.Values
	inBody := false
	for i := range s.Members {
		m := &s.Members[i]
		var found bool
		t.enter(step{member: m})
		switch m.In {
		case InPath:
			found, err = bindText(m, v, oneOf(labels, m.wireName()), ISO8601)
		case InQuery:
			if query == nil {
				if query, err = parseQuery(r.URL.RawQuery); err != nil {
					return 0, err
				}
			}
			found, err = bindQuery(m, v, query, s)
		case InHeader:
			found, err = bindHeader(m, v, r.Header)
		case InHeaders:
			found = bindHeaders(m, v, r.Header)
		case InBody:
			inBody = true
		}
		if err != nil {
			return 0, err
		}
		t.leave()
		if found && m.Required {
			seen |= 1 << m.bit
		}
	}
	if !inBody {
		return seen, nil
	}
	fromBody, err := decodeRESTBody(s, v, body, t)
	return seen | fromBody, err
}

// decodeRESTBody reads the body: one member's, whole, or a JSON object of all members that
// travel nowhere else.
func decodeRESTBody(s *Shape, v unsafe.Pointer, body []byte, t *trail) (seen uint64, err error) {
	if s.Payload == "" {
		return decodeJSON(s, v, body, t)
	}
	m := s.Member(s.Payload)
	if len(body) == 0 {
		return 0, nil
	}
	if m.Required {
		seen = 1 << m.bit
	}
	switch m.Shape.Kind {
	case Blob:
		*(*[]byte)(m.into(v)) = append([]byte{}, body...)
		return seen, nil
	case String:
		if !utf8.Valid(body) {
			return 0, errUTF8
		}
		*(*string)(m.into(v)) = string(body)
		return seen, nil
	case Structure:
		t.enter(step{member: m})
		inner, err := decodeJSON(m.Shape, m.into(v), body, t)
		if err == nil {
			t.require(m.Shape, inner)
			t.leave()
		}
		return seen, err
	}
	d := jsonDecoder{data: body, trail: t}
	if !utf8.Valid(body) {
		return 0, errUTF8
	}
	return seen, d.value(&m.Ref, m.into(v))
}

// parseQuery reads a query string of bounded size; a semicolon is an ordinary character.
func parseQuery(raw string) (url.Values, error) {
	var f form
	f, err := f.parse(raw)
	if err != nil {
		return nil, err
	}
	query := make(url.Values, len(f))
	for _, kv := range f {
		query[kv.key] = append(query[kv.key], kv.value)
	}
	return query, nil
}

func oneOf(labels map[string]string, name string) []string {
	if v, ok := labels[name]; ok {
		return []string{v}
	}
	return nil
}

// bindText reads a scalar or a list of scalars from the texts found for it.
func bindText(m *Member, v unsafe.Pointer, texts []string, format TimeFormat) (found bool, err error) {
	if len(texts) == 0 {
		return false, nil
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return false, errUTF8
		}
	}
	if m.Shape.Kind != List {
		return true, scalar(&m.Ref, texts[0], format, m.into(v))
	}
	p := m.into(v)
	m.Shape.Type.open(p)
	for _, text := range texts {
		if err := scalar(&m.Shape.Elem, text, format, m.Shape.Type.grow(p)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// bindQuery reads a member from the query string. A map takes every parameter that no other
// member of s names.
func bindQuery(m *Member, v unsafe.Pointer, query url.Values, s *Shape) (bool, error) {
	if m.Shape.Kind != Map {
		return bindText(m, v, query[m.wireName()], ISO8601)
	}
	named := map[string]bool{}
	for i := range s.Members {
		if o := &s.Members[i]; o.In == InQuery && o.Shape.Kind != Map {
			named[o.wireName()] = true
		}
	}
	p := m.into(v)
	m.Shape.Type.open(p)
	elem := m.Shape.Elem.Shape
	e := m.Shape.Type.elem()
	for k, texts := range query {
		if named[k] || len(texts) == 0 {
			continue
		}
		if elem.Kind == List {
			elem.Type.open(e)
			for _, text := range texts {
				if err := scalar(&elem.Elem, text, ISO8601, elem.Type.grow(e)); err != nil {
					return false, err
				}
			}
		} else if err := scalar(&m.Shape.Elem, texts[0], ISO8601, e); err != nil {
			return false, err
		}
		m.Shape.Type.put(p, k, e)
	}
	return true, nil
}

// bindHeader reads a member from one header; a list's elements are separated by commas.
func bindHeader(m *Member, v unsafe.Pointer, h http.Header) (bool, error) {
	texts := h[textproto.CanonicalMIMEHeaderKey(m.wireName())]
	if len(texts) == 0 {
		return false, nil
	}
	switch {
	case m.JSONValue:
		b, err := decodeBase64([]byte(texts[0]))
		if err != nil {
			return false, err
		}
		return bindText(m, v, []string{string(b)}, RFC822)
	case m.Shape.Kind == List:
		texts = splitHeader(texts, m.Shape.Elem.Shape)
	}
	return bindText(m, v, texts, RFC822)
}

// splitHeader splits header values at their commas; a date has one of its own.
func splitHeader(values []string, elem *Shape) []string {
	var list []string
	for _, value := range values {
		parts := strings.Split(value, ",")
		for i := 0; i < len(parts); i++ {
			text := strings.TrimSpace(parts[i])
			if elem.Kind == Timestamp && (elem.Format == 0 || elem.Format == RFC822) && i+1 < len(parts) {
				i++
				text += ", " + strings.TrimSpace(parts[i])
			}
			list = append(list, text)
		}
	}
	return list
}

// bindHeaders reads a map of all headers with a prefix.
func bindHeaders(m *Member, v unsafe.Pointer, h http.Header) bool {
	prefix := textproto.CanonicalMIMEHeaderKey(m.wireName())
	p := m.into(v)
	m.Shape.Type.open(p)
	e := m.Shape.Type.elem()
	for k, values := range h {
		if len(k) > len(prefix) && strings.EqualFold(k[:len(prefix)], prefix) && len(values) > 0 {
			*(*string)(e) = strings.ToValidUTF8(values[0], "\uFFFD")
			m.Shape.Type.put(p, strings.ToLower(k[len(prefix):]), e)
		}
	}
	return mapLength(p) > 0
}

// encodeREST puts an output into headers and buffer and returns the HTTP status.
func encodeREST(h http.Header, buf *buffer, op *Operation, v unsafe.Pointer) int {
	s := op.Output
	status := s.status(op, v)
	encodeHeaders(h, s, v)
	if status == http.StatusNoContent {
		return status
	}
	if s.Payload != "" {
		encodePayload(h, buf, s, v)
		return status
	}
	if !s.Nothing {
		setDefault(h, "Content-Type", "application/json")
		buf.b = jsonEncoder{}.structure(buf.b, s, v)
	}
	return status
}

// status is the HTTP status of an answer: the member's that travels there, else the operation's.
func (s *Shape) status(op *Operation, v unsafe.Pointer) int {
	for i := range s.Members {
		if m := &s.Members[i]; m.In == InStatus {
			if p := m.at(v); p != nil && *(*int32)(p) >= 200 && *(*int32)(p) < 600 {
				return int(*(*int32)(p))
			}
		}
	}
	return op.Status
}

// encodePayload writes the one member that is the body.
func encodePayload(h http.Header, buf *buffer, s *Shape, v unsafe.Pointer) {
	m := s.Member(s.Payload)
	p := m.at(v)
	if p == nil {
		return
	}
	switch m.Shape.Kind {
	case Blob:
		setDefault(h, "Content-Type", "application/octet-stream")
		buf.b = append(buf.b, *(*[]byte)(p)...)
	case String:
		setDefault(h, "Content-Type", "text/plain")
		buf.b = append(buf.b, *(*string)(p)...)
	default:
		setDefault(h, "Content-Type", "application/json")
		buf.b = jsonEncoder{}.value(buf.b, &m.Ref, p)
	}
}

func setDefault(h http.Header, key, value string) {
	if len(h[key]) == 0 {
		h[key] = []string{value}
	}
}

// encodeHeaders writes the members of the struct at v that travel in headers. Characters no
// header may hold are dropped.
func encodeHeaders(h http.Header, s *Shape, v unsafe.Pointer) {
	for i := range s.Members {
		m := &s.Members[i]
		if m.In != InHeader && m.In != InHeaders {
			continue
		}
		p := m.at(v)
		if p == nil {
			continue
		}
		switch {
		case m.In == InHeaders:
			eachEntry(m.Shape, p, func(k string, e unsafe.Pointer) {
				h.Set(headerSafe(m.wireName()+k), headerSafe(*(*string)(e)))
			})
		case m.Shape.Kind == List:
			var list []string
			for j := range length(p) {
				list = append(list, string(appendScalar(nil, &m.Shape.Elem, RFC822, m.Shape.element(p, j))))
			}
			h.Set(m.wireName(), headerSafe(strings.Join(list, ",")))
		case m.JSONValue:
			h.Set(m.wireName(), base64.StdEncoding.EncodeToString([]byte(*(*string)(p))))
		default:
			h.Set(m.wireName(), headerSafe(string(appendScalar(nil, &m.Ref, RFC822, p))))
		}
	}
}

// headerSafe drops line ends and other control characters.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7F {
			return -1
		}
		return r
	}, s)
}
