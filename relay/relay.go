// Package relay carries work from one transaction to whatever is to happen because of it, at least once
// and across restarts. Every asynchronous hop is a Relay: the cause's transaction adds an item to a lane,
// the relay delivers it and then removes it; what fails waits, longer each time, and in the end is handed
// over as dead. A Tail does the same for a stream somebody else keeps, with a durable cursor.
//
// Promises. An item whose transaction committed is delivered at least once, and more often only around a
// failure or a crash; its ID is the same each time. Oldest first: in an ordered lane strictly, with a
// failing head holding up its lane and no other; otherwise a failing item waits while others pass, unless it is for want of
// room (Busy). A lane
// gets at most half of the free places for deliveries, so a failing or slow lane cannot starve the
// others. Lanes without items cost nothing, on disk or in memory.
//
// Stored, Global since all tenants share the workers:
//
//	relay/NAME        (account, region, lane, stamp) → moment added, attempts, value
//	relay/NAME/retry  (account, region, lane, due, stamp) → the same, for items that failed
//	relay/cursor      (name) per tenant → a Tail's cursor and failures
//
// A delivery begins when its item can be seen, while the item's sync is under way, and inside the process nothing
// of it waits for the disk: the item's log entry is ahead of whatever the delivery commits. What leaves the process waits
// for both (store.DB.Early). The removal of delivered items is committed with UpdateSoon. Items whose delivery is
// nothing but a change of the store need no hop: Update delivers them in the transaction that would add them.
package relay

