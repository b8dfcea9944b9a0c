package store

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// Derived gives a value computed from a row, such as a compiled policy, and keeps it until a commit
// changes the row.
type Derived[V, D any] struct {
	id    uint32
	table *Table[V]
	f     func(Key, V) (D, error)
}

// DerivedAll gives a value computed from all rows below a prefix, and keeps it until a commit changes,
// adds or removes one of them.
type DerivedAll[V, D any] struct {
	id    uint32
	table *Table[V]
	f     func(Key, iter.Seq2[Key, V]) (D, error)
}

var lastDerivation atomic.Uint32

// Derive describes values computed from single rows of t by f, which must depend on nothing else. What f
// returns is shared: nobody may change it. Errors are kept like values. Derive is to be called where package variables
// are made, since the table must know of it before its first write.
func Derive[V, D any](t *Table[V], f func(Key, V) (D, error)) *Derived[V, D] {
	t.space.roots.rows = true
	return &Derived[V, D]{lastDerivation.Add(1), t, f}
}

// DeriveAll describes values computed by f from the rows below a prefix. It is to be called where Derive is.
func DeriveAll[V, D any](t *Table[V], f func(prefix Key, rows iter.Seq2[Key, V]) (D, error)) *DerivedAll[V, D] {
	t.space.roots.prefixes = true
	return &DerivedAll[V, D]{lastDerivation.Add(1), t, f}
}

// Get returns the value derived from the row at key; ok is false when there is no row.
func (d *Derived[V, D]) Get(tx *Tx, key Key) (v D, ok bool, err error) {
	t := tx.t
	full, _ := d.table.space.place(tx, key)
	if len(t.writes) > 0 && t.find(full) != nil {
		v, ok, _, err = d.compute(tx, key)
		return v, ok, err
	}
	c := &t.db.derived
	hash := maphash.Bytes(t.db.history.seed, full)
	stripe := derivedStripe(hash)
	if e := c.look(hash, d.id, full); e != nil && t.current(e, stripe) {
		t.noteRead(stripe)
		v, _ = e.value.(D)
		return v, e.ok, e.err
	}
	name := cacheKey{d.id, string(full)}
	v, ok, size, err := d.compute(tx, key)
	if t.db.history.version(stripe) <= t.start {
		c.keep(hash, name, &kept{asOf: t.start, value: v, ok: ok, err: err, cost: len(name.key) + 2*size + 256})
	}
	return v, ok, err
}

func (d *Derived[V, D]) compute(tx *Tx, key Key) (v D, ok bool, size int, err error) {
	var row V
	full, _ := d.table.space.place(tx, key)
	ok = tx.t.get(full, func(b []byte) {
		size = len(b)
		d.table.codec.decode(b, &row)
	})
	if ok {
		v, err = d.f(key, row)
	}
	return v, ok, size, err
}

// Get returns the value derived from the rows below prefix, of which there may be none.
func (d *DerivedAll[V, D]) Get(tx *Tx, prefix Key) (v D, err error) {
	t := tx.t
	placed, table := d.table.space.place(tx, prefix)
	if len(t.writes) > 0 && t.writesBelow(string(placed)) {
		return d.f(prefix, d.table.All(tx, prefix))
	}
	c := &t.db.derived
	hash := maphash.Bytes(t.db.history.seed, placed)
	stripe := prefixStripe(hash)
	if e := c.look(hash, d.id, placed); e != nil && t.current(e, stripe) {
		t.noteRead(stripe)
		v, _ = e.value.(D)
		return v, e.err
	}
	full := string(placed)
	name := cacheKey{d.id, full}
	size := 0
	v, err = d.f(prefix, func(yield func(Key, V) bool) {
		t.walk(below(full), false, func(key, value []byte) bool {
			var row V
			size += len(value)
			d.table.codec.decode(value, &row)
			return yield(Key(key[table:]), row)
		})
	})
	t.open()
	t.noteRead(stripe)
	if t.db.history.version(stripe) <= t.start {
		c.keep(hash, name, &kept{asOf: t.start, value: v, ok: true, err: err, cost: len(full) + 2*size + 256})
	}
	return v, err
}

func (t *txn) writesBelow(prefix string) bool {
	s := below(prefix)
	for i := range t.writes {
		if s.has(t.writes[i].key) {
			return true
		}
	}
	return false
}

// current reports whether e was derived from the state t sees: the stripe has not been written since e
// was made nor since t began.
func (t *txn) current(e *kept, stripe uint32) bool {
	v := t.db.history.version(stripe)
	return v <= e.asOf && v <= t.start
}

const (
	cacheShards = 16
	cacheBytes  = 32 << 20 // estimated from the rows' sizes
	shardBytes  = cacheBytes / cacheShards
	// A value that would crowd out a quarter of its shard, such as the compiled rules of a bus with
	// thousands, has its place among the few of its kind.
	largeValue = shardBytes / 4
	largeBytes = 64 << 20
)

// cache keeps derived values, bounded by the size of the rows they came from.
type cache struct {
	shards [cacheShards]cacheShard
	large  cacheShard
}

type cacheShard struct {
	mu   sync.RWMutex
	m    map[cacheKey]*kept
	cost int
	room int
}

type cacheKey struct {
	derivation uint32
	key        string
}

// kept is a derived value: right as of commit asOf, and until the row's stripe is written again.
type kept struct {
	asOf  uint64
	value any
	err   error
	ok    bool
	used  atomic.Bool
	cost  int
}

func (c *cache) init() {
	for i := range c.shards {
		c.shards[i] = cacheShard{m: map[cacheKey]*kept{}, room: shardBytes}
	}
	c.large = cacheShard{m: map[cacheKey]*kept{}, room: largeBytes}
}

func (c *cache) look(hash uint64, derivation uint32, key []byte) *kept {
	if e := c.shards[hash>>60%cacheShards].look(derivation, key); e != nil {
		return e
	}
	return c.large.look(derivation, key)
}

// look finds a value. The key is written out in the index expression, where it costs no allocation.
func (s *cacheShard) look(derivation uint32, key []byte) *kept {
	s.mu.RLock()
	e := s.m[cacheKey{derivation, string(key)}]
	s.mu.RUnlock()
	if e != nil && !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// keep stores e unless a newer one is there. What is small is looked for first, so a value that grew
// large takes its small predecessor away.
func (c *cache) keep(hash uint64, key cacheKey, e *kept) {
	small := &c.shards[hash>>60%cacheShards]
	switch {
	case e.cost <= largeValue:
		small.keep(key, e)
	case e.cost <= largeBytes/4:
		small.forget(key)
		c.large.keep(key, e)
	}
}

func (s *cacheShard) forget(key cacheKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.m[key]; old != nil {
		s.cost -= old.cost
		delete(s.m, key)
	}
}

// keep stores e and makes room by dropping values not used lately.
func (s *cacheShard) keep(key cacheKey, e *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.m[key]; old != nil {
		if old.asOf > e.asOf {
			return
		}
		s.cost -= old.cost
	}
	s.m[key] = e
	s.cost += e.cost
	for s.cost > s.room {
		for k, old := range s.m {
			if old.used.Swap(false) || old == e {
				continue
			}
			s.cost -= old.cost
			delete(s.m, k)
			if s.cost <= s.room {
				return
			}
		}
	}
}
