package lambda

import (
	"context"
	"errors"
	"time"

	"fogbank/aws"
	"fogbank/source"
	"fogbank/store"
)

// eventMargin is room for what surrounds the records of an event.
const eventMargin = 1024

// followStream gives the records of the stream to the function until ctx ends.
func (r *runner) followStream(ctx context.Context) {
	stream := &source.Stream{
		DB: r.s.db, World: r.s.world, Log: r.s.o.Log, Calls: r.s.o.Role, Account: r.account, Region: r.region, Name: r.m.UUID,
		ARN: aws.ARN(r.m.Source), Start: r.m.Start, Since: r.m.Created, Batch: int(r.m.BatchSize), Parallel: int(r.m.Parallel),
		Window: time.Duration(r.m.WindowSeconds) * time.Second, MaxBytes: maxSyncPayload - eventMargin, Bisect: r.m.Bisect,
		MaxRetries: r.m.MaxRetries, MaxAge: r.m.MaxAgeSeconds, Filters: r.filters,
		Role: r.role, Deliver: r.deliver, Counts: counts, Note: r.note,
	}
	if r.m.OnFailure != "" {
		stream.GiveUp = r.giveUp
	}
	stream.Follow(ctx)
}

// counts tells failures of the function from what kept it from running.
func counts(err error) bool {
	_, ok := errors.AsType[*unsuccessful](err)
	return ok
}

// deliver invokes the function with records of a stream and returns how many it took.
func (r *runner) deliver(ctx context.Context, records []source.Record) (int, error) {
	res, err := r.invoke(ctx, eventOf(records))
	if err != nil {
		return 0, err
	}
	if !r.m.Partial {
		return len(records), nil
	}
	n, failed := source.FirstFailed(res.Payload, len(records), func(i int) string { return records[i].Sequence })
	if failed {
		return n, &unsuccessful{result: res}
	}
	return len(records), nil
}

// giveUp makes the news of records given up durable, on its way to the failure destination.
func (r *runner) giveUp(ctx context.Context, shard string, records []source.Record, condition string, count int, cause error) error {
	failure, _ := errors.AsType[*unsuccessful](cause) // Counts saw to it
	ref := r.m.reference(r.account, r.region)
	ctx = r.tenant(ctx)
	body := mustJSON(outcome{Version: "1.0", Timestamp: r.s.world.Now().Format(stampForm), Response: responseTo(failure.result, r.version(failure)),
		Request: requestContext{r.s.world.UUID(), string(ref.arn()), condition, count},
		Stream:  source.Batch(r.m.Source, shard, records)})
	return r.s.db.Update(ctx, func(tx *store.Tx) error {
		f, err := find(tx, ref)
		if err != nil {
			return err
		}
		r.s.sendings.Add(tx, f.Name, sending{Role: f.Role, Target: r.m.OnFailure, Function: f.Name, Source: ref.unqualified(), Body: body})
		return nil
	})
}

// version is the version that failed.
func (r *runner) version(failure *unsuccessful) string {
	if failure.f == nil {
		return latest
	}
	return failure.f.version()
}

// eventOf is the event of a batch.
func eventOf(records []source.Record) []byte {
	n := 16
	for i := range records {
		n += len(records[i].JSON) + 1
	}
	b := append(make([]byte, 0, n), `{"Records":[`...)
	for i := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, records[i].JSON...)
	}
	return append(b, "]}"...)
}
