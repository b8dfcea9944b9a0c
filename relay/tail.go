package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

// cursors are the positions of all tails, by name.
var cursors = store.NewTable[cursor]("relay/cursor", store.Regional)

// readRetry is the wait after the stream could not be read.
const readRetry = time.Second

type cursor struct {
	At       string
	Failures int `json:",omitempty"` // of the batch now at the front
	Size     int `json:",omitempty"` // of that batch, which is tried again as it was; 0 when it was never tried
}

// TailOptions describe a consumer of a stream.
type TailOptions[R any] struct {
	Name string // of the cursor, within the tenant: an event-source mapping's UUID
	// Read returns up to limit records after the cursor, and the cursor after the last of them. Reading
	// fewer again must give the same first ones. "" is Start's cursor when nothing was delivered yet.
	Read func(ctx context.Context, cursor string, limit int) (records []R, next string, err error)
	// Deliver handles records in order and returns how many are done with. With an error, the others are
	// tried again; without one all must be.
	Deliver func(ctx context.Context, records []R) (delivered int, err error)
	// Counts tells the failures that Failed is to count from others. When nil all count.
	Counts func(err error) bool
	// Failed is asked after a failure what to do with the records at the front that were not delivered:
	// skip so many (it has dealt with them), and wait. failures counts attempts on this front. When nil:
	// nothing is skipped, and the wait begins at 100 ms and doubles to a minute.
	Failed func(ctx context.Context, records []R, failures int, err error) (skip int, delay time.Duration)
	// Begin, when not nil, is called before the first records of a batch are read.
	Begin func()
	// Also, when not nil, is called in each transaction that stores the cursor, for what is to change with it.
	Also func(tx *store.Tx)
	// Urgent, when not nil, says of records that they are not to wait for more.
	Urgent func(records []R) bool
	// Again, when not nil, is when to read again although nothing new came; zero is never.
	Again func() time.Time
	Topic string // woken when there may be new records
	First string // the cursor to begin with when none is stored
	Limit int    // records in a batch; 100 when 0
	// Linger is how long to wait for a full batch after the first record came.
	Linger time.Duration
}

// Tail follows a stream from a durable cursor and hands its records over in batches, at least once.
type Tail[R any] struct {
	o    TailOptions[R]
	call aws.Call // the tenant

	mu   sync.Mutex
	stop context.CancelFunc
	done chan struct{}
	at   *cursor // as last stored; nil when not yet read. Only for whoever follows or steps.
}

// NewTail describes a tail for a tenant; nothing happens before Start or Step.
func NewTail[R any](account, region string, o TailOptions[R]) *Tail[R] {
	if o.Limit == 0 {
		o.Limit = 100
	}
	return &Tail[R]{o: o, call: aws.Call{Account: account, Region: region}}
}

// Start begins to follow, in the background until Stop or the world's end. Starting what runs does nothing.
func (t *Tail[R]) Start(db *store.DB, w *world.World, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.stop, t.done, t.at = stop, done, nil
	w.Go(func(world context.Context) {
		defer close(done)
		defer context.AfterFunc(world, stop)()
		t.follow(aws.WithCall(ctx, &t.call), db, w, log)
	})
}

// Stop ends following; the batch under way ends with its context. It returns when all is quiet. The cursor
// stays, and Start goes on there.
func (t *Tail[R]) Stop() {
	t.mu.Lock()
	stop, done := t.stop, t.done
	t.mu.Unlock()
	if done == nil {
		return
	}
	stop()
	<-done
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done == done {
		t.stop, t.done = nil, nil
	}
}

// Forget removes the durable cursor of a stopped tail.
func (t *Tail[R]) Forget(tx *store.Tx) {
	cursors.Delete(tx.In(t.call.Account, t.call.Region), store.K(t.o.Name))
}

// Cursor returns the stored cursor.
func (t *Tail[R]) Cursor(tx *store.Tx) (at string, ok bool) {
	c, ok := cursors.Get(tx.In(t.call.Account, t.call.Region), store.K(t.o.Name))
	return c.At, ok
}

func (t *Tail[R]) follow(ctx context.Context, db *store.DB, w *world.World, log *slog.Logger) {
	watch := db.Watch(t.o.Topic)
	defer watch.Close()
	failing := false
	for ctx.Err() == nil {
		changed := watch.Changed()
		did, delay, err := t.step(ctx, db, w, watch)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			log.Info("a tail changed state", "tail", t.o.Name, "failing", failing, "error", err)
		}
		switch {
		case delay > 0:
			w.Wait(ctx, nil, delay)
		case !did:
			w.WaitUntil(ctx, changed, t.again(w.Now()))
		}
	}
}

