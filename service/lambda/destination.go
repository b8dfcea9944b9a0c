package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/relay"
	"fogbank/source"
	"fogbank/store"
)

// maxLetterMessage is how much of an error a dead letter quotes, in bytes.
const maxLetterMessage = 1024

// sending is something on its way to a dead-letter queue or a destination, sent with the function's role.
type sending struct {
	Role     string
	Target   string // ARN of a queue, topic, function or event bus
	Function string
	Source   aws.ARN // the function's
	Success  bool
	Body     []byte
	Letter   *letter `json:",omitempty"` // a dead letter's attributes
	Trace    string  `json:",omitempty"` // tracing header of the invocation
}

// letter is what accompanies an event to a dead-letter queue.
type letter struct {
	RequestID    string
	ErrorCode    string // the status of the HTTP answer an invocation would have got
	ErrorMessage string
}

// newSendings is the relay that carries them, for ever if need be.
func (s *Service) newSendings() *relay.Relay[sending] {
	return relay.New(relay.Options[sending]{Name: "lambda/sending", Retry: retrySending,
		Deliver: func(ctx context.Context, item relay.Item[sending]) error { return s.send(ctx, item.Value) }})
}

// retrySending gives up after about a day; the relay then says so in the log.
func retrySending(item relay.Item[sending], _ error) (time.Duration, bool) {
	return min(firstThrottle<<min(item.Attempts-1, 12), lastThrottle), item.Attempts < 300
}

// post makes durable what is on its way, unless there is no target for it. Of what is too large for every kind of target
// there is no more than a line in the log, as AWS counts it among the failures of delivery.
func (s *Service) post(ctx context.Context, list ...sending) error {
	list = slices.DeleteFunc(list, func(x sending) bool {
		large := x.Target != "" && len(x.Body) > maxAsyncPayload
		if large {
			s.o.Log.Warn("a record is too large for its destination", "function", x.Source, "destination", x.Target, "bytes", len(x.Body))
		}
		return large || x.Target == ""
	})
	if len(list) == 0 {
		return nil
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		for _, x := range list {
			s.sendings.Add(tx, x.Function, x)
		}
		return nil
	})
}

// checkDestination takes a standard queue or topic, a function, an event bus or nothing.
func checkDestination(target string) error {
	if target == "" {
		return nil
	}
	switch aws.ARN(target).Service() {
	case "sqs", "sns":
		if !strings.HasSuffix(target, ".fifo") {
			return nil
		}
	case "lambda", "events":
		return nil
	case "s3":
		return unwritten("destinations in S3")
	}
	return lambda.InvalidParameterValueException("The destination ARN %s is invalid.", target)
}

// send delivers to a target as the function's role.
func (s *Service) send(ctx context.Context, x sending) error {
	as, err := s.enact(ctx, x.Role, x.Function)
	if err != nil {
		return err
	}
	target := aws.ARN(x.Target)
	ctx = aws.Traced(as.In(ctx, target.Account(), target.Region()), x.Trace)
	switch target.Service() {
	case "sqs":
		_, err = sqs.Client{Invoke: s.o.Role}.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: s.queueURL(target), MessageBody: string(x.Body), MessageAttributes: x.Letter.sqs()})
	case "sns":
		_, err = sns.Client{Invoke: s.o.Role}.Publish(ctx, &sns.PublishInput{
			TopicArn: &x.Target, Message: string(x.Body), MessageAttributes: x.Letter.sns()})
	case "lambda":
		_, err = lambda.Client{Invoker: s.o.Role}.Invoke(ctx, &lambda.InvokeInput{
			FunctionName: x.Target, InvocationType: new(lambda.InvocationTypeEvent), Payload: x.Body})
	case "events":
		return s.putEvent(ctx, x)
	default:
		err = checkDestination(x.Target)
	}
	return err
}

