package relay

import (
	"cmp"
	"container/heap"
	"context"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"fogbank/store"
	"fogbank/world"
)

// lane is a lane that has items. All fields are guarded by Relay.mu.
type lane[V any] struct {
	key             store.Key
	account, region string
	name            string

	queue  []Item[V] // never tried, oldest first
	cursor uint64    // every stored item up to this stamp has been in queue
	pushed uint64    // the newest stamp push was called with
	more   bool      // there may be stored items above cursor that are not in queue
	missed bool      // items were added during load

	due      []Item[V]       // failed before and due again
	retryAt  time.Time       // when the next stored retry is due; zero when there is none
	lateAt   time.Time       // the same, for retries stored during load
	lookDue  bool            // there may be stored retries retryAt does not know of
	retrying map[uint64]bool // stamps in due or being delivered from there

	capped bool      // there was no room: no more than most at once
	most   int       // grows by one with each delivery that ends,
	probe  time.Time // and from then on

	inFlight  int
	unsettled int // delivered, the outcome not yet stored
	loading   bool
	blocked   bool // ordered: the head failed and its next moment is not yet stored
	queued    bool // in ready
	place     int  // in sleeping, from 1; 0 when not
	wakeAt    time.Time
}

// Start begins to deliver in the background, first what earlier lives left. It goes on until the world stops.
func (r *Relay[V]) Start(db *store.DB, w *world.World, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		panic("relay: " + r.o.Name + " was started twice")
	}
	r.db, r.w, r.log = db, w, log
	r.started, r.partial, r.scanning = true, true, true
	db.OnClear(r.clear)
	w.Go(r.scan)
	w.Go(r.sleep)
	w.Go(r.settler)
}

// push takes over an item whose transaction is committed; calls come in the order of the commits.
func (r *Relay[V]) push(key store.Key, item Item[V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return
	}
	l := r.lanes[key]
	if l == nil {
		if l = r.open(key, item.account, item.region, item.Lane); l == nil {
			return
		}
	}
	l.pushed = item.stamp
	switch {
	case item.stamp <= l.cursor: // a load was quicker
	case l.more || l.loading || len(l.queue) >= laneBuffer || r.buffered > bufferBytes:
		l.more, l.missed = true, true
	default:
		l.queue = append(l.queue, item)
		l.cursor = item.stamp
		r.buffered += item.size
	}
	r.enqueue(l)
	r.dispatch()
}

// open makes a lane known, or returns nil when there are too many: then a later scan finds it.
func (r *Relay[V]) open(key store.Key, account, region, name string) *lane[V] {
	if len(r.lanes) >= maxLanes {
		r.partial = true
		return nil
	}
	l := &lane[V]{key: key, account: account, region: region, name: name, more: r.partial, lookDue: r.partial}
	r.lanes[key] = l
	return l
}

func (r *Relay[V]) enqueue(l *lane[V]) {
	if !l.queued {
		l.queued = true
		r.ready.push(l)
	}
}

// dispatch starts whatever can be started. Called with mu held.
func (r *Relay[V]) dispatch() {
	if r.full() || r.ready.len() == 0 || !r.started || r.ended() {
		return
	}
	now := r.w.Now()
	for vain := 0; vain < r.ready.len() && !r.full(); {
		l := r.ready.pop()
		l.queued = false
		switch {
		case r.advance(l, now):
			vain = 0
		case l.queued:
			vain++ // it waits for others; so may all that are ready
		}
	}
}

// full reports whether nothing more may be delivered now.
func (r *Relay[V]) full() bool { return r.free == 0 || r.o.Bytes > 0 && r.flying >= r.o.Bytes }

func (r *Relay[V]) ended() bool {
	select {
	case <-r.w.Done():
		return true
	default:
		return false
	}
}

// advance starts the lane's next delivery and reports whether there was one. Afterwards the lane is where
// its following step will be noticed.
func (r *Relay[V]) advance(l *lane[V], now time.Time) bool {
	if !l.loading && l.needsLoad(now, r.o.Ordered) {
		l.loading = true
		r.w.Go(func(ctx context.Context) { r.load(ctx, l) })
	}
	if l.lookDue || r.o.Ordered && (l.inFlight > 0 || l.blocked || l.loading && !l.retryAt.IsZero()) {
		return false // the end of the load or delivery enqueues it
	}
	if len(l.queue)+len(l.due) > 0 && !l.room(now) {
		r.sleepUntil(l, earlier(l.retryAt, l.probe))
		return false
	}
	if l.inFlight > r.free {
		r.enqueue(l) // its fair share is in flight
		return false
	}
	item, ok := l.take(r.o.Ordered)
	if !ok {
		r.rest(l)
		return false
	}
	r.free--
	r.flying += item.size
	r.buffered -= item.size
	l.inFlight++
	r.w.Go(func(ctx context.Context) { r.work(ctx, l, item) })
	r.enqueue(l)
	return true
}

