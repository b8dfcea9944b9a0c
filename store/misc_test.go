package store

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/aws"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var rewrite = flag.Bool("update", false, "write the golden files")

// TestRecords pins the bytes of everything stored: keys and values.
func TestRecords(t *testing.T) {
	l := inMemory(t)
	at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	update(t, l.db, func(tx *Tx) {
		orders.Put(tx, K("a\x00b", -5, true, at), order{"x", 1})
		texts.Put(tx, K([]byte{0xff}, uint64(1)<<63), "text")
		owned.Put(tx, K("k"), "v")
		shared.Put(tx, K("k"), "v")
		texts.Add(tx, K("added"), "v")
		changes.Append(tx, K("part", 1), "entry")
		alarms.Set(tx, K("id"), at, "ring")
	})
	update(t, l.db, func(tx *Tx) { changes.Append(tx, K("part", 1), "2"); changes.Trim(tx, K("part", 1), 1) })
	var b strings.Builder
	s := l.db.engine.snapshot()
	defer s.close()
	c, err := s.scan(nil, []byte{0xff}, false)
	if err != nil {
		t.Fatal(err)
	}
	for ; c.valid(); c.next() {
		v, _ := c.value()
		fmt.Fprintf(&b, "%q\n\t%s %q\n", c.key(), hex.EncodeToString(v), v)
	}
	c.close()
	if *rewrite {
		if err := os.WriteFile("testdata/records.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/records.golden")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("stored records changed:\n%s", b.String())
	}
}

// TestVersion: a record of a later version is refused, not misread.
func TestVersion(t *testing.T) {
	db := memory(t)
	update(t, db, func(tx *Tx) {
		key, table := texts.space.place(tx, K("k"))
		tx.t.put(write{value: []byte{recordVersion + 1, 'x'}, table: int32(table)}, key)
	})
	err := db.View(someone, func(tx *Tx) error { texts.Get(tx, K("k")); return nil })
	if err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v", err)
	}
}

// TestTimers: timers fire once at their moment, in the setter's tenant, across restarts; failing ones again.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		start := time.Now()
		var mu sync.Mutex
		var fired []string
		failures := 0
		for life := range 3 {
			w := world.Seeded(uint64(life))
			db, err := Open(Options{Dir: "/data", FS: fs, World: w})
			if err != nil {
				t.Fatal(err)
			}
			alarms.Run(db, func(ctx context.Context, id Key, v string) error {
				mu.Lock()
				defer mu.Unlock()
				if v == "fails" && failures < 3 {
					failures++
					return errors.New("not yet")
				}
				fired = append(fired, fmt.Sprint(aws.CallFrom(ctx).Account, " ", v, " ", time.Since(start).Round(time.Second)))
				if v == "again" && len(fired) < 10 {
					return db.Update(ctx, func(tx *Tx) error { alarms.Set(tx, id, w.Now().Add(time.Minute), "last"); return nil })
				}
				return nil
			})
			if life == 0 {
				update(t, db, func(tx *Tx) {
					alarms.Set(tx, K("a"), start.Add(90*time.Second), "late")
					alarms.Set(tx, K("b"), start.Add(time.Second), "early")
					alarms.Set(tx.In("222222222222", "us-east-1"), K("b"), start.Add(2*time.Second), "other")
					alarms.Set(tx, K("c"), start.Add(3*time.Second), "cancelled")
					alarms.Set(tx, K("d"), start.Add(time.Hour), "moved")
					alarms.Set(tx, K("e"), start.Add(5*time.Second), "fails")
					alarms.Set(tx, K("f"), start.Add(6*time.Second), "again")
				})
				update(t, db, func(tx *Tx) {
					alarms.Cancel(tx, K("c"))
					alarms.Set(tx, K("d"), start.Add(4*time.Second), "moved")
				})
			}
			time.Sleep(time.Minute)
			w.Stop()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"111111111111 early 1s", "222222222222 other 2s", "111111111111 moved 4s",
			"111111111111 again 6s", "111111111111 fails 12s", "111111111111 last 1m6s", "111111111111 late 1m30s"}
		if !slices.Equal(fired, want) {
			t.Errorf("fired\n%q, want\n%q", fired, want)
		}
	})
}

