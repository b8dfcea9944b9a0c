package main

import (
	"strings"
	"unicode"
)

// exported makes a model's name a Go name, otherwise keeping AWS's spelling.
func exported(name string) string {
	name = strings.TrimLeft(strings.ReplaceAll(name, "-", "_"), "_")
	if name == "" {
		return "X"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// enumName names a constant: the enumeration's name and the value's words,
// those in capitals lowered: BillingMode, PAY_PER_REQUEST → BillingModePayPerRequest.
func enumName(shape, value string) string {
	words := strings.FieldsFunc(value, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	var b strings.Builder
	b.WriteString(exported(shape))
	for _, w := range words {
		if w == strings.ToUpper(w) {
			w = strings.ToLower(w)
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}
