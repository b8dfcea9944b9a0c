package pipes

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"fogbank/api/events"
	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/pipes"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/source"
	"fogbank/wire"
)

// occasion is what templates may say of the pipe now.
func (r *runner) occasion() *occasion {
	return &occasion{string(pipeARN(r.account, r.region, r.p.Name)), r.p.Name, r.p.Source, r.p.Enrichment, r.p.Target,
		r.s.world.Now().Format("2006-01-02T15:04:05Z")}
}

// enriched gives a batch to the enrichment and returns the events it answers: the elements of an array, else
// the one answer; nothing for an empty one.
func (r *runner) enriched(ctx context.Context, as *source.Session, batch [][]byte) (events [][]byte, err error) {
	arn := aws.ARN(r.p.Enrichment)
	ctx = as.In(ctx, arn.Account(), arn.Region())
	var answer []byte
	if kindOf(r.p.Enrichment) == overHTTP {
		answer, err = r.enrichHTTP(ctx, batch)
	} else {
		answer, err = r.enrichFunction(ctx, batch)
	}
	answer = bytes.TrimSpace(answer)
	if err != nil || len(answer) == 0 || string(answer) == "null" || string(answer) == "{}" || string(answer) == `""` {
		return nil, err
	}
	if answer[0] != '[' {
		return [][]byte{answer}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, invalid("The enrichment did not answer JSON.")
	}
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out, nil
}

// enrichFunction gives a batch to a function, as an array.
func (r *runner) enrichFunction(ctx context.Context, batch [][]byte) ([]byte, error) {
	given, err := executionFrom(ctx).transform(r.enrich, batch, func() ([][]byte, error) { return r.enrich.texts(batch, r.occasion()) })
	if err != nil {
		return nil, err
	}
	return r.invoke(ctx, r.p.Enrichment, array(given))
}

// invoke calls a function and waits for its answer.
func (r *runner) invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	out, err := lambda.Client{Invoker: r.s.o.Role}.Invoke(ctx, &lambda.InvokeInput{FunctionName: function, Payload: payload})
	if err != nil {
		return nil, err
	}
	if out.GetFunctionError() != "" {
		return nil, aws.Errorf("FunctionError", 400, "The function %s failed: %s", function, out.Payload)
	}
	return out.Payload, nil
}

// send hands events to the target. With an error and failed, one for each event (each record, of a function), only
// those failed; with an error alone, all.
func (r *runner) send(ctx context.Context, as *source.Session, kind string, items []item, raw [][]byte) (failed []bool, err error) {
	o, to := r.occasion(), r.p.To
	if to == nil {
		to = &pipes.PipeTargetParameters{}
	}
	arn := aws.ARN(r.p.Target)
	call := as.In(ctx, arn.Account(), arn.Region())
	if kind == "lambda" {
		given, err := executionFrom(ctx).transform(r.input, raw, func() ([][]byte, error) { return r.input.texts(raw, o) })
		if err != nil {
			return nil, err
		}
		return r.sendFunction(call, to.LambdaFunctionParameters, items, array(given))
	}
	list, err := executionFrom(ctx).transform(r.input, raw, func() ([][]byte, error) { return r.input.applyAll(raw, o), nil })
	if err != nil {
		return nil, err
	}
	switch kind {
	case "sqs":
		return r.sendQueue(call, to.SqsQueueParameters, raw, list)
	case "sns":
		return r.sendTopic(call, list)
	case overHTTP:
		return nil, r.sendHTTP(call, to.HttpParameters, raw[0], list[0])
	case "events":
		return r.sendBus(call, to.EventBridgeEventBusParameters, raw, list)
	}
	return nil, r.sendLogs(call, to.CloudWatchLogsParameters, raw, list)
}

