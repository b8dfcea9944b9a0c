package store

import (
	"iter"
)

// Scope says which tenants share a table's rows.
type Scope uint8

// The scopes of a table.
const (
	Regional Scope = iota // rows belong to one region of one account
	Account               // rows belong to an account
	Global                // rows belong to nobody
)

// Table is a set of rows in key order. Tables are package variables; the rows are found through a Tx.
type Table[V any] struct {
	space space
	codec codec[V]
}

// space is the part of the keys that a table, a log or a timer owns.
type space struct {
	name  string
	scope Scope
	roots roots
}

// roots tells what is derived from the rows of a table, which therefore has versions of its own.
type roots struct {
	rows     bool // from single rows: Derive
	prefixes bool // from all rows below a prefix: DeriveAll
}

// NewTable describes the table called name, such as "sqs/queue". Rows are stored as a version byte and
// V's AppendBinary form if *V has it and UnmarshalBinary, bytes and strings as they are, else JSON.
func NewTable[V any](name string, scope Scope) *Table[V] {
	return &Table[V]{newSpace(name, scope), newCodec[V](name)}
}

func newSpace(name string, scope Scope) space {
	for i := range len(name) {
		if name[i] == 0 {
			panic("store: a name cannot hold a zero byte")
		}
	}
	return space{name: name, scope: scope}
}

// appendPrefix appends what every key of the space begins with for the tenant.
func (s *space) appendPrefix(b []byte, tx *Tx) []byte {
	switch s.scope {
	case Regional:
		if tx.account == "" || tx.region == "" {
			panic("store: table " + s.name + " belongs to a region of an account, but the context has no aws.Call with both")
		}
		b = append(append(b, tx.account...), 0)
		b = append(append(b, tx.region...), 0)
	case Account:
		if tx.account == "" {
			panic("store: table " + s.name + " belongs to an account, but the context has no aws.Call with one")
		}
		b = append(append(b, tx.account...), 0, 0)
	default:
		b = append(b, 0, 0)
	}
	return append(append(b, s.name...), 0)
}

// place writes the stored key into the transaction's scratch space, valid until the next call.
func (s *space) place(tx *Tx, key Key) (full []byte, table int) {
	b := s.appendPrefix(tx.t.key[:0], tx)
	table = len(b)
	b = append(b, key...)
	tx.t.key = b
	return b, table
}

// Get returns the row at key.
func (t *Table[V]) Get(tx *Tx, key Key) (v V, ok bool) {
	full, _ := t.space.place(tx, key)
	ok = tx.t.get(full, func(b []byte) { t.codec.decode(b, &v) })
	return v, ok
}

// Has reports whether there is a row at key.
func (t *Table[V]) Has(tx *Tx, key Key) bool {
	full, _ := t.space.place(tx, key)
	return tx.t.get(full, func([]byte) {})
}

// Put stores v at key.
func (t *Table[V]) Put(tx *Tx, key Key, v V) {
	full, table := t.space.place(tx, key)
	tx.t.put(write{value: t.codec.encodeIn(tx.t, &v), table: int32(table), roots: t.space.roots}, full)
}

// Delete removes the row at key if there is one.
func (t *Table[V]) Delete(tx *Tx, key Key) {
	full, table := t.space.place(tx, key)
	tx.t.put(write{deleted: true, table: int32(table), roots: t.space.roots}, full)
}

// Add stores v at the key made of prefix and one number more, which is known at the commit: numbers of
// later commits are higher over the whole database, for ever, with gaps; those of one transaction rise in
// the order of the calls. Two transactions that only add are never in each other's way. The row cannot be
// read in the transaction that adds it.
func (t *Table[V]) Add(tx *Tx, prefix Key, v V) *Seq {
	full, table := t.space.place(tx, prefix)
	return tx.t.add(addition{prefix: string(full), table: int32(table), roots: t.space.roots, value: t.codec.encodeIn(tx.t, &v)})
}

func (t *txn) add(a addition) *Seq {
	t.changing()
	if len(a.prefix)+9 > MaxKey {
		fail("%w: a key of %d bytes; the limit is %d", ErrTooLarge, len(a.prefix)+9, MaxKey)
	}
	if len(a.value) > MaxValue {
		fail("%w: a value of %d bytes; the limit is %d", ErrTooLarge, len(a.value), MaxValue)
	}
	if len(t.added) == MaxAdded {
		fail("%w: more than %d rows added at once", ErrTooLarge, MaxAdded)
	}
	t.grow(len(a.prefix) + len(a.value) + 9)
	a.seq = new(Seq)
	t.added = append(t.added, a)
	return a.seq
}

// Range chooses rows. Every key is relative to the table. The zero Range is all rows.
type Range struct {
	Prefix Key // only rows whose keys begin with these parts
	From   Key // only keys at or after this one
	To     Key // only keys before this one
	// After goes on where another scan in the same direction ended: only keys after this one, or with
	// Reverse before it.
	After   Key
	Reverse bool
	Limit   int // at most so many rows; 0 is no limit
}

// All yields the rows whose keys begin with prefix, in key order.
func (t *Table[V]) All(tx *Tx, prefix Key) iter.Seq2[Key, V] {
	return t.Scan(tx, Range{Prefix: prefix})
}

// Scan yields the rows chosen by r in key order. Rows may be put and deleted during the loop; the loop
// does not see it. An Update depends on the part of the range it looked at: a row that appears there
// makes it run again.
func (t *Table[V]) Scan(tx *Tx, r Range) iter.Seq2[Key, V] {
	return func(yield func(Key, V) bool) {
		full, table := t.space.place(tx, "")
		s := r.within(string(full))
		left := r.Limit
		tx.t.walk(s, r.Reverse, func(key, value []byte) bool {
			var v V
			t.codec.decode(value, &v)
			if !yield(Key(key[table:]), v) {
				return false
			}
			left--
			return left != 0
		})
	}
}

// Keys is Scan without reading the rows.
func (t *Table[V]) Keys(tx *Tx, r Range) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		full, table := t.space.place(tx, "")
		s := r.within(string(full))
		left := r.Limit
		tx.t.walk(s, r.Reverse, func(key, _ []byte) bool {
			if !yield(Key(key[table:])) {
				return false
			}
			left--
			return left != 0
		})
	}
}

// within returns the stored keys r chooses in the table with the prefix.
func (r Range) within(table string) span {
	s := below(table + string(r.Prefix))
	if r.From != "" {
		s.low = max(s.low, table+string(r.From))
	}
	if r.To != "" {
		s.high = min(s.high, table+string(r.To))
	}
	switch {
	case r.After == "":
	case r.Reverse:
		s.high = min(s.high, table+string(r.After))
	default:
		s.low = max(s.low, table+string(r.After)+"\x00")
	}
	return s
}

// below is the span of all keys that begin with prefix: no part begins with 0xff.
func below(prefix string) span { return span{prefix, prefix + "\xff"} }