// TestManyTimers: thousands due at once all fire, some at a time, and a slow one holds up nobody else.
func TestManyTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world.Seeded(1)
		db := Memory(w)
		var fired, atOnce, most atomic.Int64
		alarms.Run(db, func(ctx context.Context, id Key, v string) error {
			most.Store(max(most.Load(), atOnce.Add(1)))
			defer atOnce.Add(-1)
			if v == "slow" {
				w.Wait(ctx, nil, time.Hour)
			} else {
				w.Wait(ctx, nil, time.Millisecond)
			}
			fired.Add(1)
			return nil
		})
		update(t, db, func(tx *Tx) {
			for i := range 3000 {
				v := ""
				if i < 10 {
					v = "slow"
				}
				alarms.Set(tx, K(i), w.Now().Add(time.Second), v)
			}
		})
		time.Sleep(time.Minute)
		if n := fired.Load(); n != 2990 {
			t.Errorf("%d fired, want all but the slow ones", n)
		}
		if n := most.Load(); n > timerRoom || n < timerRoom/2 {
			t.Errorf("%d at once", n)
		}
		w.Travel(2 * time.Hour)
		time.Sleep(time.Second)
		if n := fired.Load(); n != 3000 {
			t.Errorf("%d fired in the end", n)
		}
		w.Stop()
		db.Close()
	})
}

// TestWatch: whoever takes Changed before it looks misses nothing.
func TestWatch(t *testing.T) {
	db := memory(t)
	const rounds = 300
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			w := db.Watch("topic")
			defer w.Close()
			for {
				changed := w.Changed()
				n := 0
				view(t, db, func(tx *Tx) { n, _ = numbers.Get(tx, K("n")) })
				if n == rounds {
					return
				}
				select {
				case <-changed:
				case <-time.After(10 * time.Second):
					t.Errorf("stuck at %d", n)
					return
				}
			}
		})
	}
	for i := 1; i <= rounds; i++ {
		update(t, db, func(tx *Tx) { numbers.Put(tx, K("n"), i); tx.Wake("topic"); tx.Wake("other") })
	}
	group.Wait()
	if n := len(db.watches.topics); n != 0 {
		t.Errorf("%d topics are left", n)
	}
}

// TestNotify: a call comes for a wake since the last look, once, and not after it was undone.
func TestNotify(t *testing.T) {
	db := memory(t)
	w := db.Watch("topic")
	calls := 0
	since := w.Changed()
	w.Notify(since, func() { calls++ })
	for range 2 {
		update(t, db, func(tx *Tx) { numbers.Put(tx, K("n"), 1); tx.Wake("topic") })
	}
	if calls != 1 {
		t.Errorf("%d calls for two wakes", calls)
	}
	w.Notify(since, func() { calls++ })
	if calls != 2 {
		t.Error("no call for a wake before")
	}
	undo := w.Notify(w.Changed(), func() { calls++ })
	undo()
	update(t, db, func(tx *Tx) { numbers.Put(tx, K("n"), 1); tx.Wake("topic") })
	if calls != 2 {
		t.Error("a call after it was undone")
	}
	w.Notify(w.Changed(), func() { calls++ })
	w.Close()
	update(t, db, func(tx *Tx) { numbers.Put(tx, K("n"), 1); tx.Wake("topic") })
	if calls != 2 {
		t.Error("a call after the watch was closed")
	}
}

// TestAfterCommit: the calls come in the order of the commits, and only after the commit.
func TestAfterCommit(t *testing.T) {
	db := memory(t)
	var got []int
	crowd(t, 8, func(who int) error {
		for range 50 {
			err := db.Update(someone, func(tx *Tx) error {
				n, _ := numbers.Get(tx, K("n"))
				numbers.Put(tx, K("n"), n+1)
				tx.AfterCommit(func() { got = append(got, n) })
				return nil
			})
			if err != nil {
				return err
			}
		}
		err := db.Update(someone, func(tx *Tx) error {
			tx.AfterCommit(func() { t.Error("called although the body failed") })
			return errors.ErrUnsupported
		})
		if err != errors.ErrUnsupported {
			return fmt.Errorf("the body's error became %v", err)
		}
		return nil
	})
	if len(got) != 400 || !slices.IsSorted(got) {
		t.Errorf("%d calls, or out of order", len(got))
	}
}

