package events

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/relay"
	"fogbank/source"
	"fogbank/store"
)

// deliveryLanes is how many deliveries are under way at once.
const deliveryLanes = 64

// delivery is one event on its way to one target.
type delivery struct {
	ID         string // of the event
	RuleARN    string
	Rule       string
	Target     string // its ID
	ARN        string
	Group      string
	DeadLetter string
	Host       string
	Ingested   string
	Attempts   int // retries at most
	Age        int // seconds at most
	Hops       int
	Payload    []byte    // what the target is sent, nil when that is the event
	Event      []byte    // the event, nil when it is shared
	Shared     store.Key // of the pending row, when the event is shared
	Role       string    // the target's, as which it is called; "": as EventBridge itself
	HTTP       []byte    // what an API is sent besides: events.HttpParameters, JSON
	Trace      string    // tracing header, "" for none
}

// shared are the events that deliveries share; pendings tell which still do.
var (
	shared   = store.NewTable[[]byte]("events/event", store.Regional)
	pendings = store.NewTable[struct{}]("events/pending", store.Regional)
)

func newDelivery(r *route, o occasion, ev *event) delivery {
	d := delivery{ID: ev.ID, RuleARN: o.ruleARN, Rule: o.rule, Target: r.ID, ARN: r.ARN, Group: r.Group, DeadLetter: r.DeadLetter,
		Host: ev.Host, Ingested: ev.Ingested, Attempts: maxAttempts, Age: maxEventAge, Hops: ev.Hops, Event: ev.JSON, Trace: ev.Trace}
	if r.transform != nil {
		d.Payload = r.transform.apply(ev.JSON, o)
	}
	if aws.ARN(r.ARN).Service() != "logs" { // log groups know policies only
		d.Role = r.Role
	}
	if r.HTTP != nil {
		if b, err := json.Marshal(r.HTTP); err == nil {
			d.HTTP = b
		}
	}
	if r.Attempts != nil {
		d.Attempts = int(*r.Attempts)
	}
	if r.Age != nil {
		d.Age = int(*r.Age)
	}
	return d
}

// texts are the delivery's texts in the order they are stored in.
func (d *delivery) texts() []*string {
	return []*string{&d.ID, &d.RuleARN, &d.Rule, &d.Target, &d.ARN, &d.Group, &d.DeadLetter, &d.Host, &d.Ingested, (*string)(&d.Shared)}
}

// AppendBinary implements encoding.BinaryAppender: texts and bytes, each preceded by its length (one more for
// bytes, 0 being nil), and numbers. The role and what follows are there only when there is any of it, and so is the trace.
func (d *delivery) AppendBinary(b []byte) ([]byte, error) {
	for _, s := range d.texts() {
		b = append(binary.AppendUvarint(b, uint64(len(*s))), *s...)
	}
	for _, n := range []int{d.Attempts, d.Age, d.Hops} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, p := range [][]byte{d.Payload, d.Event} {
		if p == nil {
			b = append(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(p))+1), p...)
	}
	if d.Role != "" || d.HTTP != nil || d.Trace != "" {
		b = append(binary.AppendUvarint(b, uint64(len(d.Role))), d.Role...)
		b = append(binary.AppendUvarint(b, uint64(len(d.HTTP))), d.HTTP...)
	}
	if d.Trace != "" {
		b = append(binary.AppendUvarint(b, uint64(len(d.Trace))), d.Trace...)
	}
	return b, nil
}

var errRecord = errors.New("events: a stored delivery is cut short")

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (d *delivery) UnmarshalBinary(b []byte) error {
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			b = nil
			return 1 << 62
		}
		b = b[size:]
		return n
	}
	take := func(n uint64) (p []byte, ok bool) {
		if n > uint64(len(b)) {
			return nil, false
		}
		p, b = b[:n], b[n:]
		return p, true
	}
	for _, s := range d.texts() {
		p, ok := take(number())
		if !ok {
			return errRecord
		}
		*s = string(p)
	}
	for _, n := range []*int{&d.Attempts, &d.Age, &d.Hops} {
		v := number()
		if v > 1<<32 {
			return errRecord
		}
		*n = int(v)
	}
	for _, p := range []*[]byte{&d.Payload, &d.Event} {
		n := number()
		if n == 0 {
			continue
		}
		v, ok := take(n - 1)
		if !ok {
			return errRecord
		}
		*p = append([]byte{}, v...)
	}
	if len(b) == 0 {
		return nil
	}
	role, ok := take(number())
	if !ok {
		return errRecord
	}
	http, ok := take(number())
	if !ok {
		return errRecord
	}
	d.Role = string(role)
	if len(http) > 0 {
		d.HTTP = append([]byte{}, http...)
	}
	if len(b) == 0 {
		return nil
	}
	trace, ok := take(number())
	if !ok {
		return errRecord
	}
	d.Trace = string(trace)
	return nil
}

// deliver hands an event to its target.
func (s *Service) deliver(ctx context.Context, item relay.Item[delivery]) error {
	d := &item.Value
	if ok, err := s.fetch(ctx, d); err != nil || !ok {
		return err
	}
	if err := s.hand(ctx, d, item.ID); err != nil {
		return err
	}
	return s.settle(ctx, d)
}

