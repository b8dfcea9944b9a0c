package sqs

import (
	"context"
	"slices"
	"strconv"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// taken is a message handed to a receiver.
type taken struct {
	message
	at    slot
	count uint32 // ApproximateReceiveCount, and the number of the receipt
	first int64  // ApproximateFirstReceiveTimestamp
}

// order is a ReceiveMessage request, checked.
type order struct {
	account    string // of the queue, from its URL
	name       string // of the queue
	topic      string // its ARN
	most       int
	visibility int64 // seconds; negative for the queue's
	wait       int64 // seconds; negative for the queue's
	attempt    string
	picked     selection
	system     []string
}

// orderOf checks a request.
func orderOf(call *aws.Call, in *sqs.ReceiveMessageInput) (o order, err error) {
	account, name, err := address(in.QueueUrl)
	if err != nil {
		return o, err
	}
	o = order{account: account, name: name, topic: string(aws.MakeARN("sqs", call.Region, account, name)), most: 1, visibility: -1, wait: -1}
	if n := in.MaxNumberOfMessages; n != nil {
		if *n < 1 || *n > maxBatch {
			return o, invalidValue(*n, "MaxNumberOfMessages", "Must be between 1 and %d, if provided.", maxBatch)
		}
		o.most = int(*n)
	}
	if n := in.VisibilityTimeout; n != nil {
		if *n < 0 || *n > maxVisibility {
			return o, invalidValue(*n, "VisibilityTimeout", "Must be between 0 and %d, if provided.", maxVisibility)
		}
		o.visibility = int64(*n)
	}
	if n := in.WaitTimeSeconds; n != nil {
		if *n < 0 || *n > maxWaitSeconds {
			return o, invalidValue(*n, "WaitTimeSeconds", "Must be >= 0 and <= %d, if provided.", maxWaitSeconds)
		}
		o.wait = int64(*n)
	}
	if id := in.ReceiveRequestAttemptId; id != nil {
		if err := checkToken(*id, "ReceiveRequestAttemptId"); err != nil {
			return o, err
		}
		if !isFIFO(name) {
			return o, wrongQueueType(*id, "ReceiveRequestAttemptId")
		}
		o.attempt = *id
	}
	o.picked = selectionOf(in.MessageAttributeNames)
	o.system, err = systemNames(in)
	return o, err
}

// systemNames joins the two members that name system attributes, the old and the new one.
func systemNames(in *sqs.ReceiveMessageInput) ([]string, error) {
	names := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	for i, name := range names {
		switch {
		case name == sqs.MessageSystemAttributeNameAll:
			return allSystemNames, nil
		case slices.Contains(allSystemNames, name):
		case i < len(in.AttributeNames) && knownAttribute(name): // a queue's: allowed by the model, of no effect
		default:
			return nil, unknownAttribute(clip(name))
		}
	}
	return names, nil
}

var allSystemNames = []string{
	sqs.MessageSystemAttributeNameSenderId,
	sqs.MessageSystemAttributeNameSentTimestamp,
	sqs.MessageSystemAttributeNameApproximateReceiveCount,
	sqs.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
	sqs.MessageSystemAttributeNameSequenceNumber,
	sqs.MessageSystemAttributeNameMessageDeduplicationId,
	sqs.MessageSystemAttributeNameMessageGroupId,
	sqs.MessageSystemAttributeNameAWSTraceHeader,
	sqs.MessageSystemAttributeNameDeadLetterQueueSourceArn,
}

// ReceiveMessage takes up to MaxNumberOfMessages visible messages, waiting up to WaitTimeSeconds for the first.
// The wait ends at the commit that makes a message visible: a sender's, or that of an alarm.
func (s *Service) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	o, err := orderOf(aws.CallFrom(ctx), in)
	if err != nil {
		return nil, err
	}
	begin := s.world.Now()
	t, err := s.take(ctx, &o, false)
	if err != nil || len(t.list) > 0 || t.wait == 0 {
		return s.received(&o, t, err)
	}
	p := &poll{Service: s, order: o, watch: s.db.Watch(o.topic), deadline: begin.Add(time.Duration(t.wait) * time.Second)}
	out, err := p.look(ctx)
	if err != nil || out == nil {
		return nil, p.or(err)
	}
	return out, nil
}

