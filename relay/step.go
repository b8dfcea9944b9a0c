package relay

import (
	"context"
	"log/slog"
	"time"

	"fogbank/store"
	"fogbank/world"
)

// Step delivers at most one item, the oldest that may be delivered now, and stores the outcome. It reports
// whether there was one. It is for simulations, which call it instead of Start; w is the database's world.
// The error is the store's: a failed delivery is an outcome like any other.
func (r *Relay[V]) Step(ctx context.Context, db *store.DB) (did bool, err error) {
	w := db.World()
	item, did, err := r.oldest(ctx, db, w)
	if err != nil || !did {
		return false, err
	}
	o, ok := r.attempt(ctx, db, w, slog.New(slog.DiscardHandler), item)
	if !ok {
		return true, ctx.Err()
	}
	return true, db.Update(ctx, func(tx *store.Tx) error {
		r.settle(tx, []outcome[V]{o})
		return nil
	})
}

func (r *Relay[V]) oldest(ctx context.Context, db *store.DB, w *world.World) (best Item[V], ok bool, err error) {
	now := w.Now()
	err = db.View(ctx, func(tx *store.Tx) error {
		for _, table := range []*store.Table[record[V]]{r.retries, r.items} {
			var from store.Key
			for more := true; more; {
				var found []*lane[V]
				found, from = seekLanes[V](tx, table, from, 1000)
				more = len(found) == 1000
				for _, l := range found {
					if item, may := r.head(tx, l, now); may && (!ok || item.stamp < best.stamp) {
						best, ok = item, true
					}
				}
			}
		}
		return nil
	})
	return best, ok, err
}

// head returns the lane's next item if it may be delivered now.
func (r *Relay[V]) head(tx *store.Tx, l *lane[V], now time.Time) (item Item[V], ok bool) {
	due, next := r.loadDue(tx, l, nil, now)
	if len(due) > 0 {
		return due[0], true
	}
	if r.o.Ordered && !next.IsZero() {
		return item, false
	}
	if queue := r.loadQueue(tx, l, 0, 1); len(queue) > 0 {
		return queue[0], true
	}
	return item, false
}
