package store

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// afterTexts is a table whose keys are behind those of texts.
var afterTexts = NewTable[int]("test/total", Regional)

// TestApart: no file holds rows of a busy table with others', although tables before and behind it are written to all the time. And
// when the engine has tidied up, next to nothing is left of rows that came and went.
func TestApart(t *testing.T) {
	db := memory(t)
	engine := db.engine.(*pebbleEngine).db
	body := strings.Repeat("x", 1<<10)
	next := 0
	comeAndGo := func(rows int) {
		for last := next + rows; next < last; next++ {
			update(t, db, func(tx *Tx) {
				orders.Put(tx, K("a"), order{"a", next})
				afterTexts.Put(tx, K("a"), next)
				texts.Put(tx, K("queue", next), body)
			})
			if next >= 10 {
				update(t, db, func(tx *Tx) { texts.Delete(tx, K("queue", next-10)) })
			}
		}
		must(engine.Flush())
	}
	tidyUp := func() { must(engine.Compact(t.Context(), []byte{0}, []byte{0xff}, false)) }
	const rows = 6 << 10
	comeAndGo(rows) // until it is known what is busy
	tidyUp()
	comeAndGo(rows)
	busy := below("111111111111\x00us-east-1\x00test/text\x00")
	files(engine, func(f pebble.SSTableInfo) {
		low, high := string(f.Smallest.UserKey), string(f.Largest.UserKey)
		if busy.meets(span{low, high + "\x00"}) && !(busy.has(low) && busy.has(high)) {
			t.Errorf("a file spans %q to %q", low, high)
		}
	})
	tidyUp()
	left := uint64(0)
	files(engine, func(f pebble.SSTableInfo) { left += f.Properties.NumEntries })
	if left > rows/4 {
		t.Errorf("%d entries are left of %d rows that came and went", left, 2*rows)
	}
}

func files(engine *pebble.DB, f func(pebble.SSTableInfo)) {
	levels, err := engine.SSTables(pebble.WithProperties())
	must(err)
	for _, level := range levels {
		for _, file := range level {
			f(file)
		}
	}
}

// TestBorders: what takes much of what is written gets borders, down to a part of a table, and what takes little does not.
func TestBorders(t *testing.T) {
	db := memory(t)
	body := strings.Repeat("x", 1<<10)
	for i := range 6 << 10 {
		update(t, db, func(tx *Tx) {
			texts.Put(tx, K("busy", i), body)
			texts.Put(tx, K(i, i), body)
			if i%4 == 0 {
				numbers.Put(tx, K("quiet", i), i)
			}
		})
	}
	const table = "111111111111\x00us-east-1\x00test/text\x00"
	busy := table + string(K("busy"))
	for _, c := range []struct{ key, end string }{
		{"", table},
		{"111111111111\x00us-east-1\x00test/number\x00", table},
		{table, busy},
		{busy, busy + "\xff"},
		{table + string(K("busy", 7)), busy + "\xff"},
		{table + string(K("busz")), table + "\xff"},
		{table + string(K(7)), table + "\xff"},
		{table + "\xff", ""},
	} {
		_, end, err := db.engine.(*pebbleEngine).apart.policy([]byte(c.key))
		if err != nil || string(end) != c.end {
			t.Errorf("a file from %q ends at %q (%v), want %q", c.key, end, err, c.end)
		}
	}
}
