package sns

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"fogbank/store"
)

// archive is what a FIFO topic keeps its messages in, so that subscriptions can have them again.
//
// https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
type archive struct {
	ID    string // drawn when the archive was activated
	Since int64  // milliseconds since 1970: nothing older is in it
	Days  int    // how long messages are kept
}

// archives are the messages kept, keyed archive id/stamp/sequence number. Stamps are times in milliseconds since 1970
// that never go back, so that the order of the keys is that of publishing.
var archives = store.NewTable[message]("sns/archive", store.Regional)

// archiveSweeps remove what archives have kept for long enough, and all of archives nobody has any more, by archive id. The
// value is the topic's name.
var archiveSweeps = store.NewTimers[string]("sns/archive/sweep")

const (
	maxArchiveDays = 365
	archiveRows    = 256              // removed in one transaction
	archivePause   = 10 * time.Minute // between two sweeps of an archive, at least
)

const errArchivePolicy = "Attributes Reason: ArchivePolicy: "

// parseArchivePolicy returns the days a policy has messages kept, 0 when it deactivates the archive.
func parseArchivePolicy(text string) (days int, err error) {
	if text == "" {
		return 0, nil
	}
	var p struct {
		MessageRetentionPeriod json.RawMessage
	}
	if strict(text, &p) != nil {
		return 0, invalid(errArchivePolicy + "failed to parse JSON")
	}
	if p.MessageRetentionPeriod == nil {
		return 0, nil
	}
	digits := string(p.MessageRetentionPeriod)
	if json.Unmarshal(p.MessageRetentionPeriod, &digits) != nil {
		digits = string(p.MessageRetentionPeriod) // a number
	}
	days, err = strconv.Atoi(digits)
	if err != nil || days < 1 || days > maxArchiveDays {
		return 0, invalid(errArchivePolicy+"MessageRetentionPeriod: Invalid value [%s]. Must be an integer between 1 and %d", digits, maxArchiveDays)
	}
	return days, nil
}

// checkArchivePolicy is parseArchivePolicy for a topic, which must be FIFO.
func (t *topic) checkArchivePolicy(text string) (days int, err error) {
	if !t.fifo() {
		return 0, invalid(errArchivePolicy + "can only be set for FIFO topics")
	}
	return parseArchivePolicy(text)
}

// from returns the time, in milliseconds since 1970, before which the archive has nothing.
func (a *archive) from(now time.Time) int64 {
	return max(a.Since, now.Add(-a.retention()).UnixMilli())
}

func (a *archive) retention() time.Duration { return time.Duration(a.Days) * 24 * time.Hour }

// keep brings the topic's archive in line with its policy, which was checked. A new archive gets the id.
func (t *topic) keep(id string, now time.Time) error {
	days, err := parseArchivePolicy(t.Attributes["ArchivePolicy"])
	if err != nil {
		return err
	}
	switch {
	case days == 0:
		t.Archive = nil
	case t.Archive == nil:
		t.Archive = &archive{id, now.UnixMilli(), days}
	default:
		t.Archive = &archive{t.Archive.ID, t.Archive.from(now), days}
	}
	return nil
}

// archivePolicyChanged does what follows from a new archive policy: what is too old now goes, and all of it when there is no
// archive any more, which ends the replays under way.
func archivePolicyChanged(tx *store.Tx, was, is *topic) {
	if was.Archive == nil {
		return
	}
	archiveSweeps.Set(tx, store.K(was.Archive.ID), tx.World().Now(), is.Name)
	if is.Archive != nil {
		return
	}
	for key, sub := range subscriptions.All(tx, store.K(is.Name)) {
		if sub.Replay.running() {
			r := *sub.Replay
			r.Status, sub.Replay = replayFailed, &r
			replays.Cancel(tx, key)
			subscriptions.Put(tx, key, sub)
		}
	}
}

// store keeps a message of a topic of that name, and gives it its stamp. It runs under the topic's lock.
func (a *archive) store(tx *store.Tx, name string, p *publication) {
	last := int64(0)
	for key := range archives.Keys(tx, store.Range{Prefix: store.K(a.ID), Reverse: true, Limit: 1}) {
		last, _ = archivedAt(key)
	}
	if last == 0 {
		archiveSweeps.Set(tx, store.K(a.ID), tx.World().Now().Add(a.retention()), name)
	}
	p.stamp = max(p.At, last)
	m := p.message
	m.Body = p.body("sqs") // FIFO topics deliver to queues only
	m.Trace = ""           // a replay is no part of it
	archives.Put(tx, store.K(a.ID, p.stamp, p.Sequence), m)
}

// archivedAt returns a message's place in its archive.
func archivedAt(key store.Key) (stamp int64, sequence uint64) {
	if err := key.Parse(nil, &stamp, &sequence); err != nil {
		panic("sns: a row of sns/archive has a key of another form")
	}
	return stamp, sequence
}

// sweepArchive removes what is too old from an archive.
func (s *Service) sweepArchive(ctx context.Context, id store.Key, name string) error {
	for more := true; more; {
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			now := tx.World().Now()
			t, _ := topics.Get(tx, store.K(name))
			old := store.Range{Prefix: id, Limit: archiveRows}
			mine := t.Archive != nil && store.K(t.Archive.ID) == id
			if mine {
				old.To = store.Key(string(id)).Int(t.Archive.from(now))
			}
			n := 0
			for key := range archives.Keys(tx, old) {
				archives.Delete(tx, key)
				n++
			}
			if more = n == archiveRows; more || !mine {
				return nil
			}
			for key := range archives.Keys(tx, store.Range{Prefix: id, Limit: 1}) {
				first, _ := archivedAt(key)
				due := time.UnixMilli(first).Add(t.Archive.retention())
				archiveSweeps.Set(tx, id, later(due, now.Add(archivePause)), name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
