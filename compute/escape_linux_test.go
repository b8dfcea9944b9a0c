package compute

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// escape is an attempt to do what a function must not be able to. Outside it works, or the test says why it cannot be
// shown on this machine; inside it fails.
type escape struct {
	try  string // as the test's program understands it; {names} stand for what the field found
	want string // found in what it is answered inside, alternatives between bars
	// shield are the namespaces in which it is made outside, for the host not to be harmed.
	shield uintptr
	// weak makes it outside as a user without privileges.
	weak bool
}

const (
	mounts   = syscall.CLONE_NEWNS
	names    = syscall.CLONE_NEWUTS
	networks = syscall.CLONE_NEWNET
	messages = syscall.CLONE_NEWIPC

	refusal  = "not permitted"
	hidden   = "no such file"
	stranger = "no such process|no such file"
	closed   = "permission denied|read-only|no such file|not permitted"
	older    = "not implemented"
	unheard  = "refused|unreachable|no such file|timeout|not supported|not permitted|assign requested"
)

var escapes = []escape{
	// The tree of files.
	{"mount", refusal, mounts, false}, {"bind mount", refusal, mounts, false}, {"remount", refusal, mounts, false},
	{"umount", refusal, mounts, false}, {"fsopen", refusal, mounts, false}, {"open_tree", refusal, mounts, false},
	{"mount_setattr", refusal, mounts, false}, {"mount cgroups", refusal, mounts, false}, {"pivot_root", refusal, mounts, false},
	{"chroot", refusal, mounts, false}, {"fanotify", refusal, 0, false}, {"quotactl", refusal, 0, false}, {"swapon", refusal, 0, false},
	{"name_to_handle_at", refusal, 0, false}, {"open_by_handle_at", refusal, 0, false}, {"device", refusal, 0, false},
	{"disk:{disk}", refusal, 0, false}, {"replace program", "read-only", 0, false},
	{"create:/usr/bin/fogbank-try", closed, mounts, false}, {"create:/etc/fogbank-try", closed, mounts, false},
	{"create:/dev/fogbank-try", closed, mounts, false}, {"create:/fogbank-try", closed, mounts, false},
	{"open to write:/usr/bin/env", closed, mounts, false}, {"open to write:/etc/passwd", closed, mounts, false},
	{"open:/etc/shadow", hidden, 0, false}, {"open:/root", closed, 0, false}, {"open:/var/log", hidden, 0, false},
	{"find:{dir}/secret {marker}", hidden, 0, false}, {"find:{dir}/link {marker}", hidden, 0, false}, {"open:/sys/kernel", hidden, 0, false},
	{"find:{dir}/task/link {marker}", hidden, 0, false}, {"descriptor:secret {marker}", "there is none", 0, false},
	{"open:/sys/fs/cgroup", hidden, 0, false}, {"put:{group}/cgroup.procs 0", hidden, 0, false}, {"rewrite:{group}/release_agent", hidden, 0, false},
	{"open:/dev/mem", hidden, 0, false}, {"open:/dev/kmsg", hidden, 0, false}, {"open:/dev/net/tun", hidden, 0, false},
	{"open:/dev/fuse", hidden, 0, false}, {"open:/dev/kvm", hidden, 0, false}, {"open:/dev/loop-control", hidden, 0, false},
	{"open:/dev/tty0", hidden, 0, false}, {"open:/dev/ptmx", hidden, 0, false}, {"create:/dev/shm/fogbank-try", closed, 0, false},
	// /proc.
	{"open:/proc/kcore", closed, 0, false}, {"open:/proc/kmsg", closed, 0, false}, {"put:/proc/sysrq-trigger h", closed, 0, false},
	{"rewrite:/proc/sys/kernel/core_pattern", closed, 0, false}, {"rewrite:/proc/sys/kernel/modprobe", closed, 0, false},
	{"rewrite:/proc/sys/vm/overcommit_memory", closed, 0, false}, {"rewrite:/proc/sys/fs/file-max", closed, 0, false},
	{"rewrite:/proc/sys/net/ipv4/ip_forward", closed, networks, false}, {"put:/proc/sys/kernel/hostname fogbank-try", closed, names, false},
	{"put:/proc/self/oom_score_adj -500", closed, 0, false}, {"put:/proc/{victim}/oom_score_adj 1", hidden, 0, false},
	{"find:/proc/{victim}/environ {marker}", hidden, 0, false}, {"find:/proc/{victim}/cmdline {marker}", hidden, 0, false},
	{"find:/proc/{victim}/cwd/secret {marker}", hidden, 0, false}, {"find:/proc/{victim}/root{dir}/secret {marker}", hidden, 0, false},
	{"find:/proc/{victim}/fd/3 {marker}", hidden, 0, false}, {"find:/proc/{neighbour}/root/tmp/secret neighbourly", hidden, 0, false},
	{"find:/proc/{neighbour}/environ AWS_SESSION_TOKEN", hidden, 0, false}, {"memory file:{victim} {address} {marker}", hidden, 0, false},
	// Namespaces.
	{"unshare mounts", refusal, 0, false}, {"unshare cgroups", refusal, 0, false}, {"new user", refusal, 0, false},
	{"new network", refusal, 0, false}, {"nested user namespace", refusal, 0, false}, {"clone3", older, 0, false},
	{"setns", refusal, 0, false}, {"setns of another:{victim}", hidden, 0, false}, {"setns by pidfd:{victim}", stranger, 0, false},
	// Other processes.
	{"ptrace", refusal, 0, false}, {"ptrace another:{victim}", refusal, 0, false},
	{"process_vm_readv:{victim} {address} {marker}", refusal, 0, false}, {"pidfd_getfd:{victim}", stranger, 0, false},
	{"kcmp:{victim}", stranger, 0, false}, {"signal:{victim}", stranger, 0, false}, {"signal by pidfd:{victim}", stranger, 0, false},
	{"signal:{server}", stranger, 0, false}, {"signal:{neighbour}", stranger, 0, false}, {"limits of another:{victim}", stranger, 0, false},
	{"priority of another:{victim}", stranger, 0, false}, {"priority", "denied|not permitted", 0, false}, {"real time", refusal, 0, false},
	{"disk first", refusal, 0, false}, {"migrate_pages", refusal, 0, false}, {"terminal input", refusal, 0, false},
	// The kernel.
	{"bpf", refusal, 0, false}, {"perf_event_open", refusal, 0, false}, {"userfaultfd", refusal, 0, false}, {"io_uring", refusal, 0, false},
	{"keyctl", refusal, 0, false}, {"add_key", refusal, 0, false}, {"request_key", refusal, 0, false}, {"kexec_load", refusal, 0, false},
	{"kexec_file_load", refusal, 0, false}, {"init_module", refusal, 0, false}, {"finit_module", refusal, 0, false},
	{"delete_module", refusal, 0, false}, {"reboot", refusal, syscall.CLONE_NEWPID, false}, {"syslog", refusal, 0, false},
	{"acct", refusal, 0, false}, {"vhangup", refusal, 0, false}, {"personality", refusal, 0, false}, {"future call", older, 0, false},
	// What all of the machine shares.
	{"host name", refusal, names, false}, {"domain name", refusal, names, false}, {"settimeofday", refusal, 0, false},
	{"clock_settime", refusal, 0, false}, {"adjtimex", refusal, 0, false},
	// Privileges and limits.
	{"setuid", "not permitted|invalid argument", 0, false}, {"setgid", "not permitted|invalid argument", 0, false}, {"setgroups", refusal, 0, false},
	{"capset", refusal, 0, false}, {"setuid program:{suid}", "it runs as", 0, true}, {"raise limit", refusal, 0, false},
	{"unmapped file", older, 0, false}, {"shmget", older, messages, false}, {"msgget", older, messages, false}, {"semget", older, messages, false},
	{"message queue", "too many open files|denied", messages, false}, {"locked memory", "cannot allocate|not permitted", 0, false},
	// Sockets.
	{"raw socket", refusal, networks, false}, {"packet socket", "not supported", networks, false}, {"vsock", "not supported", 0, false},
	{"crypto socket", "not supported", 0, false}, {"audit socket", refusal, 0, false}, {"netfilter socket", refusal, networks, false},
	{"uevent socket", refusal, 0, false}, {"interface", refusal, networks, false}, {"dial:tcp {tcp}", unheard, 0, false},
	{"dial:tcp {own}", unheard, 0, false}, {"dial:tcp {tcp6}", unheard, 0, false}, {"dial:udp {udp}", unheard, 0, false},
	{"dial:unix {abstract}", unheard, 0, false}, {"dial:unix {dir}/socket", unheard, 0, false}, {"dial:tcp 169.254.169.254:80", unheard, 0, false},
	{"api:{api}", unheard, 0, false},
	// Only some processors have these.
	{"iopl", refusal, 0, false}, {"ioperm", refusal, 0, false}, {"modify_ldt", refusal, 0, false},
}

