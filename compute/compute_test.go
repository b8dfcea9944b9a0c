package compute

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fogbank/world"
)

// bootstrap is the test's custom runtime as a package, built once.
var bootstrap = sync.OnceValues(func() ([]byte, error) {
	if name := os.Getenv("FOGBANK_TEST_BOOTSTRAP"); name != "" {
		return os.ReadFile(name)
	}
	dir, err := os.MkdirTemp("", "bootstrap-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir+"/bootstrap", "./testdata/bootstrap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	b, err := os.ReadFile(dir + "/bootstrap")
	if err != nil {
		return nil, err
	}
	return packed(file{"bootstrap", 0o755, string(b)}), nil
})

type file struct {
	name string
	mode os.FileMode
	body string
}

func packed(files ...file) []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(f.body)); err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// bench is a Process with a pool, and what the functions logged.
type bench struct {
	t       testing.TB
	world   *world.World
	code    *Code
	process *Process
	pool    *Pool

	mu    sync.Mutex
	lines []string
}

func newBench(t testing.TB, plain bool) *bench {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, world: world.New()}
	var err error
	if b.code, err = OpenCode(filepath.Join(dir, "code")); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	b.process, err = NewProcess(ProcessOptions{World: b.world, Code: b.code, Dir: filepath.Join(dir, "run"), Log: log, Plain: plain, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	b.pool = NewPool(PoolOptions{World: b.world, Runner: b.process})
	t.Cleanup(func() {
		b.process.Close()
		b.world.Stop()
	})
	return b
}

func (b *bench) put(zip []byte) string {
	b.t.Helper()
	name, err := b.code.Put(zip)
	if err != nil {
		b.t.Fatal(err)
	}
	return name
}

func (b *bench) spec(code string) Spec {
	return Spec{
		Function: "arn:aws:lambda:us-east-1:000000000000:function:f", Name: "f", Version: "$LATEST",
		Runtime: "provided.al2023", Handler: "bootstrap", Code: code, MemoryMB: 128, TmpMB: 512,
		Timeout: 3 * time.Second, Region: "us-east-1", Endpoint: "http://127.0.0.1:4566",
		Credentials: Credentials{"ASIAX", "secret", "token"}, LogGroup: "/aws/lambda/f", LogStream: "s",
		Log: func(_ time.Time, line string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lines = append(b.lines, line)
		},
	}
}

func (b *bench) goSpec() Spec {
	b.t.Helper()
	zip, err := bootstrap()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.spec(b.put(zip))
}

// invoke runs one invocation and returns its result.
func (b *bench) invoke(s Spec, payload string) Result {
	b.t.Helper()
	return b.invokeAs(s.Name, s, payload)
}

// invokeAs is invoke for a function the pool knows by another name.
func (b *bench) invokeAs(name string, s Spec, payload string) Result {
	b.t.Helper()
	r, err := b.pool.Invoke(context.Background(), &Job{Function: name, Revision: "1", Limit: -1,
		Spec:       func(context.Context) (Spec, error) { return s, nil },
		Invocation: Invocation{ID: b.world.UUID(), ARN: string(s.Function), Payload: []byte(payload), Trace: "Root=1-2-3", ClientContext: `{"custom":{}}`, Identity: `{"a":1}`}})
	if err != nil {
		b.t.Fatalf("invoke %s: %v", payload, err)
	}
	return r
}

func (b *bench) log() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines, "\n")
}

// modes runs a test isolated, where the host allows it, and plain.
func modes(t *testing.T, f func(t *testing.T, b *bench)) {
	for _, plain := range []bool{false, true} {
		name := map[bool]string{false: "isolated", true: "plain"}[plain]
		t.Run(name, func(t *testing.T) {
			b := newBench(t, plain)
			if !plain && strings.HasPrefix(b.process.Isolation(), "NONE") {
				t.Skip(b.process.Isolation())
			}
			f(t, b)
		})
	}
}

