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

// booting is a Fake whose environments take their time to start.
type booting struct {
	*Fake
	takes time.Duration
}

func (b *booting) Start(ctx context.Context, s Spec) (Env, error) {
	b.World.Wait(ctx, nil, b.takes)
	return b.Fake.Start(ctx, s)
}

// TestFresh: as many environments begin at once as there are processors; those that take long make room for others,
// and one that falls idle serves who waits meanwhile.
func TestFresh(t *testing.T) {
	for _, test := range []struct {
		boot, took time.Duration
		started    int64
	}{
		// The second begins when the first is there, which serves the other three.
		{100 * time.Millisecond, 200*time.Millisecond + time.Millisecond, 2},
		// They begin after 0, 250 and 500 ms, and there is no room for a fourth until the first is there, which serves the fifth.
		{time.Second, 2*time.Second + time.Millisecond, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := world.Seeded(1)
			defer w.Stop()
			f := &booting{&Fake{World: w}, test.boot}
			p := NewPool(PoolOptions{World: w, Runner: f, Starts: 3, Fresh: 1})
			var wg sync.WaitGroup
			begin := w.Now()
			for range 5 {
				wg.Go(func() {
					if _, err := p.Invoke(t.Context(), fakeJob("f", "slow:1ms", 3*time.Second)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took := w.Now().Sub(begin); took != test.took || f.Started.Load() != test.started {
				t.Errorf("starts of %v: %v, %d started; want %v and %d", test.boot, took, f.Started.Load(), test.took, test.started)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{Max: 4, Starts: 2, Fresh: 2})
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

func TestSharesOfConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, w := fakePool(PoolOptions{})
		defer w.Stop()
		var mu sync.Mutex
		var wg sync.WaitGroup
		ran, refused := map[string]int{}, map[string]int{}
		call := func(n int, job *Job) {
			for range n {
				wg.Go(func() {
					_, err := p.Invoke(t.Context(), job)
					mu.Lock()
					defer mu.Unlock()
					if throttled, ok := errors.AsType[Throttled](err); ok {
						refused[job.Function+" "+throttled.Reason]++
					} else if err != nil {
						t.Error(err)
					} else {
						ran[job.Function]++
					}
				})
			}
		}
		of := func(name, scope string, limit int) *Job {
			j := fakeJob(name, "slow:1s", 3*time.Second)
			j.Scope, j.Shared, j.Limit = scope, 30, limit
			return j
		}
		call(100, of("a", "one", -1))
		call(100, of("b", "one", -1))
		synctest.Wait()
		call(200, of("kept", "one", 70)) // what is reserved is there although the rest is used up
		call(200, of("other", "two", -1))
		wg.Wait()
		if got := ran["a"] + ran["b"]; got != 30 || ran["kept"] != 70 || ran["other"] != 30 {
			t.Errorf("ran: %v", ran)
		}
		if refused["kept "+FunctionLimit] != 130 || refused["other "+AccountLimit] != 170 || refused["a "+AccountLimit]+refused["b "+AccountLimit] != 170 {
			t.Errorf("refused: %v", refused)
		}
		if len(p.scopes) != 0 || len(p.groups) != 0 {
			t.Errorf("counts left behind: %v, %v", p.scopes, p.groups)
		}
	})
}

func TestProvision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{Idle: time.Minute})
		defer w.Stop()
		job := fakeJob("f", "slow:1s", 3*time.Second)
		job.Shared = 2
		kinds := make(chan string, 100)
		f.Handlers = map[string]Handler{"f": func(_ context.Context, s Spec, in Invocation, _ func(string)) ([]byte, error) {
			kinds <- s.Initialization
			time.Sleep(time.Second)
			return in.Payload, nil
		}}
		until := time.Duration(0)
		spec := func(context.Context) (Spec, error) {
			s := Spec{Name: "f", Handler: "", Timeout: 3 * time.Second, MemoryMB: 128}
			if until > 0 {
				s.Expires = w.Now().Add(until)
			}
			return s, nil
		}
		job.Spec = spec
		expect := func(ready int, started int64) {
			t.Helper()
			synctest.Wait()
			if got := p.Provisioned("f"); got.Ready != ready || got.Fault != "" || f.Started.Load() != started {
				t.Fatalf("%+v of %d started, want %d of %d", got, f.Started.Load(), ready, started)
			}
		}
		p.Provision(Provision{Function: "f", Revision: "1", Count: 3, Spec: spec})
		expect(3, 3)
		time.Sleep(time.Hour) // they do not end from idleness
		expect(3, 3)
		var wg sync.WaitGroup
		throttled := 0
		for range 7 { // three run in what is provisioned, two in what the scope has left
			wg.Go(func() {
				if _, err := p.Invoke(t.Context(), job); errors.Is(err, Throttled{AccountLimit}) {
					throttled++
				} else if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if throttled != 2 {
			t.Errorf("%d throttled", throttled)
		}
		for i := range 5 {
			want := ""
			if i < 3 {
				want = ProvisionedConcurrency
			}
			if kind := <-kinds; kind != want {
				t.Errorf("invocation %d in an environment initialised %q, want %q", i, kind, want)
			}
		}
		expect(3, 5)
		p.Provision(Provision{Function: "f", Revision: "1", Count: 1, Spec: spec})
		expect(1, 5)
		until = time.Hour
		p.Provision(Provision{Function: "f", Revision: "2", Count: 2, Spec: spec})
		expect(2, 7)
		time.Sleep(time.Hour + time.Minute) // they are replaced before their credentials end
		expect(2, 9)
		p.Provision(Provision{Function: "f", Count: 0})
		expect(0, 9)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n, _ := p.Running(); n != 0 || len(p.functions) != 0 {
			t.Errorf("%d environments, %d functions left", n, len(p.functions))
		}
	})
}

func TestProvisionOfABrokenFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{})
		defer w.Stop()
		job := fakeJob("f", "broken", time.Second)
		p.Provision(Provision{Function: "f", Revision: "1", Count: 1, Spec: job.Spec})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got, tries := p.Provisioned("f"), f.Started.Load()
		if got.Ready != 0 || !strings.Contains(got.Fault, "Runtime.ExitError") {
			t.Errorf("%+v", got)
		}
		if tries < 10 || tries > 16 {
			t.Errorf("tried %d times in ten minutes", tries)
		}
		if n, _ := p.Running(); n != 0 {
			t.Errorf("%d environments", n)
		}
	})
}

