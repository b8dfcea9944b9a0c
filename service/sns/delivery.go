package sns

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/relay"
	"fogbank/store"
)

// deliveryLanes is how many deliveries are under way at once.
const deliveryLanes = 64

// delivery is one message on its way to one subscription.
type delivery struct {
	target
	Shared bool // the message is in messages; here is only what is needed to find it
	Report bool // how it ends is logged
	// Once is its once-only key, "" for the one of its item in the relay.
	Once string
	// turn is what a throttled delivery waits for; copies of the delivery share it. nil for queues and functions.
	turn    *turn
	message message
}

// AppendBinary implements encoding.BinaryAppender.
func (d *delivery) AppendBinary(b []byte) ([]byte, error) {
	b = appendText(b, d.ID, d.Protocol, d.Endpoint)
	b = appendBool(b, d.Raw)
	b = appendText(b, d.DeadLetter)
	waiting := d.turn != nil && *d.turn != turn{}
	b = append(b, flagBit(d.Shared, 1)|flagBit(d.Report, 2)|flagBit(waiting, 4)|flagBit(d.Once != "", 8))
	if waiting {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(d.turn.at)), uint64(d.turn.waits))
	}
	if d.Once != "" {
		b = appendText(b, d.Once)
	}
	return d.message.AppendBinary(b)
}

func flagBit(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (d *delivery) UnmarshalBinary(b []byte) error {
	r := &reader{b: b}
	d.ID, d.Protocol, d.Endpoint = r.text(), r.text(), r.text()
	d.Raw = r.bool()
	d.DeadLetter = r.text()
	flags := r.uint()
	d.Shared, d.Report = flags&1 != 0, flags&2 != 0
	if flags&4 != 0 {
		d.turn = &turn{int64(r.uint()), int(r.uint())}
	} else if !inside(d.Protocol) {
		d.turn = &turn{}
	}
	if flags&8 != 0 {
		d.Once = r.text()
	}
	d.message.read(r)
	return r.err
}

// subscription returns the ARN of the subscription.
func (d *delivery) subscription() string { return d.message.Topic + ":" + d.ID }

// deliver hands a message to its endpoint.
func (s *Service) deliver(ctx context.Context, item relay.Item[delivery]) error {
	d := &item.Value
	if ok, err := s.fetch(ctx, d); err != nil || !ok {
		return err
	}
	if err := s.hand(ctx, d, cmp.Or(d.Once, item.ID)); err != nil {
		return err
	}
	s.report(ctx, d, result{status: 200, attempts: item.Attempts + 1, dwell: s.world.Now().Sub(item.FirstAt)})
	return s.settle(ctx, d)
}

// hand sends the message to the endpoint as the topic's.
func (s *Service) hand(ctx context.Context, d *delivery, once string) error {
	switch d.Protocol {
	case "sqs":
		var e envelope
		if !d.Raw {
			signature, err := s.signer.sign(ctx, &d.message, queueKey)
			if err != nil {
				return err
			}
			e = d.message.envelope(signature)
		}
		return s.handQueue(ctx, d, once, e)
	case "lambda":
		stamp, err := s.signer.sign(ctx, &d.message, queueKey)
		if err != nil {
			return err
		}
		_, err = s.functions.Invoke(d.call(ctx, d.Endpoint, once), &lambda.InvokeInput{FunctionName: d.Endpoint,
			InvocationType: new("Event"), Payload: d.message.record(d.subscription(), stamp)})
		return err
	}
	return fmt.Errorf("sns: a delivery of protocol %s", d.Protocol)
}

// prompt reports whether a delivery may be made in the transaction that publishes: it is nothing but a message put in a queue.
func (d *delivery) prompt() bool {
	return d.Protocol == "sqs" && d.Raw && !d.Shared && !d.Report && d.message.Sequence == 0 && !strings.HasSuffix(d.Endpoint, ".fifo")
}

// handPrompt makes a delivery in the transaction that publishes.
func (s *Service) handPrompt(ctx context.Context, d *delivery) error {
	return s.handQueue(ctx, d, "", envelope{})
}

// handQueue sends the message to a queue; what is not raw goes in the envelope.
func (s *Service) handQueue(ctx context.Context, d *delivery, once string, e envelope) error {
	in, err := d.queueMessage(e)
	if err != nil {
		return err
	}
	return s.send(ctx, d, d.Endpoint, once, in)
}

// call puts in ctx on whose behalf an endpoint is called. The publisher's tracing header goes on to it, as TracingConfig
// PassThrough has it.
//
// https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sns.html
func (d *delivery) call(ctx context.Context, endpoint, once string) context.Context {
	arn := aws.ARN(endpoint)
	return aws.WithCall(ctx, &aws.Call{Account: arn.Account(), Region: arn.Region(), Endpoint: d.message.Host, Trace: d.message.Trace,
		SourceARN: aws.ARN(d.message.Topic), SourceAccount: aws.ARN(d.message.Topic).Account(), OnceKey: once})
}

// send puts a message in a queue.
func (s *Service) send(ctx context.Context, d *delivery, queue, once string, in *sqs.SendMessageInput) error {
	host := d.message.Host
	if host == "" {
		host = "http://localhost"
	}
	in.QueueUrl = host + "/" + aws.ARN(queue).Account() + "/" + aws.ARN(queue).Resource()
	d.message.order(in, queue)
	_, err := s.queues.SendMessage(d.call(ctx, queue, once), in)
	return err
}

// maxRawAttributes is how many attributes a queue's message takes.
const maxRawAttributes = 10

// queueMessage makes the queue's message: the envelope, or for raw delivery the body and the attributes.
func (d *delivery) queueMessage(e envelope) (*sqs.SendMessageInput, error) {
	m := &d.message
	if !d.Raw {
		return &sqs.SendMessageInput{MessageBody: e.to(d.ID)}, nil
	}
	if len(m.Attributes) > maxRawAttributes {
		return nil, aws.Errorf("InvalidParameterValue", 400, "Number of message attributes [%d] exceeds the allowed maximum [%d].",
			len(m.Attributes), maxRawAttributes)
	}
	in := &sqs.SendMessageInput{MessageBody: m.Body}
	if m.Replayed && len(m.Attributes) < maxRawAttributes {
		in.MessageAttributes = map[string]sqs.MessageAttributeValue{"Replayed": {DataType: "String", StringValue: new("true")}}
	}
	for _, a := range m.Attributes {
		v := sqs.MessageAttributeValue{DataType: a.Type, StringValue: new(a.Value)}
		if strings.HasPrefix(a.Type, "Binary") {
			v.StringValue, v.BinaryValue = nil, []byte(a.Value)
		}
		if in.MessageAttributes == nil {
			in.MessageAttributes = make(map[string]sqs.MessageAttributeValue, len(m.Attributes))
		}
		in.MessageAttributes[a.Name] = v
	}
	return in, nil
}

// fetch reads the message that deliveries share. It is not ok when the message is no longer there: the
// delivery was settled before, and the server stopped before the relay heard.
func (s *Service) fetch(ctx context.Context, d *delivery) (ok bool, err error) {
	if !d.Shared {
		return true, nil
	}
	return ok, s.db.View(ctx, func(tx *store.Tx) error {
		var m message
		if m, ok = messages.Get(tx, store.K(d.message.ID, d.bodyKey())); ok {
			d.message = m
		}
		return nil
	})
}

// settle removes a shared message once nobody needs it.
func (s *Service) settle(ctx context.Context, d *delivery) error {
	if !d.Shared {
		return nil
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		key := store.K(d.message.ID, d.bodyKey())
		pendings.Delete(tx, key.Str(d.ID))
		for range pendings.Keys(tx, store.Range{Prefix: key, Limit: 1}) {
			return nil
		}
		messages.Delete(tx, key)
		return nil
	})
}