// sendFunction invokes a function, which, when it is waited for, may answer which records failed.
func (r *runner) sendFunction(ctx context.Context, p *pipes.PipeTargetLambdaFunctionParameters, items []item, payload []byte) ([]bool, error) {
	if p.GetInvocationType() == pipes.PipeTargetInvocationTypeFireAndForget {
		_, err := lambda.Client{Invoker: r.s.o.Role}.Invoke(ctx, &lambda.InvokeInput{
			FunctionName: r.p.Target, InvocationType: new(lambda.InvocationTypeEvent), Payload: payload})
		return nil, err
	}
	answer, err := r.invoke(ctx, r.p.Target, payload)
	if err != nil {
		return nil, err
	}
	names, ok := source.FailedItems(answer)
	if !ok || len(names) == 0 {
		return nil, nil // what a function answers need not be about failures
	}
	failed := make([]bool, len(items))
	for i := range items {
		failed[i] = names[items[i].id]
		delete(names, items[i].id)
	}
	err = aws.Errorf("BatchItemFailures", 400, "The function %s answered that items of the batch failed.", r.p.Target)
	if len(names) > 0 {
		return nil, err // it names what was not in the batch
	}
	return failed, err
}

// missing is that an event lacks the value a parameter names.
func missing(name, path string) error {
	return invalid("%s: the event has no value at %s.", name, path)
}

// sendQueue sends a batch of messages.
func (r *runner) sendQueue(ctx context.Context, p *pipes.PipeTargetSqsQueueParameters, raw, list [][]byte) ([]bool, error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: r.s.queueURL(aws.ARN(r.p.Target))}
	for i, body := range list {
		e := sqs.SendMessageBatchRequestEntry{Id: strconv.Itoa(i), MessageBody: string(body)}
		if p != nil && p.MessageGroupId != nil {
			group, ok := parameter(*p.MessageGroupId, raw[i])
			if !ok {
				return nil, missing("MessageGroupId", *p.MessageGroupId)
			}
			e.MessageGroupId = &group
		}
		if p != nil && p.MessageDeduplicationId != nil {
			id, ok := parameter(*p.MessageDeduplicationId, raw[i])
			if !ok {
				return nil, missing("MessageDeduplicationId", *p.MessageDeduplicationId)
			}
			e.MessageDeduplicationId = &id
		}
		in.Entries = append(in.Entries, e)
	}
	out, err := sqs.Client{Invoke: r.s.o.Role}.SendMessageBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	failed := make([]bool, len(list))
	for _, f := range out.Failed {
		err = mark(failed, f.Id, f.Code, f.GetMessage(), f.SenderFault)
	}
	return failed, err
}

// mark notes that an entry of a batch failed, and returns why.
func mark(failed []bool, id, code, message string, sender bool) error {
	if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < len(failed) {
		failed[i] = true
	}
	if sender {
		return aws.Errorf(code, 400, "%s", message)
	}
	return aws.Errorf(code, 500, "%s", message)
}

// sendTopic publishes a batch.
func (r *runner) sendTopic(ctx context.Context, list [][]byte) ([]bool, error) {
	in := &sns.PublishBatchInput{TopicArn: r.p.Target}
	for i, body := range list {
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, sns.PublishBatchRequestEntry{Id: strconv.Itoa(i), Message: string(body)})
	}
	out, err := sns.Client{Invoke: r.s.o.Role}.PublishBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	failed := make([]bool, len(list))
	for _, f := range out.Failed {
		err = mark(failed, f.Id, f.Code, f.GetMessage(), f.SenderFault)
	}
	return failed, err
}

// sendBus puts a batch of events on a bus.
func (r *runner) sendBus(ctx context.Context, p *pipes.PipeTargetEventBridgeEventBusParameters, raw, list [][]byte) ([]bool, error) {
	if p == nil {
		p = &pipes.PipeTargetEventBridgeEventBusParameters{}
	}
	in := &events.PutEventsInput{}
	for i, detail := range list {
		e, err := r.entry(p, raw[i], detail)
		if err != nil {
			return nil, err
		}
		in.Entries = append(in.Entries, *e)
	}
	out, err := events.Client{Invoke: r.s.o.Role}.PutEvents(ctx, in)
	if err != nil {
		return nil, err
	}
	failed := make([]bool, len(list))
	for i := range out.Entries {
		if e := &out.Entries[i]; e.ErrorCode != nil {
			err = mark(failed, strconv.Itoa(i), *e.ErrorCode, e.GetErrorMessage(), *e.ErrorCode != "InternalFailure")
		}
	}
	return failed, err
}

