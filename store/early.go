package store

import (
	"context"
	"sync/atomic"

	"fogbank/aws"
)

// early is the mark of work that goes ahead of the disk: the newest commit the work depends on.
type early struct {
	db     *DB
	need   atomic.Uint64
	within *Joint // the work is part of a transaction, nil when it is not
}

// Early returns ctx for work inside the process that follows from a commit, the one that gave the stamp (0: from
// none yet). In it Update and View do not wait for the disk: what they wrote and read is noted instead, and aws.Settle
// waits for all of it. The log is sequential, so whatever the work commits is lost in a power cut when what
// it followed from is, never alone; but nothing may leave the process before aws.Settle has returned nil.
func (db *DB) Early(ctx context.Context, stamp uint64) context.Context {
	e := db.early(ctx)
	if e == nil {
		e = &early{db: db}
		ctx = aws.WithUnsettled(ctx, e)
	}
	raise(&e.need, stamp>>stampBits)
	return ctx
}

// early returns the mark in ctx, or nil when work in ctx waits for the disk.
func (db *DB) early(ctx context.Context) *early {
	u, _ := aws.LookupUnsettled(ctx)
	if e, ok := u.(*early); ok && e.db == db {
		return e
	}
	return nil
}

// Settle implements aws.Unsettled: it returns when everything the work depends on is durable.
func (e *early) Settle(ctx context.Context) error {
	if e.within != nil {
		return errLeaving
	}
	if err := e.db.life.begin(); err != nil {
		return err
	}
	defer e.db.life.finish()
	return e.db.await(ctx, e.need.Load())
}