// poll is a request that waits for messages. It implements aws.Later.
type poll struct {
	*Service
	order
	deadline time.Time
	watch    *store.Watch
	changed  <-chan struct{} // closed when there may be more than was seen; nil before anything was
}

// Error implements error.
func (p *poll) Error() string { return "sqs: no message yet" }

// Until implements aws.Later.
func (p *poll) Until() time.Time { return p.deadline }

// Changed implements aws.Later.
func (p *poll) Changed() <-chan struct{} { return p.changed }

// Notify implements aws.Later.
func (p *poll) Notify(wake func()) (undo func()) { return p.watch.Notify(p.changed, wake) }

// Resume implements aws.Later.
func (p *poll) Resume(ctx context.Context) (any, error) {
	out, err := p.look(ctx)
	if err != nil || out == nil {
		return nil, p.or(err)
	}
	return out, nil
}

// or returns err, or the poll itself when there is none.
func (p *poll) or(err error) error {
	if err == nil {
		return p
	}
	return err
}

// look returns the messages there are, an answer without any when the wait is over, or nil.
func (p *poll) look(ctx context.Context) (out *sqs.ReceiveMessageOutput, err error) {
	goesOn := false // it does not after a panic either
	defer func() {
		if !goesOn {
			p.watch.Close()
		}
	}()
	if ctx.Err() != nil {
		return &sqs.ReceiveMessageOutput{}, nil // to nobody
	}
	over := !p.world.Now().Before(p.deadline)
	woken := p.changed != nil && isClosed(p.changed)
	p.changed = p.watch.Changed()
	looking := p.db.Early(ctx, 0) // what is seen is told only by taking it
	// Many who wait for one message look before they take turns; who is alone takes it.
	visible := woken && p.watch.Alone()
	if !visible {
		if visible, err = p.peek(looking, &p.order); err != nil {
			return nil, err
		}
	}
	if visible {
		if t, err := p.take(ctx, &p.order, true); err != nil || len(t.list) > 0 {
			return p.received(&p.order, t, err)
		}
	}
	if !over {
		goesOn = true
		return nil, nil
	}
	if err := aws.Settle(looking); err != nil {
		return nil, err
	}
	return &sqs.ReceiveMessageOutput{}, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// peek tells whether the queue has a visible message. It disturbs nobody.
func (s *Service) peek(ctx context.Context, o *order) (visible bool, err error) {
	now := s.world.Now().UnixNano()
	err = s.db.View(ctx, func(tx *store.Tx) error {
		q, err := owned(tx, o.account, o.name)
		if err != nil {
			return err
		}
		visible = q.nextDue(tx, 0, max(now, q.front(tx).Cursor)) != 0 || q.hasLane(tx)
		return nil
	})
	return visible, err
}

// take is what one attempt to receive brought.
type take struct {
	list    []taken
	wait    int64 // seconds the request may wait
	queueID uint64
	sealer  *sealer
}

// take receives messages that are visible now. Receivers of a queue take turns; they and its senders do not wait for
// each other.
func (s *Service) take(ctx context.Context, o *order, waited bool) (t take, err error) {
	err = s.sealing(ctx, func(tx *store.Tx, sealer *sealer) error {
		// Drawn when it is this receiver's turn, so that nothing sent before is later than it.
		now := tx.World().Now()
		q, err := owned(tx, o.account, o.name)
		if err != nil {
			return err
		}
		t = take{wait: o.wait, queueID: q.ID, sealer: sealer}
		if t.wait < 0 {
			t.wait = q.WaitSeconds
		}
		r := receiver{queue: q, tx: tx, now: now.UnixNano(), most: o.most, visibility: o.visibility}
		if r.visibility < 0 {
			r.visibility = q.VisibilityTimeout
		}
		if q.FIFO {
			err = r.receiveFIFO(o.attempt)
		} else {
			err = r.receive(t.wait == 0 && !waited)
		}
		t.list = r.list
		return err
	}, o.topic)
	return t, err
}

// receiver takes messages out of one queue in one transaction.
type receiver struct {
	queue      *live
	tx         *store.Tx
	now        int64 // nanoseconds since 1970
	most       int
	visibility int64 // seconds
	list       []taken
	moves      int             // messages put aside, see fair.go
	noisy      map[string]bool // groups looked at
}

// rounds bounds how many messages that are not handed out, being expired or dead, a receiver clears away
// before it gives up until the next time: this times ten.
const rounds = 16

// receive takes messages from a standard queue, those longest visible first.
func (r *receiver) receive(short bool) error {
	q, tx := r.queue, r.tx
	f := q.front(tx)
	horizon := max(r.now, f.Cursor)
	t, want := r.room(maxInFlight)
	if want == 0 {
		if short {
			return sqs.OverLimit("The maximum number of messages in flight, %d, is reached.", maxInFlight)
		}
		return nil
	}
	if f.Fair {
		if err := r.receiveLanes(false, want, horizon); err != nil {
			return err
		}
	}
	cursor, err := r.receiveDue(f.Cursor, want, horizon)
	if err != nil {
		return err
	}
	if f.Fair && len(r.list) < want {
		if err := r.receiveLanes(true, want, horizon); err != nil {
			return err
		}
	}
	r.book(t, cursor)
	return nil
}

// receiveDue takes visible messages that were not put aside, until there are want in all. It returns the time
// before which it left none.
func (r *receiver) receiveDue(cursor int64, want int, horizon int64) (int64, error) {
	space := r.queue.Space
	at := store.Range{Prefix: store.K(space), From: store.K(space, cursor), To: store.K(space, horizon+1)}
	for range rounds {
		if len(r.list) == want {
			return cursor, nil
		}
		at.Limit = want - len(r.list)
		if r.moves > 0 {
			at.Limit = laneMoves / rounds * 2
		}
		rows := r.rows(at)
		for i := range rows {
			if len(r.list) == want || r.moves == laneMoves {
				return cursor, nil
			}
			cursor = rows[i].Due
			if r.putAside(&rows[i]) {
				continue
			}
			if err := r.decide(&rows[i], horizon); err != nil {
				return 0, err
			}
		}
		if len(rows) < at.Limit {
			return horizon, nil
		}
		at.After = rows[len(rows)-1].key
	}
	return cursor, nil
}

// cursorStep is how many messages are handed out before the front's cursor moves. Senders read it, so it should not
// change at each receipt.
const cursorStep = 64

// row is a row of dues.
type row struct {
	state
	key store.Key
	at  slot
}

func (r *receiver) rows(at store.Range) []row {
	rows := make([]row, 0, at.Limit)
	for key, st := range dues.Scan(r.tx, at) {
		w := row{state: st, key: key}
		if err := key.Parse(nil, &w.Due, &w.at.At, &w.at.Tie); err != nil {
			panic("sqs: a row of sqs/due has a key of another form")
		}
		rows = append(rows, w)
	}
	return rows
}

// decide hands a visible message out, moves it to the dead-letter queue, or drops it when its time is over.
func (r *receiver) decide(w *row, horizon int64) error {
	q, tx := r.queue, r.tx
	if q.expired(w.at, r.now) {
		q.remove(tx, w.at, w.state)
		return nil
	}
	m, ok := messages.Get(tx, slotKey(q.Space, w.at))
	if !ok {
		panic("sqs: a message in sqs/due is missing in sqs/message")
	}
	if q.redrive != nil && w.Here >= q.redrive.most {
		moved, err := q.bury(tx, w.at, &m, w.state, r.now)
		if moved || err != nil {
			if moved {
				q.remove(tx, w.at, w.state)
			}
			return err
		}
	}
	is := w.state
	is.receive(r.now, horizon+r.visibility*int64(time.Second))
	q.reschedule(tx, w.at, w.state, is, r.now)
	r.list = append(r.list, taken{m, w.at, is.Received, is.First})
	return nil
}

// receive counts a receipt.
func (s *state) receive(now, due int64) {
	s.Received++
	s.Here++
	if s.First == 0 {
		s.First = now / int64(time.Millisecond)
	}
	s.Taken, s.Due = now, due
}

// expired tells whether a message is older than the queue keeps messages.
func (q *live) expired(at slot, now int64) bool { return at.At < q.keptFrom(now) }

// keptFrom returns the slot time before which messages are too old. Like the SentTimestamp it is in whole milliseconds, so
// that messages sent in one instant end together.
func (q *live) keptFrom(now int64) uint64 {
	const ms = int64(time.Millisecond)
	return uint64(max((now-q.RetentionSeconds*int64(time.Second))/ms+1, 0) * ms)
}

// room returns the traffic and how many messages may be handed out. The number in flight is exact only after a
// recount, which is made when the bound comes near the limit.
func (r *receiver) room(limit int) (t traffic, want int) {
	t, _ = traffics.Get(r.tx, store.K(r.queue.Space))
	if int(t.Flying)+r.most > limit {
		t.Flying = total(r.queue.count(r.tx, r.now).inFlight)
	}
	return t, max(min(limit-int(t.Flying), r.most), 0)
}

// book notes what was handed out, up to the cursor.
func (r *receiver) book(t traffic, cursor int64) {
	n := total(len(r.list))
	if n == 0 && r.moves == 0 {
		return
	}
	t.Flying += n
	if t.Since += n + total(r.moves); t.Since >= cursorStep {
		t.Since = 0
		r.queue.advance(r.tx, cursor)
	}
	traffics.Put(r.tx, store.K(r.queue.Space), t)
}

// received makes the answer.
func (s *Service) received(o *order, t take, err error) (*sqs.ReceiveMessageOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &sqs.ReceiveMessageOutput{}
	for i := range t.list {
		m := &t.list[i]
		user := o.picked.pick(m.User)
		out.Messages = append(out.Messages, sqs.Message{
			MessageId:              new(m.ID),
			ReceiptHandle:          new(t.sealer.handle(receipt{t.queueID, m.at, m.count})),
			Body:                   new(m.Body),
			MD5OfBody:              hexOf(m.Digest),
			Attributes:             m.attributes(o.system),
			MessageAttributes:      attributeValues(user),
			MD5OfMessageAttributes: optional(attributesDigest(user)),
		})
	}
	return out, nil
}

// attributes returns the system attributes asked for that the message has.
func (m *taken) attributes(names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	values := make(map[string]string, len(names))
	for _, name := range names {
		if v := m.system(name); v != "" {
			values[name] = v
		}
	}
	return values
}

func (m *taken) system(name string) string {
	switch name {
	case sqs.MessageSystemAttributeNameSenderId:
		return m.Sender
	case sqs.MessageSystemAttributeNameSentTimestamp:
		return strconv.FormatInt(m.Sent, 10)
	case sqs.MessageSystemAttributeNameApproximateReceiveCount:
		return strconv.FormatUint(uint64(m.count), 10)
	case sqs.MessageSystemAttributeNameApproximateFirstReceiveTimestamp:
		return strconv.FormatInt(m.first, 10)
	case sqs.MessageSystemAttributeNameSequenceNumber:
		return sequenceText(m.Sequence)
	case sqs.MessageSystemAttributeNameMessageDeduplicationId:
		return m.Dedup
	case sqs.MessageSystemAttributeNameMessageGroupId:
		return m.Group
	case sqs.MessageSystemAttributeNameDeadLetterQueueSourceArn:
		return m.Origin
	}
	for _, a := range m.message.System {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}
