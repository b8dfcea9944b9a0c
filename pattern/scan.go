package pattern

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON text from the front. Errors are *SyntaxError without a source.
type scanner struct {
	b     []byte
	pos   int
	depth int
}

func (s *scanner) fail(format string, args ...any) error {
	return s.failAt(s.pos, format, args...)
}

func (s *scanner) failAt(pos int, format string, args ...any) error {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return &SyntaxError{Reason: format, Offset: pos}
}

// unexpected reports the character at the front, or the end of the input.
func (s *scanner) unexpected(wanted string) error {
	if s.pos >= len(s.b) {
		return s.fail("Unexpected end-of-input: expected %s", wanted)
	}
	r, n := utf8.DecodeRune(s.b[s.pos:])
	return s.failAt(s.pos+n, "Unexpected character ('%c' (code %d)): expected %s", r, r, wanted)
}

// front skips white space and returns the next byte without taking it; 0 at the end.
func (s *scanner) front() byte {
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take consumes c when it is next and reports whether it was.
func (s *scanner) take(c byte) bool {
	if s.front() != c || s.pos >= len(s.b) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > MaxDepth {
		return s.fail("Document nesting depth exceeds the maximum allowed (%d)", MaxDepth)
	}
	return nil
}

// str reads a string, whose opening quote is next. The text is a slice of the input when
// it has no escapes, else newly made.
func (s *scanner) str() ([]byte, error) {
	s.pos++
	start := s.pos
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; {
		case c == '"':
			text := s.b[start:s.pos]
			s.pos++
			return text, nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return nil, s.fail("Illegal unquoted character ((CTRL-CHAR, code %d)): has to be escaped using backslash to be included in string value", c)
		}
		s.pos++
	}
	return nil, s.fail("Unexpected end-of-input in a string value")
}

// escaped reads the rest of a string that began at start and has an escape at pos.
func (s *scanner) escaped(start int) ([]byte, error) {
	text := append(make([]byte, 0, s.pos-start+64), s.b[start:s.pos]...)
	for s.pos < len(s.b) {
		c := s.b[s.pos]
		s.pos++
		switch {
		case c == '"':
			return text, nil
		case c < ' ':
			return nil, s.fail("Illegal unquoted character ((CTRL-CHAR, code %d)): has to be escaped using backslash to be included in string value", c)
		case c != '\\':
			text = append(text, c)
			continue
		}
		if s.pos >= len(s.b) {
			break
		}
		c = s.b[s.pos]
		s.pos++
		if c == 'u' {
			r, err := s.unicode()
			if err != nil {
				return nil, err
			}
			text = utf8.AppendRune(text, r)
			continue
		}
		plain, ok := unescape(c)
		if !ok {
			return nil, s.fail("Unrecognized character escape '%c' (code %d)", c, c)
		}
		text = append(text, plain)
	}
	return nil, s.fail("Unexpected end-of-input in a string value")
}

func unescape(c byte) (byte, bool) {
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	}
	return 0, false
}

// unicode reads the digits after \u, and a second escape when they begin a surrogate pair.
func (s *scanner) unicode() (rune, error) {
	r, ok := s.hex4(s.pos)
	if !ok {
		return 0, s.fail("Unexpected character in a \\u escape: expected a hex-digit for character escape sequence")
	}
	s.pos += 4
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if s.pos+6 <= len(s.b) && s.b[s.pos] == '\\' && s.b[s.pos+1] == 'u' {
		if low, ok := s.hex4(s.pos + 2); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				s.pos += 6
				return both, nil
			}
		}
	}
	return utf8.RuneError, nil
}

func (s *scanner) hex4(at int) (rune, bool) {
	if at+4 > len(s.b) {
		return 0, false
	}
	var r rune
	for _, c := range s.b[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.b[s.pos] == '-' {
		s.pos++
	}
	if n := s.digits(); n == 0 || n > 1 && s.b[s.pos-n] == '0' {
		return nil, s.fail("Invalid numeric value: %q is not a JSON number", s.b[start:min(s.pos+1, len(s.b))])
	}
	if s.pos < len(s.b) && s.b[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return nil, s.fail("Decimal point not followed by a digit")
		}
	}
	if s.pos < len(s.b) && s.b[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.b) && (s.b[s.pos] == '+' || s.b[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return nil, s.fail("Exponent indicator not followed by a digit")
		}
	}
	return s.b[start:s.pos], nil
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.b) && s.b[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos - start
}

// scalar reads a string, number, true, false or null.
func (s *scanner) scalar() (value, error) {
	switch c := s.front(); {
	case s.pos >= len(s.b):
	case c == '"':
		text, err := s.str()
		return value{kind: stringValue, text: text}, err
	case c == '-' || c >= '0' && c <= '9':
		text, err := s.number()
		if err != nil {
			return value{}, err
		}
		v := value{kind: numberValue, text: text}
		v.number, v.comparable = comparable(text)
		return v, nil
	default:
		for kind, word := range literals {
			if word != "" && len(s.b)-s.pos >= len(word) && string(s.b[s.pos:s.pos+len(word)]) == word {
				text := s.b[s.pos : s.pos+len(word)]
				s.pos += len(word)
				return value{kind: valueKind(kind), text: text}, nil
			}
		}
	}
	return value{}, s.unexpected("a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')")
}

// key reads an object's next key and its colon.
func (s *scanner) key() ([]byte, error) {
	if s.front() != '"' {
		return nil, s.unexpected("double-quote to start field name")
	}
	key, err := s.str()
	if err != nil {
		return nil, err
	}
	if !s.take(':') {
		return nil, s.unexpected("a colon to separate field name and value")
	}
	return key, nil
}

// list calls f before each element of the array or object whose bracket is next.
func (s *scanner) list(end byte, f func() error) error {
	s.pos++
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; !s.take(end); first = false {
		if !first {
			if !s.take(',') {
				return s.unexpected("comma to separate entries")
			}
		}
		s.front()
		if err := f(); err != nil {
			return err
		}
	}
	s.depth--
	return nil
}
