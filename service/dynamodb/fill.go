package dynamodb

import (
	"context"
	"iter"
	"slices"
	"time"

	"fogbank/store"
)

// fillJob is the work of entering the items a table already has into a new index, or with Index 0 into the
// rows of expiry. Writes made meanwhile enter their items themselves.
type fillJob struct {
	Table string
	Index int
}

var (
	fills  = store.NewTimers[fillJob]("dynamodb/fill")   // (table's ID, index's ID)
	purges = store.NewTimers[purgeJob]("dynamodb/purge") // (table's ID, index's ID)
)

// atOnce is how many rows background work takes in one transaction.
const atOnce = 500

// beginFilling enters the items that a new index's table has: at once when they are few, so that whoever has the answer finds the
// index ACTIVE, else in the background. When transitions linger, so does this.
func (s *Service) beginFilling(tx *store.Tx, t *table, id int, now time.Time) {
	job := fillJob{Table: t.Name, Index: id}
	if s.linger == 0 {
		if _, more := compile(*t).fillPage(tx, job, ""); !more {
			t.filled(id)
			return
		}
	}
	fills.Set(tx, store.K(t.ID, id), now.Add(s.linger), job)
}

// filled notes that all items have been entered into the index.
func (t *table) filled(id int) {
	t.Indexes = slices.Clone(t.Indexes)
	for i := range t.Indexes {
		if t.Indexes[i].ID == id {
			t.Indexes[i].Filling = false
		}
	}
}

// fill enters all items of a table, a page to a transaction.
func (s *Service) fill(ctx context.Context, id store.Key, job fillJob) error {
	var after store.Key
	for more := true; more; {
		var last store.Key
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			more = false
			t, ok, err := schemas.Get(tx, store.K(job.Table))
			if err != nil || !ok || id != store.K(t.ID, job.Index) {
				return err
			}
			last, more = t.fillPage(tx, job, after)
			if !more {
				finishFilling(tx, job)
			}
			return nil
		})
		if err != nil {
			return err
		}
		after = last
	}
	return nil
}

// fillPage enters the items after the key and returns the last.
func (t *schema) fillPage(tx *store.Tx, job fillJob, after store.Key) (last store.Key, more bool) {
	seen, size := 0, 0
	for key, item := range items.Scan(tx, store.Range{Prefix: t.prefix, After: after}) {
		for _, x := range t.indexes {
			if x.ID != job.Index {
				continue
			}
			if entry, ok := x.entryKey(t, item); ok && t.checkIndexKeys(item) == nil {
				entries.Put(tx, entry, x.project(item))
			}
		}
		if job.Index == 0 && t.expires() {
			if minute, ok := t.expiry(item); ok {
				t.setExpiry(tx, minute, key)
			}
		}
		last = key
		seen++
		if size += item.Size(); seen == atOnce || size > 1<<20 {
			return last, true
		}
	}
	return last, false
}

func finishFilling(tx *store.Tx, job fillJob) {
	if job.Index == 0 {
		return
	}
	t, _ := tables.Get(tx, store.K(job.Table))
	t.filled(job.Index)
	t.Version++
	tables.Put(tx, store.K(t.Name), t)
}

// purgeJob is the removal of what a deleted table, or with Index its deleted index, has left.
type purgeJob struct {
	ID    uint64
	Index int
}

// purge removes rows a page to a transaction, so that others are not held up.
func (s *Service) purge(ctx context.Context, _ store.Key, job purgeJob) error {
	for more := true; more; {
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			more = false
			if job.Index > 0 {
				more = purgeRows(tx, entries.Keys, entries.Delete, store.K(job.ID, job.Index))
				return nil
			}
			prefix := store.K(job.ID)
			more = purgeRows(tx, items.Keys, items.Delete, prefix)
			more = purgeRows(tx, entries.Keys, entries.Delete, prefix) || more
			more = purgeRows(tx, ttlRows.Keys, ttlRows.Delete, prefix) || more
			more = purgeRows(tx, collections.Keys, collections.Delete, prefix) || more
			more = purgeRows(tx, history.Keys, history.Delete, prefix) || more
			more = purgeRows(tx, saved.Keys, saved.Delete, prefix) || more
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func purgeRows(tx *store.Tx, keys func(*store.Tx, store.Range) iter.Seq[store.Key], remove func(*store.Tx, store.Key), prefix store.Key) (more bool) {
	n := 0
	for key := range keys(tx, store.Range{Prefix: prefix, Limit: atOnce}) {
		remove(tx, key)
		n++
	}
	return n == atOnce
}
