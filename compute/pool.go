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
	Fresh  int           // of them, those that began within freshTime; 0: one for each processor
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
	scopes    map[string]int // of them, those that nothing is reserved or provisioned for
	total     int
	starting  int
	fresh     int       // of those starting
	queue     []*waiter // oldest first
	closed    bool
	wake      chan struct{} // an environment fell idle while the reaper had nothing to wait for
}

// function is what the pool knows of one: its idle environments, the last used at the end.
type function struct {
	revision string
	idle     []*slot
	running  int     // invocations under way
	slots    int     // environments, idle or not
	keeper   *keeper // nil when nothing is provisioned
	ready    []*slot // its idle environments
	used     int     // invocations under way that count as provisioned
}

// slot is an environment and what the pool knows about it.
type slot struct {
	env      Env
	journal  *journal
	revision string
	expires  time.Time
	since    time.Time // idle since
	keeper   *keeper   // for whom it is kept; nil for one that came of an invocation
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
	Limit      int    // invocations of the group at once, which are reserved for it; negative: nothing is reserved
	Scope      string // the account and region whose concurrency is shared by what nothing is reserved for
	Shared     int    // invocations at once of the scope that nothing is reserved or provisioned for; 0: PoolOptions.Max
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
	if o.Fresh == 0 {
		o.Fresh = runtime.GOMAXPROCS(0)
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{o: o, functions: map[string]*function{}, groups: map[string]int{}, scopes: map[string]int{}, wake: make(chan struct{}, 1)}
	o.World.Go(p.reap)
	return p
}

// Isolation is the runner's.
func (p *Pool) Isolation() string { return p.o.Runner.Isolation() }

// Invoke runs a job in an idle environment, or a new one, and writes its START, END and REPORT lines.
// It fails with Throttled when a limit is reached, or with what Job.Spec returned.
func (p *Pool) Invoke(ctx context.Context, j *Job) (Result, error) {
	f, on, err := p.enter(j)
	if err != nil {
		return Result{}, err
	}
	defer p.leave(j, f, on)
	for try := 0; ; try++ {
		s, err := p.acquire(ctx, j, f)
		if err != nil {
			return Result{}, err
		}
		s.journal.begin()
		r, err := s.env.Invoke(ctx, j.Invocation)
		if err == nil {
			r.Tail = s.journal.end()
		}
		p.release(j, f, s)
		if !errors.Is(err, ErrNotTaken) || try == 3 {
			return r, err
		}
	}
}

// account is what an invocation's concurrency is taken from.
type account uint8

const (
	reserved    account = iota // what is reserved for its group
	provisioned                // what is provisioned for its function
	shared                     // what is left to its scope
)

// enter counts an invocation in, unless a limit is reached.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
func (p *Pool) enter(j *Job) (*function, account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, 0, ErrClosed
	}
	f := p.function(j.Function, j.Revision)
	group, most := j.group(), j.Shared
	if most == 0 {
		most = p.o.Max
	}
	on := shared
	switch {
	case j.Limit >= 0:
		if on = reserved; p.groups[group] >= j.Limit {
			p.forget(j.Function, f)
			return nil, 0, Throttled{FunctionLimit}
		}
	case f.keeper != nil && f.used < f.keeper.want.Count:
		on = provisioned
		f.used++
	case p.scopes[j.Scope] >= most:
		p.forget(j.Function, f)
		return nil, 0, Throttled{AccountLimit}
	default:
		p.scopes[j.Scope]++
	}
	p.groups[group]++
	f.running++
	f.revision = j.Revision
	return f, on, nil
}

// function returns what the pool knows of a function, which is nothing at first; p.mu is held.
func (p *Pool) function(name, revision string) *function {
	f := p.functions[name]
	if f == nil {
		f = &function{revision: revision}
		p.functions[name] = f
	}
	return f
}

// leave counts an invocation out and forgets a function without environments.
func (p *Pool) leave(j *Job, f *function, on account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.running--
	switch on {
	case shared:
		decrease(p.scopes, j.Scope)
	case provisioned:
		f.used--
	}
	p.forget(j.Function, f)
	decrease(p.groups, j.group())
}