// prompt reports whether a delivery may be made in the transaction that puts the event: it is nothing but a message put in a queue.
func (d *delivery) prompt() bool {
	return d.Role == "" && d.Shared == "" && aws.ARN(d.ARN).Service() == "sqs" && !strings.HasSuffix(d.ARN, ".fifo")
}

// handPrompt makes a delivery in the transaction that puts the event.
func (s *Service) handPrompt(ctx context.Context, d *delivery) error { return s.hand(ctx, d, "") }

// caller returns the context for calling the target, and the services as they are to be called: as the target's role
// when it has one, else as EventBridge, which a policy of the target must then allow.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
func (s *Service) caller(ctx context.Context, d *delivery, once string) (context.Context, *Clients, error) {
	if d.Role == "" {
		return d.call(ctx, d.ARN, once), &s.to, nil
	}
	rule := aws.ARN(d.RuleARN)
	own := aws.WithCall(ctx, &aws.Call{Account: rule.Account(), Region: rule.Region(), SourceARN: rule, SourceAccount: rule.Account()})
	session, err := source.Assume(own, s.to.Roles, d.Role, "events-"+strconv.FormatInt(s.world.Now().Unix(), 10))
	if err != nil {
		return nil, nil, err
	}
	arn := aws.ARN(d.ARN)
	ctx = aws.WithCall(ctx, &aws.Call{Principal: session.Principal, Account: arn.Account(), Region: arn.Region(), Endpoint: d.Host, Trace: d.Trace, OnceKey: once})
	return ctx, &s.asRole, nil
}

// call puts in ctx on whose behalf a resource is called.
func (d *delivery) call(ctx context.Context, resource, once string) context.Context {
	arn := aws.ARN(resource)
	return aws.WithCall(ctx, &aws.Call{Account: arn.Account(), Region: arn.Region(), Endpoint: d.Host, Trace: d.Trace,
		SourceARN: aws.ARN(d.RuleARN), SourceAccount: aws.ARN(d.RuleARN).Account(), OnceKey: once})
}

// hand sends the payload to the target.
func (s *Service) hand(ctx context.Context, d *delivery, once string) error {
	payload := d.Payload
	if payload == nil {
		payload = d.Event
	}
	ctx, to, err := s.caller(ctx, d, once)
	if err != nil {
		return err
	}
	switch aws.ARN(d.ARN).Service() {
	case "sqs":
		in := &sqs.SendMessageInput{QueueUrl: d.queueURL(d.ARN), MessageBody: string(payload)}
		if d.Group != "" {
			in.MessageGroupId = new(d.Group)
		}
		_, err = to.Queues.SendMessage(ctx, in)
		return err
	case "sns":
		_, err = to.Topics.Publish(ctx, &sns.PublishInput{TopicArn: new(d.ARN), Message: string(payload)})
		return err
	case "lambda":
		_, err = to.Functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: d.ARN, InvocationType: new("Event"), Payload: payload})
		return err
	case "logs":
		return s.record(ctx, d, string(payload))
	case "execute-api":
		return s.callAPI(ctx, d, payload)
	case "events":
		if strings.HasPrefix(aws.ARN(d.ARN).Resource(), "api-destination/") {
			return s.send(ctx, d, payload)
		}
		return s.forward(ctx, d, payload)
	}
	return fmt.Errorf("events: a target %s", d.ARN)
}

func (d *delivery) queueURL(queue string) string {
	host := d.Host
	if host == "" {
		host = "http://localhost"
	}
	return host + "/" + aws.ARN(queue).Account() + "/" + aws.ARN(queue).Resource()
}

// record writes the payload to a log group, in a stream named for the rule and the day.
func (s *Service) record(ctx context.Context, d *delivery, payload string) error {
	group := strings.TrimSuffix(strings.TrimPrefix(aws.ARN(d.ARN).Resource(), "log-group:"), ":*")
	now := s.world.Now()
	stream := now.Format("2006/01/02/") + d.Rule
	in := &logs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: []logs.InputLogEvent{{Timestamp: now.UnixMilli(), Message: payload}}}
	_, err := s.to.Logs.PutLogEvents(ctx, in)
	if !aws.IsCode(err, "ResourceNotFoundException") {
		return err
	}
	_, err = s.to.Logs.CreateLogStream(ctx, &logs.CreateLogStreamInput{LogGroupName: group, LogStreamName: stream})
	if err != nil && !aws.IsCode(err, "ResourceAlreadyExistsException") {
		return err
	}
	_, err = s.to.Logs.PutLogEvents(ctx, in)
	return err
}

// fetch reads the event that deliveries share. It is not ok when it is no longer
// there: the delivery was settled before, and the server stopped before the relay heard.
func (s *Service) fetch(ctx context.Context, d *delivery) (ok bool, err error) {
	if d.Shared == "" {
		return true, nil
	}
	return ok, s.db.View(ctx, func(tx *store.Tx) error {
		if pendings.Has(tx, d.Shared) {
			d.Event, ok = shared.Get(tx, d.event())
		}
		return nil
	})
}

