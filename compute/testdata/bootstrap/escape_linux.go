package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// secret is what a victim keeps in its memory.
var secret []byte

// suffer keeps a secret in memory, prints where, and waits for the end of its input.
func suffer(text string) {
	secret = []byte(text)
	fmt.Println(uintptr(unsafe.Pointer(&secret[0])))
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(secret)
}

// escapes are attempts to do what a function must not be able to; nil means that it was.
var escapes = map[string]func(arg string) error{
	// The tree of files.
	"mount":      func(string) error { return unix.Mount("x", "/tmp", "tmpfs", 0, "") },
	"bind mount": func(string) error { return unix.Mount("/usr", "/tmp", "", unix.MS_BIND, "") },
	"remount":    func(string) error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"umount":     func(string) error { return unix.Unmount("/proc", unix.MNT_DETACH) },
	"fsopen":     func(string) error { _, err := unix.Fsopen("tmpfs", 0); return err },
	"open_tree":  func(string) error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err },
	"mount_setattr": func(string) error {
		return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
	},
	"mount cgroups": func(string) error { return unix.Mount("x", "/tmp", "cgroup2", 0, "") },
	"pivot_root": func(string) error {
		unix.Mount("/tmp", "/tmp", "", unix.MS_BIND, "") // inside it is a mount already
		return unix.PivotRoot("/tmp", "/tmp")
	},
	"chroot":            func(string) error { return unix.Chroot("/tmp") },
	"fanotify":          func(string) error { return call(unix.SYS_FANOTIFY_INIT, unix.FAN_REPORT_FID, 0) },
	"quotactl":          func(string) error { return call(unix.SYS_QUOTACTL, 0x800001<<8, 0, 0, 0) },
	"swapon":            func(string) error { return swap("/tmp/fogbank-swap") },
	"name_to_handle_at": func(string) error { _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0); return err },
	"open_by_handle_at": func(string) error { return openByHandle() },
	"device":            func(string) error { return node(unix.S_IFCHR, "1:3", 0) },
	"disk":              func(arg string) error { return node(unix.S_IFBLK, arg, 512) },
	"open":              func(arg string) error { return open(arg, os.O_RDONLY) },
	"open to write":     func(arg string) error { return open(arg, os.O_RDWR) },
	"create":            create,
	"rewrite":           rewrite,
	"put":               put,
	"find":              find,
	"descriptor":        descriptor,
	"replace program":   func(string) error { return replaceProgram() },
	// Namespaces.
	"unshare mounts":  func(string) error { return unix.Unshare(unix.CLONE_NEWNS) },
	"unshare cgroups": func(string) error { return unix.Unshare(unix.CLONE_NEWCGROUP) },
	"new user":        func(string) error { return start(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, "/bin/true") },
	"new network": func(string) error {
		return start(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET}, "/bin/true")
	},
	"nested user namespace": func(string) error { return nested() },
	"clone3":                func(string) error { return reached(call(unix.SYS_CLONE3, pointer(make([]byte, 8)), 8), unix.EINVAL) },
	"setns": func(string) error {
		f, err := os.Open("/proc/self/ns/net")
		if err != nil {
			return err
		}
		return unix.Setns(int(f.Fd()), 0)
	},
	"setns of another": func(pid string) error {
		f, err := os.Open("/proc/" + pid + "/ns/uts")
		if err != nil {
			return err
		}
		return unix.Setns(int(f.Fd()), unix.CLONE_NEWUTS)
	},
	"setns by pidfd": withProcess(func(_, fd int) error { return unix.Setns(fd, unix.CLONE_NEWUTS) }),
	// Other processes.
	"ptrace":              func(string) error { return start(&syscall.SysProcAttr{Ptrace: true}, "/bin/true") },
	"ptrace another":      ptraceAnother,
	"process_vm_readv":    readMemory,
	"memory file":         readMemoryFile,
	"pidfd_getfd":         withProcess(func(_, fd int) error { _, err := unix.PidfdGetfd(fd, 0, 0); return err }),
	"kcmp":                withProcess(func(pid, _ int) error { return call(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(pid), 6, 0, 0) }),
	"signal":              withProcess(func(pid, _ int) error { return unix.Kill(pid, unix.SIGCONT) }),
	"signal by pidfd":     withProcess(func(_, fd int) error { return unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0) }),
	"limits of another":   withProcess(func(pid, _ int) error { return unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil) }),
	"priority of another": withProcess(func(pid, _ int) error { return unix.Setpriority(unix.PRIO_PROCESS, pid, 1) }),
	"priority":            func(string) error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) },
	"real time": func(string) error {
		one := int32(1)
		return call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&one)))
	},
	"disk first": func(string) error { return call(unix.SYS_IOPRIO_SET, 1, 0, 1<<13) },
	"migrate_pages": func(string) error {
		one := uint64(1)
		p := uintptr(unsafe.Pointer(&one))
		return call(unix.SYS_MIGRATE_PAGES, 0, 2, p, p)
	},
	"terminal input": func(string) error { return terminalInput() },
	// The kernel.
	"bpf": func(string) error {
		return call(unix.SYS_BPF, 0, pointer(append(words(2, 4, 4, 1), make([]byte, 112)...)), 128)
	},
	"perf_event_open": func(string) error {
		return call(unix.SYS_PERF_EVENT_OPEN, pointer(append(words(1, 64), make([]byte, 56)...)), 0, ^uintptr(0), ^uintptr(0), 0)
	},
	"userfaultfd": func(string) error { return call(unix.SYS_USERFAULTFD, 1) },
	"io_uring":    func(string) error { return call(unix.SYS_IO_URING_SETUP, 1, pointer(make([]byte, 120))) },
	"keyctl":      func(string) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err },
	"add_key": func(string) error {
		_, err := unix.AddKey("user", "x", []byte("y"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	},
	"request_key": func(string) error {
		_, err := unix.RequestKey("user", "x", "", 0)
		return reached(err, unix.ENOKEY, unix.ENOENT)
	},
	"kexec_load": func(string) error {
		if b, err := os.ReadFile("/sys/kernel/kexec_loaded"); err == nil && b[0] != '0' {
			return errors.New("there is a kernel to be kept")
		}
		return call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)
	},
	"kexec_file_load": func(string) error {
		return reached(call(unix.SYS_KEXEC_FILE_LOAD, ^uintptr(0), ^uintptr(0), 0, 0, 0), unix.EBADF)
	},
	"init_module": func(string) error { return reached(unix.InitModule(make([]byte, 64), ""), unix.ENOEXEC) },
	"finit_module": func(string) error {
		f, err := os.Open("/proc/self/exe")
		if err != nil {
			return err
		}
		return reached(unix.FinitModule(int(f.Fd()), "", 0), unix.ENOEXEC, unix.EINVAL)
	},
	"delete_module": func(string) error { return reached(unix.DeleteModule("no_such_module", 0), unix.ENOENT) },
	"reboot": func(string) error {
		if os.Getpid() != 1 { // the first process of a namespace: only it is restarted
			return errors.New("that would be the machine")
		}
		err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
		for err == nil {
			time.Sleep(time.Second) // until it has happened
		}
		return err
	},
	"syslog":      func(string) error { _, err := unix.Klogctl(10, nil); return err },
	"acct":        func(string) error { return reached(unix.Acct("/no/such/file"), unix.ENOENT) },
	"vhangup":     func(string) error { return call(unix.SYS_VHANGUP) },
	"personality": func(string) error { return call(unix.SYS_PERSONALITY, 0x0040000) },
	"future call": func(string) error { return call(600) },
	// What all of the machine shares.
	"host name":   func(string) error { return unix.Sethostname([]byte("fogbank-try")) },
	"domain name": func(string) error { return unix.Setdomainname([]byte("fogbank-try")) },
	"settimeofday": func(string) error {
		var zone [2]int32
		if err := call(unix.SYS_GETTIMEOFDAY, 0, uintptr(unsafe.Pointer(&zone))); err != nil {
			return err
		}
		return call(unix.SYS_SETTIMEOFDAY, 0, uintptr(unsafe.Pointer(&zone)))
	},
	"clock_settime": func(string) error {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
			return err
		}
		return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
	},
	"adjtimex": func(string) error {
		var t unix.Timex
		if _, err := unix.Adjtimex(&t); err != nil && err != unix.EPERM {
			return err
		}
		t.Modes = unix.ADJ_FREQUENCY
		_, err := unix.Adjtimex(&t)
		return err
	},
	// Privileges and limits.
	"setuid":    func(string) error { return unix.Setresuid(0, 0, 0) },
	"setgid":    func(string) error { return unix.Setresgid(0, 0, 0) },
	"setgroups": func(string) error { return unix.Setgroups([]int{0}) },
	"capset": func(string) error {
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		all := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
		return unix.Capset(&h, &all[0])
	},
	"setuid program": setuidProgram,
	"raise limit": func(string) error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 16, Max: 1 << 16})
	},
	"unmapped file": func(string) error { _, err := unix.MemfdCreate("x", 0); return err },
	"shmget":        func(string) error { return call(unix.SYS_SHMGET, 0, 1<<20, 0o600) },
	"msgget":        func(string) error { return call(unix.SYS_MSGGET, 0, 0o600) },
	"semget":        func(string) error { return call(unix.SYS_SEMGET, 0, 1000, 0o600) },
	"message queue": func(string) error {
		name := append([]byte("fogbank-try"), 0)
		defer call(unix.SYS_MQ_UNLINK, pointer(name))
		return call(unix.SYS_MQ_OPEN, pointer(name), unix.O_CREAT|unix.O_RDWR, 0o600, 0)
	},
	"locked memory": func(string) error { return unix.Mlock(make([]byte, 1<<20)) },
	// Sockets.
	"raw socket":       func(string) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
	"packet socket":    func(string) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"vsock":            func(string) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
	"crypto socket":    func(string) error { return socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0) },
	"audit socket":     func(string) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT) },
	"netfilter socket": func(string) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER) },
	"uevent socket":    func(string) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT) },
	"interface":        func(string) error { return interfaceDown() },
	"dial":             dial,
	"api":              reachAPI,
}

