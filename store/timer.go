package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fogbank/aws"
)

// Timers call a handler at chosen moments, across restarts. Each has an id within its tenant.
//
// Stored: per tenant, id → due moment, generation, failures, value; and for all tenants together
// timer/due: (name, moment, account, region, id) → nothing, which the sleeper reads in order.
type Timers[V any] struct {
	name  string
	rows  *Table[[]byte]
	codec codec[V]
}

var dueRows = NewTable[[]byte]("timer/due", Global)

const (
	timerRoom      = 64 // handlers of one Timers at work at once
	timerRetry     = time.Second
	timerRetryMost = 5 * time.Minute
)

// NewTimers describes the timers called name, such as "sqs/redrive".
func NewTimers[V any](name string) *Timers[V] {
	return &Timers[V]{name, NewTable[[]byte]("timer/"+name, Regional), newCodec[V](name)}
}

// timerRow is a timer as stored, in front of its value.
type timerRow struct {
	at       time.Time
	setting  uint64 // grows with each Set, so that an old firing does not remove a newer setting
	failures uint32
	value    []byte
}

func (r timerRow) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24+len(r.value)), uint64(r.at.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(r.at.Nanosecond()))
	b = binary.BigEndian.AppendUint64(b, r.setting)
	b = binary.BigEndian.AppendUint32(b, r.failures)
	return append(b, r.value...)
}

func decodeTimer(b []byte) timerRow {
	if len(b) < 24 {
		fail("store: a stored timer of %d bytes", len(b))
	}
	return timerRow{
		at:       time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))).UTC(),
		setting:  binary.BigEndian.Uint64(b[12:]),
		failures: binary.BigEndian.Uint32(b[20:]),
		value:    b[24:],
	}
}

func (t *Timers[V]) due(tx *Tx, at time.Time, id Key) Key {
	return K(t.name, at, tx.account, tx.region, id)
}

// Set makes the handler run with v at the moment at, or as soon as it can after. It replaces the timer of
// the same id.
func (t *Timers[V]) Set(tx *Tx, id Key, at time.Time, v V) {
	row := timerRow{at: at.UTC(), value: t.codec.encode(v)}
	t.replace(tx, id, row)
}

func (t *Timers[V]) replace(tx *Tx, id Key, row timerRow) {
	if b, ok := t.rows.Get(tx, id); ok {
		old := decodeTimer(b)
		row.setting = old.setting + 1
		dueRows.Delete(tx, t.due(tx, old.at, id))
	}
	t.rows.Put(tx, id, row.encode())
	dueRows.Put(tx, t.due(tx, row.at, id), nil)
	db := tx.t.db
	tx.AfterCommit(func() { db.timers.added(row.at) })
}

// Cancel removes the timer if it is set. A handler already running is not stopped.
func (t *Timers[V]) Cancel(tx *Tx, id Key) {
	if b, ok := t.rows.Get(tx, id); ok {
		dueRows.Delete(tx, t.due(tx, decodeTimer(b).at, id))
		t.rows.Delete(tx, id)
	}
}

// Due returns the moment the timer is set for.
func (t *Timers[V]) Due(tx *Tx, id Key) (at time.Time, ok bool) {
	b, ok := t.rows.Get(tx, id)
	if !ok {
		return at, false
	}
	return decodeTimer(b).at, true
}

// Run calls handler for due timers in the background until the world stops or db is closed, several at
// once but never one id twice at a time. The handler's context carries an aws.Call with the setter's
// account and region. When it returns nil the timer is removed, unless it was set anew meanwhile; on an
// error it is set for a little later. It may run again after a crash although it returned nil. Call Run
// once for each Timers and database.
func (t *Timers[V]) Run(db *DB, handler func(ctx context.Context, id Key, v V) error) {
	db.timers.run(db, t.name, func(ctx context.Context, id Key, firedAt time.Time) error {
		return t.fire(ctx, db, id, firedAt, handler)
	})
}

