package compute

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cellName is the name (argument 0) under which this program makes itself a cell and becomes the runtime.
const cellName = "fogbank-cell"

// A process that was started to be a cell becomes one here, before the packages that this one does not need are
// initialised: that takes longer than all else a cell does.
var _ = becomeIfCell()

func becomeIfCell() struct{} {
	if len(os.Args) == 4 && os.Args[0] == cellName {
		becomeCell(&cell{isolation: parseIsolation(os.Args[1]), root: os.Args[2], groups: os.Args[3]})
	}
	return struct{}{}
}

const (
	firstUser = 1_600_000_000 // environments' users and groups: this one and the 65,535 after it
	users     = 1 << 16
	innerUser = 993 // the user and group inside an unprivileged user namespace
	fileLimit = 1024
	procLimit = 1024

	memlockLimit = 64 << 10 // bytes

	// timerSlack is how late timers may be in a function with less than one processor. Go's scheduler, where it runs, looks
	// every 20 µs whether a thread has blocked, which costs more than a short invocation.
	timerSlack = 500 * time.Microsecond
)

// cell is what a process makes of itself before it becomes the runtime. What is the same for all, it does
// before it reads the rest, so that a process can be kept ready.
type cell struct {
	isolation
	root   string // an empty directory to put the new root on
	groups string // control groups of version 1 to join

	Host  string // a name that is to mean 127.0.0.1
	IP    string // an address that is to be the environment's own
	Binds []bind
	TmpMB int
	Slack time.Duration // how late timers may be; 0: as late as the kernel makes them
	User  int           // root mode: the user and group to become
	Argv  []string
	Env   []string
	// Programs are the external extensions, below /opt/extensions, and ProgramEnv is their environment.
	Programs, ProgramEnv []string
	Probe                bool // end with status 0 instead of becoming anything
}

// bind makes a directory or file of the host visible, read-only.
type bind struct{ From, To string }

// systemDirs are shown to every environment where the host has them; links are made anew.
var systemDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// systemFiles are shown to every environment where the host has them: nothing that may hold a private key.
var systemFiles = []string{
	"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/openssl.cnf", "/etc/pki/ca-trust", "/etc/pki/tls/certs",
	"/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/ca-certificates", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime",
	"/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols", "/etc/mime.types",
}

var devices = []string{"null", "zero", "full", "random", "urandom"}

// cell describes the environment's sandbox.
func (e *environment) cell(g program, task string, env []string) *cell {
	c := &cell{TmpMB: e.spec.TmpMB, Argv: g.argv, Env: env}
	if e.spec.MemoryMB < vCPU {
		c.Slack = timerSlack
	}
	c.Binds = []bind{{task, taskRoot}, {e.p.runtime, runtimeDir}}
	if e.opt != "" {
		c.Binds = append(c.Binds, bind{e.opt, optDir})
	}
	for _, b := range g.binds {
		if b != "/" && b != "/usr" && !strings.HasPrefix(b, "/usr/") {
			c.Binds = append(c.Binds, bind{b, b})
		}
	}
	return c
}

// findIsolation tries the modes in turn.
func (p *Process) findIsolation() isolation {
	i := isolation{mode: modeUser, network: true, seccomp: hasSeccomp(), landlock: landlockVersion() >= landlockLeast}
	if os.Geteuid() == 0 {
		i.mode = modeRoot
	}
	err := p.tryCell(i)
	if err != nil {
		i.network, i.reason = false, "no network namespace: "+err.Error()
		err = p.tryCell(i)
	}
	if err != nil {
		return isolation{mode: modePlain, reason: err.Error()}
	}
	return i
}

// tryCell makes a cell that ends at once.
func (p *Process) tryCell(i isolation) error {
	b, err := p.spawnCell(i)
	if err != nil {
		return err
	}
	defer b.out.Close()
	ds, err := b.doors(p, site{})
	if err == nil {
		defer ds.close()
		err = b.fill(&cell{TmpMB: 1, Probe: true})
	}
	if s := b.child.wait(); b.child.complaint() != "" || s != "exit status 0" {
		return errors.New(strings.TrimSpace(b.child.complaint() + " " + s))
	}
	return err
}

// blank is a process that is ready to become any environment.
type blank struct {
	isolation isolation
	child     *child
	in        *net.UnixConn // hands out sockets of the cell's network, takes the description of the cell
	out       *os.File      // what it prints
	user      int
}

