package store

import (
	"encoding/binary"
	"math"
)

// Log is an append-only sequence of entries in each of its parts. Entries of a part are numbered from 1
// without gaps in the order of their commits: no reader ever sees an entry before a lower one.
//
// Stored: part 0x00 → how far it was trimmed (8 bytes), part 0x01 number (8 bytes) → entry.
type Log[V any] struct {
	space space
	codec codec[V]
}

// Entry is one entry of a log.
type Entry[V any] struct {
	Seq   uint64
	Value V
}

// NewLog describes the log called name.
func NewLog[V any](name string, scope Scope) *Log[V] {
	return &Log[V]{newSpace(name, scope), newCodec[V](name)}
}

// Append adds v at the end of part. Its number is known at the commit. Transactions that append to
// the same part are not in each other's way. The entry cannot be read in the transaction that appends it.
func (l *Log[V]) Append(tx *Tx, part Key, v V) *Seq {
	entries, table := l.entries(tx, part)
	return tx.t.add(addition{prefix: entries, table: int32(table), log: true, value: l.codec.encodeIn(tx.t, &v)})
}

// entries returns the prefix of the part's entries.
func (l *Log[V]) entries(tx *Tx, part Key) (prefix string, table int) {
	full, table := l.space.place(tx, part)
	return string(append(full, 1)), table
}

// Read returns up to limit entries of part, oldest first, with numbers above after.
func (l *Log[V]) Read(tx *Tx, part Key, after uint64, limit int) []Entry[V] {
	prefix, _ := l.entries(tx, part)
	if limit <= 0 || after == math.MaxUint64 {
		return nil
	}
	var list []Entry[V]
	s := span{numbered(prefix, after+1), prefix[:len(prefix)-1] + "\x02"}
	tx.t.walk(s, false, func(key, value []byte) bool {
		e := Entry[V]{Seq: binary.BigEndian.Uint64(key[len(prefix):])}
		l.codec.decode(value, &e.Value)
		list = append(list, e)
		return len(list) < limit
	})
	return list
}

func numbered(prefix string, n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(prefix), n))
}

// Last returns the number of the newest entry, 0 when there never was one.
func (l *Log[V]) Last(tx *Tx, part Key) uint64 {
	prefix, _ := l.entries(tx, part)
	if n := tx.t.edge(prefix, true); n > 0 {
		return n
	}
	return tx.t.trimmed(prefix)
}

// First returns the number of the oldest entry kept; when there is none, the number the next will get.
func (l *Log[V]) First(tx *Tx, part Key) uint64 {
	prefix, _ := l.entries(tx, part)
	if n := tx.t.edge(prefix, false); n > 0 {
		return n
	}
	return tx.t.trimmed(prefix) + 1
}

// edge returns the number of the first or last entry, 0 when there is none.
func (t *txn) edge(prefix string, last bool) (n uint64) {
	s := span{prefix, prefix[:len(prefix)-1] + "\x02"}
	t.walk(s, last, func(key, _ []byte) bool {
		n = binary.BigEndian.Uint64(key[len(prefix):])
		return false
	})
	return n
}

func trimKey(prefix string) []byte {
	k := []byte(prefix)
	k[len(k)-1] = 0
	return k
}

func (t *txn) trimmed(prefix string) (n uint64) {
	t.get(trimKey(prefix), func(v []byte) { n = binary.BigEndian.Uint64(v) })
	return n
}

// trimFew is up to how many entries are deleted one by one: the engine reads past single deletions more
// cheaply than past a range.
const trimFew = 64

// Trim forgets the entries of part up to and including number upTo. Later entries keep their numbers.
func (l *Log[V]) Trim(tx *Tx, part Key, upTo uint64) {
	prefix, table := l.entries(tx, part)
	s := span{prefix, numbered(prefix, upTo) + "\x00"}
	var few []string
	tx.t.walk(s, false, func(key, _ []byte) bool {
		few = append(few, string(key))
		return len(few) <= trimFew
	})
	if len(few) == 0 {
		return
	}
	newest := binary.BigEndian.Uint64([]byte(few[len(few)-1])[len(prefix):])
	if len(few) <= trimFew {
		for _, key := range few {
			tx.t.put(write{deleted: true, table: int32(table)}, []byte(key))
		}
	} else {
		tx.t.walk(s, true, func(key, _ []byte) bool {
			newest = binary.BigEndian.Uint64(key[len(prefix):])
			return false
		})
		tx.t.drop(s)
	}
	tx.t.put(write{value: binary.BigEndian.AppendUint64(nil, newest), table: int32(table)}, trimKey(prefix))
}

// Drop forgets the part altogether; if it is appended to again, numbers begin at 1.
func (l *Log[V]) Drop(tx *Tx, part Key) {
	prefix, table := l.entries(tx, part)
	t := tx.t
	t.drop(span{prefix, prefix[:len(prefix)-1] + "\x02"})
	t.put(write{deleted: true, table: int32(table)}, trimKey(prefix))
	t.counters = append(t.counters, prefix)
	kept := t.added[:0]
	for _, a := range t.added {
		if a.prefix != prefix {
			kept = append(kept, a)
		}
	}
	t.added = kept
}

// nextInLog returns the next number of the part whose entries have the prefix. Called with commits.mu held,
// so the newest state is the one to number from.
func (db *DB) nextInLog(prefix string) uint64 {
	c := db.commits.counters
	n, ok := c[prefix]
	if !ok {
		n = db.lastInLog(prefix)
	}
	c[prefix] = n + 1
	return n + 1
}

func (db *DB) lastInLog(prefix string) (n uint64) {
	t := &txn{db: db}
	defer t.close()
	if n = t.edge(prefix, true); n == 0 {
		n = t.trimmed(prefix)
	}
	return n
}