// TestStubborn: a transaction whose reads always change meanwhile commits in the end.
func TestStubborn(t *testing.T) {
	db := memory(t)
	runs := 0
	update(t, db, func(tx *Tx) {
		n, _ := numbers.Get(tx, K("n"))
		if runs++; runs <= optimistic {
			update(t, db, func(tx *Tx) { numbers.Put(tx, K("n"), n+100) })
		}
		numbers.Put(tx, K("n"), n+1)
	})
	view(t, db, func(tx *Tx) {
		if n, _ := numbers.Get(tx, K("n")); n != optimistic*100+1 {
			t.Errorf("%d after %d runs", n, runs)
		}
	})
}

// TestCacheBound: derived values of many rows stay within their bound.
func TestCacheBound(t *testing.T) {
	db := memory(t)
	for i := range 60 {
		update(t, db, func(tx *Tx) {
			for j := range 10 {
				orders.Put(tx, K(i, j), order{strings.Repeat("x", 50_000), i})
			}
		})
		view(t, db, func(tx *Tx) {
			for j := range 10 {
				if name, ok, err := orderName.Get(tx, K(i, j)); !ok || err != nil || len(name) != 50_005 {
					t.Fatal("wrong value")
				}
			}
		})
	}
	total := 0
	for i := range db.derived.shards {
		total += db.derived.shards[i].cost
	}
	if total > cacheBytes || total < cacheBytes/4 {
		t.Errorf("the cache holds %d bytes of %d", total, cacheBytes)
	}
}

// TestLargeDerivation: a value derived from megabytes of rows is kept, and dropped when a row changes.
func TestLargeDerivation(t *testing.T) {
	db := memory(t)
	update(t, db, func(tx *Tx) {
		for j := range 100 {
			orders.Put(tx, K("large", j), order{strings.Repeat("x", 50_000), j})
		}
	})
	count := func() (n, runs int) {
		view(t, db, func(tx *Tx) {
			before := largeRuns.Load()
			got, err := largeCount.Get(tx, K("large"))
			if err != nil {
				t.Fatal(err)
			}
			n, runs = got, int(largeRuns.Load()-before)
		})
		return n, runs
	}
	for i, want := range []struct{ n, runs int }{{100, 1}, {100, 0}, {100, 0}} {
		if n, runs := count(); n != want.n || runs != want.runs {
			t.Errorf("look %d: %d rows after %d runs, want %v", i, n, runs, want)
		}
	}
	update(t, db, func(tx *Tx) { orders.Put(tx, K("large", 100), order{"y", 100}) })
	if n, runs := count(); n != 101 || runs != 1 {
		t.Errorf("after a change: %d rows after %d runs", n, runs)
	}
}

var (
	largeRuns  atomic.Int64
	largeCount = DeriveAll(orders, func(_ Key, rows iter.Seq2[Key, order]) (n int, err error) {
		largeRuns.Add(1)
		for range rows {
			n++
		}
		return n, nil
	})
)

func TestViewCannotChange(t *testing.T) {
	db := memory(t)
	defer func() {
		if recover() == nil {
			t.Error("a View changed something")
		}
	}()
	db.View(someone, func(tx *Tx) error { texts.Put(tx, K("k"), "v"); return nil })
}

// TestPanicInBody: a panic passes through and leaves everything usable.
func TestPanicInBody(t *testing.T) {
	db := memory(t)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic changed on its way")
			}
		}()
		db.Update(someone, func(tx *Tx) error {
			texts.Put(tx, K("k"), "v")
			for range texts.All(tx, "") {
				panic("boom")
			}
			return nil
		}, "lock")
	}()
	if err := db.Update(someone, func(tx *Tx) error {
		if texts.Has(tx, K("k")) {
			t.Error("half a transaction was kept")
		}
		return nil
	}, "lock"); err != nil {
		t.Fatal(err)
	}
}
