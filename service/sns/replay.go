package sns

import (
	"context"
	"time"

	"fogbank/aws"
	"fogbank/store"
)

// The states of a replay, as subscribers see them.
const (
	replayPending   = "Pending"
	replayRunning   = "In progress"
	replayCompleted = "Completed"
	replayFailed    = "Failed"
)

// replay is a subscription's way through the archive of its topic. While it is under way the subscription gets its
// messages from the archive only, and when it has caught up, from publishers again: each message once, in order. With an end,
// the subscription gets nothing that was published after it.
//
// https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-subscriber.html
type replay struct {
	Status string
	From   int64  // milliseconds since 1970
	Until  int64  // milliseconds since 1970, itself not included; 0 for no end
	Stamp  int64  // of the last message replayed,
	Number uint64 // and its sequence number; 0 before the first
}

// running reports whether a replay is under way.
func (r *replay) running() bool {
	return r != nil && (r.Status == replayPending || r.Status == replayRunning)
}

// replays carry the replays under way forward, by topic and subscription.
var replays = store.NewTimers[struct{}]("sns/replay")

const (
	replayBatch = 100                    // messages in one transaction
	replayDepth = 1000                   // messages waiting for the endpoint at which a replay pauses,
	replayPause = 200 * time.Millisecond // for so long
)

// replayPolicy is the ReplayPolicy of a subscription.
type replayPolicy struct {
	PointType     string
	StartingPoint string
	EndingPoint   *string
}

const errReplayPolicy = "Attributes Reason: ReplayPolicy: "

// parseReplayPolicy reads a policy, nil when there is none.
func parseReplayPolicy(text string) (*replay, error) {
	if text == "" {
		return nil, nil
	}
	var p replayPolicy
	if strict(text, &p) != nil {
		return nil, invalid(errReplayPolicy + "failed to parse JSON")
	}
	if p.PointType != "Timestamp" {
		return nil, invalid(errReplayPolicy+"PointType: Invalid value [%s]. Must be Timestamp", p.PointType)
	}
	r := &replay{Status: replayPending}
	var err error
	if r.From, err = parsePoint("StartingPoint", p.StartingPoint); err != nil || p.EndingPoint == nil {
		return r, err
	}
	if r.Until, err = parsePoint("EndingPoint", *p.EndingPoint); err != nil {
		return nil, err
	}
	if r.Until <= r.From {
		return nil, invalid(errReplayPolicy + "EndingPoint must be after StartingPoint")
	}
	return r, nil
}

// parsePoint reads a point of time.
func parsePoint(name, text string) (int64, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Year() < 1970 {
		return 0, invalid(errReplayPolicy+"%s: Invalid value [%s]. Must be a timestamp such as 2023-10-01T10:00:00.000Z", name, text)
	}
	return at.UnixMilli(), nil
}

// replayPolicyChanged begins the replay a subscription's policy asks for, in place of the one there may be.
func replayPolicyChanged(tx *store.Tx, t *topic, key store.Key, sub *subscription) error {
	replays.Cancel(tx, key)
	r, err := parseReplayPolicy(sub.Attributes["ReplayPolicy"])
	if sub.Replay = r; r == nil || err != nil {
		return err
	}
	now := tx.World().Now()
	switch {
	case t.Archive == nil:
		return invalid(errReplayPolicy + "the topic has no active ArchivePolicy")
	case r.From < t.Archive.from(now):
		return invalid(errReplayPolicy+"StartingPoint must not be before the BeginningArchiveTime of the topic, %s", stampText(t.Archive.from(now)))
	case r.From > now.UnixMilli():
		return invalid(errReplayPolicy + "StartingPoint must not be in the future")
	}
	replays.Set(tx, key, now, struct{}{})
	return nil
}

// stampText is a time in milliseconds since 1970 as envelopes have it.
func stampText(ms int64) string { return time.UnixMilli(ms).UTC().Format(timestamp) }

// replaySome sends a subscription its next messages from the archive. When there are no more the subscription is one like
// any other again, from the message on that is published next: one transaction finds the end and leaves the replay.
func (s *Service) replaySome(ctx context.Context, key store.Key, _ struct{}) error {
	var name string
	if err := key.Parse(&name, nil); err != nil {
		return err
	}
	call := aws.CallFrom(ctx)
	arn := string(aws.MakeARN("sns", call.Region, call.Account, name))
	return s.db.Update(ctx, func(tx *store.Tx) error {
		sub, ok := subscriptions.Get(tx, key)
		if !ok || !sub.Replay.running() {
			return nil
		}
		_, f, err := checkTopic(tx, arn)
		if err != nil {
			return err
		}
		now := tx.World().Now()
		if s.relay.Waiting(tx, sub.ID+"/", replayDepth) == replayDepth {
			replays.Set(tx, key, now.Add(replayPause), struct{}{})
			return nil
		}
		r := *sub.Replay
		r.Status = replayRunning
		n, err := s.replayBatch(tx, &sub, &r, f, now)
		if err != nil {
			return err
		}
		if n < replayBatch {
			r.Status = replayCompleted
		} else {
			replays.Set(tx, key, now, struct{}{})
		}
		sub.Replay = &r
		subscriptions.Put(tx, key, sub)
		return nil
	}, topicLock(arn)...)
}

// replayBatch puts the messages after those replayed before on their way, and returns how many it looked at.
func (s *Service) replayBatch(tx *store.Tx, sub *subscription, r *replay, f *topicFacts, now time.Time) (n int, err error) {
	t, err := sub.target()
	if err != nil {
		return 0, err
	}
	filter, err := sub.filter()
	if err != nil {
		return 0, err
	}
	id := store.K(f.archive.ID)
	rows := store.Range{Prefix: id, From: id.Int(max(r.From, f.archive.from(now))), Limit: replayBatch}
	if r.Until != 0 {
		rows.To = id.Int(r.Until)
	}
	if r.Number != 0 {
		rows.After = id.Int(r.Stamp).Uint(r.Number)
	}
	for at, m := range archives.Scan(tx, rows) {
		n++
		r.Stamp, r.Number = archivedAt(at)
		p := publication{message: m}
		if ev := p.event(sub.scope()); filter != nil && (ev == nil || !filter.MatchEvent(ev)) {
			continue
		}
		p.Replayed = true
		s.add(tx, f.deliveryTo(t, p.message))
	}
	return n, nil
}
