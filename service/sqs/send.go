package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// outgoing is one message on its way into a queue: what was asked for, and what became of it.
type outgoing struct {
	message
	at    slot
	delay *int32 // seconds; the queue's delay when nil
	once  string // what makes sending it again have no effect, or ""
	first bool   // it is certain that once was not used before
	// systemDigest is of the system attributes that were sent: the tracing header of the call is not among them.
	systemDigest string

	err error // why this message was refused; the others of its batch are not
}

// ask is what SendMessage and an entry of SendMessageBatch have in common.
type ask struct {
	body   string
	delay  *int32
	dedup  *string
	group  *string
	user   map[string]sqs.MessageAttributeValue
	system map[string]sqs.MessageSystemAttributeValue
}

// prepare does what can be done without the queue: checks, digests, identifiers.
func (s *Service) prepare(call *aws.Call, a ask, now time.Time) (o outgoing) {
	o.Body, o.delay = a.body, a.delay
	if o.err = a.check(); o.err != nil {
		return o
	}
	if o.User, o.err = userAttributes(a.user); o.err != nil {
		return o
	}
	if o.System, o.err = systemAttributes(a.system); o.err != nil {
		return o
	}
	o.systemDigest = attributesDigest(o.System)
	if header := call.Tracing(); header != "" && len(o.System) == 0 {
		o.System = []attribute{{Name: traceHeader, Type: "String", Value: header}}
	}
	if a.dedup != nil {
		o.Dedup = *a.dedup
	}
	if a.group != nil {
		o.Group = *a.group
	}
	o.ID = s.world.UUID()
	o.Sent = now.UnixMilli()
	o.Sender = senderID(call)
	o.Digest = bodyDigest(a.body)
	o.once = call.OnceKey
	return o
}