// permanent reports whether trying again is pointless: the endpoint refused, and not for being busy.
func permanent(err error) bool {
	e := aws.AsError(err)
	throttled := []string{"RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException", "OverLimit"}
	return e.Fault == aws.Sender && e.Status < 500 && !slices.Contains(throttled, e.Code)
}

// retry is AWS's policy for queues and functions: three attempts at once, two a second apart, ten backing off
// to 20 seconds, and 100,000 more at 20 seconds. Refusals are not retried.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
func retry(item relay.Item[delivery], err error) (time.Duration, bool) {
	const immediate, before, backoff, after = 3, 2, 10, 100_000
	n := item.Attempts
	switch {
	case permanent(err):
		return 0, false
	case n <= immediate:
		return 0, true
	case n <= immediate+before:
		return time.Second, true
	case n <= immediate+before+backoff:
		return min(time.Second<<((n-immediate-before)/2), 20*time.Second), true
	case n <= immediate+before+backoff+after:
		return 20 * time.Second, true
	}
	return 0, false
}

// dead sends a message that could not be delivered to the subscription's dead-letter queue, or
// logs that it failed for good.
func (s *Service) dead(ctx context.Context, item relay.Item[delivery], cause error) error {
	d := &item.Value
	if ok, err := s.fetch(ctx, d); err != nil || !ok {
		return err
	}
	e := aws.AsError(cause)
	s.report(ctx, d, result{status: e.Status, attempts: item.Attempts, dwell: s.world.Now().Sub(item.FirstAt), answer: e.Message, failed: true})
	err := cause
	if d.DeadLetter != "" && d.message.Kind == "" {
		if err = s.bury(ctx, d, item.ID+"/dead", cause); err != nil && !permanent(err) {
			return err
		}
	}
	if err != nil {
		s.log.Warn("a delivery failed for good", slog.String("subscription", d.subscription()), slog.String("endpoint", d.Endpoint),
			slog.String("message", d.message.ID), slog.Int("attempts", item.Attempts), slog.Any("cause", err))
	}
	return s.settle(ctx, d)
}

// bury sends the message to the dead-letter queue, with the documented attributes.
func (s *Service) bury(ctx context.Context, d *delivery, once string, cause error) error {
	e := aws.AsError(cause)
	in := &sqs.SendMessageInput{MessageBody: d.message.Body}
	if !d.Raw {
		stamp, err := s.signer.sign(ctx, &d.message, keyFor(d.Protocol))
		if err != nil {
			return err
		}
		e := d.message.envelope(stamp)
		in.MessageBody = e.to(d.ID)
	}
	text := func(v string) sqs.MessageAttributeValue {
		return sqs.MessageAttributeValue{DataType: "String", StringValue: new(v)}
	}
	in.MessageAttributes = map[string]sqs.MessageAttributeValue{
		"RequestID": text(d.message.ID), "ErrorCode": text(e.Code), "ErrorMessage": text(e.Message),
	}
	return s.send(ctx, d, d.DeadLetter, once, in)
}