import (
	"context"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

const (
	defaultLanes = 128
	laneBuffer   = 64          // items of a lane that stay in memory when they are added,
	loadItems    = 256         // and that are read at once when there were more
	bufferBytes  = 32 << 20    // of all lanes' items in memory
	maxLanes     = 1 << 16     // lanes with items in memory; others wait on disk
	settleBatch  = 512         // removals in one transaction
	settleMoves  = 8           // of which so many may write an item again
	busyWait     = time.Second // after which a lane that there is no room for has one delivery more
	firstRetry   = 100 * time.Millisecond
	longestRetry = time.Minute
)

// Item is one piece of work.
type Item[V any] struct {
	ID       string // the same at every attempt, and no other item's
	Lane     string
	Value    V
	Attempts int       // failed attempts so far
	FirstAt  time.Time // when it was added

	account, region string
	stamp           uint64
	due             time.Time // zero unless it is in the retry table
	fresh           bool      // it came straight from its commit; one read from disk may have been tried before
	tried           error     // how the attempt in the transaction that added it ended; it counts as the first
	size            int
}

// Options describe a hop.
type Options[V any] struct {
	Name string // such as "sns/delivery"
	// Deliver does the work; nil means it is done. Its context carries an aws.Call with the account and
	// region of the transaction that added the item, and is one of aws.WithFirstAttempt when it is certain that
	// the item was never delivered before. It goes ahead of the disk (store.DB.Early): what Deliver carries out
	// of the process, it carries after aws.Settle.
	Deliver func(ctx context.Context, item Item[V]) error
	// Retry says after how long to try again, or not at all. item.Attempts counts the failure that just
	// happened. When nil: for ever, after 100 ms at first, doubling to a minute.
	Retry func(item Item[V], err error) (delay time.Duration, again bool)
	// Mark changes the value of an item that failed, before Retry is asked: what is to be known at the next attempt.
	Mark func(value *V, err error)
	// Dead is handed what will not be tried again; if it fails the item is tried again after all.
	// When nil such items are dropped with a line in the log.
	Dead    func(ctx context.Context, item Item[V], err error) error
	Ordered bool // within each lane
	Lanes   int  // deliveries at once; 128 when 0
	Bytes   int  // of items being delivered: with as many none more begins; 0: any number
}

// Busy is the error of a delivery that whom it is for has no room for, because of other deliveries. As long as there are
// some of the same lane, unless it is ordered, the item stays where it is: the lane has no more of them at once until
// one of them has ended, or a second later. Without any it is an error like every other.
type Busy struct{ Err error }

func (b Busy) Error() string { return b.Err.Error() }
func (b Busy) Unwrap() error { return b.Err }

// Relay is one hop. Make it with New.
type Relay[V any] struct {
	o       Options[V]
	items   *store.Table[record[V]]
	retries *store.Table[record[V]]

	db  *store.DB
	w   *world.World
	log *slog.Logger

	mu       sync.Mutex
	lanes    map[store.Key]*lane[V]
	ready    ring[*lane[V]]
	sleeping laneHeap[V]
	alarm    chan struct{}
	free     int
	flying   int // bytes of items being delivered
	buffered int // bytes
	started  bool
	partial  bool // there may be lanes with items on disk that are not in lanes
	scanning bool
	settled  []outcome[V] // to be written
	pending  chan struct{}
}

// New describes a hop; nothing happens before Start or Step.
func New[V any](o Options[V]) *Relay[V] {
	if o.Lanes == 0 {
		o.Lanes = defaultLanes
	}
	return &Relay[V]{
		o:       o,
		items:   store.NewTable[record[V]]("relay/"+o.Name, store.Global),
		retries: store.NewTable[record[V]]("relay/"+o.Name+"/retry", store.Global),
		lanes:   map[store.Key]*lane[V]{},
		alarm:   make(chan struct{}, 1),
		pending: make(chan struct{}, 1),
		free:    o.Lanes,
	}
}

// record is an item as stored.
type record[V any] struct {
	FirstAt  time.Time
	Attempts uint32
	Value    V

	size int // as stored
}

// AppendBinary appends the moment in nanoseconds (8 bytes), the attempts (4 bytes) and the value.
func (r *record[V]) AppendBinary(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(r.FirstAt.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, r.Attempts)
	if a, ok := any(&r.Value).(encoding.BinaryAppender); ok {
		return a.AppendBinary(b)
	}
	v, err := json.Marshal(&r.Value)
	return append(b, v...), err
}

// UnmarshalBinary reads what AppendBinary wrote.
func (r *record[V]) UnmarshalBinary(b []byte) error {
	if len(b) < 12 {
		return errors.New("too short for an item")
	}
	r.FirstAt = time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
	r.Attempts = binary.BigEndian.Uint32(b[8:])
	r.size = len(b)
	if u, ok := any(&r.Value).(encoding.BinaryUnmarshaler); ok {
		return u.UnmarshalBinary(b[12:])
	}
	return json.Unmarshal(b[12:], &r.Value)
}

// Add adds an item to a lane of the transaction's tenant. It will be delivered if tx commits.
func (r *Relay[V]) Add(tx *store.Tx, lane string, v V) { r.add(tx, lane, v, nil) }

// add is Add; tried is how the first attempt failed, if it was made already.
func (r *Relay[V]) add(tx *store.Tx, lane string, v V, tried error) {
	rec := record[V]{FirstAt: tx.World().Now(), Value: v}
	if tried != nil {
		rec.Attempts = 1
	}
	account, region := tx.Account(), tx.Region()
	key := store.K(account, region, lane)
	before := tx.Size()
	seq := r.items.Add(tx, key, rec)
	rec.size = tx.Size() - before
	tx.AfterCommit(func() {
		item := r.item(account, region, lane, seq.N, rec)
		item.fresh, item.tried = true, tried
		r.push(key, item)
	})
}

func (r *Relay[V]) item(account, region, lane string, stamp uint64, rec record[V]) Item[V] {
	return Item[V]{
		ID:       fmt.Sprintf("%s-%016x", r.o.Name, stamp),
		Lane:     lane,
		Value:    rec.Value,
		Attempts: int(rec.Attempts),
		FirstAt:  rec.FirstAt,
		account:  account, region: region, stamp: stamp, size: rec.size,
	}
}

func (i *Item[V]) lane() store.Key { return store.K(i.account, i.region, i.Lane) }

// outcome is what became of an attempt.
type outcome[V any] struct {
	lane *lane[V] // nil in Step
	item Item[V]
	next time.Time // when to try again; zero when the item is done with
	busy bool      // Deliver said so
}

// attempt delivers an item and decides what becomes of it; ok is false when the world stopped meanwhile.
func (r *Relay[V]) attempt(ctx context.Context, db *store.DB, w *world.World, log *slog.Logger, item Item[V]) (o outcome[V], ok bool) {
	ctx = aws.WithCall(db.Early(ctx, item.stamp), &aws.Call{Account: item.account, Region: item.region})
	if item.fresh && item.Attempts == 0 {
		ctx = aws.WithFirstAttempt(ctx)
	}
	err := item.tried
	if err == nil {
		err = r.deliver(ctx, item)
		item.Attempts++
	}
	item.tried = nil
	o.item = item
	if err == nil {
		return o, true
	}
	if ctx.Err() != nil {
		return o, false
	}
	_, o.busy = errors.AsType[Busy](err)
	if r.o.Mark != nil {
		r.o.Mark(&o.item.Value, err)
	}
	delay, again := r.delay(o.item, err)
	if !again {
		dead := r.bury(ctx, log, o.item, err)
		if dead == nil {
			return o, true
		}
		if ctx.Err() != nil {
			return o, false
		}
		log.Warn("a dead item could not be put away and will be tried again", "relay", r.o.Name, "item", item.ID, "error", dead)
		delay = backOff(o.item.Attempts)
	}
	o.next = w.Now().Add(max(delay, time.Millisecond))
	return o, true
}

func (r *Relay[V]) deliver(ctx context.Context, item Item[V]) error {
	return r.calmly(item.ID, func() error { return r.o.Deliver(ctx, item) })
}

// calmly turns a panic into an error, so that one bad item cannot end the process again and again.
func (r *Relay[V]) calmly(what string, deliver func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("relay %s: the delivery of %s panicked: %v", r.o.Name, what, p)
		}
	}()
	return deliver()
}

