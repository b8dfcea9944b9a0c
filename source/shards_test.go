package source

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/store"
	"fogbank/world"
)

func TestCompareCursors(t *testing.T) {
	want := []string{"", cursorSince, cursorAt + "x", cursorLatest, "seq:9", "seq:10", "seq:11", cursorEnd}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareCursors)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBounds(t *testing.T) {
	h := &laneReader{Stream: &Stream{Tumbling: 90 * time.Second}}
	start, end := h.bounds(time.Unix(269, 0))
	if start.Unix() != 180 || end.Unix() != 270 {
		t.Errorf("%v to %v", start, end)
	}
}

// TestForget removes a consumer's windows and no other's.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world.Seeded(1)
		db := store.Memory(w)
		defer func() { w.Stop(); db.Close() }()
		h := &laneReader{Stream: &Stream{DB: db, Account: "000000000000", Region: "us-east-1"}}
		left := 0
		err := db.Update(h.tenant(t.Context()), func(tx *store.Tx) error {
			for _, name := range []string{"a", "ab"} {
				openWindows.Put(tx, store.K(name, "shard", ""), Window{})
			}
			Forget(tx, "a")
			left = 0
			for range openWindows.Keys(tx, store.Range{}) {
				left++
			}
			return nil
		})
		if err != nil || left != 1 {
			t.Errorf("%d windows are left, %v", left, err)
		}
	})
}