// again is when to read although nothing new came.
func (t *Tail[R]) again(now time.Time) time.Time {
	if t.o.Again != nil {
		if at := t.o.Again(); !at.IsZero() {
			return at
		}
	}
	return now.Add(1000 * time.Hour)
}

func (t *Tail[R]) urgent(records []R) bool { return t.o.Urgent != nil && t.o.Urgent(records) }

// Step reads and delivers at most one batch and stores the cursor: for simulations. It reports whether
// there was anything to do.
func (t *Tail[R]) Step(ctx context.Context, db *store.DB) (did bool, err error) {
	did, _, err = t.step(aws.WithCall(ctx, &t.call), db, db.World(), nil)
	return did, err
}

func (t *Tail[R]) step(ctx context.Context, db *store.DB, w *world.World, watch *store.Watch) (did bool, delay time.Duration, err error) {
	at, err := t.position(ctx, db)
	if err != nil {
		return false, readRetry, err
	}
	limit := t.o.Limit
	if at.Size > 0 {
		limit = at.Size
	}
	if t.o.Begin != nil {
		t.o.Begin()
	}
	records, next, err := t.o.Read(ctx, at.At, limit)
	if err != nil {
		return false, readRetry, err
	}
	if len(records) > 0 && t.o.Linger > 0 && at.Size == 0 && watch != nil {
		if records, next, err = t.linger(ctx, w, watch, records, next); err != nil {
			return false, readRetry, err
		}
	}
	if len(records) == 0 {
		if next == at.At || next == "" {
			return false, 0, nil
		}
		return true, 0, t.save(ctx, db, cursor{At: next})
	}
	return t.hand(ctx, db, at, records, next)
}

// position returns the stored cursor. It is read once: reading what was just stored would wait for the disk.
func (t *Tail[R]) position(ctx context.Context, db *store.DB) (cursor, error) {
	if t.at != nil {
		return *t.at, nil
	}
	at := cursor{At: t.o.First}
	err := db.View(ctx, func(tx *store.Tx) error {
		if c, ok := cursors.Get(tx, store.K(t.o.Name)); ok {
			at = c
		}
		return nil
	})
	if err == nil {
		t.at = &at
	}
	return at, err
}

// linger reads on until the batch is full or Linger has passed.
func (t *Tail[R]) linger(ctx context.Context, w *world.World, watch *store.Watch, records []R, next string) ([]R, string, error) {
	until := w.Now().Add(t.o.Linger)
	for len(records) < t.o.Limit && !t.urgent(records) {
		changed := watch.Changed()
		more, then, err := t.o.Read(ctx, next, t.o.Limit-len(records))
		if err != nil {
			return nil, "", err
		}
		if len(more) > 0 {
			records, next = append(records, more...), then
			continue
		}
		if t.urgent(records) || !w.WaitUntil(ctx, changed, until) {
			break
		}
	}
	return records, next, ctx.Err()
}

// hand delivers a batch and stores how far it came.
func (t *Tail[R]) hand(ctx context.Context, db *store.DB, at cursor, records []R, next string) (did bool, delay time.Duration, err error) {
	n, problem := t.o.Deliver(ctx, records)
	if ctx.Err() != nil && problem != nil {
		return true, 0, ctx.Err()
	}
	if problem == nil {
		return true, 0, t.save(ctx, db, cursor{At: next})
	}
	n = min(max(n, 0), len(records))
	failures := at.Failures
	if n > 0 {
		failures = 0
	}
	if t.o.Counts == nil || t.o.Counts(problem) {
		failures++
	}
	size := len(records) - n
	skip, delay := 0, backOff(failures)
	if t.o.Failed != nil {
		skip, delay = t.o.Failed(ctx, records[n:], failures, problem)
	}
	if skip > 0 {
		n, failures, size = min(n+skip, len(records)), 0, 0
	}
	if n < len(records) {
		next = at.At
	}
	if n > 0 && n < len(records) {
		if _, next, err = t.o.Read(ctx, at.At, n); err != nil {
			return true, readRetry, err
		}
	}
	if err := t.save(ctx, db, cursor{At: next, Failures: failures, Size: size}); err != nil {
		return true, readRetry, err
	}
	return true, delay, problem
}

// save stores the cursor without waiting for the disk: after a crash records are delivered again.
func (t *Tail[R]) save(ctx context.Context, db *store.DB, c cursor) error {
	err := db.UpdateSoon(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		cursors.Put(tx, store.K(t.o.Name), c)
		if t.o.Also != nil {
			t.o.Also(tx)
		}
		return nil
	})
	if err == nil {
		t.at = &c
	}
	return err
}
