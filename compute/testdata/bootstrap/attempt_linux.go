package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// attempt tries what a function must not be able to do; nil means that it was able to.
func attempt(name, arg string) (any, error) {
	if f, ok := calls[name]; ok {
		return "done", f()
	}
	switch name {
	case "dial":
		network, addr, _ := strings.Cut(arg, " ")
		c, err := net.DialTimeout(network, addr, time.Second)
		if err == nil {
			c.Close()
		}
		return "connected", err
	case "get":
		r, err := http.Get(arg)
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil && r.StatusCode != 200 {
			err = fmt.Errorf("status %d", r.StatusCode)
		}
		return string(b), err
	case "lookup":
		return net.LookupHost(arg)
	case "interfaces":
		return net.InterfaceAddrs()
	case "kill":
		pid, err := strconv.Atoi(arg)
		if err != nil {
			return nil, err
		}
		return "killed", syscall.Kill(pid, syscall.SIGKILL)
	case "fill":
		return fill(arg)
	case "forks":
		return forks(arg)
	case "descriptors":
		return descriptors()
	case "background":
		go count(arg)
		return "started", nil
	case "run":
		f := strings.Fields(arg)
		out, err := exec.Command(f[0], f[1:]...).CombinedOutput()
		return string(out), err
	}
	return nil, fmt.Errorf("no such attempt: %s", name)
}

// fill writes a file until it fails and answers how many MB there were; 4 GB at most.
func fill(name string) (any, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer os.Remove(name)
	defer f.Close()
	block := make([]byte, 1<<20)
	for n := range 4096 {
		if _, err := f.Write(block); err != nil {
			return n, nil
		}
	}
	return 4096, nil
}

// forks starts processes until that fails, ends them and answers how many there were.
func forks(limit string) (any, error) {
	most, err := strconv.Atoi(limit)
	if err != nil {
		return nil, err
	}
	var list []*exec.Cmd
	for len(list) < most {
		c := exec.Command("/bin/sleep", "60")
		if c.Start() != nil {
			break
		}
		list = append(list, c)
	}
	for _, c := range list {
		c.Process.Kill()
	}
	for _, c := range list {
		c.Wait()
	}
	return len(list), nil
}

// descriptors opens files until that fails and answers how many there were.
func descriptors() (any, error) {
	var list []*os.File
	for len(list) < 1<<17 {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		list = append(list, f)
	}
	for _, f := range list {
		f.Close()
	}
	return len(list), nil
}

// count writes a growing number into a file, on and on.
func count(name string) {
	for n := 0; ; n++ {
		os.WriteFile(name+".new", []byte(strconv.Itoa(n)), 0o644)
		os.Rename(name+".new", name)
		time.Sleep(time.Millisecond)
	}
}

func raw(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
		return e
	}
	return nil
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	return uintptr(unsafe.Pointer(&b[0]))
}

func socket(domain, kind, protocol int) error {
	fd, err := syscall.Socket(domain, kind, protocol)
	if err == nil {
		syscall.Close(fd)
	}
	return err
}

func withFlags(flags uintptr) error {
	c := exec.Command("/bin/true")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return c.Run()
}

