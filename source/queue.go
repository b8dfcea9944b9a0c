package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/wire"
	"fogbank/world"
)

const (
	longPoll     = 20 // seconds, the longest SQS allows
	receiveMost  = 10 // messages of one ReceiveMessage, entries of one DeleteMessageBatch
	firstWorkers = 5  // batches of a queue in work at once, at first
	mostWorkers  = 1250
	workerDelay  = 200 * time.Millisecond // after which there may be one more
)

// Message is a message of a queue.
type Message struct {
	ID   string
	JSON []byte // as consumers of queues get it
	// Trace is the tracing header of whoever sent it.
	Trace string
	raw   *sqs.Message
}

// Queue hands the messages of an SQS queue over and deletes those that are done with.
type Queue struct {
	World    *world.World
	Calls    wire.Invoker // acts as the principal in the context's call
	Endpoint string       // scheme and host of this server, for URLs
	ARN      aws.ARN
	Batch    int
	Window   time.Duration // how long a batch may take to fill
	MaxBytes int           // of a batch's records
	Workers  int           // batches in work at once, at most; 0: mostWorkers
	Filters  Filters

	// Role returns the session to read with: have, which may be nil, while it is good.
	Role func(ctx context.Context, have *Session) (*Session, error)
	// Deliver handles messages and returns those that are done with; the others come again.
	Deliver func(ctx context.Context, messages []*Message) (done []*Message, err error)
	// Note is told what became of each batch or read.
	Note func(ctx context.Context, err error)
}

// url is the queue's URL.
func (q *Queue) url() string {
	return q.Endpoint + "/" + q.ARN.Account() + "/" + q.ARN.Name()
}

// Follow receives messages and hands them over until ctx ends; then it waits for the batches
// in work.
func (q *Queue) Follow(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	w := q.newWorkers()
	var as *Session
	failures := 0
	for w.await(ctx) {
		began := q.World.Now()
		batch, have, err := q.gather(ctx, as)
		as = have
		w.note(began, q.World.Now(), len(batch) > 0)
		if len(batch) > 0 {
			working.Add(1)
			w.busy.Add(1)
			q.World.Go(func(context.Context) {
				defer working.Done()
				defer w.done()
				q.Note(ctx, q.handle(ctx, have, batch))
			})
		}
		if failures++; err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			q.Note(ctx, err)
			q.World.Wait(ctx, nil, min(firstDelay<<min(failures, 20), longestDelay))
		}
	}
}

// workers are the batches in work. Of a standard queue there may be firstWorkers and, as long as messages are waiting, one
// more each workerDelay: 300 a minute. A FIFO queue hands out no message of a group that is in work, so that its groups
// are the limit.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
type workers struct {
	world       *world.World
	busy        atomic.Int32
	ended       chan struct{} // a batch is done
	first, most int
	base        int       // how many there may be at since
	since       time.Time // since when messages are waiting; zero: none are
}

func (q *Queue) newWorkers() *workers {
	w := &workers{world: q.World, ended: make(chan struct{}, 1), most: mostWorkers}
	if q.Workers > 0 {
		w.most = q.Workers
	}
	w.first = min(firstWorkers, w.most)
	if strings.HasSuffix(string(q.ARN), ".fifo") {
		w.first = w.most
	}
	w.base = w.first
	return w
}

// limit is how many batches may be in work at a time.
func (w *workers) limit(now time.Time) int {
	if w.since.IsZero() {
		return w.base
	}
	return min(w.most, w.base+int(now.Sub(w.since)/workerDelay))
}

// note takes in what a poll showed: messages were waiting if it did not have to wait for them. Else there may be one more
// batch than are in work, for the next message.
func (w *workers) note(began, now time.Time, some bool) {
	if waited := now.Sub(began) >= workerDelay; waited || !some {
		w.since = time.Time{}
		w.base = min(max(w.first, int(w.busy.Load())+2), w.most)
	} else if w.since.IsZero() {
		w.since = began
	}
}

// await waits until one more batch may be in work, and reports whether ctx lasted.
func (w *workers) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		now := w.world.Now()
		if w.since.IsZero() && int(w.busy.Load()) >= w.base {
			w.since = now // nobody looks whether messages are waiting
		}
		limit := w.limit(now)
		if int(w.busy.Load()) < limit {
			return true
		}
		next := now.Add(1000 * time.Hour)
		if limit < w.most {
			next = w.since.Add(time.Duration(limit-w.base+1) * workerDelay)
		}
		w.world.WaitUntil(ctx, w.ended, next)
	}
	return false
}

// done notes that a batch is done.
func (w *workers) done() {
	w.busy.Add(-1)
	select {
	case w.ended <- struct{}{}:
	default:
	}
}

