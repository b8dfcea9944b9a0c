package sns

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fogbank/aws"
	"fogbank/relay"
	"fogbank/store"
)

// A message for more than a few queues is stored once, with the list of the subscriptions it is for, so that a publish costs about
// the same however many there are. Relay sns/spread works through the list, in chunks: it hands the message to all queues of
// a chunk in one transaction of the store, which also notes that the chunk is done, and makes deliveries of what
// is left: for other protocols, for queues that have earlier messages waiting, and for those that failed.
const (
	spreadOver    = 8   // queues that the message is for,
	spreadAll     = 256 // or subscriptions of any kind
	spreadChunk   = 64  // subscriptions
	spreadBytes   = 4 << 20
	spreadWorkers = 4 // chunks at once, but no more than leave a processor to others
	spreadLanes   = 8 // topics at once, of which one gets half
)

// chunkPlaces is how many chunks are worked on at once. Each keeps a processor busy. With all of them busy the network would be looked
// at only every hundredth of a second, and whoever publishes or receives would wait for that.
func chunkPlaces() int { return max(1, min(spreadWorkers, runtime.GOMAXPROCS(0)-1)) }

// spread is a message on its way to many subscriptions.
type spread struct {
	message message
	bodies  map[string]string
	ids     []byte // of the subscriptions, 16 bytes each
}

