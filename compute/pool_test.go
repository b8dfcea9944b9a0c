package compute

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/world"
)

// fakePool is a pool over a Fake, for a synctest bubble.
func fakePool(o PoolOptions) (*Pool, *Fake, *world.World) {
	w := world.Seeded(1)
	f := &Fake{World: w}
	o.World, o.Runner = w, f
	return NewPool(o), f, w
}

func fakeJob(name, handler string, timeout time.Duration) *Job {
	return &Job{Function: name, Revision: "1", Limit: -1,
		Spec: func(context.Context) (Spec, error) {
			return Spec{Name: name, Handler: handler, Timeout: timeout, Version: "$LATEST", MemoryMB: 128}, nil
		},
		Invocation: Invocation{ID: "id", Payload: []byte(`{"a":1}`)}}
}

func TestFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, w := fakePool(PoolOptions{})
		defer w.Stop()
		for _, test := range []struct {
			handler, want string
			failed        bool
		}{
			{"echo", `{"a":1}`, false},
			{"log", `null`, false},
			{"value:42", `42`, false},
			{"fail", `{"errorType":"Error","errorMessage":"failed"}`, true},
			{"fail:no stock", `{"errorType":"Error","errorMessage":"no stock"}`, true},
			{"slow:2s", `{"a":1}`, false},
			{"slow:2h", `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: id Error: Task timed out after 3.00 seconds"}`, true},
			{"crash", `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: id Error: Runtime exited with error: exit status 1"}`, true},
		} {
			r, err := p.Invoke(t.Context(), fakeJob(test.handler, test.handler, 3*time.Second))
			if err != nil || string(r.Payload) != test.want || r.Failed != test.failed {
				t.Errorf("%s: %s %v %v", test.handler, r.Payload, r.Failed, err)
			}
		}
		if _, err := p.Invoke(t.Context(), fakeJob("x", "unheard of", time.Second)); err == nil {
			t.Error("a handler that is not there ran")
		}
	})
}

func TestReportOfATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, w := fakePool(PoolOptions{})
		defer w.Stop()
		r, err := p.Invoke(t.Context(), fakeJob("f", "slow:1h", 3*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		want := "START RequestId: id Version: $LATEST\nEND RequestId: id\n" +
			"REPORT RequestId: id\tDuration: 3000.00 ms\tBilled Duration: 3001 ms\tMemory Size: 128 MB\tMax Memory Used: 32 MB\tInit Duration: 1.00 ms\tStatus: timeout\t\n"
		if string(r.Tail) != want {
			t.Errorf("%q\nwant %q", r.Tail, want)
		}
	})
}

func TestIdleEnvironmentsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{Idle: time.Minute})
		defer w.Stop()
		for range 3 {
			if _, err := p.Invoke(t.Context(), fakeJob("f", "echo", time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if n, _ := p.Running(); n != 1 || f.Started.Load() != 1 {
			t.Errorf("%d environments of %d started", n, f.Started.Load())
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n, _ := p.Running(); n != 0 || len(p.functions) != 0 {
			t.Errorf("%d environments, %d functions after a minute's rest", n, len(p.functions))
		}
	})
}

func TestRevisionsAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{})
		defer w.Stop()
		job := fakeJob("f", "echo", time.Second)
		spec := job.Spec
		job.Spec = func(ctx context.Context) (Spec, error) {
			s, err := spec(ctx)
			s.Expires = w.Now().Add(time.Minute)
			return s, err
		}
		invoke := func(revision string, want int64) {
			t.Helper()
			job.Revision = revision
			if _, err := p.Invoke(t.Context(), job); err != nil {
				t.Fatal(err)
			}
			if f.Started.Load() != want {
				t.Errorf("%d started, want %d", f.Started.Load(), want)
			}
		}
		invoke("1", 1)
		invoke("1", 1)
		invoke("2", 2)
		invoke("2", 2)
		time.Sleep(2 * time.Minute)
		invoke("2", 3)
		p.Drop("f")
		invoke("2", 4)
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{Max: 4, Starts: 2})
		defer w.Stop()
		var wg sync.WaitGroup
		var mu sync.Mutex
		throttled := 0
		for range 10 {
			wg.Go(func() {
				_, err := p.Invoke(t.Context(), fakeJob("f", "slow:1s", 3*time.Second))
				if errors.Is(err, Throttled{AccountLimit}) {
					mu.Lock()
					throttled++
					mu.Unlock()
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if throttled != 6 || f.Started.Load() != 4 {
			t.Errorf("%d throttled, %d started", throttled, f.Started.Load())
		}
		// An idle environment makes room for another function's.
		if _, err := p.Invoke(t.Context(), fakeJob("g", "echo", time.Second)); err != nil {
			t.Error(err)
		}
		job := fakeJob("f", "slow:1s", 3*time.Second)
		job.Limit = 1
		wg.Go(func() { p.Invoke(t.Context(), job) })
		synctest.Wait()
		if _, err := p.Invoke(t.Context(), job); err == nil || !strings.Contains(err.Error(), FunctionLimit) {
			t.Errorf("second of one: %v", err)
		}
		wg.Wait()
	})
}
