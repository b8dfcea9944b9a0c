package compute

import (
	"context"
	"fmt"
	"time"
)

// Provision asks for environments of a function that are kept initialised.
type Provision struct {
	Function string // the pool's name for the version
	Revision string
	Count    int // 0: none any more
	Spec     func(ctx context.Context) (Spec, error)
}

// Provisioned is what has become of a Provision.
type Provisioned struct {
	Ready int    // environments that are initialised, at work or not
	Fault string // why the last one that was started could not be initialised; "" when it could
}

// retryKept is how long a keeper waits after its first environment in a row that could not be initialised; it
// doubles up to retryKeptMost.
const (
	retryKept     = time.Second
	retryKeptMost = time.Minute
)

// keeper keeps environments ready for a function. Pool.mu guards it.
type keeper struct {
	want     Provision
	kept     int // environments, those that initialise included
	starting int // those that initialise
	fault    string
	failures int       // in a row
	retry    time.Time // nothing is started before
	wake     chan struct{}
}

// wants reports whether an environment is one that is still to be kept.
func (k *keeper) wants(s *slot) bool { return k.kept <= k.want.Count && s.revision == k.want.Revision }

func (k *keeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Provision sets how many environments of a function are kept ready, from now on.
func (p *Pool) Provision(want Provision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.functions[want.Function]
	if p.closed || want.Count == 0 && (f == nil || f.keeper == nil) {
		return
	}
	f = p.function(want.Function, want.Revision)
	if f.keeper != nil {
		f.keeper.want, f.keeper.failures, f.keeper.retry = want, 0, time.Time{}
		f.keeper.rouse()
		return
	}
	k := &keeper{want: want, wake: make(chan struct{}, 1)}
	f.keeper = k
	p.o.World.Go(func(ctx context.Context) { p.keep(ctx, f, k) })
}

// Provisioned says what has become of the last Provision of a function.
func (p *Pool) Provisioned(function string) Provisioned {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.functions[function]
	if f == nil || f.keeper == nil {
		return Provisioned{}
	}
	return Provisioned{f.keeper.kept - f.keeper.starting, f.keeper.fault}
}

// keep starts what is missing and closes what is not wanted any more, until nothing is.
func (p *Pool) keep(ctx context.Context, f *function, k *keeper) {
	for ctx.Err() == nil {
		stale, missing, at, done := p.review(f, k)
		p.closeAll(stale)
		if done {
			return
		}
		for range missing {
			p.o.World.Go(func(ctx context.Context) { p.startKept(ctx, f, k) })
		}
		if at.IsZero() {
			select {
			case <-k.wake:
			case <-ctx.Done():
			}
		} else {
			p.o.World.WaitUntil(ctx, k.wake, at)
		}
	}
}

// review takes idle environments out that are to be closed, counts in those that are to be started, and says when to
// look again at the latest: never, when at is zero.
func (p *Pool) review(f *function, k *keeper) (stale []*slot, missing int, at time.Time, done bool) {
	now := p.o.World.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	rest := f.ready[:0]
	for _, s := range f.ready {
		if k.wants(s) && s.usable(now) {
			rest = append(rest, s)
			sooner(s.expires)
			continue
		}
		stale = append(stale, s)
		p.strike(f, s)
	}
	clear(f.ready[len(rest):])
	f.ready = rest
	if k.want.Count == 0 && k.kept == 0 {
		f.keeper = nil
		p.forget(k.want.Function, f)
		return stale, 0, at, true
	}
	if p.closed {
		return stale, 0, at, true
	}
	if now.Before(k.retry) {
		sooner(k.retry)
		return stale, 0, at, false
	}
	missing = max(min(k.want.Count-k.kept, p.o.Starts-k.starting), 0)
	if room := max(p.o.Max-p.total, 0); missing > room {
		missing = room
		sooner(now.Add(retryKeptMost)) // there may be room then
	}
	k.kept += missing
	k.starting += missing
	f.slots += missing
	p.total += missing
	return stale, missing, at, false
}

// startKept starts an environment and initialises it. It was counted in before.
func (p *Pool) startKept(ctx context.Context, f *function, k *keeper) {
	p.mu.Lock()
	want := k.want
	p.mu.Unlock()
	s, err := p.openReady(ctx, want)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer k.rouse()
	k.starting--
	if err != nil {
		k.fault = err.Error()
		k.retry = p.o.World.Now().Add(min(retryKept<<min(k.failures, 16), retryKeptMost))
		k.failures++
		k.kept--
		f.slots--
		p.total--
		return
	}
	k.fault, k.failures = "", 0
	s.keeper, s.since = k, p.o.World.Now()
	switch {
	case p.closed:
		p.strike(f, s)
		p.o.World.Go(func(context.Context) { s.env.Close() }) // not while p.mu is held
	case !k.wants(s) || !p.give(want.Function, s):
		f.ready = append(f.ready, s)
	}
}

// openReady makes an environment and waits until it is initialised.
func (p *Pool) openReady(ctx context.Context, want Provision) (*slot, error) {
	spec, err := want.Spec(ctx)
	if err != nil {
		return nil, err
	}
	spec.Initialization = ProvisionedConcurrency
	s, err := p.open(ctx, spec, want.Revision)
	if err != nil {
		return nil, err
	}
	failed, err := s.env.Ready(ctx)
	if failed != nil {
		err = fmt.Errorf("compute: %s could not be initialised: %s", spec.Name, failed.Payload)
	}
	if err != nil {
		s.env.Close()
		return nil, err
	}
	return s, nil
}
