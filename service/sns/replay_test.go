package sns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"fogbank/api/sns"
	"fogbank/store"
)

// archived makes a FIFO topic with an archive.
func (b *bench) archived(days int) string {
	return *must(b.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: "o.fifo", Attributes: map[string]string{
		"FifoTopic": "true", "ArchivePolicy": fmt.Sprintf(`{"MessageRetentionPeriod":%d}`, days)}})).TopicArn
}

func (b *bench) replay(sub string, from, until time.Time) {
	end := ""
	if !until.IsZero() {
		end = `,"EndingPoint":"` + until.Format(time.RFC3339Nano) + `"`
	}
	must(b.SetSubscriptionAttributes(b.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: sub, AttributeName: "ReplayPolicy",
		AttributeValue: new(`{"PointType":"Timestamp","StartingPoint":"` + from.Format(time.RFC3339Nano) + `"` + end + `}`)}))
}

// stepReplay takes the subscription's replay one step forward and reports whether it is still under way.
func (b *bench) stepReplay(arn string) (running bool) {
	_, name, id, err := parseSubscription(arn)
	if err != nil {
		b.t.Fatal(err)
	}
	key := store.K(name, id)
	if err := b.replaySome(b.ctx, key, struct{}{}); err != nil {
		b.t.Fatal(err)
	}
	must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
		sub, _ := subscriptions.Get(tx, key)
		running = sub.Replay.running()
		return nil
	}))
	return running
}

func (b *bench) rows(prefix store.Key) (n int) {
	must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
		n = 0
		for range archives.Keys(tx, store.Range{Prefix: prefix}) {
			n++
		}
		return nil
	}))
	return n
}

// waiting returns how many deliveries to queues are not done, up to 10,000.
func (b *bench) waiting() (n int) {
	must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
		n, _ = b.relay.Depth(tx, 10_000)
		return nil
	}))
	return n
}

// TestReplayHistories: seeded histories of publishes, replays and a queue that fails. In each group the queue first gets
// everything published, and from each replay on everything from its starting point on, in order, once; and nothing that
// was published after an end.
func TestReplayHistories(t *testing.T) {
	for seed := range uint64(15) {
		bubble(t, func(t *testing.T) {
			b := open(t, seed)
			r := rand.New(rand.NewPCG(seed, 0))
			topic := b.archived(30)
			sub := b.subscribe(topic, "q.fifo", map[string]string{"RawMessageDelivery": "true"})
			b.far.fail = func(string) (before, after error) {
				switch r.IntN(8) {
				case 0:
					return errors.New("lost on the way there"), nil
				case 1:
					return nil, errors.New("lost on the way back")
				}
				return nil, nil
			}
			begin := b.world.Now()
			var published []string // the nth in the nth second
			want := map[string]string{}
			publish := func() {
				group := strconv.Itoa(r.IntN(3))
				body := group + "/" + strconv.Itoa(len(published))
				must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: body, MessageGroupId: &group, MessageDeduplicationId: &body}))
				published = append(published, body)
				time.Sleep(time.Second)
			}
			expect := func(bodies []string) {
				for _, body := range bodies {
					want[body[:1]] += body + " "
				}
			}
			running, first := false, 0
			for range 200 {
				switch n := r.IntN(12); {
				case n < 7:
					publish()
				case n == 7 && !running && len(published) > 0 && r.IntN(3) == 0:
					expect(published[first:])
					first = r.IntN(len(published))
					b.replay(sub, begin.Add(time.Duration(first)*time.Second), time.Time{})
					running = true
				case n < 10 && running:
					running = b.stepReplay(sub)
				default:
					must(b.relay.Step(b.ctx, b.db))
				}
			}
			for b.stepReplay(sub) {
			}
			expect(published[first:])
			last := r.IntN(len(published)) // and now one with an end, followed by what nobody gets
			b.replay(sub, begin.Add(time.Duration(last)*time.Second), begin.Add(time.Duration(last+r.IntN(60)+1)*time.Second))
			end := min(len(published), int(b.untilOf(sub).Sub(begin)/time.Second))
			for b.stepReplay(sub) {
			}
			expect(published[last:end])
			time.Sleep(time.Minute)
			publish()
			for b.waiting() > 0 {
				b.drain()
				time.Sleep(20 * time.Second)
			}
			got, seen := map[string]string{}, map[string]bool{}
			for _, s := range b.far.sent {
				if !seen[s.once] {
					seen[s.once] = true
					got[s.body[:1]] += s.body + " "
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("seed %d:\n got %v\nwant %v", seed, got, want)
			}
		})
	}
}

func (b *bench) untilOf(arn string) time.Time {
	out := must(b.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn}))
	r := must(parseReplayPolicy(out.Attributes["ReplayPolicy"]))
	return time.UnixMilli(r.Until)
}

