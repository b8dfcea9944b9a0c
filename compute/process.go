package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fogbank/aws"
	"fogbank/world"
)

const (
	// initLimit is how long a function may take to initialise before it is tried again within its own timeout.
	initLimit = 10 * time.Second
	// handover is how long a warm runtime may take to ask for its next invocation.
	handover = 500 * time.Millisecond
	// memoryWatch is how often a running invocation's memory is looked at, memoryClose how often at most when little
	// is left of it, and memoryFill how many MB a function is thought able to fill in a millisecond.
	memoryWatch = 100 * time.Millisecond
	memoryClose = 4 * time.Millisecond
	memoryFill  = 4
	// freezeAfter is how long a runtime may have been waiting for its next invocation before it is frozen. Those
	// that come close upon another do not pay for it.
	freezeAfter = 10 * time.Millisecond
	// memorySample is how long a reading of the memory in use stays good for REPORT lines.
	memorySample = time.Second
)

// ProcessOptions make a Process; World, Code and Dir are needed.
type ProcessOptions struct {
	World *world.World
	Code  *Code
	Dir   string // for what environments need while they run; emptied by NewProcess
	Log   *slog.Logger
	Plain bool // do not isolate even where it is possible
	// Unsafe allows plain processes where nothing can be isolated; otherwise none is started there.
	Unsafe bool

	// Outbound says of each address outside whether a function may connect to it. Functions go out through an
	// HTTP proxy, which their environment variables name. Nil: nothing outside can be reached.
	Outbound func(netip.Addr) error
}

// Process runs environments as processes of the operating system.
//
// MemorySize is kept by looking, while a function initialises or runs, at the memory of the processes the environment
// consists of: as often as what is left could be filled, every 4 to 100 ms. Beyond it the environment is killed. Where
// there is a memory control group, MemorySize and the size of /tmp together are a limit it cannot exceed at all:
// the kernel counts what is in /tmp as memory, which AWS does not.
type Process struct {
	o       ProcessOptions
	dir     string
	runtime string // where our bootstraps are
	probe   func() isolation
	groups  func() hierarchies
	// initLimit is the constant, but for a test.
	initLimit time.Duration

	serial atomic.Uint32 // of environments: their users and directories

	mu           sync.Mutex
	closed       bool
	envs         map[*environment]struct{}
	interpreters map[string]interpreter
	blanks       []*blank // processes ready to become environments
	preparing    int      // blanks being made
}

// isolation is what this host allows.
type isolation struct {
	mode     string // modeRoot, modeUser or modePlain
	reason   string // why it is not better
	network  bool   // environments have networks of their own
	seccomp  bool   // and their system calls are filtered
	landlock bool   // and Landlock keeps them from writing anywhere but in /tmp
}

// String is the form in which a cell is told.
func (i isolation) String() string {
	s := i.mode
	for _, has := range []struct {
		name string
		is   bool
	}{{"network", i.network}, {"seccomp", i.seccomp}, {"landlock", i.landlock}} {
		if has.is {
			s += "+" + has.name
		}
	}
	return s
}

// parseIsolation reads what String wrote.
func parseIsolation(s string) isolation {
	f := strings.Split(s, "+")
	has := func(name string) bool { return slices.Contains(f[1:], name) }
	return isolation{mode: f[0], network: has("network"), seccomp: has("seccomp"), landlock: has("landlock")}
}

// The modes of isolation.
const (
	modeRoot  = "root"
	modeUser  = "user"
	modePlain = "plain"
	modeNone  = "none" // nothing is run
)

// NewProcess prepares Dir. Every environment ends with Close, and when the world stops.
func NewProcess(o ProcessOptions) (*Process, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("compute: emptying the directory of environments: %w", err)
	}
	p := &Process{o: o, dir: dir, runtime: filepath.Join(dir, "runtime"), initLimit: initLimit,
		envs: map[*environment]struct{}{}, interpreters: map[string]interpreter{}}
	if err := writeBootstraps(p.runtime); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
		return nil, err
	}
	p.groups = sync.OnceValue(prepareHierarchies)
	p.probe = sync.OnceValue(p.tryIsolation)
	o.World.Go(func(ctx context.Context) {
		<-ctx.Done()
		p.Close()
	})
	return p, nil
}

