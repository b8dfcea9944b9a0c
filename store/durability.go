package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// durability knows up to which commit everything is on disk. Pebble's log is sequential, so when one
// commit is durable all earlier ones are.
type durability struct {
	at   atomic.Uint64 // the newest durable commit
	goal atomic.Uint64 // the newest commit somebody is making durable

	mu      sync.Mutex
	waiting atomic.Int32
	waiters []waiter
	failed  chan struct{}
}

type waiter struct {
	n    uint64
	done chan struct{}
}

func (d *durability) init() { d.failed = make(chan struct{}) }

func (d *durability) fail() { close(d.failed) }

// advance records that commit n, and so all before it, is durable.
func (d *durability) advance(n uint64) {
	raise(&d.at, n)
	if d.waiting.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.at.Load()
	keep := d.waiters[:0]
	for _, w := range d.waiters {
		if w.n <= at {
			close(w.done)
			d.waiting.Add(-1)
		} else {
			keep = append(keep, w)
		}
	}
	clear(d.waiters[len(keep):])
	d.waiters = keep
}

func raise(a *atomic.Uint64, n uint64) {
	for {
		old := a.Load()
		if old >= n || a.CompareAndSwap(old, n) {
			return
		}
	}
}

// enlist returns a channel closed when n is durable.
func (d *durability) enlist(n uint64) <-chan struct{} {
	w := waiter{n, make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting.Add(1)
	if d.at.Load() >= n { // after waiting was raised, so that advance sees us or we see it
		d.waiting.Add(-1)
		close(w.done)
		return w.done
	}
	d.waiters = append(d.waiters, w)
	return w.done
}

// await returns when commit n is durable.
func (db *DB) await(ctx context.Context, n uint64) error {
	d := &db.durable
	if d.at.Load() >= n {
		return nil
	}
	if d.goal.Load() < n {
		return db.barrier()
	}
	select {
	case <-d.enlist(n):
		return nil
	case <-d.failed:
		return db.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// barrier makes everything committed so far durable.
func (db *DB) barrier() error {
	if err := db.failure(); err != nil {
		return err
	}
	b := db.engine.batch()
	n := db.commits.last.Load()
	err := b.apply(true)
	raise(&db.durable.goal, n)
	return db.settle(b, n, err)
}

// settle waits for the sync of an applied batch.
func (db *DB) settle(b batch, n uint64, err error) error {
	if err == nil {
		err = b.wait()
		b.close()
	}
	if err != nil {
		return db.broke(err)
	}
	db.durable.advance(n)
	return nil
}

// broke ends the store, whose disk failed.
func (db *DB) broke(err error) error {
	db.fail(err)
	return db.failure()
}

// awaitReads returns when all that t read is durable, or in work ahead of the disk at once, noting it.
func (db *DB) awaitReads(ctx context.Context, t *txn) error {
	at := db.durable.at.Load()
	need := t.need
	if t.seen > at && need < t.seen {
		for _, s := range t.ranges {
			need = max(need, db.history.touched(s, at, t.seen))
		}
	}
	if need <= at {
		return nil
	}
	if e := db.early(ctx); e != nil {
		raise(&e.need, need)
		return nil
	}
	return db.await(ctx, need)
}

// soonDelay is how long a commit nobody waits for may stay in memory.
const soonDelay = 20 * time.Millisecond

// syncSoon makes commits of UpdateSoon durable a little later, unless some other commit did by then.
func (db *DB) syncSoon(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.life.done:
			return
		case <-db.soon:
		}
		n := db.commits.last.Load()
		db.world.Wait(ctx, db.life.done, soonDelay)
		if db.durable.at.Load() >= n || db.life.begin() != nil {
			continue
		}
		_ = db.barrier() // it has told Fatal
		db.life.finish()
	}
}