// putEvent puts a result on an event bus.
func (s *Service) putEvent(ctx context.Context, x sending) error {
	kind := "Lambda Function Invocation Result - Failure"
	if x.Success {
		kind = "Lambda Function Invocation Result - Success"
	}
	out, err := events.Client{Invoke: s.o.Role}.PutEvents(ctx, &events.PutEventsInput{Entries: []events.PutEventsRequestEntry{{
		Source: new("lambda"), DetailType: &kind, Detail: new(string(x.Body)), EventBusName: &x.Target,
		Resources: []string{string(x.Source)}}}})
	if err == nil && out.FailedEntryCount != nil && *out.FailedEntryCount > 0 {
		e := out.Entries[0]
		err = aws.Errorf(e.GetErrorCode(), 400, "%s", e.GetErrorMessage())
	}
	return err
}

// queueURL is the URL of a queue of this server.
func (s *Service) queueURL(queue aws.ARN) string {
	return s.o.Endpoint + "/" + queue.Account() + "/" + queue.Name()
}

func (l *letter) sqs() map[string]sqs.MessageAttributeValue {
	if l == nil {
		return nil
	}
	m := map[string]sqs.MessageAttributeValue{
		"RequestID": {DataType: "String", StringValue: &l.RequestID},
		"ErrorCode": {DataType: "Number", StringValue: &l.ErrorCode},
	}
	if l.ErrorMessage != "" {
		m["ErrorMessage"] = sqs.MessageAttributeValue{DataType: "String", StringValue: &l.ErrorMessage}
	}
	return m
}

func (l *letter) sns() map[string]sns.MessageAttributeValue {
	if l == nil {
		return nil
	}
	m := map[string]sns.MessageAttributeValue{
		"RequestID": {DataType: "String", StringValue: &l.RequestID},
		"ErrorCode": {DataType: "Number", StringValue: &l.ErrorCode},
	}
	if l.ErrorMessage != "" {
		m["ErrorMessage"] = sns.MessageAttributeValue{DataType: "String", StringValue: &l.ErrorMessage}
	}
	return m
}

// errorMessage is the message of an error's JSON form, cut to what a letter may quote.
func errorMessage(payload []byte) string {
	var doc struct {
		ErrorMessage string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &doc) != nil {
		return ""
	}
	return cut(doc.ErrorMessage)
}

// cut shortens a message to what a letter may quote.
func cut(m string) string {
	if len(m) > maxLetterMessage {
		m = strings.ToValidUTF8(m[:maxLetterMessage], "")
	}
	return m
}

// stampForm is how Lambda writes moments in its records.
const stampForm = "2006-01-02T15:04:05.000Z"

// outcome is what the records of destinations have in common.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
type outcome struct {
	Version   string            `json:"version"`
	Timestamp string            `json:"timestamp"`
	Request   requestContext    `json:"requestContext"`
	Event     json.RawMessage   `json:"requestPayload,omitempty"`
	Response  *responseOf       `json:"responseContext,omitempty"`
	Answer    json.RawMessage   `json:"responsePayload,omitempty"`
	Stream    *source.BatchInfo `json:"DDBStreamBatchInfo,omitempty"`
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	Count       int    `json:"approximateInvokeCount"`
}

type responseOf struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// responseTo is the response part of a record; nil when the function was not reached.
func responseTo(res compute.Result, version string) *responseOf {
	if res.Payload == nil {
		return nil
	}
	o := &responseOf{StatusCode: 200, ExecutedVersion: version}
	if res.Failed {
		o.FunctionError = "Unhandled"
	}
	return o
}

// asyncRecord is what a destination of asynchronous invocation receives.
func asyncRecord(now time.Time, r reference, f *function, condition string, count int, e event, res compute.Result) []byte {
	return mustJSON(outcome{Version: "1.0", Timestamp: now.Format(stampForm), Event: e.Payload, Response: responseTo(res, f.version()), Answer: validJSON(res.Payload),
		Request: requestContext{e.RequestID, string(r.qualified()), condition, count}})
}

// validJSON is b if it is JSON; a function may answer anything.
func validJSON(b []byte) json.RawMessage {
	if !json.Valid(b) {
		return nil
	}
	return b
}