// spawnCell starts this program as a blank.
func (p *Process) spawnCell(i isolation) (*blank, error) {
	n := p.serial.Add(1)
	g, err := p.groups().newGroup(n)
	if err != nil {
		return nil, err
	}
	b := &blank{isolation: i, child: &child{group: g}, user: firstUser + int(n%users)}
	var ends [3]*os.File // of the child: description, status, output
	in, end, err := socketPair()
	if err != nil {
		g.remove()
		return nil, err
	}
	b.in, ends[0] = in, end
	pipe := func(read, write **os.File) {
		if err == nil {
			*read, *write, err = os.Pipe()
		}
	}
	pipe(&b.child.status, &ends[1])
	pipe(&b.out, &ends[2])
	null, nerr := os.Open(os.DevNull)
	defer closeAll(append(ends[:], null)...)
	attr := cellAttr(i)
	g.attr(attr)
	if err = errors.Join(err, nerr); err == nil {
		b.child.process, err = os.StartProcess("/proc/self/exe", []string{cellName, i.String(), filepath.Join(p.dir, "root"), g.firsts()}, &os.ProcAttr{
			Dir: "/", Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Files: []*os.File{null, ends[2], ends[2], ends[0], ends[1]}, Sys: attr,
		})
	}
	if err != nil {
		b.in.Close()
		closeAll(b.child.status, b.out)
		g.remove()
		return nil, err
	}
	return b, nil
}

// socketPair makes a connected pair: ours, and the child's.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "description"), os.NewFile(uintptr(fds[1]), "description")
	defer ours.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

// closeAll closes what is not nil.
func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// fill makes the blank what c describes; it fails when the blank has ended meanwhile.
func (b *blank) fill(c *cell) error {
	if len(c.Programs) == 0 {
		defer b.in.Close()
	}
	c.User = b.user
	doc, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = b.in.Write(doc)
	return err
}

// discard ends a blank.
func (b *blank) discard() {
	b.in.Close()
	b.child.kill()
	b.child.wait()
	b.out.Close()
}

// startCell turns a blank kept ready, else a new one, into the environment.
func (e *environment) startCell(g program, task string, at places) (*os.File, error) {
	p := e.p
	for {
		b, kept, err := p.blank()
		if err != nil {
			return nil, err
		}
		if err = e.fill(b, g, task, at); err == nil {
			e.child = b.child
			return b.out, nil
		}
		b.discard()
		if !kept {
			return nil, err
		}
	}
}

// blank takes a blank kept ready, or makes one.
func (p *Process) blank() (b *blank, kept bool, err error) {
	p.mu.Lock()
	if n := len(p.blanks); n > 0 {
		b, p.blanks = p.blanks[n-1], p.blanks[:n-1]
	}
	p.mu.Unlock()
	if b != nil {
		return b, true, nil
	}
	b, err = p.spawnCell(p.probe())
	return b, false, err
}

// fill opens the environment's doors and makes the blank become its runtime.
func (e *environment) fill(b *blank, g program, task string, at places) error {
	s, err := locate(e.spec.Endpoint)
	if err != nil {
		return err
	}
	ds, err := b.doors(e.p, s)
	if err != nil {
		return err
	}
	spec := e.spec
	if b.isolation.network {
		spec.Endpoint = s.url
	}
	at.proxy = ds.proxyURL()
	c := e.cell(g, task, environ(spec, ds.api.Addr().String(), at))
	c.Host, c.IP = s.host, s.ip
	c.Programs, c.ProgramEnv = e.ext.programs, programEnv(c.Env)
	err = errors.Join(b.child.group.limit(e.spec.MemoryMB, max(e.spec.TmpMB, 1)), b.child.group.weigh(vCPU)) // until it is initialised
	if err == nil {
		err = b.fill(c)
	}
	if err != nil {
		ds.close()
		return err
	}
	if e.doors = ds; len(c.Programs) > 0 {
		e.ext.adopt(b.in)
	}
	return nil
}

// blanksReady is how many blanks are kept once a function has run.
const blanksReady = 2

// blankWeight is the memory, in MB, by whose share blanks are made: whoever waits for an environment goes first.
const blankWeight = 256