// room reports whether there may be one more delivery.
func (l *lane[V]) room(now time.Time) bool {
	if !l.capped || l.inFlight < l.most {
		return true
	}
	if now.Before(l.probe) {
		return false
	}
	l.most, l.probe = l.inFlight+1, now.Add(busyWait)
	return true
}

func (l *lane[V]) needsLoad(now time.Time, ordered bool) bool {
	if l.lookDue {
		return true
	}
	if len(l.due) == 0 && !l.retryAt.IsZero() {
		if !l.retryAt.After(now) {
			return true
		}
		if ordered {
			return false
		}
	}
	return l.more && len(l.queue) < laneBuffer/4
}

// take removes the next item that may be delivered now.
func (l *lane[V]) take(ordered bool) (item Item[V], ok bool) {
	if len(l.due) > 0 {
		item = l.due[0]
		l.due = shift(l.due)
		return item, true
	}
	if len(l.queue) == 0 || ordered && !l.retryAt.IsZero() {
		return item, false
	}
	item = l.queue[0]
	l.queue = shift(l.queue)
	return item, true
}

// shift removes the first item, letting go of what it holds.
func shift[V any](list []Item[V]) []Item[V] {
	list[0] = Item[V]{}
	if len(list) == 1 {
		return list[:0:0]
	}
	return list[1:]
}

// rest leaves a lane with nothing to do now: until its next retry, or forgotten when it is empty.
func (r *Relay[V]) rest(l *lane[V]) {
	if l.loading {
		return
	}
	if !l.retryAt.IsZero() {
		r.sleepUntil(l, l.retryAt)
		return
	}
	// A load may have seen an item whose push is still to come; forgotten, we would take it for a new one.
	told := l.cursor <= l.pushed || r.db.Told(l.cursor)
	if told && l.inFlight == 0 && l.unsettled == 0 && len(l.queue) == 0 && !l.more && r.lanes[l.key] == l {
		delete(r.lanes, l.key)
		if l.place > 0 {
			heap.Remove(&r.sleeping, l.place-1)
		}
		if r.partial && !r.scanning && len(r.lanes) < maxLanes/2 {
			r.scanning = true
			r.w.Go(r.scan)
		}
	}
}

// work delivers one item.
func (r *Relay[V]) work(ctx context.Context, l *lane[V], item Item[V]) {
	o, ok := r.attempt(ctx, r.db, r.w, r.log, item)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free++
	r.flying -= item.size
	l.inFlight--
	if !ok {
		return // stopping; the item stays stored
	}
	if l.count(o.busy && !r.o.Ordered, r.w.Now()) {
		l.putBack(o.item)
		r.buffered += item.size
		r.enqueue(l)
		r.dispatch()
		return
	}
	o.lane = l
	l.unsettled++
	l.blocked = r.o.Ordered && !o.next.IsZero()
	r.settled = append(r.settled, o)
	if ctx.Err() != nil {
		// The settler may have gone. Nothing waits for this lock any more but others ending like us.
		r.mu.Unlock()
		r.flush(context.WithoutCancel(ctx))
		r.mu.Lock()
		return
	}
	poke(r.pending)
	r.enqueue(l)
	r.dispatch()
}

// count notes that a delivery has ended, and reports whether its item is to wait for others of the lane.
func (l *lane[V]) count(busy bool, now time.Time) (wait bool) {
	if busy {
		l.capped, l.most, l.probe = true, l.inFlight, now.Add(busyWait)
		return l.inFlight > 0
	}
	l.most++
	return false
}

// putBack puts an item in front of those that came after it.
func (l *lane[V]) putBack(item Item[V]) {
	list := &l.queue
	if !item.due.IsZero() {
		list = &l.due
	}
	i, _ := slices.BinarySearchFunc(*list, item, func(a, b Item[V]) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.stamp, b.stamp))
	})
	*list = slices.Insert(*list, i, item)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// settler stores outcomes, as many as came up in one transaction.
func (r *Relay[V]) settler(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx))
			return
		case <-r.pending:
			runtime.Gosched() // nobody waits for an outcome to be stored, but somebody does for what was delivered
			r.flush(ctx)
		}
	}
}

