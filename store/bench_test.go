package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"fogbank/world"
)

var payload = make([]byte, 1024)

var blobs = NewTable[[]byte]("bench/blob", Global)

func onDisk(b testing.TB, dir string) *DB {
	b.Helper()
	w := world.New()
	db, err := Open(Options{Dir: dir, World: w})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		w.Stop()
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// writers spreads b.N calls of f over n goroutines.
func writers(b *testing.B, n int, f func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range n {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkCommit compares durable commits of 1 KiB with what the disk allows: the same bytes appended to
// a file by a bare group commit.
func BenchmarkCommit(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("limit/writers=%d", n), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			g := newGroupFile(f)
			writers(b, n, func(int64) error { return g.append(payload) })
			g.close()
		})
		b.Run(fmt.Sprintf("store/writers=%d", n), func(b *testing.B) {
			db := onDisk(b, b.TempDir())
			writers(b, n, func(i int64) error {
				return db.Update(ctx, func(tx *Tx) error {
					blobs.Put(tx, K(uint64(i)*0x9e3779b97f4a7c15), payload)
					return nil
				})
			})
		})
	}
}

// BenchmarkHotKey has every writer read, change and write one row.
func BenchmarkHotKey(b *testing.B) {
	ctx := context.Background()
	for _, locks := range [][]string{nil, {"hot"}} {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("locks=%d/writers=%d", len(locks), n), func(b *testing.B) {
				db := onDisk(b, b.TempDir())
				writers(b, n, func(int64) error {
					return db.Update(ctx, func(tx *Tx) error {
						v, _ := blobs.Get(tx, K("hot"))
						if v == nil {
							v = payload
						}
						blobs.Put(tx, K("hot"), v)
						return nil
					}, locks...)
				})
			})
		}
	}
}

// BenchmarkRead reads single rows of 1 KiB, with and without a writer at work.
func BenchmarkRead(b *testing.B) {
	ctx := context.Background()
	for _, rows := range []int{1000, 200_000} {
		db := onDisk(b, b.TempDir())
		for i := 0; i < rows; {
			err := db.UpdateSoon(ctx, func(tx *Tx) error {
				for range 1000 {
					blobs.Put(tx, K(i), payload)
					i++
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("get/rows=%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				err := db.View(ctx, func(tx *Tx) error {
					if _, ok := blobs.Get(tx, K(i*7919%rows)); !ok {
						b.Fatal("missing")
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	db := memory(b)
	update(b, db, func(tx *Tx) { orders.Put(tx, K("a"), order{"a", 1}) })
	b.Run("derived", func(b *testing.B) {
		b.ReportAllocs()
		ctx := tenant("111111111111")
		key := K("a")
		for range b.N {
			err := db.View(ctx, func(tx *Tx) error {
				if _, ok, _ := orderName.Get(tx, key); !ok {
					b.Fatal("missing")
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// groupFile is the least a group commit needs: whoever comes while a sync runs shares the next one.
type groupFile struct {
	f       *os.File
	mu      sync.Mutex
	buf     []byte
	waiting []chan error
	ready   chan struct{}
	done    chan struct{}
}

func newGroupFile(f *os.File) *groupFile {
	g := &groupFile{f: f, ready: make(chan struct{}, 1), done: make(chan struct{})}
	go g.run()
	return g
}

func (g *groupFile) append(p []byte) error {
	c := make(chan error, 1)
	g.mu.Lock()
	g.buf = append(g.buf, p...)
	g.waiting = append(g.waiting, c)
	g.mu.Unlock()
	select {
	case g.ready <- struct{}{}:
	default:
	}
	return <-c
}

func (g *groupFile) run() {
	defer close(g.done)
	for range g.ready {
		g.mu.Lock()
		buf, waiting := g.buf, g.waiting
		g.buf, g.waiting = nil, nil
		g.mu.Unlock()
		_, err := g.f.Write(buf)
		if err == nil {
			err = syncData(g.f)
		}
		for _, c := range waiting {
			c <- err
		}
	}
}

func (g *groupFile) close() {
	close(g.ready)
	<-g.done
	g.f.Close()
}

// BenchmarkCommitCPU shows what a commit costs besides the disk.
func BenchmarkCommitCPU(b *testing.B) {
	ctx := context.Background()
	db := onDisk(b, b.TempDir())
	b.ReportAllocs()
	for i := range b.N {
		err := db.UpdateSoon(ctx, func(tx *Tx) error {
			key := K(uint64(i) * 0x9e3779b97f4a7c15)
			if blobs.Has(tx, key) {
				return nil
			}
			blobs.Put(tx, key, payload)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens an empty directory and one that was closed well.
func BenchmarkOpen(b *testing.B) {
	b.Run("empty", func(b *testing.B) {
		for range b.N {
			openAndClose(b, b.TempDir())
		}
	})
	b.Run("used", func(b *testing.B) {
		dir := b.TempDir()
		openAndClose(b, dir)
		b.ResetTimer()
		for range b.N {
			openAndClose(b, dir)
		}
	})
}

func openAndClose(b *testing.B, dir string) {
	w := world.New()
	db, err := Open(Options{Dir: dir, World: w})
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	w.Stop()
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}