// event is the key of the shared event.
func (d *delivery) event() store.Key {
	rest := store.Key("").Str(d.Rule).Str(d.Target)
	return store.Key(strings.TrimSuffix(string(d.Shared), string(rest)))
}

// settle removes a shared event once nobody needs it.
func (s *Service) settle(ctx context.Context, d *delivery) error {
	if d.Shared == "" {
		return nil
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		pendings.Delete(tx, d.Shared)
		for range pendings.Keys(tx, store.Range{Prefix: d.event(), Limit: 1}) {
			return nil
		}
		shared.Delete(tx, d.event())
		return nil
	})
}

// throttled are the codes of services that are busy; all else a client is blamed for is final.
var throttled = []string{"RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException", "OverLimit"}

func permanent(err error) bool {
	e := aws.AsError(err)
	return e.Fault == aws.Sender && e.Status < 500 && !slices.Contains(throttled, e.Code)
}

// backOff bounds the delays between attempts: with the default of 185 retries, the doubling
// delays outlast the default of 24 hours.
const (
	firstDelay   = time.Second
	longestDelay = 520 * time.Second
)

// retry applies the target's retry policy: doubling delays with a quarter of jitter, until the retries or the event's
// age are used up. The last attempt is made when the age is reached. An endpoint that asked for a longer wait gets it;
// one that would outlast the event's age gets no further attempt.
func (s *Service) retry(item relay.Item[delivery], err error) (time.Duration, bool) {
	d := &item.Value
	left := time.Duration(d.Age)*time.Second - s.world.Now().Sub(item.FirstAt)
	if permanent(err) || item.Attempts > d.Attempts || left <= 0 {
		return 0, false
	}
	delay := min(firstDelay<<min(item.Attempts-1, 20), longestDelay)
	delay += delay/4 - time.Duration(s.world.IntN(int(delay/2)))
	if p, ok := errors.AsType[*postponed](err); ok && p.after > delay {
		return p.after, p.after <= left
	}
	return min(delay, left), true
}

// dead sends an event that could not be delivered to the target's dead-letter queue, or logs that it failed for good.
func (s *Service) dead(ctx context.Context, item relay.Item[delivery], cause error) error {
	d := &item.Value
	if ok, err := s.fetch(ctx, d); err != nil || !ok {
		return err
	}
	err := cause
	if d.DeadLetter != "" {
		if err = s.bury(ctx, d, item, cause); err != nil && !permanent(err) {
			return err
		}
	}
	if err != nil {
		s.log.Warn("an event was not delivered", slog.String("rule", d.RuleARN), slog.String("target", d.ARN), slog.String("event", d.ID),
			slog.Int("attempts", item.Attempts), slog.Any("cause", err))
	}
	return s.settle(ctx, d)
}

// bury sends the event as it was put to the dead-letter queue, with AWS's attributes.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
func (s *Service) bury(ctx context.Context, d *delivery, item relay.Item[delivery], cause error) error {
	text := func(kind, v string) sqs.MessageAttributeValue {
		return sqs.MessageAttributeValue{DataType: kind, StringValue: new(v)}
	}
	e := aws.AsError(cause)
	attributes := map[string]sqs.MessageAttributeValue{
		"RULE_ARN": text("String", d.RuleARN), "TARGET_ARN": text("String", d.ARN),
		"ERROR_CODE": text("String", errorCode(e)), "ERROR_MESSAGE": text("String", e.Message),
	}
	if !permanent(cause) {
		condition := "MaximumRetryAttempts"
		if item.Attempts <= d.Attempts {
			condition = "MaximumEventAgeInSeconds"
		}
		attributes["EXHAUSTED_RETRY_CONDITION"] = text("String", condition)
		attributes["RETRY_ATTEMPTS"] = text("Number", strconv.Itoa(max(item.Attempts-1, 0)))
	}
	_, err := s.to.Queues.SendMessage(d.call(ctx, d.DeadLetter, item.ID+"/dead"), &sqs.SendMessageInput{
		QueueUrl: d.queueURL(d.DeadLetter), MessageBody: string(d.Event), MessageAttributes: attributes})
	return err
}

// errorCode is EventBridge's name for what went wrong.
func errorCode(e *aws.Error) string {
	switch {
	case strings.HasSuffix(e.Code, "_DETECTED"):
		return e.Code
	case slices.Contains(throttled, e.Code):
		return "THROTTLING"
	case e.Status >= 500 && e.Code == "InternalFailure":
		return "INTERNAL_ERROR"
	case e.Status >= 500:
		return "ERROR_FROM_TARGET"
	case e.Status == 403 || strings.HasPrefix(e.Code, "AccessDenied") || e.Code == "AuthorizationErrorException":
		return "NO_PERMISSIONS"
	case e.Status == 404 || strings.Contains(e.Code, "NotFound") || strings.HasSuffix(e.Code, "DoesNotExist"):
		return "NO_RESOURCE"
	case strings.HasPrefix(e.Code, "Invalid") || e.Code == "ValidationException":
		return "INVALID_PARAMETER"
	}
	return "SDK_CLIENT_ERROR"
}
