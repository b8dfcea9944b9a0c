package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// pebbleFormat is the newest Pebble format a data directory of ours has; raising it needs a decision.
const pebbleFormat = pebble.FormatValueSeparation

// memTables is how many memtables may wait to be flushed before writers wait.
const memTables = 4

// pebbleEngine is the engine on one directory.
type pebbleEngine struct {
	db    *pebble.DB
	fs    vfs.FS
	dir   string
	apart apart

	// Closing Pebble's oldest snapshot makes it look for compactions, which costs more than a read. An
	// anchor older than the transactions' snapshots, renewed now and then, keeps them from being the oldest.
	anchored int // bytes written since it was renewed
	mu       sync.Mutex
	anchor   *pebble.Snapshot
}

// anchorBytes is how much is written before the anchor is renewed. It must be little beside a memtable: rows that were written and
// removed since are written to files all the same, and so are the marks of rows removed.
const anchorBytes = 256 << 10

func openPebble(o Options, fatal func(error)) (*pebbleEngine, error) {
	// Pebble counts its memtables against the cache.
	cache := pebble.NewCache(o.CacheBytes + (memTables+1)*int64(o.MemTableBytes))
	defer cache.Unref()
	opts := &pebble.Options{
		FS:                          logFS{o.FS},
		Cache:                       cache,
		Merger:                      adder,
		Logger:                      pebbleLog{o.Log, fatal},
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               32 << 20,
		MaxOpenFiles:                256,
		BytesPerSync:                1 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		DisableTableStats:           true,
	}
	e := &pebbleEngine{fs: o.FS, dir: o.Dir}
	opts.Experimental.SpanPolicyFunc = e.apart.policy
	// The usual scheduler looks for work ten times a second for ever.
	opts.Experimental.CompactionScheduler = &compactions{}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].BlockSize = 8 << 10
		opts.Levels[i].IndexBlockSize = 64 << 10
	}
	if err := markFormat(o); err != nil {
		return nil, err
	}
	db, err := pebble.Open(o.Dir, opts)
	if err != nil {
		return nil, err
	}
	e.db, e.anchor = db, db.NewSnapshot()
	return e, nil
}

// markFormat gives a new directory its format at once. Pebble would begin with its oldest and raise it step by
// step, with two syncs each, and a crash meanwhile would leave a directory it refuses to open.
func markFormat(o Options) error {
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.") || strings.HasPrefix(name, "MANIFEST") || name == "CURRENT" {
			return nil
		}
	}
	marker, _, err := atomicfs.LocateMarker(o.FS, o.Dir, "format-version")
	if err != nil {
		return err
	}
	return errors.Join(marker.Move(pebbleFormat.String()), marker.Close())
}

func (e *pebbleEngine) snapshot() snapshot { return pebbleSnapshot{e.db.NewSnapshot()} }

// reanchor lets go of what only the old anchor saw.
func (e *pebbleEngine) reanchor() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.anchor == nil {
		return // closed
	}
	old := e.anchor
	e.anchor = e.db.NewSnapshot()
	must(old.Close())
}

func (e *pebbleEngine) batch() batch { return &pebbleBatch{b: e.db.NewBatch(), e: e} }

func (e *pebbleEngine) checkpoint(dir string) error {
	return e.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

func (e *pebbleEngine) space() (uint64, error) {
	u, err := e.fs.GetDiskUsage(e.dir)
	return u.AvailBytes, err
}

func (e *pebbleEngine) stats() Stats {
	m := e.db.Metrics()
	return Stats{
		DiskBytes:     m.DiskSpaceUsage(),
		CacheBytes:    uint64(m.BlockCache.Size),
		MemTableBytes: m.MemTable.Size,
		LogBytes:      m.WAL.Size,
		Compactions:   uint64(m.Compact.Count),
	}
}

func (e *pebbleEngine) close() error {
	e.mu.Lock()
	err := e.anchor.Close()
	e.anchor = nil
	e.mu.Unlock()
	return errors.Join(err, e.db.Close())
}

type pebbleSnapshot struct{ s *pebble.Snapshot }

func (s pebbleSnapshot) get(key []byte, with func([]byte)) (bool, error) {
	v, closer, err := s.s.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer closer.Close()
	with(v)
	return true, nil
}

func (s pebbleSnapshot) scan(low, high []byte, reverse bool) (cursor, error) {
	it, err := s.s.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return nil, err
	}
	c := &pebbleCursor{it: it, reverse: reverse}
	if reverse {
		c.ok = it.Last()
	} else {
		c.ok = it.First()
	}
	return c, nil
}

