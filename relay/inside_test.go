package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// slowDisk makes every sync of the log take as long as delay says.
func slowDisk(fs vfs.FS, delay func() time.Duration) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") {
			time.Sleep(delay())
		}
		return nil
	}))
}

// TestInside: a delivery begins while its item is on the way to the disk, and leaves the process when it is there.
func TestInside(t *testing.T) {
	for _, inside := range []bool{true, false} {
		t.Run(fmt.Sprint(inside), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world.Seeded(1)
				db, err := store.Open(store.Options{Dir: "/data", World: w,
					FS: slowDisk(vfs.NewMem(), func() time.Duration { return time.Second })})
				if err != nil {
					t.Fatal(err)
				}
				var after time.Duration
				begin := w.Start()
				delivered := make(chan struct{})
				r := New(Options[int]{Name: "inside",
					Deliver: func(ctx context.Context, _ Item[int]) error {
						if !inside {
							if err := aws.Settle(ctx); err != nil {
								t.Error(err)
							}
						}
						after = w.Elapsed(begin)
						close(delivered)
						return nil
					}})
				r.Start(db, w, nil)
				synctest.Wait() // what earlier lives left was looked for
				begin = w.Start()
				add(t, db, r, "lane", 1)
				<-delivered
				if early := after == 0; early != inside {
					t.Errorf("delivered after %v", after)
				}
				w.Stop()
				db.Close()
			})
		})
	}
}

var (
	causes  = store.NewTable[int]("inside/cause", store.Global)
	effects = store.NewTable[int]("inside/effect", store.Global)
)

// TestInsidePowerCut cuts the power at a random moment while items are added and delivered inside: what was
// acknowledged is there, delivered or yet to be, and there is no effect whose cause was lost.
func TestInsidePowerCut(t *testing.T) {
	effected := 0
	for seed := range uint64(*seeds) {
		synctest.Test(t, func(t *testing.T) {
			n, err := cutInside(seed)
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			effected += n
		})
	}
	if effected == 0 {
		t.Error("no history has an effect: it shows nothing")
	}
}

func cutInside(seed uint64) (effected int, err error) {
	rnd := rand.New(rand.NewPCG(seed, 11))
	mem := vfs.NewCrashableMem()
	syncs := rand.New(rand.NewPCG(seed, 12)) // of the one goroutine that syncs
	w := world.Seeded(seed)
	db, err := store.Open(store.Options{Dir: "/data", World: w,
		FS: slowDisk(mem, func() time.Duration { return time.Duration(syncs.IntN(1000)) * time.Microsecond })})
	if err != nil {
		return 0, err
	}
	r := New(Options[int]{Name: "cut", Deliver: func(ctx context.Context, i Item[int]) error {
		return db.Update(ctx, func(tx *store.Tx) error { effects.Put(tx, store.K(i.Value), i.Value); return nil })
	}})
	r.Start(db, w, nil)
	acknowledged := make(chan int, 100)
	for n := range 100 {
		delay := time.Duration(rnd.IntN(5000)) * time.Microsecond
		w.Go(func(ctx context.Context) {
			w.Wait(ctx, nil, delay)
			err := db.Update(tenant("111111111111"), func(tx *store.Tx) error {
				causes.Put(tx, store.K(n), n)
				r.Add(tx, fmt.Sprint("lane", n%3), n)
				return nil
			})
			if err == nil {
				acknowledged <- n
			}
		})
	}
	time.Sleep(time.Duration(rnd.IntN(6000)) * time.Microsecond)
	before := len(acknowledged)
	after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(3) * 50, RNG: rnd})
	defer func() {
		w.Stop()
		db.Close()
	}()
	var sure []int
	for range before {
		sure = append(sure, <-acknowledged)
	}
	return judgeInside(r, after, sure)
}

// judgeInside looks at what the crash left.
func judgeInside(r *Relay[int], fs vfs.FS, sure []int) (effected int, err error) {
	w := world.Seeded(1)
	db, err := store.Open(store.Options{Dir: "/data", FS: fs, World: w})
	if err != nil {
		return 0, err
	}
	defer func() {
		w.Stop()
		db.Close()
	}()
	err = db.View(tenant("111111111111"), func(tx *store.Tx) error {
		waiting := map[int]bool{}
		for _, rec := range r.items.All(tx, "") {
			waiting[rec.Value] = true
		}
		for _, n := range sure {
			if !causes.Has(tx, store.K(n)) || !waiting[n] && !effects.Has(tx, store.K(n)) {
				return fmt.Errorf("%d was acknowledged and is lost", n)
			}
		}
		for _, n := range effects.All(tx, "") {
			effected++
			if !causes.Has(tx, store.K(n)) {
				return fmt.Errorf("%d has an effect and no cause", n)
			}
		}
		return nil
	})
	return effected, err
}
