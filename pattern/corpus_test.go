package pattern

import (
	"os"
	"strings"
	"testing"
)

// TestCorpus: testdata/corpus.txt says of each pattern whether it matches an event, or why it is refused. The
// reference must agree.
func TestCorpus(t *testing.T) {
	text, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases, event := 0, ""
	for line := range strings.Lines(string(text)) {
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch verb {
		case "event":
			event = rest
		case "match", "other":
			cases++
			checkCase(t, rest, event, verb == "match")
		case "error":
			cases++
			source, want, _ := strings.Cut(rest, " => ")
			if _, err := Parse(Rule, []byte(source)); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: %v; want %s", source, err, want)
			}
		case "#", "":
		default:
			t.Errorf("what is %q?", line)
		}
	}
	if cases < 500 {
		t.Errorf("%d cases", cases)
	}
}

// checkCase tries a pattern alone, in a set among others, and in the reference.
func checkCase(t *testing.T, source, event string, want bool) {
	p, err := Parse(Rule, []byte(source))
	if err != nil {
		t.Errorf("%s: %v", source, err)
		return
	}
	ev, err := Flatten([]byte(event))
	if err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	among := manyRules(20)
	among.Add(1000, p)
	in := false
	among.Match(ev, func(id int) { in = in || id == 1000 })
	if got := p.MatchEvent(ev); got != want || in != want || refMatch([]byte(source), []byte(event)) != want {
		t.Errorf("%s on %s: alone %t, in a set %t; want %t", source, event, got, in, want)
	}
}
