package lambda

import (
	"context"
	"slices"
	"time"

	"fogbank/aws"
	"fogbank/source"
)

// pollQueue gives the messages of the queue to the function until ctx ends; then it waits for the batches
// in work.
func (r *runner) pollQueue(ctx context.Context) {
	queue := &source.Queue{
		World: r.s.world, Calls: r.s.o.Role, Endpoint: r.s.o.Endpoint, ARN: aws.ARN(r.m.Source), Batch: int(r.m.BatchSize),
		Window: time.Duration(r.m.WindowSeconds) * time.Second, MaxBytes: maxSyncPayload - eventMargin, Workers: int(r.m.MaxConcurrency), Filters: r.filters,
		Role: r.role, Deliver: r.offer, Note: r.note,
	}
	queue.Follow(ctx)
}

// offer invokes the function and returns the messages it took.
func (r *runner) offer(ctx context.Context, given []*source.Message) ([]*source.Message, error) {
	event := []byte(`{"Records":[`)
	for i, m := range given {
		if i > 0 {
			event = append(event, ',')
		}
		event = append(event, m.JSON...)
	}
	res, err := r.invoke(ctx, append(event, "]}"...), r.s.gathered(given))
	if err != nil {
		return nil, err
	}
	if !r.m.Partial {
		return given, nil
	}
	failed, ok := source.FailedItems(res.Payload)
	if ok {
		taken := slices.DeleteFunc(slices.Clone(given), func(m *source.Message) bool { return failed[m.ID] })
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