// tryIsolation finds the best mode that works here.
func (p *Process) tryIsolation() isolation {
	if p.o.Plain {
		return p.judge(isolation{mode: modePlain, reason: "it was switched off"})
	}
	return p.judge(p.findIsolation())
}

// judge decides what is done where nothing can be isolated, and says it loudly.
func (p *Process) judge(i isolation) isolation {
	switch {
	case i.mode != modePlain:
	case p.o.Plain || p.o.Unsafe:
		p.o.Log.Warn("FUNCTIONS ARE NOT ISOLATED: they run as plain processes of this user and can read and write whatever it can", "reason", i.reason)
	default:
		i.mode = modeNone
		p.o.Log.Warn("functions cannot be isolated here, so none is run; -unsafe-functions runs them all the same", "reason", i.reason)
	}
	return i
}

// Isolation says how environments are kept from the host and from each other.
func (p *Process) Isolation() string {
	i := p.probe()
	if i.mode == modeNone {
		return p.refusal().Error()
	}
	if i.mode == modePlain {
		return "NONE: plain processes of the server's user (" + i.reason + ")"
	}
	has := []string{"mount, PID, IPC and UTS namespaces, read-only root, own /tmp"}
	if i.network {
		has = append(has, "own network")
	} else {
		has = append(has, "network shared with the host ("+i.reason+")")
	}
	if i.mode == modeRoot {
		has = append(has, "a user for each environment")
	} else {
		has = append(has, "unprivileged user namespace")
	}
	for _, more := range []struct {
		name string
		is   bool
	}{{"seccomp", i.seccomp}, {"Landlock", i.landlock}} {
		if more.is {
			has = append(has, more.name)
		} else {
			has = append(has, "no "+more.name)
		}
	}
	return strings.Join(append(has, p.groups().describe()), "; ")
}

// Unsafe is what whoever uses a function must know: that it is not isolated, and why; "" when it is.
func (p *Process) Unsafe() string {
	if i := p.probe(); i.mode == modePlain {
		return "The function is not isolated: it runs as a plain process of the server's user (" + i.reason + ")."
	}
	return ""
}

// refusal is why no function is run; nil when they are.
func (p *Process) refusal() error {
	if i := p.probe(); i.mode == modeNone {
		return fmt.Errorf("functions cannot be isolated on this host (%s), and the server was not started with -unsafe-functions", i.reason)
	}
	return nil
}

// Close kills every environment and waits for them; none can be started any more.
func (p *Process) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	list := make([]*environment, 0, len(p.envs))
	for e := range p.envs {
		list = append(list, e)
	}
	blanks := p.blanks
	p.blanks = nil
	p.mu.Unlock()
	for _, b := range blanks {
		b.discard()
	}
	for _, e := range list {
		e.kill(ErrClosed)
	}
	for _, e := range list {
		e.Close()
	}
	if first {
		p.groups().remove()
	}
}

// Start starts a process for the function.
func (p *Process) Start(ctx context.Context, s Spec) (Env, error) {
	if err := aws.Settle(ctx); err != nil {
		return nil, err
	}
	env, err := p.begin(s, phaseInit)
	if err != nil {
		return nil, err
	}
	return &retried{p: p, spec: s, env: env}, nil
}

