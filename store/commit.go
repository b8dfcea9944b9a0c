package store

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// errStale says that the body must run again.
var errStale = errors.New("store: what was read changed meanwhile")

// committer numbers commits and lets one at a time become visible.
type committer struct {
	begun atomic.Uint64 // the newest commit whose marks are in history
	last  atomic.Uint64 // the newest commit that is visible

	mu       sync.Mutex
	reserved uint64            // numbers up to here are spent after a restart
	counters map[string]uint64 // the last number of each log part lately appended to
}

const (
	reserveStep  = 1 << 20
	counterLimit = 1 << 16
	stampBits    = 16
	optimistic   = 4 // runs of a body before it gets the store for itself
)

// addition is a row whose key ends in a number known at the commit.
type addition struct {
	prefix string // of the key, up to the number
	table  int32
	log    bool // numbered per prefix without gaps, else by stamp
	roots  roots
	value  []byte
	seq    *Seq
}

// addedRow is an addition with its whole key.
type addedRow struct {
	key   string
	table int32
}

// Seq is a number handed out at the commit: N is valid when Update has returned nil, and in AfterCommit.
type Seq struct{ N uint64 }

// Update runs fn and makes its changes durable, all or none, as though transactions ran one after
// another: what fn read has not changed when its writes take effect. fn may run several times, so it
// touches nothing but tx, and variables it sets anew each time. When Update returns nil the changes are on disk,
// except in work that goes ahead of the disk (Early), where they are visible.
//
// locks are names of things many transactions change at once, such as one counter: transactions naming a
// common lock run one after another, instead of discovering at the commit that they were in each other's
// way. The lock is released before the wait for the disk. They are never needed for correctness.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error, locks ...string) error {
	return db.update(ctx, fn, updating{sync: db.early(ctx) == nil, locks: locks})
}

// UpdateSoon is Update without the wait for the disk: the changes are visible at once and durable a few
// hundredths of a second later. A power cut in between loses them, but never them alone: what was committed
// later is lost, too, and whoever reads them waits until they are durable. It is for work that may be
// done twice, such as noting that a delivery was made.
func (db *DB) UpdateSoon(ctx context.Context, fn func(*Tx) error, locks ...string) error {
	return db.update(ctx, fn, updating{locks: locks})
}

// updating says how to update.
type updating struct {
	sync  bool // wait for the disk
	locks []string
	joint bool // the body may call what commits by itself, so it cannot have the store for itself
}

func (db *DB) update(ctx context.Context, fn func(*Tx) error, how updating) error {
	e := db.early(ctx)
	if e != nil && e.within != nil {
		return e.within.part(ctx, fn)
	}
	if err := db.life.begin(); err != nil {
		return err
	}
	defer db.life.finish()
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if how.joint && attempt == optimistic {
			return ErrContended
		}
		c, err := db.attempt(ctx, fn, how, attempt >= optimistic)
		if errors.Is(err, errStale) {
			continue
		}
		if e != nil {
			raise(&e.need, c.n)
		}
		if !c.wrote {
			if e != nil {
				return err
			}
			if werr := db.await(ctx, c.n); werr != nil {
				return werr
			}
			return err
		}
		if err != nil {
			return db.broke(err)
		}
		db.post.run(db)
		if !how.sync {
			db.wakeSyncer()
			return nil
		}
		// What the commit set off runs first, and others who are about to commit: one sync is then for all of them.
		runtime.Gosched()
		return db.await(context.Background(), c.n) // it happened, whoever still wants to know
	}
}

func (db *DB) wakeSyncer() {
	select {
	case db.soon <- struct{}{}:
	default:
	}
}

// committed is the commit whose durability the answer depends on: the transaction's own if it wrote anything.
type committed struct {
	n     uint64
	wrote bool
}

