package scheduler

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"fogbank/api/sqs"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

var (
	minute  = flag.Int("minute", 0, "how many one-time schedules, spread over a minute, TestMinute waits for; the figure is of 100,000")
	waiting = flag.Int("waiting", 0, "how many schedules TestWaiting makes, none of them due; the figure is of 1,000,000")
)

// makeDue makes n one-time schedules on disk, the i-th due at due(i).
func makeDue(t *testing.T, db *store.DB, n int, due func(i int) time.Time) {
	ctx := aws.WithCall(t.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1"})
	for i := 0; i < n; i += 500 {
		err := db.Update(ctx, func(tx *store.Tx) error {
			for j := i; j < min(i+500, n); j++ {
				r := record{Group: defaultGroup, Name: fmt.Sprintf("s-%07d", j), Expression: "at(" + due(j).Format("2006-01-02T15:04:05") + ")", Next: due(j), Created: due(0),
					DeleteAfter: true, Target: target{ARN: "arn:aws:sqs:us-east-1:000000000000:q", Role: "arn:aws:iam::000000000000:role/r",
						Input: "<aws.scheduler.scheduled-time>", Attempts: 1, Age: 60}}
				r.put(tx)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// onDisk opens a store in a directory of the test's.
func onDisk(t *testing.T) (*world.World, *store.DB) {
	w := world.New()
	db, err := store.Open(store.Options{Dir: t.TempDir(), World: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, db
}

// TestMinute measures how late schedules are that are due, evenly spread, within one minute: go test ./service/scheduler -run TestMinute -minute 100000 -v.
func TestMinute(t *testing.T) {
	if *minute == 0 {
		t.Skip("it takes more than a minute of the clock: -minute 100000")
	}
	w, db := onDisk(t)
	var mu sync.Mutex
	var late []time.Duration
	done := make(chan struct{})
	start := w.Now().Truncate(time.Second).Add(time.Duration(*minute/5000+5) * time.Second)
	due := func(i int) time.Time { return start.Add(time.Duration(i*60 / *minute) * time.Second) }
	far := func(_ context.Context, op *wire.Operation, in any) (any, error) {
		if op.Name == "AssumeRole" {
			return &sts.AssumeRoleOutput{Credentials: &sts.Credentials{}, AssumedRoleUser: &sts.AssumedRoleUser{}}, nil
		}
		at, err := time.Parse(time.RFC3339, in.(*sqs.SendMessageInput).MessageBody)
		mu.Lock()
		defer mu.Unlock()
		if late = append(late, w.Now().Sub(at)); len(late) == *minute {
			close(done)
		}
		return &sqs.SendMessageOutput{}, err
	}
	s := New(db, w, Options{Service: far, Role: far})
	makeDue(t, db, *minute, due)
	if w.Now().After(start) {
		t.Fatalf("making the schedules took too long")
	}
	s.Start()
	<-done
	slices.Sort(late)
	n := len(late)
	t.Logf("%d schedules within a minute: lateness p50 %s, p99 %s, most %s", n, late[n/2], late[n*99/100], late[n-1])
}

// TestWaiting measures what schedules cost that are not due: go test ./service/scheduler -run TestWaiting -waiting 1000000 -v.
func TestWaiting(t *testing.T) {
	if *waiting == 0 {
		t.Skip("it writes hundreds of megabytes: -waiting 1000000")
	}
	w, db := onDisk(t)
	s := New(db, w, Options{Service: nil, Role: nil})
	before := heap()
	makeDue(t, db, *waiting, func(i int) time.Time {
		return w.Now().Truncate(time.Second).Add(24*time.Hour + time.Duration(i)*time.Second)
	})
	s.Start()
	grown := heap() - before
	time.Sleep(20 * time.Second) // the store puts in order what was written
	used := cpu()
	time.Sleep(10 * time.Second)
	t.Logf("%d schedules wait: %d MB of heap more, %s of processor time in 10 s", *waiting, grown>>20, cpu()-used)
}

// heap is how many bytes are in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// cpu is the processor time the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
