package compute

import (
	"fmt"
	"strings"
	"testing"
)

// TestLayers merges layers over each other and runs a function whose runtime is one of them.
func TestLayers(t *testing.T) {
	for _, plain := range []bool{false, true} {
		b := newBench(t, plain)
		runtime, err := bootstrap()
		if err != nil {
			t.Fatal(err)
		}
		s := b.spec(b.put(packed(file{"code", 0o644, "x"})))
		s.Layers = []string{
			b.put(packed(file{"a", 0o644, "first"}, file{"b", 0o644, "first"})),
			b.put(packed(file{"b", 0o644, "second"})),
			b.put(runtime),
		}
		root := optDir
		if strings.HasPrefix(b.process.Isolation(), "NONE") {
			if root, err = b.code.Layers(s.Layers); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]string{"a": "first", "b": "second"} {
			r := b.invoke(s, fmt.Sprintf(`{"Do":"try","Arg":"read %s/%s"}`, root, name))
			if !strings.Contains(string(r.Payload), want) {
				t.Errorf("%s: %s, want %s", name, r.Payload, want)
			}
		}
	}
}
