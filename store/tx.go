package store

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"fogbank/aws"
	"fogbank/world"
)

// Tx is a transaction as one tenant sees it. It is for the goroutine that runs the body, while it runs.
type Tx struct {
	t               *txn
	account, region string
}

// In returns the same transaction, seen as another tenant.
func (tx *Tx) In(account, region string) *Tx {
	if strings.IndexByte(account, 0) >= 0 || strings.IndexByte(region, 0) >= 0 {
		panic("store: an account or region cannot hold a zero byte")
	}
	return &Tx{tx.t, account, region}
}

// Account returns the account whose rows the transaction sees.
func (tx *Tx) Account() string { return tx.account }

// Region returns the region whose rows the transaction sees.
func (tx *Tx) Region() string { return tx.region }

// Wake wakes those who watch topic, once the commit can be seen. It need not be durable yet; a View or an Update of
// theirs returns only when what it read is.
func (tx *Tx) Wake(topic string) {
	tx.t.changing()
	if !slices.Contains(tx.t.wakes, topic) {
		tx.t.wakes = append(tx.t.wakes, topic)
	}
}

// AfterCommit calls f once the commit can be seen, or never if there is none. The calls of all transactions are
// made in the order of their commits, one at a time, so f must be short and must not wait. The commit may not
// be durable yet: what f begins is to go on in a context of DB.Early.
func (tx *Tx) AfterCommit(f func()) {
	tx.t.changing()
	tx.t.after = append(tx.t.after, f)
}

// txn is one run of a transaction's body: a snapshot to read from, what was read, what is to be written.
// They are reused, and with them their buffers: nothing may keep a part of one beyond end.
type txn struct {
	db     *DB
	root   Tx
	update bool
	lazy   bool // the snapshot is taken at the first read
	snap   snapshot
	start  uint64 // the snapshot holds every commit up to this one, and
	seen   uint64 // none after this one
	need   uint64 // the newest commit that must be durable before anything read may be told
	reads  []uint32
	ranges []span // what was scanned

	writes   []write
	index    map[string]int // of writes, once there are many
	dropped  []span         // ranges deleted, before the writes
	counters []string       // log parts dropped
	added    []addition
	wakes    []string
	after    []func()
	size     int
	changes  int    // so many were asked for
	key      []byte // scratch
	values   []byte // scratch, where encoded values lie
}

var txns = sync.Pool{New: func() any { return &txn{key: make([]byte, 0, 256)} }}

// keptRows and keptBytes are how large the buffers of a txn may be to be kept for the next.
const (
	keptRows  = 256
	keptBytes = 64 << 10
)

// end lets go of the snapshot and gives the buffers to the next transaction.
func (t *txn) end() {
	t.close()
	if cap(t.writes) > keptRows || cap(t.reads) > 4*keptRows || cap(t.added) > keptRows {
		return
	}
	if cap(t.values) > keptBytes {
		t.values = nil
	}
	clear(t.writes)
	clear(t.added)
	*t = txn{writes: t.writes[:0], reads: t.reads[:0], added: t.added[:0], key: t.key[:0], values: t.values[:0]}
	txns.Put(t)
}

// write is a row to set or delete. The first table bytes of the key say which table of whom it is in.
type write struct {
	key     string
	value   []byte
	table   int32
	deleted bool
	sum     bool // value is to be added to the number that is there
	roots   roots
}

// failure carries an error out of a body, to be the result of View or Update.
type failure struct{ err error }

func fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (db *DB) newTxn(ctx context.Context, update bool) *txn {
	t := txns.Get().(*txn)
	t.db, t.update, t.start = db, update, db.commits.last.Load()
	t.root.t = t
	if c, ok := aws.LookupCall(ctx); ok {
		t.root.account, t.root.region = c.Account, c.Region
	}
	return t
}

// run calls fn, turning a failure into the error it carries.
func (t *txn) run(fn func(*Tx) error) (err error) {
	defer catch(&err)
	return fn(&t.root)
}

