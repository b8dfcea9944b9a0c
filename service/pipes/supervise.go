package pipes

import (
	"context"
	"strings"
	"sync"
	"time"

	"fogbank/api/dynamodbstreams"
	"fogbank/api/pipes"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/source"
	"fogbank/store"
)

// settleDelay is the wait after a transition could not be completed for a reason of ours.
const settleDelay = time.Second

// runner is a pipe as of one revision, at work or at rest.
type runner struct {
	s       *Service
	p       pipe
	account string
	region  string
	enrich  *transform // of the enrichment's input; nil: none
	input   *transform // of the target's
	stop    context.CancelFunc
	done    chan struct{}

	mu   sync.Mutex
	as   *source.Session // the role's, when last taken
	mute bool            // the log could not be written, last time
}

// supervise keeps a runner for every pipe until the world stops.
func (s *Service) supervise(ctx context.Context) {
	watch := s.db.Watch(topic)
	defer watch.Close()
	running := map[store.Key]*runner{}
	for ctx.Err() == nil {
		changed := watch.Changed()
		wanted, err := s.all(ctx)
		if err != nil {
			s.world.Wait(ctx, changed, settleDelay)
			continue
		}
		for key, r := range running {
			if w := wanted[key]; w == nil || w.p.Revision != r.p.Revision {
				r.stop()
			}
		}
		for key, w := range wanted {
			if r := running[key]; r == nil {
				w.start(ctx, nil)
			} else if r.p.Revision != w.p.Revision {
				w.start(ctx, r.done)
			} else {
				wanted[key] = r
			}
		}
		running = wanted
		s.world.Wait(ctx, changed, 1000*time.Hour)
	}
}

// all reads the pipes of all tenants.
func (s *Service) all(ctx context.Context) (map[store.Key]*runner, error) {
	list := map[store.Key]*runner{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		clear(list)
		for key := range known.Keys(tx, store.Range{}) {
			r := &runner{s: s}
			var name string
			if err := key.Parse(&r.account, &r.region, &name); err != nil {
				return err
			}
			p, ok := table.Get(tx.In(r.account, r.region), store.K(name))
			if ok {
				r.p = p
				list[key] = r
			}
		}
		return nil
	})
	return list, err
}

// start brings the pipe to where it is to be, once before, the end of its earlier revision, has come.
func (r *runner) start(ctx context.Context, before <-chan struct{}) {
	ctx, r.stop = context.WithCancel(ctx)
	r.done = make(chan struct{})
	r.s.world.Go(func(context.Context) {
		defer close(r.done)
		if before != nil {
			<-before
		}
		for ctx.Err() == nil {
			err := r.settle(ctx)
			if err == nil {
				break
			}
			r.s.o.Log.Warn("a pipe did not reach its state", "pipe", r.p.Name, "state", r.p.State, "error", err)
			r.s.world.Wait(ctx, nil, settleDelay)
		}
		if r.p.State == pipes.PipeStateRunning && ctx.Err() == nil {
			r.follow(ctx)
		}
	})
}

// failures are the states transitions end in that do not succeed.
var failures = map[string]string{
	pipes.PipeStateCreating: pipes.PipeStateCreateFailed,
	pipes.PipeStateUpdating: pipes.PipeStateUpdateFailed,
	pipes.PipeStateStarting: pipes.PipeStateStartFailed,
}

// settle ends a transition. An error means to try again.
func (r *runner) settle(ctx context.Context) error {
	switch {
	case r.p.State == pipes.PipeStateDeleting:
		return r.remove(ctx)
	case !r.p.unsettled():
		return nil
	case r.p.Desired == pipes.RequestedPipeStateStopped:
		return r.reach(ctx, pipes.PipeStateStopped, "")
	}
	err := r.probe(ctx)
	if err == nil {
		return r.reach(ctx, pipes.PipeStateRunning, "")
	}
	e := aws.AsError(err)
	if e.Status >= 500 {
		return err
	}
	return r.reach(ctx, failures[r.p.State], e.Message)
}

