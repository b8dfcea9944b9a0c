package sns

import (
	"fogbank/api/sns"
	"fogbank/store"
)

// census is how many subscriptions there are, and how many of them have a filter policy.
type census struct {
	Subscriptions, Policies int
}

// censuses are kept by topic, and for all topics together under "". subscribers find the subscription of an endpoint. Both say
// what is in subscriptions; those of topics older than they are made when the next one subscribes.
var (
	censuses    = store.NewTable[census]("sns/census", store.Regional)
	subscribers = store.NewTable[string]("sns/subscriber", store.Regional)
)

func subscriberKey(topic string, sub *subscription) store.Key {
	return store.K(topic, sub.Protocol, sub.Endpoint)
}

// counted returns the census of a topic, or of all of them.
func counted(tx *store.Tx, topic string) census {
	c, ok := censuses.Get(tx, store.K(topic))
	if ok {
		return c
	}
	rows := store.Key("")
	if topic != "" {
		rows = store.K(topic)
	}
	for _, sub := range subscriptions.All(tx, rows) {
		c.Subscriptions++
		if sub.filtered() {
			c.Policies++
		}
		if topic != "" {
			subscribers.Put(tx, subscriberKey(topic, &sub), sub.ID)
		}
	}
	censuses.Put(tx, store.K(topic), c)
	return c
}

func (sub *subscription) filtered() bool { return sub.Attributes["FilterPolicy"] != "" }

// enroll stores a subscription in place of the one there was, nil for none, and keeps count.
func enroll(tx *store.Tx, topic string, was, is *subscription) {
	if was == nil {
		subscribers.Put(tx, subscriberKey(topic, is), is.ID)
	}
	subscriptions.Put(tx, store.K(topic, is.ID), *is)
	recount(tx, topic, was, is)
}

// strike removes a subscription and keeps count.
func strike(tx *store.Tx, topic string, sub *subscription) {
	subscriptions.Delete(tx, store.K(topic, sub.ID))
	subscribers.Delete(tx, subscriberKey(topic, sub))
	recount(tx, topic, sub, nil)
}

// recount brings the censuses there are up to date.
func recount(tx *store.Tx, topic string, was, is *subscription) {
	var change census
	if was != nil {
		change.Subscriptions--
		if was.filtered() {
			change.Policies--
		}
	}
	if is != nil {
		change.Subscriptions++
		if is.filtered() {
			change.Policies++
		}
	}
	if change == (census{}) {
		return
	}
	for _, name := range []string{topic, ""} {
		if c, ok := censuses.Get(tx, store.K(name)); ok {
			c.Subscriptions += change.Subscriptions
			c.Policies += change.Policies
			censuses.Put(tx, store.K(name), c)
		}
	}
}

// roomFor returns the subscription there is of the same endpoint, nil if there is none, and refuses one too many.
func roomFor(tx *store.Tx, t *topic, sub *subscription) (*subscription, error) {
	here, all := counted(tx, t.Name), counted(tx, "")
	if id, ok := subscribers.Get(tx, subscriberKey(t.Name, sub)); ok {
		// It is missing when a server older than the index removed it: then this one takes its place.
		if have, ok := subscriptions.Get(tx, store.K(t.Name, id)); ok {
			return &have, nil
		}
	}
	most := maxSubscriptions
	if t.fifo() {
		most = maxOrdered
	}
	if here.Subscriptions >= most {
		return nil, sns.SubscriptionLimitExceededException("Subscription quota of %d per topic exceeded", most)
	}
	if sub.filtered() {
		return nil, all.roomForPolicy()
	}
	return nil, nil
}

// roomForPolicy refuses one filter policy too many.
func (c *census) roomForPolicy() error {
	if c.Policies < maxFilterPolicies {
		return nil
	}
	return sns.FilterPolicyLimitExceededException("Filter policy quota of %d per account exceeded", maxFilterPolicies)
}
