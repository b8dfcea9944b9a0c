package partiql

import (
	"strings"
	"unicode/utf8"

	"fogbank/aws"
)

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a keyword or an unquoted name
	tokenName             // "a name"
	tokenString           // 'text'
	tokenNumber
	tokenSign
	tokenWrong // what no statement has
)

// token is a piece of a statement. The text of names and strings is without quotes.
type token struct {
	kind tokenKind
	text string
	end  int
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isSpace(c byte) bool  { return c == ' ' || c >= '\t' && c <= '\r' }

// scan returns the token at or after position i of s.
func scan(s string, i int) token {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i == len(s) {
		return token{tokenEnd, "", i}
	}
	switch c := s[i]; {
	case isLetter(c):
		j := i + 1
		for j < len(s) && (isLetter(s[j]) || isDigit(s[j])) {
			j++
		}
		return token{tokenWord, s[i:j], j}
	case isDigit(c):
		return scanNumber(s, i)
	case c == '"':
		return scanQuoted(s, i, tokenName)
	case c == '\'':
		return scanQuoted(s, i, tokenString)
	}
	for _, sign := range [...]string{"<<", ">>", "<=", ">=", "<>", "!="} {
		if strings.HasPrefix(s[i:], sign) {
			return token{tokenSign, sign, i + 2}
		}
	}
	if strings.IndexByte("=<>()[]{},.:*+-?;", s[i]) >= 0 {
		return token{tokenSign, s[i : i+1], i + 1}
	}
	_, n := utf8.DecodeRuneInString(s[i:])
	return token{tokenWrong, s[i : i+n], i + n}
}

// scanNumber reads digits, a fraction and an exponent.
func scanNumber(s string, i int) token {
	j := i
	digits := func() {
		for j < len(s) && isDigit(s[j]) {
			j++
		}
	}
	digits()
	if j < len(s) && s[j] == '.' {
		j++
		digits()
	}
	if j < len(s) && s[j]|0x20 == 'e' {
		j++
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		digits()
	}
	return token{tokenNumber, s[i:j], j}
}

// scanQuoted reads to the closing quote; a doubled quote stands for one.
func scanQuoted(s string, i int, kind tokenKind) token {
	quote := s[i]
	doubled := false
	for j := i + 1; j < len(s); j++ {
		if s[j] != quote {
			continue
		}
		if j+1 < len(s) && s[j+1] == quote {
			doubled = true
			j++
			continue
		}
		text := s[i+1 : j]
		if doubled {
			text = strings.ReplaceAll(text, s[i:i+1]+s[i:i+1], s[i:i+1])
		}
		return token{kind, text, j + 1}
	}
	return token{tokenWrong, s[i:], len(s)}
}

// malformed is DynamoDB's refusal of a statement that cannot be read.
func malformed(detail string) error {
	return invalid("Statement wasn't well formed, can't be processed: %s", detail)
}

func invalid(format string, args ...any) error {
	return aws.Errorf("ValidationException", 400, format, args...)
}
