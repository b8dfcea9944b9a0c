package relay

import (
	"context"
	"errors"

	"fogbank/store"
)

// mostWithin is how many items one transaction delivers itself.
const mostWithin = 8

// Within collects items to be delivered in the transaction that adds them.
type Within[V any] struct {
	r    *Relay[V]
	list []within[V]
}

type within[V any] struct {
	lane  string
	value V
}

// Add takes an item to be delivered in the transaction itself. It is false when the item is to be added to its lane: others wait or
// may wait there, or there are many, or w is nil.
func (w *Within[V]) Add(tx *store.Tx, lane string, v V) bool {
	if w == nil || len(w.list) == mostWithin || !tx.Told() || !w.r.quiet(store.K(tx.Account(), tx.Region(), lane)) {
		return false
	}
	w.list = append(w.list, within[V]{lane, v})
	return true
}

// Update is store.DB.Update for a body that adds items of which some can be delivered in the same transaction, for the price
// of no hop: those it gives to Within. deliver, which may be called several times for one, changes nothing but the store, and does
// not leave the process. An item that it fails for is added to its lane, as one that was tried once; if that cannot be done, because other transactions are in the way or
// deliver failed half-way, the body runs again, and all items are added.
func (r *Relay[V]) Update(ctx context.Context, db *store.DB, deliver func(ctx context.Context, v *V) error,
	body func(tx *store.Tx, w *Within[V]) error, locks ...string) error {
	var refused error // the body's own
	if !db.Joined(ctx) {
		err := db.Join(ctx, func(j *store.Joint) error {
			w := &Within[V]{r: r}
			refused = j.Do(func(ctx context.Context) error {
				return db.Update(ctx, func(tx *store.Tx) error { return body(tx, w) })
			})
			if refused != nil {
				return refused
			}
			for i := range w.list {
				if err := r.within(j, db, deliver, &w.list[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil || ctx.Err() != nil || refused != nil && !errors.Is(err, store.ErrContended) {
			return err
		}
	}
	return db.Update(ctx, func(tx *store.Tx) error { return body(tx, nil) }, locks...)
}

// within delivers an item as a part of a transaction, or else adds it.
func (r *Relay[V]) within(j *store.Joint, db *store.DB, deliver func(context.Context, *V) error, i *within[V]) error {
	err := j.Do(func(ctx context.Context) error {
		return r.calmly(i.lane, func() error { return deliver(ctx, &i.value) })
	})
	if err == nil {
		return nil
	}
	return j.Do(func(ctx context.Context) error {
		return db.Update(ctx, func(tx *store.Tx) error { r.add(tx, i.lane, i.value, err); return nil })
	})
}
