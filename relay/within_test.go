package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/store"
	"fogbank/world"
)

// inbox is where the deliveries of these tests go: to the store.
var inbox = store.NewTable[string]("test/inbox", store.Regional)

// TestWithin: items are delivered in the transaction that adds them, or else as though they had been added.
func TestWithin(t *testing.T) {
	fine := func(db *store.DB, ctx context.Context, v *string) error {
		return db.Update(ctx, func(tx *store.Tx) error { inbox.Put(tx, store.K(*v), "prompt"); return nil })
	}
	for _, c := range []struct {
		name    string
		deliver func(db *store.DB, ctx context.Context, v *string) error
		values  []string
		refused bool
		want    []string // of each value, how it came
		calls   []int    // attempts the relay had counted before its own, by delivery of the relay
	}{
		{name: "all", deliver: fine, values: []string{"a", "b"}, want: []string{"a prompt", "b prompt"}},
		{name: "one is refused", values: []string{"a", "b", "c"}, want: []string{"a prompt", "b later", "c prompt"}, calls: []int{1},
			deliver: func(db *store.DB, ctx context.Context, v *string) error {
				if *v == "b" {
					return errors.New("no")
				}
				return fine(db, ctx, v)
			}},
		{name: "one panics", values: []string{"a", "b"}, want: []string{"a later", "b prompt"}, calls: []int{1},
			deliver: func(db *store.DB, ctx context.Context, v *string) error {
				if *v == "a" {
					panic("a")
				}
				return fine(db, ctx, v)
			}},
		{name: "one fails half-way", values: []string{"a", "b"}, want: []string{"a later", "b later"}, calls: []int{0, 0},
			deliver: func(db *store.DB, ctx context.Context, v *string) error {
				if err := fine(db, ctx, v); err != nil || *v == "a" {
					return err
				}
				return errors.New("half-way")
			}},
		{name: "others are always in the way", values: []string{"a"}, want: []string{"a later"}, calls: []int{0},
			deliver: func(db *store.DB, ctx context.Context, v *string) error {
				err := db.Update(ctx, func(tx *store.Tx) error { inbox.Get(tx, store.K("busy")); return nil })
				if err != nil {
					return err
				}
				n := db.World().UUID()
				if err := db.Update(tenant("111111111111"), func(tx *store.Tx) error { inbox.Put(tx, store.K("busy"), n); return nil }); err != nil {
					return err
				}
				return fine(db, ctx, v)
			}},
		{name: "the body refuses", deliver: fine, values: []string{"a"}, refused: true},
		{name: "more than a transaction delivers", deliver: fine, values: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, calls: []int{0},
			want: []string{"a prompt", "b prompt", "c prompt", "d prompt", "e prompt", "f prompt", "g prompt", "h prompt", "i later"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
				var mu sync.Mutex
				var calls []int
				r := New(Options[string]{Name: "test", Deliver: func(ctx context.Context, i Item[string]) error {
					mu.Lock()
					calls = append(calls, i.Attempts)
					mu.Unlock()
					return db.Update(ctx, func(tx *store.Tx) error { inbox.Put(tx, store.K(i.Value), "later"); return nil })
				}})
				r.Start(db, w, nil)
				synctest.Wait() // what earlier lives left was looked for
				problem := errors.New("refused")
				err := r.Update(tenant("111111111111"), db, func(ctx context.Context, v *string) error { return c.deliver(db, ctx, v) },
					func(tx *store.Tx, in *Within[string]) error {
						for _, v := range c.values {
							if !in.Add(tx, v, v) {
								r.Add(tx, v, v)
							}
						}
						if c.refused {
							return problem
						}
						return nil
					})
				if c.refused != errors.Is(err, problem) || !c.refused && err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				var got []string
				err = db.View(tenant("111111111111"), func(tx *store.Tx) error {
					for key, how := range inbox.All(tx, "") {
						var name string
						if err := key.Parse(&name); err != nil {
							return err
						}
						if name != "busy" {
							got = append(got, name+" "+how)
						}
					}
					return nil
				})
				if slices.Sort(calls); err != nil || !slices.Equal(got, c.want) || !slices.Equal(calls, c.calls) {
					t.Errorf("%v, want %v; attempts before the relay's %v, want %v (%v)", got, c.want, calls, c.calls, err)
				}
				checkEmpty(t, db, r)
			})
		})
	}
}

// TestWithinInTurn: nothing passes items of its lane that wait.
func TestWithinInTurn(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var got []string
		var down atomic.Bool
		down.Store(true)
		r := New(Options[string]{Name: "test", Ordered: true, Deliver: func(_ context.Context, i Item[string]) error {
			if down.Load() {
				return errors.New("down")
			}
			got = append(got, i.Value)
			return nil
		}})
		r.Start(db, w, nil)
		synctest.Wait()
		for n := range 3 {
			err := r.Update(tenant("111111111111"), db, func(_ context.Context, v *string) error {
				if down.Load() {
					return errors.New("down")
				}
				got = append(got, *v)
				return nil
			}, func(tx *store.Tx, in *Within[string]) error {
				if v := fmt.Sprint(n); !in.Add(tx, "lane", v) {
					r.Add(tx, "lane", v)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			down.Store(n == 0) // the first waits for its next attempt
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("%v", got)
		}
	})
}

// TestWithinJoint: in a transaction that is joint already items are added as ever.
func TestWithinJoint(t *testing.T) {
	bubble(t, func(t *testing.T, db *store.DB, w *world.World) {
		var got []string
		r := New(Options[string]{Name: "test", Deliver: func(_ context.Context, i Item[string]) error { got = append(got, i.Value); return nil }})
		r.Start(db, w, nil)
		synctest.Wait()
		err := db.Join(tenant("111111111111"), func(j *store.Joint) error {
			return j.Do(func(ctx context.Context) error {
				return r.Update(ctx, db, func(context.Context, *string) error { t.Error("within"); return nil },
					func(tx *store.Tx, in *Within[string]) error {
						if !in.Add(tx, "lane", "x") {
							r.Add(tx, "lane", "x")
						}
						return nil
					})
			})
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if err != nil || !slices.Equal(got, []string{"x"}) {
			t.Errorf("%v %v", got, err)
		}
	})
}
