package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Number is the value of a row of a Counter.
type Number int64

// AppendBinary writes a varint.
func (n *Number) AppendBinary(b []byte) ([]byte, error) {
	return binary.AppendVarint(b, int64(*n)), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (n *Number) UnmarshalBinary(b []byte) error {
	v, size := binary.Varint(b)
	if size <= 0 || size != len(b) {
		return errors.New("it is not a number")
	}
	*n = Number(v)
	return nil
}

// Counter is a table of numbers that can be changed without being read: transactions that only increase the same one are
// never in each other's way, and none of them pays for a read. Reading one costs the more the oftener it was
// increased since the engine last tidied up.
type Counter struct{ *Table[Number] }

// NewCounter describes the table of numbers called name.
func NewCounter(name string, scope Scope) Counter { return Counter{NewTable[Number](name, scope)} }

// Increase adds by, which may be negative, to the number at key; where there is none it becomes by.
func (c Counter) Increase(tx *Tx, key Key, by Number) {
	full, table := c.space.place(tx, key)
	tx.t.put(write{value: c.codec.encodeIn(tx.t, &by), table: int32(table), roots: c.space.roots, sum: true}, full)
}

var number = newCodec[Number]("a counter")

// sum returns the stored form of the sum of stored numbers.
func sum(a, b []byte) ([]byte, error) {
	var x, y Number
	if err := errors.Join(number.check(a, &x), number.check(b, &y)); err != nil {
		return nil, fmt.Errorf("store: add numbers: %w", err)
	}
	return number.encode(x + y), nil
}

// adder has the engine add up what counters were increased by. Its name is that of Pebble's own merger, which directories
// made before there were counters are marked with and which nothing of ours ever used.
var adder = &pebble.Merger{Name: pebble.DefaultMerger.Name, Merge: func(_, value []byte) (pebble.ValueMerger, error) {
	s := &increases{}
	return s, s.add(value)
}}

// increases implements pebble.ValueMerger.
type increases struct{ sum Number }

func (s *increases) add(value []byte) error {
	var n Number
	err := number.check(value, &n)
	s.sum += n
	return err
}

// MergeNewer implements pebble.ValueMerger.
func (s *increases) MergeNewer(value []byte) error { return s.add(value) }

// MergeOlder implements pebble.ValueMerger.
func (s *increases) MergeOlder(value []byte) error { return s.add(value) }

// Finish implements pebble.ValueMerger.
func (s *increases) Finish(bool) ([]byte, io.Closer, error) { return number.encode(s.sum), nil, nil }