// AppendBinary implements encoding.BinaryAppender.
func (j *spread) AppendBinary(b []byte) ([]byte, error) {
	bodies := ""
	if j.bodies != nil {
		text, err := json.Marshal(j.bodies)
		if err != nil {
			return b, err
		}
		bodies = string(text)
	}
	b = slices.Grow(b, len(bodies)+len(j.ids)+j.message.size()+1024)
	b = binary.AppendUvarint(appendText(b, bodies), uint64(len(j.ids)))
	b = append(append(b, j.ids...), 0)
	return j.message.AppendBinary(b)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (j *spread) UnmarshalBinary(b []byte) error {
	r := &reader{b: b}
	bodies := r.text()
	j.ids = []byte(r.text())
	r.uint()
	j.message.read(r)
	if r.err == nil && bodies != "" {
		r.err = json.Unmarshal([]byte(bodies), &j.bodies)
	}
	if len(j.ids)%16 != 0 {
		r.err = errRecord
	}
	return r.err
}

// progress tells that a chunk of an item is done, or of earlier versions' items so many ids.
type progress struct {
	Item string
	Done int `json:",omitempty"`
}

// progresses are kept by topic and chunk, of the topic's last item; those of earlier versions by topic.
var progresses = store.NewTable[progress]("sns/progress", store.Regional)

// crowded reports whether a message goes the way of spread: it is for many, or others that did are still under way and
// would be overtaken.
func (s *Service) crowded(tx *store.Tx, name string, f *fanout, list []int, p *publication) bool {
	return p.Sequence == 0 && (f.many(list) || f.byID != nil && s.spread.Has(tx, name))
}

// many reports whether a list of targets is long enough for spread.
func (f *fanout) many(list []int) bool {
	if len(list) <= spreadOver || len(list) > spreadAll {
		return len(list) > spreadOver
	}
	queues := 0
	for _, i := range list {
		if f.targets[i].Protocol == "sqs" {
			if queues++; queues > spreadOver {
				return true
			}
		}
	}
	return false
}

// spreadOut puts a message on its way to many subscriptions.
func (s *Service) spreadOut(tx *store.Tx, name string, f *fanout, list []int, p *publication) {
	j := spread{message: p.message, bodies: p.bodies, ids: f.allIDs}
	if f.filtered > 0 {
		j.ids = make([]byte, 0, 16*len(list))
		for _, i := range list {
			j.ids = append(j.ids, f.targets[i].binary[:]...)
		}
	}
	if f.enveloped && p.bodies == nil && p.signed != queueKey {
		p.signed = queueKey
		s.signer.begin(&p.message, queueKey)
	}
	s.spread.Add(tx, name, j)
}

// binaryID is the id of a subscription in 16 bytes.
func binaryID(id string) (b [16]byte, err error) {
	_, err = hex.Decode(b[:], []byte(strings.ReplaceAll(id, "-", "")))
	return b, err
}

// carry works through the list of a message, several chunks at once where there are places.
func (s *Service) carry(ctx context.Context, item relay.Item[spread]) error {
	c, err := s.newCarrier(ctx, item)
	if err != nil {
		return err
	}
	chunks := (len(c.ids)/16 + c.size - 1) / c.size
	var next atomic.Int64
	var group sync.WaitGroup
	problems := make([]error, max(1, min(cap(s.places), chunks)))
	for w := range problems[1:] {
		group.Add(1)
		s.world.Go(func(context.Context) {
			defer group.Done()
			problems[w+1] = c.work(ctx, &next, chunks)
		})
	}
	problems[0] = c.work(ctx, &next, chunks)
	group.Wait()
	return errors.Join(problems...)
}

// carrier is a message being carried.
type carrier struct {
	*Service
	publication
	item  string // its id
	first bool   // no chunk can be done already
	at    time.Time
	topic string
	ids   []byte
	size  int // ids in a chunk
}

func (s *Service) newCarrier(ctx context.Context, item relay.Item[spread]) (*carrier, error) {
	j := &item.Value
	c := &carrier{Service: s, publication: publication{message: j.message, bodies: j.bodies, size: j.message.size(), signed: queueKey},
		item: item.ID, first: aws.FirstAttempt(ctx), at: item.FirstAt, topic: aws.ARN(j.message.Topic).Resource(), ids: j.ids}
	c.size = max(1, min(spreadChunk, spreadBytes/(c.publication.size+1024)))
	if c.first {
		return c, nil
	}
	return c, s.db.View(ctx, func(tx *store.Tx) error {
		if at, _ := progresses.Get(tx, store.K(c.topic)); at.Item == c.item {
			c.ids = c.ids[min(16*at.Done, len(c.ids)):]
		}
		return nil
	})
}

// work carries chunks from next on, as long as there are any.
func (c *carrier) work(ctx context.Context, next *atomic.Int64, chunks int) error {
	for n := int(next.Add(1)) - 1; n < chunks; n = int(next.Add(1)) - 1 {
		if err := c.carryInPlace(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// carryInPlace is carry when there is a place.
func (c *carrier) carryInPlace(ctx context.Context, n int) error {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	return c.carry(ctx, n)
}

// carry hands the message to the subscriptions of one chunk.
func (c *carrier) carry(ctx context.Context, n int) error {
	facts, targets, err := c.look(ctx, n)
	if err != nil || targets == nil {
		return err
	}
	var e envelope
	if slices.ContainsFunc(targets, func(t crowdTarget) bool { return !t.later && !t.Raw }) {
		if e, err = c.seal(ctx); err != nil {
			return err
		}
	}
	err = c.together(ctx, n, facts, targets, e)
	if err != nil && ctx.Err() == nil {
		err = c.apart(ctx, n, facts, targets, e)
	}
	if err != nil || facts == nil || facts.feedback == nil {
		return err
	}
	for _, t := range targets {
		if !t.later {
			d := c.delivery(facts, t.target)
			c.report(ctx, &d, result{status: 200, attempts: 1, dwell: c.world.Now().Sub(c.at)})
		}
	}
	return nil
}

// seal puts what is for queues into its signed envelope.
func (c *carrier) seal(ctx context.Context) (envelope, error) {
	m := c.message
	m.Body = c.body("sqs")
	signature, err := c.signer.sign(ctx, &m, queueKey)
	return m.envelope(signature), err
}

// crowdTarget is one of many targets; later: a delivery is to be made.
type crowdTarget struct {
	*target
	later bool
}

// look returns the targets of a chunk, without those that ended since the publish; nil when the chunk is done already.
func (c *carrier) look(ctx context.Context, n int) (facts *topicFacts, targets []crowdTarget, err error) {
	ids := c.ids[16*n*c.size : min(16*(n+1)*c.size, len(c.ids))]
	err = c.db.View(ctx, func(tx *store.Tx) error {
		if !c.first {
			if at, _ := progresses.Get(tx, c.chunk(n)); at.Item == c.item {
				return nil
			}
		}
		targets = make([]crowdTarget, 0, len(ids)/16)
		f, err := fanouts.Get(tx, store.K(c.topic))
		if err != nil {
			return err
		}
		if _, facts, err = checkTopic(tx, c.Topic); err != nil {
			return err
		}
		for ; len(ids) > 0; ids = ids[16:] {
			if i, ok := f.place([16]byte(ids)); ok {
				t := &f.targets[i].target
				targets = append(targets, crowdTarget{target: t, later: t.Protocol != "sqs" || c.relay.Has(tx, t.ID)})
			}
		}
		return nil
	})
	if aws.IsCode(err, "NotFoundException") {
		return nil, nil, nil // the topic is gone, and its subscriptions with it
	}
	return facts, targets, err
}

// chunk is the key of the progress of a chunk.
func (c *carrier) chunk(n int) store.Key { return store.K(c.topic, n) }

func (c *carrier) delivery(facts *topicFacts, t *target) delivery {
	d := facts.deliveryTo(t, c.message)
	d.message.Body = c.body(t.bodyKey())
	return d
}

// together hands the message to all targets in one transaction. No once-only keys are needed.
func (c *carrier) together(ctx context.Context, n int, facts *topicFacts, targets []crowdTarget, e envelope) error {
	failed := make([]bool, len(targets))
	err := c.db.Join(ctx, func(j *store.Joint) error {
		clear(failed)
		for i, t := range targets {
			if t.later {
				continue
			}
			failed[i] = nil != j.Do(func(ctx context.Context) error {
				d := c.delivery(facts, t.target)
				return c.handQueue(ctx, &d, "", e)
			})
		}
		return j.Do(func(ctx context.Context) error { return c.note(ctx, n, facts, targets, failed) })
	})
	if err == nil {
		for i := range targets {
			targets[i].later = targets[i].later || failed[i]
		}
	}
	return err
}

// apart does so one by one, as must be when that failed: some may have the message already when it is done again.
func (c *carrier) apart(ctx context.Context, n int, facts *topicFacts, targets []crowdTarget, e envelope) error {
	for i := range targets {
		t := &targets[i]
		if t.later {
			continue
		}
		d := c.delivery(facts, t.target)
		t.later = c.handQueue(ctx, &d, c.item+"/"+t.ID, e) != nil
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return c.note(ctx, n, facts, targets, make([]bool, len(targets)))
}

// note makes deliveries for those targets that are to wait, and notes that the chunk is done.
func (c *carrier) note(ctx context.Context, n int, facts *topicFacts, targets []crowdTarget, failed []bool) error {
	var rest []*target
	for i, t := range targets {
		if t.later || failed[i] {
			rest = append(rest, t.target)
		}
	}
	return c.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		p := c.publication
		c.addAll(tx, nil, facts, &p, rest, c.item)
		_, _, err := checkTopic(tx, c.Topic)
		if err == nil {
			progresses.Put(tx, c.chunk(n), progress{Item: c.item})
		} else if !aws.IsCode(err, "NotFoundException") { // nothing is to be left of a topic that is gone
			return err
		}
		return nil
	})
}
