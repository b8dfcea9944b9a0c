package logs

import (
	"strings"

	"fogbank/api/logs"
	"fogbank/aws"
)

// pattern is a filter pattern for unstructured events.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
type pattern struct {
	all  []string // every one must be in the text
	any  []string // one of them must be, when all is empty
	none []string // none of them may be
}

const maxPattern = 1024 // bytes of a pattern

// parsePattern reads terms, quoted phrases, "?" before terms of which one will do and "-" before
// those not wanted. JSON, space-delimited and regular-expression patterns are refused.
func parsePattern(text string) (*pattern, error) {
	rest := strings.TrimSpace(text)
	if len(rest) > maxPattern {
		return nil, logs.InvalidParameterException("Invalid filter pattern: it is longer than %d characters.", maxPattern)
	}
	if rest != "" && strings.ContainsRune("{[%", rune(rest[0])) {
		return nil, aws.Errorf("NotImplemented", 501, "Filter patterns for JSON, delimited text and regular expressions are not implemented; terms and quoted phrases are.")
	}
	p := &pattern{}
	for rest != "" {
		list := &p.all
		switch rest[0] {
		case '?':
			list, rest = &p.any, rest[1:]
		case '-':
			list, rest = &p.none, rest[1:]
		}
		var term string
		var ok bool
		if term, rest, ok = cutTerm(rest); !ok || term == "" {
			return nil, logs.InvalidParameterException("Invalid filter pattern")
		}
		*list = append(*list, term)
		rest = strings.TrimLeft(rest, " \t\n\r")
	}
	return p, nil
}

// cutTerm reads one term, or a phrase in quotes in which a backslash takes the next character as it is.
func cutTerm(s string) (term, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		if i := strings.IndexAny(s, " \t\n\r"); i >= 0 {
			return s[:i], s[i:], true
		}
		return s, "", true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// match reports whether a message has what the pattern asks for, in the same case.
func (p *pattern) match(message string) bool {
	for _, t := range p.none {
		if strings.Contains(message, t) {
			return false
		}
	}
	for _, t := range p.all {
		if !strings.Contains(message, t) {
			return false
		}
	}
	if len(p.all) > 0 || len(p.any) == 0 {
		return true // optional terms beside required ones have no say
	}
	for _, t := range p.any {
		if strings.Contains(message, t) {
			return true
		}
	}
	return false
}
