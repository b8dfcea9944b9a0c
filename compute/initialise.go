package compute

import (
	"context"
	"sync"
	"time"

	"fogbank/aws"
)

// provisionedLimit is how long a function may take to initialise ahead of its invocations, or its timeout if that is
// more.
const provisionedLimit = 130 * time.Second

// retried is an environment whose initialisation is tried a second time, by the invocation it was started for, when
// the first has failed or taken too long. The second counts towards the function's timeout.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
type retried struct {
	p    *Process
	spec Spec

	mu    sync.Mutex
	env   Env // an environment, or one that is broken
	again bool
}

func (r *retried) current() (env Env, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.env, r.again
}

func (r *retried) Alive() bool {
	env, _ := r.current()
	return env.Alive()
}

func (r *retried) Close() {
	env, _ := r.current()
	env.Close()
}

func (r *retried) Ready(ctx context.Context) (*Result, error) {
	env, _ := r.current()
	return env.Ready(ctx)
}

func (r *retried) Invoke(ctx context.Context, in Invocation) (Result, error) {
	env, again := r.current()
	res, err := env.Invoke(ctx, in)
	if err != nil || !res.uninitialised || again {
		return res, err
	}
	env.Close()
	if env, err = r.p.begin(r.spec, phaseInvoke); err != nil {
		return Result{}, err
	}
	r.mu.Lock()
	r.env, r.again = env, true
	r.mu.Unlock()
	return env.Invoke(ctx, in)
}

// broken is an environment that cannot start, which is the function's fault: it answers so.
type broken struct {
	p             *Process
	spec          *Spec
	phase         string
	kind, message string
}

func (b *broken) Alive() bool { return false }
func (b *broken) Close()      {}

func (b *broken) Ready(context.Context) (*Result, error) {
	r := Failure("error", b.kind, "Error: %s", b.message)
	b.spec.tellInit(b.p.o.World.Now(), b.phase, &r, 0)
	return &r, nil
}

func (b *broken) Invoke(ctx context.Context, in Invocation) (Result, error) {
	if err := aws.Settle(ctx); err != nil {
		return Result{}, err
	}
	r := Failure("error", b.kind, "RequestId: %s Error: %s", in.ID, b.message)
	return b.spec.uninitialised(b.p.o.World.Now(), b.phase, in, r, 0), nil
}

// tellInit tells how an initialisation ended; failed is nil when well.
func (s *Spec) tellInit(at time.Time, phase string, failed *Result, took time.Duration) {
	status, kind := success, ""
	if failed != nil {
		status, kind = failed.status(), failed.errorType()
	}
	s.tell(at, factInitRuntimeDone, InitRuntimeDone{s.kind(), phase, status, kind})
	s.tell(at, factInitReport, InitReport{s.kind(), phase, status, kind, Metrics{Duration: milliseconds(took)}})
}

// uninitialised completes the result of an invocation for which the function could not be initialised, and tells of it:
// in the first phase that is all, in the second the invocation ends with it.
func (s *Spec) uninitialised(at time.Time, phase string, in Invocation, r Result, took time.Duration) Result {
	r.uninitialised = true
	s.tellInit(at, phase, &r, took)
	if phase == phaseInvoke {
		r.Duration = took
		s.tellStart(at, in)
		s.tellEnd(at, in, r)
	}
	return r
}

// tellStart tells that an invocation begins.
func (s *Spec) tellStart(at time.Time, in Invocation) {
	s.tell(at, factStart, Start{in.ID, s.Version, sampled(in.Trace)})
}

// tellEnd tells how an invocation ended.
func (s *Spec) tellEnd(at time.Time, in Invocation, r Result) {
	s.tell(at, factRuntimeDone, runtimeDone(in, r))
	s.tell(at, factReport, s.report(in, r))
}
