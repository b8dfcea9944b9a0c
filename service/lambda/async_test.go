package lambda_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/compute"
)

// crowd counts invocations, each of which takes ten seconds.
type crowd struct {
	mu              sync.Mutex
	now, most, done int
}

func (c *crowd) invoke(context.Context, compute.Spec, compute.Invocation, func(string)) ([]byte, error) {
	c.add(1)
	time.Sleep(10 * time.Second)
	c.add(-1)
	return []byte("null"), nil
}

func (c *crowd) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now += n; n < 0 {
		c.done++
	}
	c.most = max(c.most, c.now)
}

// take returns what was counted, and begins anew.
func (c *crowd) take() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := fmt.Sprintf("%d done, %d at once", c.done, c.most)
	c.most, c.done = c.now, 0
	return got
}

// TestAsyncConcurrency: asynchronous events are in work as the concurrency of their function allows.
func TestAsyncConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		var c crowd
		s.fake.Handlers["crowd"] = c.invoke
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"crowd","Timeout":60}`)
		send := func(n int) {
			for range n {
				s.do("lambda Invoke", `{"FunctionName":"f","InvocationType":"Event"}`)
			}
		}
		send(200)
		time.Sleep(15 * time.Second)
		if got := c.take(); got != "200 done, 200 at once" {
			t.Error("200 events:", got)
		}
		send(1200)
		time.Sleep(25 * time.Second)
		if got := c.take(); got != "1200 done, 1000 at once" {
			t.Error("1,200 events:", got)
		}
		s.do("lambda PutFunctionConcurrency", `{"FunctionName":"f","ReservedConcurrentExecutions":3}`)
		send(200)
		time.Sleep(670 * time.Second)
		if got := c.take(); got != "200 done, 3 at once" {
			t.Error("with three reserved:", got)
		}
	})
}
