package compute

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter of system calls refuses what no function needs and what reaches parts of the kernel that namespaces do
// not divide, and every call newer than those it was written for. A refused call answers an error, so that a
// program that only tries one goes on.

// verdict is what the filter answers: a label of its last instructions.
type verdict string

const (
	allow         verdict = "allow"
	refuseEPERM   verdict = "EPERM"
	refuseENOSYS  verdict = "ENOSYS"       // as though the kernel were older: libraries do it in another way
	refuseFamily  verdict = "EAFNOSUPPORT" // as though the kernel lacked the protocol
	lastKnownCall         = 466            // removexattrat, of Linux 6.13
)

// deniedCalls are refused with EPERM on every processor.
var deniedCalls = []uint32{
	// The tree of files, and other views of it.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_STATMOUNT,
	unix.SYS_LISTMOUNT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_NFSSERVCTL,
	// Namespaces, and other processes.
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
	unix.SYS_PIDFD_GETFD, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	// The kernel itself.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER,
	unix.SYS_IO_URING_REGISTER, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
	unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_VHANGUP, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_MEMFD_SECRET, unix.SYS_LSM_SET_SELF_ATTR,
	// What all of the machine shares.
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// unseenMemory are the calls that get memory which no process needs to have mapped, gigabytes of it: a limit that looks
// at processes would not see it.
var unseenMemory = []uint32{unix.SYS_MEMFD_CREATE, unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET}

// namespaceFlags are those of clone that make namespaces.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// assembler writes a program for the kernel's packet filter, with labels.
type assembler struct {
	code   []unix.SockFilter
	jumps  map[int][2]string // of the instruction, where it goes when its condition holds and when not; "" is the next
	labels map[string]int
}

// emit adds an instruction.
func (a *assembler) emit(code uint16, k uint32) {
	a.code = append(a.code, unix.SockFilter{Code: code, K: k})
}

// when adds a jump: then is taken when the comparison of the loaded value with k holds.
func (a *assembler) when(comparison uint16, k uint32, then, otherwise string) {
	a.jumps[len(a.code)] = [2]string{then, otherwise}
	a.emit(unix.BPF_JMP|comparison|unix.BPF_K, k)
}

// load loads a word of the call's description.
func (a *assembler) load(offset uint32) { a.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset) }

// argument loads the low half of an argument; both processors are little-endian.
func (a *assembler) argument(n uint32) { a.load(16 + 8*n) }

// mark puts a label before the next instruction.
func (a *assembler) mark(label string) { a.labels[label] = len(a.code) }

// answer ends the program with a verdict.
func (a *assembler) answer(v verdict, action uint32) {
	a.mark(string(v))
	a.emit(unix.BPF_RET|unix.BPF_K, action)
}

// program resolves the labels.
func (a *assembler) program() ([]unix.SockFilter, error) {
	for at, to := range a.jumps {
		var offsets [2]uint8
		for i, label := range to {
			if label == "" {
				continue
			}
			target, ok := a.labels[label]
			n := target - at - 1
			if !ok || n < 0 || n > 255 {
				return nil, fmt.Errorf("compute: the filter's jump to %s is %d instructions", label, n)
			}
			offsets[i] = uint8(n)
		}
		a.code[at].Jt, a.code[at].Jf = offsets[0], offsets[1]
	}
	return a.code, nil
}

// filter is the program every environment runs under.
func filter() ([]unix.SockFilter, error) {
	a := &assembler{jumps: map[int][2]string{}, labels: map[string]int{}}
	const equal, least, bits = unix.BPF_JEQ, unix.BPF_JGE, unix.BPF_JSET
	a.load(4) // the processor whose calls these are: no 32-bit ones
	a.when(equal, auditArch, "", string(refuseENOSYS))
	a.load(0)
	a.when(least, lastKnownCall+1, string(refuseENOSYS), "")
	a.when(equal, unix.SYS_CLONE3, string(refuseENOSYS), "") // its flags are out of the filter's sight
	for _, n := range unseenMemory {
		a.when(equal, n, string(refuseENOSYS), "")
	}
	for _, special := range []struct {
		call  uint32
		label string
	}{{unix.SYS_CLONE, "clone"}, {unix.SYS_SOCKET, "socket"}, {unix.SYS_SOCKETPAIR, "socket"}, {unix.SYS_IOCTL, "ioctl"},
		{unix.SYS_PERSONALITY, "personality"}, {unix.SYS_MKNODAT, "mknodat"}} {
		a.when(equal, special.call, special.label, "")
	}
	for _, n := range append(deniedCalls, deniedHere...) {
		a.when(equal, n, string(refuseEPERM), "")
	}
	a.emit(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW)

	a.mark("clone")
	a.argument(0)
	a.when(bits, namespaceFlags, string(refuseEPERM), string(allow))
	a.mark("ioctl")
	a.argument(1)
	a.when(equal, unix.TIOCSTI, string(refuseEPERM), "")
	a.when(equal, unix.TIOCLINUX, string(refuseEPERM), string(allow))
	a.mark("personality")
	a.argument(0)
	a.when(equal, 0, string(allow), "")
	a.when(equal, 0xffffffff, string(allow), string(refuseEPERM))
	a.mark("mknodat") // pipes and sockets may be made, devices not
	a.argument(2)
	a.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, unix.S_IFMT)
	a.when(equal, unix.S_IFCHR, string(refuseEPERM), "")
	a.when(equal, unix.S_IFBLK, string(refuseEPERM), string(allow))
	a.mark("socket")
	a.argument(0)
	a.when(equal, unix.AF_UNIX, string(allow), "")
	a.when(equal, unix.AF_INET, "kind", "")
	a.when(equal, unix.AF_INET6, "kind", "")
	a.when(equal, unix.AF_NETLINK, "", string(refuseFamily)) // libraries ask it for the interfaces
	a.argument(2)
	a.when(equal, unix.NETLINK_ROUTE, string(allow), string(refuseEPERM))
	a.mark("kind")
	a.argument(1)
	a.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0xf)
	a.when(equal, unix.SOCK_RAW, string(refuseEPERM), "")
	a.when(equal, unix.SOCK_PACKET, string(refuseEPERM), string(allow))

	a.answer(allow, unix.SECCOMP_RET_ALLOW)
	a.answer(refuseEPERM, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
	a.answer(refuseENOSYS, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))
	a.answer(refuseFamily, unix.SECCOMP_RET_ERRNO|uint32(unix.EAFNOSUPPORT))
	return a.program()
}

// hasSeccomp reports whether the kernel filters calls, and we know this processor's.
func hasSeccomp() bool {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return e == 0 && auditArch != 0
}

// restrictCalls puts this thread, and what becomes of it, under the filter.
func restrictCalls() error {
	code, err := filter()
	if err != nil {
		return err
	}
	p := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(code)
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
