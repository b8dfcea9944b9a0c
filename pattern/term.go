package pattern

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// op is what a term asks of a value.
type op uint8

const (
	opString     op = iota // equal to text
	opLiteral              // true, false or null: kind
	opNumber               // a number equal to low, where it compares by value
	opNumberText           // a number written as text
	opFold                 // equal to text, ignoring case; text is folded
	opPrefix
	opPrefixFold
	opSuffix
	opSuffixFold
	opCIDR     // an address from first to last
	opWildcard // strings made of parts with anything between them
	opRange    // a number from low to high
	opNot      // anything none of the terms not accepts
	opExists
)

// term is one alternative of a constraint.
type term struct {
	op          op
	kind        valueKind
	text        string
	low, high   int64 // millionths, inclusive
	first, last netip.Addr
	parts       []string // the text around each *
	not         []term
}

// accepts reports whether the value satisfies the term. Operators on
// strings accept only strings, and operators on numbers only numbers.
func (t *term) accepts(v *value) bool {
	switch t.op {
	case opExists:
		return true
	case opLiteral:
		return v.kind == t.kind
	case opNumber:
		return v.comparable && v.kind == numberValue && v.number == t.low
	case opNumberText:
		return v.kind == numberValue && string(v.text) == t.text
	case opRange:
		return v.comparable && v.kind == numberValue && v.number >= t.low && v.number <= t.high
	case opNot:
		for i := range t.not {
			if t.not[i].accepts(v) {
				return false
			}
		}
		return true
	}
	return v.kind == stringValue && t.acceptsText(v.text)
}

// acceptsText is accepts for strings.
func (t *term) acceptsText(text []byte) bool {
	switch t.op {
	case opString:
		return string(text) == t.text
	case opPrefix:
		return len(text) >= len(t.text) && string(text[:len(t.text)]) == t.text
	case opSuffix:
		return len(text) >= len(t.text) && string(text[len(text)-len(t.text):]) == t.text
	case opFold:
		return string(fold(text)) == t.text
	case opPrefixFold:
		return strings.HasPrefix(string(fold(text)), t.text)
	case opSuffixFold:
		return strings.HasSuffix(string(fold(text)), t.text)
	case opCIDR:
		a, ok := address(text)
		return ok && within(a, t)
	case opWildcard:
		return wild(text, t.parts)
	}
	panic("pattern: a term with no known operator")
}

// fold maps text to a form that is equal for texts differing only in case.
func fold(text []byte) []byte { return appendFold(make([]byte, 0, len(text)), text) }

func appendFold(b, text []byte) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, c)
		} else {
			b = utf8.AppendRune(b, foldRune(r))
		}
		i += n
	}
	return b
}

// foldRune returns the one rune that stands for r and its other cases; ASCII letters
// stand for their class in lower case.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// address parses an IP address without making garbage of texts that are none.
func address(text []byte) (netip.Addr, bool) {
	if len(text) < 2 || len(text) > 45 {
		return netip.Addr{}, false
	}
	separated := false
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9', c|0x20 >= 'a' && c|0x20 <= 'f':
		case c == '.' || c == ':':
			separated = true
		default:
			return netip.Addr{}, false
		}
	}
	if !separated {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(text))
	return a, err == nil
}

func within(a netip.Addr, t *term) bool {
	return a.Is4() == t.first.Is4() && a.Compare(t.first) >= 0 && a.Compare(t.last) <= 0
}

// wild reports whether text is the parts in order with anything between them, beginning with the first and
// ending with the last. Taking each part at its first place is enough, so this is linear in practice.
func wild(text []byte, parts []string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return string(text) == first
	}
	if len(text) < len(first)+len(last) || string(text[:len(first)]) != first || string(text[len(text)-len(last):]) != last {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := bytes.Index(text, []byte(part))
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// label writes the term without ambiguity: every text is preceded by its length.
func (t *term) label(b *strings.Builder) {
	b.WriteByte(0)
	b.WriteByte(byte(t.op))
	b.WriteByte(byte(t.kind))
	for _, n := range [...]int64{int64(len(t.text)), t.low, t.high, int64(len(t.not))} {
		b.WriteString(strconv.FormatInt(n, 36))
		b.WriteByte(0)
	}
	b.WriteString(t.text)
	if t.op == opCIDR {
		b.WriteString(t.first.String())
		b.WriteByte('-')
		b.WriteString(t.last.String())
	}
	for i := range t.not {
		t.not[i].label(b)
	}
}
