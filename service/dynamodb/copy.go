package dynamodb

import (
	"context"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// copyJob is the copying of a table as it was at a moment into a backup or a new table, or of a backup into a new table. It
// goes on page by page, reading in one transaction and writing in another, where the cursor is: so it
// survives restarts and holds nobody up.
//
// First come the items of the table that have not been changed since the moment. Then comes the history,
// which holds the others as they were. An item changed between the two was, at the moment, what either says.
type copyJob struct {
	ID     uint64
	Source copySource
	Target copyTarget
	As     moment
	Phase  int    `json:",omitempty"` // 0 for items, 1 for history
	After  []byte `json:",omitempty"` // the last row taken, below the source's prefix
	Count  int64  `json:",omitempty"`
	Bytes  int64  `json:",omitempty"`
}

// copySource is a table or a backup.
type copySource struct {
	Table  string `json:",omitempty"`
	ID     uint64 `json:",omitempty"` // of the table
	Backup uint64 `json:",omitempty"`
	Key    []byte `json:",omitempty"` // of the backup's record
}

// copyTarget is a backup or a table.
type copyTarget struct {
	Table  string `json:",omitempty"`
	Backup uint64 `json:",omitempty"`
	Key    []byte `json:",omitempty"` // of the backup's record
}

var (
	copyJobs = store.NewTable[copyJob]("dynamodb/copy", store.Regional) // job's ID → how far it is
	copying  = store.NewTimers[bool]("dynamodb/copy")                   // job's ID
	// saved are the items of backups, at (backup's ID, rest of the item's key).
	saved = store.NewTable[attribute.Item]("dynamodb/saved", store.Regional)
)

// start has the job begin at the moment.
func (j copyJob) start(tx *store.Tx, begin time.Time) {
	copyJobs.Put(tx, store.K(j.ID), j)
	copying.Set(tx, store.K(j.ID), begin, true)
}

// copied is an item on its way; key is the part below the source's prefix.
type copied struct {
	key  store.Key
	item attribute.Item
}

// copyTable runs a job to its end, from where it was left.
func (s *Service) copyTable(ctx context.Context, id store.Key, _ bool) error {
	for {
		if more, err := s.copyPage(ctx, id); err != nil || !more {
			return err
		}
	}
}

// copyPage copies the next page of a job; more is false when there is none.
func (s *Service) copyPage(ctx context.Context, id store.Key) (more bool, err error) {
	var page []copied
	var next copyJob
	found := false
	err = s.db.View(ctx, func(tx *store.Tx) error {
		job, ok := copyJobs.Get(tx, id)
		if found = ok; !ok {
			return nil
		}
		var err error
		page, next, more, err = job.page(tx)
		return err
	})
	if err != nil || !found {
		return false, err
	}
	now := s.world.Now()
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if !copyJobs.Has(tx, id) { // the account was cleared
			more = false
			return nil
		}
		next := next // this may run again
		if err := next.store(tx, page); err != nil {
			return err
		}
		if more {
			copyJobs.Put(tx, id, next)
			return nil
		}
		copyJobs.Delete(tx, id)
		next.finish(tx, now)
		return nil
	})
	return more, err
}

// full reports whether a page has enough: what it holds is written again for each index.
func full(page []copied, size, indexes int) bool {
	return len(page) >= atOnce || size*(1+indexes) > maxCommit
}

// page reads the next items; next is the job after them.
func (j copyJob) page(tx *store.Tx) (page []copied, next copyJob, more bool, err error) {
	next = j
	indexes := 0
	if j.Target.Table != "" {
		if t, err := anySchema(tx, j.Target.Table); err == nil {
			indexes = len(t.indexes)
		}
	}
	if j.Phase == 1 {
		page, more, err = next.pastPage(tx, indexes)
		return page, next, more, err
	}
	source, prefix := items, store.K(j.Source.ID)
	if j.Source.Backup != 0 {
		source, prefix = saved, store.K(j.Source.Backup)
	}
	size, seen := 0, 0
	for key, item := range source.Scan(tx, store.Range{Prefix: prefix, After: j.after(prefix)}) {
		rest := key[len(prefix):]
		next.After = []byte(rest)
		seen++
		changed := false
		if j.Source.Backup == 0 {
			_, changed = j.As.before(tx, historyKey(prefix, key))
		}
		if !changed {
			page = append(page, copied{rest, item})
			size += item.Size()
		}
		if full(page, size, indexes) || seen == 4*atOnce {
			return page, next, true, nil
		}
	}
	if j.Source.Backup != 0 {
		return page, next, false, nil
	}
	next.Phase, next.After = 1, nil
	return page, next, true, nil
}

