package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Limits of the store. A longer key, a larger value or a larger transaction fails with ErrTooLarge.
const (
	MaxKey   = 2560             // bytes of a stored key: account, region and table name included
	MaxValue = 1<<20 + 64<<10   // bytes of an encoded row: one MiB and what surrounds it
	MaxTx    = 16 << 20         // bytes of all keys and values a transaction writes
	MaxAdded = 1<<stampBits - 1 // rows one transaction adds under stamps
)

// Errors a caller may act on.
var (
	ErrTooLarge = errors.New("store: over a size limit")
	ErrDiskFull = errors.New("store: the disk is full")
	ErrClosed   = errors.New("store: closed")
	ErrInUse    = errors.New("the data directory is used by another fogbank")
)

// Options says where and how a database is kept. World is required.
type Options struct {
	Dir   string
	FS    vfs.FS // the operating system's when nil
	World *world.World
	Log   *slog.Logger // silent when nil
	// CacheBytes bounds the cache of blocks read from disk; 16 MiB when 0.
	CacheBytes int64
	// MemTableBytes is how much is written before a table is flushed; with it the log to replay after
	// a crash, and so the time to open, is bounded. 4 MiB when 0.
	MemTableBytes uint64
	// ReserveBytes is how much of the disk stays free: commits are refused with ErrDiskFull below it.
	// 64 MiB when 0.
	ReserveBytes uint64
	// Fatal is called once when the disk failed in a way after which nothing may be promised: a failed
	// sync above all. When nil the process logs and ends with status 1. If it returns, every later call fails.
	Fatal func(error)
}

// DB is an open database. Its methods may be called from many goroutines.
type DB struct {
	engine  engine
	world   *world.World
	log     *slog.Logger
	release func() error // the directory's lock
	fatal   func(error)
	reserve uint64

	history history
	durable durability
	post    aftermath
	locks   lockTable
	watches watches
	derived cache
	timers  sleeper
	cleared clearHooks

	commits committer
	life    lifetime
	failed  atomic.Pointer[error]
	soon    chan struct{} // poked by commits that nobody waits for
	unspent atomic.Int64  // bytes that may be written before the disk's space is looked at again
}

var reservedKey = []byte("\x00\x00store/reserved\x00")

// Open opens or makes the database in o.Dir. It fails with ErrInUse when another process has it open.
func Open(o Options) (*DB, error) {
	o = o.withDefaults()
	release, err := lockDirectory(o)
	if err != nil {
		return nil, err
	}
	db := newDB(o)
	db.release = release
	e, err := openPebble(o, db.fail)
	if err != nil {
		release()
		return nil, fmt.Errorf("store: open %s: %w", o.Dir, err)
	}
	db.engine = e
	if err := db.recover(); err != nil {
		e.close()
		release()
		return nil, fmt.Errorf("store: open %s: %w", o.Dir, err)
	}
	db.world.Go(db.syncSoon)
	return db, nil
}

// Memory opens an empty database in memory, for tests; it works in a synctest bubble.
func Memory(w *world.World) *DB {
	db, err := Open(Options{Dir: "/data", FS: vfs.NewMem(), World: w})
	if err != nil {
		panic(err)
	}
	return db
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 4 << 20
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 64 << 20
	}
	if o.Fatal == nil {
		log := o.Log
		o.Fatal = func(err error) {
			log.Error("the disk failed; stopping, since nothing more can be promised", "error", err)
			fmt.Fprintln(os.Stderr, "fogbank: the disk failed; stopping:", err)
			os.Exit(1)
		}
	}
	return o
}

func newDB(o Options) *DB {
	db := &DB{world: o.World, log: o.Log, fatal: o.Fatal, reserve: o.ReserveBytes, soon: make(chan struct{}, 1)}
	db.history.init()
	db.durable.init()
	db.watches.init()
	db.derived.init()
	db.commits.counters = map[string]uint64{}
	db.life.done = make(chan struct{})
	return db
}

// recover reads how far commit numbers may have been used by earlier lives.
func (db *DB) recover() error {
	s := db.engine.snapshot()
	defer s.close()
	var reserved uint64
	_, err := s.get(reservedKey, func(v []byte) {
		if len(v) == 8 {
			reserved = binary.BigEndian.Uint64(v)
		}
	})
	db.commits.reserved = reserved
	db.commits.last.Store(reserved)
	db.commits.begun.Store(reserved)
	db.durable.at.Store(reserved)
	db.post.ran.Store(reserved)
	db.history.reset(reserved)
	return err
}

