package events

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/store"
)

const (
	maxReplays    = 10      // under way at once in a region
	replayBatch   = 100     // events replayed in one transaction,
	replayBytes   = 4 << 20 // and about how much it may write
	replayHistory = 90 * 24 * time.Hour
)

// replay is the record of a replay.
type replay struct {
	Name        string
	Description string `json:",omitempty"`
	Archive     string
	ArchiveID   string
	Bus         string
	Rules       []string `json:",omitempty"` // the only ones to match; nil: all
	From, To    time.Time
	Started     time.Time
	Ended       time.Time
	Last        time.Time // ingestion of the last event replayed
	Cursor      []byte    // its key
	State       string
	Reason      string `json:",omitempty"`
}

var (
	replays     = store.NewTable[replay]("events/replay", store.Regional)
	replayTurns = store.NewTimers[struct{}]("events/replay")
)

func replayARN(account, region, name string) aws.ARN {
	return aws.MakeARN("events", region, account, "replay/"+name)
}

func (r *replay) ended() bool { return !r.Ended.IsZero() }

// StartReplay begins to send archived events to their bus again.
func (s *Service) StartReplay(ctx context.Context, in *events.StartReplayInput) (*events.StartReplayOutput, error) {
	if !in.EventStartTime.Before(in.EventEndTime) {
		return nil, invalid("Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")
	}
	now := s.world.Now()
	out := &events.StartReplayOutput{State: new(events.ReplayStateStarting), ReplayStartTime: new(now)}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		r, err := newReplay(tx, in, now)
		if err != nil {
			return err
		}
		under := 0
		for _, other := range replays.All(tx, "") {
			if other.Name == r.Name {
				return events.ResourceAlreadyExistsException("Replay %s already exists.", r.Name)
			}
			if !other.ended() {
				under++
			}
		}
		if under >= maxReplays {
			return errTooMany()
		}
		replays.Put(tx, store.K(r.Name), *r)
		replayTurns.Set(tx, store.K(r.Name), now, struct{}{})
		out.ReplayArn = new(string(replayARN(tx.Account(), tx.Region(), r.Name)))
		return nil
	})
}