// begin starts a process for the function, in a phase of its life.
func (p *Process) begin(s Spec, phase string) (Env, error) {
	now, start := p.o.World.Now(), InitStart{s.kind(), phase, s.Name, s.Version}
	s.tell(now, factInitStart, start)
	fault := func(kind, message string) (Env, error) { return &broken{p, &s, phase, kind, message}, nil }
	if err := p.refusal(); err != nil {
		return fault("Sandbox.Unavailable", err.Error())
	}
	task := s.Dir
	if task == "" {
		var err error
		if task, err = p.o.Code.Dir(s.Code); err != nil {
			return nil, fmt.Errorf("compute: the code of %s: %w", s.Function, err)
		}
	}
	opt, err := p.o.Code.Layers(s.Layers)
	if err != nil {
		return nil, fmt.Errorf("compute: the layers of %s: %w", s.Function, err)
	}
	fromLayer := false
	if strings.HasPrefix(s.Runtime, "provided") && !isThere(task, "bootstrap") {
		if fromLayer = opt != "" && isThere(opt, "bootstrap"); !fromLayer {
			return fault("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
		}
	}
	e := &environment{p: p, spec: s, phase: phase, opt: opt, fromLayer: fromLayer, started: p.o.World.Start(), work: make(chan *work),
		dead: make(chan struct{}), failed: make(chan struct{}), up: make(chan struct{})}
	e.look, e.ext, e.telemetry = e.untilLook(0), newExtensions(e, findExtensions(opt)), newTelemetry(e)
	e.spec.Tell = e.relay(s.Tell)
	e.telemetry.add("platform", now, factInitStart, start)
	if err := e.launch(task); err != nil {
		if entry, ok := errors.AsType[*entryError](err); ok {
			return fault("Runtime.InvalidEntrypoint", entry.Error())
		}
		return nil, err
	}
	if !p.add(e) {
		e.kill(ErrClosed)
		e.Close()
		return nil, ErrClosed
	}
	return e, nil
}

func isThere(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func (p *Process) add(e *environment) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.envs[e] = struct{}{}
	return true
}

func (p *Process) remove(e *environment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.envs, e)
}

// environment is a process and its Runtime API.
type environment struct {
	p    *Process
	spec Spec
	// phase is in which phase it is initialised.
	phase string
	opt   string // the tree of its layers, or ""
	// fromLayer is set when the bootstrap of a custom runtime comes from a layer.
	fromLayer bool
	started   time.Time
	doors     *doors
	child     *child
	ext       *extensions
	telemetry *telemetry
	out       *output
	work      chan *work    // to whoever asks for the next invocation
	look      time.Duration // after which the memory of an invocation is looked at again
	dead      chan struct{} // closed when nothing of the environment runs any more
	failed    chan struct{} // closed when the runtime reported that it cannot initialise
	up        chan struct{} // closed when the runtime first asked for an invocation
	upOnce    sync.Once

	ice    sync.Mutex // may be taken while mu is held, not the other way round
	frozen bool
	busy   bool // an invocation is under way

	mu       sync.Mutex
	current  *work
	initial  *Result // how the initialisation failed
	warm     bool
	asked    bool   // the runtime has taken an invocation
	why      error  // set when we killed it
	reason   string // why it is shut down, as extensions are told
	peakMB   int
	sampled  time.Time
	exitText string
}

// work is an invocation on its way through an environment.
type work struct {
	in     Invocation
	taken  chan bool     // told once somebody was given it: whether the runtime has it, or had gone
	begun  bool          // the runtime has begun its response
	done   chan struct{} // closed when result or err is set
	start  time.Time     // when it was taken
	result Result
	err    error
}

// Alive reports whether the process runs.
func (e *environment) Alive() bool {
	select {
	case <-e.dead:
		return false
	case <-e.failed:
		return false
	default:
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.why == nil
	}
}

// Invoke hands an invocation to the runtime and waits for its answer, its end, or the timeout.
func (e *environment) Invoke(ctx context.Context, in Invocation) (Result, error) {
	if err := aws.Settle(ctx); err != nil {
		return Result{}, err
	}
	w := &work{in: in, taken: make(chan bool, 1), done: make(chan struct{})}
	cold, world := !e.warm, e.p.o.World
	limit := handover
	if cold {
		limit = e.initLimit()
	}
	r, err := e.offer(ctx, w, cold, limit)
	if err != nil {
		return Result{}, err
	}
	if r != nil {
		took := world.Elapsed(e.started)
		e.settle(r, in.ID, e.phase == phaseInvoke)
		return e.spec.uninitialised(world.Now(), e.phase, in, *r, took), nil
	}
	limited, cancel := world.WithTimeout(ctx, e.spec.Timeout-world.Elapsed(w.start))
	defer cancel()
	e.await(ctx, limited, w)
	e.warm = true
	if w.err != nil {
		return Result{}, w.err
	}
	w.result.Duration = world.Elapsed(w.start)
	if cold && e.phase == phaseInit {
		w.result.Init = w.start.Sub(e.started)
	}
	e.settle(&w.result, in.ID, true)
	e.tell(factRuntimeDone, runtimeDone(in, w.result))
	e.awaitExtensions(limited, w)
	e.tell(factReport, e.spec.report(in, w.result))
	return w.result, nil
}

