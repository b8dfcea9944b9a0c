package expr

import (
	"strings"

	"fogbank/aws"
)

// Kind is what an expression is for: it decides the grammar and stands in error messages.
type Kind uint8

// The kinds, named after the parameters of requests.
const (
	Condition Kind = iota
	Filter
	KeyCondition
	Projection
	Update
)

// String returns the parameter's name.
func (k Kind) String() string {
	return [...]string{"ConditionExpression", "FilterExpression", "KeyConditionExpression", "ProjectionExpression", "UpdateExpression"}[k]
}

// errorf returns "Invalid <kind>: <message>" as DynamoDB words its refusals of expressions.
func (k Kind) errorf(format string, args ...any) error {
	return validation("Invalid "+k.String()+": "+format, args...)
}

func validation(format string, args ...any) error {
	return aws.Errorf("ValidationException", 400, format, args...)
}

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a name or keyword
	tokenName             // #name
	tokenValue            // :value
	tokenNumber           // digits
	tokenSign             // an operator or bracket
	tokenWrong            // a character no expression has
)

type token struct {
	kind       tokenKind
	text       string
	start, end int
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// scan returns the token at or after position i of s.
func scan(s string, i int) token {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r' || s[i] == '\f') {
		i++
	}
	if i == len(s) {
		return token{tokenEnd, "<EOF>", i, i}
	}
	run := func(kind tokenKind, j int) token {
		for j < len(s) && (isLetter(s[j]) || isDigit(s[j])) {
			j++
		}
		return token{kind, s[i:j], i, j}
	}
	switch c := s[i]; {
	case isLetter(c):
		return run(tokenWord, i+1)
	case c == '#' || c == ':':
		kind := tokenName
		if c == ':' {
			kind = tokenValue
		}
		t := run(kind, i+1)
		if len(t.text) == 1 {
			t.kind = tokenWrong
		}
		return t
	case isDigit(c):
		return run(tokenNumber, i+1)
	case strings.HasPrefix(s[i:], "<>"), strings.HasPrefix(s[i:], "<="), strings.HasPrefix(s[i:], ">="):
		return token{tokenSign, s[i : i+2], i, i + 2}
	case strings.IndexByte("=<>(),.[]+-", c) >= 0:
		return token{tokenSign, s[i : i+1], i, i + 1}
	}
	return token{tokenWrong, firstRune(s[i:]), i, i + len(firstRune(s[i:]))}
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}