// call makes a system call.
func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
		return e
	}
	return nil
}

func pointer(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

func words(list ...uint32) []byte {
	var b []byte
	for _, w := range list {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return b
}

// reached turns the errors into nil that only who may do a thing is answered: what it asked for makes no sense, so
// that nothing is done.
func reached(err error, sense ...syscall.Errno) error {
	for _, e := range sense {
		if err == e {
			return nil
		}
	}
	if err == nil {
		return errors.New("nonsense was taken")
	}
	return err
}

func socket(domain, kind, protocol int) error {
	_, err := unix.Socket(domain, kind, protocol)
	return err
}

// start starts a program and ends it.
func start(a *syscall.SysProcAttr, argv ...string) error {
	c := exec.Command(argv[0], argv[1:]...)
	c.SysProcAttr = a
	if err := c.Start(); err != nil {
		return err
	}
	c.Process.Kill()
	c.Wait()
	return nil
}

// withProcess is an attempt on another process, by its number and by a descriptor of it.
func withProcess(f func(pid, fd int) error) func(string) error {
	return func(arg string) error {
		pid, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return err
		}
		return f(pid, fd)
	}
}

func ptraceAnother(arg string) error {
	pid, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(pid); err != nil {
		return err
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

// readMemory looks for a text at an address of another process: "PID ADDRESS TEXT".
func readMemory(arg string) error {
	var pid, at int
	var text string
	if _, err := fmt.Sscan(arg, &pid, &at, &text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0); err != nil {
		return err
	}
	return same(string(b), text)
}

// readMemoryFile is readMemory by way of /proc.
func readMemoryFile(arg string) error {
	var pid, text string
	var at int64
	if _, err := fmt.Sscan(arg, &pid, &at, &text); err != nil {
		return err
	}
	f, err := os.Open("/proc/" + pid + "/mem")
	if err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	return same(string(b), text)
}

func same(got, want string) error {
	if !strings.Contains(got, want) {
		return errors.New("something else is there")
	}
	return nil
}

// find looks for a text in a file: "PATH TEXT".
func find(arg string) error {
	name, text, _ := strings.Cut(arg, " ")
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return same(string(b), text)
}

func open(name string, flag int) error {
	f, err := os.OpenFile(name, flag|unix.O_NONBLOCK, 0)
	if err == nil {
		f.Close()
	}
	return err
}

func create(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(name)
}

// rewrite writes into a file what it holds.
func rewrite(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0)
}

// put writes a word into a file: "PATH WORD".
func put(arg string) error {
	name, word, _ := strings.Cut(arg, " ")
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(word)
	return err
}

// descriptor looks for an inherited descriptor of a directory with a file: "NAME TEXT".
func descriptor(arg string) error {
	name, text, _ := strings.Cut(arg, " ")
	for dir := range 256 {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY, 0)
		if err != nil {
			continue
		}
		b := make([]byte, 256)
		n, err := unix.Read(fd, b)
		if err != nil {
			return err
		}
		return same(string(b[:n]), text)
	}
	return errors.New("there is none")
}

// replaceProgram puts another file in the place of the program that runs.
func replaceProgram() error {
	at, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	b, err := os.ReadFile(at)
	if err != nil {
		return err
	}
	if err := os.WriteFile(at+".new", b, 0o755); err != nil {
		return err
	}
	return os.Rename(at+".new", at)
}

// swap makes the kernel swap to a file, and stop that.
func swap(name string) error {
	const pages, size = 16, 4096
	b := make([]byte, pages*size)
	copy(b[1024:], words(1, pages-1))
	copy(b[size-10:], "SWAPSPACE2")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return err
	}
	defer os.Remove(name)
	path := append([]byte(name), 0)
	if err := call(unix.SYS_SWAPON, pointer(path), 0); err != nil {
		return err
	}
	return call(unix.SYS_SWAPOFF, pointer(path))
}

