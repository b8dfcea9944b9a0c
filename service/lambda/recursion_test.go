package lambda

import (
	"strings"
	"testing"
)

func TestLineage(t *testing.T) {
	full := strings.TrimSuffix(strings.Repeat("0000000a:1|", 8)+strings.Repeat("0000000b:1|", 8), "|")
	for _, test := range []struct{ text, with, want string }{
		{"", "a87bd80c", "a87bd80c:0"},
		{"a87bd80c:0", "a87bd80c", "a87bd80c:1"},
		{"a87bd80c:1|68fd508a:5|c512fbe3:2", "68fd508a", "a87bd80c:1|68fd508a:6|c512fbe3:2"},
		{"a87bd80c:1", "68fd508a", "a87bd80c:1|68fd508a:0"},
		{"a87bd80c:65535", "a87bd80c", "a87bd80c:65535"},
		{"1:a87bd80c:0|A87BD80C:1|a87bd80:1|a87bd80c:-1|a87bd80c:65536||x", "68fd508a", "68fd508a:0"},
		{full, "68fd508a", strings.TrimPrefix(full, "0000000a:1|") + "|68fd508a:0"},
	} {
		l := readLineage(test.text)
		before := l.invocations(test.with)
		l = l.with(test.with)
		if got := l.String(); got != test.want || l.invocations(test.with) != min(before+1, maxCount) {
			t.Errorf("%s after %s: %s, %d invocations after %d", test.text, test.with, got, l.invocations(test.with), before)
		}
	}
	a, b := readLineage("a87bd80c:1|68fd508a:5"), readLineage("68fd508a:2|c512fbe3:2|a87bd80c:3")
	if got := a.join(b).String(); got != "a87bd80c:3|68fd508a:5|c512fbe3:2" {
		t.Errorf("joined: %s", got)
	}
}

func FuzzLineage(f *testing.F) {
	f.Add("a87bd80c:1|68fd508a:5", "a87bd80c:2")
	f.Add("|||:|a87bd80c:99999", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		l := readLineage(a)
		if again := readLineage(l.String()); again.String() != l.String() {
			t.Errorf("%q: %s, %s", a, l, again)
		}
		l = l.join(readLineage(b)).with("a87bd80c")
		if len(l) > maxLineage || l.invocations("a87bd80c") == 0 {
			t.Errorf("%q and %q: %s", a, b, l)
		}
	})
}
