package compute

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// maxHotFiles is the most files and directories a tree may have whose changes are looked for.
const maxHotFiles = 20_000

// Hot are the directories functions may run from as they lie there, without an upload.
type Hot struct {
	roots  []string
	hidden string // and what is in none of them, wherever it is: the server's own data
}

// NewHot allows the directories of a list, separated by commas, and what is below them, but never one that has to do
// with hidden. An empty list allows nothing.
func NewHot(list, hidden string) (*Hot, error) {
	h := &Hot{}
	var err error
	if hidden != "" {
		if h.hidden, err = realDir(hidden); err != nil {
			return nil, err
		}
	}
	for root := range strings.SplitSeq(list, ",") {
		if root = strings.TrimSpace(root); root == "" {
			continue
		}
		if root, err = realDir(root); err != nil {
			return nil, err
		}
		h.roots = append(h.roots, root)
	}
	return h, nil
}

// realDir is a directory's absolute name without symbolic links.
func realDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// within reports whether a directory is another, or below it.
func within(dir, other string) bool {
	rel, err := filepath.Rel(other, dir)
	return err == nil && filepath.IsLocal(rel)
}

// Open returns the real name of a directory that is allowed, and what changes whenever a file in it does.
func (h *Hot) Open(dir string) (real, fingerprint string, err error) {
	if !filepath.IsAbs(dir) {
		return "", "", fmt.Errorf("%q is not an absolute path", dir)
	}
	if real, err = realDir(dir); err != nil {
		return "", "", fmt.Errorf("%s cannot be opened", dir)
	}
	allowed := false
	for _, root := range h.roots {
		allowed = allowed || within(real, root)
	}
	if !allowed || h.hidden != "" && (within(real, h.hidden) || within(h.hidden, real)) {
		return "", "", fmt.Errorf("%s is not among the directories the server was started with -hot-reload for", dir)
	}
	fingerprint, err = fingerprintOf(real)
	return real, fingerprint, err
}

// fingerprintOf is drawn from the names, sizes, modes and times of the files below dir. Symbolic links are not followed.
func fingerprintOf(dir string) (string, error) {
	h, n := sha256.New(), 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if n++; n > maxHotFiles {
			return fmt.Errorf("%s has more than %d files", dir, maxHotFiles)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %d %v %d\n", path, info.Size(), info.Mode(), info.ModTime().UnixNano())
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}