// catch, deferred, turns a failure into err; other panics go on.
func catch(err *error) {
	r := recover()
	if r == nil {
		return
	}
	f, ok := r.(failure)
	if !ok {
		panic(r)
	}
	*err = f.err
}

// open takes the snapshot at the first read. Values derived before must not have changed since the
// transaction began; if they have, the body runs again.
func (t *txn) open() {
	if t.snap != nil {
		return
	}
	began := t.start
	t.start = t.db.commits.last.Load()
	t.snap = t.db.engine.snapshot()
	t.seen = t.db.commits.begun.Load()
	// Even when last has not moved: a commit becomes visible in snapshots a moment before it counts there.
	for _, stripe := range t.reads {
		if t.db.history.version(stripe) > began {
			panic(failure{errStale})
		}
	}
}

func (t *txn) close() {
	if t.snap != nil {
		if err := t.snap.close(); err != nil {
			t.db.log.Error("close a snapshot", "error", err)
		}
		t.snap = nil
	}
}

// changing panics unless the transaction may write.
func (t *txn) changing() {
	if !t.update {
		panic("store: a View cannot change anything; use Update")
	}
	t.changes++
}

// noteRead remembers that the transaction depends on the stripe as of its start.
func (t *txn) noteRead(stripe uint32) {
	v := t.db.history.version(stripe)
	t.need = max(t.need, min(v, max(t.seen, t.start)))
	if t.update || t.lazy {
		t.reads = append(t.reads, stripe)
	}
}

// get calls with with the value of key if it is present.
func (t *txn) get(key []byte, with func([]byte)) bool {
	if t.update {
		if w := t.find(key); w != nil && w.sum {
			with(t.increased(key, w.value))
			return true
		} else if w != nil {
			if !w.deleted {
				with(w.value)
			}
			return !w.deleted
		}
		if t.isDropped(string(key)) {
			return false
		}
	}
	return t.read(key, with)
}

// read is get for the state before the transaction.
func (t *txn) read(key []byte, with func([]byte)) bool {
	t.open()
	ok, err := t.snap.get(key, with)
	if err != nil {
		fail("store: read: %w", err)
	}
	t.noteRead(t.db.history.stripe(key))
	return ok
}

// increased returns the number at key, by higher than before the transaction.
func (t *txn) increased(key, by []byte) (value []byte) {
	value = by
	t.read(key, func(v []byte) { value = added(v, by) })
	return value
}

func added(a, b []byte) []byte {
	v, err := sum(a, b)
	if err != nil {
		panic(failure{err})
	}
	return v
}

func (t *txn) isDropped(key string) bool {
	for _, s := range t.dropped {
		if s.has(key) {
			return true
		}
	}
	return false
}

const indexFrom = 12

func (t *txn) find(key []byte) *write {
	if t.index != nil {
		if i, ok := t.index[string(key)]; ok {
			return &t.writes[i]
		}
		return nil
	}
	for i := range t.writes {
		if t.writes[i].key == string(key) {
			return &t.writes[i]
		}
	}
	return nil
}

// put records a write, replacing an earlier one of the same key.
func (t *txn) put(w write, key []byte) {
	t.changing()
	if len(key) > MaxKey {
		fail("%w: a key of %d bytes; the limit is %d", ErrTooLarge, len(key), MaxKey)
	}
	if len(w.value) > MaxValue {
		fail("%w: a value of %d bytes; the limit is %d", ErrTooLarge, len(w.value), MaxValue)
	}
	t.grow(len(key) + len(w.value))
	if old := t.find(key); old != nil {
		if w.sum && !old.deleted {
			w.value, w.sum = added(old.value, w.value), old.sum
		} else if w.sum {
			w.sum = false // what was deleted counts no more
		}
		t.size -= len(key) + len(old.value)
		w.key = old.key
		*old = w
		return
	}
	w.key = string(key)
	t.writes = append(t.writes, w)
	switch {
	case t.index != nil:
		t.index[w.key] = len(t.writes) - 1
	case len(t.writes) > indexFrom:
		t.reindex()
	}
}

