package compute

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostilePackages(t *testing.T) {
	c, err := OpenCode(filepath.Join(t.TempDir(), "code"))
	if err != nil {
		t.Fatal(err)
	}
	bomb := make([]file, 30)
	zeros := strings.Repeat("\x00", 10<<20)
	for i := range bomb {
		bomb[i] = file{string(rune('a' + i)), 0o644, zeros}
	}
	liar := packed(file{"a", 0o644, zeros})
	// The directory claims one byte; the data has ten million.
	at := bytes.LastIndex(liar, []byte("PK\x01\x02"))
	copy(liar[at+24:], []byte{1, 0, 0, 0})
	tests := []struct {
		name  string
		zip   []byte
		large bool
	}{
		{"nothing", nil, false},
		{"not a zip", []byte("hello, I am no zip file at all, sorry"), false},
		{"empty", packed(), false},
		{"cut off", packed(file{"a", 0o644, "x"})[:40], false},
		{"up", packed(file{"../a", 0o644, "x"}), false},
		{"up inside", packed(file{"a/../../b", 0o644, "x"}), false},
		{"absolute", packed(file{"/etc/passwd", 0o644, "x"}), false},
		{"backslashes", packed(file{`..\a`, 0o644, "x"}), false},
		{"link out", packed(file{"a", os.ModeSymlink | 0o777, "../../etc"}), false},
		{"link absolute", packed(file{"a", os.ModeSymlink | 0o777, "/etc"}), false},
		{"through a link", packed(file{"d/x", 0o644, ""}, file{"a", os.ModeSymlink | 0o777, "d"}, file{"a/../../y", 0o644, "x"}), false},
		{"device", packed(file{"a", os.ModeDevice | 0o666, ""}), false},
		{"deep", packed(file{strings.Repeat("d/", 100) + "x", 0o644, ""}), false},
		{"file as directory", packed(file{"a", 0o644, "x"}, file{"a/b", 0o644, "x"}), false},
		{"bomb", packed(bomb...), true},
		{"liar", liar, false},
	}
	for _, test := range tests {
		_, err := c.Put(test.zip)
		bad, ok := errors.AsType[*BadPackage](err)
		if !ok || bad.TooLarge != test.large {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.unpacked, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPackage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	c, err := OpenCode(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := packed(file{"bin/run", 0o700, "x"}, file{"d/", os.ModeDir | 0o755, ""}, file{"link", os.ModeSymlink | 0o777, "bin/run"}, file{"read", 0o600, "y"})
	name, err := c.Put(p)
	if err != nil {
		t.Fatal(err)
	}
	at, err := c.Dir(name)
	if err != nil {
		t.Fatal(err)
	}
	for f, want := range map[string]os.FileMode{"bin/run": 0o755, "d": os.ModeDir | 0o755, "read": 0o644} {
		if info, err := os.Stat(filepath.Join(at, f)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", f, info.Mode(), err, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(at, "link")); err != nil || string(b) != "x" {
		t.Errorf("link: %q %v", b, err)
	}
	again, err := OpenCode(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.Get(name); err != nil || !bytes.Equal(b, p) {
		t.Errorf("after opening again: %v", err)
	}
	if err := again.Sweep(func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Get(name); err == nil {
		t.Error("swept packages are still there")
	}
	if _, err := again.Get("../../etc/passwd"); err == nil {
		t.Error("a path is not a name")
	}
}

func FuzzUnzip(f *testing.F) {
	f.Add(packed(file{"a/b", 0o755, "x"}, file{"l", os.ModeSymlink | 0o777, "a/b"}))
	f.Add(packed(file{"../a", 0o644, "x"}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err == nil && len(r.File) > 50 {
			return
		}
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		unzip(b, dir)
		if list, _ := os.ReadDir(outer); len(list) != 1 {
			t.Errorf("wrote outside: %v", list)
		}
	})
}

// TestRelativeCode: environments have another root and another working directory than the server, so their code
// is named by whole paths, however the data directory was.
func TestRelativeCode(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := OpenCode("code")
	if err != nil {
		t.Fatal(err)
	}
	name, err := c.Put(packed(file{"run", 0o700, "x"}))
	if err != nil {
		t.Fatal(err)
	}
	for what, at := range map[string]func() (string, error){
		"package": func() (string, error) { return c.Dir(name) },
		"layers":  func() (string, error) { return c.Layers([]string{name}) },
	} {
		if dir, err := at(); err != nil || !filepath.IsAbs(dir) {
			t.Errorf("%s: %q %v", what, dir, err)
		}
	}
}
