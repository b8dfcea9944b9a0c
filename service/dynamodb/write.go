package dynamodb

import (
	"context"
	"errors"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/service/dynamodb/expr"
	"fogbank/store"
	"fogbank/wire/attribute"
)

type writeKind uint8

const (
	putItem writeKind = iota
	updateItem
	deleteItem
	checkItem // only the condition
)

// write is one item to be written, checked against the table t as far as that is possible before reading it.
type write struct {
	kind   writeKind
	t      *schema
	key    store.Key
	keys   attribute.Item // the key attributes; for a put the whole item
	test   expr.Test
	change expr.Change
	look   bool // the item as it was is needed for the answer
	insert bool // PartiQL's INSERT: the test is that there is no such item
	by     *identity
	on     *Service // whose throughput and limits it is held to; nil: none's

	measure bool // the size of the item collection is needed for the answer

	// Of the last run:
	old, new attribute.Item // nil where there is none
	wrote    bool

	collection int64 // size of the item collection, if there is one and it was needed
}

var (
	errConditional = dynamodb.ConditionalCheckFailedException("The conditional request failed")
	errDuplicate   = dynamodb.DuplicateItemException("Duplicate primary key exists in table")
	errReshaped    = errors.New("dynamodb: the table was changed between the checks and the transaction")
)

// needsOld reports whether the write must look at the item first.
func (w *write) needsOld() bool {
	return w.kind != putItem || w.look || !w.test.Always() || len(w.t.indexes) > 0 || w.t.streaming() || w.t.expires() || w.t.remembers() || w.t.metered()
}

// run makes the change, with its index entries and stream record, in tx.
func (w *write) run(tx *store.Tx, now time.Time) error {
	w.old, w.new, w.wrote = nil, nil, false
	if w.on != nil {
		if err := w.on.meters.admit(w); err != nil {
			return err
		}
	}
	if w.needsOld() {
		w.old, _ = items.Get(tx, w.key)
	}
	if !w.test.Holds(w.old) {
		if w.insert {
			return errDuplicate
		}
		return errConditional
	}
	if err := w.apply(); err != nil {
		return err
	}
	grown, err := w.grow(tx)
	if err != nil {
		return err
	}
	if w.kind == checkItem || w.old == nil && w.new == nil || w.old != nil && w.new != nil && w.old.Equal(w.new) {
		return nil
	}
	if w.on != nil {
		if err := w.on.meters.admitEntries(w); err != nil {
			return err
		}
	}
	w.wrote = true
	if grown {
		setCollectionSize(tx, w.t.collectionOf(w.key), w.collection)
	}
	w.remember(tx, now)
	if w.new == nil {
		items.Delete(tx, w.key)
	} else {
		items.Put(tx, w.key, w.new)
	}
	w.enter(tx)
	w.expire(tx)
	w.emit(tx, now)
	return nil
}

// apply computes the new item.
func (w *write) apply() (err error) {
	switch w.kind {
	case putItem:
		w.new = w.keys
	case checkItem:
		w.new = w.old
	case updateItem:
		w.new, err = w.updated()
	}
	return err
}

func (w *write) updated() (attribute.Item, error) {
	from := w.old
	if from == nil {
		if w.change.OnlyRemoves() {
			return nil, nil
		}
		from = w.keys
	}
	item, err := w.change.Of(from)
	if err != nil {
		return nil, err
	}
	if item.Size() > maxItem {
		return nil, validation("Item size to update has exceeded the maximum allowed size")
	}
	if err := item.CheckDepth(); err != nil {
		return nil, err
	}
	return item, w.t.checkIndexKeys(item)
}

// enter keeps the entries of the table's indexes in step with the item.
func (w *write) enter(tx *store.Tx) {
	for _, x := range w.t.indexes {
		var was, is store.Key
		var had, has bool
		if w.old != nil {
			was, had = x.entryKey(w.t, w.old)
		}
		if w.new != nil {
			is, has = x.entryKey(w.t, w.new)
		}
		if had && (!has || was != is) {
			entries.Delete(tx, was)
		}
		if has {
			entries.Put(tx, is, x.project(w.new))
		}
	}
}

// lock returns the name under which writers of the same item, or item collection, take turns.
func (w *write) lock() string {
	if w.t.collected() {
		return "dynamodb/collection/" + string(w.t.collectionOf(w.key))
	}
	return "dynamodb/item/" + string(w.key)
}

// commit runs the writes in one transaction, all or none. It fails with errReshaped when a table is no longer
// what the writes were checked against.
func (s *Service) commit(ctx context.Context, writes []*write) error {
	var room [2]string
	locks := room[:0]
	for _, w := range writes {
		w.on = s
		if w.needsOld() {
			locks = append(locks, w.lock())
		}
	}
	now := s.world.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		var checked *schema
		for _, w := range writes {
			if w.t == checked {
				continue
			}
			t, err := schemaIn(tx, w.t.Name)
			if err != nil {
				return err
			}
			if !t.same(w.t) {
				return errReshaped
			}
			checked = w.t
		}
		for _, w := range writes {
			if err := w.run(tx, now); err != nil {
				return &writeError{w, err}
			}
		}
		return nil
	}, locks...)
	if we, ok := err.(*writeError); ok && refusedByItem(we.err) {
		s.meters.charge(we.write, 1)
	}
	if err == nil {
		for _, w := range writes {
			s.meters.charge(w, 1)
		}
	}
	return err
}

// refusedByItem reports whether a write failed for what the item was, which is paid for like a write.
func refusedByItem(err error) bool { return err == errConditional || err == errDuplicate }

// writeError is what a write met, for answers that name it.
type writeError struct {
	write *write
	err   error
}

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }
