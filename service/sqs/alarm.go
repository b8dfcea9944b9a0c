package sqs

import (
	"context"
	"time"

	"fogbank/aws"
	"fogbank/store"
)

// alarms wake those who wait at a queue when a message becomes visible by itself: a delay or a visibility
// timeout has passed. There is at most one a space, kept in front.Alarm. It is set for the first moment known and
// not moved when that message is deleted, so most receipts find an earlier one set and leave it.
var alarms = store.NewTimers[spaceJob]("sqs/alarm")

// alarmPause is how long after an alarm the next may come. Messages that become visible one after the other are
// announced together.
const alarmPause = 5 * time.Millisecond

// alarmBy sees to an alarm at the latest at a time, in nanoseconds since 1970, unless that has passed.
func (q *live) alarmBy(tx *store.Tx, at, now int64) {
	if at <= now {
		return
	}
	if f := q.front(tx); f.Alarm == 0 || at < f.Alarm {
		f.Alarm = at
		fronts.Put(tx, store.K(q.Space), f)
		alarms.Set(tx, store.K(q.Space), time.Unix(0, at), spaceJob{q.Name, q.Space})
	}
}

// advance moves the cursor of the queue's front.
func (q *live) advance(tx *store.Tx, cursor int64) {
	if f := q.front(tx); cursor > f.Cursor {
		f.Cursor = cursor
		fronts.Put(tx, store.K(q.Space), f)
	}
}

// alarm wakes those who wait if there is a message for them, and sets the next alarm.
func (s *Service) alarm(ctx context.Context, _ store.Key, job spaceJob) error {
	now := s.world.Now().UnixNano()
	call := aws.CallFrom(ctx)
	return s.db.Update(ctx, func(tx *store.Tx) error {
		q, ok, err := lives.Get(tx, store.K(job.Queue))
		if err != nil || !ok || q.Space != job.Space {
			return err
		}
		if next := q.nextDue(tx, 0, now); next == 0 {
			q.advance(tx, now)
		} else {
			tx.Wake(q.topic)
		}
		f := q.front(tx)
		f.Alarm = 0
		fronts.Put(tx, store.K(q.Space), f)
		if next := q.nextDue(tx, now+1, 1<<62); next != 0 {
			q.alarmBy(tx, max(next, now+int64(alarmPause)), now)
		}
		return nil
	}, string(aws.MakeARN("sqs", call.Region, call.Account, job.Queue)))
}

// nextDue returns the first time, between from (or the cursor, if that is later) and to, at which a message is or was
// due or a group has its turn; 0 when there is none.
func (q *live) nextDue(tx *store.Tx, from, to int64) (next int64) {
	r := store.Range{Prefix: store.K(q.Space), From: store.K(q.Space, max(from, q.front(tx).Cursor)), To: store.K(q.Space, to+1), Limit: 1}
	keys := dues.Keys(tx, r)
	if q.FIFO {
		keys = turns.Keys(tx, r)
	}
	var rest store.Key
	for key := range keys {
		if err := key.Parse(nil, &next, &rest); err != nil {
			panic("sqs: a row of sqs/due or sqs/turn has a key of another form")
		}
	}
	return next
}
