package dynamodb

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"fogbank/store"
	"fogbank/wire/attribute"
)

// history holds items as they were before each change, at (table's ID, rest of the item's key, moment of the change
// in nanoseconds, number of the change in it), for tables with point-in-time recovery and those being copied. The item as it was at a
// moment is in the first row of the item after that moment, or, when there is none, in the table. So
// the table can be read as of any moment while it is being written.
//
// Cost: a change of such a table writes one more row, of the size of the item it replaces, and looks for the item's last
// row first; a table of 1 KB items that takes 100 changes a second grows by 8 GB a day. Retention bounds it.
var history = store.NewTable[past]("dynamodb/history", store.Regional)

// past is an item before a change; nil when it was not there.
type past struct {
	version uint64 // of the table when it was changed
	item    attribute.Item
}

// AppendBinary appends the version, whether there was an item, and the item.
func (p *past) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, p.version)
	if p.item == nil {
		return append(b, 0), nil
	}
	return p.item.AppendBinary(append(b, 1))
}

// UnmarshalBinary reads AppendBinary's form.
func (p *past) UnmarshalBinary(b []byte) error {
	version, n := binary.Uvarint(b)
	if n <= 0 || len(b) <= n || b[n] > 1 || b[n] == 0 && len(b) > n+1 {
		return errors.New("dynamodb: malformed row of history")
	}
	*p = past{version: version}
	if b[n] == 0 {
		return nil
	}
	p.item = attribute.Item{}
	return p.item.UnmarshalBinary(b[n+1:])
}

// remembers reports whether changes of the table are kept.
func (t *table) remembers() bool { return t.Recovery != nil || t.Copying > 0 }

// historyKey is the prefix of an item's rows; key is below the table's prefix.
func historyKey(prefix, key store.Key) store.Key {
	return prefix.Bytes([]byte(key[len(prefix):]))
}

// remember keeps the item as it was before the write. Rows of one item are in the order of its changes, even
// when the clock is not.
func (w *write) remember(tx *store.Tx, now time.Time) {
	if !w.t.remembers() {
		return
	}
	rows := historyKey(w.t.prefix, w.key)
	at, number := now.UnixNano(), int64(0)
	for key := range history.Keys(tx, store.Range{Prefix: rows, Reverse: true, Limit: 1}) {
		if last, n, ok := historyMoment(key, len(rows)); ok && last >= at {
			at, number = last, n+1
		}
	}
	history.Put(tx, rows.Int(at).Int(number), past{w.t.Version, w.old})
}

// historyMoment takes a row's key apart, behind the prefix of its item.
func historyMoment(key store.Key, prefix int) (at, number int64, ok bool) {
	err := key[prefix:].Parse(&at, &number)
	return at, number, err == nil
}

// moment is a point in the life of a table: after all changes until the time that were made before the table's
// record had the version.
type moment struct {
	At      time.Time
	Version uint64
}

// clockSlack is how much earlier than its commit a change may have read the clock.
const clockSlack = time.Minute

// before returns the item as it was at the moment; changed is false when it has not been changed since.
func (m moment) before(tx *store.Tx, rows store.Key) (item attribute.Item, changed bool) {
	for key, p := range history.Scan(tx, store.Range{Prefix: rows, From: rows.Int(m.At.Add(-clockSlack).UnixNano())}) {
		if at, _, ok := historyMoment(key, len(rows)); ok && (at > m.At.UnixNano() || p.version >= m.Version) {
			return p.item, true
		}
	}
	return nil, false
}

// forgetJob is the trimming of a table's history.
type forgetJob struct{ Table string }

// forgets wake each table that remembers: id (table's ID).
var forgets = store.NewTimers[forgetJob]("dynamodb/forget")

// forgetEvery is how often history is trimmed. All its keys are looked at, since they stand by item, not by time.
const forgetEvery = 6 * time.Hour

// horizonIn returns up to when the history of a table can be forgotten: all of it when nothing needs it, none while
// the table is being copied.
func (s *Service) horizonIn(tx *store.Tx, id store.Key, job forgetJob, now time.Time) (horizon time.Time, again bool) {
	t, ok := tables.Get(tx, store.K(job.Table))
	switch {
	case !ok || store.K(t.ID) != id || !t.remembers():
		return now.Add(clockSlack), false
	case t.Copying > 0:
		return time.Time{}, false
	}
	return t.Recovery.earliest(s.longest(), now), true
}

// trimHistory forgets what is older than the table's recovery period.
func (s *Service) trimHistory(ctx context.Context, id store.Key, job forgetJob) error {
	now := s.world.Now()
	var horizon time.Time
	again := false
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if horizon, again = s.horizonIn(tx, id, job, now); again { // what is about to go can be restored no more
			t, _ := tables.Get(tx, store.K(job.Table))
			t.Recovery = &recovery{Since: horizon, Days: t.Recovery.Days}
			tables.Put(tx, store.K(job.Table), t)
		}
		return nil
	})
	after, more := store.Key(""), !horizon.IsZero()
	for err == nil && more {
		var old []store.Key
		if old, after, err = s.oldHistory(ctx, id, after, horizon); err != nil {
			return err
		}
		more = after != ""
		err = s.db.Update(ctx, func(tx *store.Tx) error {
			if is, _ := s.horizonIn(tx, id, job, now); !is.Equal(horizon) {
				more = false // the setting was changed, which has set the timer anew
				return nil
			}
			for _, key := range old {
				history.Delete(tx, key)
			}
			return nil
		})
	}
	if err != nil || !again {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if _, again := s.horizonIn(tx, id, job, now); again {
			forgets.Set(tx, id, now.Add(forgetEvery), job)
		}
		return nil
	})
}

// oldHistory looks at rows after the key and returns those not later than the horizon, and where to go on, "" at the end.
func (s *Service) oldHistory(ctx context.Context, prefix, after store.Key, horizon time.Time) (old []store.Key, next store.Key, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		old, next = nil, ""
		n := 0
		for key := range history.Keys(tx, store.Range{Prefix: prefix, After: after}) {
			var item []byte
			var at, number int64
			if err := key[len(prefix):].Parse(&item, &at, &number); err != nil {
				return err
			}
			if at <= horizon.UnixNano() {
				old = append(old, key)
			}
			if n++; n == 20*atOnce || len(old) == atOnce {
				next = key
				return nil
			}
		}
		return nil
	})
	return old, next, err
}
