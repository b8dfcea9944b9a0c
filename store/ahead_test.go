package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"fogbank/aws"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAheadOfTheDisk holds up the disk: what follows from a commit inside the process is done meanwhile, and only
// what leaves the process waits.
func TestAheadOfTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate chan struct{}
		fs := heldUp(&gate)
		w := world.Seeded(1)
		db, err := Open(Options{Dir: "/data", FS: fs, World: w})
		if err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx *Tx) { numbers.Put(tx, K("old"), 1) })
		gate = make(chan struct{})
		watch := db.Watch("cause")
		defer watch.Close()
		woken := watch.Changed()
		followed := make(chan uint64, 1)
		acknowledged := make(chan struct{})
		go func() {
			defer close(acknowledged)
			update(t, db, func(tx *Tx) {
				seq := texts.Add(tx, K("cause"), "x")
				tx.Wake("cause")
				tx.AfterCommit(func() { followed <- seq.N })
			})
		}()
		<-woken
		stamp := <-followed
		synctest.Wait()
		none := db.Early(someone, 0)
		if err := db.View(none, func(tx *Tx) error { numbers.Get(tx, K("old")); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := aws.Settle(none); err != nil { // would never return had it to wait
			t.Fatal(err)
		}
		ctx := db.Early(someone, stamp)
		seen := 0
		body := func(tx *Tx) error {
			seen = 0
			for range texts.All(tx, K("cause")) {
				seen++
			}
			return nil
		}
		refused := errors.New("refused")
		if err := errors.Join(db.View(ctx, body), db.Update(ctx, body)); err != nil || seen != 1 {
			t.Errorf("work ahead of the disk saw %d rows, %v", seen, err)
		}
		if err := db.Update(ctx, func(tx *Tx) error { body(tx); return refused }); err != refused {
			t.Errorf("a refused body gave %v", err)
		}
		if err := db.Update(ctx, func(tx *Tx) error { numbers.Put(tx, K("effect"), 1); return nil }); err != nil {
			t.Fatal(err)
		}
		if db.durable.at.Load() >= stamp>>stampBits {
			t.Error("the disk was not held up")
		}
		settled := make(chan error, 1)
		go func() { settled <- aws.Settle(db.Early(ctx, 0)) }()
		synctest.Wait()
		select {
		case <-settled:
			t.Error("settled what is not on disk")
		case <-acknowledged:
			t.Error("acknowledged what is not on disk")
		default:
		}
		close(gate)
		<-acknowledged
		if err := <-settled; err != nil {
			t.Error(err)
		}
		if db.durable.at.Load() != db.commits.last.Load() {
			t.Error("settled, but the effect is not durable")
		}
		w.Stop()
		db.Close()
	})
}

// chains is the load of the power cuts below: causes that are acknowledged, and effects that follow from them ahead of
// the disk. Every fourth effect is told to the outside.
type chains struct {
	db           *DB
	settle       func(context.Context) error
	acked, told  [chainCount]atomic.Bool
	work         chan chainLink
	causes, ends sync.WaitGroup
	done         atomic.Int64
}

type chainLink struct {
	n     int
	stamp uint64
}

const chainCount = 600

func (c *chains) cause(n int) error {
	err := c.db.Update(someone, func(tx *Tx) error {
		numbers.Put(tx, K("cause", n), n)
		seq := texts.Add(tx, K("item"), fmt.Sprint(n))
		tx.AfterCommit(func() { c.work <- chainLink{n, seq.N} })
		return nil
	})
	c.acked[n].Store(err == nil)
	return err
}

func (c *chains) effect(l chainLink) error {
	ctx := c.db.Early(someone, l.stamp)
	for hop := range 2 {
		err := c.db.Update(ctx, func(tx *Tx) error {
			if !numbers.Has(tx, K("cause", l.n)) {
				return errors.New("the cause cannot be seen")
			}
			numbers.Put(tx, K("effect", hop, l.n), l.n)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if l.n%4 == 0 {
		if err := c.settle(ctx); err != nil {
			return err
		}
		c.told[l.n].Store(true)
	}
	c.done.Add(1)
	return nil
}

// check returns what is wrong with what a power cut left, given what was told before.
func (c *chains) check(after *DB, acked, told []bool) (problem error) {
	return after.View(someone, func(tx *Tx) error {
		for n := range chainCount {
			cause, first, second := numbers.Has(tx, K("cause", n)), numbers.Has(tx, K("effect", 0, n)), numbers.Has(tx, K("effect", 1, n))
			if acked[n] && !cause || first && !cause || second && !first {
				return fmt.Errorf("chain %d: acknowledged %v, cause %v, effects %v %v", n, acked[n], cause, first, second)
			}
			if told[n] && !second {
				return fmt.Errorf("chain %d was told and is lost", n)
			}
		}
		return nil
	})
}

func flags(list *[chainCount]atomic.Bool) []bool {
	now := make([]bool, chainCount)
	for i := range list {
		now[i] = list[i].Load()
	}
	return now
}

// cutChains runs chains and cuts the power now and then.
func cutChains(t *testing.T, seed uint64, settle func(context.Context) error) (problem error) {
	fs := vfs.NewCrashableMem()
	w := world.New()
	db, err := Open(Options{Dir: "/data", FS: fs, World: w})
	if err != nil {
		t.Fatal(err)
	}
	c := &chains{db: db, settle: settle, work: make(chan chainLink, chainCount)}
	for who := range 4 {
		c.causes.Go(func() {
			for n := who; n < chainCount; n += 4 {
				if err := c.cause(n); err != nil {
					t.Error(err)
				}
			}
		})
		c.ends.Go(func() {
			for l := range c.work {
				if err := c.effect(l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(seed, 5))
	for cut := range 10 {
		for c.done.Load() < int64(cut*chainCount/10+rnd.IntN(10)) {
			runtime.Gosched()
		}
		told, acked := flags(&c.told), flags(&c.acked)
		left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(3) * 50, RNG: rnd})
		w2 := world.New()
		after, err := Open(Options{Dir: "/data", FS: left, World: w2})
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if err := c.check(after, acked, told); err != nil {
			problem = errors.Join(problem, fmt.Errorf("seed %d cut %d: %w", seed, cut, err))
		}
		w2.Stop()
		after.Close()
	}
	c.causes.Wait()
	close(c.work)
	c.ends.Wait()
	w.Stop()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	return problem
}

// TestPowerCutAhead: an effect never survives its cause, and what was told after settling survives.
func TestPowerCutAhead(t *testing.T) {
	for seed := range max(*cuts/20, 1) {
		if err := cutChains(t, uint64(seed), aws.Settle); err != nil {
			t.Error(err)
		}
	}
}

// TestPowerCutAheadNoticed shows that the test can fail: what is told without settling gets lost.
func TestPowerCutAheadNoticed(t *testing.T) {
	var err error
	for seed := uint64(0); seed < 20 && err == nil; seed++ {
		err = cutChains(t, seed, func(context.Context) error { return nil })
	}
	if err == nil || !strings.Contains(err.Error(), "was told and is lost") {
		t.Errorf("nothing was lost although nothing waited for the disk: %v", err)
	}
}