func (a *ask) check() error {
	if a.body == "" {
		return missing("MessageBody")
	}
	if err := checkText(a.body); err != nil {
		return err
	}
	if a.delay != nil && (*a.delay < 0 || *a.delay > maxDelaySeconds) {
		return invalidValue(*a.delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= %d.", maxDelaySeconds)
	}
	if a.dedup != nil {
		if err := checkToken(*a.dedup, "MessageDeduplicationId"); err != nil {
			return err
		}
	}
	if a.group != nil {
		return checkToken(*a.group, "MessageGroupId")
	}
	return nil
}

// size is what counts towards MaximumMessageSize; system attributes do not.
func (o *outgoing) size() int { return len(o.Body) + attributesSize(o.User) }

// senderID is the SenderId of messages a caller sends: the unique id of a user or role session, the address of
// an anonymous caller.
func senderID(call *aws.Call) string {
	p := &call.Principal
	switch {
	case p.Kind == aws.Anonymous:
		return call.SourceIP.String()
	case p.UserID != "":
		return p.UserID
	}
	return string(p.ARN)
}

// fits applies the rules that depend on the queue.
func (q *live) fits(o *outgoing) error {
	if int64(o.size()) > q.MaxMessageBytes {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.MaxMessageBytes)
	}
	if !q.FIFO {
		if o.Dedup != "" {
			return wrongQueueType(o.Dedup, "MessageDeduplicationId")
		}
		return nil
	}
	if o.delay != nil && *o.delay != 0 {
		return wrongQueueType(*o.delay, "DelaySeconds")
	}
	if o.Group == "" {
		return missing("MessageGroupId")
	}
	if o.Dedup == "" && !q.ContentDedup {
		return invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

func wrongQueueType(value any, parameter string) error {
	return invalidValue(value, parameter, "The request include parameter that is not valid for this queue type.")
}

// SendMessage puts a message into a queue.
func (s *Service) SendMessage(ctx context.Context, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	a := ask{in.MessageBody, in.DelaySeconds, in.MessageDeduplicationId, in.MessageGroupId, in.MessageAttributes, in.MessageSystemAttributes}
	now := s.world.Now()
	list := [1]outgoing{s.prepare(aws.CallFrom(ctx), a, now)}
	o := &list[0]
	if o.err != nil {
		if _, _, err := address(in.QueueUrl); err != nil {
			return nil, err
		}
		return nil, o.err
	}
	if err := s.send(ctx, in.QueueUrl, list[:], now); err != nil {
		return nil, err
	}
	if o.err != nil {
		return nil, o.err
	}
	return &sqs.SendMessageOutput{
		MessageId:                    new(o.ID),
		MD5OfMessageBody:             hexOf(o.Digest),
		MD5OfMessageAttributes:       optional(attributesDigest(o.User)),
		MD5OfMessageSystemAttributes: optional(o.systemDigest),
		SequenceNumber:               optional(sequenceText(o.Sequence)),
	}, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return new(s) // &s would cost an allocation for "" too
}

// SendMessageBatch puts up to ten messages into a queue. Each succeeds or fails by itself.
func (s *Service) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
	if err := checkBatch(len(in.Entries), "SendMessageBatchRequestEntry", func(i int) string { return in.Entries[i].Id }); err != nil {
		return nil, err
	}
	call := aws.CallFrom(ctx)
	now := s.world.Now()
	list := make([]outgoing, len(in.Entries))
	size := 0
	for i := range in.Entries {
		e := &in.Entries[i]
		list[i] = s.prepare(call, ask{e.MessageBody, e.DelaySeconds, e.MessageDeduplicationId, e.MessageGroupId, e.MessageAttributes, e.MessageSystemAttributes}, now)
		if list[i].once != "" {
			list[i].once += "/" + e.Id
		}
		size += list[i].size()
	}
	if size > maxMessageBytes {
		return nil, sqs.BatchRequestTooLong("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageBytes, size)
	}
	if err := s.send(ctx, in.QueueUrl, list, now); err != nil {
		return nil, err
	}
	out := &sqs.SendMessageBatchOutput{}
	for i := range list {
		o := &list[i]
		if o.err != nil {
			out.Failed = append(out.Failed, failedEntry(in.Entries[i].Id, o.err))
			continue
		}
		out.Successful = append(out.Successful, sqs.SendMessageBatchResultEntry{
			Id:                           in.Entries[i].Id,
			MessageId:                    o.ID,
			MD5OfMessageBody:             *hexOf(o.Digest),
			MD5OfMessageAttributes:       optional(attributesDigest(o.User)),
			MD5OfMessageSystemAttributes: optional(o.systemDigest),
			SequenceNumber:               optional(sequenceText(o.Sequence)),
		})
	}
	return out, nil
}

// send stores the messages in one transaction. FIFO senders take turns, since the order of their commits is the order
// of their messages; others do not meet.
func (s *Service) send(ctx context.Context, url string, list []outgoing, now time.Time) error {
	account, name, err := address(url)
	if err != nil {
		return err
	}
	tie := s.world.Uint64()
	first := s.moments(now, len(list))
	drawn := make([]message, len(list))
	for i := range list {
		list[i].at = slot{first + uint64(i), tie}
		list[i].first = aws.FirstAttempt(ctx)
		drawn[i] = list[i].message
	}
	var locks []string
	if isFIFO(name) {
		call := aws.CallFrom(ctx)
		locks = []string{string(aws.MakeARN("sqs", call.Region, account, name))}
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := owned(tx, account, name)
		if err != nil {
			return err
		}
		for i := range list {
			list[i].message = drawn[i]
		}
		return q.accept(tx, list, now)
	}, locks...)
}

// moments returns the first of n nanoseconds since 1970 that this process has given to no other message, at now or soon
// after: messages of one instant keep their order.
func (s *Service) moments(now time.Time, n int) uint64 {
	for {
		last := s.lastMoment.Load()
		first := max(now.UnixNano(), last+1)
		if s.lastMoment.CompareAndSwap(last, first+int64(n)-1) {
			return uint64(first)
		}
	}
}

// accept stores those messages of the list that can be. The body of a transaction, it may run again on the same list.
func (q *live) accept(tx *store.Tx, list []outgoing, now time.Time) error {
	sweepBy := int64(0)
	added := total(0)
	for i := range list {
		o := &list[i]
		if o.ID == "" { // refused before
			continue
		}
		if o.err = q.fits(o); o.err != nil {
			continue
		}
		if o.once != "" {
			if q.again(tx, o, now) {
				continue
			}
			sweepBy = now.Add(onceSweep).UnixNano()
		}
		if q.FIFO {
			if q.acceptFIFO(tx, o, now) {
				added++
			}
			sweepBy = now.Add(onceSweep).UnixNano()
			continue
		}
		delay := q.DelaySeconds
		if o.delay != nil {
			delay = int64(*o.delay)
		}
		q.insert(tx, o.at, &o.message, state{Due: now.UnixNano() + delay*int64(time.Second)}, now.UnixNano())
		added++
	}
	if added > 0 {
		q.addTotal(tx, list[0].at, added)
		tx.Wake(q.topic)
	}
	expiry := now.Add(time.Duration(q.RetentionSeconds) * time.Second).UnixNano()
	if sweepBy == 0 || expiry < sweepBy {
		sweepBy = expiry
	}
	q.sweepBy(tx, sweepBy)
	return nil
}

func isFIFO(name string) bool { return len(name) > 5 && name[len(name)-5:] == ".fifo" }

// sequenceText shows a sequence number as AWS does: twenty digits. A standard queue has none.
func sequenceText(n uint64) string {
	if n == 0 {
		return ""
	}
	digits := strconv.FormatUint(n, 10)
	const zeros = "10000000000000000000"
	return zeros[:max(len(zeros)-len(digits), 1)] + digits
}

// contentID is the deduplication id of a message under content-based deduplication.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
