package sns

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"fogbank/aws"
	"fogbank/egress"
	"fogbank/relay"
	"fogbank/store"
)

// outsideLanes is how many deliveries to the outside are under way at once.
const outsideLanes = 256

// setback is a delivery to the outside that failed.
type setback struct {
	cause  error
	final  bool         // trying again is pointless
	policy *retryPolicy // nil: AWS's for mail, text messages and push
}

func (f *setback) Error() string { return f.cause.Error() }
func (f *setback) Unwrap() error { return f.cause }

// deliverOutside hands a message to an endpoint that is not ours. Endpoints do not wait for each other, and messages to
// one may overtake each other.
func (s *Service) deliverOutside(ctx context.Context, item relay.Item[delivery]) error {
	d := &item.Value
	if ok, err := s.fetch(ctx, d); err != nil || !ok {
		return err
	}
	status, err := s.pass(ctx, d, item.ID)
	if err != nil {
		return err
	}
	s.report(ctx, d, result{status: status, attempts: item.Attempts + 1, dwell: s.world.Now().Sub(item.FirstAt)})
	return s.settle(ctx, d)
}

// pass delivers by protocol, and returns the status the far side answered with.
func (s *Service) pass(ctx context.Context, d *delivery, once string) (status int, err error) {
	switch d.Protocol {
	case "http", "https":
		return s.post(ctx, d)
	case "email", "email-json":
		return 0, s.mail(ctx, d, once)
	case "sms":
		return s.text(ctx, d)
	case "application":
		return s.push(ctx, d)
	}
	return 0, &setback{cause: fmt.Errorf("sns: a delivery of protocol %s", d.Protocol), final: true}
}

// retryOutside applies the delivery policy in effect, which failed deliveries bring along. What failed on our
// side is tried again for ever.
func (s *Service) retryOutside(item relay.Item[delivery], err error) (time.Duration, bool) {
	var e *early
	if errors.As(err, &e) {
		return e.wait, true
	}
	var f *setback
	n := item.Attempts - item.Value.turn.waits
	switch {
	case !errors.As(err, &f):
		item.Value.turn.waits++ // it is not the endpoint's failure
		return time.Second, true
	case f.final:
		return 0, false
	case f.policy != nil:
		return f.policy.delay(n)
	}
	return customerDelay(n)
}

// customerDelay is AWS's policy for mail, text messages and push: two retries 10 seconds apart, ten backing off from
// 10 seconds to 10 minutes, 38 ten minutes apart.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
func customerDelay(n int) (time.Duration, bool) {
	const before, backoff, after = 2, 10, 38
	least, most := 10*time.Second, 10*time.Minute
	switch {
	case n <= before:
		return least, true
	case n <= before+backoff:
		seconds := backOff("exponential", n-before, backoff, least.Seconds(), most.Seconds())
		return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond), true
	case n <= before+backoff+after:
		return most, true
	}
	return 0, false
}

// policies is the delivery policy of each subscription, as it was set.
var policies = store.Derive(subscriptions, func(_ store.Key, sub subscription) (*deliveryPolicy, error) {
	p, err := parseDeliveryPolicy(sub.Attributes["DeliveryPolicy"])
	return &p, err
})

// inEffect returns the delivery policy in effect for a delivery now.
func (s *Service) inEffect(ctx context.Context, d *delivery) (e *deliveryPolicy, err error) {
	name := aws.ARN(d.message.Topic).Resource()
	return e, s.db.View(ctx, func(tx *store.Tx) error {
		topic, sub := &topicPolicy{}, &deliveryPolicy{}
		if f, ok, err := facts.Get(tx, store.K(name)); err != nil {
			return err
		} else if ok {
			topic = &f.delivery
		}
		if p, ok, err := policies.Get(tx, store.K(name, d.ID)); err != nil {
			return err
		} else if ok {
			sub = p
		}
		e = effective(topic, sub)
		return nil
	})
}

// paces is when a throttled subscription may get its next message, in nanoseconds since 1970.
var paces = store.NewTable[int64]("sns/pace", store.Regional)

