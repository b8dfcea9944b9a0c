package source

import (
	"testing"
	"time"
)

// TestWorkers plays polls: how many batches may be in work after each.
func TestWorkers(t *testing.T) {
	type poll struct {
		at, took time.Duration
		some     bool
		busy     int32
		limit    int // at the poll's end
	}
	for _, test := range []struct {
		name  string
		queue Queue
		polls []poll
	}{
		{"standard", Queue{ARN: "arn:aws:sqs:us-east-1:000000000000:q"}, []poll{
			{0, 0, true, 0, 5},
			{time.Second, 0, true, 5, 10},
			{time.Minute, 0, true, 100, 305},
			{time.Hour, 0, true, 1000, 1250},
			{time.Hour, time.Second, true, 40, 42}, // it waited: the queue was empty
			{time.Hour + 2*time.Second, 0, true, 41, 42},
			{time.Hour + 3*time.Second, 0, true, 42, 47},
			{time.Hour + time.Minute, 20 * time.Second, false, 0, 5},
		}},
		{"bounded", Queue{ARN: "arn:aws:sqs:us-east-1:000000000000:q", Workers: 7}, []poll{
			{0, 0, true, 0, 5}, {time.Minute, 0, true, 5, 7}, {time.Hour, time.Minute, true, 7, 7}}},
		{"few", Queue{ARN: "arn:aws:sqs:us-east-1:000000000000:q", Workers: 2}, []poll{{0, 0, true, 0, 2}, {time.Minute, 0, true, 2, 2}}},
		{"FIFO", Queue{ARN: "arn:aws:sqs:us-east-1:000000000000:q.fifo"}, []poll{{0, 0, true, 0, 1250}, {0, time.Minute, true, 0, 1250}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := test.queue.newWorkers()
			for i, p := range test.polls {
				began := time.Unix(0, 0).Add(p.at)
				w.busy.Store(p.busy)
				w.note(began, began.Add(p.took), p.some)
				if got := w.limit(began.Add(p.took)); got != p.limit {
					t.Errorf("poll %d: %d, want %d", i, got, p.limit)
				}
			}
		})
	}
}