// decrease takes one off a count, which is not kept when it is zero.
func decrease(counts map[string]int, name string) {
	if counts[name]--; counts[name] == 0 {
		delete(counts, name)
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
	if f.running == 0 && f.slots == 0 && f.keeper == nil && p.functions[name] == f {
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
	started := p.begin()
	s, err = p.start(ctx, j)
	p.mu.Lock()
	defer p.mu.Unlock()
	started()
	if err != nil {
		f.slots--
		p.total--
	}
	p.next()
	return s, err
}

// freshTime is how long a start counts as work for a processor. One that takes longer waits for something else.
const freshTime = 250 * time.Millisecond

// mayStart reports whether one more environment may be started; p.mu is held.
func (p *Pool) mayStart() bool { return p.starting < p.o.Starts && p.fresh < p.o.Fresh }

// permit counts a start that is to begin; p.mu is held.
func (p *Pool) permit() { p.starting, p.fresh = p.starting+1, p.fresh+1 }

// begin uses a permit; ended is called with p.mu held.
func (p *Pool) begin() (ended func()) {
	over, fresh := make(chan struct{}), true
	age := func() {
		if fresh {
			fresh = false
			p.fresh--
		}
	}
	p.o.World.Go(func(ctx context.Context) {
		p.o.World.Wait(ctx, over, freshTime)
		p.mu.Lock()
		defer p.mu.Unlock()
		age()
		p.next()
	})
	return func() {
		close(over)
		age()
		p.starting--
	}
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
	for _, shelf := range []*[]*slot{&f.ready, &f.idle} {
		for len(*shelf) > 0 {
			last := len(*shelf) - 1
			s := (*shelf)[last]
			*shelf = (*shelf)[:last]
			if s.revision == j.Revision && s.usable(now) {
				return s, nil, stale, nil
			}
			stale = append(stale, s)
			p.strike(f, s)
		}
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
	if p.mayStart() {
		p.permit()
		return nil, nil, stale, nil
	}
	w = &waiter{j.Function, make(chan *slot, 1)}
	p.queue = append(p.queue, w)
	return nil, w, stale, nil
}

// usable reports whether an invocation may begin in the environment.
func (s *slot) usable(now time.Time) bool {
	return s.env.Alive() && (s.expires.IsZero() || now.Before(s.expires))
}

// strike counts an environment out that is to be closed; p.mu is held.
func (p *Pool) strike(f *function, s *slot) {
	f.slots--
	p.total--
	if s.keeper != nil {
		s.keeper.kept--
		s.keeper.rouse()
	}
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
	p.strike(of, s)
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
	for len(p.queue) > 0 && p.mayStart() {
		w := p.queue[0]
		p.queue = p.queue[1:]
		p.permit()
		w.ready <- nil
	}
}

// start makes an environment for a job.
func (p *Pool) start(ctx context.Context, j *Job) (*slot, error) {
	spec, err := j.Spec(ctx)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, spec, j.Revision)
}

// open makes an environment.
func (p *Pool) open(ctx context.Context, spec Spec, revision string) (*slot, error) {
	log := newJournal(&spec)
	env, err := p.o.Runner.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &slot{env: env, journal: log, revision: revision, expires: spec.Expires}, nil
}

// release hands an environment to one who waits for it, keeps it idle, or closes it when it has had
// its time.
func (p *Pool) release(j *Job, f *function, s *slot) {
	s.since = p.o.World.Now()
	p.mu.Lock()
	good := s.env.Alive() && !p.closed
	shelf := &f.idle
	if k := s.keeper; k != nil {
		good = good && k.wants(s)
		shelf = &f.ready
	} else {
		good = good && s.revision == f.revision
	}
	switch {
	case !good:
		p.strike(f, s)
		p.mu.Unlock()
		s.env.Close()
		return
	case p.give(j.Function, s):
		p.mu.Unlock()
		return
	}
	*shelf = append(*shelf, s)
	p.mu.Unlock()
	if s.keeper == nil {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
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
		idle += len(f.idle) + len(f.ready)
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
		for _, shelf := range []*[]*slot{&f.ready, &f.idle} {
			for _, s := range *shelf {
				p.strike(f, s)
			}
			list = append(list, *shelf...)
			*shelf = nil
		}
	}
	p.mu.Unlock()
	p.closeAll(list)
}
