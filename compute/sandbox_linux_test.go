package compute

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// try makes the function of s attempt something; it returns what came of it, "error: …" when it failed.
func (b *bench) try(s Spec, what string) string {
	b.t.Helper()
	r := b.invoke(s, `{"Do":"try","Arg":`+string(quote(what))+`}`)
	var text string
	if json.Unmarshal(r.Payload, &text) != nil {
		return string(r.Payload)
	}
	return text
}

// needs skips a test for which the host lacks something.
func (b *bench) needs(t *testing.T, what string, has bool) {
	t.Helper()
	if !has {
		t.Skipf("this host has no %s: %s", what, b.process.Isolation())
	}
}

// listening starts a server on an address of the host that says its name.
func listening(t *testing.T, addr, name string) string {
	t.Helper()
	l, err := net.Listen("tcp4", addr+":0")
	if err != nil {
		t.Skip(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return l.Addr().String()
}

func TestNetwork(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "network namespaces", b.process.probe().network)
	home, other, outside, refused := listening(t, "127.0.0.1", "home"), listening(t, "127.0.0.1", "other"), listening(t, "127.0.0.2", "outside"), listening(t, "127.0.0.3", "refused")
	b.process.o.Outbound = func(a netip.Addr) error {
		if a == netip.MustParseAddr("127.0.0.2") {
			return nil
		}
		return errors.New("not allowed")
	}
	hidden, err := net.Listen("unix", "@fogbank-test-"+b.world.UUID())
	if err != nil {
		t.Fatal(err)
	}
	defer hidden.Close()
	s := b.goSpec()
	s.Endpoint = "http://" + home
	neighbour := s
	neighbour.Name = "g"
	b.invoke(neighbour, "{}")
	abroad := s
	abroad.Name, abroad.Endpoint = "h", "http://fogbank.test:"+home[strings.LastIndex(home, ":")+1:]
	for _, test := range []struct {
		s             Spec
		attempt, want string
	}{
		{s, "get:http://" + home, "home"},
		{s, "get:http://" + strings.Replace(home, "127.0.0.1", "localhost", 1), "home"},
		{s, "get:http://" + other, "error: "},
		{s, "dial:tcp " + other, "error: "},
		{s, "dial:unix " + hidden.Addr().String(), "error: "},
		{s, "dial:tcp 127.0.0.1:9001", "done"},
		{s, "dial:tcp 169.254.169.254:80", "error: "},
		{s, "run:/usr/bin/env http_proxy=http://127.0.0.1:9002 no_proxy= curl -sS -m 5 http://" + outside, "outside"},
		{s, "run:/usr/bin/env http_proxy=http://127.0.0.1:9002 no_proxy= curl -sS -m 5 -p http://" + outside, "outside"},
		{s, "run:/usr/bin/env http_proxy=http://127.0.0.1:9002 no_proxy= curl -sS -m 5 -f http://" + refused, "error: "},
		{s, "run:/usr/bin/env http_proxy=http://127.0.0.1:9002 no_proxy= curl -sS -m 5 -f -p http://" + other, "error: "},
		{abroad, "lookup:fogbank.test", "127.0.0.1"},
	} {
		if strings.Contains(test.attempt, "curl") {
			if _, err := exec.LookPath("curl"); err != nil {
				continue
			}
		}
		if got := b.try(test.s, test.attempt); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %q", test.attempt, got, test.want)
		}
	}
	plain := newBench(t, true)
	p := plain.goSpec()
	p.Endpoint = "http://" + home
	if got := plain.try(p, "get:http://"+other); got != "other" {
		t.Errorf("without the sandbox: %s", got)
	}
}

func TestLocate(t *testing.T) {
	for _, test := range []struct {
		url  string
		want site
	}{
		{"", site{}},
		{"http://127.0.0.1:4566", site{url: "http://127.0.0.1:4566", dial: "127.0.0.1:4566", port: 4566}},
		{"https://aws.example", site{url: "https://aws.example", dial: "aws.example:443", host: "aws.example", port: 443}},
		{"http://localhost:80", site{url: "http://localhost:80", dial: "localhost:80", port: 80}},
		{"http://10.1.2.3:9001", site{url: "http://10.1.2.3:9001", dial: "10.1.2.3:9001", ip: "10.1.2.3", port: 9001}},
		{"http://[::1]:4566", site{url: "http://127.0.0.1:4566", dial: "[::1]:4566", port: 4566}},
	} {
		if got, err := locate(test.url); err != nil || got != test.want {
			t.Errorf("%s: %+v %v, want %+v", test.url, got, err, test.want)
		}
	}
}

