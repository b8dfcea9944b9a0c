package compute

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var cold = flag.Int("cold", 0, "how many cold starts TestColdStarts measures of each language; the figures are of 100")

// coldPrograms are the smallest functions, and what the bare runtime does to start and end.
var coldPrograms = []struct {
	name, runtime, handler string
	files                  []file // nil: the test's program in Go
	bare                   []string
	most                   time.Duration // the overhead that is wanted, at the median
}{
	{"Go", "provided.al2023", "bootstrap", nil, nil, 10 * time.Millisecond},
	{"Python", "python3.13", "app.handler", []file{{"app.py", 0o644, "def handler(event, context):\n    return event\n"}}, []string{"-c", "pass"}, 15 * time.Millisecond},
	{"Node.js", "nodejs22.x", "index.handler", []file{{"index.mjs", 0o644, "export const handler = async (event) => event;\n"}}, []string{"-e", "0"}, 15 * time.Millisecond},
}

// TestColdStarts measures, of each language, how much longer the first invocation takes than the bare runtime takes to
// start and end; then a hundred cold starts at once, and what an idle environment weighs.
func TestColdStarts(t *testing.T) {
	if *cold == 0 {
		t.Skip("measures; -cold 100 runs it")
	}
	b := newBench(t, false)
	for _, p := range coldPrograms {
		if err := b.process.Supported(p.runtime); err != nil {
			t.Log(err)
			continue
		}
		s := b.goSpec()
		if p.files != nil {
			s = b.spec(b.put(packed(p.files...)))
		}
		s.Name, s.Runtime, s.Handler = p.name, p.runtime, p.handler
		var wall, work [3][]time.Duration // bare, cold, overhead
		for n := range *cold + 3 {
			x, xWork := bareStart(t, b, s, p.bare)
			y, yWork := coldStart(b, s)
			if n < 3 { // what is read from the disk once
				continue
			}
			for i, d := range []time.Duration{x, y, y - x} {
				wall[i] = append(wall[i], d)
			}
			for i, d := range []time.Duration{xWork, yWork, yWork - xWork} {
				work[i] = append(work[i], d)
			}
		}
		t.Logf("%s: bare %s; cold %s; overhead %s, p50 wanted ≤ %v; at work: bare %s; cold %s; overhead %s", p.name,
			spread(wall[0]), spread(wall[1]), spread(wall[2]), p.most, spread(work[0]), spread(work[1]), spread(work[2]))
	}
	s := b.goSpec()
	for _, n := range []int{1, 100} {
		t.Logf("%d cold starts at once, Go: %v", n, together(b, s, n))
	}
	t.Logf("idle environment, Go: %s", weight(t, b, s))
}

// spread describes durations.
func spread(list []time.Duration) string {
	slices.Sort(list)
	return fmt.Sprintf("p50 %.1f ms, p90 %.1f ms", list[len(list)/2].Seconds()*1e3, list[len(list)*9/10].Seconds()*1e3)
}

// bareStart is how long the runtime itself takes to start and end, and how long of that it has a processor, which says
// more on a machine that is busy.
func bareStart(t *testing.T, b *bench, s Spec, args []string) (wall, work time.Duration) {
	task, err := b.code.Dir(s.Code)
	if err != nil {
		t.Fatal(err)
	}
	g, err := b.process.program(s.Runtime, task, "")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(g.argv[0], args...)
	c.Env = []string{"INIT=exit"}
	at := time.Now()
	if err := c.Run(); err != nil && args != nil {
		t.Fatal(err)
	}
	return time.Since(at), c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// coldStart is how long an invocation takes that nothing is there for, and how long its processes and this one have a
// processor meanwhile.
func coldStart(b *bench, s Spec) (wall, work time.Duration) {
	b.pool.Drop(s.Name)
	for b.process.making() { // what is kept ready is there again, as it is when some time has passed
		time.Sleep(time.Millisecond)
	}
	before := 0 * time.Second
	for _, blank := range b.process.blanks {
		before += processor(blank.child.pid())
	}
	own, at := ownProcessor(), time.Now()
	if r := b.invoke(s, `{}`); r.Failed {
		b.t.Fatalf("%s", r.Payload)
	}
	wall, own = time.Since(at), ownProcessor()-own
	b.process.mu.Lock()
	defer b.process.mu.Unlock()
	for e := range b.process.envs {
		if e.spec.Name == s.Name && e.Alive() {
			work += processor(e.child.pid())
		}
	}
	return wall, work - before + own
}

// processor is how long the threads of a process have had a processor.
func processor(pid int) (sum time.Duration) {
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0
	}
	for _, f := range list {
		var ns time.Duration
		if b, err := os.ReadFile(f); err == nil {
			fmt.Sscan(string(b), &ns)
		}
		sum += ns
	}
	return sum
}

// ownProcessor is how long this process has had a processor.
func ownProcessor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// together is how long it takes until so many cold invocations at once have ended.
func together(b *bench, s Spec, n int) time.Duration {
	var all sync.WaitGroup
	at := time.Now()
	for i := range n {
		s := s
		s.Name = fmt.Sprintf("together-%d-%d", n, i)
		all.Go(func() { b.invoke(s, "{}") })
	}
	all.Wait()
	took := time.Since(at)
	for i := range n {
		b.pool.Drop(fmt.Sprintf("together-%d-%d", n, i))
	}
	return took
}

// weight is the memory that idle environments take: of their program, and of this process on their account.
func weight(t *testing.T, b *bench, s Spec) string {
	const n = 20
	before := statusOf(t, os.Getpid(), "RssAnon:")
	for i := range n {
		s := s
		s.Name = fmt.Sprint("idle", i)
		b.invoke(s, "{}")
	}
	program, kernel := 0, 0
	b.process.mu.Lock()
	for e := range b.process.envs {
		if strings.HasPrefix(e.spec.Name, "idle") {
			program += statusOf(t, e.child.pid(), "RssAnon:") + statusOf(t, e.child.pid(), "RssShmem:")
			kernel += statusOf(t, e.child.pid(), "VmPTE:")
		}
	}
	b.process.mu.Unlock()
	return fmt.Sprintf("%d KB of its program, %d KB of its page tables, %d KB more of the server", program/n, kernel/n, (statusOf(t, os.Getpid(), "RssAnon:")-before)/n)
}

// statusOf is a field of a process's status, in KB.
func statusOf(t *testing.T, pid int, field string) int {
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	return statusKB(status, field)
}
