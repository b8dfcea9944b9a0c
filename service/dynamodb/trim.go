package dynamodb

import (
	"context"
	"time"

	"fogbank/store"
)

// trims wake each stream hourly: id (table name, label) → the stream's ID.
var trims = store.NewTimers[uint64]("dynamodb/trim")

// trim forgets a stream's records older than a day, shards that ended a day ago when they are empty, and a day after its end
// the stream, and replaces shards that have become old. It looks for the oldest to
// keep in a transaction of its own, so that it is not in the way of those who append.
func (s *Service) trim(ctx context.Context, id store.Key, _ uint64) error {
	now := s.world.Now()
	var st stream
	var ok bool
	horizons := map[uint64]uint64{}
	if err := s.renew(ctx, id); err != nil {
		return err
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if st, ok = streams.Get(tx, id); ok {
			for _, sh := range st.Shards {
				horizons[sh.Number] = horizon(tx, st.part(sh.Number), now)
			}
		}
		return nil
	})
	if err != nil || !ok {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok := streams.Get(tx, id)
		if !ok {
			return nil
		}
		gone := !st.Ended.IsZero() && !st.Ended.Add(retention).After(now)
		kept := make([]shard, 0, len(st.Shards))
		for _, sh := range st.Shards {
			part, upTo := st.part(sh.Number), horizons[sh.Number]
			switch {
			case gone || !sh.Closed.IsZero() && !sh.Closed.Add(retention).After(now) && records.Last(tx, part) <= max(upTo, records.First(tx, part)-1):
				records.Drop(tx, part)
				continue
			case upTo > 0:
				records.Trim(tx, part, upTo)
			}
			kept = append(kept, sh)
		}
		if gone {
			streams.Delete(tx, id)
			return nil
		}
		if len(kept) < len(st.Shards) {
			st.Shards = kept
			st.save(tx)
		}
		trims.Set(tx, id, now.Add(time.Hour), st.ID)
		return nil
	})
}

// horizon returns the number of the newest record older than the retention, 0 when there is none kept. Numbers
// follow commits and so, but for the moments between clock and commit, the time.
func horizon(tx *store.Tx, part store.Key, now time.Time) uint64 {
	first, last := records.First(tx, part), records.Last(tx, part)
	low, high := first-1, last // records up to low are old, those above high are not
	for low < high {
		middle := low + (high-low+1)/2
		e := records.Read(tx, part, middle-1, 1)
		if len(e) == 0 || now.Sub(e[0].Value.at) < retention {
			high = middle - 1
		} else {
			low = middle
		}
	}
	if low < first {
		return 0
	}
	return low
}
