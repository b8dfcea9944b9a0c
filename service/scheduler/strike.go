package scheduler

import (
	"context"
	"time"

	"fogbank/store"
)

// moment is when a timer is set for.
type moment struct{ At time.Time }

// opening is an invocation that waits inside a flexible window.
type opening struct {
	Invocation invocation
	Created    time.Time // of its schedule, so that it is not another of the same name
	Last       bool      // the schedule has no further moment
}

var (
	dues    = store.NewTimers[moment]("scheduler/due")
	windows = store.NewTimers[opening]("scheduler/window")
)

// strike invokes a schedule whose moment has come and waits for its next, in one transaction: a moment is invoked
// for once however often its timer fires. Moments missed while nothing ran are passed over but for the oldest.
// Nobody waits for the disk here: the relay hears of the invocation when it is durable, and before that a power cut
// brings the timer back with it.
func (s *Service) strike(ctx context.Context, key store.Key, m moment) error {
	now, id, chance := s.world.Now(), s.world.Hex(8), s.world.Uint64()
	return s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		r, ok := schedules.Get(tx, key)
		if !ok || r.Disabled || !r.Next.Equal(m.At) {
			return nil
		}
		next, err := r.upcoming(later(now, m.At))
		if err != nil {
			return err
		}
		last := next.IsZero()
		inv := invocation{ID: id, Schedule: string(scheduleARN(tx.Account(), tx.Region(), r.Group, r.Name)), Group: r.Group, At: m.At, Target: r.Target}
		if r.Window > 0 {
			at := m.At.Add(time.Duration(chance % uint64(time.Duration(r.Window)*time.Minute)))
			windows.Set(tx, key.Time(m.At), at, opening{inv, r.Created, last})
		} else {
			s.relay.Add(tx, r.Target.ARN, inv)
		}
		if last && r.DeleteAfter && r.Window == 0 {
			remove(tx, key)
			return nil
		}
		r.Next = next
		r.put(tx)
		return nil
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// open invokes a schedule at its moment within a flexible window, unless it was deleted or disabled meanwhile.
func (s *Service) open(ctx context.Context, key store.Key, o opening) error {
	var group, name string
	if err := key.Parse(&group, &name, nil); err != nil {
		return err
	}
	return s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		windows.Cancel(tx, key) // with the invocation, so that there is one
		r, ok := schedules.Get(tx, store.K(group, name))
		if !ok || r.Disabled || !r.Created.Equal(o.Created) {
			return nil
		}
		s.relay.Add(tx, r.Target.ARN, o.Invocation)
		if o.Last && r.DeleteAfter && r.Next.IsZero() {
			remove(tx, r.key())
		}
		return nil
	})
}