// Close waits for the transactions under way, then closes the files. The world's background work should
// have been stopped before; what is left of it gets ErrClosed.
func (db *DB) Close() error {
	if !db.life.end() {
		return ErrClosed
	}
	if db.failed.Load() != nil {
		// The engine cannot be trusted to return.
		return db.release()
	}
	return errors.Join(db.engine.close(), db.release())
}

// fail records that the disk failed, and tells Options.Fatal once.
func (db *DB) fail(err error) {
	err = fmt.Errorf("store: the disk failed: %w", err)
	if db.failed.CompareAndSwap(nil, &err) {
		db.durable.fail()
		db.fatal(err)
	}
}

func (db *DB) failure() error {
	if p := db.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Stats are figures about the engine, for metrics.
type Stats struct {
	DiskBytes, CacheBytes, MemTableBytes, LogBytes, Compactions uint64
}

// Stats returns current figures.
func (db *DB) Stats() Stats { return db.engine.stats() }

// Checkpoint writes a copy of everything durable now to dir, which must not exist; Open opens it. On the
// same file system it shares the table files, and so is quick and small at first.
func (db *DB) Checkpoint(dir string) error {
	if err := db.life.begin(); err != nil {
		return err
	}
	defer db.life.finish()
	if err := db.engine.checkpoint(dir); err != nil {
		return fmt.Errorf("store: checkpoint to %s: %w", dir, err)
	}
	return nil
}

// room refuses to write when the disk is nearly full, so that the log itself never meets the end.
func (db *DB) room(size int) error {
	if db.unspent.Add(-int64(size)-256) > 0 {
		return nil
	}
	free, err := db.engine.space()
	if err != nil {
		db.unspent.Store(1 << 40) // the file system cannot tell
		return nil
	}
	if free < db.reserve {
		db.unspent.Store(0)
		return fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", ErrDiskFull, free, db.reserve)
	}
	db.unspent.Store(min(int64(free-db.reserve)/2, 4<<20))
	return nil
}

// lifetime counts transactions so that Close can wait for them.
type lifetime struct {
	mu    sync.Mutex
	busy  int
	ended bool
	done  chan struct{} // closed when ending begins
	idle  chan struct{} // closed when the last one finishes after that
}

func (l *lifetime) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ErrClosed
	}
	l.busy++
	return nil
}

func (l *lifetime) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	if l.ended && l.busy == 0 {
		close(l.idle)
	}
}

// end reports whether it was the first to be called; it returns when nothing runs any more.
func (l *lifetime) end() bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.ended = true
	l.idle = make(chan struct{})
	close(l.done)
	if l.busy == 0 {
		close(l.idle)
	}
	l.mu.Unlock()
	<-l.idle
	return true
}

// Done is closed when Close begins.
func (db *DB) Done() <-chan struct{} { return db.life.done }

// World returns the world the database was opened with.
func (db *DB) World() *world.World { return db.world }

// View runs fn on one state of the database, which holds every commit acknowledged before the call. It
// never blocks writers nor runs fn twice. It returns only when everything fn read is durable, so an answer
// built from it cannot be lost. fn must not change anything, and should end within five seconds: page
// long lists, one View a page.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	if err := db.life.begin(); err != nil {
		return err
	}
	defer db.life.finish()
	if err := ctx.Err(); err != nil {
		return err
	}
	return db.view(ctx, fn, false)
}

// Glance is View for a body that mostly finds what it needs among derived values: it takes no snapshot
// until something must be read, which saves half of the cost of a short View. The body may run several times,
// like that of Update.
func (db *DB) Glance(ctx context.Context, fn func(*Tx) error) error {
	if err := db.life.begin(); err != nil {
		return err
	}
	defer db.life.finish()
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.view(ctx, fn, attempt < optimistic); !errors.Is(err, errStale) {
			return err
		}
	}
}

// view runs fn on a snapshot. A lazy one is taken when it is needed, and the error is errStale when what was
// seen before has changed by then.
func (db *DB) view(ctx context.Context, fn func(*Tx) error, lazy bool) error {
	t := db.newTxn(ctx, false)
	defer t.end()
	if t.lazy = lazy; !lazy {
		t.open()
	}
	err := t.run(fn)
	if errors.Is(err, errStale) {
		return err
	}
	if werr := db.awaitReads(ctx, t); werr != nil {
		return werr
	}
	return err
}
