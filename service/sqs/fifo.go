package sqs

import (
	"encoding/binary"
	"slices"
	"time"

	"fogbank/store"
)

// A FIFO queue keeps its messages by group. A group takes its turn when none of its messages is in flight and its
// first one is no longer delayed; then its first messages are handed out together. Everything that
// changes a FIFO queue runs under the queue's lock.
var (
	// members is keyed space/group/sequence number: the messages of a group in their order.
	members = store.NewTable[member]("sqs/member", store.Regional)
	// groups is keyed space/group.
	groups = store.NewTable[group]("sqs/group", store.Regional)
	// turns is keyed space/time/group: when each group has its turn.
	turns = store.NewTable[[]byte]("sqs/turn", store.Regional)
	// sequences is keyed queue id: the last sequence number given.
	sequences = store.NewTable[total]("sqs/sequence", store.Regional)
	// attempts is keyed queue id/period/attempt id: what a receive request with an attempt id took.
	attempts = store.NewTable[attempt]("sqs/attempt", store.Regional)
)

// member is a message's place in its group and what has become of it.
type member struct {
	At uint64 // its slot's time
	state
}

// AppendBinary writes the fields in their order.
func (m *member) AppendBinary(b []byte) ([]byte, error) {
	return m.state.AppendBinary(binary.AppendUvarint(b, m.At))
}

// UnmarshalBinary reads what AppendBinary wrote.
func (m *member) UnmarshalBinary(data []byte) error {
	at, n := binary.Uvarint(data)
	if n <= 0 {
		return errRecord
	}
	m.At = at
	return m.state.UnmarshalBinary(data[n:])
}

// group is a message group. One without messages stays for a while, since most groups soon have the next.
type group struct {
	Turn    int64  // nanoseconds since 1970: its row in turns
	Head    uint64 // no message of the group has a lower sequence number
	Idle    bool   // without messages: to be forgotten at its turn
	Flights []flight
}

// idleGroup is how long a group without messages is kept.
const idleGroup = 10 * time.Minute

// flight is a message of a group in flight: hidden until a time in nanoseconds since 1970.
type flight struct {
	Sequence uint64
	Until    int64
}

// AppendBinary writes the fields in their order.
func (g *group) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(b, g.Turn)
	b = binary.AppendUvarint(b, g.Head)
	b = append(b, 0)
	if g.Idle {
		b[len(b)-1] = 1
	}
	b = binary.AppendUvarint(b, uint64(len(g.Flights)))
	for _, f := range g.Flights {
		b = binary.AppendVarint(binary.AppendUvarint(b, f.Sequence), f.Until)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (g *group) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	g.Turn, g.Head, g.Idle = r.int(), r.uint(), r.take(1) == "\x01"
	n := r.uint()
	g.Flights = nil
	for ; n > 0 && !r.bad; n-- {
		g.Flights = append(g.Flights, flight{r.uint(), r.int()})
	}
	return r.end()
}

// land takes a message out of those in flight.
func (g *group) land(sequence uint64) {
	g.Flights = slices.DeleteFunc(g.Flights, func(f flight) bool { return f.Sequence == sequence })
}

// extend changes until when a message in flight is hidden.
func (g *group) extend(sequence uint64, until int64) {
	for i := range g.Flights {
		if g.Flights[i].Sequence == sequence {
			g.Flights[i].Until = until
		}
	}
}

func memberKey(space uint64, name string, sequence uint64) store.Key {
	return store.K(space, name, sequence)
}

// acceptFIFO stores a message unless it is a duplicate, which it answers like the first. It reports whether it stored it.
func (q *live) acceptFIFO(tx *store.Tx, o *outgoing, now time.Time) bool {
	if o.Dedup == "" {
		o.Dedup = contentID(o.Body)
	}
	key := store.K(onceByID, o.Dedup)
	if q.DedupScope == "messageGroup" {
		key = key.Str(o.Group)
	}
	if e, ok := repeated(tx, q.ID, key, now); ok {
		o.ID, o.Sequence = e.ID, e.Sequence
		return false
	}
	q.insertFIFO(tx, &o.message, state{}, now.UnixNano())
	remember(tx, q.ID, key, o, now)
	if o.once != "" {
		remember(tx, q.ID, store.K(onceByKey, o.once), o, now)
	}
	return true
}