// TestUnprivileged runs the tests of the sandbox again as a user without privileges.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("these tests run without privileges already")
	}
	dir, err := os.MkdirTemp("", "unprivileged-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	zip, err := bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "compute.test"), program, 0o755), os.WriteFile(filepath.Join(dir, "bootstrap.zip"), zip, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	tests := "Invoke|Isolation|Network|Concurrency|Escapes|Freeze|Memory|Rename"
	if !testing.Short() {
		tests += "|Bounds|Bombs|MemoryLimit"
	}
	c := exec.Command(filepath.Join(dir, "compute.test"), "-test.v", "-test.run", "^Test("+tests+")$")
	c.Dir, c.Env = dir, []string{"TMPDIR=" + dir, "PATH=" + os.Getenv("PATH"), "FOGBANK_TEST_BOOTSTRAP=" + filepath.Join(dir, "bootstrap.zip")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if err != nil || strings.Contains(line, "SKIP") || strings.Contains(line, "namespace") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// TestRename shows that Landlock leaves /tmp whole.
func TestRename(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "Landlock", b.process.probe().landlock)
	s := b.goSpec()
	for _, what := range []string{"run:/bin/mkdir -p /tmp/a/b /tmp/c", "write /tmp/a/b/x", "run:/bin/mv /tmp/a/b/x /tmp/c/y", "run:/bin/ln -s y /tmp/c/z", "read /tmp/c/z", "run:/bin/rm -r /tmp/a /tmp/c"} {
		if got := b.try(s, what); strings.HasPrefix(got, "error: ") {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestFilterIsShort(t *testing.T) {
	code, err := filter()
	if err != nil || len(code) == 0 || len(code) > 250 {
		t.Errorf("%d instructions, %v", len(code), err)
	}
}

func BenchmarkFilter(b *testing.B) {
	for b.Loop() {
		if _, err := filter(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTimerSlack: timers of functions with less than a processor are put together.
func TestTimerSlack(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "a sandbox and root, who may look", !strings.HasPrefix(b.process.Isolation(), "NONE") && os.Getuid() == 0)
	for _, test := range []struct {
		memory int
		want   string
	}{{128, "500000"}, {vCPU, "50000"}} {
		s := b.goSpec()
		s.MemoryMB = test.memory
		started, err := b.process.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		e := started.(*retried).env.(*environment)
		<-e.up
		slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", e.child.pid()))
		if err != nil || strings.TrimSpace(string(slack)) != test.want {
			t.Errorf("%d MB: %s ns, %v, want %s", test.memory, slack, err, test.want)
		}
		e.Close()
	}
}

// TestFreeze leaves a function at work after its answer, with what the host has and with signals only.
func TestFreeze(t *testing.T) {
	for _, ice := range []string{"control group", "signals"} {
		t.Run(ice, func(t *testing.T) {
			b := newBench(t, false)
			if ice == "signals" {
				b.process.groups = func() hierarchies { return hierarchies{} }
			} else {
				b.needs(t, "cgroup v2", b.process.groups().unified != "")
			}
			s := b.goSpec()
			count := func() int {
				n, err := strconv.Atoi(b.try(s, "read /tmp/n"))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			b.try(s, "background:/tmp/n")
			for b.try(s, "read /tmp/n") == "error: open /tmp/n: no such file or directory" {
			}
			b.world.Wait(t.Context(), nil, 50*time.Millisecond)
			before := count()
			b.world.Wait(t.Context(), nil, 500*time.Millisecond)
			if after := count(); after-before > 200 {
				t.Errorf("%d rounds in half a second of rest", after-before)
			}
			if r := b.invoke(s, `{"Do":"sleep","Arg":"50ms"}`); r.Failed {
				t.Errorf("thawed: %s", r.Payload)
			}
			if now := count(); now <= before {
				t.Errorf("does not go on: %d, then %d", before, now)
			}
		})
	}
}

// TestBounds exhausts what a function has a share of, outside first, where there is more of it.
func TestBounds(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "sandbox", b.process.probe().mode != modePlain)
	outside := newField(t, b)
	s := b.goSpec()
	s.TmpMB, s.MemoryMB, s.Timeout = 16, 1024, 20*time.Second
	for _, test := range []struct {
		try, outside string
		least, most  int
		not          string
	}{
		{"fill:/tmp/x", "fill:" + outside.dir + "/x", 15, 16, ""},
		{"descriptors", "", fileLimit - 50, fileLimit, ""},
		{"forks:1100", "", procLimit - 50, procLimit, map[bool]string{false: "the kernel counts all processes of the server's user"}[b.process.probe().mode == modeRoot || kernelSince(5, 14)]},
	} {
		if test.not != "" {
			t.Logf("%s: %s", test.try, test.not)
			continue
		}
		got, err := outside.number(cmp.Or(test.outside, test.try))
		if err != nil || got <= test.most {
			t.Logf("not shown outside: %s: %d, %v", test.try, got, err)
		}
		n, err := strconv.Atoi(b.try(s, test.try))
		if err != nil || n < test.least || n > test.most {
			t.Errorf("%s: %d %v, want %d to %d", test.try, n, err, test.least, test.most)
		}
		t.Logf("%s: %d, outside %d", test.try, n, got)
	}
	if r := b.invoke(s, "{}"); r.Failed {
		t.Errorf("afterwards: %s", r.Payload)
	}
}

// number is what an attempt outside answers.
func (f *field) number(try string) (n int, err error) {
	c := exec.Command(f.dir+"/try", "try", try)
	c.SysProcAttr = plainAttr()
	out, err := c.Output()
	if err == nil {
		err = json.Unmarshal(out, &n)
	}
	return n, err
}

// TestBombs lets a function take all it can get. Meanwhile the host and another function are at work.
func TestBombs(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "sandbox", b.process.probe().mode != modePlain)
	s := b.goSpec()
	s.TmpMB = 16
	other := s
	other.Name, other.Timeout = "other", time.Minute
	b.invoke(other, "{}")
	for _, test := range []struct {
		try, want string
		timeout   time.Duration // long for what ends by itself, even on a machine that is busy
	}{
		{"fork bomb", "Sandbox.Timedout|Runtime.OutOfMemory|error: ", 2 * time.Second}, {"memory bomb", "Runtime.OutOfMemory", time.Minute},
		{"fill:/tmp/x", "16|15", time.Minute}, {"descriptors", "10|9", time.Minute}, {"inotify", "", time.Minute},
	} {
		ended := make(chan string)
		s.Name, s.Timeout = test.try, test.timeout // the children of a bomb that failed still fill its environment
		go func() {
			r := b.invoke(s, `{"Do":"try","Arg":`+string(quote(test.try))+`}`)
			ended <- r.Type + string(r.Payload)
		}()
		rounds := 0
		for got := ""; got == "" || rounds == 0; rounds++ {
			if err := hostWorks(); err != nil {
				t.Errorf("%s: the host: %v", test.try, err)
			}
			if r := b.invoke(other, "{}"); r.Failed {
				t.Errorf("%s: another function: %s", test.try, r.Payload)
			}
			select {
			case got = <-ended:
				ok := false
				for want := range strings.SplitSeq(test.want, "|") {
					ok = ok || strings.HasPrefix(strings.TrimPrefix(got, `"`), want)
				}
				if !ok {
					t.Errorf("%s: %s, want %s", test.try, got, test.want)
				}
			default:
			}
		}
		t.Logf("%s: the host was at work %d times", test.try, rounds)
	}
}

// hostWorks starts a process, makes a file and watches a directory.
func hostWorks() error {
	if err := exec.Command("/bin/true").Run(); err != nil {
		return err
	}
	f, err := os.CreateTemp("", "host-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	return unix.Close(fd)
}

// TestMemoryLimit: what a function holds is judged to within a twentieth of MemorySize.
func TestMemoryLimit(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "sandbox", b.process.probe().mode != modePlain)
	for _, test := range []struct {
		percent int
		killed  bool
	}{{95, false}, {105, true}} {
		s := b.goSpec()
		s.MemoryMB, s.TmpMB, s.Timeout = 256, 1, 30*time.Second
		keep := "1m"
		if !test.killed {
			keep = (4 * memoryWatch).String() // it is looked at meanwhile
		}
		r := b.invoke(s, fmt.Sprintf(`{"Do":"try","Arg":"hold:%d %s"}`, s.MemoryMB*test.percent/100, keep))
		if got := r.Type == "Runtime.OutOfMemory"; got != test.killed {
			t.Errorf("%d %% of the memory: %+v %s", test.percent, r, r.Payload)
		}
		t.Logf("%d %% of %d MB: killed %v, at most %d MB", test.percent, s.MemoryMB, test.killed, r.MemoryMB)
	}
}

// TestTimeout: a function is told the timeout's end, and is not ended before.
func TestTimeout(t *testing.T) {
	b := newBench(t, false)
	s := b.goSpec()
	s.Timeout = 400 * time.Millisecond
	for range 3 {
		r := b.invoke(s, `{"Do":"sleep","Arg":"1m"}`)
		if r.Type != "Sandbox.Timedout" || r.Duration < s.Timeout {
			t.Errorf("%+v", r)
		}
		t.Logf("a timeout of %v came %v late", s.Timeout, r.Duration-s.Timeout)
	}
}

func TestHierarchies(t *testing.T) {
	const mounts = `30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 /pod /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 30 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
`
	const groups = "9:pids:/theirs\n4:memory:/pod/a\n2:cpu,cpuacct:/\n0::/user/me\n"
	got := chooseHierarchies(mounts, groups, func(_, path string) bool { return path != "/theirs" })
	want := hierarchies{unified: "/sys/fs/cgroup/unified/user/me", memory: controller{"/sys/fs/cgroup/memory/a", false}, cpu: controller{"/sys/fs/cgroup/cpu,cpuacct", false}}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := chooseHierarchies(mounts, "0::/", func(string, string) bool { return true }); got.unified != "/sys/fs/cgroup/unified" || len(got.dirs()) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestGroupFiles writes limits into plain directories that look like groups.
func TestGroupFiles(t *testing.T) {
	for _, v2 := range []bool{false, true} {
		dir := t.TempDir()
		g := &group{h: hierarchies{memory: controller{dir, v2}, cpu: controller{dir, v2}, pids: controller{dir, v2}}, name: "1"}
		want := map[string]string{"memory.limit_in_bytes": "671088640", "cpu.shares": "1024", "pids.max": "1024"}
		stat := "rss 134217728\n"
		if v2 {
			want = map[string]string{"memory.max": "671088640", "memory.swap.max": "0", "memory.oom.group": "1", "cpu.weight": "100", "pids.max": "1024"}
			stat = "anon 134217728\n"
		}
		if err := os.Mkdir(filepath.Join(dir, "1"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name := range want {
			if err := os.WriteFile(filepath.Join(dir, "1", name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(g.limit(128, 512), g.weigh(vCPU), os.WriteFile(filepath.Join(dir, "1", "memory.stat"), []byte(stat), 0o644)); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if b, err := os.ReadFile(filepath.Join(dir, "1", name)); err != nil || string(b) != value {
				t.Errorf("%s: %q %v, want %q", name, b, err, value)
			}
		}
		if mb, ok := g.anonymousMB(); mb != 128 || !ok {
			t.Errorf("%d MB, %v", mb, ok)
		}
	}
}

// TestNothingIsLeft looks for what environments leave behind.
func TestNothingIsLeft(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "sandbox", b.process.probe().mode != modePlain)
	s := b.goSpec()
	for range 10 {
		b.invoke(s, "{}")
		b.pool.Drop(s.Name)
	}
	h := b.process.groups()
	b.process.Close()
	for b.process.making() { // a blank that was being made is ended where it is made
		b.world.Wait(t.Context(), nil, time.Millisecond)
	}
	for _, dir := range h.dirs() {
		if _, err := os.Stat(filepath.Join(dir, h.base)); h.base != "" && err == nil {
			t.Errorf("%s/%s is left", dir, h.base)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), b.process.dir) {
		t.Errorf("mounts are left, %v", err)
	}
}

// making reports whether blanks are being made.
func (p *Process) making() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.preparing > 0
}