// turn is when a throttled delivery may be made.
type turn struct {
	at    int64 // nanoseconds since 1970; 0 while it has no turn
	waits int   // how often it was put off, which are no failed attempts
}

// longestPause is how long a delivery waits for its turn at its place among those under way. For longer it
// gives up the place, so that others are not kept waiting.
const longestPause = 100 * time.Millisecond

// early is a delivery whose turn has not come.
type early struct{ wait time.Duration }

func (e *early) Error() string { return "it is not its turn for another " + e.wait.String() }

// pace waits for the delivery's turn when its endpoint takes only so many a second.
func (s *Service) pace(ctx context.Context, d *delivery, t *throttlePolicy) error {
	if t == nil || d.message.Kind != "" {
		return nil
	}
	if d.turn.at == 0 {
		if err := s.queueUp(ctx, d, t); err != nil {
			return err
		}
	}
	if wait := time.Duration(d.turn.at - s.world.Now().UnixNano()); wait > longestPause {
		d.turn.waits++
		return &early{wait}
	}
	s.world.WaitUntil(ctx, nil, time.Unix(0, d.turn.at))
	d.turn.at = 0
	return ctx.Err()
}

// queueUp takes the endpoint's next free turn for a delivery.
func (s *Service) queueUp(ctx context.Context, d *delivery, t *throttlePolicy) error {
	key := store.K(aws.ARN(d.message.Topic).Resource(), d.ID)
	var at int64
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		next, _ := paces.Get(tx, key)
		at = max(next, tx.World().Now().UnixNano())
		paces.Put(tx, key, at+int64(time.Second)/int64(t.MaxReceivesPerSecond))
		return nil
	}, "sns/pace/"+string(key))
	d.turn.at = at
	return err
}

// userAgent is what AWS's deliveries call themselves.
const userAgent = "Amazon Simple Notification Service Agent"

// post delivers over HTTP.
//
// https://docs.aws.amazon.com/sns/latest/dg/http-header.html
func (s *Service) post(ctx context.Context, d *delivery) (int, error) {
	policy, err := s.inEffect(ctx, d)
	if err != nil {
		return 0, err
	}
	if err := s.pace(ctx, d, policy.Throttle); err != nil {
		return 0, err
	}
	m := &d.message
	r := &egress.Request{URL: d.Endpoint, Body: []byte(m.Body), Headers: []egress.Header{
		{Name: "Content-Type", Value: policy.Request.HeaderContentType},
		{Name: "User-Agent", Value: userAgent},
		{Name: "x-amz-sns-message-type", Value: m.kind()},
		{Name: "x-amz-sns-message-id", Value: m.ID},
		{Name: "x-amz-sns-topic-arn", Value: m.Topic},
	}}
	if m.Trace != "" {
		r.Headers = append(r.Headers, egress.Header{Name: "X-Amzn-Trace-Id", Value: m.Trace})
	}
	if m.Kind != confirmation {
		r.Headers = append(r.Headers, egress.Header{Name: "x-amz-sns-subscription-arn", Value: d.subscription()})
	}
	if d.Raw && m.Kind == "" {
		r.Headers = append(r.Headers, egress.Header{Name: "x-amz-sns-rawdelivery", Value: "true"})
	} else {
		stamp, err := s.signer.sign(ctx, m, webKey)
		if err != nil {
			return 0, err
		}
		e := m.envelope(stamp)
		r.Body = []byte(e.to(d.ID))
	}
	answer, err := s.network.Do(ctx, r)
	if err != nil {
		return 0, &setback{cause: aws.Errorf("ConnectionFailed", 503, "%s", err), final: egress.Refused(err), policy: policy.Retry}
	}
	return answer.Status, judge(answer.Status, policy.Retry)
}

const tooManyRequests = 429

// judge tells success from failure: any 2xx is one, and only what may pass by itself is tried again, which is 429 and 5xx.
func judge(status int, policy *retryPolicy) error {
	if status/100 == 2 {
		return nil
	}
	return &setback{cause: &aws.Error{Code: strconv.Itoa(status), Status: status, Message: fmt.Sprintf("The endpoint answered with status %d", status)},
		final: status != tooManyRequests && status < 500, policy: policy}
}