// awaitExtensions waits until the extensions, too, have done with an invocation, for as long as the function has.
func (e *environment) awaitExtensions(limited context.Context, w *work) {
	defer e.ext.drain()
	if !e.Alive() || e.ext.resting() {
		return
	}
	if !e.ext.until(e.ext.idle, e.dead, limited.Done()) && limited.Err() != nil {
		w.result.Status = "timeout"
		e.stop(timeout)
	}
	w.result.Duration = e.p.o.World.Elapsed(w.start)
}

// tell tells a fact.
func (e *environment) tell(kind string, r Record) { e.spec.tell(e.p.o.World.Now(), kind, r) }

// relay passes facts on, and to the extensions that have subscribed to them.
func (e *environment) relay(to func(Fact)) func(Fact) {
	return func(f Fact) {
		if to != nil {
			to(f)
		}
		if len(e.ext.programs) > 0 {
			e.telemetry.add("platform", f.At, f.Type, f.Record)
		}
	}
}

// print passes on a line that the function or an extension has printed.
func (e *environment) print(kind, line string) {
	now := e.p.o.World.Now()
	if e.spec.Log != nil {
		e.spec.Log(now, line)
	}
	if len(e.ext.programs) > 0 {
		e.telemetry.add(kind, now, kind, line)
	}
}

// settle passes on what was printed, and completes the figures of a result; told is whether the log tells of a timeout.
func (e *environment) settle(r *Result, id string, told bool) {
	e.out.drain()
	if told && r.Status == "timeout" {
		e.out.line(fmt.Sprintf("%s %s Task timed out after %.2f seconds", e.p.o.World.Now().Format("2006-01-02T15:04:05.000Z"), id, e.spec.Timeout.Seconds()))
	}
	r.MemoryMB = e.memory()
}

// initLimit is how long the initialisation may take that an invocation waits for.
func (e *environment) initLimit() time.Duration {
	if e.phase == phaseInvoke {
		return e.spec.Timeout
	}
	return e.p.initLimit
}

// Ready waits until the runtime asks for an invocation. What it took is in no REPORT line.
func (e *environment) Ready(ctx context.Context) (*Result, error) {
	if err := aws.Settle(ctx); err != nil {
		return nil, err
	}
	r, err := e.offer(ctx, nil, true, max(provisionedLimit, e.spec.Timeout))
	if err != nil {
		return nil, err
	}
	if r != nil {
		e.spec.tellInit(e.p.o.World.Now(), e.phase, r, e.p.o.World.Elapsed(e.started))
		return r, nil
	}
	e.warm = true
	return nil, nil
}

