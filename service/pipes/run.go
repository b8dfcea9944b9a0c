package pipes

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fogbank/api/pipes"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/source"
)

// maxRecords is how many bytes of records a batch has: what a function takes, less what surrounds them.
const maxRecords = 6<<20 - 1024

// follow carries records from the source to the target until ctx ends and what is in work is done.
func (r *runner) follow(ctx context.Context) {
	filters, err := source.ParseFilters(r.p.filters())
	if err != nil {
		r.note(ctx, err)
		return // they were checked when the pipe was made
	}
	if r.p.Through != nil {
		r.enrich = newTransform(r.p.Through.InputTemplate)
	}
	if r.p.To != nil {
		r.input = newTransform(r.p.To.InputTemplate)
	}
	if q := r.p.From.SqsQueueParameters; q != nil {
		queue := &source.Queue{
			World: r.s.world, Calls: r.s.o.Role, Endpoint: r.s.o.Endpoint, ARN: aws.ARN(r.p.Source), Batch: int(q.GetBatchSize()),
			Window: seconds(q.GetMaximumBatchingWindowInSeconds()), MaxBytes: maxRecords, Filters: filters,
			Role: r.role, Deliver: r.deliverMessages, Note: r.note,
		}
		queue.Follow(ctx)
		return
	}
	d := r.p.From.DynamoDBStreamParameters
	stream := &source.Stream{
		DB: r.s.db, World: r.s.world, Log: r.s.o.Log, Calls: r.s.o.Role, Account: r.account, Region: r.region, Name: r.p.ID,
		ARN: aws.ARN(r.p.Source), Start: d.StartingPosition, Since: r.p.Created, Batch: int(d.GetBatchSize()), Parallel: int(d.GetParallelizationFactor()),
		Window: seconds(d.GetMaximumBatchingWindowInSeconds()), MaxBytes: maxRecords,
		Bisect:     d.GetOnPartialBatchItemFailure() == pipes.OnPartialBatchItemFailureStreamsAutomaticBisect,
		MaxRetries: d.GetMaximumRetryAttempts(), MaxAge: d.GetMaximumRecordAgeInSeconds(), Filters: filters,
		Role: r.role, Deliver: r.deliverRecords, Counts: counts, Note: r.note,
	}
	if d.DeadLetterConfig.GetArn() != "" {
		stream.GiveUp = r.giveUp
	}
	stream.Follow(ctx)
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// item is a record on its way through the pipe.
type item struct {
	id   string // by which a function may name it as failed
	json []byte
}

// deliverMessages is source.Queue.Deliver.
func (r *runner) deliverMessages(ctx context.Context, messages []*source.Message) ([]*source.Message, error) {
	items := make([]item, len(messages))
	for i, m := range messages {
		items[i] = item{m.ID, m.JSON}
	}
	failed, err := r.pass(context.WithoutCancel(ctx), items)
	if err == nil {
		return messages, nil
	}
	var done []*source.Message
	for i, m := range messages {
		if failed != nil && !failed[i] {
			done = append(done, m)
		}
	}
	return done, err
}

// deliverRecords is source.Stream.Deliver.
func (r *runner) deliverRecords(ctx context.Context, records []source.Record) (int, error) {
	items := make([]item, len(records))
	for i := range records {
		items[i] = item{records[i].ID, records[i].JSON}
	}
	failed, err := r.pass(ctx, items)
	switch {
	case err == nil:
		return len(records), nil
	case failed == nil:
		return 0, err
	}
	return slices.Index(failed, true), err
}

// pass runs a batch through the enrichment to the target, and logs that. With an error and failed, one for each
// record, only those failed; with an error alone, all.
func (r *runner) pass(ctx context.Context, items []item) (failed []bool, err error) {
	events := make([][]byte, len(items))
	for i := range items {
		events[i] = items[i].json
	}
	ctx, x := r.begin(ctx, events)
	failed, err = r.execute(ctx, x, items, events)
	x.end(ctx, err, failed != nil)
	return failed, err
}

// execute is pass without the beginning and end of the log.
func (r *runner) execute(ctx context.Context, x *execution, items []item, events [][]byte) (failed []bool, err error) {
	as, err := r.role(ctx, nil)
	if err != nil {
		return nil, err
	}
	if r.p.Enrichment != "" {
		x.enter(enrichmentStage, events)
		events, err = r.enriched(ctx, as, events)
		x.leave(err, false, events)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			x.step("TARGET_STAGE_SKIPPED", nil, logRecord{})
			return nil, nil
		}
	}
	x.enter(targetStage, events)
	failed, err = r.deliver(ctx, as, items, events)
	x.leave(err, failed != nil, nil)
	return failed, err
}

// deliver hands events to the target, as send does, and tells which records failed, if that is known.
func (r *runner) deliver(ctx context.Context, as *source.Session, items []item, events [][]byte) (failed []bool, err error) {
	kind := kindOf(r.p.Target)
	if most := int(largest[kind]); len(events) > most {
		return nil, invalid("The enrichment returned %d events; the target takes %d at once.", len(events), most)
	}
	failed, err = r.send(ctx, as, kind, items, events)
	if err == nil || failed == nil || slices.Index(failed, true) < 0 {
		return nil, err
	}
	if r.p.Enrichment != "" && kind != "lambda" {
		failed = nil // which records these events came from is not known
	}
	return failed, err
}

// counts tells failures for which retries are used up from those of services that are busy or broken.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-error-troubleshooting.html
func counts(err error) bool {
	e := aws.AsError(err)
	return e.Status < 500 && !busy(e)
}

// busy reports whether an error says that a service has too much to do.
func busy(e *aws.Error) bool {
	return strings.Contains(e.Code, "Throttl") || strings.Contains(e.Code, "TooManyRequests") || e.Code == "OverLimit"
}

// letter is what a dead-letter target is sent about records of a stream that were given up.
type letter struct {
	Context   letterContext     `json:"context"`
	Version   string            `json:"version"`
	Timestamp string            `json:"timestamp"`
	Batch     *source.BatchInfo `json:"DDBStreamBatchInfo"`
}

type letterContext struct {
	Pipe      string `json:"partnerResourceArn"`
	Condition string `json:"condition"`
}

// giveUp is source.Stream.GiveUp: it tells the dead-letter target, as the pipe's role.
func (r *runner) giveUp(ctx context.Context, shard string, records []source.Record, condition string, _ int, _ error) error {
	dead := aws.ARN(r.p.From.DynamoDBStreamParameters.DeadLetterConfig.GetArn())
	body, err := json.Marshal(letter{Context: letterContext{string(pipeARN(r.account, r.region, r.p.Name)), condition}, Version: "1.0",
		Timestamp: r.s.world.Now().Format("2006-01-02T15:04:05.000Z"), Batch: source.Batch(r.p.Source, shard, records)})
	if err != nil {
		return err
	}
	as, err := r.role(ctx, nil)
	if err != nil {
		return err
	}
	ctx = as.In(ctx, dead.Account(), dead.Region())
	if dead.Service() == "sns" {
		_, err = sns.Client{Invoke: r.s.o.Role}.Publish(ctx, &sns.PublishInput{TopicArn: new(string(dead)), Message: string(body)})
	} else {
		_, err = sqs.Client{Invoke: r.s.o.Role}.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: r.s.queueURL(dead), MessageBody: string(body)})
	}
	if err != nil {
		r.note(ctx, err)
	}
	return err
}
