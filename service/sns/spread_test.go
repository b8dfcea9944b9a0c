package sns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"fogbank/api/sns"
	"fogbank/relay"
	"fogbank/store"
)

// TestSpreadHistories: seeded histories of messages for everybody and for a few at a topic with many queues, which fail before or
// after they stored a message. Every queue gets all that is for it, in the order of publishing, under one once-only key each.
func TestSpreadHistories(t *testing.T) {
	for seed := range uint64(4) {
		bubble(t, func(t *testing.T) {
			b := open(t, seed)
			r := rand.New(rand.NewPCG(seed, 0))
			topic := b.topic("orders")
			const crowd = spreadOver + 20
			for i := range crowd {
				b.subscribe(topic, strconv.Itoa(i), map[string]string{"RawMessageDelivery": "true",
					"FilterPolicy": fmt.Sprintf(`{"to":["all","%d"]}`, i%50)})
			}
			b.far.fail = func(string) (before, after error) {
				switch r.IntN(300) {
				case 0:
					return errors.New("lost on the way there"), nil
				case 1:
					return nil, errors.New("lost on the way back")
				}
				return nil, nil
			}
			want := map[string]string{}
			for i := range 40 {
				to := "all"
				if r.IntN(3) > 0 {
					to = strconv.Itoa(r.IntN(50))
				}
				must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: fmt.Sprint("m", i),
					MessageAttributes: map[string]sns.MessageAttributeValue{"to": {DataType: "String", StringValue: &to}}}))
				for q := range crowd {
					if to == "all" || to == strconv.Itoa(q%50) {
						want[strconv.Itoa(q)] += fmt.Sprint("m", i, " ")
					}
				}
				for range r.IntN(6) {
					if r.IntN(2) == 0 {
						must(b.spread.Step(b.ctx, b.db))
					} else {
						must(b.relay.Step(b.ctx, b.db))
					}
				}
			}
			for range 100 {
				b.drain()
				time.Sleep(20 * time.Second)
			}
			got, once := map[string]string{}, map[string]string{}
			for _, s := range b.far.sent {
				place := s.queue + "/" + s.body
				if once[place] == "" {
					once[place] = s.once
					got[s.queue] += s.body + " "
				}
				if once[place] != s.once {
					t.Errorf("seed %d: %s came as %s and as %s", seed, place, once[place], s.once)
				}
			}
			for q, bodies := range want {
				if got[q] != bodies {
					t.Errorf("seed %d: queue %s\n got %s\nwant %s", seed, q, got[q], bodies)
				}
			}
		})
	}
}

// TestSpreadAgain: work that was done but not noted before a crash is done again under the same once-only keys; what was
// noted is not done again. Messages with texts of their own for queues keep them, and mail goes its own way.
func TestSpreadAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		const crowd = spreadBatch + 50
		for i := range crowd {
			b.subscribe(topic, strconv.Itoa(i), nil)
		}
		must(b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sms", Endpoint: new("+12065550100")}))
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: `{"default":"d","sqs":"text for queues"}`, MessageStructure: new("json")}))
		var job spread
		b.waitForJob(&job)
		item := relay.Item[spread]{ID: "job", Value: job, FirstAt: b.world.Now()}
		must(0, b.carry(b.ctx, item))
		must(0, b.carry(b.ctx, item)) // noted: nothing happens
		if len(b.far.sent) != crowd {
			t.Errorf("%d messages", len(b.far.sent))
		}
		must(0, b.db.Update(b.ctx, func(tx *store.Tx) error {
			progresses.Put(tx, store.K("orders"), progress{"job", spreadBatch})
			return nil
		}))
		must(0, b.carry(b.ctx, item))
		once := map[string]string{}
		for _, s := range b.far.sent {
			if had, ok := once[s.queue]; ok && had != s.once {
				t.Errorf("%s: %s and %s", s.queue, had, s.once)
			}
			once[s.queue] = s.once
			if !strings.Contains(s.body, "text for queues") {
				t.Error(s.body)
			}
		}
		if n := len(b.far.sent) - crowd; n != 50 && n != 51 {
			t.Errorf("%d messages again", n)
		}
		must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
			if n, _ := b.outside.Depth(tx, 10); n == 0 {
				t.Error("no text message waits")
			}
			return nil
		}))
	})
}

// waitForJob takes the next job out of the relay.
func (b *bench) waitForJob(job *spread) {
	r := relay.New(relay.Options[spread]{Name: "sns/spread", Deliver: func(_ context.Context, i relay.Item[spread]) error {
		*job = i.Value
		return nil
	}})
	must(r.Step(b.ctx, b.db))
}
