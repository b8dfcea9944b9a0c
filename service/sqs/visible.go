package sqs

import (
	"encoding/binary"

	"fogbank/store"
)

// Messages are kept in spaces; a queue has one, drawn anew by a purge. Time in keys is in nanoseconds since 1970.
var (
	// messages is keyed space/slot: in the order of sending.
	messages = store.NewTable[message]("sqs/message", store.Regional)
	// dues is keyed space/due/slot, in standard queues: when each message becomes or became visible.
	dues = store.NewTable[state]("sqs/due", store.Regional)
	// states is keyed space/slot, in standard queues: the state of each message ever received, so that a receipt finds its row in dues.
	states = store.NewTable[state]("sqs/state", store.Regional)
	// fronts is keyed space. Everybody reads it and few change it, so what is read is kept in memory by the store.
	fronts     = store.NewTable[front]("sqs/front", store.Regional)
	keptFronts = store.Derive(fronts, func(_ store.Key, f front) (front, error) { return f, nil })
	// totals is keyed space/part: how many messages there are, in parts from when senders would otherwise have met.
	totals = store.NewCounter("sqs/total", store.Regional)
	// traffics is keyed space; only receivers look at it.
	traffics = store.NewTable[traffic]("sqs/traffic", store.Regional)
)

// totalParts is the number of rows a standard queue's total is spread over.
const totalParts = 32

// front is what senders must know of the receivers and the sweeper of a space.
type front struct {
	// Cursor is a time before which nothing is, or will be put, in dues (turns in a FIFO queue). Receivers move it forward
	// so that they need not walk over the traces of removed rows.
	Cursor int64
	// Sweep is the time the sweeper looks at the space, 0 when it will not.
	Sweep int64
	// Alarm is a time, in nanoseconds since 1970, not after the first at which a message becomes visible by itself; 0 when none does.
	// Then a timer wakes those who wait for one.
	Alarm int64
	// Fair tells that there have been messages with groups in a standard queue.
	Fair bool
}

// AppendBinary writes the fields as varints.
func (f *front) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, f.Cursor), f.Sweep), f.Alarm)
	if f.Fair {
		return append(b, 1), nil
	}
	return append(b, 0), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (f *front) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	f.Cursor, f.Sweep, f.Alarm, f.Fair = r.int(), r.int(), r.int(), r.take(1) == "\x01"
	return r.end()
}

// front returns the queue's front.
func (q *live) front(tx *store.Tx) front {
	f, _, err := keptFronts.Get(tx, q.space)
	if err != nil {
		panic("sqs: a front cannot be derived: " + err.Error())
	}
	return f
}

// traffic is what receivers tell each other.
type traffic struct {
	Flying total // an upper bound of the messages in flight
	Since  total // messages handed out since the front's cursor moved
}

// AppendBinary writes the fields as varints.
func (t *traffic) AppendBinary(b []byte) ([]byte, error) {
	return binary.AppendVarint(binary.AppendVarint(b, int64(t.Flying)), int64(t.Since)), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (t *traffic) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	t.Flying, t.Since = total(r.int()), total(r.int())
	return r.end()
}

// total is a number of messages.
type total int64

// AppendBinary writes a varint.
func (n *total) AppendBinary(b []byte) ([]byte, error) {
	return binary.AppendVarint(b, int64(*n)), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (n *total) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	*n = total(r.int())
	return r.end()
}

func slotKey(space uint64, at slot) store.Key { return store.K(space, at.At, at.Tie) }

func dueKey(space uint64, due int64, at slot) store.Key {
	return store.K(space, due, at.At, at.Tie)
}

// addTotal changes the total of the part a slot belongs to.
func (q *live) addTotal(tx *store.Tx, at slot, n total) {
	part := uint64(0)
	if !q.FIFO {
		part = at.Tie % totalParts
	}
	totals.Increase(tx, store.K(q.Space, part), store.Number(n))
}

// insert puts a message into a standard queue, visible from due on but not before the receivers' cursor.
func (q *live) insert(tx *store.Tx, at slot, m *message, st state, now int64) {
	st.Due = max(st.Due, q.front(tx).Cursor)
	q.alarmBy(tx, st.Due, now)
	if st.Group = m.Group; st.Group != "" {
		q.beFair(tx)
	}
	m.Due = st.Due
	messages.Put(tx, slotKey(q.Space, at), *m)
	dues.Put(tx, dueKey(q.Space, st.Due, at), st)
}

// remove takes a message, its state known, out of a standard queue.
func (q *live) remove(tx *store.Tx, at slot, st state) {
	key := slotKey(q.Space, at)
	messages.Delete(tx, key)
	dues.Delete(tx, dueKey(q.Space, st.Due, at))
	if st.Group != "" {
		lanes.Delete(tx, laneKey(q.Space, st.Group, st.Due, at))
	}
	if st.Here > 0 {
		states.Delete(tx, key)
		q.flown(tx, at, st.Group, -1)
	}
	q.addTotal(tx, at, -1)
}

// reschedule moves a message, received before, to another due time.
func (q *live) reschedule(tx *store.Tx, at slot, was, is state, now int64) {
	q.alarmBy(tx, is.Due, now)
	if was.Due != is.Due {
		dues.Delete(tx, dueKey(q.Space, was.Due, at))
	}
	if was.Group != "" {
		lanes.Delete(tx, laneKey(q.Space, was.Group, was.Due, at))
	}
	if was.Here == 0 {
		q.flown(tx, at, is.Group, 1)
	}
	dues.Put(tx, dueKey(q.Space, is.Due, at), is)
	states.Put(tx, slotKey(q.Space, at), is)
}

// sum adds up the parts of a total. It asks for each: a scan would walk over every earlier version of these rows.
func sum[N total | store.Number](tx *store.Tx, parts *store.Table[N], space uint64) (all total) {
	for part := range uint64(totalParts) {
		n, _ := parts.Get(tx, store.K(space, part))
		all += total(n)
	}
	return all
}

// counts are the approximate numbers of messages GetQueueAttributes shows. They are exact as of their transaction.
type counts struct {
	visible, inFlight, delayed int64
}

// count counts the messages of a queue: all by the totals, those not visible one by one.
func (q *live) count(tx *store.Tx, now int64) (c counts) {
	c.visible = int64(sum(tx, totals.Table, q.Space))
	if q.FIFO {
		c.inFlight, c.delayed = q.fifoFlights(tx, now), q.fifoDelayed(tx, now)
	} else {
		for _, st := range dues.Scan(tx, store.Range{Prefix: store.K(q.Space), From: store.K(q.Space, now+1)}) {
			if st.Here > 0 {
				c.inFlight++
			} else {
				c.delayed++
			}
		}
	}
	c.visible = max(c.visible-c.inFlight-c.delayed, 0)
	return c
}
