package relay

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/store"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	seeds    = flag.Int("seeds", 300, "histories to simulate")
	fromSeed = flag.Int("seed", 0, "the first of them")
)

// arrived is the far side: what came, by id, in a store of its own that survives our crashes.
type arrived struct {
	count map[string]int
	order map[string][]int
}

var errFault = errors.New("the network failed")

// history plays one seeded history: items are added, delivered one step at a time with failures before or
// after the far side took them, the power goes, the store opens again. It returns what was lost or wrong.
// acknowledgeFirst breaks the relay on purpose.
func history(seed uint64, ordered, acknowledgeFirst bool) (trace string, problem error) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	fs := vfs.NewCrashableMem()
	w := world.Seeded(seed)
	db, err := store.Open(store.Options{Dir: "/data", FS: fs, World: w})
	if err != nil {
		return "", err
	}
	far := arrived{map[string]int{}, map[string][]int{}}
	var r *Relay[int]
	r = New(Options[int]{Name: "sim", Ordered: ordered, Deliver: func(ctx context.Context, i Item[int]) error {
		if acknowledgeFirst {
			if err := db.Update(ctx, func(tx *store.Tx) error { r.settle(tx, []outcome[int]{{item: i}}); return nil }); err != nil {
				return err
			}
		}
		switch rnd.IntN(6) {
		case 0:
			trace += fmt.Sprint("-", i.Value)
			return errFault
		case 1:
			far.take(i)
			trace += fmt.Sprint("~", i.Value)
			return errFault
		}
		far.take(i)
		trace += fmt.Sprint("+", i.Value)
		return nil
	}})
	var added []int
	for n := 1; n <= 40; n++ {
		switch rnd.IntN(8) {
		case 0, 1, 2:
			err = db.Update(tenant("111111111111"), func(tx *store.Tx) error {
				r.Add(tx, fmt.Sprint("lane", n%3), n)
				return nil
			})
			added = append(added, n)
		case 3:
			fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(3) * 50, RNG: rand.New(rand.NewPCG(seed, uint64(n)))})
			w.Stop()
			db.Close()
			w = world.Seeded(seed + uint64(n))
			db, err = store.Open(store.Options{Dir: "/data", FS: fs, World: w})
			trace += "!"
		case 4:
			w.Travel(time.Duration(rnd.IntN(1000)) * time.Millisecond)
		default:
			_, err = r.Step(context.Background(), db)
		}
		if err != nil {
			return trace, err
		}
	}
	for range 1000 {
		did, err := r.Step(context.Background(), db)
		if err != nil {
			return trace, err
		}
		if !did {
			w.Travel(longestRetry)
			if did, _ = r.Step(context.Background(), db); !did {
				break
			}
		}
	}
	w.Stop()
	return trace, errors.Join(far.check(added, ordered), db.Close())
}

func (a *arrived) take(i Item[int]) {
	if a.count[i.ID]++; a.count[i.ID] == 1 {
		a.order[i.Lane] = append(a.order[i.Lane], i.Value)
	}
}

func (a *arrived) check(added []int, ordered bool) error {
	var all []int
	for lane, values := range a.order {
		if ordered && !slices.IsSorted(values) {
			return fmt.Errorf("%s arrived as %v", lane, values)
		}
		all = append(all, values...)
	}
	slices.Sort(all)
	if !slices.Equal(all, added) {
		return fmt.Errorf("added %v, arrived %v", added, all)
	}
	return nil
}

func TestHistories(t *testing.T) {
	again := 0
	for seed := *fromSeed; seed < *fromSeed+*seeds; seed++ {
		synctest.Test(t, func(t *testing.T) {
			trace, err := history(uint64(seed), seed%2 == 0, false)
			if err != nil {
				t.Errorf("-seed %d: %v\n%s", seed, err, trace)
			}
			if seed%10 == 0 {
				if second, _ := history(uint64(seed), seed%2 == 0, false); second != trace {
					t.Errorf("-seed %d went another way the second time:\n%s\n%s", seed, trace, second)
				}
			}
			for _, c := range trace {
				if c == '~' {
					again++
				}
			}
		})
	}
	if *seeds >= 100 && again == 0 {
		t.Error("no history delivered anything twice: the faults do not bite")
	}
}

// TestHistoriesNotice shows that the simulation catches a relay that acknowledges before it delivers.
func TestHistoriesNotice(t *testing.T) {
	for seed := range uint64(20) {
		caught := false
		synctest.Test(t, func(t *testing.T) {
			_, err := history(seed, false, true)
			caught = err != nil
		})
		if caught {
			return
		}
	}
	t.Error("nothing was lost although items were removed before they were delivered")
}

// TestRestart stops a running relay anywhere and starts it on the same store: nothing is lost, and
// back-off goes on where it was.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		seen := map[int]int{}
		var tried []time.Duration
		start := time.Now()
		for life := range 5 {
			w := world.Seeded(uint64(life))
			db, err := store.Open(store.Options{Dir: "/data", FS: fs, World: w})
			if err != nil {
				t.Fatal(err)
			}
			r := New(Options[int]{Name: "test", Lanes: 1,
				Deliver: func(ctx context.Context, i Item[int]) error {
					if i.Lane == "bad" {
						tried = append(tried, time.Since(start).Round(time.Second))
						return errFault
					}
					w.Wait(ctx, nil, time.Second)
					if ctx.Err() != nil {
						return ctx.Err()
					}
					seen[i.Value]++
					return nil
				},
				Retry: func(i Item[int], _ error) (time.Duration, bool) { return 100 * time.Second, true },
			})
			if life == 0 {
				add(t, db, r, "bad", -1)
				for n := range 60 {
					add(t, db, r, "lane", n)
				}
			}
			r.Start(db, w, nil)
			time.Sleep(45*time.Second + 500*time.Millisecond)
			w.Stop()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != 60 {
			t.Errorf("%d of 60 arrived", len(seen))
		}
		if len(tried) != 3 || tried[1] < 100*time.Second || tried[1] > 150*time.Second {
			t.Errorf("tried at %v", tried)
		}
	})
}

func TestTail(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		stream := store.NewLog[int]("test/stream", store.Global)
		put := func(n int) {
			err := db.Update(tenant("111111111111"), func(tx *store.Tx) error {
				stream.Append(tx, "", n)
				tx.Wake("stream")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		failures := 0
		tail := NewTail("111111111111", "us-east-1", TailOptions[int]{
			Name: "mapping", Topic: "stream", Limit: 10,
			Read: func(ctx context.Context, cursor string, limit int) (list []int, next string, err error) {
				var at uint64
				fmt.Sscan(cursor, &at)
				err = db.View(ctx, func(tx *store.Tx) error {
					list = nil
					for _, e := range stream.Read(tx, "", at, limit) {
						list = append(list, e.Value)
						at = e.Seq
					}
					return nil
				})
				return list, fmt.Sprint(at), err
			},
			Deliver: func(_ context.Context, list []int) (int, error) {
				for i, n := range list {
					if n%25 == 13 && failures < 3 {
						failures++
						return i, errFault
					}
					got = append(got, n)
				}
				return len(list), nil
			},
		})
		tail.Start(db, w, nil)
		var want []int
		for n := range 100 {
			put(n)
			want = append(want, n)
			if n == 50 {
				time.Sleep(time.Minute)
				tail.Stop()
			}
			if n == 70 {
				tail.Start(db, w, nil)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		if failures != 3 {
			t.Errorf("%d failures", failures)
		}
	})
}
