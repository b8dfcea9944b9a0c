package events

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/store"
)

const (
	maxArchives   = 1000
	sweepBatch    = 500 // events removed in one transaction
	sweepInterval = time.Hour
)

// archive is the record of an archive.
type archive struct {
	ID          string // no other archive's, not even one of the same name
	Name        string
	Bus         string
	Description string `json:",omitempty"`
	Pattern     string `json:",omitempty"`
	Retention   int32  `json:",omitempty"` // days; 0 is for ever
	Created     time.Time
}

// sweep is which archive's events are to be looked through for those that are too old.
type sweep struct{ Name, ID string }

var (
	archives = store.NewTable[archive]("events/archive", store.Regional)
	archived = store.NewTable[keptEvent]("events/archived", store.Regional)
	sweeps   = store.NewTimers[sweep]("events/sweep")
)

// keptEvent is an event in an archive.
type keptEvent struct {
	ID   string
	JSON []byte
}

// AppendBinary implements encoding.BinaryAppender: the length of the id, the id, the event.
func (e *keptEvent) AppendBinary(b []byte) ([]byte, error) {
	b = append(binary.AppendUvarint(b, uint64(len(e.ID))), e.ID...)
	return append(b, e.JSON...), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (e *keptEvent) UnmarshalBinary(b []byte) error {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return fmt.Errorf("events: an archived event of %d bytes is cut short", len(b))
	}
	e.ID, e.JSON = string(b[size:size+int(n)]), bytes.Clone(b[size+int(n):])
	return nil
}

// recorder is the archives of a bus: those that take every event, and those with a pattern, by their place in ids.
type recorder struct {
	all []string
	set *pattern.Set
	ids []string
}

var recorders = store.DeriveAll(archives, func(_ store.Key, rows iter.Seq2[store.Key, archive]) (map[string]*recorder, error) {
	list := map[string]*recorder{}
	for _, a := range rows {
		r := list[a.Bus]
		if r == nil {
			r = &recorder{set: pattern.NewSet()}
			list[a.Bus] = r
		}
		if a.Pattern == "" {
			r.all = append(r.all, a.ID)
			continue
		}
		p, err := pattern.Parse(pattern.Rule, []byte(a.Pattern))
		if err != nil {
			return nil, fmt.Errorf("pattern of archive %s: %w", a.Name, err)
		}
		r.set.Add(len(r.ids), p)
		r.ids = append(r.ids, a.ID)
	}
	return list, nil
})

// record keeps an event in the archives of its bus that want it. What a replay brings back is not kept again.
func record(tx *store.Tx, bus string, ev *event, now time.Time) error {
	list, err := recorders.Get(tx, "")
	if err != nil || list[bus] == nil || bytes.Contains(withoutDetail(ev.JSON), []byte(`,"replay-name":"`)) {
		return err
	}
	r := list[bus]
	ids := slices.Clone(r.all)
	r.set.Match(ev.flat, func(i int) { ids = append(ids, r.ids[i]) })
	for _, id := range ids {
		archived.Add(tx, store.K(id, now), keptEvent{ev.ID, ev.JSON})
	}
	return nil
}

// findArchive returns an archive by name.
func findArchive(tx *store.Tx, name string) (archive, error) {
	a, ok := archives.Get(tx, store.K(name))
	if !ok {
		return a, events.ResourceNotFoundException("Archive %s does not exist.", name)
	}
	return a, nil
}

func archiveARN(account, region, name string) aws.ARN {
	return aws.MakeARN("events", region, account, "archive/"+name)
}

// checkArchive returns what is wrong with an archive's pattern or retention.
func checkArchive(pattern string, days int32) error {
	if days < 0 {
		return invalid("Parameter RetentionDays is not valid. Reason: it must not be negative.")
	}
	if pattern != "" {
		return checkPattern(pattern)
	}
	return nil
}