// offer waits until the runtime takes w, or, when there is none, could take one. It returns a result when the
// initialisation failed, or has not ended within the limit.
func (e *environment) offer(ctx context.Context, w *work, cold bool, limit time.Duration) (*Result, error) {
	limited, cancel := e.p.o.World.WithTimeout(ctx, limit)
	defer cancel()
	watch := time.NewTimer(e.look)
	defer watch.Stop()
	var up <-chan struct{}
	var takers chan<- *work
	var id string
	if w == nil {
		up = e.up
	} else {
		takers, id = e.work, w.in.ID
	}
	for limited.Err() == nil {
		select {
		case takers <- w:
			if <-w.taken {
				return nil, nil
			}
		case <-up:
			return nil, nil
		case <-e.failed:
			e.mu.Lock()
			r := *e.initial
			e.mu.Unlock()
			e.kill(errReplaced)
			return &r, nil
		case <-e.dead:
			if !cold {
				return nil, ErrNotTaken
			}
			r, err := e.exitResult(id)
			if err != nil {
				return nil, err
			}
			return &r, nil
		case <-watch.C:
			if r := e.overMemory(id); r != nil {
				e.kill(errReplaced)
				return r, nil
			}
			watch.Reset(e.look)
		case <-limited.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		e.kill(ErrClosed)
		return nil, err
	}
	e.kill(errReplaced)
	if !cold {
		return nil, ErrNotTaken
	}
	r := timedOut(id, e.spec.Timeout)
	return &r, nil
}

// errReplaced is why an environment is killed that is of no more use.
var errReplaced = errors.New("compute: the environment is of no more use")

// await waits until w is done, kills the environment when it takes too long or too much memory.
func (e *environment) await(ctx, limited context.Context, w *work) {
	world := e.p.o.World
	for !world.Wait(limited, w.done, e.look) {
		// The context is looked at once a turn: it may end between two looks.
		over := limited.Err() != nil
		switch {
		case ctx.Err() != nil:
			e.kill(ErrClosed)
		case over:
			e.finish(w, timedOut(w.in.ID, e.spec.Timeout), nil)
			e.stop(timeout)
		default:
			if r := e.overMemory(w.in.ID); r != nil {
				e.finish(w, *r, nil)
				e.stop(failure)
			}
		}
		if over {
			<-w.done
			break
		}
	}
}

// freeze stops all processes of the environment unless an invocation is under way.
func (e *environment) freeze() {
	e.ice.Lock()
	defer e.ice.Unlock()
	if !e.frozen && !e.busy {
		e.child.freeze(true)
		e.frozen = true
	}
}

// thaw lets the processes go on, and keeps them from being frozen until the invocation has ended.
func (e *environment) thaw() {
	e.ice.Lock()
	defer e.ice.Unlock()
	e.busy = true
	if e.frozen {
		e.child.freeze(false)
		e.frozen = false
	}
}

// rest allows the processes to be frozen.
func (e *environment) rest() {
	e.ice.Lock()
	defer e.ice.Unlock()
	e.busy = false
}

// untilLook is how long memory need not be looked at of which so many MB are in use.
func (e *environment) untilLook(mb int) time.Duration {
	return min(max(time.Duration(e.spec.MemoryMB-mb)*time.Millisecond/memoryFill, memoryClose), memoryWatch)
}

// overMemory is how an invocation ends whose environment uses more memory than it may; nil when it does not.
func (e *environment) overMemory(id string) *Result {
	mb := e.child.memoryMB()
	if e.look = e.untilLook(mb); mb <= e.spec.MemoryMB {
		return nil
	}
	e.note(mb)
	r := Failure("error", "Runtime.OutOfMemory", "RequestId: %s Error: Runtime exited with error: signal: killed", id)
	return &r
}

// take gives w to the runtime.
func (e *environment) take(w *work) {
	e.thaw()
	e.mu.Lock()
	e.current = w
	w.start = e.p.o.World.Start()
	first := !e.asked
	e.asked = true
	if first && e.phase == phaseInvoke {
		w.start = e.started // the initialisation is a part of the invocation
	}
	e.mu.Unlock()
	e.spec.tellStart(e.p.o.World.Now(), w.in)
	e.ext.invoke(w.in, w.start.Add(e.spec.Timeout))
	w.taken <- true
	if first {
		if err := e.child.share(e.spec.MemoryMB); err != nil {
			e.p.o.Log.Warn("the share of the processors was not set", "function", e.spec.Function, "error", err)
		}
		e.p.prepare()
	}
}

// finish ends w, unless it has ended; it reports whether it did.
func (e *environment) finish(w *work, r Result, err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != w || w == nil {
		return false
	}
	e.current = nil
	e.rest()
	w.result, w.err = r, err
	close(w.done)
	return true
}

// running returns the invocation with the id if it is under way.
func (e *environment) running(id string) *work {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil || e.current.in.ID != id {
		return nil
	}
	return e.current
}

// respond notes that the runtime begins its response to w; it may do so once.
func (e *environment) respond(w *work) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.begun {
		return false
	}
	w.begun = true
	return true
}