// TestReplayEndsLater: a replay whose end is still to come catches up, goes on with what is published, and pauses at its end.
func TestReplayEndsLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.archived(1)
		sub := b.subscribe(topic, "q.fifo", map[string]string{"RawMessageDelivery": "true"})
		publish := func(body string) {
			must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: body, MessageGroupId: new("g"), MessageDeduplicationId: &body}))
			b.drain()
		}
		from := b.world.Now()
		publish("a")
		time.Sleep(time.Minute)
		b.replay(sub, from, from.Add(3*time.Minute))
		publish("b")
		if b.stepReplay(sub) {
			t.Error("the replay has not caught up")
		}
		publish("c")
		time.Sleep(2 * time.Minute)
		publish("d")
		var got []string
		for _, s := range b.far.sent {
			got = append(got, s.body)
		}
		if text := strings.Join(got, ""); text != "aabc" {
			t.Error(text)
		}
	})
}

// TestReplayWaits: a replay does not run ahead of an endpoint that takes nothing.
func TestReplayWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.archived(1)
		from := b.world.Now()
		const all = 3 * replayDepth / 2
		for i := range all / 10 {
			in := &sns.PublishBatchInput{TopicArn: topic}
			for j := range 10 {
				id := strconv.Itoa(i*10 + j)
				in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, sns.PublishBatchRequestEntry{
					Id: id, Message: id, MessageGroupId: new(strconv.Itoa(j % 3)), MessageDeduplicationId: &id})
			}
			must(b.PublishBatch(b.ctx, in))
		}
		sub := b.subscribe(topic, "q.fifo", map[string]string{"RawMessageDelivery": "true"})
		b.replay(sub, from, time.Time{})
		for range 2 * all / replayBatch {
			b.stepReplay(sub)
		}
		if n := b.waiting(); n < replayDepth || n >= replayDepth+replayBatch {
			t.Errorf("%d messages wait", n)
		}
		b.drain()
		for b.stepReplay(sub) {
			b.drain()
		}
		b.drain()
		if len(b.far.sent) != all {
			t.Errorf("%d messages arrived", len(b.far.sent))
		}
	})
}

// TestArchive: an archive loses what is too old, and everything with its policy; then replays under way fail.
func TestArchive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		b.Start()
		topic := b.archived(2)
		set := func(v string) {
			must(b.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{TopicArn: topic, AttributeName: "ArchivePolicy", AttributeValue: &v}))
			time.Sleep(time.Second)
		}
		publish := func(n int) {
			for i := range n {
				must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "m", MessageGroupId: new("g"),
					MessageDeduplicationId: new(fmt.Sprintf("%d-%d", b.world.Now().UnixNano(), i))}))
			}
		}
		publish(2 * archiveRows)
		time.Sleep(36 * time.Hour)
		publish(10)
		if n := b.rows(""); n != 2*archiveRows+10 {
			t.Errorf("%d messages", n)
		}
		time.Sleep(13 * time.Hour)
		if n := b.rows(""); n != 10 {
			t.Errorf("%d messages after two days", n)
		}
		set(`{"MessageRetentionPeriod":"1"}`)
		time.Sleep(12 * time.Hour)
		if n := b.rows(""); n != 0 {
			t.Errorf("%d messages after a day", n)
		}
		publish(10)
		set(`{"MessageRetentionPeriod":"3"}`)
		out := must(b.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: topic}))
		if was := b.world.Now().Add(-24 * time.Hour); !must(time.Parse(time.RFC3339, out.Attributes["BeginningArchiveTime"])).After(was.Add(-time.Minute)) {
			t.Errorf("a longer period brings back what is gone: %s", out.Attributes["BeginningArchiveTime"])
		}
		b.far.fail = func(string) (before, after error) { return errors.New("down"), nil }
		from := b.world.Now()
		publish(2 * replayDepth)
		sub := b.subscribe(topic, "q.fifo", map[string]string{"RawMessageDelivery": "true"})
		b.replay(sub, from, time.Time{})
		time.Sleep(time.Minute)
		status := func() string {
			return must(b.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: sub})).Attributes["ReplayStatus"]
		}
		if status() != replayRunning {
			t.Error(status())
		}
		set("{}")
		if n := b.rows(""); n != 0 || status() != replayFailed {
			t.Errorf("%d messages, %s", n, status())
		}
	})
}

func FuzzArchivePolicies(f *testing.F) {
	f.Add(`{"MessageRetentionPeriod":"30"}`)
	f.Add(`{"PointType":"Timestamp","StartingPoint":"2023-10-01T10:00:00.000Z","EndingPoint":"2023-10-01T12:00:00.000Z"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if days, err := parseArchivePolicy(text); err == nil && (days < 0 || days > maxArchiveDays) {
			t.Errorf("%d days", days)
		}
		if r, err := parseReplayPolicy(text); err == nil && r != nil && (r.From < 0 || r.Until != 0 && r.Until <= r.From) {
			t.Errorf("%+v", r)
		}
	})
}
