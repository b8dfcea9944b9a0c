package store

import (
	"bytes"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestLogAhead: a log holds what was written to it, and after that zeros, always some; other files are left alone.
func TestLogAhead(t *testing.T) {
	fs := logFS{vfs.NewMem()}
	log, err := fs.Create("000001.log", logCategory)
	if err != nil {
		t.Fatal(err)
	}
	other, err := fs.Create("000002.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for n := 1; len(want) < 3*len(ahead); n += 7919 {
		p := bytes.Repeat([]byte{byte(n) | 1}, n)
		want = append(want, p...)
		for _, f := range []vfs.File{log, other} {
			if wrote, err := f.Write(bytes.Clone(p)); err != nil || wrote != n {
				t.Fatal(wrote, err)
			}
		}
		if s, _ := log.Stat(); s.Size() < int64(len(want)) || s.Size() > int64(len(want)+len(ahead)) {
			t.Fatalf("%d bytes were written and the log has %d", len(want), s.Size())
		}
	}
	for name, zeros := range map[string]bool{"000001.log": true, "000002.sst": false} {
		f, err := fs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) != 0 {
			t.Errorf("%s: %d bytes of other content, %v", name, len(got), err)
		}
		if rest := len(got) - len(want); rest > 0 && !zeros {
			t.Errorf("%s has %d bytes nobody wrote", name, rest)
		}
		f.Close()
	}
}