// failInit records that the runtime cannot initialise.
func (e *environment) failInit(r Result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initial == nil {
		e.initial = &r
		close(e.failed)
	}
}

// kill ends everything in the environment, soon.
func (e *environment) kill(why error) {
	e.mu.Lock()
	if e.why == nil {
		e.why = why
	}
	e.mu.Unlock()
	e.child.kill()
}

// stop ends the environment: at once, or, where extensions are to be told first, the runtime; the rest ends with Close.
func (e *environment) stop(reason string) {
	if len(e.ext.programs) == 0 {
		e.kill(errReplaced)
		return
	}
	e.mu.Lock()
	if e.why == nil {
		e.why, e.reason = errReplaced, reason
	}
	e.mu.Unlock()
	e.child.halt()
}

// Close tells extensions, kills the environment and waits until nothing of it is left.
func (e *environment) Close() {
	e.mu.Lock()
	why, reason := e.why, cmp.Or(e.reason, spinDown)
	e.mu.Unlock()
	if len(e.ext.programs) > 0 && why != ErrClosed {
		e.thaw()
		e.ext.close(reason)
	}
	e.kill(errReplaced)
	<-e.dead
}

// ready reports whether the environment has been initialised.
func (e *environment) ready() bool {
	select {
	case <-e.up:
		return true
	default:
		return false
	}
}

// failExtension ends the environment, and what goes on in it, with an error of an extension.
func (e *environment) failExtension(kind, message string) {
	if !e.ready() {
		e.failInit(Failure("error", kind, "Error: %s", message))
		return
	}
	e.mu.Lock()
	w := e.current
	e.mu.Unlock()
	if w != nil {
		e.finish(w, Failure("error", kind, "RequestId: %s Error: %s", w.in.ID, message), nil)
	}
	e.stop(failure)
}

// exited is what happens when the process has ended: the invocation under way has failed.
func (e *environment) exited(status string) {
	e.doors.close()
	e.ext.abandon()
	e.out.drain()
	e.mu.Lock()
	e.exitText = status
	w := e.current
	e.mu.Unlock()
	if w != nil {
		r, err := e.exitResult(w.in.ID)
		e.finish(w, r, err)
	}
	e.p.remove(e)
	close(e.dead)
}

// exitResult is how an invocation ends that the process did not survive.
func (e *environment) exitResult(id string) (Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.why == ErrClosed {
		return Result{}, ErrClosed
	}
	if what := e.child.complaint(); what != "" {
		if entry, ok := strings.CutPrefix(what, "exec: "); ok {
			return Failure("error", "Runtime.InvalidEntrypoint", "RequestId: %s Error: fork/exec %s", id, entry), nil
		}
		if launch, ok := strings.CutPrefix(what, "extension: "); ok {
			return Failure("error", "Extension.LaunchError", "RequestId: %s Error: %s", id, launch), nil
		}
		return Result{}, fmt.Errorf("compute: the sandbox of %s: %s", e.spec.Function, what)
	}
	if e.exitText == "exit status 0" {
		return Failure("error", "Runtime.ExitError", "RequestId: %s Error: Runtime exited without providing a reason", id), nil
	}
	return Failure("error", "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: %s", id, e.exitText), nil
}

// note remembers the most memory seen.
func (e *environment) note(mb int) {
	e.mu.Lock()
	e.peakMB = max(e.peakMB, mb)
	e.mu.Unlock()
}

// memory is the most memory used so far, in MB, as of at most a second ago.
func (e *environment) memory() int {
	world := e.p.o.World
	e.mu.Lock()
	fresh := !e.sampled.IsZero() && world.Elapsed(e.sampled) < memorySample
	if !fresh {
		e.sampled = world.Start()
	}
	e.mu.Unlock()
	if !fresh {
		e.note(peakMB(e.child.pid()))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.peakMB
}
