package dynamodb

import (
	"context"
	"slices"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
)

// Tables and their global indexes pass through CREATING, UPDATING and DELETING: the status is written in the transaction of the change, and a
// second transaction ends it, so it can be looked at in between and survives a restart. SDKs' waiters look at once and
// then every 20 seconds; so unless transitions are to linger, the second transaction comes before the answer of
// the operation, and a timer stands by in case the process stops between the two.
// See docs/decisions/0021-table-status.md.
var transitions = store.NewTimers[string]("dynamodb/transition") // table's ID → table's name

// standBy is how long after the change the timer ends a transition that does not linger.
const standBy = time.Second

// Linger makes backups, tables and indexes stay in CREATING, UPDATING and DELETING for d after the operation. Call it before anything is served.
func (s *Service) Linger(d time.Duration) { s.linger = max(0, d) }

// status is the TableStatus.
func (t *table) status() string {
	switch {
	case t.restoring():
		return dynamodb.TableStatusCreating
	case t.Status != "":
		return t.Status
	}
	return dynamodb.TableStatusActive
}

// absent reports whether all but the operations on tables answer as though there were no such table: while it
// is being created, restored or deleted. One that is UPDATING stays in use.
func (t *table) absent() bool {
	return t.restoring() || t.Status != "" && t.Status != dynamodb.TableStatusUpdating
}

// settled refuses to change a table that is being created or deleted.
func (t *table) settled() error {
	switch t.status() {
	case dynamodb.TableStatusCreating:
		return t.inUse("Table is being created: %s", t.Name)
	case dynamodb.TableStatusDeleting:
		return t.inUse("Table is being deleted: %s", t.Name)
	}
	return nil
}

func (t *table) inUse(format string, args ...any) error {
	return dynamodb.ResourceInUseException("Attempt to change a resource which is still in use: "+format, args...)
}

// tableIn returns the record of a table that can be used.
func tableIn(tx *store.Tx, name string) (t table, ok bool) {
	t, ok = tables.Get(tx, tableKey(name))
	return t, ok && !t.absent()
}

// refuseTaken refuses the name of a new table that another has.
func refuseTaken(tx *store.Tx, name string) error {
	t, ok := tables.Get(tx, tableKey(name))
	switch {
	case !ok:
		return nil
	case t.restoring():
		return t.inUse("Table is being used: %s", name)
	case t.absent():
		return t.settled()
	}
	return dynamodb.ResourceInUseException("Table already exists: %s", name)
}

// enter stores the record with a status and sees to it that the status ends.
func (t *table) enter(tx *store.Tx, status string, ends time.Time) {
	t.Status, t.Ends = status, ends
	t.await(tx)
}

// await stores the record and sets the timer for the first status in it that ends.
func (t *table) await(tx *store.Tx) {
	tables.Put(tx, tableKey(t.Name), *t)
	var first time.Time
	note := func(status string, ends time.Time) {
		if status != "" && (first.IsZero() || ends.Before(first)) {
			first = ends
		}
	}
	note(t.Status, t.Ends)
	for i := range t.Indexes {
		note(t.Indexes[i].Status, t.Indexes[i].Ends)
	}
	if first.IsZero() {
		transitions.Cancel(tx, store.K(t.ID))
	} else {
		transitions.Set(tx, store.K(t.ID), first, t.Name)
	}
}

// transitionEnd is when the timer ends a transition that begins now.
func (s *Service) transitionEnd(now time.Time) time.Time {
	if s.linger > 0 {
		return now.Add(s.linger)
	}
	return now.Add(standBy)
}

// endTransitions ends what is due of the table with this ID.
func (s *Service) endTransitions(ctx context.Context, id store.Key, name string) error {
	return s.endUntil(ctx, id, name, s.world.Now())
}

// endUntil ends the transitions of the table with this ID that end until the moment: it is ACTIVE, or gone, and so are its indexes.
func (s *Service) endUntil(ctx context.Context, id store.Key, name string, until time.Time) error {
	now := s.world.Now()
	last := s.newJobs()
	return s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		t, ok := tables.Get(tx, tableKey(name))
		if !ok || store.K(t.ID) != id {
			return nil
		}
		if t.Status == dynamodb.TableStatusDeleting && !t.Ends.After(until) {
			transitions.Cancel(tx, id)
			tables.Delete(tx, tableKey(name))
			t.letGo(tx, last, now)
			return nil
		}
		if t.Status != dynamodb.TableStatusDeleting && !t.Ends.After(until) {
			t.Status, t.Ends, t.Change = "", time.Time{}, nil
			t.Throughput, t.Wanted = t.Wanted.or(t.Throughput), nil
		}
		s.endIndexes(tx, &t, until, now)
		t.Version++
		t.await(tx)
		return nil
	})
}

// or returns p, or what stands in for it when there is none.
func (p *throughput) or(q throughput) throughput {
	if p != nil {
		return *p
	}
	return q
}

// endIndexes ends the transitions of the table's indexes that end until the moment.
func (s *Service) endIndexes(tx *store.Tx, t *table, until, now time.Time) {
	var left []index
	var filled []int
	for _, x := range t.Indexes {
		if x.Status == "" || x.Ends.After(until) {
			left = append(left, x)
			continue
		}
		if x.Status == dynamodb.IndexStatusDeleting {
			purges.Set(tx, store.K(t.ID, x.ID), now, purgeJob{t.ID, x.ID})
			continue
		}
		if x.Status == dynamodb.IndexStatusCreating {
			x.Filling = true
			filled = append(filled, x.ID)
		}
		x.Throughput, x.Wanted = x.Wanted.or(x.Throughput), nil
		x.Status, x.Ends = "", time.Time{}
		left = append(left, x)
	}
	if len(left) < len(t.Indexes) {
		t.Attributes = slices.DeleteFunc(slices.Clone(t.Attributes), func(a dynamodb.AttributeDefinition) bool { return !uses(t.Keys, left, a.AttributeName) })
	}
	t.Indexes = left
	for _, id := range filled {
		s.beginFilling(tx, t, id, now)
	}
}

// settle ends the transitions an operation began, unless they are to linger. The change has been made whatever
// happens here: what fails is left to the timer.
func (s *Service) settle(ctx context.Context, t *table) {
	if s.linger == 0 {
		_ = s.endUntil(ctx, store.K(t.ID), t.Name, s.transitionEnd(s.world.Now()))
	}
}
