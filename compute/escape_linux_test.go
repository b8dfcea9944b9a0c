package compute

import (
	"encoding/json"
	"errors"
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
		{s, "dial:tcp 127.0.0.1:9001", "connected"},
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
	c := exec.Command(filepath.Join(dir, "compute.test"), "-test.v", "-test.run", "^Test(Invoke|Isolation|Network|Concurrency|Escapes|Freeze|Bounds|Memory|Rename)$")
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

// refusedCalls are the attempts of the test program that are system calls, and what they are answered in the sandbox.
// Those marked alone are made without the sandbox too, to show that it is the sandbox which refuses them; the
// others would harm the host.
var refusedCalls = []struct {
	name, want string
	alone      bool
}{
	{"mount", "not permitted", false}, {"bind mount", "not permitted", false}, {"remount", "not permitted", false},
	{"umount", "not permitted", false}, {"fsopen", "not permitted", true}, {"open_tree", "not permitted", true},
	{"pivot_root", "not permitted", false}, {"chroot", "not permitted", false}, {"unshare", "not permitted", false},
	{"new user", "not permitted", true}, {"new network", "not permitted", true}, {"setns", "not permitted", true},
	{"ptrace", "not permitted", true}, {"ptrace parent", "not permitted", false}, {"process_vm_readv", "not permitted", true},
	{"bpf", "not permitted", false}, {"perf_event_open", "not permitted", false}, {"userfaultfd", "not permitted", true},
	{"io_uring_setup", "not permitted", true}, {"keyctl", "not permitted", true}, {"add_key", "not permitted", false},
	{"kexec_load", "not permitted", false}, {"init_module", "not permitted", false}, {"finit_module", "not permitted", false},
	{"delete_module", "not permitted", false}, {"reboot", "not permitted", false}, {"swapon", "not permitted", false},
	{"sethostname", "not permitted", false}, {"settimeofday", "not permitted", false}, {"device", "not permitted", false},
	{"raw socket", "not permitted", true}, {"packet socket", "not supported", true}, {"vsock", "not supported", true},
	{"crypto socket", "not supported", true}, {"audit socket", "not permitted", true}, {"fanotify", "not permitted", false},
	{"name_to_handle_at", "not permitted", false}, {"open_by_handle_at", "not permitted", false}, {"syslog", "not permitted", true},
	{"personality", "not permitted", false}, {"setuid", "not permitted|invalid argument", false}, {"future call", "not implemented", false},
	{"terminal input", "not permitted", false}, {"raise limit", "not permitted", false}, {"own program", "text file busy|read-only|denied", false},
}

func TestEscapes(t *testing.T) {
	b := newBench(t, false)
	b.needs(t, "seccomp", b.process.probe().seccomp)
	s := b.goSpec()
	plain := newBench(t, true)
	for _, test := range refusedCalls {
		got := b.try(s, test.name)
		ok := false
		for want := range strings.SplitSeq(test.want, "|") {
			ok = ok || strings.HasPrefix(got, "error: ") && strings.Contains(got, want)
		}
		if !ok {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if test.alone {
			if got := plain.try(plain.goSpec(), test.name); got != "done" {
				t.Logf("without the sandbox, too, %s fails here: %s", test.name, got)
			}
		}
	}
	for _, test := range []struct{ try, want string }{
		{"kill:" + pid(os.Getpid()), "no such process"},
		{"kill:" + pid(os.Getppid()), "no such process"},
		{"read /proc/" + pid(os.Getpid()) + "/environ", "no such file"},
		{"list /sys/fs/cgroup", "no such file"},
		{"list /var/run", "no such file"},
		{"list /dev/mapper", "no such file"},
		{"read /dev/mem", "no such file"},
		{"read /proc/kcore", "denied|no such file|not permitted"},
		{"write /proc/sysrq-trigger", "denied|read-only|no such file"},
		{"write /proc/sys/kernel/hostname", "denied|read-only|no such file"},
		{"write /proc/self/oom_score_adj", "denied|read-only|no such file"},
		{"write /proc/self/uid_map", "denied|not permitted|no such file"},
		{"write /var/task/bootstrap", "read-only|denied|busy"},
		{"write /dev/null", "ok"},
		{"write /dev/x", "read-only|denied"},
		{"write /usr/bin/env", "read-only|denied"},
	} {
		got, ok := b.try(s, test.try), false
		for want := range strings.SplitSeq(test.want, "|") {
			ok = ok || strings.Contains(got, want)
		}
		if !ok {
			t.Errorf("%s: %s, want %s", test.try, got, test.want)
		}
	}
	if got := b.try(s, "write /tmp/still-here"); got != "ok" {
		t.Errorf("afterwards: %s", got)
	}
}

func pid(n int) string { return strconv.Itoa(n) }

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
