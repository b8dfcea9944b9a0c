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
	c := exec.Command(filepath.Join(dir, "compute.test"), "-test.v", "-test.run", "^Test(Invoke|Isolation|Network|Concurrency|Escapes|Freeze|Bounds|Memory)$")
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
