package store

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var (
	kills = flag.Int("kills", 5, "how often the crash test kills its child")
	large = flag.Bool("large", false, "measure opening a directory of 1 GB after a kill")
	cuts  = flag.Int("cuts", 60, "how often the power is cut")
)

// A journal is the load of the crash tests: each writer's nth transaction puts a row, replaces the
// writer's summary and appends to a log, so that a half transaction or a gap shows.

type commitFunc func(ctx context.Context, fn func(*Tx) error, locks ...string) error

func journal(commit commitFunc, who, n int) error {
	return commit(someone, func(tx *Tx) error {
		texts.Put(tx, K("row", who, n), strings.Repeat("x", n%200))
		numbers.Put(tx, K("sum", who), n)
		changes.Append(tx, K(who%2), fmt.Sprint(who, " ", n))
		return nil
	})
}

// checkJournal returns what is wrong with the journal, given how far each writer was acknowledged.
func checkJournal(db *DB, acknowledged []int) (problem error) {
	return db.View(someone, func(tx *Tx) error {
		logged := 0
		for part := range 2 {
			last := changes.Last(tx, K(part))
			list := changes.Read(tx, K(part), 0, int(last)+1)
			if len(list) != int(last) {
				return fmt.Errorf("part %d has %d entries up to number %d", part, len(list), last)
			}
			for i, e := range list {
				var who, n int
				fmt.Sscan(e.Value, &who, &n)
				if e.Seq != uint64(i)+1 || !texts.Has(tx, K("row", who, n)) {
					return fmt.Errorf("part %d entry %d at place %d: %q has no row", part, e.Seq, i, e.Value)
				}
			}
			logged += len(list)
		}
		rows := 0
		for who, acked := range acknowledged {
			n, _ := numbers.Get(tx, K("sum", who))
			if n < acked {
				return fmt.Errorf("writer %d: %d was acknowledged, %d is there", who, acked, n)
			}
			for i := 1; i <= n; i++ {
				if v, ok := texts.Get(tx, K("row", who, i)); !ok || len(v) != i%200 {
					return fmt.Errorf("writer %d: row %d of %d is missing or wrong", who, i, n)
				}
			}
			rows += n
		}
		if rows != logged {
			return fmt.Errorf("%d rows but %d entries", rows, logged)
		}
		return nil
	})
}

// powerCut writes a while, now and then looks at what the disk would hold had the power gone just then,
// and returns what was wrong with it.
func powerCut(t *testing.T, seed uint64, unsynced func(*rand.Rand) int, how func(*DB) commitFunc) (problem error) {
	const people, each, cuts = 6, 120, 10
	fs := vfs.NewCrashableMem()
	w := world.New()
	db, err := Open(Options{Dir: "/data", FS: fs, World: w, MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var acked [people]atomic.Int64
	var total atomic.Int64
	var group sync.WaitGroup
	for who := range people {
		group.Go(func() {
			for n := 1; n <= each; n++ {
				if err := journal(how(db), who, n); err != nil {
					t.Error(err)
				}
				acked[who].Store(int64(n))
				total.Add(1)
			}
		})
	}
	rnd := rand.New(rand.NewPCG(seed, 4))
	for cut := range cuts {
		for total.Load() < int64(cut*people*each/cuts+rnd.IntN(10)) {
			runtime.Gosched()
		}
		known := make([]int, people)
		for i := range known {
			known[i] = int(acked[i].Load())
		}
		left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced(rnd), RNG: rnd})
		w2 := world.New()
		after, err := Open(Options{Dir: "/data", FS: left, World: w2})
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if err := checkJournal(after, known); err != nil {
			problem = errors.Join(problem, fmt.Errorf("seed %d cut %d: %w", seed, cut, err))
		}
		w2.Stop()
		after.Close()
	}
	group.Wait()
	w.Stop()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	return problem
}

func TestPowerCut(t *testing.T) {
	for seed := range *cuts / 10 {
		err := powerCut(t, uint64(seed), func(r *rand.Rand) int { return r.IntN(3) * 50 }, func(db *DB) commitFunc { return db.Update })
		if err != nil {
			t.Error(err)
		}
	}
}

