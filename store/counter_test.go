package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

var (
	counts  = NewCounter("test/count", Regional)
	fillers = NewTable[string]("test/filler", Regional)
)

// testCounter runs one random program on a counter and on a map. Rows between push the counts out of the engine's
// memory, and its compactions add up what is on disk.
func testCounter(t *testing.T, make labFunc) {
	for seed := range uint64(3) {
		l := make(t)
		rnd := rand.New(rand.NewPCG(seed, 3))
		state := map[Key]Number{}
		for step := range 300 {
			next := map[Key]Number{}
			for k, n := range state {
				next[k] = n
			}
			abort := rnd.IntN(5) == 0
			err := l.db.Update(someone, func(tx *Tx) error {
				fillers.Put(tx, K(step), strings.Repeat("x", 100_000))
				for range rnd.IntN(8) {
					counterStep(t, tx, rnd, next)
				}
				if abort {
					return errors.ErrUnsupported
				}
				return nil
			})
			if abort != (err != nil) {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if !abort {
				state = next
			}
			if rnd.IntN(80) == 0 {
				l.reopen()
			}
			view(t, l.db, func(tx *Tx) { sameCounts(t, tx, state) })
			if t.Failed() {
				t.Fatalf("seed %d step %d", seed, step)
			}
		}
	}
}

func counterStep(t *testing.T, tx *Tx, rnd *rand.Rand, state map[Key]Number) {
	key := K(rnd.IntN(5))
	switch rnd.IntN(10) {
	case 0:
		counts.Put(tx, key, 7)
		state[key] = 7
	case 1:
		counts.Delete(tx, key)
		delete(state, key)
	case 2, 3:
		sameCounts(t, tx, state)
	default:
		by := Number(rnd.IntN(200) - 100)
		counts.Increase(tx, key, by)
		state[key] += by
	}
}

// sameCounts compares what is read one by one and in a scan.
func sameCounts(t *testing.T, tx *Tx, state map[Key]Number) {
	t.Helper()
	scanned := 0
	for key, n := range counts.All(tx, "") {
		scanned++
		if state[key] != n {
			t.Errorf("%v: scanned %d, want %d", key, n, state[key])
		}
	}
	for i := range 5 {
		want, has := state[K(i)]
		if n, ok := counts.Get(tx, K(i)); ok != has || n != want {
			t.Errorf("%d: got %d %v, want %d %v", i, n, ok, want, has)
		}
	}
	if scanned != len(state) {
		t.Errorf("scanned %d rows, want %d", scanned, len(state))
	}
}

// testCounterApart: transactions that increase one number are not in each other's way, and one that read it is.
func testCounterApart(t *testing.T, make labFunc) {
	l := make(t)
	var group sync.WaitGroup
	runs := 0
	update(t, l.db, func(tx *Tx) {
		runs++
		counts.Increase(tx, K("n"), 1)
		if runs == 1 {
			for range 4 {
				group.Go(func() { update(t, l.db, func(tx *Tx) { counts.Increase(tx, K("n"), 10) }) })
			}
			group.Wait()
		}
	})
	if runs != 1 {
		t.Errorf("an increase ran %d times", runs)
	}
	runs = 0
	var seen Number
	update(t, l.db, func(tx *Tx) {
		runs++
		seen, _ = counts.Get(tx, K("n"))
		counts.Increase(tx, K("n"), 1)
		if runs == 1 {
			group.Go(func() { update(t, l.db, func(tx *Tx) { counts.Increase(tx, K("n"), 10) }) })
			group.Wait()
		}
		texts.Put(tx, K("seen"), fmt.Sprint(seen))
	})
	if runs != 2 || seen != 51 {
		t.Errorf("who read the number ran %d times and saw %d", runs, seen)
	}
	view(t, l.db, func(tx *Tx) {
		if n, _ := counts.Get(tx, K("n")); n != 52 {
			t.Errorf("the sum is %d", n)
		}
	})
}
