package store

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	stripeCount  = 1 << 17 // keys that share a stripe share false conflicts, nothing worse
	derivedCount = 1 << 16 // more stripes for rows that values are derived from: see derivedStripe
	ringCount    = 1 << 12 // commits remembered for range checks
	ringBytes    = 2 << 20
	coarseFrom   = 1024 // keys of one commit, above which only the span per table is remembered
	keptKeys     = 8
)

// history remembers which commit last wrote each key, roughly, and exactly what the latest commits wrote.
// It errs only towards more recent: a key may look changed when it was not, never the other way.
type history struct {
	seed    maphash.Seed
	stripes []atomic.Uint64
	floor   atomic.Uint64 // everything counts as written by this commit (Clear)

	mu    sync.RWMutex
	ring  []written
	low   uint64 // the oldest commit in ring
	next  uint64 // the one after the newest
	bytes int
}

// written is what one commit wrote.
type written struct {
	keys  []string
	spans []span
	bytes int
}

// span is the keys in [low, high).
type span struct{ low, high string }

func (s span) has(key string) bool { return s.low <= key && key < s.high }

func (s span) meets(o span) bool { return s.low < o.high && o.low < s.high }

func (h *history) init() {
	h.seed = maphash.MakeSeed()
	h.stripes = make([]atomic.Uint64, stripeCount+derivedCount)
	h.ring = make([]written, ringCount)
}

func (h *history) reset(last uint64) { h.low, h.next = last+1, last+1 }

func (h *history) stripe(key []byte) uint32 {
	return uint32(maphash.Bytes(h.seed, key) % stripeCount)
}

// derivedStripe is the stripe that values derived from the row with that hash are current by. Rows of other tables have no part
// in these: there may be ten thousand writes a second of them, and few of those that values are derived from.
func derivedStripe(hash uint64) uint32 { return uint32(stripeCount + hash>>7%derivedCount) }

// prefixStripe is the same for values derived from all rows below a prefix of that hash.
func prefixStripe(hash uint64) uint32 { return derivedStripe(hash ^ 0x9e3779b97f4a7c15) }

// version returns a commit no older than the one that last wrote a key of the stripe.
func (h *history) version(stripe uint32) uint64 {
	return max(h.stripes[stripe].Load(), h.floor.Load())
}

// mark records a key written by commit n.
func (h *history) mark(stripe uint32, n uint64) { h.stripes[stripe].Store(n) }

// push records what commit n wrote, filled in by with, before any of it becomes visible.
func (h *history) push(n uint64, with func(*written)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n-h.low == ringCount {
		h.drop()
	}
	w := &h.ring[n%ringCount]
	with(w)
	h.next = n + 1
	h.bytes += w.bytes
	for h.bytes > ringBytes && h.low < n {
		h.drop()
	}
}

func (h *history) drop() {
	slot := &h.ring[h.low%ringCount]
	h.bytes -= slot.bytes
	// The place of a few keys is kept for the next commit here: most write no more.
	keys := slot.keys[:0:min(cap(slot.keys), keptKeys)]
	clear(keys[:cap(keys)])
	*slot = written{keys: keys}
	h.low++
}

// touched returns the newest commit in (after, upTo] that wrote within s, or 0. When the commits are too
// long ago to know, it returns upTo.
func (h *history) touched(s span, after, upTo uint64) uint64 {
	if floor := h.floor.Load(); floor > after {
		return min(floor, upTo)
	}
	if after >= upTo {
		return 0
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if after+1 < h.low {
		return upTo
	}
	for n := min(upTo, h.next-1); n > after; n-- {
		if h.ring[n%ringCount].touches(s) {
			return n
		}
	}
	return 0
}

func (w *written) touches(s span) bool {
	for _, k := range w.keys {
		if s.has(k) {
			return true
		}
	}
	for _, o := range w.spans {
		if s.meets(o) {
			return true
		}
	}
	return false
}

// note fills in what a transaction wrote: each key, or when there are many the span in each table.
func (w *written) note(t *txn, added []addedRow) {
	count := len(t.writes) + len(added)
	w.spans = append(w.spans, t.dropped...)
	if count <= coarseFrom {
		w.keys = slices.Grow(w.keys, count)
		t.eachKey(added, func(key string, _ int) {
			w.keys = append(w.keys, key)
			w.bytes += len(key) + 16
		})
		return
	}
	tables := map[string]span{}
	t.eachKey(added, func(key string, table int) {
		s, ok := tables[key[:table]]
		end := key + "\x00"
		if !ok {
			s = span{key, end}
		}
		tables[key[:table]] = span{min(s.low, key), max(s.high, end)}
	})
	for _, s := range tables {
		w.spans = append(w.spans, s)
		w.bytes += len(s.low) + len(s.high) + 32
	}
}