// attempt runs the body once and applies its writes, holding the named locks. When alone, nobody else
// can commit during the run, so it cannot fail to validate.
func (db *DB) attempt(ctx context.Context, fn func(*Tx) error, how updating, alone bool) (c committed, err error) {
	defer catch(&err)
	defer db.locks.lock(how.locks)()
	if alone {
		db.commits.mu.Lock()
		defer db.commits.mu.Unlock()
	}
	t := db.newTxn(ctx, true)
	defer t.end()
	if err := t.run(fn); err != nil {
		if errors.Is(err, errStale) {
			return committed{}, err
		}
		return t.nothing(), err
	}
	if t.empty() {
		return t.nothing(), nil
	}
	if err := db.room(t.size); err != nil {
		return committed{}, err
	}
	b := db.engine.batch()
	t.fill(b)
	if !alone {
		db.commits.mu.Lock()
		defer db.commits.mu.Unlock()
	}
	n, err := db.apply(t, b)
	b.close()
	return committed{n, n != 0}, err
}

// nothing is the outcome of a transaction that only read. Ranges are looked up here, so that the wait
// is no longer than it must be.
func (t *txn) nothing() committed {
	at := t.db.durable.at.Load()
	for _, s := range t.ranges {
		if t.need < t.seen && t.seen > at {
			t.need = max(t.need, t.db.history.touched(s, at, t.seen))
		}
	}
	return committed{n: t.need}
}

func (t *txn) empty() bool {
	return len(t.writes)+len(t.added)+len(t.dropped)+len(t.wakes)+len(t.after) == 0
}

// fill puts all that is known before the commit into the batch.
func (t *txn) fill(b batch) {
	for _, s := range t.dropped {
		b.deleteRange(s.low, s.high)
	}
	for i := range t.writes {
		w := &t.writes[i]
		switch {
		case w.deleted:
			b.delete(w.key)
		case w.sum:
			b.merge(w.key, w.value)
		default:
			b.set(w.key, w.value)
		}
	}
}

// valid reports whether what t read is still so.
func (db *DB) valid(t *txn) bool {
	for _, stripe := range t.reads {
		if db.history.version(stripe) > t.start {
			return false
		}
	}
	last := db.commits.last.Load()
	for _, s := range t.ranges {
		if db.history.touched(s, t.start, last) != 0 {
			return false
		}
	}
	return true
}

// apply validates t, numbers it and makes it visible. Called with commits.mu held: this is the one place
// where commits take turns, so it does nothing that waits for the disk. n is 0 when nothing was applied.
func (db *DB) apply(t *txn, b batch) (n uint64, err error) {
	if err := db.failure(); err != nil {
		return 0, err
	}
	if !db.valid(t) {
		return 0, errStale
	}
	n = db.commits.last.Load() + 1
	rows := db.number(t, b, n)
	if n > db.commits.reserved {
		db.commits.reserved = n + reserveStep
		b.set(string(reservedKey), binary.BigEndian.AppendUint64(nil, db.commits.reserved))
	}
	db.mark(t, rows, n)
	consequences := len(t.wakes)+len(t.after) > 0
	if consequences {
		db.post.pending.Add(1)
	}
	db.commits.begun.Store(n)
	err = b.apply(false)
	db.commits.last.Store(n)
	if consequences {
		db.post.add(n, t.wakes, t.after)
	}
	return n, err
}

// number gives additions their numbers and puts them into the batch.
func (db *DB) number(t *txn, b batch, n uint64) []addedRow {
	if len(db.commits.counters) >= counterLimit {
		clear(db.commits.counters)
	}
	for _, part := range t.counters {
		db.commits.counters[part] = 0
	}
	if len(t.added) == 0 {
		return nil
	}
	rows := make([]addedRow, len(t.added))
	key := make([]byte, 0, 256)
	for i := range t.added {
		a := &t.added[i]
		key = append(key[:0], a.prefix...)
		if a.log {
			a.seq.N = db.nextInLog(a.prefix)
			key = binary.BigEndian.AppendUint64(key, a.seq.N)
		} else {
			a.seq.N = n<<stampBits | uint64(i)
			key = appendUint(key, a.seq.N)
		}
		rows[i] = addedRow{string(key), a.table}
		b.set(rows[i].key, a.value)
	}
	return rows
}

