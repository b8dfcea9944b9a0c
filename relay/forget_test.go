package relay_test

import (
	"context"
	"testing"

	"fogbank/relay"
	"fogbank/store"
	"fogbank/world"
)

// TestForgetTails removes the cursors of one consumer's tails and no others.
func TestForgetTails(t *testing.T) {
	w := world.Seeded(1)
	defer w.Stop()
	db := store.Memory(w)
	defer db.Close()
	tail := func(name string) *relay.Tail[string] {
		return relay.NewTail("000000000000", "us-east-1", relay.TailOptions[string]{Name: name,
			Read: func(_ context.Context, cursor string, _ int) ([]string, string, error) {
				if cursor == "1" {
					return nil, cursor, nil
				}
				return []string{"record"}, "1", nil
			},
			Deliver: func(_ context.Context, records []string) (int, error) { return len(records), nil }})
	}
	names := []string{"a/1", "a/2", "ab/1", "b/1"}
	tails := map[string]*relay.Tail[string]{}
	for _, name := range names {
		tails[name] = tail(name)
		if did, err := tails[name].Step(t.Context(), db); !did || err != nil {
			t.Fatal(name, did, err)
		}
	}
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		relay.ForgetTails(tx.In("000000000000", "us-east-1"), "a")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(tx *store.Tx) error {
		for _, name := range names {
			if _, ok := tails[name].Cursor(tx); ok != (name[1] != '/' || name[0] != 'a') {
				t.Errorf("%s: there is a cursor: %v", name, ok)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
