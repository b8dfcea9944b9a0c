//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDirectory makes dir if it is missing, and its name durable.
func makeDirectory(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// lockDirectory makes the directory and takes it for this process, or fails with ErrInUse. Directories in
// memory are locked by their file system when the engine opens them.
func lockDirectory(o Options) (release func() error, err error) {
	if o.FS != vfs.Default {
		return func() error { return nil }, nil
	}
	if err := makeDirectory(o.Dir); err != nil {
		return nil, fmt.Errorf("store: make the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, "fogbank.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: lock the data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		owner := make([]byte, 32)
		n, _ := f.ReadAt(owner, 0)
		f.Close()
		return nil, fmt.Errorf("store: open %s: %w (process %s); stop it first or choose another directory",
			o.Dir, ErrInUse, strings.TrimSpace(string(owner[:n])))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("store: lock %s: %w", f.Name(), err)
	}
	// The number only helps people; whoever holds the lock may fail to write it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return f.Close, nil
}
