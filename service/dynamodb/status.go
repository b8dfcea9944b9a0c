package dynamodb

import (
	"context"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
)

// A table passes through CREATING, UPDATING and DELETING: the status is written in the transaction of the change, and a
// second transaction ends it, so it can be looked at in between and survives a restart. SDKs' waiters look at once and
// then every 20 seconds; so unless transitions are to linger, the second transaction comes before the answer of
// the operation, and a timer stands by in case the process stops between the two.
// See docs/decisions/0021-table-status.md.
var transitions = store.NewTimers[string]("dynamodb/transition") // table's ID → table's name

// standBy is how long after the change the timer ends a transition that does not linger.
const standBy = time.Second

// Linger makes tables stay in CREATING, UPDATING and DELETING for d after the operation. Call it before anything is served.
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

// settled refuses to change a table that is in transition.
func (t *table) settled() error {
	switch t.status() {
	case dynamodb.TableStatusCreating:
		return t.inUse("created")
	case dynamodb.TableStatusUpdating:
		return t.inUse("updated")
	case dynamodb.TableStatusDeleting:
		return t.inUse("deleted")
	}
	return nil
}

func (t *table) inUse(being string) error {
	return dynamodb.ResourceInUseException("Attempt to change a resource which is still in use: Table is being %s: %s", being, t.Name)
}

// tableIn returns the record of a table that can be used.
func tableIn(tx *store.Tx, name string) (t table, ok bool) {
	t, ok = tables.Get(tx, tableKey(name))
	return t, ok && !t.absent()
}

// refuseTaken refuses the name of a new table that another has.
func refuseTaken(tx *store.Tx, name string, taken func(format string, args ...any) *aws.Error) error {
	t, ok := tables.Get(tx, tableKey(name))
	switch {
	case !ok:
		return nil
	case t.Status == dynamodb.TableStatusDeleting:
		return t.settled()
	}
	return taken("Table already exists: %s", name)
}

// enter stores the record with a status and sees to it that the status ends.
func (t *table) enter(tx *store.Tx, status string, ends time.Time) {
	t.Status = status
	tables.Put(tx, tableKey(t.Name), *t)
	transitions.Set(tx, store.K(t.ID), ends, t.Name)
}

// transitionEnd is when the timer ends a transition that begins now.
func (s *Service) transitionEnd(now time.Time) time.Time {
	if s.linger > 0 {
		return now.Add(s.linger)
	}
	return now.Add(standBy)
}

// endTransition ends the transition of the table with this ID: it is ACTIVE, or gone.
func (s *Service) endTransition(ctx context.Context, id store.Key, name string) error {
	now := s.world.Now()
	last := s.newJobs()
	return s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		t, ok := tables.Get(tx, tableKey(name))
		if !ok || store.K(t.ID) != id {
			return nil
		}
		transitions.Cancel(tx, id)
		if t.Status == dynamodb.TableStatusDeleting {
			tables.Delete(tx, tableKey(name))
			t.letGo(tx, last, now)
			return nil
		}
		t.Status = ""
		tables.Put(tx, tableKey(name), t)
		return nil
	})
}

// settle ends the transition an operation began, unless it is to linger. The change has been made whatever
// happens here: what fails is left to the timer.
func (s *Service) settle(ctx context.Context, t *table) {
	if s.linger == 0 {
		_ = s.endTransition(ctx, store.K(t.ID), t.Name)
	}
}
