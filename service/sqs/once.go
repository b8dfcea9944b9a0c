package sqs

import (
	"encoding/binary"
	"time"

	"fogbank/store"
)

// onces remembers what was sent, for five minutes, so that it is not sent twice: by deduplication id in FIFO
// queues, and by the once-only key of in-process callers in all. It is keyed queue id/period/kind/…; periods are
// as long as the window, so a lookup reads two of them and the sweeper drops whole ones.
var onces = store.NewTable[sent]("sqs/once", store.Regional)

// onceSweep is how long after a row of onces is written the sweeper may drop it.
const onceSweep = 2*onceWindow + time.Minute

// sent is what a repeated send is answered with.
type sent struct {
	ID       string
	Sequence uint64
	At       int64 // milliseconds since 1970
}

// AppendBinary writes the fields in their order.
func (e *sent) AppendBinary(b []byte) ([]byte, error) {
	b = appendText(b, e.ID)
	b = binary.AppendUvarint(b, e.Sequence)
	return binary.AppendVarint(b, e.At), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (e *sent) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	e.ID, e.Sequence, e.At = r.text(), r.uint(), r.int()
	return r.end()
}

// kinds of rows in onces.
const (
	onceByKey = iota
	onceByID
)

func period(t time.Time) int64 { return t.UnixNano() / int64(onceWindow) }

// repeated returns what was stored under rest less than the window ago.
func repeated(tx *store.Tx, queueID uint64, rest store.Key, now time.Time) (sent, bool) {
	for _, p := range [2]int64{period(now), period(now) - 1} {
		e, ok := onces.Get(tx, store.K(queueID, p, rest))
		if ok && now.UnixMilli() < e.At+onceWindow.Milliseconds() {
			return e, true
		}
	}
	return sent{}, false
}

func remember(tx *store.Tx, queueID uint64, rest store.Key, o *outgoing, now time.Time) {
	onces.Put(tx, store.K(queueID, period(now), rest), sent{o.ID, o.Sequence, now.UnixMilli()})
}

// again reports whether a message with o's once-only key was stored before, and if so makes o its answer.
// Otherwise it remembers o, in standard queues; a FIFO queue gives o its sequence number first.
func (q *live) again(tx *store.Tx, o *outgoing, now time.Time) bool {
	key := store.K(onceByKey, o.once)
	if !o.first {
		if e, ok := repeated(tx, q.ID, key, now); ok {
			o.ID, o.Sequence = e.ID, e.Sequence
			return true
		}
	}
	if !q.FIFO {
		remember(tx, q.ID, key, o, now)
	}
	return false
}