// reach stores the state that was reached, unless the pipe has changed again.
func (r *runner) reach(ctx context.Context, state, reason string) error {
	err := r.s.db.Update(r.tenant(ctx), func(tx *store.Tx) error {
		p, ok := table.Get(tx, store.K(r.p.Name))
		if !ok || p.Revision != r.p.Revision {
			return nil
		}
		p.State, p.Reason = state, reason
		table.Put(tx, store.K(p.Name), p)
		return nil
	})
	if err == nil {
		r.p.State, r.p.Reason = state, reason
	}
	return err
}

// remove forgets the pipe and its positions.
func (r *runner) remove(ctx context.Context) error {
	return r.s.db.Update(r.tenant(ctx), func(tx *store.Tx) error {
		if p, ok := table.Get(tx, store.K(r.p.Name)); !ok || p.Revision != r.p.Revision {
			return nil
		}
		table.Delete(tx, store.K(r.p.Name))
		reasons.Delete(tx, store.K(r.p.Name))
		known.Delete(tx, store.K(tx.Account(), tx.Region(), r.p.Name))
		source.Forget(tx, r.p.ID)
		return nil
	})
}

// probe makes sure that the role can be assumed and may read the source.
func (r *runner) probe(ctx context.Context) error {
	as, err := r.role(ctx, nil)
	if err != nil {
		return err
	}
	arn := aws.ARN(r.p.Source)
	ctx = as.In(ctx, arn.Account(), arn.Region())
	if arn.Service() == "sqs" {
		_, err = sqs.Client{Invoke: r.s.o.Role}.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: r.s.queueURL(arn), AttributeNames: []string{sqs.QueueAttributeNameVisibilityTimeout}})
		return err
	}
	_, err = dynamodbstreams.Client{Invoke: r.s.o.Role}.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: r.p.Source})
	return err
}

// queueURL is the URL of a queue of this server.
func (s *Service) queueURL(queue aws.ARN) string {
	return s.o.Endpoint + "/" + queue.Account() + "/" + queue.Name()
}

// tenant is ctx with a call in the pipe's account and region.
func (r *runner) tenant(ctx context.Context) context.Context {
	return aws.WithCall(ctx, &aws.Call{Account: r.account, Region: r.region})
}

// role takes the pipe's role, or keeps a session while it is good.
func (r *runner) role(ctx context.Context, have *source.Session) (*source.Session, error) {
	now := r.s.world.Now()
	if have.Good(now) {
		return have, nil
	}
	r.mu.Lock()
	have = r.as
	r.mu.Unlock()
	if have.Good(now) {
		return have, nil
	}
	have, err := source.Assume(r.tenant(ctx), r.s.roles, r.p.Role, sessionName(r.p.Name))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.as = have
	return have, nil
}

// sessionName is the name of a role session of a pipe.
func sessionName(pipe string) string {
	name := strings.Map(func(c rune) rune {
		if strings.ContainsRune("+=,.@-_", c) || c < 0x80 && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return c
		}
		return '-'
	}, "pipe-"+pipe)
	return name[:min(len(name), 64)]
}

// note stores what is wrong with the batch last tried, if that is news. Losing it costs nothing: the next
// batch tells again.
func (r *runner) note(ctx context.Context, err error) {
	ctx = r.tenant(context.WithoutCancel(ctx))
	reason, at := "", store.K(r.p.Name)
	if err != nil {
		e := aws.AsError(err)
		reason = e.Code + ": " + e.Message
	}
	news, gone := false, false
	ours := func(tx *store.Tx) bool {
		p, ok := table.Get(tx, at)
		return ok && p.ID == r.p.ID
	}
	r.s.db.View(ctx, func(tx *store.Tx) error {
		have, _ := reasons.Get(tx, at)
		news, gone = have != reason, !ours(tx)
		return nil
	})
	if gone {
		r.stop() // deleted with its whole account
	}
	if gone || !news {
		return
	}
	r.s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		if ours(tx) {
			reasons.Put(tx, at, reason)
		}
		return nil
	})
}