// openByHandle opens the root by a handle, for which no directory has to be in sight.
func openByHandle() error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
	if err != nil {
		handle = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0}) // the root of many a disk
	}
	root, err := os.Open("/")
	if err != nil {
		return err
	}
	_, err = unix.OpenByHandleAt(int(root.Fd()), handle, unix.O_RDONLY)
	return err
}

// node makes a device and reads from it: "MAJOR:MINOR".
func node(kind uint32, number string, size int) error {
	var major, minor uint32
	if _, err := fmt.Sscanf(number, "%d:%d", &major, &minor); err != nil {
		return err
	}
	const name = "/tmp/fogbank-device"
	if err := unix.Mknod(name, kind|0o666, int(unix.Mkdev(major, minor))); err != nil {
		return err
	}
	defer os.Remove(name)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(f, make([]byte, size))
	return err
}

// nested mounts inside a user namespace of its own.
func nested() error {
	c := exec.Command("/proc/self/exe", "try", "mount")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
	}
	out, err := c.Output()
	if err == nil && string(out) != `"done"` {
		err = errors.New(string(out))
	}
	return err
}

// setuidProgram runs a program that belongs to root and is to run as root: it is this one.
func setuidProgram(name string) error {
	out, err := exec.Command(name, "try", "user").Output()
	if err != nil {
		return err
	}
	if string(out) != "0" {
		return fmt.Errorf("it runs as %s", out)
	}
	return nil
}

