package compute

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock is a second line behind the mounts: whatever a process finds to open, it writes below /tmp only.

const (
	landlockRead  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	landlockMake  = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	landlockFirst = 1<<13 - 1 // the rights of the first version
	// landlockLeast is the first version that lets files be renamed from directory to directory.
	landlockLeast = 2
)

// landlockVersion is what the kernel offers; 0 when it has none.
func landlockVersion() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// restrictFiles puts this thread, and what becomes of it, under the rules. The root is the environment's own.
func restrictFiles() error {
	version := landlockVersion()
	rules := struct{ files, network, scoped uint64 }{files: landlockFirst | unix.LANDLOCK_ACCESS_FS_REFER}
	size := uintptr(8)
	if version >= 3 {
		rules.files |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 6 { // neither signals nor sockets without a path reach beyond the environment
		rules.scoped, size = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|unix.LANDLOCK_SCOPE_SIGNAL, 24
	}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), size, 0)
	if e != 0 {
		return fmt.Errorf("landlock: %w", e)
	}
	defer unix.Close(int(fd))
	for _, r := range []struct {
		path   string
		rights uint64
	}{
		{"/", landlockRead},
		{"/tmp", rules.files &^ landlockMake},
		{"/dev", unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | rules.files&unix.LANDLOCK_ACCESS_FS_TRUNCATE},
	} {
		if err := landlockRule(int(fd), r.path, r.rights); err != nil {
			return fmt.Errorf("landlock: %s: %w", r.path, err)
		}
	}
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); e != 0 {
		return fmt.Errorf("landlock: %w", e)
	}
	return nil
}

// landlockRule allows what rights say at and below path.
func landlockRule(rules int, path string, rights uint64) error {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	attr := struct {
		rights uint64
		parent int32
	}{rights, int32(at)}
	if _, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0); e != 0 {
		return e
	}
	return nil
}