func (r *Relay[V]) flush(ctx context.Context) {
	for {
		r.mu.Lock()
		n, moves := 0, 0
		for n < len(r.settled) && n < settleBatch && moves < settleMoves {
			if !r.settled[n].next.IsZero() {
				moves++
			}
			n++
		}
		batch := r.settled[:n:n]
		if r.settled = r.settled[n:]; len(r.settled) == 0 {
			r.settled = nil
		}
		r.mu.Unlock()
		if n == 0 {
			return
		}
		err := r.db.UpdateSoon(ctx, func(tx *store.Tx) error {
			r.settle(tx, batch)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			// The items stay stored and so are delivered again, after the next start at the latest.
			r.log.Error("the outcome of deliveries could not be stored", "relay", r.o.Name, "error", err)
		}
		r.forget(batch)
	}
}

// forget notes that outcomes are stored.
func (r *Relay[V]) forget(batch []outcome[V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		o := &batch[i]
		l := o.lane
		l.unsettled--
		delete(l.retrying, o.item.stamp)
		if !o.next.IsZero() {
			l.blocked = false
			l.retryAt = earlier(l.retryAt, o.next)
			if l.loading {
				l.lateAt = earlier(l.lateAt, o.next)
			}
		}
		r.enqueue(l)
	}
	r.dispatch()
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// load reads a lane's next items and due retries.
func (r *Relay[V]) load(ctx context.Context, l *lane[V]) {
	r.mu.Lock()
	from, fresh, room := l.cursor, l.more, bufferBytes-r.buffered
	l.missed, l.lateAt = false, time.Time{}
	out := make(map[uint64]bool, len(l.retrying))
	for stamp := range l.retrying {
		out[stamp] = true
	}
	r.mu.Unlock()
	var queue, due []Item[V]
	var next time.Time
	now := r.w.Now()
	err := r.db.View(ctx, func(tx *store.Tx) error {
		due, next = r.loadDue(tx, l, out, now)
		if fresh {
			queue = r.loadQueue(tx, l, from, room)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	l.loading = false
	if err != nil {
		if ctx.Err() == nil {
			r.log.Error("a lane could not be read", "relay", r.o.Name, "lane", l.name, "error", err)
			l.retryAt, l.lookDue = now.Add(time.Second), false
			r.sleepUntil(l, l.retryAt)
		}
		return
	}
	l.lookDue = false
	l.due = append(l.due, due...)
	for i := range due {
		r.buffered += due[i].size
		if l.retrying == nil {
			l.retrying = map[uint64]bool{}
		}
		l.retrying[due[i].stamp] = true
	}
	l.retryAt = earlier(next, l.lateAt)
	if fresh {
		l.queue = append(l.queue, queue...)
		l.more = l.missed || len(queue) > 0 // the next load finds out
		for i := range queue {
			r.buffered += queue[i].size
			l.cursor = queue[i].stamp
		}
	}
	r.enqueue(l)
	r.dispatch()
}

// loadQueue reads items above a stamp, as many as fit in room bytes but at least one.
func (r *Relay[V]) loadQueue(tx *store.Tx, l *lane[V], after uint64, room int) (queue []Item[V]) {
	all := store.Range{Prefix: l.key, After: l.key.Uint(after), Limit: loadItems}
	for key, rec := range r.items.Scan(tx, all) {
		var stamp uint64
		if err := key.Parse(nil, nil, nil, &stamp); err != nil {
			panic("relay: the key of an item of " + r.o.Name + " is not one: " + key.String())
		}
		queue = append(queue, r.item(l.account, l.region, l.name, stamp, rec))
		if room -= rec.size; room <= 0 {
			break
		}
	}
	return queue
}

// loadDue reads the retries due by now that are not out already, and when the next one is due.
func (r *Relay[V]) loadDue(tx *store.Tx, l *lane[V], out map[uint64]bool, now time.Time) (due []Item[V], next time.Time) {
	for key, rec := range r.retries.All(tx, l.key) {
		var stamp uint64
		var at time.Time
		if err := key.Parse(nil, nil, nil, &at, &stamp); err != nil {
			panic("relay: the key of a retry of " + r.o.Name + " is not one: " + key.String())
		}
		if out[stamp] {
			continue
		}
		if at.After(now) || len(due) == laneBuffer {
			return due, at
		}
		item := r.item(l.account, l.region, l.name, stamp, rec)
		item.due = at
		due = append(due, item)
	}
	return due, next
}

// scan makes known every lane with stored items, seeking from lane to lane.
func (r *Relay[V]) scan(ctx context.Context) {
	r.mu.Lock()
	r.partial = true
	r.mu.Unlock()
	whole := true
	for _, table := range []*store.Table[record[V]]{r.retries, r.items} {
		var from store.Key
		for more := true; more; {
			var found []*lane[V]
			err := r.db.View(ctx, func(tx *store.Tx) error {
				found, from = seekLanes[V](tx, table, from, 1000)
				return nil
			})
			if err != nil {
				if ctx.Err() == nil {
					r.log.Error("the lanes could not be listed", "relay", r.o.Name, "error", err)
				}
				return
			}
			more = len(found) == 1000
			whole = r.discover(found) && whole
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scanning = false
	if whole {
		r.partial = false
	}
	r.dispatch()
}

// discover opens lanes found on disk and reports whether there was room for all.
func (r *Relay[V]) discover(found []*lane[V]) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range found {
		l := r.lanes[f.key]
		if l == nil {
			if l = r.open(f.key, f.account, f.region, f.name); l == nil {
				return false
			}
		}
		r.enqueue(l)
	}
	r.dispatch()
	return true
}

func seekLanes[V any](tx *store.Tx, table *store.Table[record[V]], from store.Key, limit int) (found []*lane[V], next store.Key) {
	for len(found) < limit {
		var l *lane[V]
		for key := range table.Keys(tx, store.Range{From: from, Limit: 1}) {
			l = &lane[V]{}
			var rest store.Key
			if err := key.Parse(&l.account, &l.region, &l.name, &rest); err != nil {
				panic("relay: the key of an item is not one: " + key.String())
			}
			l.key = store.K(l.account, l.region, l.name)
		}
		if l == nil {
			break
		}
		found = append(found, l)
		from = l.key + "\xff" // above every key of the lane
	}
	return found, from
}

// laneHeap orders sleeping lanes by their next retry.
type laneHeap[V any] []*lane[V]

func (h laneHeap[V]) Len() int           { return len(h) }
func (h laneHeap[V]) Less(i, j int) bool { return h[i].wakeAt.Before(h[j].wakeAt) }
func (h laneHeap[V]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *laneHeap[V]) Push(x any) {
	l := x.(*lane[V])
	*h = append(*h, l)
	l.place = len(*h)
}

func (h *laneHeap[V]) Pop() any {
	l := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	l.place = 0
	return l
}

// sleepUntil has the lane enqueued at a moment.
func (r *Relay[V]) sleepUntil(l *lane[V], at time.Time) {
	l.wakeAt = at
	if l.place > 0 {
		heap.Fix(&r.sleeping, l.place-1)
	} else {
		heap.Push(&r.sleeping, l)
	}
	if r.sleeping[0] == l {
		poke(r.alarm)
	}
}

// sleep enqueues lanes when their retries are due.
func (r *Relay[V]) sleep(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		now := r.w.Now()
		for len(r.sleeping) > 0 && !r.sleeping[0].wakeAt.After(now) {
			r.enqueue(heap.Pop(&r.sleeping).(*lane[V]))
		}
		until := now.Add(1000 * time.Hour)
		if len(r.sleeping) > 0 {
			until = r.sleeping[0].wakeAt
		}
		r.dispatch()
		r.mu.Unlock()
		r.w.WaitUntil(ctx, r.alarm, until)
	}
}

// clear forgets an account's items, or everybody's; deliveries under way end as they may.
func (r *Relay[V]) clear(ctx context.Context, account string) error {
	if account != "" {
		for _, table := range []*store.Table[record[V]]{r.items, r.retries} {
			for more := true; more; {
				err := r.db.Update(ctx, func(tx *store.Tx) error {
					more = false
					for key := range table.Keys(tx, store.Range{Prefix: store.K(account), Limit: 1000}) {
						table.Delete(tx, key)
						more = true
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lanes {
		if account == "" || l.account == account {
			for _, list := range [][]Item[V]{l.queue, l.due} {
				for i := range list {
					r.buffered -= list[i].size
					delete(l.retrying, list[i].stamp)
				}
			}
			l.queue, l.due = nil, nil
			l.more, l.lookDue = true, true // look again: items may have been added since
			r.enqueue(l)
		}
	}
	r.dispatch()
	return nil
}

// ring is a queue.
type ring[T any] struct {
	list []T
	head int
}

func (q *ring[T]) len() int { return len(q.list) - q.head }

func (q *ring[T]) push(v T) {
	if q.head > 64 && q.head > len(q.list)/2 {
		q.list = append(q.list[:0], q.list[q.head:]...)
		q.head = 0
	}
	q.list = append(q.list, v)
}

func (q *ring[T]) pop() T {
	var zero T
	v := q.list[q.head]
	q.list[q.head] = zero
	q.head++
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return v
}
