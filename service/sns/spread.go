package sns

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"fogbank/aws"
	"fogbank/relay"
	"fogbank/store"
)

// A message for many subscriptions is stored once, with the list of their ids, so that a publish costs about the same however
// many there are. Relay sns/spread works through the list: it hands the message to each queue as a delivery would, and makes
// deliveries of what is left, which is for other protocols, for queues that have earlier messages waiting, and for
// those that failed.
const (
	spreadOver    = 256 // matching subscriptions
	spreadBatch   = 1000
	spreadWorkers = 64
	spreadLanes   = 8 // topics at once, of which one gets half
)

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

// progress is how far the first item of a topic's lane has come.
type progress struct {
	Item string
	Done int // ids
}

// progresses are kept by topic.
var progresses = store.NewTable[progress]("sns/progress", store.Regional)

// crowded reports whether a message goes the way of spread: it is for many, or others that did are still under way and
// would be overtaken.
func (s *Service) crowded(tx *store.Tx, name string, f *fanout, list []int, p *publication) bool {
	return p.Sequence == 0 && (len(list) > spreadOver || len(f.targets) > spreadOver && s.spread.Has(tx, name))
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

// carry works through the list of a message.
func (s *Service) carry(ctx context.Context, item relay.Item[spread]) error {
	j := &item.Value
	name := aws.ARN(j.message.Topic).Resource()
	var at progress
	err := s.db.View(ctx, func(tx *store.Tx) error {
		at, _ = progresses.Get(tx, store.K(name))
		return nil
	})
	if err != nil {
		return err
	}
	if at.Item != item.ID {
		at = progress{Item: item.ID}
	}
	for at.Done < len(j.ids)/16 {
		n := min(len(j.ids)/16-at.Done, spreadBatch)
		if err := s.carrySome(ctx, item, name, j.ids[16*at.Done:][:16*n], &at); err != nil {
			return err
		}
	}
	return nil
}

// carrySome hands the message to some of its subscriptions, and notes that in the transaction that makes deliveries for the others.
// Those that ended since the publish are left out.
func (s *Service) carrySome(ctx context.Context, item relay.Item[spread], name string, ids []byte, at *progress) error {
	j := &item.Value
	p := &publication{message: j.message, bodies: j.bodies, size: j.message.size(), signed: queueKey}
	var facts *topicFacts
	var targets []crowdTarget
	err := s.db.View(ctx, func(tx *store.Tx) error {
		targets = targets[:0]
		f, err := fanouts.Get(tx, store.K(name))
		if err != nil {
			return err
		}
		if _, facts, err = checkTopic(tx, j.message.Topic); err != nil {
			return err
		}
		for ; len(ids) > 0; ids = ids[16:] {
			if i, ok := f.byID[[16]byte(ids)]; ok {
				t := &f.targets[i].target
				targets = append(targets, crowdTarget{target: t, later: t.Protocol != "sqs" || s.relay.Has(tx, t.ID)})
			}
		}
		return nil
	})
	if aws.IsCode(err, "NotFoundException") {
		targets, err = nil, nil // the topic is gone, and its subscriptions with it
	}
	if err != nil {
		return err
	}
	s.handAll(ctx, item, facts, p, targets)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	at.Done += spreadBatch
	return s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		var rest []*target
		for i := range targets {
			if targets[i].later {
				rest = append(rest, targets[i].target)
			}
		}
		s.addAll(tx, facts, p, rest, item.ID)
		progresses.Put(tx, store.K(name), *at)
		return nil
	})
}

// crowdTarget is one of many targets; later: a delivery is to be made.
type crowdTarget struct {
	*target
	later bool
}

// handAll hands a message to those targets that are not to wait, many at once, and makes those wait that fail.
func (s *Service) handAll(ctx context.Context, item relay.Item[spread], facts *topicFacts, p *publication, targets []crowdTarget) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(spreadWorkers, len(targets)) {
		group.Add(1)
		s.world.Go(func(context.Context) {
			defer group.Done()
			for i := int(next.Add(1)) - 1; i < len(targets) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				t := &targets[i]
				if t.later {
					continue
				}
				d := facts.deliveryTo(t.target, p.message)
				d.message.Body = p.body(t.bodyKey())
				if err := s.hand(ctx, &d, item.ID+"/"+t.ID); err != nil {
					t.later = true
					continue
				}
				s.report(ctx, &d, result{status: 200, attempts: 1, dwell: s.world.Now().Sub(item.FirstAt)})
			}
		})
	}
	group.Wait()
}
