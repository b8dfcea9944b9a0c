package compute

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCustomRuntimes builds custom runtimes in other languages, where there is a compiler, and runs them.
func TestCustomRuntimes(t *testing.T) {
	b := newBench(t, false)
	for _, test := range []struct {
		name  string
		build []string // the program's file is added
	}{
		{"C, static", []string{"gcc", "-std=gnu17", "-O1", "-static", "testdata/custom/runtime.c", "-o"}},
		{"C, dynamic", []string{"gcc", "-std=gnu17", "-O1", "testdata/custom/runtime.c", "-o"}},
		{"Rust", []string{"rustc", "--edition", "2021", "-O", "testdata/custom/runtime.rs", "-o"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if out, err := exec.Command(test.build[0], "--version").CombinedOutput(); err != nil {
				t.Skipf("there is no compiler: %v %.200s", err, out)
			}
			program := filepath.Join(t.TempDir(), "bootstrap")
			if out, err := exec.Command(test.build[0], append(test.build[1:], program)...).CombinedOutput(); err != nil {
				if test.name == "C, static" {
					t.Skipf("there is no C library to link: %s", out)
				}
				t.Fatalf("%v: %s", err, out)
			}
			body, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			s := b.spec(b.put(packed(file{"bootstrap", 0o755, string(body)})))
			s.Name = test.name
			for _, call := range []struct {
				event, want string
				failed      bool
			}{
				{`{"n":1}`, `{"got":{"n":1}}`, false},
				{`"fail"`, `{"errorType":"Asked","errorMessage":"it was asked to"}`, true},
				{`[2]`, `{"got":[2]}`, false},
			} {
				if r := b.invoke(s, call.event); string(r.Payload) != call.want || r.Failed != call.failed {
					t.Errorf("%s: %s, failed %v", call.event, r.Payload, r.Failed)
				}
			}
		})
	}
	if n, _ := b.pool.Running(); n > 3 {
		t.Errorf("%d environments: some were not used again", n)
	}
}