// insertFIFO puts m, sent now, at the end of its group and gives it its sequence number.
func (q *live) insertFIFO(tx *store.Tx, m *message, st state, now int64) {
	at := uint64(now)
	n, _ := sequences.Get(tx, store.K(q.ID))
	n++
	sequences.Put(tx, store.K(q.ID), n)
	m.Sequence = uint64(n)
	messages.Put(tx, slotKey(q.Space, slot{at, m.Sequence}), *m)
	members.Put(tx, memberKey(q.Space, m.Group, m.Sequence), member{at, st})
	key := store.K(q.Space, m.Group)
	g, ok := groups.Get(tx, key)
	if ok && !g.Idle {
		return
	}
	g.Head, g.Idle = m.Sequence, false
	q.place(tx, m.Group, &g, max(q.ready(at), q.front(tx).Cursor), now)
}

// ready returns when a message sent then is no longer delayed.
func (q *live) ready(at uint64) int64 { return int64(at) + q.DelaySeconds*int64(time.Second) }

// place stores a group and its next turn.
func (q *live) place(tx *store.Tx, name string, g *group, turn, now int64) {
	q.alarmBy(tx, turn, now)
	if g.Turn != turn {
		if g.Turn != 0 {
			turns.Delete(tx, store.K(q.Space, g.Turn, name))
		}
		turns.Put(tx, store.K(q.Space, turn, name), nil)
		g.Turn = turn
	}
	groups.Put(tx, store.K(q.Space, name), *g)
}

// settle stores a group after messages of it were handed out, hidden or removed: its next turn is when the
// last of those in flight is visible again, else when its first message is.
func (q *live) settle(tx *store.Tx, name string, g *group, now, cursor int64) {
	g.Flights = slices.DeleteFunc(g.Flights, func(f flight) bool { return f.Until <= now })
	turn := cursor
	for _, f := range g.Flights {
		turn = max(turn, f.Until)
	}
	at := store.Range{Prefix: store.K(q.Space, name), From: memberKey(q.Space, name, g.Head), Limit: 1}
	for key, m := range members.Scan(tx, at) {
		if err := key.Parse(nil, nil, &g.Head); err != nil {
			panic("sqs: a row of sqs/member has a key of another form")
		}
		q.place(tx, name, g, max(turn, q.ready(m.At)), now)
		return
	}
	if !g.Idle {
		g.Idle = true
		q.place(tx, name, g, now+int64(idleGroup), now)
		return
	}
	turns.Delete(tx, store.K(q.Space, g.Turn, name))
	groups.Delete(tx, store.K(q.Space, name))
}

// receiveFIFO takes messages from the groups whose turn it is.
func (r *receiver) receiveFIFO(attemptID string) error {
	q, tx := r.queue, r.tx
	if attemptID != "" && r.repeat(attemptID) {
		return nil
	}
	f := q.front(tx)
	horizon := max(r.now, f.Cursor)
	t, want := r.room(maxInFlightFIFO)
	cursor := f.Cursor
	at := store.Range{Prefix: store.K(q.Space), From: store.K(q.Space, f.Cursor), To: store.K(q.Space, horizon+1), Limit: maxBatch}
	for range rounds {
		if len(r.list) == want {
			break
		}
		names := r.groupsAt(at)
		for _, n := range names {
			if len(r.list) == want {
				break
			}
			if err := r.receiveGroup(n.name, want, horizon); err != nil {
				return err
			}
			cursor = n.turn
			at.After = n.key
		}
		if len(names) < at.Limit && len(r.list) < want {
			cursor = horizon
			break
		}
	}
	r.book(t, cursor)
	if attemptID != "" && len(r.list) > 0 {
		r.note(attemptID)
	}
	return nil
}

// turn is a row of turns.
type turn struct {
	key  store.Key
	turn int64
	name string
}

func (r *receiver) groupsAt(at store.Range) []turn {
	list := make([]turn, 0, at.Limit)
	for key := range turns.Keys(r.tx, at) {
		t := turn{key: key}
		if err := key.Parse(nil, &t.turn, &t.name); err != nil {
			panic("sqs: a row of sqs/turn has a key of another form")
		}
		list = append(list, t)
	}
	return list
}

