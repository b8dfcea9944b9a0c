package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

func tenant(account string) context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Account: account, Region: "us-east-1"})
}

func add[V any](t testing.TB, db *store.DB, r *Relay[V], lane string, values ...V) {
	t.Helper()
	err := db.Update(tenant("111111111111"), func(tx *store.Tx) error {
		for _, v := range values {
			r.Add(tx, lane, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// bubble runs f with a database in memory inside a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T, db *store.DB, w *world.World)) {
	synctest.Test(t, func(t *testing.T) {
		w := world.Seeded(1)
		db := store.Memory(w)
		f(t, db, w)
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestDelivery(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var mu sync.Mutex
		var got []string
		r := New(Options[string]{Name: "test", Deliver: func(ctx context.Context, i Item[string]) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, aws.CallFrom(ctx).Account+"/"+i.Lane+"/"+i.Value)
			return nil
		}})
		add(t, db, r, "before", "start")
		r.Start(db, w, nil)
		add(t, db, r, "after", "start")
		synctest.Wait()
		slices.Sort(got)
		if want := []string{"111111111111/after/start", "111111111111/before/start"}; !slices.Equal(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		checkEmpty(t, db, r)
	})
}

func checkEmpty[V any](t *testing.T, db *store.DB, r *Relay[V]) {
	t.Helper()
	err := db.View(context.Background(), func(tx *store.Tx) error {
		if n, _ := r.Depth(tx, 100); n != 0 {
			t.Errorf("%d items are left", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lanes) != 0 || r.buffered != 0 || len(r.sleeping) != 0 || r.free != r.o.Lanes {
		t.Errorf("in memory: %d lanes, %d bytes, %d asleep, %d of %d free", len(r.lanes), r.buffered, len(r.sleeping), r.free, r.o.Lanes)
	}
}

// TestMark shows that what Mark makes of a value is what later attempts get, also in a later life.
func TestMark(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var got []string
		options := Options[string]{Name: "test",
			Deliver: func(_ context.Context, i Item[string]) error {
				if got = append(got, i.Value); len(got) < 4 {
					return errors.New("!")
				}
				return nil
			},
			Mark:  func(v *string, err error) { *v += err.Error() },
			Retry: func(Item[string], error) (time.Duration, bool) { return time.Second, true },
		}
		r := New(options)
		add(t, db, r, "lane", "x")
		if did, err := r.Step(tenant("111111111111"), db); !did || err != nil {
			t.Fatal(did, err)
		}
		r = New(options)
		r.Start(db, w, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{"x", "x!", "x!!", "x!!!"}; !slices.Equal(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
	})
}

func TestBackOffAndDead(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		start := w.Now()
		var tried []time.Duration
		var buried string
		var ids = map[string]bool{}
		r := New(Options[string]{Name: "test",
			Deliver: func(_ context.Context, i Item[string]) error {
				tried = append(tried, w.Now().Sub(start).Round(time.Second))
				ids[i.ID] = true
				return errors.New("no")
			},
			Retry: func(i Item[string], _ error) (time.Duration, bool) {
				return time.Duration(i.Attempts) * 10 * time.Second, i.Attempts < 4
			},
			Dead: func(_ context.Context, i Item[string], err error) error {
				buried = fmt.Sprint(i.Value, " ", i.Attempts, " ", err)
				return nil
			},
		})
		r.Start(db, w, nil)
		add(t, db, r, "lane", "x")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if want := []time.Duration{0, 10e9, 30e9, 60e9}; !slices.Equal(tried, want) {
			t.Errorf("tried after %v, want %v", tried, want)
		}
		if buried != "x 4 no" {
			t.Errorf("buried %q", buried)
		}
		if len(ids) != 1 {
			t.Errorf("ids %v", ids)
		}
		checkEmpty(t, db, r)
	})
}

func TestOrderedLanes(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var mu sync.Mutex
		got := map[string][]int{}
		failures := 0
		r := New(Options[int]{Name: "test", Ordered: true, Lanes: 8, Deliver: func(_ context.Context, i Item[int]) error {
			mu.Lock()
			defer mu.Unlock()
			if i.Lane == "bad" && i.Value == 3 && failures < 5 {
				failures++
				return errors.New("not yet")
			}
			got[i.Lane] = append(got[i.Lane], i.Value)
			return nil
		}})
		r.Start(db, w, nil)
		var want []int
		for n := range 1000 {
			add(t, db, r, "good", n)
			add(t, db, r, "bad", n)
			want = append(want, n)
		}
		synctest.Wait()
		mu.Lock()
		if !slices.Equal(got["good"], want) {
			t.Errorf("the good lane got %d items, out of order or held up", len(got["good"]))
		}
		if len(got["bad"]) != 3 {
			t.Errorf("the bad lane passed its head: %v", got["bad"])
		}
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(got["bad"], want) {
			t.Errorf("the bad lane got %d items in the end, or out of order", len(got["bad"]))
		}
		checkEmpty(t, db, r)
	})
}

func TestFanOut(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var mu sync.Mutex
		seen := map[int]int{}
		atOnce, most := 0, 0
		r := New(Options[int]{Name: "test", Lanes: 64, Deliver: func(ctx context.Context, i Item[int]) error {
			mu.Lock()
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			w.Wait(ctx, nil, time.Millisecond)
			mu.Lock()
			seen[i.Value]++
			atOnce--
			mu.Unlock()
			return nil
		}})
		r.Start(db, w, nil)
		err := db.Update(tenant("111111111111"), func(tx *store.Tx) error {
			for n := range 3000 {
				r.Add(tx, fmt.Sprint("lane", n%1000), n)
				r.Add(tx, "one", 3000+n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(seen) != 6000 {
			t.Errorf("%d of 6000 were delivered", len(seen))
		}
		for n, times := range seen {
			if times != 1 {
				t.Errorf("item %d was delivered %d times", n, times)
			}
		}
		if most < 32 || most > 64 {
			t.Errorf("%d deliveries at once", most)
		}
		checkEmpty(t, db, r)
	})
}

// TestSlowLanes: lanes that hang take up places, but never all; others go on.
func TestSlowLanes(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var mu sync.Mutex
		var late []time.Duration
		r := New(Options[time.Time]{Name: "test", Lanes: 16, Deliver: func(ctx context.Context, i Item[time.Time]) error {
			if i.Lane != "good" {
				w.Wait(ctx, nil, 20*time.Second)
				return errors.New("timed out")
			}
			mu.Lock()
			defer mu.Unlock()
			late = append(late, w.Now().Sub(i.Value))
			return nil
		}})
		r.Start(db, w, nil)
		for n := range 300 {
			add(t, db, r, fmt.Sprint("slow", n%2), w.Now())
		}
		for range 100 {
			add(t, db, r, "good", w.Now())
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if len(late) != 100 {
			t.Errorf("%d of 100 arrived", len(late))
		}
		for _, d := range late {
			if d > time.Millisecond {
				t.Errorf("an item came after %v", d)
				break
			}
		}
	})
}

// house has room for some at a time, of whom each stays for a second.
type house struct {
	mu             sync.Mutex
	room, in, most int
	refused        int
	order          []int
}

func (h *house) enter(n int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.in == h.room {
		h.refused++
		return Busy{errors.New("full")}
	}
	h.in++
	h.most = max(h.most, h.in)
	h.order = append(h.order, n)
	return nil
}

func (h *house) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in--
}

func (h *house) deliver(_ context.Context, i Item[int]) error {
	if err := h.enter(i.Value); err != nil {
		return err
	}
	time.Sleep(time.Second)
	h.leave()
	return nil
}

// TestBusy: items that there is no room for wait, roughly in their order and without being stored again, for those that there is
// room for.
func TestBusy(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		h := &house{room: 3}
		r := New(Options[int]{Name: "busy", Deliver: h.deliver, Lanes: 500,
			Retry: func(Item[int], error) (time.Duration, bool) { return time.Hour, true }})
		r.Start(db, w, nil)
		synctest.Wait()
		for n := range 200 {
			add(t, db, r, "lane", n)
		}
		time.Sleep(67 * time.Second)
		synctest.Wait()
		if h.most != 3 || len(h.order) != 200 {
			t.Errorf("%d were in, %d at once", len(h.order), h.most)
		}
		if h.refused > 200+2*200 {
			t.Errorf("%d were refused", h.refused)
		}
		for i, n := range h.order {
			if n > i+50 || n < i-50 { // those refused at the same moment come in any order
				t.Errorf("%d came after %d others", n, i)
			}
		}
		checkEmpty(t, db, r)
	})
}

// TestBusyAlone: where there is no room because of others, an item is tried again as one that failed, and more of its lane
// each second; when there is room again, all of it is used.
func TestBusyAlone(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		h := &house{}
		r := New(Options[int]{Name: "busy", Deliver: h.deliver, Lanes: 500,
			Retry: func(i Item[int], _ error) (time.Duration, bool) { return time.Duration(i.Attempts) * time.Minute, true }})
		r.Start(db, w, nil)
		synctest.Wait()
		for n := range 20 {
			add(t, db, r, "lane", n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if h.refused == 0 || h.refused > 60 {
			t.Errorf("refused %d times", h.refused)
		}
		h.mu.Lock()
		h.room = 10
		h.mu.Unlock()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if len(h.order) != 20 || h.most < 5 {
			t.Errorf("%d were in, %d at once", len(h.order), h.most)
		}
		checkEmpty(t, db, r)
	})
}

// TestBytes: items being delivered have so many bytes at most, and one more item.
func TestBytes(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var mu sync.Mutex
		in, most, done := 0, 0, 0
		r := New(Options[string]{Name: "bytes", Bytes: 10_000, Deliver: func(context.Context, Item[string]) error {
			mu.Lock()
			in++
			most = max(most, in)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			in--
			done++
			mu.Unlock()
			return nil
		}})
		r.Start(db, w, nil)
		for n := range 20 {
			add(t, db, r, fmt.Sprint("lane", n), string(make([]byte, 600))) // six bytes each
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if most < 2 || most > 3 || done != 20 {
			t.Errorf("%d at once, %d in all", most, done)
		}
		checkEmpty(t, db, r)
	})
}