// mark records in history what commit n is about to write.
func (db *DB) mark(t *txn, rows []addedRow, n uint64) {
	h := &db.history
	h.push(n, func(w *written) { w.note(t, rows) })
	for i := range t.writes {
		h.markRow(t.writes[i].key, int(t.writes[i].table), t.writes[i].roots, n)
	}
	for i := range rows {
		h.markRow(rows[i].key, int(rows[i].table), t.added[i].roots, n)
	}
}

func (h *history) markRow(key string, table int, r roots, n uint64) {
	hash := maphash.String(h.seed, key)
	h.mark(uint32(hash%stripeCount), n)
	if r.rows {
		h.mark(derivedStripe(hash), n)
	}
	if r.prefixes {
		h.markPrefixes(key, table, n)
	}
}

// markPrefixes marks every key that is a prefix of key in its table, the empty one included.
func (h *history) markPrefixes(key string, table int, n uint64) {
	for at := table; ; {
		h.mark(prefixStripe(maphash.String(h.seed, key[:at])), n)
		size := partLen(key[at:])
		if size <= 0 {
			return
		}
		at += size
	}
}

// lockTable holds the named locks, many names to a lock.
type lockTable [1024]sync.Mutex

// lock takes the locks in one order for all, so that nobody waits in a circle.
func (l *lockTable) lock(names []string) (unlock func()) {
	switch len(names) {
	case 0:
		return func() {}
	case 1:
		m := &l[maphash.String(lockSeed, names[0])%uint64(len(l))]
		m.Lock()
		return m.Unlock
	}
	places := make([]int, len(names))
	for i, name := range names {
		places[i] = int(maphash.String(lockSeed, name) % uint64(len(l)))
	}
	slices.Sort(places)
	places = slices.Compact(places)
	for _, p := range places {
		l[p].Lock()
	}
	return func() {
		for _, p := range places {
			l[p].Unlock()
		}
	}
}

var lockSeed = maphash.MakeSeed()

// Told reports whether the AfterCommit calls of the transaction that was given the stamp by Table.Add have
// been made, which is soon after its rows can be seen.
func (db *DB) Told(stamp uint64) bool { return stamp>>stampBits <= db.post.ran.Load() }

// Told reports whether the AfterCommit calls of all transactions that tx can see have been made.
func (tx *Tx) Told() bool {
	post := &tx.t.db.post
	return post.pending.Load() == 0 || post.ran.Load() >= max(tx.t.start, tx.t.seen)
}

// aftermath holds what is to happen when commits have become visible.
type aftermath struct {
	pending atomic.Int32  // commits whose consequences are still to come, from before they can be seen
	ran     atomic.Uint64 // every consequence of commits up to this one has been carried out
	mu      sync.Mutex
	queue   []consequence
	running bool
}

type consequence struct {
	n     uint64
	wakes []string
	after []func()
}

// add is called in the order of commits.
func (a *aftermath) add(n uint64, wakes []string, after []func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, consequence{n, wakes, after})
}

// run carries out the consequences of commits. One goroutine does so at a time; others leave their part to it.
func (a *aftermath) run(db *DB) {
	for a.pending.Load() > 0 {
		a.mu.Lock()
		if a.running || len(a.queue) == 0 {
			a.mu.Unlock()
			return
		}
		batch := a.queue
		a.queue = nil
		a.running = true
		a.mu.Unlock()
		for _, c := range batch {
			for _, topic := range c.wakes {
				db.watches.wake(topic)
			}
			for _, f := range c.after {
				f()
			}
			a.ran.Store(c.n)
		}
		a.mu.Lock()
		a.running = false
		a.pending.Add(-int32(len(batch)))
		a.mu.Unlock()
	}
}