// receiveGroup takes the first messages of a group, until there are want messages in all.
func (r *receiver) receiveGroup(name string, want int, horizon int64) error {
	q, tx := r.queue, r.tx
	g, _ := groups.Get(tx, store.K(q.Space, name))
	g.Flights = nil // of earlier receipts; they are visible again, else it were not the group's turn
	at := store.Range{Prefix: store.K(q.Space, name), From: memberKey(q.Space, name, g.Head), Limit: rounds * maxBatch}
	type place struct {
		member
		sequence uint64
	}
	var places []place
	left := want - len(r.list)
	for key, m := range members.Scan(tx, at) {
		p := place{member: m}
		if err := key.Parse(nil, nil, &p.sequence); err != nil {
			panic("sqs: a row of sqs/member has a key of another form")
		}
		if !r.skips(&p.member) {
			left--
		}
		if places = append(places, p); left == 0 {
			break
		}
	}
	for i := range places {
		p := &places[i]
		if len(r.list) == want || q.ready(p.At) > horizon {
			break
		}
		gone, err := r.decideFIFO(name, p.sequence, &p.member, horizon)
		if err != nil {
			return err
		}
		if !gone {
			g.Flights = append(g.Flights, flight{p.sequence, p.Due})
		}
	}
	q.settle(tx, name, &g, r.now, horizon)
	return nil
}

// skips tells whether a message is expired or dead, and so most likely not handed out.
func (r *receiver) skips(m *member) bool {
	return r.queue.expired(slot{At: m.At}, r.now) || r.queue.redrive != nil && m.Here >= r.queue.redrive.most
}

// decideFIFO hands a message of a group out, or reports that it is gone: expired or moved to the dead-letter queue.
func (r *receiver) decideFIFO(name string, sequence uint64, p *member, horizon int64) (gone bool, err error) {
	q, tx := r.queue, r.tx
	at := slot{p.At, sequence}
	if q.expired(at, r.now) {
		q.removeFIFO(tx, name, at)
		return true, nil
	}
	m, ok := messages.Get(tx, slotKey(q.Space, at))
	if !ok {
		panic("sqs: a message in sqs/member is missing in sqs/message")
	}
	if q.redrive != nil && p.Here >= q.redrive.most {
		moved, err := q.bury(tx, at, &m, p.state, r.now)
		if moved {
			q.removeFIFO(tx, name, at)
		}
		if moved || err != nil {
			return moved, err
		}
	}
	p.receive(r.now, horizon+r.visibility*int64(time.Second))
	members.Put(tx, memberKey(q.Space, name, sequence), *p)
	r.list = append(r.list, taken{m, at, p.Received, p.First})
	return false, nil
}

// removeFIFO takes a message out of its queue; settle must follow.
func (q *live) removeFIFO(tx *store.Tx, name string, at slot) {
	messages.Delete(tx, slotKey(q.Space, at))
	members.Delete(tx, memberKey(q.Space, name, at.Tie))
	q.addTotal(tx, at, -1)
}

// inFlight finds the message of a receipt among those in flight; found is false when the message is gone,
// and the error says that the receipt is no longer good.
func (q *live) inFlight(tx *store.Tx, r receipt, handle string, now int64) (name string, p member, g group, found bool, err error) {
	m, ok := messages.Get(tx, slotKey(q.Space, r.Slot))
	if !ok {
		return "", p, g, false, nil
	}
	p, _ = members.Get(tx, memberKey(q.Space, m.Group, r.Slot.Tie))
	g, _ = groups.Get(tx, store.K(q.Space, m.Group))
	if p.Received != r.Number || p.Due <= now {
		return "", p, g, true, handleExpired(handle)
	}
	return m.Group, p, g, true, nil
}

func (q *live) deleteFIFO(tx *store.Tx, r receipt, handle string, now int64) error {
	name, _, g, found, err := q.inFlight(tx, r, handle, now)
	if err != nil || !found {
		return err
	}
	q.removeFIFO(tx, name, r.Slot)
	g.land(r.Slot.Tie)
	q.resettle(tx, name, &g, now)
	return nil
}

