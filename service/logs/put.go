package logs

import (
	"context"
	"time"

	"fogbank/api/logs"
	"fogbank/store"
)

const (
	maxSpan = 24 * time.Hour      // between the first and last event of a batch
	maxPast = 14 * 24 * time.Hour // older events are refused
	maxLead = 2 * time.Hour       // events further in the future are refused
)

// PutLogEvents adds a batch of events to a stream. Those too old or too new are left out and reported.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
func (s *Service) PutLogEvents(ctx context.Context, in *logs.PutLogEventsInput) (*logs.PutLogEventsOutput, error) {
	if err := checkBatch(in.LogEvents); err != nil {
		return nil, err
	}
	now := s.world.Now()
	out := &logs.PutLogEventsOutput{NextSequenceToken: new(position{now.UnixMilli(), 0}.String())}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, in.LogGroupName)
		if err != nil {
			return err
		}
		st, err := findStream(tx, g, in.LogStreamName)
		if err != nil {
			return err
		}
		var taken []logs.InputLogEvent
		taken, out.RejectedLogEventsInfo = g.accept(in.LogEvents, now)
		for i := range taken {
			events.Add(tx, store.K(st.ID, taken[i].Timestamp), event{now.UnixMilli(), taken[i].Message})
		}
		return nil
	})
}

// checkBatch applies the rules a batch must follow as a whole.
func checkBatch(batch []logs.InputLogEvent) error {
	if len(batch) > maxEvents {
		return logs.InvalidParameterException("Log event count %d exceeds the limit of %d in a single PutLogEvents request.", len(batch), maxEvents)
	}
	size := 0
	for i := range batch {
		size += len(batch[i].Message) + eventOverhead
		if i > 0 && batch[i].Timestamp < batch[i-1].Timestamp {
			return logs.InvalidParameterException("Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if size > maxBytes {
		return logs.InvalidParameterException("Upload too large: %d bytes exceeds limit of %d", size, maxBytes)
	}
	if n := len(batch); n > 0 && batch[n-1].Timestamp-batch[0].Timestamp > maxSpan.Milliseconds() {
		return logs.InvalidParameterException("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return nil
}

// accept returns the events of a batch that are neither too old nor too new, and what was left out.
func (g *group) accept(batch []logs.InputLogEvent, now time.Time) ([]logs.InputLogEvent, *logs.RejectedLogEventsInfo) {
	var info logs.RejectedLogEventsInfo
	oldest, expired := now.Add(-maxPast).UnixMilli(), g.floor(now)
	from, to := 0, len(batch)
	for from < to && batch[from].Timestamp < max(oldest, expired) {
		from++
		if batch[from-1].Timestamp < expired {
			info.ExpiredLogEventEndIndex = new(int32(from))
		} else {
			info.TooOldLogEventEndIndex = new(int32(from))
		}
	}
	for to > from && batch[to-1].Timestamp > now.Add(maxLead).UnixMilli() {
		to--
		info.TooNewLogEventStartIndex = new(int32(to))
	}
	if from == 0 && to == len(batch) {
		return batch, nil
	}
	return batch[from:to], &info
}