// field is what attempts are made on: a process, files, listeners, and functions that are others'.
type field struct {
	dir    string // its program is below
	names  map[string]string
	inside map[string]string // names that mean something else inside
	lacks  map[string]string // names there is nothing for on this machine, and why
}

// newField lays it out.
func newField(t *testing.T, b *bench) *field {
	dir, err := os.MkdirTemp("", "escape-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &field{dir: dir, lacks: map[string]string{}, inside: map[string]string{"dir": dir, "suid": taskRoot + "/suid"},
		names: map[string]string{"dir": dir, "marker": "fogbank-marker-" + b.world.UUID(), "server": pid(os.Getpid()), "suid": dir + "/suid"}}
	write := func(name, body string, mode os.FileMode) {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), []byte(body), mode), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	program := string(unpacked(t))
	write("try", program, 0o755)
	write("suid", program, 0o755|os.ModeSetuid)
	write("secret", f.names["marker"], 0o644)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/task", 0o755), os.Symlink(dir+"/secret", dir+"/link"), os.Symlink("../secret", dir+"/task/link")); err != nil {
		t.Fatal(err)
	}
	f.findHost()
	f.sufferer(t)
	f.listen(t, b)
	return f
}

// unpacked is the test's program.
func unpacked(t *testing.T) []byte {
	packed, err := bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := z.Open("bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// findHost finds what the host has of its own to be harmed.
func (f *field) findHost() {
	if agents, err := filepath.Glob("/sys/fs/cgroup/*/release_agent"); err == nil && len(agents) > 0 {
		f.names["group"] = filepath.Dir(agents[0])
	} else {
		f.names["group"] = "/sys/fs/cgroup"
	}
	var st syscall.Stat_t
	if err := syscall.Stat("/", &st); err == nil && st.Dev>>8 != 0 {
		f.names["disk"] = fmt.Sprintf("%d:%d", st.Dev>>8&0xfff, st.Dev&0xff)
	} else {
		f.names["disk"], f.lacks["disk"] = "259:0", "the root is not on a disk"
	}
}

// sufferer starts a process with a secret in its environment, its arguments, its memory and its descriptors.
func (f *field) sufferer(t *testing.T) {
	file, err := os.Open(f.dir + "/secret")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := exec.Command(f.dir+"/try", "victim", f.names["marker"])
	c.Dir, c.Env, c.ExtraFiles = f.dir, []string{"ROOT_KEY=" + f.names["marker"]}, []*os.File{file}
	in, err := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("the host's process did not survive: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	f.names["victim"], f.names["address"] = pid(c.Process.Pid), strings.TrimSpace(line)
}

// listen opens what the host listens on.
func (f *field) listen(t *testing.T, b *bench) {
	open := func(name, network, addr string) {
		l, err := net.Listen(network, addr)
		if err != nil {
			f.names[name], f.lacks[name] = addr, err.Error()
			return
		}
		t.Cleanup(func() { l.Close() })
		f.names[name] = l.Addr().String()
	}
	open("tcp", "tcp4", "127.0.0.1:0")
	open("tcp6", "tcp6", "[::1]:0")
	open("abstract", "unix", "@fogbank-test-"+b.world.UUID())
	open("socket", "unix", f.dir+"/socket")
	f.names["own"], f.lacks["own"] = "192.0.2.1:80", "the host has no other address"
	if list, err := net.InterfaceAddrs(); err == nil {
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
				delete(f.lacks, "own")
				open("own", "tcp4", n.IP.String()+":0")
			}
		}
	}
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	f.names["udp"] = u.LocalAddr().String()
	go func() {
		var one [1]byte
		for {
			_, from, err := u.ReadFrom(one[:])
			if err != nil {
				return
			}
			u.WriteTo(one[:], from)
		}
	}()
}

// say puts the names into an attempt.
func (f *field) say(try string, in map[string]string) (said, lack string) {
	for name, value := range f.names {
		if !strings.Contains(try, "{"+name+"}") {
			continue
		}
		if other, ok := in[name]; ok {
			value = other
		}
		try = strings.ReplaceAll(try, "{"+name+"}", value)
		if why, ok := f.lacks[name]; ok {
			lack = why
		}
	}
	return try, lack
}

// outside makes an attempt without a sandbox; it returns why that cannot be shown to work, or "".
func (f *field) outside(t *testing.T, e escape) string {
	try, lack := f.say(e.try, nil)
	if lack != "" {
		return lack
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dir, err := os.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	c := exec.CommandContext(ctx, f.dir+"/try", "try", try)
	c.ExtraFiles = []*os.File{dir}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Unshareflags: e.shield &^ syscall.CLONE_NEWPID, Cloneflags: e.shield & syscall.CLONE_NEWPID}
	switch {
	case os.Geteuid() == 0 && e.weak:
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	case os.Geteuid() != 0 && e.shield != 0:
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	out, err := c.Output()
	if state, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && e.try == "reboot" && state.Signaled() && state.Signal() == syscall.SIGHUP {
		return "" // the namespace was restarted
	}
	if string(out) == `"done"` {
		return ""
	}
	return strings.Trim(fmt.Sprintf("%s %v", out, err), `"`)
}

func pid(n int) string { return strconv.Itoa(n) }

// TestEscapes makes every attempt outside, then inside. The process and the files it is made on must be as before.
func TestEscapes(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "seccomp", b.process.probe().seccomp)
	b.needs(t, "network namespaces", b.process.probe().network)
	f := newField(t, b)
	s := b.spec(b.put(packed(file{"bootstrap", 0o755, string(unpacked(t))}, file{"suid", 0o755 | os.ModeSetuid, string(unpacked(t))})))
	f.neighbours(t, b, s)
	shown, unshown := 0, 0
	for _, e := range escapes {
		if why := f.outside(t, e); why != "" {
			unshown++
			t.Logf("not shown to work outside: %s: %s", e.try, why)
		} else {
			shown++
		}
		try, _ := f.say(e.try, f.inside)
		got, ok := b.try(s, try), false
		for want := range strings.SplitSeq(e.want, "|") {
			ok = ok || strings.HasPrefix(got, "error: ") && strings.Contains(got, want)
		}
		if !ok {
			t.Errorf("%s: %s, want %s", try, got, e.want)
		}
	}
	t.Logf("%d attempts worked outside, %d cannot be shown to work here", shown, unshown)
	if got := b.try(s, "write /tmp/still-here"); got != "ok" {
		t.Errorf("afterwards: %s", got)
	}
	if n, _ := b.pool.Running(); n != 2 {
		t.Errorf("%d environments: one did not survive", n)
	}
	if os.Geteuid() == 0 && shown < 100 {
		t.Errorf("only %d attempts were shown to work", shown)
	}
}

// neighbours runs functions of others: one in a sandbox, and one without, whose Runtime API can be reached from outside.
func (f *field) neighbours(t *testing.T, b *bench, s Spec) {
	other := s
	other.Name = "neighbour"
	b.try(other, "run:/bin/sh -c printf${IFS}neighbourly>/tmp/secret")
	b.process.mu.Lock()
	for e := range b.process.envs {
		f.names["neighbour"] = pid(e.child.pid())
	}
	b.process.mu.Unlock()
	plain := newBench(t, true)
	plain.invoke(plain.goSpec(), "{}")
	for e := range plain.process.envs {
		f.names["api"] = e.doors.api.Addr().String()
	}
}
