package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"fogbank/store"
	"fogbank/world"
)

func onDisk(b *testing.B) (*store.DB, *world.World) {
	w := world.New()
	db, err := store.Open(store.Options{Dir: b.TempDir(), World: w})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		w.Stop()
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db, w
}

// BenchmarkHop measures what a hop adds: from the return of the commit that adds an item to its delivery.
func BenchmarkHop(b *testing.B) {
	db, w := onDisk(b)
	delivered := make(chan time.Time, 1)
	r := New(Options[int]{Name: "bench", Deliver: func(context.Context, Item[int]) error {
		delivered <- time.Now()
		return nil
	}})
	r.Start(db, w, nil)
	add(b, db, r, "lane", 0)
	<-delivered
	var commit, hop []time.Duration
	for b.Loop() {
		start := time.Now()
		add(b, db, r, "lane", 1)
		committed := time.Now()
		commit = append(commit, committed.Sub(start))
		hop = append(hop, (<-delivered).Sub(start)-committed.Sub(start))
	}
	slices.Sort(commit)
	slices.Sort(hop)
	b.ReportMetric(float64(commit[len(commit)/2].Microseconds()), "commit-µs")
	b.ReportMetric(float64(hop[len(hop)/2].Nanoseconds())/1000, "hop-µs")
}

// BenchmarkFanOut adds many items in one transaction; each delivery is a durable commit of its own.
func BenchmarkFanOut(b *testing.B) {
	var arrived = store.NewTable[int]("bench/arrived", store.Global)
	for _, items := range []int{100, 10_000} {
		b.Run(fmt.Sprint(items), func(b *testing.B) {
			db, w := onDisk(b)
			var group sync.WaitGroup
			r := New(Options[int]{Name: "bench", Deliver: func(ctx context.Context, i Item[int]) error {
				defer group.Done()
				return db.Update(ctx, func(tx *store.Tx) error { arrived.Put(tx, store.K(i.ID), i.Value); return nil })
			}})
			r.Start(db, w, nil)
			for b.Loop() {
				group.Add(items)
				err := db.Update(tenant("111111111111"), func(tx *store.Tx) error {
					for n := range items {
						r.Add(tx, fmt.Sprint("lane", n), n)
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				group.Wait()
			}
			b.ReportMetric(float64(items*b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