// prepare makes a blank for the environment after this one, unless there are enough.
func (p *Process) prepare() {
	i := p.probe()
	p.mu.Lock()
	enough := i.mode == modePlain || p.closed || len(p.blanks)+p.preparing >= blanksReady
	if !enough {
		p.preparing++
	}
	p.mu.Unlock()
	if enough {
		return
	}
	go func() {
		b, err := p.spawnCell(i)
		if err == nil && b.child.group.weigh(blankWeight) != nil {
			b.discard()
			err = errors.New("compute: a blank that would take the processors from those who wait")
		}
		p.mu.Lock()
		closed := p.closed
		if err == nil && !closed {
			p.blanks = append(p.blanks, b)
		}
		p.mu.Unlock()
		if err == nil && closed {
			b.discard()
		}
		if closed {
			p.groups().remove()
		}
		p.mu.Lock()
		p.preparing--
		p.mu.Unlock()
	}()
}

func cellAttr(i isolation) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	if i.network {
		a.Cloneflags |= syscall.CLONE_NEWNET
	}
	if i.mode == modeUser {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: innerUser, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: innerUser, HostID: os.Getegid(), Size: 1}}
		a.AmbientCaps = []uintptr{capSysAdmin, capSetpcap, capNetAdmin, capResource}
	}
	return a
}

func plainAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// reap waits until the process has ended, kills its group while its number cannot be another's yet, and
// takes its state.
func (c *child) reap() (*os.ProcessState, error) {
	const pPID, wExited, wNoWait = 1, 4, 0x01000000
	var info [128]byte
	pid := c.process.Pid
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), wExited|wNoWait, 0, 0)
		if e != syscall.EINTR {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	syscall.Kill(-pid, syscall.SIGKILL)
	c.reaped = true
	return c.process.Wait()
}

const (
	capSetpcap  = 8
	capNetAdmin = 12
	capSysAdmin = 21
	capResource = 24

	prSetPdeathsig   = 1
	prCapbsetDrop    = 24
	prSetSecurebits  = 28
	prSetTimerslack  = 29
	prSetNoNewPrivs  = 38
	prCapAmbient     = 47
	ambientClearAll  = 4
	rlimitNproc      = 6
	rlimitMemlock    = 8
	rlimitMsgqueue   = 12
	rlimitNice       = 13
	rlimitRtprio     = 14
	secureEverything = 0xef // NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each locked
)

// becomeCell makes the process a cell as described on descriptor 3, tells on descriptor 4 what goes wrong,
// and becomes the runtime.
func becomeCell(c *cell) {
	runtime.LockOSThread()
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	in, status := os.NewFile(3, "description"), os.NewFile(4, "status")
	err := errors.Join(joinFirsts(c.groups), c.standBack())
	if err == nil && c.network {
		err = handOut(3)
	}
	if err == nil {
		err = c.buildRoot()
	}
	if err == nil {
		err = c.read(in)
	}
	if err == nil {
		err = c.enter()
	}
	if err != nil {
		fmt.Fprintf(status, "%v", err)
		os.Exit(1)
	}
	if c.Probe {
		os.Exit(0)
	}
	if len(c.Programs) > 0 {
		if err = c.startPrograms(in); err != nil {
			fmt.Fprintf(status, "%v", err)
			os.Exit(1)
		}
	}
	err = syscall.Exec(c.Argv[0], c.Argv, c.Env)
	fmt.Fprintf(status, "exec: %s: %v", c.Argv[0], err)
	os.Exit(1)
}

// quotas are what the processes of an unprivileged user namespace may have of what the server's user has a number of.
var quotas = map[string]string{
	"max_inotify_instances": "16", "max_inotify_watches": "8192", "max_fanotify_groups": "0", "max_fanotify_marks": "0",
	"max_user_namespaces": "0", "max_mnt_namespaces": "0", "max_pid_namespaces": "0", "max_net_namespaces": "0",
	"max_uts_namespaces": "0", "max_ipc_namespaces": "0", "max_cgroup_namespaces": "0", "max_time_namespaces": "0",
}

// standBack puts the environment behind the host: when its memory is short, what runs functions is killed first, and
// what the server's user has a number of is not used up.
func (c *cell) standBack() error {
	if err := write("/proc/self/oom_score_adj", "1000"); err != nil {
		return fmt.Errorf("first to be killed: %w", err)
	}
	if c.mode != modeUser {
		return nil
	}
	for name, value := range quotas {
		if err := write("/proc/sys/user/"+name, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("quota: %w", err)
		}
	}
	return nil
}

// read waits for the description. Without one nothing is to become of the process.
func (c *cell) read(in io.Reader) error {
	err := json.NewDecoder(in).Decode(c)
	if err == io.EOF {
		os.Exit(0)
	}
	return err
}

