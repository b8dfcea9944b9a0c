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
			const crowd = 2*spreadChunk + 20
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

// TestSpreadAgain: a chunk that is done is not done again, nor what an earlier version noted, and one whose messages went out one by
// one has the same once-only keys each time. Messages with texts of their own for queues keep them, and mail goes its own way.
func TestSpreadAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		const crowd = 2*spreadChunk + 50
		for i := range crowd {
			b.subscribe(topic, strconv.Itoa(i), nil)
		}
		must(b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sms", Endpoint: new("+12065550100")}))
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: `{"default":"d","sqs":"text for queues"}`, MessageStructure: new("json")}))
		var job spread
		b.waitForJob(&job)
		item := relay.Item[spread]{ID: "job", Value: job, FirstAt: b.world.Now()}
		delivered := func(what string, want int, f func() error) {
			t.Helper()
			before := len(b.far.sent)
			must(0, f())
			if n := len(b.far.sent) - before; n != want {
				t.Errorf("%s: %d messages, want %d", what, n, want)
			}
		}
		delivered("at first", crowd, func() error { return b.carry(b.ctx, item) })
		delivered("again", 0, func() error { return b.carry(b.ctx, item) })
		must(0, b.db.Update(b.ctx, func(tx *store.Tx) error { progresses.Delete(tx, store.K("orders", 1)); return nil }))
		delivered("without the note of a chunk", spreadChunk, func() error { return b.carry(b.ctx, item) })
		item.ID = "earlier"
		must(0, b.db.Update(b.ctx, func(tx *store.Tx) error {
			progresses.Put(tx, store.K("orders"), progress{"earlier", spreadChunk})
			return nil
		}))
		rest := 0
		for i := spreadChunk; i < len(job.ids)/16; i++ {
			if !strings.HasPrefix(b.protocolOf(job.ids[16*i:][:16]), "sms") {
				rest++
			}
		}
		delivered("after an earlier version", rest, func() error { return b.carry(b.ctx, item) })

		b.far.sent = nil
		c := must(b.newCarrier(b.ctx, item))
		if _, targets, err := c.look(b.ctx, 1); err != nil || targets != nil {
			t.Error(targets, err) // it is done
		}
		item.ID = "apart"
		c = must(b.newCarrier(b.ctx, item))
		once := map[string]string{}
		for range 2 {
			facts, targets, err := c.look(b.ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			must(0, c.apart(b.ctx, 1, facts, targets, must(c.seal(b.ctx))))
			must(0, b.db.Update(b.ctx, func(tx *store.Tx) error { progresses.Delete(tx, store.K("orders", 1)); return nil }))
		}
		for _, s := range b.far.sent {
			if had, ok := once[s.queue]; s.once == "" || ok && had != s.once {
				t.Errorf("%s: %q and %q", s.queue, had, s.once)
			}
			once[s.queue] = s.once
			if !strings.Contains(s.body, "text for queues") {
				t.Error(s.body)
			}
		}
		must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
			if n, _ := b.outside.Depth(tx, 10); n == 0 {
				t.Error("no text message waits")
			}
			return nil
		}))
	})
}

// protocolOf returns the protocol of the subscription of the topic orders with that id.
func (b *bench) protocolOf(id []byte) (protocol string) {
	must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
		f, err := fanouts.Get(tx, store.K("orders"))
		if i, ok := f.place([16]byte(id)); ok {
			protocol = f.targets[i].Protocol
		}
		return err
	}))
	return protocol
}

// waitForJob takes the next job out of the relay.
func (b *bench) waitForJob(job *spread) {
	r := relay.New(relay.Options[spread]{Name: "sns/spread", Deliver: func(_ context.Context, i relay.Item[spread]) error {
		*job = i.Value
		return nil
	}})
	must(r.Step(b.ctx, b.db))
}
