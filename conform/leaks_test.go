package conform

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	fn "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"conform/server"
)

var cycles = flag.Int("cycles", 100, "how often TestNothingIsLeft makes, invokes and deletes a function; the promise is of 1,000")

// leaver is a function that leaves behind what it can: a process, a file, a thread that goes on.
const leaver = `#!/bin/sh
# It speaks the Runtime API by the one program every shell has beside it: curl.
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
	id=$(curl -sS -D - -o /tmp/event "$api/next" | tr -d '\r' | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
	sleep 3600 </dev/null >/dev/null 2>&1 &
	curl -sS -o /dev/null --data-binary @/tmp/event "$api/$id/response"
done
`

// holdings are what a server has of the machine: counts of processes, namespaces, control groups, mounts, descriptors
// of each kind, and the files it keeps for environments.
type holdings map[string]int

func (h holdings) String() string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(h)) {
		list = append(list, fmt.Sprintf("%s %d", k, h[k]))
	}
	return strings.Join(list, ", ")
}

// held counts what the server with this process id and data directory has.
func held(t *testing.T, pid int, data string) holdings {
	t.Helper()
	h := holdings{}
	tree := descendants(pid)
	h["processes"] = len(tree) - 1
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "user"} {
		seen := map[string]bool{}
		for _, p := range tree {
			if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p, kind)); err == nil {
				seen[ns] = true
			}
		}
		h[kind+" namespaces"] = len(seen)
	}
	h["control groups"] = len(groups(t, fmt.Sprintf("fogbank-%d-", pid)))
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	h["mounts"] = bytes.Count(mounts, []byte("\n"))
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil || strings.HasPrefix(to, filepath.Join(data, "store")) {
			continue // closed meanwhile, or the store's, which opens and closes files as it likes
		}
		kind, _, found := strings.Cut(to, ":")
		if !found {
			kind = "file"
		}
		h["descriptors: "+kind]++
	}
	for _, dir := range []string{filepath.Join(data, "run"), os.TempDir()} {
		h["files in "+filepath.Base(dir)] = len(files(t, dir))
	}
	return h
}

// descendants lists a process and all below it.
func descendants(pid int) []int {
	list := []int{pid}
	for i := 0; i < len(list); i++ {
		children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", list[i]))
		if err != nil {
			continue
		}
		for _, c := range children {
			b, err := os.ReadFile(c)
			if err != nil {
				continue
			}
			for f := range strings.FieldsSeq(string(b)) {
				if n, err := strconv.Atoi(f); err == nil {
					list = append(list, n)
				}
			}
		}
	}
	return list
}

// groups lists the control groups whose path has a part that begins so, and those in them.
func groups(t *testing.T, prefix string) (list []string) {
	for _, f := range files(t, "/sys/fs/cgroup") {
		if info, err := os.Stat(f); err == nil && info.IsDir() && strings.Contains(f, "/"+prefix) {
			list = append(list, f)
		}
	}
	return list
}

// files lists all that is below a directory.
func files(t *testing.T, dir string) (list []string) {
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != dir {
			list = append(list, path)
		}
		return nil // what has gone meanwhile is gone
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// until tries again until there is no error; a minute at most.
func until(t *testing.T, what func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = what(); err == nil {
			return
		}
	}
	t.Error(err)
}

// leavers makes and invokes functions on a server.
type leavers struct {
	t    *testing.T
	c    *lambda.Client
	role *string
	zip  []byte
}

