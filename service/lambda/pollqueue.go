package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
)

const (
	longPoll     = 20 // seconds, the longest SQS allows
	receiveMost  = 10 // messages of one ReceiveMessage, entries of one DeleteMessageBatch
	queueWorkers = 10 // batches of a queue in work at once, unless MaximumConcurrency says otherwise
)

// pollQueue receives messages and gives them to the function until ctx ends; then it waits for the batches
// in work.
func (r *runner) pollQueue(ctx context.Context) {
	workers := queueWorkers
	if r.m.MaxConcurrency > 0 {
		workers = int(r.m.MaxConcurrency)
	}
	slots := make(chan struct{}, workers)
	defer func() {
		for range workers {
			slots <- struct{}{}
		}
	}()
	var as *session
	failures := 0
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		batch, have, err := r.gather(ctx, as)
		as = have
		if len(batch) == 0 {
			<-slots
		} else {
			r.s.world.Go(func(context.Context) {
				defer func() { <-slots }()
				r.note(ctx, r.handle(ctx, have, batch))
			})
		}
		if failures++; err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			r.note(ctx, err)
			r.s.world.Wait(ctx, nil, min(firstDelay<<min(failures, 20), longestDelay))
		}
	}
}

// gather receives a batch: at once what there is, or, with a batching window, until it is full or over.
func (r *runner) gather(ctx context.Context, have *session) (batch []sqs.Message, as *session, err error) {
	if as, err = r.role(ctx, have); err != nil {
		return nil, nil, err
	}
	queue := aws.ARN(r.m.Source)
	ctx = as.in(ctx, queue.Account(), queue.Region())
	wait := int32(longPoll)
	var until time.Time
	size := 0
	for len(batch) < int(r.m.BatchSize) && size < maxSyncPayload/2 {
		out, err := sqs.Client{Invoke: r.s.o.Role}.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: r.s.queueURL(queue), WaitTimeSeconds: &wait, AttributeNames: []string{"All"}, MessageAttributeNames: []string{"All"},
			MaxNumberOfMessages: new(int32(min(int(r.m.BatchSize)-len(batch), receiveMost)))})
		if err != nil {
			return batch, as, err
		}
		batch = append(batch, out.Messages...)
		for i := range out.Messages {
			size += 2 * len(out.Messages[i].GetBody())
		}
		now := r.s.world.Now()
		if until.IsZero() {
			until = now.Add(time.Duration(r.m.WindowSeconds) * time.Second)
		}
		left := until.Sub(now)
		if len(batch) == 0 || left <= 0 {
			break
		}
		wait = int32(min((left+time.Second-1)/time.Second, longPoll))
	}
	return batch, as, nil
}

// handle gives a batch to the function and deletes what it took, and what the filters threw out.
func (r *runner) handle(ctx context.Context, as *session, batch []sqs.Message) error {
	var event []byte
	var given, done []*sqs.Message
	event = append(event, `{"Records":[`...)
	for i := range batch {
		m := &batch[i]
		rec := r.convertMessage(m)
		if len(r.filters) > 0 && !r.matches(filterable(m)) {
			done = append(done, m)
			continue
		}
		if len(given) > 0 {
			event = append(event, ',')
		}
		event, given = append(event, rec...), append(given, m)
	}
	event = append(event, "]}"...)
	var err error
	if len(given) > 0 {
		var taken []*sqs.Message
		taken, err = r.offer(ctx, event, given)
		done = append(done, taken...)
	}
	if derr := r.remove(ctx, as, done); err == nil {
		err = derr
	}
	return err
}

// offer invokes the function and returns the messages it took.
func (r *runner) offer(ctx context.Context, event []byte, given []*sqs.Message) ([]*sqs.Message, error) {
	res, err := r.invoke(ctx, event)
	if err != nil {
		return nil, err
	}
	if !r.m.Partial {
		return given, nil
	}
	failed, ok := failedItems(res.Payload)
	if ok {
		taken := slices.DeleteFunc(slices.Clone(given), func(m *sqs.Message) bool { return failed[m.GetMessageId()] })
		if len(given)-len(taken) == len(failed) {
			if len(failed) > 0 {
				err = &unsuccessful{result: res}
			}
			return taken, err
		}
	}
	// An answer that names what was not in the batch, or is of another form, fails the whole batch.
	return nil, &unsuccessful{result: res}
}

// remove deletes messages from the queue. Those that remain come again.
func (r *runner) remove(ctx context.Context, as *session, done []*sqs.Message) error {
	queue := aws.ARN(r.m.Source)
	ctx = as.in(context.WithoutCancel(ctx), queue.Account(), queue.Region())
	for part := range slices.Chunk(done, receiveMost) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: r.s.queueURL(queue)}
		for i, m := range part {
			in.Entries = append(in.Entries, sqs.DeleteMessageBatchRequestEntry{Id: strconv.Itoa(i), ReceiptHandle: m.GetReceiptHandle()})
		}
		if _, err := (sqs.Client{Invoke: r.s.o.Role}).DeleteMessageBatch(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// failedItems reads a partial batch response: the identifiers that failed. An empty or null answer means
// that none did; ok is false when it is of no such form.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func failedItems(payload []byte) (failed map[string]bool, ok bool) {
	var doc *struct {
		Items []struct {
			ID *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if len(payload) == 0 {
		return nil, true
	}
	if payload[0] == '"' && json.Valid(payload) {
		return nil, string(payload) == `""`
	}
	if json.Unmarshal(payload, &doc) != nil {
		return nil, false
	}
	if doc == nil {
		return nil, true
	}
	failed = map[string]bool{}
	for _, item := range doc.Items {
		if item.ID == nil || *item.ID == "" {
			return nil, false
		}
		failed[*item.ID] = true
	}
	return failed, true
}

// firstFailed is the index of the first of n items, named by id, that a partial batch response says failed;
// an answer that cannot be right fails all.
func firstFailed(payload []byte, n int, id func(int) string) (first int, failed bool) {
	items, ok := failedItems(payload)
	if !ok {
		return 0, true
	}
	if len(items) == 0 {
		return n, false
	}
	for i := range n {
		if items[id(i)] {
			return i, true
		}
	}
	return 0, true
}

// queueRecord is a message in the form functions get it.
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
func (r *runner) record(m *sqs.Message) queueRecord {
	rec := queueRecord{MessageID: m.GetMessageId(), ReceiptHandle: m.GetReceiptHandle(), Body: m.GetBody(), Attributes: maps.Clone(m.Attributes),
		MessageAttributes: map[string]queueAttribute{}, MD5: m.GetMD5OfBody(), AttributesMD5: m.GetMD5OfMessageAttributes(),
		EventSource: "aws:sqs", EventSourceARN: r.m.Source, AwsRegion: aws.ARN(r.m.Source).Region()}
	for name, a := range m.MessageAttributes {
		q := queueAttribute{StringValue: a.StringValue, StringListValues: []string{}, BinaryListValues: []string{}, DataType: a.DataType}
		if a.BinaryValue != nil {
			q.BinaryValue = new(base64.StdEncoding.EncodeToString(a.BinaryValue))
		}
		rec.MessageAttributes[name] = q
	}
	return rec
}

func (r *runner) convertMessage(m *sqs.Message) []byte { return mustJSON(r.record(m)) }

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
