package compute

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"fogbank/world"
)

// Defaults of PoolOptions.
const (
	DefaultMax  = 1000             // Lambda's concurrency limit of an account and region
	DefaultIdle = 10 * time.Minute // an environment unused for as long is closed
)

// PoolOptions make a Pool; World and Runner are needed.
type PoolOptions struct {
	World  *world.World
	Runner Runner
	Log    *slog.Logger
	Max    int           // environments at once; 0: DefaultMax
	Starts int           // environments starting at once; 0: four for each processor
	Idle   time.Duration // 0: DefaultIdle
}

// Pool keeps environments warm and bounds them. While as many environments are starting as may,
// an invocation waits for whichever comes first: an environment of its function falling idle, or leave
// to start one.
type Pool struct {
	o PoolOptions

	mu        sync.Mutex
	functions map[string]*function
	groups    map[string]int // invocations under way
	total     int
	starting  int
	queue     []*waiter // oldest first
	closed    bool
	wake      chan struct{} // an environment fell idle while the reaper had nothing to wait for
}

// function is what the pool knows of one: its idle environments, the last used at the end.
type function struct {
	revision string
	idle     []*slot
	running  int // invocations under way
	slots    int // environments, idle or not
}

// slot is an environment and what the pool knows about it.
type slot struct {
	env      Env
	journal  *journal
	revision string
	expires  time.Time
	version  string
	memoryMB int
	since    time.Time // idle since
}

// waiter is an invocation without an environment. It is sent an idle slot, or nil: leave to start one.
type waiter struct {
	function string
	ready    chan *slot
}

// Job is one invocation of a function.
type Job struct {
	Function   string // the pool's name for the function, or a version of it: environments are shared below it
	Group      string // what Limit is for: the function of which Function is a version; "" for Function itself
	Revision   string // environments of another revision are not used
	Limit      int    // invocations of the group at once; negative: unlimited
	Spec       func(ctx context.Context) (Spec, error)
	Invocation Invocation
}

// NewPool starts a pool; Close ends it.
func NewPool(o PoolOptions) *Pool {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Starts == 0 {
		o.Starts = 4 * runtime.GOMAXPROCS(0)
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{o: o, functions: map[string]*function{}, groups: map[string]int{}, wake: make(chan struct{}, 1)}
	o.World.Go(p.reap)
	return p
}

// Isolation is the runner's.
func (p *Pool) Isolation() string { return p.o.Runner.Isolation() }

// Invoke runs a job in an idle environment, or a new one, and writes its START, END and REPORT lines.
// It fails with Throttled when a limit is reached, or with what Job.Spec returned.
func (p *Pool) Invoke(ctx context.Context, j *Job) (Result, error) {
	f, err := p.enter(j)
	if err != nil {
		return Result{}, err
	}
	defer p.leave(j, f)
	for try := 0; ; try++ {
		s, err := p.acquire(ctx, j, f)
		if err != nil {
			return Result{}, err
		}
		s.journal.begin(j.Invocation.ID, s.version)
		r, err := s.env.Invoke(ctx, j.Invocation)
		if err == nil {
			r.Tail = s.journal.end(j.Invocation.ID, s.memoryMB, r)
		}
		p.release(j, f, s)
		if !errors.Is(err, ErrNotTaken) || try == 3 {
			return r, err
		}
	}
}

// enter counts an invocation in, unless the function's limit is reached.
func (p *Pool) enter(j *Job) (*function, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	f := p.functions[j.Function]
	if f == nil {
		f = &function{revision: j.Revision}
		p.functions[j.Function] = f
	}
	group := j.group()
	if j.Limit >= 0 && p.groups[group] >= j.Limit {
		p.forget(j.Function, f)
		return nil, Throttled{FunctionLimit}
	}
	p.groups[group]++
	f.running++
	f.revision = j.Revision
	return f, nil
}

// leave counts an invocation out and forgets a function without environments.
func (p *Pool) leave(j *Job, f *function) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.running--
	p.forget(j.Function, f)
	group := j.group()
	if p.groups[group]--; p.groups[group] == 0 {
		delete(p.groups, group)
	}
}

// group is what the job's limit is for.
func (j *Job) group() string {
	if j.Group != "" {
		return j.Group
	}
	return j.Function
}

// forget drops f when nothing is left of it; p.mu is held.
func (p *Pool) forget(name string, f *function) {
	if f.running == 0 && f.slots == 0 && p.functions[name] == f {
		delete(p.functions, name)
	}
}

// acquire takes an idle environment or starts one.
func (p *Pool) acquire(ctx context.Context, j *Job, f *function) (*slot, error) {
	s, w, stale, err := p.take(j, f)
	p.closeAll(stale)
	if err != nil || s != nil {
		return s, err
	}
	if w != nil {
		if s, err = p.await(ctx, w); err != nil || s != nil {
			return s, err
		}
	}
	s, err = p.start(ctx, j)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	if err != nil {
		f.slots--
		p.total--
	}
	p.next()
	return s, err
}

// take finds an idle environment; with none, it takes leave to start one (all nil), or a place in the
// queue. The stale environments it came across are to be closed by the caller.
func (p *Pool) take(j *Job, f *function) (s *slot, w *waiter, stale []*slot, err error) {
	now := p.o.World.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, nil, ErrClosed
	}
	for len(f.idle) > 0 {
		s := f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
		if s.revision == j.Revision && s.env.Alive() && (s.expires.IsZero() || now.Before(s.expires)) {
			return s, nil, stale, nil
		}
		stale = append(stale, s)
		f.slots--
		p.total--
	}
	if p.total >= p.o.Max {
		old := p.evict()
		if old == nil {
			return nil, nil, stale, Throttled{AccountLimit}
		}
		stale = append(stale, old)
	}
	f.slots++
	p.total++
	if p.starting < p.o.Starts {
		p.starting++
		return nil, nil, stale, nil
	}
	w = &waiter{j.Function, make(chan *slot, 1)}
	p.queue = append(p.queue, w)
	return nil, w, stale, nil
}