// fire runs the handler of one due timer and settles the row.
func (t *Timers[V]) fire(ctx context.Context, db *DB, id Key, dueAt time.Time, handler func(context.Context, Key, V) error) error {
	var row timerRow
	var set bool
	var v V
	err := db.View(ctx, func(tx *Tx) error {
		var b []byte
		if b, set = t.rows.Get(tx, id); set {
			row = decodeTimer(b)
			t.codec.decode(row.value, &v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !set || !row.at.Equal(dueAt) {
		return db.UpdateSoon(ctx, func(tx *Tx) error { return t.forget(tx, id, dueAt) })
	}
	problem := handler(ctx, id, v)
	if ctx.Err() != nil {
		return nil
	}
	if problem != nil && row.failures == 0 {
		db.log.Warn("a timer's handler failed and will be tried again", "timer", t.name, "id", id.String(), "error", problem)
	}
	return db.UpdateSoon(ctx, func(tx *Tx) error {
		b, ok := t.rows.Get(tx, id)
		switch now := row; {
		case !ok || decodeTimer(b).setting != row.setting || !decodeTimer(b).at.Equal(dueAt):
		case problem == nil:
			t.Cancel(tx, id)
		default:
			now.failures++
			now.at = db.world.Now().Add(min(timerRetry<<min(row.failures, 16), timerRetryMost))
			t.replace(tx, id, now)
		}
		return nil
	})
}

// forget removes a due row whose timer is gone or set for another moment.
func (t *Timers[V]) forget(tx *Tx, id Key, dueAt time.Time) error {
	if b, ok := t.rows.Get(tx, id); !ok || !decodeTimer(b).at.Equal(dueAt) {
		dueRows.Delete(tx, t.due(tx, dueAt, id))
	}
	return nil
}

// sleeper wakes the earliest timer; there is one to a database.
type sleeper struct {
	mu      sync.Mutex
	runners map[string]*runner
	wake    chan struct{}
	next    time.Time // what it sleeps until; zero when it is awake or nothing is due ever
	asleep  bool
}

// runner is the handler of one Timers.
type runner struct {
	fire  func(ctx context.Context, id Key, dueAt time.Time) error
	busy  map[Key]bool // (account, region, id) at work
	again bool         // due rows were passed over
}

func (s *sleeper) run(db *DB, name string, fire func(context.Context, Key, time.Time) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runners[name] != nil {
		panic("store: the timers " + name + " are run twice")
	}
	first := s.runners == nil
	if first {
		s.runners, s.wake = map[string]*runner{}, make(chan struct{}, 1)
	}
	s.runners[name] = &runner{fire: fire, busy: map[Key]bool{}}
	if first {
		db.world.Go(func(ctx context.Context) { s.loop(ctx, db) })
	}
	s.pokeLocked()
}

func (s *sleeper) pokeLocked() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sleeper) poke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		s.pokeLocked()
	}
}

// added wakes the sleeper if at is before what it sleeps until.
func (s *sleeper) added(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil && (!s.asleep || s.next.IsZero() || at.Before(s.next)) {
		s.pokeLocked()
	}
}

func (s *sleeper) loop(ctx context.Context, db *DB) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, s.poke)
	for ctx.Err() == nil {
		s.mu.Lock()
		s.asleep = false
		names := slices.Sorted(maps.Keys(s.runners))
		s.mu.Unlock()
		var next time.Time
		var err error
		for _, name := range names {
			var at time.Time
			if at, err = s.look(ctx, db, name); err != nil {
				break
			}
			if !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if err != nil {
			return // the store is closed or its disk failed
		}
		s.mu.Lock()
		s.asleep, s.next = true, next
		s.mu.Unlock()
		if next.IsZero() {
			next = db.world.Now().Add(1000 * time.Hour)
		}
		s.sleep(ctx, db, next)
	}
}

// sleep returns at the moment next, when poked or when the database closes.
func (s *sleeper) sleep(ctx context.Context, db *DB, next time.Time) {
	db.world.WaitUntil(ctx, s.wake, next)
	select {
	case <-db.life.done:
	default:
	}
}

type dueTimer struct {
	at              time.Time
	account, region string
	id              Key
}

// look starts the handlers of name's due timers and returns when the next is due, zero when none is.
func (s *sleeper) look(ctx context.Context, db *DB, name string) (next time.Time, err error) {
	s.mu.Lock()
	r := s.runners[name]
	r.again = false
	room := timerRoom - len(r.busy)
	s.mu.Unlock()
	now := db.world.Now()
	var due []dueTimer
	err = db.View(ctx, func(tx *Tx) error {
		for key := range dueRows.Keys(tx, Range{Prefix: K(name)}) {
			var d dueTimer
			if err := key.Parse(nil, &d.at, &d.account, &d.region, &d.id); err != nil {
				return fmt.Errorf("store: a due timer's key %v: %w", key, err)
			}
			if d.at.After(now) {
				next = d.at
				return nil
			}
			if s.take(r, d, len(due) < room) {
				due = append(due, d)
			} else if len(due) >= room {
				return nil
			}
		}
		return nil
	})
	for _, d := range due {
		db.world.Go(func(ctx context.Context) { s.work(ctx, db, r, d) })
	}
	return next, err
}

func (d dueTimer) key() Key { return K(d.account, d.region, d.id) }

// take marks the timer busy; when it is already or there is no room, it is to be looked at again.
func (s *sleeper) take(r *runner, d dueTimer, room bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !room || r.busy[d.key()] {
		r.again = true
		return false
	}
	r.busy[d.key()] = true
	return true
}

func (s *sleeper) work(ctx context.Context, db *DB, r *runner, d dueTimer) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(r.busy, d.key())
		if r.again && len(r.busy) <= timerRoom/2 {
			s.pokeLocked()
		}
	}()
	ctx = aws.WithCall(ctx, &aws.Call{Account: d.account, Region: d.region})
	if err := r.fire(ctx, d.id, d.at); err != nil && ctx.Err() == nil && !isEnd(err) {
		db.log.Error("a timer could not be settled", "error", err)
	}
}

func isEnd(err error) bool { return strings.HasPrefix(err.Error(), "store: ") }
