package main

import (
	"regexp"
	"testing"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct{ base, patch, want string }{
		{`{"a":1,"b":2}`, `{"b":3,"c":4}`, `{"a":1,"b":3,"c":4}`},
		{`{"a":{"x":1,"y":2}}`, `{"a":{"x":null}}`, `{"a":{"y":2}}`},
		{`{"e":["a"]}`, `{"e+":["b"]}`, `{"e":["a","b"]}`},
		{`{}`, `{"e+":["b"]}`, `{"e":["b"]}`},
		{`{"a":1}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
	} {
		got, err := merge([]byte(c.base), []byte(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s is %s, %v; want %s", c.base, c.patch, got, err, c.want)
		}
	}
}

func TestTranslate(t *testing.T) {
	for _, c := range []struct{ pattern, match, miss string }{
		{`[\w+=,.@-]+`, "a.b", "a b"},
		{`[\u0009\u000A\u000D\u0020-\u00FF]+`, "{\n}é", "\u0000"},
		{`[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*`, "a😀", "\u0001"},
		{`\p{Print}+`, "a b", "\n"},
		{`a{0,2048}`, "aaa", "b"},
		{`a|b`, "b", "bc"},
	} {
		re, err := regexp.Compile(translate(c.pattern))
		if err != nil || !re.MatchString(c.match) || re.MatchString(c.miss) {
			t.Errorf("%s became %v, %v", c.pattern, re, err)
		}
	}
	if got := translate(`(?!x)y`); got != "" {
		t.Errorf("look-ahead became %s", got)
	}
}

func TestEnumName(t *testing.T) {
	for _, c := range []struct{ shape, value, want string }{
		{"BillingMode", "PAY_PER_REQUEST", "BillingModePayPerRequest"},
		{"Runtime", "python3.14", "RuntimePython314"},
		{"QueueAttributeName", "VisibilityTimeout", "QueueAttributeNameVisibilityTimeout"},
		{"__type", "s3:ObjectCreated:*", "TypeS3ObjectCreated"},
	} {
		if got := enumName(c.shape, c.value); got != c.want {
			t.Errorf("%s %s is %s, want %s", c.shape, c.value, got, c.want)
		}
	}
}