// newReplay checks what StartReplay is given.
func newReplay(tx *store.Tx, in *events.StartReplayInput, now time.Time) (*replay, error) {
	name, ok := strings.CutPrefix(aws.ARN(in.EventSourceArn).Resource(), "archive/")
	if !ok || in.EventSourceArn != string(archiveARN(tx.Account(), tx.Region(), name)) {
		return nil, invalid("Parameter EventSourceArn is not valid. Reason: Must contain an archive ARN.")
	}
	a, err := findArchive(tx, name)
	if err != nil {
		return nil, err
	}
	if in.Destination.Arn != arnOf(tx, a.Bus) {
		return nil, invalid("Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
	}
	r := &replay{Name: in.ReplayName, Description: in.GetDescription(), Archive: name, ArchiveID: a.ID, Bus: a.Bus,
		From: in.EventStartTime, To: in.EventEndTime, Started: now, State: events.ReplayStateStarting}
	for _, arn := range in.Destination.FilterArns {
		rule := arn[strings.LastIndexByte(arn, '/')+1:]
		if arn != string(ruleARN(tx.Account(), tx.Region(), a.Bus, rule)) {
			return nil, invalid("Parameter FilterArns is not valid. Reason: %s is not a rule of the event bus.", arn)
		}
		r.Rules = append(r.Rules, rule)
	}
	return r, nil
}

// turn carries a replay on until it has ended, and forgets it when it ended long ago.
func (s *Service) turn(ctx context.Context, key store.Key, _ struct{}) error {
	for more := true; more; {
		now := s.world.Now()
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			more = false
			r, ok := replays.Get(tx, key)
			switch {
			case !ok:
				return nil
			case r.ended():
				if now.Sub(r.Ended) >= replayHistory {
					replays.Delete(tx, key)
				}
				return nil
			}
			if err := s.replaySome(tx, &r); err != nil {
				return err
			}
			if more = r.State == events.ReplayStateRunning; !more {
				r.Ended = now
				replayTurns.Set(tx, key, now.Add(replayHistory), struct{}{})
			}
			replays.Put(tx, key, r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// replaySome replays the next events and moves the cursor, in the same transaction.
func (s *Service) replaySome(tx *store.Tx, r *replay) error {
	a, ok := archives.Get(tx, store.K(r.Archive))
	switch {
	case r.State == events.ReplayStateCancelling:
		r.State = events.ReplayStateCancelled
		return nil
	case !ok || a.ID != r.ArchiveID:
		r.State, r.Reason = events.ReplayStateFailed, "The archive was deleted."
		return nil
	}
	r.State = events.ReplayStateRunning
	n := 0
	for key, e := range archived.Scan(tx, store.Range{Prefix: store.K(a.ID), From: store.K(a.ID, r.From), To: store.K(a.ID, r.To),
		After: store.Key(r.Cursor), Limit: replayBatch}) {
		n++
		if err := key.Parse(nil, &r.Last, nil); err != nil {
			return err
		}
		r.Cursor = []byte(key)
		if err := s.replayEvent(tx, r, &e); err != nil {
			return err
		}
		if tx.Size() > replayBytes {
			return nil
		}
	}
	if n < replayBatch {
		r.State = events.ReplayStateCompleted
	}
	return nil
}

// replayEvent routes an archived event on its bus, naming the replay.
func (s *Service) replayEvent(tx *store.Tx, r *replay, e *keptEvent) error {
	before, after, ok := bytes.Cut(e.JSON, []byte(`,"detail":`))
	if !ok {
		return nil // not an event that could be matched
	}
	b := appendJSON(append(slices.Clone(before), `,"replay-name":`...), r.Name)
	b = append(append(b, `,"detail":`...), after...)
	flat, err := pattern.Flatten(b)
	if err != nil {
		return err
	}
	list, err := routers.Get(tx, store.K(r.Bus))
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(matching(list, b, flat), func(name string) bool { return r.Rules != nil && !slices.Contains(r.Rules, name) })
	return s.carry(tx, nil, r.Bus, names, &event{ID: e.ID, JSON: b, Ingested: r.Last.Format(time.RFC3339), Replay: r.Name})
}

// CancelReplay stops a replay that has not ended.
func (s *Service) CancelReplay(ctx context.Context, in *events.CancelReplayInput) (*events.CancelReplayOutput, error) {
	now := s.world.Now()
	out := &events.CancelReplayOutput{State: new(events.ReplayStateCancelling)}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findReplay(tx, in.ReplayName)
		if err != nil {
			return err
		}
		if r.State != events.ReplayStateStarting && r.State != events.ReplayStateRunning {
			return events.IllegalStatusException("Replay %s is not in a valid state for this operation.", r.Name)
		}
		r.State = events.ReplayStateCancelling
		replays.Put(tx, store.K(r.Name), r)
		replayTurns.Set(tx, store.K(r.Name), now, struct{}{})
		out.ReplayArn = new(string(replayARN(tx.Account(), tx.Region(), r.Name)))
		return nil
	})
}

func findReplay(tx *store.Tx, name string) (replay, error) {
	r, ok := replays.Get(tx, store.K(name))
	if !ok {
		return r, events.ResourceNotFoundException("Replay %s does not exist.", name)
	}
	return r, nil
}

// entry is the replay as lists show it.
func (r *replay) entry(tx *store.Tx) events.Replay {
	e := events.Replay{ReplayName: new(r.Name), EventSourceArn: new(string(archiveARN(tx.Account(), tx.Region(), r.Archive))),
		State: new(r.State), EventStartTime: new(r.From), EventEndTime: new(r.To), ReplayStartTime: new(r.Started)}
	if r.Reason != "" {
		e.StateReason = new(r.Reason)
	}
	if !r.Last.IsZero() {
		e.EventLastReplayedTime = new(r.Last)
	}
	if r.ended() {
		e.ReplayEndTime = new(r.Ended)
	}
	return e
}

// DescribeReplay returns a replay and how far it is.
func (s *Service) DescribeReplay(ctx context.Context, in *events.DescribeReplayInput) (*events.DescribeReplayOutput, error) {
	out := &events.DescribeReplayOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		r, err := findReplay(tx, in.ReplayName)
		if err != nil {
			return err
		}
		e := r.entry(tx)
		*out = events.DescribeReplayOutput{ReplayName: e.ReplayName, ReplayArn: new(string(replayARN(tx.Account(), tx.Region(), r.Name))),
			State: e.State, StateReason: e.StateReason, EventSourceArn: e.EventSourceArn, EventStartTime: e.EventStartTime, EventEndTime: e.EventEndTime,
			EventLastReplayedTime: e.EventLastReplayedTime, ReplayStartTime: e.ReplayStartTime, ReplayEndTime: e.ReplayEndTime,
			Destination: &events.ReplayDestination{Arn: arnOf(tx, r.Bus)}}
		if r.Description != "" {
			out.Description = new(r.Description)
		}
		for _, rule := range r.Rules {
			out.Destination.FilterArns = append(out.Destination.FilterArns, string(ruleARN(tx.Account(), tx.Region(), r.Bus, rule)))
		}
		return nil
	})
}

// ListReplays returns the replays by name, those of one archive, state or prefix.
func (s *Service) ListReplays(ctx context.Context, in *events.ListReplaysInput) (*events.ListReplaysOutput, error) {
	if err := oneFilter(in.NamePrefix, in.EventSourceArn, in.State); err != nil {
		return nil, err
	}
	out := &events.ListReplaysOutput{Replays: []events.Replay{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		var list []events.Replay
		for _, r := range replays.All(tx, "") {
			e := r.entry(tx)
			if strings.HasPrefix(r.Name, in.GetNamePrefix()) && (in.EventSourceArn == nil || *in.EventSourceArn == *e.EventSourceArn) &&
				(in.State == nil || *in.State == r.State) {
				list = append(list, e)
			}
		}
		from, to, next, err := page(len(list), in.GetNextToken(), in.Limit)
		out.Replays, out.NextToken = append(out.Replays, list[from:to]...), next
		return err
	})
}
