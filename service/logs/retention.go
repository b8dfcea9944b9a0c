package logs

import (
	"context"
	"slices"
	"time"

	"fogbank/api/logs"
	"fogbank/store"
)

// retentions are the days a retention may have.
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// task is what a timer clears away: all that a deleted group or stream held, or
// what has expired in a group that keeps events for some days only.
type task struct {
	Group  uint64 `json:",omitempty"` // deleted
	Stream uint64 `json:",omitempty"` // deleted
	Expire string `json:",omitempty"` // the group's name
	Of     uint64 `json:",omitempty"` // that group's id
}

var sweeps = store.NewTimers[task]("logs/sweep")

const (
	sweepBatch = 1000           // rows cleared in one transaction
	sweepEvery = 24 * time.Hour // of a group with a retention
)

func retentionTimer(group uint64) store.Key { return store.K("retention", group) }

// PutRetentionPolicy makes a group forget events after some days.
func (s *Service) PutRetentionPolicy(ctx context.Context, in *logs.PutRetentionPolicyInput) (*logs.PutRetentionPolicyOutput, error) {
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, logs.InvalidParameterException("Invalid retention period %d: it must be one of %v.", in.RetentionInDays, retentions)
	}
	return &logs.PutRetentionPolicyOutput{}, s.retain(ctx, in.LogGroupName, in.RetentionInDays)
}

// DeleteRetentionPolicy makes a group keep events for ever.
func (s *Service) DeleteRetentionPolicy(ctx context.Context, in *logs.DeleteRetentionPolicyInput) (*logs.DeleteRetentionPolicyOutput, error) {
	return &logs.DeleteRetentionPolicyOutput{}, s.retain(ctx, in.LogGroupName, 0)
}

func (s *Service) retain(ctx context.Context, name string, days int32) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, name)
		if err != nil {
			return err
		}
		g.Retention = days
		groups.Put(tx, store.K(name), g)
		if days == 0 {
			sweeps.Cancel(tx, retentionTimer(g.ID))
		} else {
			sweeps.Set(tx, retentionTimer(g.ID), now, task{Expire: name, Of: g.ID})
		}
		return nil
	})
}

// sweep does a timer's task, a batch of rows in each transaction.
func (s *Service) sweep(ctx context.Context, _ store.Key, t task) error {
	switch {
	case t.Group != 0:
		return s.repeat(ctx, func(tx *store.Tx) int { return s.clearGroup(tx, t.Group) })
	case t.Stream != 0:
		return s.repeat(ctx, func(tx *store.Tx) int { return clearEvents(tx, store.Range{Prefix: store.K(t.Stream)}) })
	}
	return s.expire(ctx, t)
}

// repeat runs batches until one finds less than it might have.
func (s *Service) repeat(ctx context.Context, batch func(tx *store.Tx) int) error {
	for {
		n := 0
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			n = batch(tx)
			return nil
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

// clearGroup deletes streams of a deleted group, leaving their events to timers of their own.
func (s *Service) clearGroup(tx *store.Tx, id uint64) (n int) {
	now := s.world.Now()
	for key, st := range streams.Scan(tx, store.Range{Prefix: store.K(id), Limit: sweepBatch}) {
		streams.Delete(tx, key)
		sweeps.Set(tx, store.K("stream", st.ID), now, task{Stream: st.ID})
		n++
	}
	return n
}

func clearEvents(tx *store.Tx, r store.Range) (n int) {
	r.Limit = sweepBatch
	for key := range events.Keys(tx, r) {
		events.Delete(tx, key)
		n++
	}
	return n
}

// expire deletes the events of a group that are past its retention and comes back a day later.
func (s *Service) expire(ctx context.Context, t task) error {
	now := s.world.Now()
	var g group
	var list []stream
	err := s.db.View(ctx, func(tx *store.Tx) error {
		var ok bool
		if g, ok = groups.Get(tx, store.K(t.Expire)); !ok {
			return nil
		}
		for _, st := range streams.All(tx, store.K(t.Of)) {
			list = append(list, st)
		}
		return nil
	})
	if err != nil || g.ID != t.Of || g.Retention == 0 {
		return err
	}
	for _, st := range list {
		old := store.Range{Prefix: store.K(st.ID), To: store.K(st.ID, g.floor(now))}
		if err := s.repeat(ctx, func(tx *store.Tx) int { return clearEvents(tx, old) }); err != nil {
			return err
		}
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if g, ok := groups.Get(tx, store.K(t.Expire)); ok && g.ID == t.Of && g.Retention > 0 {
			sweeps.Set(tx, retentionTimer(t.Of), now.Add(sweepEvery), t)
		}
		return nil
	})
}
