package compute

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Limits of a deployment package.
const (
	// MaxUnzipped is AWS's limit on the unpacked size, in bytes.
	MaxUnzipped = 262144000
	maxEntries  = 200_000
	maxDepth    = 64
	maxLink     = 4096
)

// BadPackage says why a deployment package cannot be used. TooLarge is set when that is its size.
type BadPackage struct {
	Reason   string
	TooLarge bool
}

func (e *BadPackage) Error() string { return "compute: deployment package: " + e.Reason }

func bad(format string, args ...any) error { return &BadPackage{Reason: fmt.Sprintf(format, args...)} }

// checkPackage refuses, by its directory alone, a package that must not be unpacked.
func checkPackage(b []byte) error {
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return bad("%v", err)
	}
	if len(r.File) == 0 {
		return bad("it is empty")
	}
	if len(r.File) > maxEntries {
		return bad("it has more than %d entries", maxEntries)
	}
	var size uint64
	for _, f := range r.File {
		if _, err := entryName(f.Name); err != nil {
			return err
		}
		if f.UncompressedSize64 > MaxUnzipped {
			return &BadPackage{"it is too large", true}
		}
		if size += f.UncompressedSize64; size > MaxUnzipped {
			return &BadPackage{"it is too large", true}
		}
		if m := f.Mode(); m.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			return bad("%q is neither a file, a directory nor a link", f.Name)
		}
		if f.Flags&1 != 0 {
			return bad("%q is encrypted", f.Name)
		}
	}
	return nil
}

// entryName is the clean relative path of an entry; one that leaves the root is refused.
func entryName(name string) (string, error) {
	n := strings.TrimSuffix(strings.ReplaceAll(name, `\`, "/"), "/")
	if n == "." || n == "" && strings.HasPrefix(name, "./") {
		return ".", nil
	}
	n = strings.TrimPrefix(n, "./")
	if !fs.ValidPath(n) || strings.ContainsRune(n, 0) {
		return "", bad("the name %q is not a path inside it", name)
	}
	if strings.Count(n, "/") > maxDepth {
		return "", bad("%q is too deep", name)
	}
	return n, nil
}

// unzip unpacks a package below dir. It writes through an os.Root, so that no entry, not even through
// a link made by an earlier one, ends up elsewhere; the sizes are counted as they are written, whatever the
// directory of the package claims.
func unzip(b []byte, dir string) error {
	if err := checkPackage(b); err != nil {
		return err
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return bad("%v", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(MaxUnzipped)
	for _, f := range r.File {
		name, err := entryName(f.Name)
		if err != nil {
			return err
		}
		n, err := unzipEntry(root, f, name, left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// unzipEntry writes one entry of at most left bytes and returns its size.
func unzipEntry(root *os.Root, f *zip.File, name string, left int64) (int64, error) {
	if name == "." {
		return 0, nil
	}
	if f.Mode().IsDir() {
		return 0, badName(name, root.MkdirAll(name, 0o755))
	}
	if d := path.Dir(name); d != "." {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return 0, badName(name, err)
		}
	}
	src, err := f.Open()
	if err != nil {
		return 0, badName(name, err)
	}
	defer src.Close()
	if f.Mode()&fs.ModeSymlink != 0 {
		return unzipLink(root, src, name)
	}
	mode := fs.FileMode(0o644)
	if f.Mode()&0o111 != 0 {
		mode = 0o755
	}
	dst, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return 0, badName(name, err)
	}
	defer dst.Close()
	n, err := io.Copy(dst, io.LimitReader(src, left+1))
	if err != nil {
		return n, badName(name, err)
	}
	if n > left {
		return n, &BadPackage{"it is too large", true}
	}
	// The mode above is narrowed by the umask; functions run as another user.
	return n, dst.Chmod(mode)
}

// unzipLink makes a symbolic link that must point into the package.
func unzipLink(root *os.Root, src io.Reader, name string) (int64, error) {
	target, err := io.ReadAll(io.LimitReader(src, maxLink))
	if err != nil {
		return 0, badName(name, err)
	}
	to := string(target)
	if path.IsAbs(to) || !fs.ValidPath(path.Join(path.Dir(name), to)) {
		return 0, bad("the link %q points outside", name)
	}
	root.Remove(name)
	return int64(len(target)), badName(name, root.Symlink(to, name))
}

// badName blames the package for a failure to write one of its entries: clashing names, links in the way,
// damaged data. A full disk is told apart by the caller's next write.
func badName(name string, err error) error {
	if err == nil {
		return nil
	}
	return bad("%q: %v", name, err)
}
