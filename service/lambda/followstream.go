package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"fogbank/aws"
	"fogbank/compute"
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
		Window: time.Duration(r.m.WindowSeconds) * time.Second, Tumbling: time.Duration(r.m.Tumbling) * time.Second,
		MaxBytes: maxSyncPayload - eventMargin, Bisect: r.m.Bisect, MaxRetries: r.m.MaxRetries, MaxAge: r.m.MaxAgeSeconds, Filters: r.filters,
		Role: r.role, Deliver: r.deliver, Aggregate: r.aggregate, Counts: counts, Note: r.note,
	}
	if r.m.Tumbling > 0 {
		stream.MaxBytes -= source.MaxState
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
	res, err := r.invoke(ctx, eventOf(records), "")
	if err != nil {
		return 0, err
	}
	return r.taken(records, res)
}

// taken is how many of the records a function took that did not fail.
func (r *runner) taken(records []source.Record, res compute.Result) (int, error) {
	if !r.m.Partial {
		return len(records), nil
	}
	n, failed := source.FirstFailed(res.Payload, len(records), func(i int) string { return records[i].Sequence })
	if failed {
		return n, &unsuccessful{result: res}
	}
	return len(records), nil
}

// aggregate invokes the function with records of a window, or for the last time for the window, and keeps the state it
// answers.
func (r *runner) aggregate(ctx context.Context, shard string, records []source.Record, w *source.Window) (int, error) {
	res, err := r.invoke(ctx, windowEvent(r.m.Source, shard, records, w), "")
	if err != nil || len(records) == 0 {
		return 0, err
	}
	var answer struct {
		State json.RawMessage `json:"state"`
	}
	// "If the response does not contain a state property, Lambda considers this a failed invocation."
	if json.Unmarshal(res.Payload, &answer) != nil || answer.State == nil || len(answer.State) > maxSyncPayload-eventMargin {
		return 0, &unsuccessful{result: res}
	}
	w.State = answer.State
	return r.taken(records, res)
}

// giveUp makes the news of records given up durable, on its way to the failure destination.
func (r *runner) giveUp(ctx context.Context, shard string, records []source.Record, condition string, count int, cause error) error {
	var response *responseOf
	if failure, ok := errors.AsType[*unsuccessful](cause); ok {
		response = responseTo(failure.result, r.version(failure))
	}
	ref := r.m.reference(r.account, r.region)
	ctx = r.tenant(ctx)
	body := mustJSON(outcome{Version: "1.0", Timestamp: r.s.world.Now().Format(stampForm), Response: response,
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
func eventOf(records []source.Record) []byte { return append(openEvent(records, 2), "]}"...) }

// openEvent is the event of a batch without its end, with room for more.
func openEvent(records []source.Record, room int) []byte {
	n := 16 + room
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
	return b
}

type windowBounds struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// windowEvent is the event of a batch of a tumbling window; without records it is the window's last.
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html
func windowEvent(stream, shard string, records []source.Record, w *source.Window) []byte {
	state := w.State
	if state == nil {
		state = json.RawMessage("{}")
	}
	final := len(records) == 0
	b := append(openEvent(records, eventMargin+len(state)), `],"window":`...)
	b = append(b, mustJSON(windowBounds{w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339)})...)
	b = append(append(b, `,"state":`...), state...)
	b = append(append(b, `,"shardId":`...), mustJSON(shard)...)
	b = append(append(b, `,"eventSourceARN":`...), mustJSON(stream)...)
	b = strconv.AppendBool(append(b, `,"isFinalInvokeForWindow":`...), final)
	b = strconv.AppendBool(append(b, `,"isWindowTerminatedEarly":`...), final && w.Early)
	return append(b, '}')
}