// evict takes the environment idle for longest out of the pool; p.mu is held.
func (p *Pool) evict() *slot {
	var of *function
	var name string
	for n, f := range p.functions {
		if len(f.idle) > 0 && (of == nil || f.idle[0].since.Before(of.idle[0].since)) {
			of, name = f, n
		}
	}
	if of == nil {
		return nil
	}
	s := of.idle[0]
	of.idle = of.idle[1:]
	of.slots--
	p.total--
	p.forget(name, of)
	return s
}

// await waits in the queue. It returns a slot, or nil for leave to start one.
func (p *Pool) await(ctx context.Context, w *waiter) (*slot, error) {
	select {
	case s := <-w.ready:
		return s, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	for i, other := range p.queue {
		if other == w {
			p.queue = append(p.queue[:i], p.queue[i+1:]...)
			p.unreserve(w.function)
			p.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	p.mu.Unlock()
	return <-w.ready, nil
}

// unreserve gives back the place of an environment that is not started after all; p.mu is held.
func (p *Pool) unreserve(name string) {
	p.total--
	if f := p.functions[name]; f != nil {
		f.slots--
	}
}

// next gives leave to start to those who wait longest; p.mu is held.
func (p *Pool) next() {
	for len(p.queue) > 0 && p.starting < p.o.Starts {
		w := p.queue[0]
		p.queue = p.queue[1:]
		p.starting++
		w.ready <- nil
	}
}

// start makes an environment for a job.
func (p *Pool) start(ctx context.Context, j *Job) (*slot, error) {
	spec, err := j.Spec(ctx)
	if err != nil {
		return nil, err
	}
	log := &journal{world: p.o.World, sink: spec.Log}
	spec.Log = func(_ time.Time, line string) { log.write(line) }
	env, err := p.o.Runner.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &slot{env: env, journal: log, revision: j.Revision, expires: spec.Expires,
		version: spec.Version, memoryMB: spec.MemoryMB}, nil
}

// release hands an environment to one who waits for it, keeps it idle, or closes it when it has had
// its time.
func (p *Pool) release(j *Job, f *function, s *slot) {
	s.since = p.o.World.Now()
	p.mu.Lock()
	good := s.env.Alive() && !p.closed && s.revision == f.revision
	if good && p.give(j.Function, s) {
		p.mu.Unlock()
		return
	}
	if good {
		f.idle = append(f.idle, s)
		p.mu.Unlock()
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return
	}
	f.slots--
	p.total--
	p.mu.Unlock()
	s.env.Close()
}

// give hands an idle environment to the first of its function that waits, whose own place it no longer
// needs; p.mu is held.
func (p *Pool) give(name string, s *slot) bool {
	for i, w := range p.queue {
		if w.function == name {
			p.queue = append(p.queue[:i], p.queue[i+1:]...)
			p.unreserve(name)
			w.ready <- s
			return true
		}
	}
	return false
}

func (p *Pool) closeAll(list []*slot) {
	for _, s := range list {
		s.env.Close()
	}
}

// Drop closes the idle environments of a function; those at work are closed when they have finished if
// the function comes back with another revision, else when they have been idle for long.
func (p *Pool) Drop(function string) {
	p.mu.Lock()
	var list []*slot
	if f := p.functions[function]; f != nil {
		list, f.idle = f.idle, nil
		f.slots -= len(list)
		p.total -= len(list)
		f.revision = ""
		p.forget(function, f)
	}
	p.mu.Unlock()
	p.closeAll(list)
}

// Running returns the environments there are and those at work, for metrics.
func (p *Pool) Running() (environments, busy int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := 0
	for _, f := range p.functions {
		idle += len(f.idle)
	}
	return p.total, p.total - idle
}

// reap closes environments idle for too long, until the world stops; then all idle ones.
func (p *Pool) reap(ctx context.Context) {
	for ctx.Err() == nil {
		old, at := p.expired()
		p.closeAll(old)
		if at.IsZero() {
			select {
			case <-p.wake:
			case <-ctx.Done():
			}
			continue
		}
		p.o.World.WaitUntil(ctx, nil, at)
	}
	p.Close()
}

// expired takes the environments out that have been idle for too long and says when the next will have been.
func (p *Pool) expired() (old []*slot, at time.Time) {
	now := p.o.World.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, f := range p.functions {
		n := 0
		for n < len(f.idle) && (!f.idle[n].env.Alive() || now.Sub(f.idle[n].since) >= p.o.Idle) {
			n++
		}
		old = append(old, f.idle[:n]...)
		f.idle = f.idle[n:]
		f.slots -= n
		p.total -= n
		if len(f.idle) > 0 {
			if t := f.idle[0].since.Add(p.o.Idle); at.IsZero() || t.Before(at) {
				at = t
			}
		}
		p.forget(name, f)
	}
	return old, at
}

// Close closes every idle environment; the others close as they finish. Nothing can be invoked any more.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	var list []*slot
	for _, f := range p.functions {
		list = append(list, f.idle...)
		f.slots -= len(f.idle)
		p.total -= len(f.idle)
		f.idle = nil
	}
	p.mu.Unlock()
	p.closeAll(list)
}