// buildRoot makes a new root of read-only pieces of the host, as far as it is the same for all.
func (c *cell) buildRoot() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	syscall.Umask(0o022)
	if err := syscall.Mount("root", c.root, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size=4m,mode=755"); err != nil {
		return fmt.Errorf("new root: %w", err)
	}
	for _, step := range []func() error{c.showSystem, c.showDevices, c.makeProc} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := syscall.Sethostname([]byte("localhost")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return nil
}

// enter finishes the root, moves into it, and gives up what a function must not have.
func (c *cell) enter() error {
	for _, step := range []func() error{c.showBinds, c.makeOwn, c.move} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := syscall.Chdir(taskRoot); err != nil {
		return err
	}
	if err := c.limit(); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	if err := c.drop(); err != nil {
		return fmt.Errorf("privileges: %w", err)
	}
	return nil
}

// move makes the new root the only one.
func (c *cell) move() error {
	if err := syscall.Chdir(c.root); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's root: %w", err)
	}
	if err := syscall.Chdir("/"); err != nil {
		return err
	}
	return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NODEV, "")
}

// showSystem shows the host's programs and libraries and the few files of /etc that libraries read.
func (c *cell) showSystem() error {
	for _, d := range systemDirs {
		info, err := os.Lstat(d)
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeSymlink == 0 {
			err = c.show(d, d)
		} else if to, e := os.Readlink(d); e == nil {
			err = os.Symlink(to, c.root+d)
		}
		if err != nil {
			return err
		}
	}
	files := systemFiles
	if !c.network {
		files = append(files, "/etc/hosts")
	}
	for _, f := range files {
		if from, err := filepath.EvalSymlinks(f); err == nil {
			if err := c.show(from, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeOwn makes what belongs to the environment alone: /tmp, its user, and the empty places of AWS's image.
func (c *cell) makeOwn() error {
	for _, d := range []string{"/tmp", "/opt", taskRoot, runtimeDir} {
		if err := os.MkdirAll(c.root+d, 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mount("tmp", c.root+"/tmp", "tmpfs", quiet, "mode=1777,size="+strconv.Itoa(max(c.TmpMB, 1))+"m,nr_inodes="+strconv.Itoa(max(c.TmpMB, 16)*256)); err != nil {
		return fmt.Errorf("/tmp: %w", err)
	}
	if c.network {
		if err := os.WriteFile(c.root+"/etc/hosts", []byte(c.hosts()), 0o644); err != nil {
			return err
		}
	}
	if c.IP != "" && c.network {
		if err := ownAddress(c.IP); err != nil {
			return fmt.Errorf("address %s: %w", c.IP, err)
		}
	}
	passwd := "root:x:0:0:root:/root:/sbin/nologin\nsbx_user:x:" + strconv.Itoa(c.inner()) + ":" + strconv.Itoa(c.inner()) + "::/tmp:/sbin/nologin\n"
	return os.WriteFile(c.root+"/etc/passwd", []byte(passwd), 0o644)
}

// inner is the user's number inside.
func (c *cell) inner() int {
	if c.mode == modeUser {
		return innerUser
	}
	return c.User
}

// showDevices shows the harmless devices.
func (c *cell) showDevices() error {
	for _, d := range devices {
		if err := c.bind("/dev/"+d, "/dev/"+d); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, c.root+"/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// showBinds shows the function's code, our runtimes and the interpreter.
func (c *cell) showBinds() error {
	for _, b := range c.Binds {
		if err := c.show(b.From, b.To); err != nil {
			return err
		}
	}
	return nil
}

// quiet is how file systems of an environment's own are mounted.
const quiet = syscall.MS_NOSUID | syscall.MS_NODEV

// makeProc makes /proc, which shows the environment's own processes only.
func (c *cell) makeProc() error {
	if err := os.MkdirAll(c.root+"/proc", 0o755); err != nil {
		return err
	}
	// Inside a container that hides parts of /proc an unprivileged user may not mount a new one. The
	// environment then has none, rather than the host's.
	err := syscall.Mount("proc", c.root+"/proc", "proc", quiet|syscall.MS_NOEXEC, "")
	if err != nil && c.mode == modeRoot {
		return fmt.Errorf("/proc: %w", err)
	}
	return nil
}

// show binds a directory or file of the host and makes it read-only.
func (c *cell) show(from, to string) error {
	if err := c.bind(from, to); err != nil {
		return err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(c.root+to, &st); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	// Flags that the host set on the mount may not be taken away in a user namespace.
	kept := uintptr(st.Flags) & (syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOATIME | syscall.MS_NODIRATIME | 0x1000 | syscall.MS_RELATIME)
	if kept&0x1000 != 0 { // ST_RELATIME has another number than MS_RELATIME
		kept = kept&^0x1000 | syscall.MS_RELATIME
	}
	flags := syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY | syscall.MS_NOSUID | kept
	if err := syscall.Mount("", c.root+to, "", flags, ""); err != nil {
		return fmt.Errorf("read-only %s: %w", to, err)
	}
	return nil
}

// bind makes from visible at to.
func (c *cell) bind(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	at := c.root + to
	dir := at
	if !info.IsDir() {
		dir = filepath.Dir(at)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if !info.IsDir() {
		if err := os.WriteFile(at, nil, 0o644); err != nil {
			return err
		}
	}
	if err := syscall.Mount(from, at, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("showing %s: %w", from, err)
	}
	return nil
}

// limit sets the resource limits. Where the environment has no user of its own, the kernel counts the processes of
// its user namespace from version 5.14 on; before, it counts all of the server's user, and the limit is left out.
func (c *cell) limit() error {
	set := func(what int, n uint64) error {
		return syscall.Setrlimit(what, &syscall.Rlimit{Cur: n, Max: n})
	}
	// A limit of 1 keeps the kernel from piping a core to a program of the host, too, which it does despite a limit of 0.
	err := errors.Join(set(syscall.RLIMIT_CORE, 1), set(rlimitNice, 0), set(rlimitRtprio, 0), set(syscall.RLIMIT_NOFILE, fileLimit), set(rlimitMemlock, memlockLimit), set(rlimitMsgqueue, 0))
	if c.mode == modeRoot || kernelSince(5, 14) {
		err = errors.Join(err, set(rlimitNproc, procLimit))
	}
	return err
}

// kernelSince reports whether the kernel is of a version or a newer one.
func kernelSince(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var a, b int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}

// drop gives up every privilege, for good. The calls concern this thread, which is the one that becomes
// the runtime.
func (c *cell) drop() error {
	for n := uintptr(0); n < 64; n++ {
		if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prCapbsetDrop, n, 0); e == syscall.EINVAL {
			break
		} else if e != 0 {
			return fmt.Errorf("bounding set: %w", e)
		}
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetSecurebits, secureEverything, 0); e != 0 {
		return fmt.Errorf("securebits: %w", e)
	}
	if c.mode == modeRoot {
		if err := c.become(); err != nil {
			return err
		}
	}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, ambientClearAll, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("ambient set: %w", e)
	}
	header := struct{ version, pid uint32 }{0x20080522, 0}
	var none [6]uint32
	if _, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0); e != 0 {
		return fmt.Errorf("capabilities: %w", e)
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGKILL), 0); e != 0 {
		return fmt.Errorf("end with the server: %w", e)
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerslack, uintptr(c.Slack), 0); e != 0 { // 0 is the kernel's own
		return fmt.Errorf("timer slack: %w", e)
	}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("no_new_privs: %w", e)
	}
	return c.restrict()
}

// restrict puts the thread under Landlock's rules and the filter of calls.
func (c *cell) restrict() error {
	if c.landlock {
		if err := restrictFiles(); err != nil {
			return err
		}
	}
	if c.seccomp {
		return restrictCalls()
	}
	return nil
}

// become changes to the environment's own user and group.
func (c *cell) become() error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := syscall.Setresgid(c.User, c.User, c.User); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	if err := syscall.Setresuid(c.User, c.User, c.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return nil
}

// residentMB is the memory of a process and those below it, in MB, without the files they have mapped, which they
// share.
func residentMB(pid int) int {
	kb := 0
	for _, p := range tree(pid) {
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(p) + "/status"); err == nil {
			kb += statusKB(b, "RssAnon:") + statusKB(b, "RssShmem:") + statusKB(b, "HugetlbPages:")
		}
	}
	return kb / 1024
}

// peakMB is the most memory a process has used, in MB; 0 when it has ended.
func peakMB(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return statusKB(b, "VmHWM:") / 1024
}

// statusKB reads a field of a process's status.
func statusKB(status []byte, field string) int {
	_, rest, ok := bytes.Cut(status, []byte("\n"+field))
	if !ok {
		return 0
	}
	f := bytes.Fields(rest[:min(len(rest), 64)])
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(f[0])) // the kernel writes a number
	return n
}
