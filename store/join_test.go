package store

import (
	"context"
	"errors"
	"testing"

	"fogbank/aws"
)

var other = tenant("222222222222")

// put is a call of somebody's own that changes a row.
func put(db *DB, ctx context.Context, as context.Context, key string) error {
	return db.Update(aws.WithCall(ctx, aws.CallFrom(as)), func(tx *Tx) error {
		texts.Put(tx, K(key), key)
		return nil
	})
}

func has(t *testing.T, db *DB, as context.Context, key string) (ok bool) {
	t.Helper()
	if err := db.View(as, func(tx *Tx) error { ok = texts.Has(tx, K(key)); return nil }); err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestJoin: calls of several tenants are one commit, and each sees what the others did.
func TestJoin(t *testing.T) {
	db := memory(t)
	before := db.commits.last.Load()
	err := db.Join(someone, func(j *Joint) error {
		for _, as := range []context.Context{someone, other} {
			if err := j.Do(func(ctx context.Context) error { return put(db, ctx, as, "a") }); err != nil {
				return err
			}
		}
		return j.Do(func(ctx context.Context) error {
			if has(t, db, someone, "a") {
				t.Error("a part can be seen before the whole")
			}
			return db.Update(ctx, func(tx *Tx) error {
				if !texts.Has(tx, K("a")) {
					t.Error("a part does not see the one before it")
				}
				return nil
			})
		})
	})
	if n := db.commits.last.Load() - before; err != nil || n != 1 {
		t.Errorf("%v; %d commits", err, n)
	}
	if !has(t, db, someone, "a") || !has(t, db, other, "a") {
		t.Error("a part is missing")
	}
	if at := db.durable.at.Load(); at <= before {
		t.Error("it is not on disk")
	}
}

// TestJoinFailing: a part that fails clean leaves the others alone, one that fails half done takes all with it.
func TestJoinFailing(t *testing.T) {
	refused := errors.New("refused")
	for _, c := range []struct {
		name string
		fail func(db *DB, ctx context.Context) error
		all  bool
	}{
		{"before it did anything", func(db *DB, ctx context.Context) error { return refused }, true},
		{"in a body that only read", func(db *DB, ctx context.Context) error {
			return db.Update(ctx, func(tx *Tx) error { texts.Has(tx, K("x")); return refused })
		}, true},
		{"in a body that wrote", func(db *DB, ctx context.Context) error {
			return db.Update(ctx, func(tx *Tx) error { texts.Put(tx, K("bad"), ""); return refused })
		}, false},
		{"after a body that wrote", func(db *DB, ctx context.Context) error {
			return errors.Join(put(db, ctx, someone, "bad"), refused)
		}, false},
		{"in a body whose error it hides", func(db *DB, ctx context.Context) error {
			_ = db.Update(ctx, func(tx *Tx) error { texts.Put(tx, K("bad"), ""); return refused })
			return nil
		}, false},
		{"on a limit", func(db *DB, ctx context.Context) error {
			err := db.Update(ctx, func(tx *Tx) error { texts.Put(tx, K("bad"), string(make([]byte, MaxValue+1))); return nil })
			return errors.Join(err, refused)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := memory(t)
			err := db.Join(someone, func(j *Joint) error {
				first := j.Do(func(ctx context.Context) error { return put(db, ctx, someone, "a") })
				failed := j.Do(func(ctx context.Context) error { return c.fail(db, ctx) })
				last := j.Do(func(ctx context.Context) error { return put(db, ctx, someone, "b") })
				if first != nil || failed == nil || (last == nil) != c.all {
					t.Error(first, failed, last)
				}
				return nil
			})
			if (err == nil) != c.all || err != nil && !errors.Is(err, refused) && !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
			for _, key := range []string{"a", "b"} {
				if has(t, db, someone, key) != c.all {
					t.Errorf("%s: %v", key, !c.all)
				}
			}
			if has(t, db, someone, "bad") {
				t.Error("half of a part was committed")
			}
		})
	}
}

// TestJoinAgain: it runs again when what it read has changed, and gives up in the end, having done nothing.
func TestJoinAgain(t *testing.T) {
	for _, disturbed := range []int{1, 2 * optimistic} {
		db := memory(t)
		runs := 0
		err := db.Join(someone, func(j *Joint) error {
			runs++
			return j.Do(func(ctx context.Context) error {
				return db.Update(ctx, func(tx *Tx) error {
					n, _ := numbers.Get(tx, K("n"))
					if runs <= disturbed {
						update(t, db, func(tx *Tx) { numbers.Put(tx, K("n"), n+10) })
					}
					numbers.Put(tx, K("n"), n+1)
					return nil
				})
			})
		})
		got := 0
		view(t, db, func(tx *Tx) { got, _ = numbers.Get(tx, K("n")) })
		switch {
		case disturbed == 1 && (err != nil || runs != 2 || got != 11):
			t.Errorf("%v, %d runs, %d", err, runs, got)
		case disturbed > 1 && (!errors.Is(err, ErrContended) || runs != optimistic || got != 10*optimistic):
			t.Errorf("%v, %d runs, %d", err, runs, got)
		}
	}
}

// TestJoinInside: nothing leaves the process from within, nor goes on after the end.
func TestJoinInside(t *testing.T) {
	db := memory(t)
	var kept context.Context
	err := db.Join(someone, func(j *Joint) error {
		return j.Do(func(ctx context.Context) error {
			kept = ctx
			if err := aws.Settle(db.Early(ctx, 0)); !errors.Is(err, errLeaving) {
				t.Error(err)
			}
			return put(db, ctx, someone, "a")
		})
	})
	if err != nil {
		t.Error(err)
	}
	if err := put(db, kept, someone, "b"); !errors.Is(err, errEnded) {
		t.Error(err)
	}
}

// TestJoinDurable: what parts only looked at is on disk when Join returns, but in work ahead of the disk, which settles it.
func TestJoinDurable(t *testing.T) {
	db := memory(t)
	look := func(ctx context.Context) uint64 {
		if err := db.UpdateSoon(someone, func(tx *Tx) error { numbers.Put(tx, K("n"), 1); return nil }); err != nil {
			t.Fatal(err)
		}
		err := db.Join(ctx, func(j *Joint) error {
			return j.Do(func(ctx context.Context) error {
				return db.View(ctx, func(tx *Tx) error { numbers.Get(tx, K("n")); return nil })
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return db.commits.last.Load()
	}
	if n := look(someone); db.durable.at.Load() < n {
		t.Error("what was seen is not on disk")
	}
	ctx := db.Early(someone, 0)
	n := look(ctx)
	if err := aws.Settle(ctx); err != nil || db.durable.at.Load() < n {
		t.Error("what was seen is not settled", err)
	}
}
