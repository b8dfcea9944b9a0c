package sqs

import (
	"context"

	"fogbank/aws"
	"fogbank/store"
)

// The delay of a FIFO queue is retroactive: a change holds for the messages that wait. A longer one is found out when their groups
// have their turn. For a shorter one, redelays give the groups an earlier turn, by space.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
var redelays = store.NewTimers[spaceJob]("sqs/redelay")

// redelayGroups is how many groups one transaction looks at.
const redelayGroups = 256

// redelay computes anew when the groups of a FIFO queue have their turn.
func (s *Service) redelay(ctx context.Context, _ store.Key, job spaceJob) error {
	call := aws.CallFrom(ctx)
	var after store.Key
	for more := true; more; {
		now := s.world.Now().UnixNano()
		last := after
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			more = false
			q, ok, err := lives.Get(tx, store.K(job.Queue))
			if err != nil || !ok || q.Space != job.Space {
				return err
			}
			n := 0
			cursor := max(now, q.front(tx).Cursor)
			for key, g := range groups.Scan(tx, store.Range{Prefix: store.K(q.Space), After: after, Limit: redelayGroups}) {
				n, last = n+1, key
				var name string
				if err := key.Parse(nil, &name); err != nil {
					panic("sqs: a row of sqs/group has a key of another form")
				}
				if !g.Idle && g.Turn > now {
					q.settle(tx, name, &g, now, cursor)
				}
			}
			more = n == redelayGroups
			tx.Wake(q.topic)
			return nil
		}, string(aws.MakeARN("sqs", call.Region, call.Account, job.Queue)))
		if err != nil {
			return err
		}
		after = last
	}
	return nil
}