// calls are system calls that are to be refused.
var calls = map[string]func() error{
	"mount":       func() error { return syscall.Mount("x", "/tmp", "tmpfs", 0, "") },
	"bind mount":  func() error { return syscall.Mount("/usr", "/tmp", "", syscall.MS_BIND, "") },
	"remount":     func() error { return syscall.Mount("", "/usr", "", syscall.MS_REMOUNT|syscall.MS_BIND, "") },
	"umount":      func() error { return syscall.Unmount("/tmp", syscall.MNT_DETACH) },
	"fsopen":      func() error { return raw(430, text("tmpfs"), 0) },
	"open_tree":   func() error { return raw(428, ^uintptr(99), text("/"), 1) },
	"pivot_root":  func() error { return syscall.PivotRoot("/tmp", "/tmp") },
	"chroot":      func() error { return syscall.Chroot("/tmp") },
	"unshare":     func() error { return syscall.Unshare(syscall.CLONE_NEWNS) },
	"new user":    func() error { return withFlags(syscall.CLONE_NEWUSER) },
	"new network": func() error { return withFlags(syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET) },
	"setns": func() error {
		f, err := os.Open("/proc/self/ns/net")
		if err != nil {
			return err
		}
		defer f.Close()
		return raw(sysSetns, f.Fd(), 0)
	},
	"ptrace": func() error {
		c := exec.Command("/bin/true")
		c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
		return c.Run()
	},
	"ptrace parent":     func() error { return syscall.PtraceAttach(os.Getppid()) },
	"process_vm_readv":  func() error { return raw(sysProcessVMReadv, uintptr(os.Getpid()), 0, 0, 0, 0, 0) },
	"bpf":               func() error { return raw(sysBPF, 0, 0, 0) },
	"perf_event_open":   func() error { return raw(sysPerfEventOpen, 0, 0, ^uintptr(0), ^uintptr(0), 0) },
	"userfaultfd":       func() error { return raw(sysUserfaultfd, 1) },
	"io_uring_setup":    func() error { var p [120]byte; return raw(425, 1, uintptr(unsafe.Pointer(&p))) },
	"keyctl":            func() error { return raw(syscall.SYS_KEYCTL, 0, ^uintptr(2), 1) },
	"add_key":           func() error { return raw(syscall.SYS_ADD_KEY, text("user"), text("x"), text("y"), 1, ^uintptr(2)) },
	"kexec_load":        func() error { return raw(syscall.SYS_KEXEC_LOAD, 0, 0, 0, 0) },
	"init_module":       func() error { return raw(syscall.SYS_INIT_MODULE, 0, 0, text("")) },
	"finit_module":      func() error { return raw(sysFinitModule, 0, text(""), 0) },
	"delete_module":     func() error { return raw(syscall.SYS_DELETE_MODULE, text("x"), 0) },
	"reboot":            func() error { return syscall.Reboot(0x01234567) },
	"swapon":            func() error { return raw(syscall.SYS_SWAPON, text("/tmp/x"), 0) },
	"sethostname":       func() error { return syscall.Sethostname([]byte("x")) },
	"settimeofday":      func() error { return syscall.Settimeofday(&syscall.Timeval{Sec: 1}) },
	"device":            func() error { return syscall.Mknod("/tmp/device", syscall.S_IFCHR|0o666, 1<<8|3) },
	"raw socket":        func() error { return socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP) },
	"packet socket":     func() error { return socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0) },
	"vsock":             func() error { return socket(40, syscall.SOCK_STREAM, 0) },
	"crypto socket":     func() error { return socket(38, syscall.SOCK_SEQPACKET, 0) },
	"audit socket":      func() error { return socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 9) },
	"fanotify":          func() error { return raw(sysFanotifyInit, 0x200, 0) },
	"name_to_handle_at": func() error { return raw(sysNameToHandleAt, 0, 0, 0, 0, 0) },
	"open_by_handle_at": func() error { return raw(sysOpenByHandleAt, 0, 0, 0) },
	"syslog":            func() error { return raw(syscall.SYS_SYSLOG, 10, 0, 0) },
	"personality":       func() error { return raw(syscall.SYS_PERSONALITY, 0x0040000) },
	"setuid":            func() error { return syscall.Setuid(0) },
	"future call":       func() error { return raw(600) },
	"terminal input": func() error {
		c := byte('x')
		return raw(syscall.SYS_IOCTL, 0, 0x5412, uintptr(unsafe.Pointer(&c)))
	},
	"raise limit": func() error {
		return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1 << 16, Max: 1 << 16})
	},
	"unmapped file":   func() error { return raw(sysMemfdCreate, text("x"), 0) },
	"unmapped memory": func() error { return raw(sysShmget, 0, 1<<20, 0o600) },
	"own program":     func() error { return os.WriteFile("/proc/self/exe", []byte("x"), 0o755) },
}
