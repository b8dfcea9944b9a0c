package policy

import (
	"strings"
	"unicode/utf8"
)

// tokenKind tells what one token of a pattern matches.
type tokenKind uint8

const (
	literal   tokenKind = iota // its text
	star                       // any run of characters
	fieldStar                  // any run of characters but colons
	one                        // any one character
	fieldOne                   // any one character but a colon
	variable                   // the value of a condition key
)

type token struct {
	kind     tokenKind
	text     string // the literal, or the variable's key in lower case
	fallback string // the variable's default
	defaults bool   // there is a default
}

// shape is how a pattern is matched, the cheapest that will do.
type shape uint8

const (
	exact  shape = iota // equals text
	any1                // everything
	prefix              // begins with text
	glob                // the tokens
)

// pattern is a compiled name, perhaps with wildcards and variables.
type pattern struct {
	shape     shape
	fold      bool // ASCII letters compare without regard to case
	variables bool
	text      string
	tokens    []token
	source    string
}

// syntax says how the text of a pattern is read.
type syntax uint8

const (
	plainText    syntax = iota // no wildcards: StringEquals
	foldedText                 // no wildcards, case ignored: StringEqualsIgnoreCase
	wildcards                  // * and ? match anything: StringLike
	actionName                 // * and ?, case ignored: Action
	resourceName               // an ARN of a Resource element
	arnLike                    // an ARN of an Arn… condition: wildcards stay inside their field
)

// compile reads text as a pattern. Variables are recognised when variables is
// set, which is so in documents of version 2012-10-17 only.
func compile(text string, s syntax, variables bool) pattern {
	p := pattern{source: text, fold: s == foldedText || s == actionName}
	if s == resourceName || s == arnLike {
		if text == "*" {
			p.shape = any1
			return p
		}
		if s == resourceName {
			text = completeARN(text)
		}
	}
	c := compiler{syntax: s, arn: strings.HasPrefix(text, "arn:") && (s == resourceName || s == arnLike)}
	c.read(text, variables)
	p.tokens, p.variables = c.tokens, c.variables
	p.simplify()
	return p
}

// completeARN adds the fields an incomplete ARN lacks as "*", as AWS does for
// Resource elements.
func completeARN(text string) string {
	if !strings.HasPrefix(text, "arn:") {
		return text
	}
	for n := strings.Count(text, ":"); n < 5; n++ {
		text += ":*"
	}
	return text
}

// compiler turns text into tokens.
type compiler struct {
	syntax    syntax
	arn       bool // wildcards before the sixth field are bound to it
	fields    int  // colons seen outside variables
	variables bool
	lit       strings.Builder
	tokens    []token
}

func (c *compiler) read(text string, variables bool) {
	for i := 0; i < len(text); i++ {
		ch := text[i]
		switch {
		case variables && ch == '$' && strings.HasPrefix(text[i:], "${"):
			if n := c.variable(text[i:]); n > 0 {
				i += n - 1
				continue
			}
			c.lit.WriteByte(ch)
		case ch == '*' && c.syntax != plainText && c.syntax != foldedText:
			last := i+1 == len(text) || text[i+1] == ':'
			c.wild(last)
		case ch == '?' && c.syntax != plainText && c.syntax != foldedText:
			c.flush()
			kind := one
			if c.arn && c.fields < 5 {
				kind = fieldOne
			}
			c.tokens = append(c.tokens, token{kind: kind})
		default:
			if ch == ':' {
				c.fields++
			}
			c.lit.WriteByte(ch)
		}
	}
	c.flush()
}

// wild adds an asterisk. In an ARN it stays within its field, save that in a
// Resource element one that ends a field may match beyond it, and the sixth
// field may hold colons of its own.
func (c *compiler) wild(endsField bool) {
	c.flush()
	kind := star
	if c.arn && c.fields < 5 && (c.syntax == arnLike || !endsField) {
		kind = fieldStar
	}
	if n := len(c.tokens); n > 0 && c.tokens[n-1].kind == star && kind == star {
		return
	}
	c.tokens = append(c.tokens, token{kind: kind})
}