func TestInvoke(t *testing.T) {
	modes(t, func(t *testing.T, b *bench) {
		s := b.goSpec()
		r := b.invoke(s, `{"Do":"echo","Arg":"grüße"}`)
		if string(r.Payload) != `{"Do":"echo","Arg":"grüße"}` || r.Failed || r.Init <= 0 {
			t.Fatalf("cold: %+v %s", r, r.Payload)
		}
		r = b.invoke(s, `{"Do":"print","Arg":"hello"}`)
		if r.Init != 0 || r.Failed {
			t.Errorf("warm: %+v", r)
		}
		lines := strings.Split(strings.TrimSpace(string(r.Tail)), "\n")
		if len(lines) != 4 || !strings.HasPrefix(lines[0], "START RequestId: ") || lines[1] != "hello" ||
			!strings.HasPrefix(lines[2], "END RequestId: ") || !strings.HasPrefix(lines[3], "REPORT RequestId: ") {
			t.Errorf("tail %q", r.Tail)
		}
		if !strings.Contains(lines[3], "\tMemory Size: 128 MB\tMax Memory Used: ") || r.MemoryMB == 0 && !strings.HasPrefix(b.process.Isolation(), "NONE") {
			t.Errorf("report %q", lines[3])
		}
		r = b.invoke(s, `{"Do":"chunked","Arg":"x"}`)
		if string(r.Payload) != `{"Do":"chunked","Arg":"x"}` {
			t.Errorf("chunked: %s", r.Payload)
		}
		if n, _ := b.pool.Running(); n != 1 {
			t.Errorf("%d environments, want the one reused", n)
		}
	})
}

func TestProcessorsOfGoPrograms(t *testing.T) {
	s := Spec{Runtime: "provided.al2023", MemoryMB: vCPU - 1}
	for _, test := range []struct {
		memory  int
		runtime string
		own     map[string]string
		want    string
	}{
		{vCPU - 1, "provided.al2023", nil, "GOMAXPROCS=1"},
		{vCPU - 1, "provided.al2", map[string]string{"GOMAXPROCS": "2"}, "GOMAXPROCS=2"},
		{vCPU, "provided.al2023", nil, ""},
		{128, "python3.12", nil, ""},
	} {
		s.MemoryMB, s.Runtime, s.Variables = test.memory, test.runtime, test.own
		got := ""
		for _, v := range environ(s, "127.0.0.1:1", places{tmp: "/tmp"}) {
			if strings.HasPrefix(v, "GOMAXPROCS=") {
				got = v
			}
		}
		if got != test.want {
			t.Errorf("%d MB, %s: %q, want %q", test.memory, test.runtime, got, test.want)
		}
	}
}

