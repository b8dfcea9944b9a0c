package compute

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// extensionLayer is a layer with the tests' program as extensions of the names.
func (b *bench) extensionLayer(names ...string) string {
	b.t.Helper()
	pack, err := bootstrap()
	if err != nil {
		b.t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(pack), int64(len(pack)))
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := z.File[0].Open()
	if err != nil {
		b.t.Fatal(err)
	}
	program, err := io.ReadAll(f)
	if err != nil {
		b.t.Fatal(err)
	}
	var files []file
	for _, name := range names {
		files = append(files, file{"extensions/" + name, 0o755, string(program)})
	}
	return b.put(packed(files...))
}

// order checks that the log has the lines, by their beginnings, in this order.
func (b *bench) order(what string, want ...string) {
	b.t.Helper()
	rest := b.log()
	for _, line := range want {
		i := strings.Index("\n"+rest, "\n"+line)
		if i < 0 {
			b.t.Errorf("%s: the log lacks %q, in the order wanted:\n%s", what, line, b.log())
			return
		}
		rest = rest[i+len(line):]
	}
}

// TestExtensions: external extensions begin before the runtime, are told of invocations, hold them up, and end after it.
func TestExtensions(t *testing.T) {
	b := newBench(t, false)
	if strings.HasPrefix(b.process.Isolation(), "NONE") {
		t.Skip(b.process.Isolation())
	}
	good := b.goSpec()
	layer, two := b.extensionLayer("watcher"), b.extensionLayer("one", "two")
	fresh := func(name, do string) Spec {
		b.mu.Lock()
		b.lines = nil
		b.mu.Unlock()
		b.process.initLimit = initLimit
		s := good
		s.Name, s.Timeout, s.Layers, s.Variables = name, 30*time.Second, []string{layer}, map[string]string{"EXT": do}
		return s
	}

	s := fresh("late", "late")
	if r := b.invoke(s, `{"Do":"print","Arg":"function"}`); r.Failed || r.Duration < 200*time.Millisecond {
		t.Errorf("late: %+v %s", r, r.Payload)
	}
	if r := b.invoke(s, `{"Do":"echo"}`); r.Failed || r.Init != 0 {
		t.Errorf("late, warm: %+v %s", r, r.Payload)
	}
	b.pool.Drop(s.Name)
	b.order("late", "EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]", "START ", "watcher: INVOKE", "watcher: done", "END ", "START ", "watcher: INVOKE", "watcher: done", "END ", "watcher: SHUTDOWN SPINDOWN")
	b.order("registration", `watcher: registered 200 {"functionName":"late","functionVersion":"$LATEST","handler":"bootstrap"}`)

	s = fresh("two", "")
	s.Layers = []string{two}
	if r := b.invoke(s, `{"Do":"echo"}`); r.Failed {
		t.Errorf("two: %s", r.Payload)
	}
	b.pool.Drop(s.Name)
	b.order("two", "START ", "one: INVOKE")
	b.order("two", "START ", "two: INVOKE")
	b.order("two", "END ", "one: SHUTDOWN")
	b.order("two", "END ", "two: SHUTDOWN")

	s = fresh("timeout", "")
	s.Timeout = time.Second
	if r := b.invoke(s, `{"Do":"sleep","Arg":"60s"}`); r.Type != "Sandbox.Timedout" {
		t.Errorf("timeout: %+v", r)
	}
	b.order("timeout", "START ", "END ", "watcher: SHUTDOWN TIMEOUT")

	s = fresh("stuck", "stuck")
	s.Timeout = 3 * time.Second
	if r := b.invoke(s, `{"Do":"echo"}`); r.Failed || r.Status != "timeout" || string(r.Payload) != `{"Do":"echo"}` {
		t.Errorf("stuck: %+v %s", r, r.Payload)
	}

	for _, test := range []struct{ do, kind string }{{"exit", "Extension.Crash"}, {"error", "Extension.InitError"}} {
		if r := b.invoke(fresh(test.do, test.do), `{"Do":"echo"}`); r.Type != test.kind {
			t.Errorf("%s: %+v %s", test.do, r, r.Payload)
		}
		b.order(test.do, "INIT_REPORT ", "INIT_REPORT ", "START ", "END ", "REPORT ")
		if !strings.Contains(b.log(), "\tPhase: init\tStatus: error\tError Type: "+test.kind) {
			t.Errorf("%s: %s", test.do, b.log())
		}
	}

	s = fresh("silent", "silent")
	s.Timeout, b.process.initLimit = 300*time.Millisecond, 300*time.Millisecond
	if r := b.invoke(s, `{"Do":"echo"}`); r.Type != "Sandbox.Timedout" {
		t.Errorf("silent: %+v", r)
	}

	s = fresh("bad", "")
	s.Layers = []string{b.put(packed(file{"extensions/bad", 0o644, "#!/bin/sh\n"}))}
	if r := b.invoke(s, `{"Do":"echo"}`); r.Type != "Extension.LaunchError" || !strings.Contains(string(r.Payload), "permission denied") {
		t.Errorf("bad: %+v %s", r, r.Payload)
	}
}

// TestExtensionsAPIRefuses: what an extension may not ask for.
func TestExtensionsAPIRefuses(t *testing.T) {
	b := newBench(t, true)
	s := b.goSpec()
	s.Variables = map[string]string{"INIT": "sleep:1h"} // registration ends with the initialisation
	started, err := b.process.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer started.Close()
	base := "http://" + started.(*retried).env.(*environment).doors.api.Addr().String() + extensionPrefix
	call := func(method, path, name, id, body string) (int, string) {
		req, _ := http.NewRequest(method, base+path, strings.NewReader(body))
		req.Header.Set("Lambda-Extension-Name", name)
		req.Header.Set(extensionHeader, id)
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		io.Copy(io.Discard, r.Body)
		return r.StatusCode, r.Header.Get(extensionHeader)
	}
	status, id := call("POST", "register", "inside", "", `{"events":["INVOKE"]}`)
	if status != 200 || id == "" {
		t.Fatalf("an internal extension: %d %q", status, id)
	}
	for _, test := range []struct {
		method, path, name, id, body string
		want                         int
	}{
		{"POST", "register", "inside", "", `{}`, 403},
		{"POST", "register", "other", "", `{"events":["SHUTDOWN"]}`, 400},
		{"POST", "register", "other", "", `{"events":["NOON"]}`, 400},
		{"POST", "register", "other", "", `{`, 400},
		{"POST", "register", "", "", `{}`, 400},
		{"GET", "event/next", "", "", "", 403},
		{"GET", "event/next", "", "wrong", "", 403},
		{"POST", "exit/error", "", "wrong", "", 403},
		{"POST", "exit/error", "", id, "", 400},
		{"GET", "register", "other", "", "", 404},
		{"GET", "nothing", "", "", "", 404},
	} {
		if got, _ := call(test.method, test.path, test.name, test.id, test.body); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
	for range maxExtensions {
		status, _ = call("POST", "register", b.world.UUID(), "", "")
	}
	if status != 403 {
		t.Errorf("the eleventh extension: %d", status)
	}
}