// gather receives a batch: at once what there is, or, with a batching window, until it is full or over.
func (q *Queue) gather(ctx context.Context, have *Session) (batch []sqs.Message, as *Session, err error) {
	if as, err = q.Role(ctx, have); err != nil {
		return nil, nil, err
	}
	ctx = as.In(ctx, q.ARN.Account(), q.ARN.Region())
	wait := int32(longPoll)
	var until time.Time
	size := 0
	for len(batch) < q.Batch && size < q.MaxBytes/2 {
		out, err := sqs.Client{Invoke: q.Calls}.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: q.url(), WaitTimeSeconds: &wait, AttributeNames: []string{"All"}, MessageAttributeNames: []string{"All"},
			MaxNumberOfMessages: new(int32(min(q.Batch-len(batch), receiveMost)))})
		if err != nil {
			return batch, as, err
		}
		batch = append(batch, out.Messages...)
		for i := range out.Messages {
			size += 2 * len(out.Messages[i].GetBody())
		}
		now := q.World.Now()
		if until.IsZero() {
			until = now.Add(q.Window)
		}
		left := until.Sub(now)
		if len(batch) == 0 || left <= 0 {
			break
		}
		wait = int32(min((left+time.Second-1)/time.Second, longPoll))
	}
	return batch, as, nil
}

// handle hands a batch over, in parts if it is too large, and deletes what is done with, and what the filters threw out.
func (q *Queue) handle(ctx context.Context, as *Session, batch []sqs.Message) error {
	var given, done []*Message
	for i := range batch {
		m := &Message{ID: batch[i].GetMessageId(), Trace: batch[i].Attributes[sqs.MessageSystemAttributeNameAWSTraceHeader], raw: &batch[i]}
		if len(q.Filters) > 0 && !q.Filters.Match(filterable(m.raw)) {
			done = append(done, m)
			continue
		}
		m.JSON = mustJSON(record(q.ARN, m.raw))
		given = append(given, m)
	}
	var problem error
	for len(given) > 0 {
		n := fitting(given, q.MaxBytes)
		taken, err := q.Deliver(ctx, given[:n])
		given, done = given[n:], append(done, taken...)
		if problem == nil {
			problem = err
		}
	}
	if err := q.remove(ctx, as, done); problem == nil {
		problem = err
	}
	return problem
}

// fitting is how many of the messages one event of at most so many bytes takes; one at least.
func fitting(messages []*Message, bytes int) int {
	for i, m := range messages {
		if bytes -= len(m.JSON) + 1; bytes < 0 && i > 0 {
			return i
		}
	}
	return len(messages)
}

// remove deletes messages from the queue. Those that remain come again.
func (q *Queue) remove(ctx context.Context, as *Session, done []*Message) error {
	ctx = as.In(context.WithoutCancel(ctx), q.ARN.Account(), q.ARN.Region())
	for part := range slices.Chunk(done, receiveMost) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: q.url()}
		for i, m := range part {
			in.Entries = append(in.Entries, sqs.DeleteMessageBatchRequestEntry{Id: strconv.Itoa(i), ReceiptHandle: m.raw.GetReceiptHandle()})
		}
		if _, err := (sqs.Client{Invoke: q.Calls}).DeleteMessageBatch(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// queueRecord is a message in the form consumers get it.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
type queueRecord struct {
	MessageID         string                    `json:"messageId"`
	ReceiptHandle     string                    `json:"receiptHandle"`
	Body              string                    `json:"body"`
	Attributes        map[string]string         `json:"attributes"`
	MessageAttributes map[string]queueAttribute `json:"messageAttributes"`
	MD5               string                    `json:"md5OfBody"`
	AttributesMD5     string                    `json:"md5OfMessageAttributes,omitempty"`
	EventSource       string                    `json:"eventSource"`
	EventSourceARN    string                    `json:"eventSourceARN"`
	AwsRegion         string                    `json:"awsRegion"`
}

type queueAttribute struct {
	StringValue      *string  `json:"stringValue,omitempty"`
	BinaryValue      *string  `json:"binaryValue,omitempty"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues []string `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

// record is a message as a queueRecord.
func record(queue aws.ARN, m *sqs.Message) queueRecord {
	rec := queueRecord{MessageID: m.GetMessageId(), ReceiptHandle: m.GetReceiptHandle(), Body: m.GetBody(), Attributes: maps.Clone(m.Attributes),
		MessageAttributes: map[string]queueAttribute{}, MD5: m.GetMD5OfBody(), AttributesMD5: m.GetMD5OfMessageAttributes(),
		EventSource: "aws:sqs", EventSourceARN: string(queue), AwsRegion: queue.Region()}
	for name, a := range m.MessageAttributes {
		q := queueAttribute{StringValue: a.StringValue, StringListValues: []string{}, BinaryListValues: []string{}, DataType: a.DataType}
		if a.BinaryValue != nil {
			q.BinaryValue = new(base64.StdEncoding.EncodeToString(a.BinaryValue))
		}
		rec.MessageAttributes[name] = q
	}
	return rec
}

// filterable is what filters see of a message: its record, with the body as JSON when it is JSON.
func filterable(m *sqs.Message) []byte {
	body := json.RawMessage(m.GetBody())
	if !json.Valid(body) {
		body = quoted(m.GetBody())
	}
	return mustJSON(map[string]any{"messageId": m.GetMessageId(), "body": body, "attributes": m.Attributes})
}

// quoted is s as a JSON string.
func quoted(s string) []byte { return mustJSON(s) }

// mustJSON writes a value; what encoding/json escapes for HTML is left as it is.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("source: a value without a JSON form: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
