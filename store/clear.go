package store

import (
	"context"
	"encoding/binary"
	"sync"
)

// clearHooks are told of Clear.
type clearHooks struct {
	mu    sync.Mutex
	hooks []func(ctx context.Context, account string) error
}

// OnClear registers f to be called by Clear after the rows are gone, with the account or "" for all. Who
// keeps rows about accounts in Global tables removes them there, and who remembers anything forgets it.
func (db *DB) OnClear(f func(ctx context.Context, account string) error) {
	db.cleared.mu.Lock()
	defer db.cleared.mu.Unlock()
	db.cleared.hooks = append(db.cleared.hooks, f)
}

// Clear removes every row, log entry and timer of an account in all regions, or of everybody and the
// Global ones when account is "". It takes its turn among the commits; transactions under way run again.
// The cost does not depend on how much there is, but for Global rows about an account.
func (db *DB) Clear(ctx context.Context, account string) error {
	if err := db.life.begin(); err != nil {
		return err
	}
	defer db.life.finish()
	s := span{account + "\x00", account + "\x01"}
	if account == "" {
		s = span{"", "\xff"}
	}
	b := db.engine.batch()
	n, err := db.applyClear(b, s)
	if n == 0 {
		b.close()
		return err
	}
	if err := db.settle(b, n, err); err != nil {
		return err
	}
	if err := db.clearDue(ctx, account); err != nil {
		return err
	}
	db.cleared.mu.Lock()
	hooks := db.cleared.hooks
	db.cleared.mu.Unlock()
	for _, f := range hooks {
		if err := f(ctx, account); err != nil {
			return err
		}
	}
	db.timers.poke()
	db.watches.wakeAll()
	return nil
}

func (db *DB) applyClear(b batch, s span) (n uint64, err error) {
	b.deleteRange(s.low, s.high)
	db.commits.mu.Lock()
	defer db.commits.mu.Unlock()
	if err := db.failure(); err != nil {
		return 0, err
	}
	n = db.commits.last.Load() + 1
	db.commits.reserved = max(db.commits.reserved, n+reserveStep)
	b.set(string(reservedKey), binary.BigEndian.AppendUint64(nil, db.commits.reserved))
	db.history.push(n, func(w *written) { w.spans = append(w.spans, s) })
	db.history.floor.Store(n)
	clear(db.commits.counters)
	db.commits.begun.Store(n)
	err = b.apply(true)
	db.commits.last.Store(n)
	raise(&db.durable.goal, n)
	return n, err
}

// clearDue removes an account's timers from the sleeper's list, a page at a time.
func (db *DB) clearDue(ctx context.Context, account string) error {
	if account == "" {
		return nil
	}
	var after Key
	for more := true; more; {
		var last Key
		err := db.Update(ctx, func(tx *Tx) error {
			seen := 0
			for key := range dueRows.Keys(tx, Range{After: after, Limit: 1000}) {
				var whose string
				if err := key.Parse(nil, nil, &whose, nil, new(Key)); err == nil && whose == account {
					dueRows.Delete(tx, key)
				}
				seen++
				last = key
			}
			more = seen == 1000
			return nil
		})
		if err != nil {
			return err
		}
		after = last
	}
	return nil
}