// newLeavers starts a server whose temporary files are in a directory of their own.
func newLeavers(t *testing.T) (*server.Server, *leavers) {
	t.Helper()
	if _, err := server.Binary(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	s, err := server.Start(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the function needs curl")
	}
	if err := sandboxed(s); err != nil {
		t.Skip(err)
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write([]byte(leaver))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return s, &leavers{t: t, c: lambda.NewFromConfig(s.Root()), role: roleFor(t, s, "leaver", "lambda.amazonaws.com"), zip: buf.Bytes()}
}

// sandboxed is why functions of this server are not isolated; nil when they are.
func sandboxed(s *server.Server) error {
	res, err := http.Get(s.URL() + "/_fogbank/health")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		return err
	}
	if !strings.Contains(b.String(), "namespaces") {
		return fmt.Errorf("functions are not isolated here: %s", b.String())
	}
	return nil
}

func (l *leavers) create(ctx context.Context, name string) {
	l.t.Helper()
	if _, err := l.c.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Role: l.role, Runtime: fn.RuntimeProvidedal2023,
		Handler: aws.String("bootstrap"), Timeout: aws.Int32(30), Code: &fn.FunctionCode{ZipFile: l.zip}}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *leavers) call(ctx context.Context, name string) error {
	out, err := l.c.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: []byte(`"here"`)})
	if err == nil && (out.FunctionError != nil || string(out.Payload) != `"here"`) {
		err = fmt.Errorf("%s: %s", aws.ToString(out.FunctionError), out.Payload)
	}
	return err
}

func (l *leavers) invoke(ctx context.Context, name string) {
	l.t.Helper()
	l.create(ctx, name)
	if err := l.call(ctx, name); err != nil {
		l.t.Fatal(err)
	}
}

func (l *leavers) delete(ctx context.Context, name string) {
	l.t.Helper()
	if _, err := l.c.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name}); err != nil {
		l.t.Fatal(err)
	}
}

// TestNothingIsLeft makes, invokes and deletes functions: the server then has of the machine what it had before.
func TestNothingIsLeft(t *testing.T) {
	s, l := newLeavers(t)
	var before holdings
	until(t, func() error { // two at once, so that what is kept ready is used up and all of it made anew
		var both sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			l.create(t.Context(), name)
			both.Go(func() {
				if err := l.call(t.Context(), name); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		l.delete(t.Context(), "a")
		l.delete(t.Context(), "b")
		return l.settle(s, &before)
	})
	for n := range *cycles {
		name := fmt.Sprintf("f%d", n)
		l.invoke(t.Context(), name)
		l.delete(t.Context(), name)
	}
	until(t, func() error {
		after := held(t, s.PID(), s.Data)
		for what, n := range after {
			if n > before[what] { // connections of clients at rest may have been closed
				return fmt.Errorf("before: %s\nafter:  %s", before, after)
			}
		}
		return nil
	})
	t.Logf("after %d functions the server has no more than before: %s", *cycles, before)
}

// keptReady is how many processes a server keeps ready for environments, at most.
const keptReady = 2

// settle counts until that does not change any more; it reports an error unless all that is kept ready is there.
func (l *leavers) settle(s *server.Server, last *holdings) error {
	for range 100 {
		now := held(l.t, s.PID(), s.Data)
		same := maps.Equal(*last, now)
		*last = now
		if same && now["processes"] == keptReady {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("it does not settle: %s", *last)
}

// TestNothingIsLeftOfAKilledServer kills the server while functions are at rest, each with a process left behind. They
// end with it, and the next server removes what they had.
func TestNothingIsLeftOfAKilledServer(t *testing.T) {
	s, l := newLeavers(t)
	for n := range 5 {
		l.invoke(t.Context(), fmt.Sprintf("f%d", n))
	}
	pid, had := s.PID(), descendants(s.PID())
	if len(had) < 11 {
		t.Fatalf("%d processes: the functions do not run", len(had))
	}
	s.Kill()
	until(t, func() error {
		for _, p := range had {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p)); err == nil && !bytes.Contains(b, []byte(") Z ")) {
				return fmt.Errorf("process %d outlives the server: %s", p, b)
			}
		}
		return nil
	})
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		l.delete(t.Context(), fmt.Sprintf("f%d", n))
	}
	until(t, func() error {
		if left := groups(t, fmt.Sprintf("fogbank-%d-", pid)); len(left) > 0 {
			return fmt.Errorf("control groups of the killed server: %v", left)
		}
		return nil
	})
	// The packages nobody uses are removed by the server after that one.
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"run", "code"} {
		for _, f := range files(t, filepath.Join(s.Data, dir)) {
			if info, err := os.Stat(f); err == nil && !info.IsDir() && !strings.Contains(f, "/run/runtime/") {
				t.Errorf("%s is left", f)
			}
		}
	}
	if left := files(t, os.TempDir()); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}
