package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// translate turns a model's pattern, written for Java, into one for package
// regexp that matches the whole text. It returns "" for a pattern regexp cannot
// express (look-around, back references); the service must check that itself.
func translate(p string) string {
	p = loosenCounts(p)
	p = strings.ReplaceAll(p, `\p{IsWord}`, `\w`)
	p = strings.ReplaceAll(p, `\p{ASCII}`, `\x00-\x7F`)
	// Surrogate pairs stand for everything beyond the basic plane.
	p = strings.ReplaceAll(p, `\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`)
	p = strings.ReplaceAll(p, `\uD83D\uDE00-\uD83D\uDEFF`, `\x{1F600}-\x{1F6FF}`)
	p = strings.ReplaceAll(p, `\p{Print}`, `[\x20-\x7E]`)
	p = unicodeEscapes(p)
	p = "^(?:" + p + ")$"
	if re, err := syntax.Parse(p, syntax.Perl); err == nil {
		if _, err := syntax.Compile(re.Simplify()); err == nil {
			return p
		}
	}
	return ""
}

var escape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

func unicodeEscapes(p string) string { return escape.ReplaceAllString(p, `\x{$1}`) }

var count = regexp.MustCompile(`\{(\d+)(,?)(\d*)\}`)

// loosenCounts drops repetition bounds above regexp's limit of 1000; shapes
// with such patterns carry a length constraint as well.
func loosenCounts(p string) string {
	return count.ReplaceAllStringFunc(p, func(s string) string {
		m := count.FindStringSubmatch(s)
		low, _ := strconv.Atoi(m[1])
		high, err := strconv.Atoi(m[3])
		if low <= 256 && (err != nil || high <= 256) {
			return s
		}
		switch {
		case low == 0:
			return "*"
		case low > 256:
			return "+"
		}
		return fmt.Sprintf("{%d,}", low)
	})
}