func TestReady(t *testing.T) {
	modes(t, func(t *testing.T, b *bench) {
		s := b.goSpec()
		s.Initialization = ProvisionedConcurrency
		env, err := b.process.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer env.Close()
		if failed, err := env.Ready(t.Context()); failed != nil || err != nil {
			t.Fatalf("%+v, %v", failed, err)
		}
		r, err := env.Invoke(t.Context(), Invocation{ID: "1", Payload: []byte(`{"Do":"env"}`)})
		if err != nil || r.Init != 0 || !strings.Contains(string(r.Payload), "AWS_LAMBDA_INITIALIZATION_TYPE=provisioned-concurrency") {
			t.Errorf("%+v %s %v", r, r.Payload, err)
		}
		for init, want := range map[string]string{"error": "My.InitError", "exit": "Runtime.ExitError"} {
			s.Variables = map[string]string{"INIT": init}
			env, err := b.process.Start(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if failed, err := env.Ready(t.Context()); err != nil || failed == nil || failed.Type != want {
				t.Errorf("%s: %+v, %v", init, failed, err)
			}
			env.Close()
		}
	})
}

// TestDir runs a function from a directory and sees what changes in it.
func TestDir(t *testing.T) {
	modes(t, func(t *testing.T, b *bench) {
		s := b.goSpec()
		packed, err := b.code.Dir(s.Code)
		if err != nil {
			t.Fatal(err)
		}
		s.Dir = t.TempDir()
		if err := os.CopyFS(s.Dir, os.DirFS(packed)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s.Code = ""
		for _, body := range []string{"one", "two"} {
			if err := os.WriteFile(filepath.Join(s.Dir, "text"), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
			if r := b.invoke(s, `{"Do":"try","Arg":"read text"}`); string(r.Payload) != `"`+body+`"` {
				t.Errorf("read %q, want %q", r.Payload, body)
			}
		}
		if r := b.invoke(s, `{"Do":"try","Arg":"write text"}`); !strings.Contains(string(r.Payload), "error") && !strings.HasPrefix(b.process.Isolation(), "NONE") {
			t.Error("the function could write its code")
		}
	})
}

func TestHeaders(t *testing.T) {
	b := newBench(t, false)
	s := b.goSpec() // which takes its time
	before := time.Now()
	var h map[string][]string
	if err := json.Unmarshal(b.invoke(s, `{"Do":"headers"}`).Payload, &h); err != nil {
		t.Fatal(err)
	}
	if got := h["Lambda-Runtime-Invoked-Function-Arn"][0]; got != "arn:aws:lambda:us-east-1:000000000000:function:f" {
		t.Errorf("arn %q", got)
	}
	var ms int64
	fmt.Sscan(h["Lambda-Runtime-Deadline-Ms"][0], &ms)
	if d := time.UnixMilli(ms).Sub(before); d < 3*time.Second-time.Millisecond || d > time.Minute {
		t.Errorf("deadline in %v", d)
	}
	if h["Lambda-Runtime-Client-Context"][0] != `{"custom":{}}` || h["Lambda-Runtime-Cognito-Identity"][0] != `{"a":1}` {
		t.Errorf("context %q, identity %q", h["Lambda-Runtime-Client-Context"], h["Lambda-Runtime-Cognito-Identity"])
	}
	if h["Lambda-Runtime-Trace-Id"][0] != "Root=1-2-3" {
		t.Errorf("trace %q", h["Lambda-Runtime-Trace-Id"])
	}
}

func TestFailures(t *testing.T) {
	modes(t, func(t *testing.T, b *bench) {
		tests := []struct{ payload, init, kind, message string }{
			{`{"Do":"fail","Arg":"no stock"}`, "", "errorString", "no stock"},
			{`{"Do":"exit","Size":3}`, "", "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 3"},
			{`{"Do":"exit"}`, "", "Runtime.ExitError", "RequestId: ID Error: Runtime exited without providing a reason"},
			{`{"Do":"sleep","Arg":"20s"}`, "", "Sandbox.Timedout", "RequestId: ID Error: Task timed out after 0.30 seconds"},
			{`{"Do":"big","Size":6291560}`, "", "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes)."},
			{`{}`, "error", "My.InitError", "not today"},
			{`{}`, "exit", "Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 7"},
		}
		for i, test := range tests {
			s := b.goSpec()
			s.Name, s.Variables, s.Timeout = fmt.Sprint("f", i), map[string]string{"INIT": test.init}, 300*time.Millisecond
			if test.kind != "Sandbox.Timedout" {
				s.Timeout = 3 * time.Second
			}
			r := b.invoke(s, test.payload)
			var doc struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal(r.Payload, &doc); err != nil {
				t.Fatalf("%s: %v: %s", test.payload, err, r.Payload)
			}
			id := requestID(r)
			if want := strings.Replace(test.message, "ID", id, 1); !r.Failed || doc.ErrorType != test.kind || doc.ErrorMessage != want {
				t.Errorf("%s: %s, want %s %q", test.payload, r.Payload, test.kind, want)
			}
		}
	})
}

// requestID finds the id of an invocation in its log.
func requestID(r Result) string {
	_, rest, _ := strings.Cut(string(r.Tail), "START RequestId: ")
	id, _, _ := strings.Cut(rest, " ")
	return id
}

// late is a context whose end is not seen at the first look, as when it comes between two.
type late struct {
	context.Context
	looks atomic.Int32
}

func (l *late) Err() error {
	if l.looks.Add(1) == 1 {
		return nil
	}
	return context.DeadlineExceeded
}

// TestTimeoutBetweenLooks: a timeout that comes between two looks at the clock still ends the invocation.
func TestTimeoutBetweenLooks(t *testing.T) {
	b := newBench(t, true)
	s := b.goSpec()
	s.Timeout = 300 * time.Millisecond
	started, err := b.process.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	e := started.(*retried).env.(*environment)
	defer e.Close()
	w := &work{in: Invocation{ID: "id"}, taken: make(chan bool, 1), done: make(chan struct{})}
	e.mu.Lock()
	e.current = w
	e.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		e.await(t.Context(), &late{Context: t.Context()}, w)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it waits for a function that nobody has killed")
	}
	if w.result.Type != "Sandbox.Timedout" {
		t.Errorf("%+v, %v", w.result, w.err)
	}
}

func TestBadBootstrap(t *testing.T) {
	modes(t, func(t *testing.T, b *bench) {
		for i, test := range []struct {
			zip  []byte
			want string
		}{
			{packed(file{"main", 0o755, "x"}), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"},
			{packed(file{"bootstrap", 0o644, "#!/bin/sh\n"}), "permission denied"},
			{packed(file{"bootstrap", 0o755, "nothing to execute"}), "exec format error"},
		} {
			s := b.spec(b.put(test.zip))
			s.Name = fmt.Sprint("f", i)
			r := b.invoke(s, "{}")
			if r.Type != "Runtime.InvalidEntrypoint" || !strings.Contains(string(r.Payload), test.want) {
				t.Errorf("%d: %s, want %q", i, r.Payload, test.want)
			}
		}
	})
}

func TestMemory(t *testing.T) {
	b := newBench(t, false)
	if residentMB(os.Getpid()) == 0 {
		t.Skip("this system does not tell a process's memory")
	}
	s := b.goSpec()
	s.Timeout = 8 * time.Second
	r := b.invoke(s, `{"Do":"eat","Size":300}`)
	if r.Type != "Runtime.OutOfMemory" || r.MemoryMB < 128 {
		t.Errorf("%+v %s", r, r.Payload)
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("FOGBANK_TEST_SECRET", "leak")
	modes(t, func(t *testing.T, b *bench) {
		s := b.goSpec()
		s.Variables = map[string]string{"MINE": "1", "AWS_REGION": "no"}
		var env []string
		if err := json.Unmarshal(b.invoke(s, `{"Do":"env"}`).Payload, &env); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, kv := range env {
			k, v, _ := strings.Cut(kv, "=")
			got[k] = v
		}
		for k, want := range map[string]string{
			"MINE": "1", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "ASIAX",
			"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
			"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "_HANDLER": "bootstrap", "TZ": ":UTC",
			"GOMAXPROCS": "1",
		} {
			if got[k] != want {
				t.Errorf("%s=%q, want %q", k, got[k], want)
			}
		}
		for _, k := range []string{"FOGBANK_TEST_SECRET", "HOME", "USER", "GOPATH", "GOGC"} {
			if v, ok := got[k]; ok {
				t.Errorf("%s=%q was inherited", k, v)
			}
		}
	})
}

func TestIsolation(t *testing.T) {
	b := newBench(t, false)
	label := b.process.Isolation()
	if strings.HasPrefix(label, "NONE") {
		t.Skip(label)
	}
	t.Log(label)
	s := b.goSpec()
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ try, want string }{
		{"write /var/task/x", "read-only"},
		{"write /x", "read-only"},
		{"write /usr/x", "read-only"},
		{"write /etc/passwd", "read-only"},
		{"write /tmp/x", `"ok"`},
		{"read /etc/shadow", "no such file"},
		{"read " + home + "/compute_test.go", "no such file"},
		{"list /root", "no such file"},
		{"list /sys", "no such file"},
		{"list /var/task", `["bootstrap"]`},
		{"write /proc/sys/kernel/core_pattern", "denied"},
		{"pid", "[1,"},
	} {
		r := b.invoke(s, `{"Do":"try","Arg":"`+test.try+`"}`)
		if !strings.Contains(string(r.Payload), test.want) {
			t.Errorf("%s: %s, want %q", test.try, r.Payload, test.want)
		}
	}
	var st []int
	if err := json.Unmarshal(b.invoke(s, `{"Do":"try","Arg":"pid"}`).Payload, &st); err != nil || st[1] == 0 {
		t.Errorf("runs as user %v", st)
	}
	status := string(b.invoke(s, `{"Do":"try","Arg":"read /proc/self/status"}`).Payload)
	for _, want := range []string{`CapEff:\t0000000000000000`, `CapBnd:\t0000000000000000`, `NoNewPrivs:\t1`} {
		if !strings.Contains(status, want) {
			t.Errorf("/proc/self/status lacks %s", want)
		}
	}
	if r := b.invoke(s, `{"Do":"try","Arg":"read /proc/self/fd/3"}`); !strings.Contains(string(r.Payload), "error") {
		t.Logf("descriptor 3: %s", r.Payload)
	}
}

func TestPlainSaysSo(t *testing.T) {
	b := newBench(t, true)
	b.invoke(b.goSpec(), "{}")
	if !strings.HasPrefix(b.process.Isolation(), "NONE") || !strings.Contains(b.log(), "WARNING: this function is not isolated") {
		t.Errorf("%q %q", b.process.Isolation(), b.log())
	}
}

// TestRefused: where nothing can be isolated nothing is run, unless that was asked for.
func TestRefused(t *testing.T) {
	for _, unsafe := range []bool{false, true} {
		b := newBench(t, false)
		b.process.o.Unsafe = unsafe
		b.process.probe = func() isolation { return b.process.judge(isolation{mode: modePlain, reason: "a test"}) }
		r := b.invoke(b.goSpec(), `{"Do":"env"}`)
		if refused := r.Type == "Sandbox.Unavailable"; refused == unsafe {
			t.Errorf("unsafe %v: %s", unsafe, r.Payload)
		}
		if err := b.process.Supported("provided.al2023"); (err == nil) != unsafe {
			t.Errorf("unsafe %v: supported: %v", unsafe, err)
		}
		if told := strings.Contains(b.process.Unsafe(), "not isolated"); told != unsafe {
			t.Errorf("unsafe %v: %q", unsafe, b.process.Unsafe())
		}
		if !strings.Contains(b.process.Isolation(), "a test") {
			t.Errorf("unsafe %v: %q", unsafe, b.process.Isolation())
		}
	}
}

func TestOrphansAreKilled(t *testing.T) {
	b := newBench(t, true)
	s := b.goSpec()
	var pid int
	if err := json.Unmarshal(b.invoke(s, `{"Do":"orphan"}`).Payload, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the orphan does not run: %v", err)
	}
	b.process.Close()
	// The orphan is init's, or a subreaper's, to collect: until then it is a zombie.
	for range 200 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, os.ErrNotExist) || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		if syscall.Kill(pid, 0) != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d outlives its environment", pid)
}

func TestConcurrency(t *testing.T) {
	b := newBench(t, false)
	s := b.goSpec()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if r := b.invoke(s, `{"Do":"echo"}`); r.Failed {
					t.Errorf("%s", r.Payload)
				}
			}
		})
	}
	wg.Wait()
	if n, busy := b.pool.Running(); n > 8 || busy != 0 {
		t.Errorf("%d environments, %d busy", n, busy)
	}
	job := &Job{Function: "f", Revision: "1", Limit: 0, Spec: func(context.Context) (Spec, error) { return s, nil }}
	if _, err := b.pool.Invoke(context.Background(), job); err != (Throttled{FunctionLimit}) {
		t.Errorf("%v", err)
	}
}

func BenchmarkWarmInvoke(b *testing.B) {
	h := newBench(b, false)
	s := h.goSpec()
	h.invoke(s, `{}`)
	for b.Loop() {
		h.invoke(s, `{"Do":"echo"}`)
	}
}

func BenchmarkColdStart(b *testing.B) {
	h := newBench(b, false)
	s := h.goSpec()
	for b.Loop() {
		h.invoke(s, `{}`)
		h.pool.Drop(s.Name)
	}
}
