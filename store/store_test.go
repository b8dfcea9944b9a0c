package store

import (
	"context"
	"testing"
	"time"

	"fogbank/aws"
	"fogbank/world"
)

type order struct {
	Name string
	N    int
}

var (
	orders    = NewTable[order]("test/order", Regional)
	texts     = NewTable[string]("test/text", Global)
	changes   = NewLog[string]("test/change", Regional)
	alarms    = NewTimers[string]("test/alarm")
	orderName = Derive(orders, func(_ Key, o order) (string, error) { return "name " + o.Name, nil })
)

func tenant(account string) context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Account: account, Region: "us-east-1"})
}

// memory opens a database in memory that ends with the test.
func memory(t testing.TB) *DB {
	t.Helper()
	w := world.Seeded(1)
	db := Memory(w)
	t.Cleanup(func() {
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func update(t testing.TB, db *DB, fn func(*Tx)) {
	t.Helper()
	err := db.Update(tenant("111111111111"), func(tx *Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, db *DB, fn func(*Tx)) {
	t.Helper()
	err := db.View(tenant("111111111111"), func(tx *Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func TestFirst(t *testing.T) {
	db := memory(t)
	var seq *Seq
	update(t, db, func(tx *Tx) {
		orders.Put(tx, K("a"), order{"a", 1})
		orders.Put(tx, K("b"), order{"b", 2})
		if v, ok := orders.Get(tx, K("a")); !ok || v.N != 1 {
			t.Errorf("own write: %v %v", v, ok)
		}
		seq = changes.Append(tx, K("p"), "one")
	})
	if seq.N != 1 {
		t.Errorf("first entry is number %d", seq.N)
	}
	fired := make(chan string, 1)
	alarms.Run(db, func(ctx context.Context, id Key, v string) error {
		fired <- aws.CallFrom(ctx).Account + v
		return nil
	})
	update(t, db, func(tx *Tx) {
		orders.Delete(tx, K("a"))
		changes.Append(tx, K("p"), "two")
		alarms.Set(tx, K("x"), db.World().Now().Add(time.Millisecond), "ring")
		if n, _, _ := orderName.Get(tx, K("b")); n != "name b" {
			t.Errorf("derived %q", n)
		}
	})
	view(t, db, func(tx *Tx) {
		count := 0
		for k, v := range orders.All(tx, "") {
			if count++; k != K("b") || v.N != 2 {
				t.Errorf("row %v %v", k, v)
			}
		}
		if count != 1 {
			t.Errorf("%d rows", count)
		}
		if e := changes.Read(tx, K("p"), 0, 10); len(e) != 2 || e[1].Value != "two" || e[1].Seq != 2 {
			t.Errorf("entries %v", e)
		}
	})
	if got := <-fired; got != "111111111111ring" {
		t.Errorf("fired %q", got)
	}
}