func (r *Relay[V]) delay(item Item[V], err error) (time.Duration, bool) {
	if r.o.Retry != nil {
		return r.o.Retry(item, err)
	}
	return backOff(item.Attempts), true
}

func (r *Relay[V]) bury(ctx context.Context, log *slog.Logger, item Item[V], err error) error {
	if r.o.Dead == nil {
		log.Warn("an item was dropped after its last attempt", "relay", r.o.Name, "item", item.ID, "lane", item.Lane, "error", err)
		return nil
	}
	return r.o.Dead(ctx, item, err)
}

func backOff(attempts int) time.Duration {
	return min(firstRetry<<min(max(attempts-1, 0), 16), longestRetry)
}

// settle writes outcomes in one transaction's body.
func (r *Relay[V]) settle(tx *store.Tx, outcomes []outcome[V]) {
	for i := range outcomes {
		o := &outcomes[i]
		table, key := r.items, o.item.lane().Uint(o.item.stamp)
		if !o.item.due.IsZero() {
			table, key = r.retries, o.item.lane().Time(o.item.due).Uint(o.item.stamp)
		}
		if !o.next.IsZero() {
			if !table.Has(tx, key) {
				continue // the account was emptied meanwhile
			}
			rec := record[V]{FirstAt: o.item.FirstAt, Attempts: uint32(o.item.Attempts), Value: o.item.Value}
			r.retries.Put(tx, o.item.lane().Time(o.next).Uint(o.item.stamp), rec)
		}
		table.Delete(tx, key)
	}
}

// Depth returns how many items wait or are being delivered, counting to at most limit, and when the
// oldest of those that never failed was added.
func (r *Relay[V]) Depth(tx *store.Tx, limit int) (n int, oldest time.Time) {
	for _, t := range []*store.Table[record[V]]{r.items, r.retries} {
		for range t.Keys(tx, store.Range{}) {
			if n >= limit {
				break
			}
			n++
		}
	}
	for _, rec := range r.items.All(tx, "") {
		return n, rec.FirstAt
	}
	return n, oldest
}

// Waiting returns how many items of lanes whose names begin with prefix wait or are being delivered, for the tenant of the
// transaction, counting to at most limit.
func (r *Relay[V]) Waiting(tx *store.Tx, prefix string, limit int) (n int) {
	all := store.Range{Prefix: store.K(tx.Account(), tx.Region()), From: store.K(tx.Account(), tx.Region(), prefix),
		To: store.K(tx.Account(), tx.Region(), prefix+"\U0010ffff")}
	for _, t := range []*store.Table[record[V]]{r.items, r.retries} {
		for range t.Keys(tx, all) {
			if n >= limit {
				return n
			}
			n++
		}
	}
	return n
}

// Has reports whether a lane of the transaction's tenant has items that wait or are being delivered. It mostly knows without
// reading, and then an Update does not depend on the answer: what others add meanwhile does not make it run again.
func (r *Relay[V]) Has(tx *store.Tx, lane string) bool {
	if tx.Told() && r.quiet(store.K(tx.Account(), tx.Region(), lane)) {
		return false
	}
	one := store.Range{Prefix: store.K(tx.Account(), tx.Region(), lane), Limit: 1}
	for _, t := range []*store.Table[record[V]]{r.items, r.retries} {
		for range t.Keys(tx, one) {
			return true
		}
	}
	return false
}

// quiet reports whether it is certain that a lane has no items but those just being added.
func (r *Relay[V]) quiet(lane store.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started && !r.partial && r.lanes[lane] == nil
}
