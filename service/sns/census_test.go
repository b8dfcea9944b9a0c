package sns

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/store"
)

// TestCensus: after any history, also one that began before there were censuses, they and the index of
// endpoints say what a scan finds.
func TestCensus(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			b := open(t, seed)
			r := rand.New(rand.NewPCG(seed, 0))
			topics := []string{b.topic("a"), b.topic("b")}
			for range 150 {
				topic := topics[r.IntN(2)]
				var subs []string
				for _, sub := range must(b.ListSubscriptionsByTopic(b.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic})).Subscriptions {
					if *sub.SubscriptionArn != "PendingConfirmation" {
						subs = append(subs, *sub.SubscriptionArn)
					}
				}
				switch n := r.IntN(20); {
				case n < 8:
					b.subscribe(topic, fmt.Sprint("q", r.IntN(9)), nil)
				case n < 10:
					must(b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: new(fmt.Sprint("http://h", r.IntN(3)))}))
				case n < 13 && len(subs) > 0:
					must(b.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: subs[r.IntN(len(subs))]}))
				case n < 17 && len(subs) > 0:
					must(b.SetSubscriptionAttributes(b.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: subs[r.IntN(len(subs))],
						AttributeName: "FilterPolicy", AttributeValue: new([]string{"{}", `{"k":["v"]}`}[r.IntN(2)])}))
				case n == 17:
					time.Sleep(30 * time.Hour)
					b.expireAll()
				case n == 18:
					must(b.DeleteTopic(b.ctx, &sns.DeleteTopicInput{TopicArn: topics[1]}))
					b.topic("b")
				case n == 19:
					must(0, b.db.Update(b.ctx, func(tx *store.Tx) error { // as before there were any
						for key := range censuses.Keys(tx, store.Range{}) {
							censuses.Delete(tx, key)
						}
						for key := range subscribers.Keys(tx, store.Range{}) {
							subscribers.Delete(tx, key)
						}
						return nil
					}))
				}
			}
			for i, topic := range topics {
				b.subscribe(topic, fmt.Sprint("last", i), nil)
			}
			must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
				want, all := map[string]census{}, 0
				for key, sub := range subscriptions.All(tx, "") {
					var name string
					must(0, key.Parse(&name, nil))
					for _, place := range []string{name, ""} {
						c := want[place]
						c.Subscriptions++
						if sub.filtered() {
							c.Policies++
						}
						want[place] = c
					}
					if id, _ := subscribers.Get(tx, subscriberKey(name, &sub)); id != sub.ID {
						t.Errorf("seed %d: %s is the subscriber, not %s", seed, id, sub.ID)
					}
					all++
				}
				for place, c := range want {
					if have, _ := censuses.Get(tx, store.K(place)); have != c {
						t.Errorf("seed %d: %q has %+v, not %+v", seed, place, have, c)
					}
				}
				for range subscribers.Keys(tx, store.Range{}) {
					all--
				}
				if all != 0 {
					t.Errorf("seed %d: %d subscribers too few", seed, all)
				}
				return nil
			}))
		})
	}
}

// expireAll ends the waits for confirmations that are over.
func (b *bench) expireAll() {
	var keys []store.Key
	must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
		keys = nil
		for key := range subscriptions.Keys(tx, store.Range{}) {
			if at, ok := expiries.Due(tx, key); ok && !at.After(b.world.Now()) {
				keys = append(keys, key)
			}
		}
		return nil
	}))
	for _, key := range keys {
		must(0, b.expire(b.ctx, key, struct{}{}))
	}
}

// TestQuotas: a FIFO topic takes 100 subscriptions, an account 10,000 filter policies.
func TestQuotas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		fifo := b.archived(1)
		for i := range maxOrdered {
			b.subscribe(fifo, fmt.Sprint("q", i), nil)
		}
		in := &sns.SubscribeInput{TopicArn: fifo, Protocol: "sqs", Endpoint: new(queue("more"))}
		if _, err := b.Subscribe(b.ctx, in); !aws.IsCode(err, "SubscriptionLimitExceededException") {
			t.Error(err)
		}
		b.subscribe(fifo, "q7", nil) // is there already
		plain := b.topic("plain")
		must(0, b.db.Update(b.ctx, func(tx *store.Tx) error {
			censuses.Put(tx, store.K(""), census{maxOrdered, maxFilterPolicies - 1})
			return nil
		}))
		policy := map[string]string{"FilterPolicy": `{"k":["v"]}`}
		b.subscribe(plain, "a", policy)
		in = &sns.SubscribeInput{TopicArn: plain, Protocol: "sqs", Endpoint: new(queue("b")), Attributes: policy}
		if _, err := b.Subscribe(b.ctx, in); !aws.IsCode(err, "FilterPolicyLimitExceededException") {
			t.Error(err)
		}
		sub := b.subscribe(plain, "c", nil)
		_, err := b.SetSubscriptionAttributes(b.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: sub, AttributeName: "FilterPolicy", AttributeValue: new(policy["FilterPolicy"])})
		if !aws.IsCode(err, "FilterPolicyLimitExceededException") {
			t.Error(err)
		}
	})
}

// TestOlderServer: what a server without the index did to the subscriptions does no harm.
func TestOlderServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		arn := b.subscribe(topic, "a", nil)
		_, name, id, err := parseSubscription(arn)
		if err != nil {
			t.Fatal(err)
		}
		must(0, b.db.Update(b.ctx, func(tx *store.Tx) error {
			subscriptions.Delete(tx, store.K(name, id))
			return nil
		}))
		if again := b.subscribe(topic, "a", nil); again == arn || b.subscribe(topic, "a", nil) != again {
			t.Errorf("%s after %s", again, arn)
		}
	})
}
