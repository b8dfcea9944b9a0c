package store

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// heldUp is a disk whose log is not synced before the gate, once there is one, is closed.
func heldUp(gate *chan struct{}) vfs.FS {
	return errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if *gate != nil && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") {
			<-*gate
		}
		return nil
	}))
}

// TestEarlyRelease holds up the disk: the next writer of a row goes on, its readers wait, others do not.
func TestEarlyRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate chan struct{}
		fs := heldUp(&gate)
		w := world.Seeded(1)
		db, err := Open(Options{Dir: "/data", FS: fs, World: w})
		if err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx *Tx) { numbers.Put(tx, K("hot"), 0); numbers.Put(tx, K("cold"), 7) })
		synctest.Wait()
		gate = make(chan struct{})
		var done []string
		var mu sync.Mutex
		finish := func(what string, f func()) {
			go func() {
				f()
				mu.Lock()
				defer mu.Unlock()
				done = append(done, what)
			}()
		}
		for range 3 {
			finish("write", func() {
				update(t, db, func(tx *Tx) {
					n, _ := numbers.Get(tx, K("hot"))
					numbers.Put(tx, K("hot"), n+1)
				})
			})
			synctest.Wait()
		}
		last := db.commits.last.Load()
		finish("read cold", func() {
			view(t, db, func(tx *Tx) { numbers.Get(tx, K("cold")); numbers.Has(tx, K("none")) })
		})
		synctest.Wait()
		finish("read hot", func() {
			view(t, db, func(tx *Tx) {
				if n, _ := numbers.Get(tx, K("hot")); n != 3 {
					t.Errorf("read %d", n)
				}
			})
		})
		finish("scan", func() {
			view(t, db, func(tx *Tx) {
				for range numbers.All(tx, "") {
				}
			})
		})
		finish("refuse", func() {
			db.Update(someone, func(tx *Tx) error {
				numbers.Get(tx, K("hot"))
				return ErrTooLarge
			})
		})
		synctest.Wait()
		if len(done) != 1 || done[0] != "read cold" {
			t.Errorf("finished while nothing could be synced: %q", done)
		}
		if at := db.durable.at.Load(); last-at != 3 {
			t.Errorf("%d commits are visible and not durable, want 3", last-at)
		}
		close(gate)
		synctest.Wait()
		if len(done) != 7 {
			t.Errorf("finished in the end: %q", done)
		}

		// What UpdateSoon wrote is made durable by whoever reads it, or a little later by itself.
		before := w.Now()
		if err := db.UpdateSoon(someone, func(tx *Tx) error { numbers.Put(tx, K("soon"), 1); return nil }); err != nil {
			t.Fatal(err)
		}
		if db.durable.at.Load() == db.commits.last.Load() {
			t.Error("UpdateSoon waited for the disk")
		}
		view(t, db, func(tx *Tx) { numbers.Get(tx, K("soon")) })
		if db.durable.at.Load() != db.commits.last.Load() || w.Now() != before {
			t.Error("a reader did not see to the durability of what it read")
		}
		if err := db.UpdateSoon(someone, func(tx *Tx) error { numbers.Put(tx, K("soon"), 2); return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * soonDelay)
		synctest.Wait()
		if db.durable.at.Load() != db.commits.last.Load() {
			t.Error("UpdateSoon was not made durable")
		}
		w.Stop()
		db.Close()
	})
}

// TestEarlyWake holds up the disk: whoever watches is woken by a commit that can be seen, and what it then reads it
// gets when that is durable.
func TestEarlyWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate chan struct{}
		fs := heldUp(&gate)
		w := world.Seeded(1)
		db, err := Open(Options{Dir: "/data", FS: fs, World: w})
		if err != nil {
			t.Fatal(err)
		}
		watch := db.Watch("topic")
		changed := watch.Changed()
		gate = make(chan struct{})
		var seq *Seq
		told, read := make(chan struct{}), make(chan struct{})
		go func() {
			err := db.Update(someone, func(tx *Tx) error {
				seq = numbers.Add(tx, K("added"), 1)
				tx.Wake("topic")
				tx.AfterCommit(func() { close(told) })
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		<-changed
		<-told
		if !db.Told(seq.N) {
			t.Error("told, and does not say so")
		}
		go func() {
			err := db.View(someone, func(tx *Tx) error {
				for range numbers.All(tx, K("added")) {
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			close(read)
		}()
		synctest.Wait()
		select {
		case <-read:
			t.Error("a reader returned before the disk")
		default:
		}
		close(gate)
		<-read
		watch.Close()
		w.Stop()
		db.Close()
	})
}