// TestProvisionIsBounded: environments that are kept ready take no more room than there is, and have it when it is there.
func TestProvisionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, w := fakePool(PoolOptions{Max: 4, Idle: time.Minute})
		defer w.Stop()
		if _, err := p.Invoke(t.Context(), fakeJob("g", "echo", time.Second)); err != nil {
			t.Fatal(err)
		}
		p.Provision(Provision{Function: "f", Revision: "1", Count: 6, Spec: fakeJob("f", "echo", time.Second).Spec})
		synctest.Wait()
		if n, _ := p.Running(); n != 4 || p.Provisioned("f").Ready != 3 {
			t.Errorf("%d environments, %+v", n, p.Provisioned("f"))
		}
		time.Sleep(2 * time.Minute) // the other one has ended
		synctest.Wait()
		if n, _ := p.Running(); n != 4 || p.Provisioned("f").Ready != 4 || f.Started.Load() != 5 {
			t.Errorf("%d environments of %d started, %+v", n, f.Started.Load(), p.Provisioned("f"))
		}
	})
}

// TestProvisionWhileClosing: an environment that is ready only after the pool was closed is closed too.
func TestProvisionWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, w := fakePool(PoolOptions{})
		defer w.Stop()
		leave := make(chan struct{})
		p.Provision(Provision{Function: "f", Revision: "1", Count: 1, Spec: func(ctx context.Context) (Spec, error) {
			<-leave
			return fakeJob("f", "echo", time.Second).Spec(ctx)
		}})
		synctest.Wait()
		p.Close()
		close(leave)
		synctest.Wait()
		if n, _ := p.Running(); n != 0 {
			t.Errorf("%d environments after the end", n)
		}
	})
}
