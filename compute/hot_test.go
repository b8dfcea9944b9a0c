package compute

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHot(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"src/app/data", "src/other", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	app := filepath.Join(top, "src", "app")
	if err := os.Symlink(filepath.Join(top, "elsewhere"), filepath.Join(top, "src", "link")); err != nil {
		t.Fatal(err)
	}
	h, err := NewHot(filepath.Join(top, "src")+", ", filepath.Join(app, "data"))
	if err != nil {
		t.Fatal(err)
	}
	for dir, why := range map[string]string{
		"src/other":       "",
		"src":             "not among", // the server's data is in it
		"src/app":         "not among",
		"src/app/data":    "not among",
		"elsewhere":       "not among",
		"src/link":        "not among",
		"src/../src/link": "not among",
		"src/none":        "cannot be opened",
	} {
		_, print, err := h.Open(top + "/" + dir)
		if why == "" && (err != nil || print == "") || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %q, %v", dir, print, err)
		}
	}
	if _, _, err := h.Open("src/other"); err == nil {
		t.Error("a relative path was opened")
	}
	none, err := NewHot("", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := none.Open(app); err == nil {
		t.Error("a directory was opened without a setting")
	}
}

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]string{}
	look := func(what string) {
		t.Helper()
		print, err := fingerprintOf(dir)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[print]; ok {
			t.Errorf("%s looks like %s", what, before)
		}
		seen[print] = what
	}
	write := func(name, body string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	look("nothing")
	write("a", "1")
	look("a file")
	write("a", "12")
	look("a longer file")
	if err := os.Chmod(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	look("an executable file")
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("d/b", "")
	look("a file in a directory")
	if err := os.Remove(filepath.Join(dir, "d", "b")); err != nil {
		t.Fatal(err)
	}
	look("an empty directory")
}
