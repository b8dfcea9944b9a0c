package sqs

import (
	"context"
	"time"

	"fogbank/store"
)

// spaceJob names a space and the queue it belongs to.
type spaceJob struct {
	Queue string
	Space uint64
}

var (
	// sweeps are the moments at which something in a space may be too old, by space.
	sweeps = store.NewTimers[spaceJob]("sqs/sweep")
	// clearings remove what a deleted or purged queue left, by space or queue id.
	clearings = store.NewTimers[uint64]("sqs/clear")
)

const (
	sweepRows  = 256         // messages removed in one transaction
	sweepPause = time.Second // between two sweeps of a space, at least
	clearRows  = 1024        // rows removed in one transaction
)

// sweepBy makes the sweeper look at the queue's space at the latest at a time, in nanoseconds since 1970.
func (q *live) sweepBy(tx *store.Tx, at int64) {
	if f := q.front(tx); f.Sweep == 0 || at < f.Sweep {
		f.Sweep = at
		fronts.Put(tx, store.K(q.Space), f)
		sweeps.Set(tx, store.K(q.Space), time.Unix(0, at), spaceJob{q.Name, q.Space})
	}
}

// sweep removes what is too old from a space: messages past their retention, what is remembered of sends. It then
// sets its timer for the next thing to become old, if there is any.
func (s *Service) sweep(ctx context.Context, _ store.Key, job spaceJob) error {
	for more := true; more; {
		now := s.world.Now()
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			more = false
			q, ok, err := lives.Get(tx, store.K(job.Queue))
			if err != nil || !ok || q.Space != job.Space {
				return err
			}
			if more = q.sweepMessages(tx, now.UnixNano()) == sweepRows; more {
				return nil
			}
			if more = q.sweepOnces(tx, now) == sweepRows; more {
				return nil
			}
			f := q.front(tx)
			f.Sweep = 0
			fronts.Put(tx, store.K(q.Space), f)
			if next := q.nextSweep(tx, now); next > 0 {
				q.sweepBy(tx, max(next, now.Add(sweepPause).UnixNano()))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepMessages removes messages past their retention and returns how many.
func (q *live) sweepMessages(tx *store.Tx, now int64) (n int) {
	at := store.Range{Prefix: store.K(q.Space), To: store.K(q.Space, q.keptFrom(now)), Limit: sweepRows}
	for key, m := range messages.Scan(tx, at) {
		var place slot
		if err := key.Parse(nil, &place.At, &place.Tie); err != nil {
			panic("sqs: a row of sqs/message has a key of another form")
		}
		q.expire(tx, place, &m, now)
		n++
	}
	return n
}

func (q *live) expire(tx *store.Tx, at slot, m *message, now int64) {
	if !q.FIFO {
		st, ok := states.Get(tx, slotKey(q.Space, at))
		if !ok {
			st = state{Due: m.Due, Group: m.Group}
		}
		q.remove(tx, at, st)
		return
	}
	q.removeFIFO(tx, m.Group, at)
	g, _ := groups.Get(tx, store.K(q.Space, m.Group))
	g.land(at.Tie)
	q.resettle(tx, m.Group, &g, now)
}

// sweepOnces drops what is remembered of sends and receive requests longer ago than the window.
func (q *live) sweepOnces(tx *store.Tx, now time.Time) (n int) {
	at := store.Range{Prefix: store.K(q.ID), To: store.K(q.ID, period(now)-1), Limit: sweepRows}
	for key := range onces.Keys(tx, at) {
		onces.Delete(tx, key)
		n++
	}
	if n == sweepRows {
		return n
	}
	n = 0
	for key := range attempts.Keys(tx, at) {
		attempts.Delete(tx, key)
		n++
	}
	if n == sweepRows {
		return n
	}
	for key, flying := range tenants.Scan(tx, store.Range{Prefix: store.K(q.Space), Limit: sweepRows}) {
		if flying == 0 {
			tenants.Delete(tx, key)
		}
	}
	return n
}

// nextSweep returns when the oldest thing left is too old, in nanoseconds since 1970, 0 when nothing is left.
func (q *live) nextSweep(tx *store.Tx, now time.Time) (next int64) {
	sooner := func(at int64) {
		if next == 0 || at < next {
			next = at
		}
	}
	for key := range messages.Keys(tx, store.Range{Prefix: store.K(q.Space), Limit: 1}) {
		var at uint64
		if err := key.Parse(nil, &at, nil); err != nil {
			panic("sqs: a row of sqs/message has a key of another form")
		}
		sooner(int64(at) + q.RetentionSeconds*int64(time.Second))
	}
	first := store.Range{Prefix: store.K(q.ID), Limit: 1}
	for key := range onces.Keys(tx, first) {
		sooner(periodEnd(key))
	}
	for key := range attempts.Keys(tx, first) {
		sooner(periodEnd(key))
	}
	return next
}

// periodEnd returns when a row of onces or attempts can be dropped.
func periodEnd(key store.Key) int64 {
	var p int64
	var rest store.Key
	if err := key.Parse(nil, &p, &rest); err != nil {
		panic("sqs: a row of sqs/once has a key of another form")
	}
	return (p + 2) * int64(onceWindow)
}

// clearSpace has everything below a space or queue id removed in the background.
func clearSpace(tx *store.Tx, space uint64, now time.Time) {
	clearings.Set(tx, store.K(space), now, space)
	sweeps.Cancel(tx, store.K(space))
	alarms.Cancel(tx, store.K(space))
}

// clear removes all rows below a space, some in each transaction.
func (s *Service) clear(ctx context.Context, _ store.Key, space uint64) error {
	for more := true; more; {
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			left := clearRows
			for _, drop := range droppers {
				left -= drop(tx, store.Range{Prefix: store.K(space), Limit: left})
				if left <= 0 {
					break
				}
			}
			more = left <= 0
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// droppers remove rows of the tables whose keys begin with a space or a queue id, and return how many.
var droppers = []func(*store.Tx, store.Range) int{
	dropper(messages), dropper(dues), dropper(states), dropper(fronts), dropper(totals.Table), dropper(traffics),
	dropper(members), dropper(groups), dropper(turns), dropper(sequences), dropper(onces), dropper(attempts),
	dropper(lanes), dropper(tenants), dropper(flown),
}

func dropper[V any](t *store.Table[V]) func(*store.Tx, store.Range) int {
	return func(tx *store.Tx, at store.Range) (n int) {
		for key := range t.Keys(tx, at) {
			t.Delete(tx, key)
			n++
		}
		return n
	}
}