func (s pebbleSnapshot) close() error { return s.s.Close() }

type pebbleCursor struct {
	it          *pebble.Iterator
	reverse, ok bool
}

func (c *pebbleCursor) valid() bool            { return c.ok }
func (c *pebbleCursor) key() []byte            { return c.it.Key() }
func (c *pebbleCursor) value() ([]byte, error) { return c.it.ValueAndErr() }
func (c *pebbleCursor) close() error           { return c.it.Close() }

func (c *pebbleCursor) next() {
	if c.reverse {
		c.ok = c.it.Prev()
	} else {
		c.ok = c.it.Next()
	}
}

type pebbleBatch struct {
	b      *pebble.Batch
	e      *pebbleEngine
	ranged bool
}

// The batch's own errors are those of a closed batch, which would be a bug here.

func (b *pebbleBatch) set(key string, value []byte) {
	op := b.b.SetDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	must(op.Finish())
}

func (b *pebbleBatch) merge(key string, value []byte) {
	op := b.b.MergeDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	must(op.Finish())
}

func (b *pebbleBatch) delete(key string) {
	op := b.b.DeleteDeferred(len(key))
	copy(op.Key, key)
	must(op.Finish())
}

func (b *pebbleBatch) deleteRange(low, high string) {
	b.ranged = true
	must(b.b.DeleteRange([]byte(low), []byte(high), nil))
}

// apply turns Pebble's panics on a failed log into errors: the caller stops the process on either.
func (b *pebbleBatch) apply(sync bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	if b.b.Empty() {
		// A barrier: nothing to apply, but everything before it becomes durable.
		must(b.b.LogData(nil, nil))
		return b.commit(sync)
	}
	b.e.apart.see(b.b)
	size := b.b.Len()
	if err := b.commit(sync); err != nil {
		return err
	}
	if b.e.anchored += size; b.ranged || b.e.anchored >= anchorBytes {
		b.e.anchored = 0
		b.e.reanchor()
	}
	return nil
}

func (b *pebbleBatch) commit(sync bool) error {
	if !sync {
		return b.e.db.Apply(b.b, pebble.NoSync)
	}
	return b.e.db.ApplyNoSyncWait(b.b, pebble.Sync)
}

func (b *pebbleBatch) wait() error { return b.b.SyncWait() }
func (b *pebbleBatch) close()      { must(b.b.Close()) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// pebbleLog passes on only what a person should know.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelError, "store engine", slog.String("error", fmt.Sprintf(format, args...)))
}

func (l pebbleLog) Fatalf(format string, args ...any) { l.fatal(fmt.Errorf(format, args...)) }

// compactions lets Pebble run as many compactions as it asks for at once, up to its own upper bound,
// and hands a freed place on at once. Unlike Pebble's own scheduler it has no clock and no goroutine.
type compactions struct {
	mu       sync.Mutex
	db       pebble.DBForCompaction
	running  int
	granting int
	idle     *sync.Cond
	closed   bool
}

func (c *compactions) Register(_ int, db pebble.DBForCompaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.db, c.idle = db, sync.NewCond(&c.mu)
}

func (c *compactions) Unregister() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.granting > 0 {
		c.idle.Wait()
	}
}

func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.db == nil || c.running >= c.db.GetAllowedWithoutPermission() {
		return false, nil
	}
	c.running++
	return true, c
}

// UpdateGetAllowedWithoutPermission may be called with Pebble's locks held, so it does nothing: the next
// flush or the end of a compaction asks again.
func (c *compactions) UpdateGetAllowedWithoutPermission() {}

// grant offers free places to waiting compactions, never holding mu across a call into Pebble that locks.
func (c *compactions) grant() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.granting > 0 || c.closed || c.db == nil {
		return
	}
	c.granting++
	for !c.closed && c.running < c.db.GetAllowedWithoutPermission() {
		c.running++
		c.mu.Unlock()
		waiting, _ := c.db.GetWaitingCompaction()
		took := waiting && c.db.Schedule(c)
		c.mu.Lock()
		if !took {
			c.running--
			break
		}
	}
	c.granting--
	c.idle.Broadcast()
}

// Started is part of pebble.CompactionGrantHandle; we do not meter compactions.
func (c *compactions) Started() {}

// MeasureCPU is part of pebble.CompactionGrantHandle; we do not meter compactions.
func (c *compactions) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats is part of pebble.CompactionGrantHandle; we do not meter compactions.
func (c *compactions) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done frees the compaction's place.
func (c *compactions) Done() {
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	c.grant()
}
