package compute

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Code keeps deployment packages below a directory, each under the SHA-256 of its bytes in
// hexadecimal, and unpacks each once.
//
//	packages/HASH.zip          synced, with its directory, before Put returns
//	unpacked/BOOT/HASH/…       a tree per package, and per merged list of layers; made again after the
//	                           machine started anew, since it is not synced
type Code struct {
	packages, unpacked string

	mu        sync.Mutex
	unpacking map[string]*unpack
}

// unpack is one package being unpacked; done is closed at the end.
type unpack struct {
	done chan struct{}
	err  error
}

// OpenCode opens, or makes, a store of code in dir, and removes what an earlier process left half done.
func OpenCode(dir string) (*Code, error) {
	dir, err := filepath.Abs(dir) // environments have a root of their own
	if err != nil {
		return nil, err
	}
	boot := bootID()
	c := &Code{
		packages:  filepath.Join(dir, "packages"),
		unpacked:  filepath.Join(dir, "unpacked", boot),
		unpacking: map[string]*unpack{},
	}
	if err := removeOthers(filepath.Join(dir, "unpacked"), func(name string) bool { return name == boot && boot != "now" }); err != nil {
		return nil, err
	}
	for _, d := range []string{c.packages, c.unpacked} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
		if err := removeOthers(d, func(name string) bool { return !strings.HasPrefix(name, "new-") }); err != nil {
			return nil, err
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	return c, syncDir(filepath.Dir(dir))
}

// removeOthers removes the entries of dir that keep does not want; a dir that is not there is empty.
func removeOthers(dir string, keep func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep(e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Put checks a package, stores it durably, unpacks it, and returns its name. A package that is no
// usable zip file is a *BadPackage.
func (c *Code) Put(zip []byte) (name string, err error) {
	if err := checkPackage(zip); err != nil {
		return "", err
	}
	sum := sha256.Sum256(zip)
	name = hex.EncodeToString(sum[:])
	file := c.file(name)
	if _, err := os.Stat(file); err != nil {
		if err := c.write(file, zip); err != nil {
			return "", fmt.Errorf("storing a deployment package: %w", err)
		}
	}
	if err := syncDir(c.packages); err != nil {
		return "", fmt.Errorf("storing a deployment package: %w", err)
	}
	_, err = c.Dir(name)
	return name, err
}

func (c *Code) file(name string) string { return filepath.Join(c.packages, name+".zip") }

// write makes file with the bytes, synced, in one step.
func (c *Code) write(file string, b []byte) error {
	f, err := os.CreateTemp(c.packages, "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// Get returns a package's bytes.
func (c *Code) Get(name string) ([]byte, error) {
	if !isHash(name) {
		return nil, fmt.Errorf("compute: no package is named %q", name)
	}
	return os.ReadFile(c.file(name))
}

// Dir returns the directory a package is unpacked in, unpacking it first when need be.
func (c *Code) Dir(name string) (string, error) { return c.tree(name, name) }

// Layers returns the directory in which layers are unpacked over each other in their order, "" for none.
func (c *Code) Layers(names []string) (string, error) {
	switch len(names) {
	case 0:
		return "", nil
	case 1:
		return c.Dir(names[0])
	}
	sum := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return c.tree("merged-"+hex.EncodeToString(sum[:]), names...)
}

// tree returns the directory name, into which packages are unpacked, in their order, when it is not there.
func (c *Code) tree(name string, packages ...string) (string, error) {
	for _, p := range packages {
		if !isHash(p) {
			return "", fmt.Errorf("compute: no package is named %q", p)
		}
	}
	dir := filepath.Join(c.unpacked, name)
	c.mu.Lock()
	u := c.unpacking[name]
	first := u == nil
	if first {
		u = &unpack{done: make(chan struct{})}
		c.unpacking[name] = u
	}
	c.mu.Unlock()
	if first {
		u.err = c.unpack(packages, dir)
		close(u.done)
	}
	<-u.done
	if u.err != nil {
		c.mu.Lock()
		delete(c.unpacking, name)
		c.mu.Unlock()
	}
	return dir, u.err
}

// Prepare unpacks a package, unless its name is empty, and layers, so that the first environment need not.
func (c *Code) Prepare(name string, layers []string) error {
	if name != "" {
		if _, err := c.Dir(name); err != nil {
			return err
		}
	}
	_, err := c.Layers(layers)
	return err
}

func (c *Code) unpack(packages []string, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(c.unpacked, "new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for _, name := range packages {
		zip, err := c.Get(name)
		if err != nil {
			return err
		}
		if err := unzip(zip, tmp); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dir)
}

// Sweep removes the packages that keep does not want. Call it before anything else uses c.
func (c *Code) Sweep(keep func(name string) bool) error {
	err := removeOthers(c.packages, func(file string) bool { return keep(strings.TrimSuffix(file, ".zip")) })
	if err != nil {
		return err
	}
	return removeOthers(c.unpacked, keep)
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*sha256.Size
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// bootID names this start of the machine; where it has no name, "now", whose trees are never used again.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id := strings.TrimSpace(string(b))
	if err != nil || len(id) != 36 {
		return "now"
	}
	return id
}

// MemoryCode is a store of code in memory, for a Fake.
type MemoryCode struct {
	mu       sync.Mutex
	packages map[string][]byte
}

// Put stores a package; it need not be a zip file.
func (c *MemoryCode) Put(zip []byte) (string, error) {
	sum := sha256.Sum256(zip)
	name := hex.EncodeToString(sum[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.packages == nil {
		c.packages = map[string][]byte{}
	}
	c.packages[name] = zip
	return name, nil
}

// Get returns a package's bytes.
func (c *MemoryCode) Get(name string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.packages[name]
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

// Prepare has nothing to do.
func (c *MemoryCode) Prepare(string, []string) error { return nil }

// Sweep removes nothing: the memory ends with the test.
func (c *MemoryCode) Sweep(func(string) bool) error { return nil }