func (j *copyJob) after(prefix store.Key) store.Key {
	if j.After == nil {
		return ""
	}
	return prefix + store.Key(j.After)
}

// pastPage reads the items that were changed since the moment as they were then, an item's rows at a time.
func (j *copyJob) pastPage(tx *store.Tx, indexes int) (page []copied, more bool, err error) {
	prefix := store.K(j.Source.ID)
	size := 0
	for range 4 * atOnce {
		var at store.Key
		for key := range history.Keys(tx, store.Range{Prefix: prefix, After: j.after(prefix), Limit: 1}) {
			at = key
		}
		if at == "" {
			return page, false, nil
		}
		var rest []byte
		var nanos, number int64
		if err := at[len(prefix):].Parse(&rest, &nanos, &number); err != nil {
			return nil, false, err
		}
		rows := prefix.Bytes(rest)
		if item, changed := j.As.before(tx, rows); changed && item != nil {
			page = append(page, copied{store.Key(rest), item})
			size += item.Size()
		}
		j.After = []byte(rows.Int(1<<63 - 1)[len(prefix):])
		if full(page, size, indexes) {
			break
		}
	}
	return page, true, nil
}

// store writes a page to the target and counts what is new there: an item that was copied before it was changed comes again
// from the history, as the same. A table that is gone takes nothing.
func (j *copyJob) store(tx *store.Tx, page []copied) error {
	if j.Target.Backup != 0 {
		prefix := store.K(j.Target.Backup)
		for _, c := range page {
			j.count(c, saved.Has(tx, prefix+c.key))
			saved.Put(tx, prefix+c.key, c.item)
		}
		return nil
	}
	t, err := anySchema(tx, j.Target.Table)
	if err == errNoTable {
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range page {
		key := t.prefix + c.key
		old, again := items.Get(tx, key)
		j.count(c, again)
		if t.collected() {
			collection := t.collectionOf(key)
			setCollectionSize(tx, collection, t.collectionSize(tx, collection)+t.weigh(c.item)-t.weigh(old))
		}
		items.Put(tx, key, c.item)
		for _, x := range t.indexes {
			if entry, ok := x.entryKey(t, c.item); ok && t.checkIndexKeys(c.item) == nil {
				entries.Put(tx, entry, x.project(c.item))
			}
		}
	}
	return nil
}

func (j *copyJob) count(c copied, again bool) {
	if !again {
		j.Count++
		j.Bytes += int64(c.item.Size())
	}
}

// finish makes the target ready and lets the source go.
func (j *copyJob) finish(tx *store.Tx, now time.Time) {
	if b, ok := backups.Get(tx, store.Key(j.Target.Key)); ok && j.Target.Backup != 0 {
		b.Status, b.Count, b.Bytes = dynamodb.BackupStatusAvailable, j.Count, j.Bytes
		backups.Put(tx, store.Key(j.Target.Key), b)
	}
	if t, ok := tables.Get(tx, store.K(j.Target.Table)); ok && j.Target.Backup == 0 && t.restoring() {
		restored := *t.Restored
		restored.InProgress = false
		t.Restored = &restored
		t.Version++
		tables.Put(tx, store.K(t.Name), t)
	}
	if b, ok := backups.Get(tx, store.Key(j.Source.Key)); ok && j.Source.Backup != 0 {
		b.Reading--
		backups.Put(tx, store.Key(j.Source.Key), b)
		return
	}
	t, ok := tables.Get(tx, store.K(j.Source.Table))
	if !ok || t.ID != j.Source.ID {
		if j.Source.Backup == 0 { // it was deleted, and waited for its last backup
			purges.Set(tx, store.K(j.Source.ID, 0), now, purgeJob{ID: j.Source.ID})
		}
		return
	}
	t.Copying--
	t.Version++
	tables.Put(tx, store.K(t.Name), t)
	forgets.Set(tx, store.K(t.ID), now, forgetJob{t.Name}) // nothing was forgotten meanwhile
}
