package store

import (
	"context"
	"testing"

	"fogbank/aws"
	"fogbank/world"
)

var (
	glanced      = NewTable[string]("test/glanced", Global)
	glancedValue = Derive(glanced, func(_ Key, v string) (string, error) { return v, nil })
)

// TestGlance: a glance that must read after what it derived has changed runs again, and sees one state.
func TestGlance(t *testing.T) {
	db := Memory(world.Seeded(1))
	defer db.Close()
	ctx := aws.WithCall(context.Background(), &aws.Call{Account: "1", Region: "r"})
	set := func(v string) {
		err := db.Update(ctx, func(tx *Tx) error {
			glanced.Put(tx, K("a"), v)
			glanced.Put(tx, K("b"), v)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("old")
	runs := 0
	for range 2 { // the second time from the cache
		err := db.Glance(ctx, func(tx *Tx) error {
			runs++
			a, _, err := glancedValue.Get(tx, K("a"))
			if runs == 2 {
				set("new")
			}
			if b, _ := glanced.Get(tx, K("b")); b != a {
				t.Errorf("two states at once: %s, %s", a, b)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if runs != 3 {
		t.Errorf("%d runs", runs)
	}
}