func (t *txn) grow(by int) {
	t.size += by
	if t.size > MaxTx {
		fail("%w: a transaction of %d bytes; the limit is %d", ErrTooLarge, t.size, MaxTx)
	}
}

func (t *txn) reindex() {
	t.index = make(map[string]int, 2*len(t.writes))
	for i := range t.writes {
		t.index[t.writes[i].key] = i
	}
}

// drop deletes every key in s. Only logs use it: point reads do not notice.
func (t *txn) drop(s span) {
	t.changing()
	t.writes = slices.DeleteFunc(t.writes, func(w write) bool { return s.has(w.key) })
	if t.index != nil {
		t.reindex()
	}
	t.dropped = append(t.dropped, s)
	t.grow(len(s.low) + len(s.high))
}

// walk yields the rows in s in order, own writes included (those made during the walk are not), until
// yield returns false. What it saw becomes part of what the transaction depends on.
func (t *txn) walk(s span, reverse bool, yield func(key, value []byte) bool) {
	if s.low >= s.high {
		return
	}
	t.open()
	var own []write
	if t.update {
		own = t.ownIn(s, reverse)
	}
	c, err := t.snap.scan([]byte(s.low), []byte(s.high), reverse)
	if err != nil {
		fail("store: scan: %w", err)
	}
	open := true
	defer func() {
		if open {
			c.close() // a panic is on its way; its reason matters more
		}
	}()
	last, stopped := t.merge(c, own, reverse, yield)
	open = false
	if err := c.close(); err != nil {
		fail("store: scan: %w", err)
	}
	if stopped {
		// Only what is on this side of the last row matters.
		if reverse {
			s.low = last
		} else {
			s.high = last + "\x00"
		}
	}
	if t.update || t.db.durable.at.Load() < t.seen {
		t.ranges = append(t.ranges, s)
	}
}

// merge walks c and own together and returns the key at which yield stopped it, if it did.
func (t *txn) merge(c cursor, own []write, reverse bool, yield func(key, value []byte) bool) (last string, stopped bool) {
	for {
		if len(own) > 0 && (!c.valid() || ownFirst(own[0].key, c.key(), reverse)) {
			w := own[0]
			own = own[1:]
			if c.valid() && w.key == string(c.key()) {
				if w.sum {
					v, err := c.value()
					if err != nil {
						fail("store: scan: %w", err)
					}
					w.value = added(v, w.value)
				}
				c.next()
			}
			if !w.deleted && !yield([]byte(w.key), w.value) {
				return w.key, true
			}
			continue
		}
		if !c.valid() {
			return "", false
		}
		if len(t.dropped) == 0 || !t.isDropped(string(c.key())) {
			v, err := c.value()
			if err != nil {
				fail("store: scan: %w", err)
			}
			if !yield(c.key(), v) {
				return string(c.key()), true
			}
		}
		c.next()
	}
}

func ownFirst(own string, key []byte, reverse bool) bool {
	if reverse {
		return own >= string(key)
	}
	return own <= string(key)
}

func (t *txn) ownIn(s span, reverse bool) []write {
	var own []write
	for i := range t.writes {
		if s.has(t.writes[i].key) {
			own = append(own, t.writes[i])
		}
	}
	sort.Slice(own, func(i, j int) bool { return (own[i].key < own[j].key) != reverse })
	return own
}

// eachKey calls f with every key the transaction writes or adds, and the length of its table's prefix.
func (t *txn) eachKey(added []addedRow, f func(key string, table int)) {
	for i := range t.writes {
		f(t.writes[i].key, int(t.writes[i].table))
	}
	for i := range added {
		f(added[i].key, int(added[i].table))
	}
}

// World returns the world of the database, for the time. A body may run again, so draw identifiers before it.
func (tx *Tx) World() *world.World { return tx.t.db.world }

// Size returns the bytes of keys and values written so far, to be kept below MaxTx.
func (tx *Tx) Size() int { return tx.t.size }