// TestPowerCutNoticed shows that the test can fail: commits that do not wait for the disk get lost.
func TestPowerCutNoticed(t *testing.T) {
	err := powerCut(t, 1, func(*rand.Rand) int { return 0 }, func(db *DB) commitFunc { return db.UpdateSoon })
	if err == nil || !strings.Contains(err.Error(), "was acknowledged") {
		t.Errorf("nothing was lost although nothing waited for the disk: %v", err)
	}
}

// TestKill kills a process that writes, again and again, and looks at what it left.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	acked := make([]int, 4)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for kill := range *kills {
		runChild(t, dir, time.Duration(20+rnd.IntN(150))*time.Millisecond, acked)
		w := world.New()
		start := w.Start()
		db, err := Open(Options{Dir: dir, World: w})
		if err != nil {
			t.Fatal(err)
		}
		took := w.Elapsed(start)
		if err := checkJournal(db, acked); err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		t.Logf("kill %d: acknowledged %v, opened in %v", kill, acked, took)
		w.Stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runChild runs the journal in another process on dir, kills it a while after its first acknowledgement,
// and notes the last acknowledgements it got out.
func runChild(t *testing.T, dir string, life time.Duration, acked []int, env ...string) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(append(os.Environ(), "FOGBANK_STORE_CHILD="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := true
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if first {
			first = false
			time.AfterFunc(life, func() { cmd.Process.Signal(syscall.SIGKILL) })
		}
		var who, n int
		if _, err := fmt.Sscan(lines.Text(), &who, &n); err == nil && strings.HasSuffix(lines.Text(), ".") {
			acked[who] = n
		}
	}
	cmd.Wait()
	if first {
		t.Fatal("the child acknowledged nothing")
	}
}

// TestChild is the process TestKill kills.
func TestChild(t *testing.T) {
	dir := os.Getenv("FOGBANK_STORE_CHILD")
	if dir == "" {
		t.Skip("run by TestKill")
	}
	o := Options{Dir: dir, World: world.New(), MemTableBytes: 512 << 10}
	fill := os.Getenv("FOGBANK_STORE_FILL") != ""
	if fill {
		o.MemTableBytes = 0
	}
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if fill {
		fillStore(t, db, 1<<30)
	}
	var group sync.WaitGroup
	for who := range 4 {
		from := 0
		view(t, db, func(tx *Tx) { from, _ = numbers.Get(tx, K("sum", who)) })
		group.Go(func() {
			for n := from + 1; ; n++ {
				if err := journal(db.Update, who, n); err != nil {
					return
				}
				fmt.Printf("%d %d .\n", who, n)
			}
		})
	}
	group.Wait()
}

