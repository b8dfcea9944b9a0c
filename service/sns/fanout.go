package sns

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"fogbank/pattern"
	"fogbank/relay"
	"fogbank/store"
)

// fanout is a topic's subscriptions, ready for publishing.
type fanout struct {
	targets    []placed
	byID       map[[16]byte]int // places of targets, when they are many
	allIDs     []byte           // those of all, when targets are many
	enveloped  bool             // some queue gets signed envelopes
	all        []int            // those without a filter policy
	attributes *pattern.Set     // of targets' filter policies over attributes, nil when there are none
	body       *pattern.Set
	filtered   int
	ends       map[int]int64 // for targets that get nothing published then or later: see replay
}

// placed is a target with its id in short.
type placed struct {
	target
	binary [16]byte
}

// target is where a subscription's deliveries go.
type target struct {
	ID         string
	Protocol   string
	Endpoint   string // ARN, URL, address or number
	Raw        bool
	DeadLetter string // ARN of a queue, "" for none
}

// enveloped reports whether the target gets a signed envelope.
func (t *target) enveloped() bool {
	switch t.Protocol {
	case "sqs", "http", "https":
		return !t.Raw
	case "lambda", "email-json":
		return true
	}
	return false
}

// inside reports whether messages by a protocol stay in this server.
func inside(protocol string) bool { return protocol == "sqs" || protocol == "lambda" }

// bodyKey names what of a structured message the target gets: its protocol's text, or for a push its platform's.
func (t *target) bodyKey() string {
	if t.Protocol == "application" {
		if platform, _, _, ok := parsePush(t.Endpoint, "endpoint"); ok {
			return platform
		}
	}
	return t.Protocol
}

var fanouts = store.DeriveAll(subscriptions, func(_ store.Key, rows iter.Seq2[store.Key, subscription]) (*fanout, error) {
	f := &fanout{}
	for _, sub := range rows {
		if sub.Pending || sub.Ended || sub.Replay.running() {
			continue
		}
		t, err := sub.target()
		if err != nil {
			return nil, err
		}
		i := len(f.targets)
		short, err := binaryID(sub.ID)
		if err != nil {
			return nil, fmt.Errorf("id of subscription %s: %w", sub.ID, err)
		}
		f.targets = append(f.targets, placed{*t, short})
		if sub.Replay != nil && sub.Replay.Until != 0 {
			if f.ends == nil {
				f.ends = map[int]int64{}
			}
			f.ends[i] = sub.Replay.Until
		}
		p, err := sub.filter()
		if err != nil {
			return nil, fmt.Errorf("filter policy of subscription %s: %w", sub.ID, err)
		}
		if p == nil {
			f.all = append(f.all, i)
			continue
		}
		f.filtered++
		set := &f.attributes
		if sub.scope() == pattern.Body {
			set = &f.body
		}
		if *set == nil {
			*set = pattern.NewSet()
		}
		(*set).Add(i, p)
	}
	if len(f.targets) > spreadOver {
		f.byID = make(map[[16]byte]int, len(f.targets))
		for i := range f.targets {
			t := &f.targets[i]
			f.byID[t.binary] = i
			f.enveloped = f.enveloped || t.Protocol == "sqs" && !t.Raw
		}
		for _, i := range f.all {
			f.allIDs = append(f.allIDs, f.targets[i].binary[:]...)
		}
	}
	return f, nil
})

// target returns where the subscription's deliveries go.
func (sub *subscription) target() (*target, error) {
	dead, err := deadLetterTarget(sub.Attributes["RedrivePolicy"])
	return &target{sub.ID, sub.Protocol, sub.Endpoint, sub.Attributes["RawMessageDelivery"] == "true", dead}, err
}

// place returns where the target with that id is.
func (f *fanout) place(id [16]byte) (i int, ok bool) {
	if f.byID == nil { // there are fewer than when the message was published
		i = slices.IndexFunc(f.targets, func(t placed) bool { return t.binary == id })
		return i, i >= 0
	}
	i, ok = f.byID[id]
	return i, ok
}

// over reports whether a target gets no more messages at the time of that stamp.
func (f *fanout) over(i int, stamp int64) bool {
	end, ok := f.ends[i]
	return ok && stamp >= end
}

// deliveryTo makes the delivery of a message to a target.
func (f *topicFacts) deliveryTo(t *target, m message) delivery {
	d := delivery{target: *t, message: m}
	if f.feedback != nil {
		_, d.Report = f.feedback[feedbackKind(t.Protocol)]
	}
	return d
}

// matching returns the targets a message is for.
func (f *fanout) matching(p *publication) []int {
	if f.filtered == 0 {
		return f.all
	}
	list := append(make([]int, 0, len(f.all)+8), f.all...)
	visit := func(i int) { list = append(list, i) }
	if f.attributes != nil {
		f.attributes.Match(p.event(pattern.Attributes), visit)
	}
	if f.body != nil {
		if ev := p.event(pattern.Body); ev != nil {
			f.body.Match(ev, visit)
		}
	}
	return list
}

// maxCopied is how many bytes of message a publish may copy into its deliveries; beyond it they share the message.
const maxCopied = 1 << 20

// messages are those that deliveries share; pendings tell which still do.
var (
	messages = store.NewTable[message]("sns/message", store.Regional)
	pendings = store.NewTable[struct{}]("sns/pending", store.Regional)
)

// fanOut makes the message's deliveries within the transaction, or adds them to the relay.
func (s *Service) fanOut(ctx context.Context, tx *store.Tx, w *relay.Within[delivery], p *publication) error {
	name, facts, err := checkTopic(tx, p.Topic)
	if err != nil {
		return err
	}
	p.Version = facts.version
	if facts.fifo {
		if again, err := s.sequenced(tx, name, facts, p); again || err != nil {
			return err
		}
		if p.stamp = p.At; facts.archive != nil {
			facts.archive.store(tx, name, p)
		}
	}
	f, err := fanouts.Get(tx, store.K(name))
	if err != nil {
		return err
	}
	list := f.matching(p)
	if s.crowded(tx, name, f, list, p) {
		s.spreadOut(tx, name, f, list, p)
		return nil
	}
	targets := make([]*target, 0, len(list))
	for _, i := range list {
		if !f.over(i, p.stamp) {
			targets = append(targets, &f.targets[i].target)
		}
	}
	s.addAll(tx, w, facts, p, targets, "")
	return nil
}

// addAll makes deliveries of a message to targets. A big message for several is stored once for all. once begins the
// once-only keys of deliveries that may have been tried before.
func (s *Service) addAll(tx *store.Tx, w *relay.Within[delivery], facts *topicFacts, p *publication, targets []*target, once string) {
	share := len(targets) > 1 && len(targets)*p.size > maxCopied
	shared := map[string]bool{}
	for _, t := range targets {
		d := facts.deliveryTo(t, p.message)
		if once != "" {
			d.Once = once + "/" + t.ID
		}
		d.message.Body = p.body(t.bodyKey())
		if key := keyFor(t.Protocol); t.enveloped() && !share && p.bodies == nil && p.signed != key {
			p.signed = key
			s.signer.begin(&d.message, key)
		}
		if share {
			key := t.bodyKey()
			if !shared[key] {
				shared[key] = true
				messages.Put(tx, store.K(p.ID, key), d.message)
			}
			pendings.Put(tx, store.K(p.ID, key, t.ID), struct{}{})
			d.message = message{ID: p.ID, Topic: p.Topic, Group: p.Group, Sequence: p.Sequence}
			d.Shared = true
		}
		if !d.prompt() || !w.Add(tx, d.ID, d) {
			s.add(tx, d)
		}
	}
}