// entry is an event for a bus.
func (r *runner) entry(p *pipes.PipeTargetEventBridgeEventBusParameters, raw, detail []byte) (*events.PutEventsRequestEntry, error) {
	from, kind := "Pipe "+r.p.Name, "Event from aws:"+aws.ARN(r.p.Source).Service()
	e := &events.PutEventsRequestEntry{EventBusName: &r.p.Target, Detail: new(string(detail)), Source: &from, DetailType: &kind}
	var ok bool
	if p.Source != nil {
		if from, ok = parameter(*p.Source, raw); !ok {
			return nil, missing("Source", *p.Source)
		}
	}
	if p.DetailType != nil {
		if kind, ok = parameter(*p.DetailType, raw); !ok {
			return nil, missing("DetailType", *p.DetailType)
		}
	}
	for _, text := range p.Resources {
		v, ok := parameter(text, raw)
		if !ok {
			return nil, missing("Resources", text)
		}
		e.Resources = append(e.Resources, v)
	}
	if p.Time != nil {
		at, ok := moment(*p.Time, raw)
		if !ok {
			return nil, missing("Time", *p.Time)
		}
		e.Time = &at
	}
	return e, nil
}

// moment is a parameter as a time: RFC 3339, or seconds or milliseconds since 1970.
func moment(text string, event []byte) (time.Time, bool) {
	v, ok := parameter(text, event)
	if !ok {
		return time.Time{}, false
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, true
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n < 0 || n > 1e14 {
		return time.Time{}, false
	}
	if n > 1e11 {
		n /= 1000
	}
	return time.UnixMilli(int64(n * 1000)).UTC(), true
}

// sendLogs writes events to a log group, in the stream the parameters name, else in one named for the pipe.
func (r *runner) sendLogs(ctx context.Context, p *pipes.PipeTargetCloudWatchLogsParameters, raw, list [][]byte) error {
	if p == nil {
		p = &pipes.PipeTargetCloudWatchLogsParameters{}
	}
	group := logGroup(r.p.Target)
	streams := map[string][]logs.InputLogEvent{}
	for i, text := range list {
		stream, at := r.p.Name, r.s.world.Now()
		var ok bool
		if p.LogStreamName != nil {
			if stream, ok = parameter(*p.LogStreamName, raw[i]); !ok {
				return missing("LogStreamName", *p.LogStreamName)
			}
		}
		if p.Timestamp != nil {
			if at, ok = moment(*p.Timestamp, raw[i]); !ok {
				return missing("Timestamp", *p.Timestamp)
			}
		}
		streams[stream] = append(streams[stream], logs.InputLogEvent{Timestamp: at.UnixMilli(), Message: string(text)})
	}
	for stream, lines := range streams {
		slices.SortStableFunc(lines, func(a, b logs.InputLogEvent) int { return int(a.Timestamp - b.Timestamp) })
		if err := putLogs(ctx, r.s.o.Role, &logs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: lines}); err != nil {
			return err
		}
	}
	return nil
}

// putLogs writes to a log stream, making it when it is missing.
func putLogs(ctx context.Context, call wire.Invoker, in *logs.PutLogEventsInput) error {
	client := logs.Client{Invoke: call}
	_, err := client.PutLogEvents(ctx, in)
	if !aws.IsCode(err, "ResourceNotFoundException") {
		return err
	}
	_, err = client.CreateLogStream(ctx, &logs.CreateLogStreamInput{LogGroupName: in.LogGroupName, LogStreamName: in.LogStreamName})
	if err != nil && !aws.IsCode(err, "ResourceAlreadyExistsException") {
		return err
	}
	_, err = client.PutLogEvents(ctx, in)
	return err
}