// CreateArchive begins to keep the events of a bus.
func (s *Service) CreateArchive(ctx context.Context, in *events.CreateArchiveInput) (*events.CreateArchiveOutput, error) {
	if err := checkArchive(in.GetEventPattern(), in.GetRetentionDays()); err != nil {
		return nil, err
	}
	now := s.world.Now()
	a := archive{ID: s.world.Hex(16), Name: in.ArchiveName, Description: in.GetDescription(), Pattern: in.GetEventPattern(),
		Retention: in.GetRetentionDays(), Created: now}
	out := &events.CreateArchiveOutput{State: new(events.ArchiveStateEnabled), CreationTime: new(now)}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		a := a
		if a.Bus = busName(in.EventSourceArn); !strings.Contains(in.EventSourceArn, ":event-bus/") {
			return invalid("Parameter EventSourceArn is not valid. Reason: Must contain an event bus ARN.")
		}
		if _, err := findBus(tx, in.EventSourceArn); err != nil {
			return err
		}
		if archives.Has(tx, store.K(a.Name)) {
			return events.ResourceAlreadyExistsException("Archive %s already exists.", a.Name)
		}
		n := 0
		for range archives.Keys(tx, store.Range{Limit: maxArchives}) {
			n++
		}
		if n >= maxArchives {
			return errTooMany()
		}
		archives.Put(tx, store.K(a.Name), a)
		a.plan(tx, now)
		out.ArchiveArn = new(string(archiveARN(tx.Account(), tx.Region(), a.Name)))
		return nil
	})
}

// plan sets when the archive is next looked through.
func (a *archive) plan(tx *store.Tx, now time.Time) {
	if a.Retention == 0 {
		sweeps.Cancel(tx, store.K(a.ID))
		return
	}
	at := now.Add(a.retention())
	for key := range archived.Keys(tx, store.Range{Prefix: store.K(a.ID), Limit: 1}) {
		var oldest time.Time
		if key.Parse(nil, &oldest, nil) == nil {
			at = oldest.Add(a.retention())
		}
	}
	if soonest := now.Add(sweepInterval); at.Before(soonest) {
		at = soonest
	}
	sweeps.Set(tx, store.K(a.ID), at, sweep{a.Name, a.ID})
}

func (a *archive) retention() time.Duration { return time.Duration(a.Retention) * 24 * time.Hour }

// sweep removes the events of an archive that are too old, or all of them when the archive is gone.
func (s *Service) sweep(ctx context.Context, _ store.Key, w sweep) error {
	for more := true; more; {
		now := s.world.Now()
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			a, ok := archives.Get(tx, store.K(w.Name))
			exists := ok && a.ID == w.ID
			r := store.Range{Prefix: store.K(w.ID), Limit: sweepBatch}
			if exists {
				if a.Retention == 0 {
					more = false
					return nil
				}
				r.To = store.K(w.ID, now.Add(-a.retention()))
			}
			n := 0
			for key := range archived.Keys(tx, r) {
				archived.Delete(tx, key)
				n++
			}
			if more = n == sweepBatch; !more && exists {
				a.plan(tx, now)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdateArchive changes what is given; a pattern holds for events to come.
func (s *Service) UpdateArchive(ctx context.Context, in *events.UpdateArchiveInput) (*events.UpdateArchiveOutput, error) {
	if err := checkArchive(in.GetEventPattern(), in.GetRetentionDays()); err != nil {
		return nil, err
	}
	now := s.world.Now()
	out := &events.UpdateArchiveOutput{State: new(events.ArchiveStateEnabled)}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		a, err := findArchive(tx, in.ArchiveName)
		if err != nil {
			return err
		}
		if in.Description != nil {
			a.Description = *in.Description
		}
		if in.EventPattern != nil {
			a.Pattern = *in.EventPattern
		}
		if in.RetentionDays != nil {
			a.Retention = *in.RetentionDays
		}
		archives.Put(tx, store.K(a.Name), a)
		a.plan(tx, now)
		out.ArchiveArn, out.CreationTime = new(string(archiveARN(tx.Account(), tx.Region(), a.Name))), new(a.Created)
		return nil
	})
}

// DeleteArchive removes an archive; its events go in the background.
func (s *Service) DeleteArchive(ctx context.Context, in *events.DeleteArchiveInput) (*events.DeleteArchiveOutput, error) {
	now := s.world.Now()
	return &events.DeleteArchiveOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		a, err := findArchive(tx, in.ArchiveName)
		if err != nil {
			return err
		}
		archives.Delete(tx, store.K(a.Name))
		sweeps.Set(tx, store.K(a.ID), now, sweep{a.Name, a.ID})
		return nil
	})
}