// variable reads ${key}, ${key, 'default'} or an escaped ${*}, ${?}, ${$} at
// the front of text and returns its length, or 0 when it is not one.
func (c *compiler) variable(text string) int {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return 0
	}
	name := text[2:end]
	if name == "*" || name == "?" || name == "$" {
		c.lit.WriteString(name)
		return end + 1
	}
	t := token{kind: variable}
	key, _, found := strings.Cut(name, ",")
	if found {
		// The default may hold a brace of its own, so read on to the closing quote.
		open := 2 + len(key) + 1
		rest := text[open:]
		quoted := strings.TrimLeft(rest, " ")
		if !strings.HasPrefix(quoted, "'") {
			return 0
		}
		open += len(rest) - len(quoted) + 1
		stop := strings.IndexByte(text[open:], '\'')
		if stop < 0 {
			return 0
		}
		after := strings.TrimLeft(text[open+stop+1:], " ")
		if !strings.HasPrefix(after, "}") {
			return 0
		}
		t.fallback, t.defaults = text[open:open+stop], true
		end = len(text) - len(after)
	}
	t.text = strings.ToLower(strings.TrimSpace(key))
	if t.text == "" {
		return 0
	}
	c.flush()
	c.variables = true
	c.tokens = append(c.tokens, t)
	return end + 1
}

func (c *compiler) flush() {
	if c.lit.Len() == 0 {
		return
	}
	c.tokens = append(c.tokens, token{kind: literal, text: c.lit.String()})
	c.lit.Reset()
}

// simplify picks the cheapest shape.
func (p *pattern) simplify() {
	p.shape = glob
	t := p.tokens
	switch {
	case len(t) == 0:
		p.shape = exact
	case len(t) == 1 && t[0].kind == literal:
		p.shape, p.text = exact, t[0].text
	case len(t) == 1 && t[0].kind == star:
		p.shape = any1
	case len(t) == 2 && t[0].kind == literal && t[1].kind == star:
		p.shape, p.text = prefix, t[0].text
	}
	if p.shape != glob {
		p.tokens = nil
	}
}

// match reports whether s is what p describes; e resolves variables.
func (p *pattern) match(s string, e *evaluation) bool {
	switch p.shape {
	case any1:
		return true
	case exact:
		return len(s) == len(p.text) && hasPrefix(s, p.text, p.fold)
	case prefix:
		return hasPrefix(s, p.text, p.fold)
	}
	return p.glob(s, e)
}

// glob walks the tokens. On a mismatch the nearest asterisk takes one character
// more; one bound to its field gives up at a colon and hands over to the last
// unbound one. Asterisks before that need no second look: the shortest match
// of what precedes leaves the most for what follows.
func (p *pattern) glob(s string, e *evaluation) bool {
	var ti, si int
	wideT, wideS := -1, 0
	boundT, boundS := -1, 0
	for {
		if ti == len(p.tokens) {
			if si == len(s) {
				return true
			}
		} else {
			t := &p.tokens[ti]
			switch t.kind {
			case star:
				if ti++; ti == len(p.tokens) {
					return true
				}
				wideT, wideS, boundT = ti, si, -1
				continue
			case fieldStar:
				ti++
				boundT, boundS = ti, si
				continue
			}
			n, ok := t.match(s[si:], p.fold, e)
			if n < 0 {
				return false // a variable without a value
			}
			if ok {
				si += n
				ti++
				continue
			}
		}
		switch {
		case boundT >= 0 && boundS < len(s) && s[boundS] != ':':
			boundS++
			ti, si = boundT, boundS
		case wideT >= 0 && wideS < len(s):
			wideS++
			ti, si, boundT = wideT, wideS, -1
		default:
			return false
		}
	}
}

// match reports whether s begins with what the token, not an asterisk, stands for and how many
// bytes that is; -1 when it can match nothing at all.
func (t *token) match(s string, fold bool, e *evaluation) (int, bool) {
	switch t.kind {
	case one, fieldOne:
		if s == "" || t.kind == fieldOne && s[0] == ':' {
			return 0, false
		}
		_, n := utf8.DecodeRuneInString(s)
		return n, true
	case variable:
		v, ok := e.variable(t)
		if !ok {
			return -1, false
		}
		return len(v), hasPrefix(s, v, fold)
	}
	return len(t.text), hasPrefix(s, t.text, fold)
}

// expand writes the pattern as text with its variables replaced; ok is false
// when one has no value.
func (p *pattern) expand(e *evaluation) (string, bool) {
	if !p.variables {
		return p.source, true
	}
	var b strings.Builder
	for i := range p.tokens {
		switch t := &p.tokens[i]; t.kind {
		case literal:
			b.WriteString(t.text)
		case variable:
			v, ok := e.variable(t)
			if !ok {
				return "", false
			}
			b.WriteString(v)
		}
	}
	return b.String(), true
}

// hasPrefix is strings.HasPrefix, with fold ignoring the case of ASCII letters.
func hasPrefix(s, p string, fold bool) bool {
	if len(s) < len(p) {
		return false
	}
	if !fold {
		return s[:len(p)] == p
	}
	for i := 0; i < len(p); i++ {
		if s[i] != p[i] && lower(s[i]) != lower(p[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
