package lambda

import (
	"context"
	"sync"

	"fogbank/api/lambda"
)

// unready are the versions whose code and layers are being made ready to run, or could not be, by the pool's name. It
// is not stored: after a restart an environment makes ready what it needs.
type unready struct {
	mu sync.Mutex
	of map[string]*making
}

// making is one of them.
type making struct {
	update bool  // it was there before
	fault  error // why it could not be made ready; unready.mu guards it
}

// get returns what is known of a version, nil when it is ready.
func (u *unready) get(name string) *making {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.of[name]
	if m == nil {
		return nil
	}
	c := *m
	return &c
}

// begin notes that a version is being made ready; what it returns is called at the end.
func (u *unready) begin(name string, update bool) (end func(error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := &making{update: update}
	if u.of == nil {
		u.of = map[string]*making{}
	}
	u.of[name] = m
	return func(err error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if m.fault = err; err == nil && u.of[name] == m {
			delete(u.of, name)
		}
	}
}

// makeReady prepares a function that was made or changed for its environments, in the background, and describes it as
// it is until then.
func (s *Service) makeReady(r reference, f *function, update bool) *lambda.FunctionConfiguration {
	end := s.unready.begin(r.poolVersion(f), update)
	c := s.describe(f, r)
	s.world.Go(func(context.Context) {
		code := f.Package
		if f.Dir != "" {
			code = ""
		}
		err := s.o.Code.Prepare(code, f.layerPackages())
		if err != nil {
			s.o.Log.Error("the code of a function could not be made ready", "function", r.arn(), "error", err)
		}
		end(err)
	})
	return c
}

// show describes the state of a function that is not ready.
// https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
func (m *making) show(c *lambda.FunctionConfiguration) {
	reason, code := "The function is being created.", lambda.StateReasonCodeCreating
	if m.fault != nil {
		reason, code = "The code could not be made ready to run.", lambda.StateReasonCodeInternalError
	}
	switch {
	case m.update:
		c.LastUpdateStatus = new(lambda.LastUpdateStatusInProgress)
		if m.fault != nil {
			c.LastUpdateStatus = new(lambda.LastUpdateStatusFailed)
		}
		c.LastUpdateStatusReason, c.LastUpdateStatusReasonCode = &reason, &code
	default:
		c.State, c.LastUpdateStatus = new(lambda.StatePending), nil
		if m.fault != nil {
			c.State = new(lambda.StateFailed)
		}
		c.StateReason, c.StateReasonCode = &reason, &code
	}
}