// entry is the archive as lists show it. Its events are counted one by one.
func (a *archive) entry(tx *store.Tx) events.Archive {
	var count, size int64
	for _, e := range archived.All(tx, store.K(a.ID)) {
		count++
		size += int64(len(e.JSON))
	}
	return events.Archive{ArchiveName: new(a.Name), EventSourceArn: new(arnOf(tx, a.Bus)), State: new(events.ArchiveStateEnabled),
		RetentionDays: new(a.Retention), SizeBytes: &size, EventCount: &count, CreationTime: new(a.Created)}
}

// DescribeArchive returns an archive.
func (s *Service) DescribeArchive(ctx context.Context, in *events.DescribeArchiveInput) (*events.DescribeArchiveOutput, error) {
	out := &events.DescribeArchiveOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		a, err := findArchive(tx, in.ArchiveName)
		if err != nil {
			return err
		}
		e := a.entry(tx)
		*out = events.DescribeArchiveOutput{ArchiveArn: new(string(archiveARN(tx.Account(), tx.Region(), a.Name))), ArchiveName: e.ArchiveName,
			EventSourceArn: e.EventSourceArn, State: e.State, RetentionDays: e.RetentionDays, SizeBytes: e.SizeBytes,
			EventCount: e.EventCount, CreationTime: e.CreationTime}
		if a.Description != "" {
			out.Description = new(a.Description)
		}
		if a.Pattern != "" {
			out.EventPattern = new(a.Pattern)
		}
		return nil
	})
}

// ListArchives returns the archives by name, those of one bus, state or prefix.
func (s *Service) ListArchives(ctx context.Context, in *events.ListArchivesInput) (*events.ListArchivesOutput, error) {
	if err := oneFilter(in.NamePrefix, in.EventSourceArn, in.State); err != nil {
		return nil, err
	}
	out := &events.ListArchivesOutput{Archives: []events.Archive{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		var list []archive
		for _, a := range archives.All(tx, "") {
			if strings.HasPrefix(a.Name, in.GetNamePrefix()) && (in.EventSourceArn == nil || *in.EventSourceArn == arnOf(tx, a.Bus)) &&
				(in.State == nil || *in.State == events.ArchiveStateEnabled) {
				list = append(list, a)
			}
		}
		from, to, next, err := page(len(list), in.GetNextToken(), in.Limit)
		for i := range list[from:to] {
			out.Archives = append(out.Archives, list[from+i].entry(tx))
		}
		out.NextToken = next
		return err
	})
}

// oneFilter refuses lists filtered in two ways.
func oneFilter(filters ...*string) error {
	n := 0
	for _, f := range filters {
		if f != nil {
			n++
		}
	}
	if n > 1 {
		return invalid("At most one filter is allowed. Use either : State, EventSourceArn, or NamePrefix.")
	}
	return nil
}

// keeping is what calls about archives and replays touch, nil when a call is about something else.
func keeping(c *aws.Call, in any) []aws.Access {
	switch in := in.(type) {
	case interface{ GetArchiveName() string }:
		return aws.On(archiveARN(c.Account, c.Region, in.GetArchiveName()))
	case *events.StartReplayInput:
		return aws.On(replayARN(c.Account, c.Region, in.ReplayName), aws.ARN(in.EventSourceArn))
	case interface{ GetReplayName() string }:
		return aws.On(replayARN(c.Account, c.Region, in.GetReplayName()))
	}
	return nil
}