// terminalInput types into a terminal.
func terminalInput() error {
	fd := 0
	if f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		zero, n := uint32(0), uint32(0)
		if err := errors.Join(call(unix.SYS_IOCTL, f.Fd(), unix.TIOCSPTLCK, uintptr(unsafe.Pointer(&zero))),
			call(unix.SYS_IOCTL, f.Fd(), unix.TIOCGPTN, uintptr(unsafe.Pointer(&n)))); err != nil {
			return err
		}
		if fd, err = unix.Open(filepath.Join("/dev/pts", strconv.Itoa(int(n))), unix.O_RDWR, 0); err != nil { // and it controls us
			return err
		}
	}
	key := byte('x')
	return call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&key)))
}

// interfaceDown takes the loopback interface down.
func interfaceDown() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(0)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// dial connects: "NETWORK ADDRESS". A datagram is to be answered.
func dial(arg string) error {
	network, addr, _ := strings.Cut(arg, " ")
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil || network != "udp" {
		return err
	}
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// reachAPI speaks to a Runtime API at an address.
func reachAPI(addr string) error {
	r, err := (&http.Client{Timeout: time.Second}).Post("http://"+addr+"/2018-06-01/runtime/invocation/x/response", "", nil)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return same(string(b), "InvalidRequestID")
}
