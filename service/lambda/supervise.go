package lambda

import (
	"context"
	"errors"
	"time"

	"fogbank/aws"
	"fogbank/compute"
	"fogbank/source"
	"fogbank/store"
)

// runner is a mapping at work.
type runner struct {
	s       *Service
	m       mapping
	account string
	region  string
	filters source.Filters
	stop    context.CancelFunc
	done    chan struct{}
}

// settleDelay is the wait after the end of a transition could not be stored.
const settleDelay = time.Second

// superviseMappings keeps a runner for every mapping until the world stops.
func (s *Service) superviseMappings(ctx context.Context) {
	watch := s.db.Watch(mappingsTopic)
	defer watch.Close()
	running := map[store.Key]*runner{}
	for ctx.Err() == nil {
		changed := watch.Changed()
		wanted, err := s.allMappings(ctx)
		if err != nil {
			s.world.Wait(ctx, changed, time.Second)
			continue
		}
		for key, r := range running {
			if w := wanted[key]; w == nil || w.m.Revision != r.m.Revision {
				r.stop()
			}
			if wanted[key] == nil {
				r.forget()
			}
		}
		for key, w := range wanted {
			if r := running[key]; r == nil {
				w.start(ctx, nil)
			} else if r.m.Revision != w.m.Revision {
				w.start(ctx, r.done)
			} else {
				wanted[key] = r
			}
		}
		running = wanted
		s.world.Wait(ctx, changed, 1000*time.Hour)
	}
}

// forget removes, once the runner has stopped, the positions it may have stored after its mapping was deleted.
func (r *runner) forget() {
	r.s.world.Go(func(ctx context.Context) {
		<-r.done
		ctx = r.tenant(context.WithoutCancel(ctx))
		// A failure leaves a few rows behind that nothing reads.
		r.s.db.Update(ctx, func(tx *store.Tx) error {
			if !mappings.Has(tx, store.K(r.m.UUID)) {
				source.Forget(tx, r.m.UUID)
			}
			return nil
		})
	})
}

// allMappings reads the mappings of all tenants.
func (s *Service) allMappings(ctx context.Context) (map[store.Key]*runner, error) {
	wanted := map[store.Key]*runner{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		clear(wanted)
		for key := range known.Keys(tx, store.Range{}) {
			r := &runner{s: s}
			var uuid string
			if err := key.Parse(&r.account, &r.region, &uuid); err != nil {
				return err
			}
			m, ok := mappings.Get(tx.In(r.account, r.region), store.K(uuid))
			if !ok {
				continue
			}
			r.m = m
			wanted[key] = r
		}
		return nil
	})
	return wanted, err
}

// start brings the mapping to where it is to be, at work or at rest, once before, the end of its earlier form, has come.
func (r *runner) start(ctx context.Context, before <-chan struct{}) {
	ctx, r.stop = context.WithCancel(ctx)
	r.done = make(chan struct{})
	r.s.world.Go(func(context.Context) {
		defer close(r.done)
		if before != nil {
			<-before
		}
		if !r.settle(ctx) {
			return
		}
		filters, err := source.ParseFilters(r.m.Filters)
		if err != nil {
			r.note(ctx, err)
			return // they were checked when the mapping was made
		}
		r.filters = filters
		if r.m.isQueue() {
			r.pollQueue(ctx)
		} else {
			r.followStream(ctx)
		}
	})
}

// settle ends the transition the mapping is in, and reports whether it is to run.
func (r *runner) settle(ctx context.Context) bool {
	for r.m.State != "" && ctx.Err() == nil {
		err := r.s.db.Update(r.tenant(ctx), r.reach)
		if err == nil {
			break
		}
		r.s.o.Log.Warn("a mapping did not reach its state", "mapping", r.m.UUID, "state", r.m.State, "error", err)
		r.s.world.Wait(ctx, nil, settleDelay)
	}
	return ctx.Err() == nil && r.m.Enabled && r.m.State != stateDeleting
}

// reach stores that the mapping's transition is over, unless it has changed again.
func (r *runner) reach(tx *store.Tx) error {
	at := store.K(r.m.UUID)
	m, ok := mappings.Get(tx, at)
	switch {
	case !ok || m.Revision != r.m.Revision:
	case m.State == stateDeleting:
		mappings.Delete(tx, at)
		results.Delete(tx, at)
		known.Delete(tx, store.K(tx.Account(), tx.Region(), m.UUID))
		source.Forget(tx, m.UUID)
	default:
		m.State = ""
		mappings.Put(tx, at, m)
	}
	return nil
}

// role takes the function's role, or keeps the one there is while it is good.
func (r *runner) role(ctx context.Context, have *source.Session) (*source.Session, error) {
	if have.Good(r.s.world.Now()) {
		return have, nil
	}
	ctx = r.tenant(ctx)
	f, err := r.s.load(ctx, r.m.reference(r.account, r.region))
	if err != nil {
		return nil, err
	}
	return r.s.enact(ctx, f.Role, f.Name)
}

// tenant is ctx with a call in the mapping's account and region.
func (r *runner) tenant(ctx context.Context) context.Context {
	return aws.WithCall(ctx, &aws.Call{Account: r.account, Region: r.region})
}

// invoke gives an event to the function, in the trace of a header, or a new one when it is "". A failure of the function is
// *unsuccessful.
func (r *runner) invoke(ctx context.Context, payload []byte, trace string) (compute.Result, error) {
	ctx = aws.Traced(r.tenant(ctx), trace)
	ref := r.m.reference(r.account, r.region)
	f, err := r.s.choose(ctx, ref)
	if err != nil {
		return compute.Result{}, err
	}
	res, err := r.s.run(ctx, ref, f, compute.Invocation{ID: r.s.world.UUID(), ARN: string(ref.arn()), Payload: payload})
	if err != nil {
		return res, err
	}
	if res.Failed {
		return res, &unsuccessful{result: res, f: f}
	}
	return res, nil
}

// problem is LastProcessingResult for an error.
func problem(err error) string {
	if err == nil {
		return resultOK
	}
	if _, ok := errors.AsType[*unsuccessful](err); ok {
		return "PROBLEM: Function call failed"
	}
	if _, ok := errors.AsType[compute.Throttled](err); ok {
		return "PROBLEM: Function call was throttled"
	}
	e := aws.AsError(err)
	return "PROBLEM: " + e.Code + ": " + e.Message
}

// note stores what became of the last batch, if that is news. Losing it costs nothing: the next batch
// tells again.
func (r *runner) note(ctx context.Context, err error) {
	ctx = r.tenant(context.WithoutCancel(ctx))
	result, at := problem(err), store.K(r.m.UUID)
	news, gone := false, false
	r.s.db.View(ctx, func(tx *store.Tx) error {
		have, _ := results.Get(tx, at)
		news, gone = have != result, !mappings.Has(tx, at)
		return nil
	})
	if gone {
		r.stop() // deleted with its whole account, which tells no supervisor
	}
	if gone || !news {
		return
	}
	r.s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		if mappings.Has(tx, at) {
			results.Put(tx, at, result)
		}
		return nil
	})
}