func (q *live) hideFIFO(tx *store.Tx, r receipt, handle string, seconds int64, now int64) error {
	name, p, g, found, err := q.inFlight(tx, r, handle, now)
	if err != nil {
		return err
	}
	if !found {
		return notAvailable(handle)
	}
	if err := p.mayHide(seconds, now); err != nil {
		return err
	}
	p.Due = now + seconds*int64(time.Second)
	members.Put(tx, memberKey(q.Space, name, r.Slot.Tie), p)
	g.extend(r.Slot.Tie, p.Due)
	q.resettle(tx, name, &g, now)
	return nil
}

// resettle settles a group outside a receipt and wakes who waits for it.
func (q *live) resettle(tx *store.Tx, name string, g *group, now int64) {
	q.settle(tx, name, g, now, max(now, q.front(tx).Cursor))
	tx.Wake(q.topic)
}

// fifoFlights counts the messages in flight: those of the groups whose turn is still to come.
func (q *live) fifoFlights(tx *store.Tx, now int64) (n int64) {
	at := store.Range{Prefix: store.K(q.Space), From: store.K(q.Space, now+1)}
	for key := range turns.Keys(tx, at) {
		var name string
		if err := key.Parse(nil, nil, &name); err != nil {
			panic("sqs: a row of sqs/turn has a key of another form")
		}
		g, _ := groups.Get(tx, store.K(q.Space, name))
		for _, f := range g.Flights {
			if f.Until > now {
				n++
			}
		}
	}
	return n
}

// fifoDelayed counts the messages whose delay has not passed: the latest ones.
func (q *live) fifoDelayed(tx *store.Tx, now int64) (n int64) {
	if q.DelaySeconds == 0 {
		return 0
	}
	from := uint64(max(now-q.DelaySeconds*int64(time.Second)+1, 0))
	for range messages.Keys(tx, store.Range{Prefix: store.K(q.Space), From: store.K(q.Space, from)}) {
		n++
	}
	return n
}

// attempt is what a receive request with an attempt id took.
type attempt struct {
	At   int64 // nanoseconds since 1970
	Took []takenAt
}

// takenAt is a message as it was handed out.
type takenAt struct {
	Group    string
	At       uint64
	Sequence uint64
	Received uint32
}

// attemptWindow is how long a receive request can be repeated.
const attemptWindow = 5 * time.Minute

func (q *live) attemptKey(id string, period int64) store.Key { return store.K(q.ID, period, id) }

// note remembers what the request took.
func (r *receiver) note(id string) {
	a := attempt{At: r.now}
	for i := range r.list {
		m := &r.list[i]
		a.Took = append(a.Took, takenAt{m.Group, m.at.At, m.at.Tie, m.count})
	}
	attempts.Put(r.tx, r.queue.attemptKey(id, r.now/int64(attemptWindow)), a)
}

// repeat hands out again what a request with the same attempt id took less than five minutes ago, under the same
// handles and hidden anew, when all of it is still in flight. It reports whether it did.
func (r *receiver) repeat(id string) bool {
	q, tx := r.queue, r.tx
	period := r.now / int64(attemptWindow)
	a, ok := attempts.Get(tx, q.attemptKey(id, period))
	if !ok {
		a, ok = attempts.Get(tx, q.attemptKey(id, period-1))
	}
	if !ok || r.now >= a.At+int64(attemptWindow) {
		return false
	}
	for _, t := range a.Took {
		m, ok := members.Get(tx, memberKey(q.Space, t.Group, t.Sequence))
		if !ok || m.Received != t.Received || m.Due <= r.now || m.Taken != a.At {
			return false
		}
	}
	for _, t := range a.Took {
		r.extend(t)
	}
	return true
}

// extend hides a message in flight anew and hands it out again.
func (r *receiver) extend(t takenAt) {
	q, tx := r.queue, r.tx
	at := slot{t.At, t.Sequence}
	m, _ := messages.Get(tx, slotKey(q.Space, at))
	p, _ := members.Get(tx, memberKey(q.Space, t.Group, t.Sequence))
	g, _ := groups.Get(tx, store.K(q.Space, t.Group))
	p.Due = r.now + r.visibility*int64(time.Second)
	members.Put(tx, memberKey(q.Space, t.Group, t.Sequence), p)
	g.extend(t.Sequence, p.Due)
	q.resettle(tx, t.Group, &g, r.now)
	r.list = append(r.list, taken{m, at, p.Received, p.First})
}
