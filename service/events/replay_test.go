package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fogbank/api/events"
	"fogbank/store"
)

// replay puts n events on the default bus, which archive a keeps, and starts a replay of them.
func (b *bench) replay(n int) *events.StartReplayInput {
	bus := "arn:aws:events:us-east-1:000000000000:event-bus/default"
	must(b.CreateArchive(b.ctx, &events.CreateArchiveInput{ArchiveName: "a", EventSourceArn: bus}))
	for i := range n {
		b.put("default", fmt.Sprintf(`{"n":%d}`, i))
	}
	b.rule("default", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: queue("q")})
	in := &events.StartReplayInput{ReplayName: "again", EventSourceArn: "arn:aws:events:us-east-1:000000000000:archive/a",
		EventStartTime: b.world.Now().Add(-time.Hour), EventEndTime: b.world.Now().Add(time.Hour), Destination: events.ReplayDestination{Arn: bus}}
	must(b.StartReplay(b.ctx, in))
	return in
}

func TestReplayOfMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const many = 2*replayBatch + 7
		b := open(t, 1)
		b.replay(many)
		key := store.K("again")
		// Its timer fires more often than it should: every event still comes once.
		for range 3 {
			if err := b.turn(b.ctx, key, struct{}{}); err != nil {
				t.Fatal(err)
			}
		}
		b.drain()
		seen := map[string]bool{}
		for i, s := range b.far.sent {
			if want := fmt.Sprintf(`"replay-name":"again","detail":{"n":%d}}`, i); !strings.HasSuffix(s.body, want) {
				t.Fatalf("%d: %s, want …%s", i, s.body, want)
			}
			seen[s.body] = true
		}
		r := must(b.DescribeReplay(b.ctx, &events.DescribeReplayInput{ReplayName: "again"}))
		if len(b.far.sent) != many || len(seen) != many || *r.State != events.ReplayStateCompleted {
			t.Errorf("%d sent, %d different, %s", len(b.far.sent), len(seen), *r.State)
		}
		if a := must(b.DescribeArchive(b.ctx, &events.DescribeArchiveInput{ArchiveName: "a"})); *a.EventCount != many {
			t.Errorf("%d events kept", *a.EventCount)
		}
	})
}

func TestCancelReplay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		in := b.replay(3)
		must(b.CancelReplay(b.ctx, &events.CancelReplayInput{ReplayName: "again"}))
		if err := b.turn(b.ctx, store.K("again"), struct{}{}); err != nil {
			t.Fatal(err)
		}
		b.drain()
		r := must(b.DescribeReplay(b.ctx, &events.DescribeReplayInput{ReplayName: "again"}))
		if *r.State != events.ReplayStateCancelled || r.ReplayEndTime == nil || len(b.far.sent) != 0 {
			t.Errorf("%s, %d sent", *r.State, len(b.far.sent))
		}
		in.ReplayName = "gone"
		must(b.StartReplay(b.ctx, in))
		must(b.DeleteArchive(b.ctx, &events.DeleteArchiveInput{ArchiveName: "a"}))
		if err := b.turn(b.ctx, store.K("gone"), struct{}{}); err != nil {
			t.Fatal(err)
		}
		if r := must(b.DescribeReplay(b.ctx, &events.DescribeReplayInput{ReplayName: "gone"})); *r.State != events.ReplayStateFailed {
			t.Errorf("%s", *r.State)
		}
	})
}

// TestStrikeOnce fires a rule's timer again for a moment that had its event, and late for one that was missed.
func TestStrikeOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		must(b.PutRule(b.ctx, &events.PutRuleInput{Name: "beat", ScheduleExpression: new("rate(1 minute)")}))
		must(b.PutTargets(b.ctx, &events.PutTargetsInput{Rule: "beat", Targets: []events.Target{{Id: "1", Arn: queue("q")}}}))
		first := b.world.Now().Add(time.Minute)
		b.world.Travel(10*time.Minute + 30*time.Second)
		for range 3 {
			if err := b.strike(b.ctx, store.K("beat"), tick{first}); err != nil {
				t.Fatal(err)
			}
		}
		b.drain()
		if len(b.far.sent) != 1 || !strings.Contains(b.far.sent[0].body, `"time":"`+first.Format(time.RFC3339)) {
			t.Errorf("%v", b.far.sent)
		}
		err := b.db.View(b.ctx, func(tx *store.Tx) error {
			if at, ok := ticks.Due(tx, store.K("beat")); !ok || !at.Equal(first.Add(10*time.Minute)) {
				t.Errorf("the next moment is %s", at)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