// fillStore writes size bytes in rows of 1 KiB at random places.
func fillStore(t testing.TB, db *DB, size int) {
	rnd := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for written := 0; written < size; {
		err := db.UpdateSoon(someone, func(tx *Tx) error {
			for range 256 {
				at := rnd.IntN(len(noise) - 1024)
				blobs.Put(tx, K(rnd.Uint64()), noise[at:at+1024])
				written += 1024
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpenLarge measures how long a directory of 1 GB takes to open after a kill in the middle of writing.
func TestOpenLarge(t *testing.T) {
	if !*large {
		t.Skip("needs -large")
	}
	dir := t.TempDir()
	acked := make([]int, 4)
	runChild(t, dir, 3*time.Second, acked, "FOGBANK_STORE_FILL=1")
	w := world.New()
	start := w.Start()
	db, err := Open(Options{Dir: dir, World: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v: %+v", w.Elapsed(start), db.Stats())
	w.Stop()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestDiskFailure makes a sync or a write fail: the hook is called once, nobody is told that it is
// well, and what was acknowledged is there afterwards.
func TestDiskFailure(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileSyncData, errorfs.OpFileWrite} {
		inner := vfs.NewCrashableMem()
		var broken atomic.Bool
		fs := errorfs.Wrap(inner, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && op.Kind == kind && strings.HasSuffix(op.Path, ".log") {
				return syscall.EIO
			}
			return nil
		}))
		var fatal []error
		w := world.New()
		db, err := Open(Options{Dir: "/data", FS: fs, World: w, Fatal: func(err error) { fatal = append(fatal, err) }})
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 10; n++ {
			if err := journal(db.Update, 0, n); err != nil {
				t.Fatal(err)
			}
		}
		broken.Store(true)
		for range 3 {
			if err := journal(db.Update, 0, 11); err == nil {
				t.Errorf("%v: a commit was acknowledged", kind)
			}
		}
		if len(fatal) != 1 || !errors.Is(fatal[0], syscall.EIO) {
			t.Errorf("%v: the hook got %v", kind, fatal)
		}
		w.Stop()
		db.Close()
		w = world.New()
		after, err := Open(Options{Dir: "/data", FS: inner.CrashClone(vfs.CrashCloneCfg{}), World: w})
		if err != nil {
			t.Fatal(err)
		}
		if err := checkJournal(after, []int{10}); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
		w.Stop()
		after.Close()
	}
}

// smallDisk is a file system that says how much is left.
type smallDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

func TestDiskFull(t *testing.T) {
	fs := &smallDisk{FS: vfs.NewMem()}
	fs.free.Store(1 << 20)
	l := newLab(t, func(w *world.World) (*DB, error) {
		return Open(Options{Dir: "/data", FS: fs, World: w, ReserveBytes: 1 << 20})
	})
	update(t, l.db, func(tx *Tx) { texts.Put(tx, K("k"), "v") })
	fs.free.Store(1000)
	if err := journal(l.db.Update, 0, 1); !errors.Is(err, ErrDiskFull) {
		t.Errorf("on a full disk: %v", err)
	}
	view(t, l.db, func(tx *Tx) {
		if !texts.Has(tx, K("k")) {
			t.Error("the row cannot be read")
		}
	})
	fs.free.Store(1 << 30)
	if err := journal(l.db.Update, 0, 1); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestSecondOpener(t *testing.T) {
	dir := t.TempDir()
	w := world.New()
	db, err := Open(Options{Dir: dir, World: w})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Dir: dir, World: w})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another fogbank") {
		t.Errorf("the second opener got %v", err)
	}
	w.Stop()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.View(someone, func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	w = world.New()
	if db, err = Open(Options{Dir: dir, World: w}); err != nil {
		t.Fatal(err)
	}
	w.Stop()
	db.Close()
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir() + "/copy"
	l := onFiles(t)
	update(t, l.db, func(tx *Tx) { texts.Put(tx, K("k"), "v"); changes.Append(tx, K("p"), "e") })
	if err := l.db.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	update(t, l.db, func(tx *Tx) { texts.Put(tx, K("k"), "later") })
	w := world.New()
	copied, err := Open(Options{Dir: dir, World: w})
	if err != nil {
		t.Fatal(err)
	}
	view(t, copied, func(tx *Tx) {
		if v, _ := texts.Get(tx, K("k")); v != "v" || changes.Last(tx, K("p")) != 1 {
			t.Errorf("the copy has %q", v)
		}
	})
	w.Stop()
	copied.Close()
}

// TestBubble: the real store in virtual time.
func TestBubble(t *testing.T) {
	start := time.Now()
	synctest.Test(t, func(t *testing.T) {
		w := world.Seeded(1)
		db := Memory(w)
		fired := 0
		alarms.Run(db, func(context.Context, Key, string) error { fired++; return nil })
		for i := range 2000 {
			update(t, db, func(tx *Tx) {
				texts.Put(tx, K(i), "v")
				if i%100 == 0 {
					alarms.Set(tx, K(i), w.Now().Add(time.Duration(i)*time.Second), "")
				}
			})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if fired != 20 {
			t.Errorf("%d timers fired, want 20", fired)
		}
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
