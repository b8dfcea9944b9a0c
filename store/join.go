package store

import (
	"context"
	"errors"
	"sync/atomic"

	"fogbank/aws"
)

// ErrContended is the result of Join when others changed what it read each time it ran.
var ErrContended = errors.New("store: what was read changed again and again")

// What a part of a joint transaction may not do.
var (
	errEnded   = errors.New("store: this transaction has ended")
	errLeaving = errors.New("store: nothing leaves the process from within a transaction")
)

// Joint is a transaction made of calls that would else each make their own.
type Joint struct {
	ctx    context.Context
	t      *txn
	mark   early       // of what Views saw in the parts
	broken error       // why it cannot commit
	ended  atomic.Bool // what still has the context of a part is too late
}

// Join makes one transaction of many calls, for the price of one commit: what fn does in Do commits together or not at all.
// fn may run several times, and in the end Join may give up with ErrContended; what is done outside the database happens as
// often. Locks named in the calls are not taken.
func (db *DB) Join(ctx context.Context, fn func(j *Joint) error) error {
	var j *Joint
	err := db.update(ctx, func(tx *Tx) error {
		j = &Joint{t: tx.t}
		j.mark.db, j.mark.within = db, j
		j.ctx = aws.WithUnsettled(ctx, &j.mark)
		defer j.ended.Store(true)
		err := fn(j)
		if j.broken != nil {
			return j.broken
		}
		return err
	}, updating{sync: db.early(ctx) == nil, joint: true})
	if j == nil {
		return err
	}
	need := j.mark.need.Load()
	if e := db.early(ctx); e != nil {
		raise(&e.need, need)
	} else if werr := db.await(ctx, need); werr != nil {
		return werr
	}
	return err
}

// Joined reports whether work in ctx is a part of a transaction made by Join.
func (db *DB) Joined(ctx context.Context) bool {
	e := db.early(ctx)
	return e != nil && e.within != nil
}

// Do runs f as a part of the transaction: calls of Update in the context f is given are in it. Its Views see what was there
// before. A part that fails before it changed anything leaves the others as they are; one that fails later takes
// all with it, and its error is that of Join. f may not go on in other goroutines, nor leave the process (aws.Settle).
func (j *Joint) Do(f func(ctx context.Context) error) error {
	if j.broken != nil {
		return j.broken
	}
	before := j.t.changes
	err := f(j.ctx)
	if err != nil && j.broken == nil && j.t.changes != before {
		j.broken = err
	}
	if j.broken != nil {
		return j.broken
	}
	return err
}

// part runs the body of an Update, for the tenant in ctx.
func (j *Joint) part(ctx context.Context, fn func(*Tx) error) (err error) {
	if j.ended.Load() {
		return errEnded
	}
	if j.broken != nil {
		return j.broken
	}
	before, returned := j.t.changes, false
	defer func() {
		if err != nil && (!returned || j.t.changes != before) {
			j.broken = err
		}
	}()
	defer catch(&err)
	tx := &Tx{t: j.t}
	if c, ok := aws.LookupCall(ctx); ok {
		tx.account, tx.region = c.Account, c.Region
	}
	err = fn(tx)
	returned = true
	return err
}
