package sns

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// deduplicationTime is how long a FIFO topic takes a message with the same deduplication id for the same message.
//
// https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html
const deduplicationTime = 5 * time.Minute

// sweep is how many remembered messages a publish forgets that are too old.
const sweep = 4

// accepted is a message a FIFO topic took.
type accepted struct {
	ID       string
	Sequence uint64
	At       time.Time
}

// sequences is the last sequence number of a FIFO topic. accepteds are the messages lately taken, by
// deduplication id; fadings are the same in the order in which they are forgotten.
var (
	sequences = store.NewTable[uint64]("sns/sequence", store.Regional)
	accepteds = store.NewTable[accepted]("sns/accepted", store.Regional)
	fadings   = store.NewTable[string]("sns/fading", store.Regional)
)

// sequenceNumber is a sequence number as AWS writes it: twenty digits.
func sequenceNumber(n uint64) string { return fmt.Sprintf("1%019d", n) }

// sequence returns the sequence number of a message of a FIFO topic.
func (p *publication) sequence() *string {
	if p.Sequence == 0 {
		return nil
	}
	return new(sequenceNumber(p.Sequence))
}

// topicLock names the lock under which a FIFO topic gives out numbers; standard topics need none.
func topicLock(topic string) []string {
	if strings.HasSuffix(topic, ".fifo") {
		return []string{"sns/fifo/" + topic}
	}
	return nil
}

// fifoToken applies AWS's rule for message group and deduplication ids: 1 to 128 letters, digits and ASCII punctuation marks.
func fifoToken(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sequenced gives a message its sequence number, or finds that the topic has it already: then it takes over the number and the id
// of the one before, and is not delivered again.
func (s *Service) sequenced(tx *store.Tx, name string, f *topicFacts, p *publication) (again bool, err error) {
	if p.Deduplication == "" {
		if !f.content {
			return false, invalid("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
		}
		sum := sha256.Sum256([]byte(p.Body))
		p.Deduplication = hex.EncodeToString(sum[:])
	}
	now := tx.World().Now()
	group := ""
	if f.byGroup {
		group = p.Group
	}
	key := store.K(name, group, p.Deduplication)
	if have, ok := accepteds.Get(tx, key); ok && now.Sub(have.At) < deduplicationTime {
		p.ID, p.Sequence = have.ID, have.Sequence
		return true, nil
	}
	last, _ := sequences.Get(tx, store.K(name))
	p.Sequence = last + 1
	sequences.Put(tx, store.K(name), p.Sequence)
	accepteds.Put(tx, key, accepted{p.ID, p.Sequence, now})
	fadings.Put(tx, store.K(name, p.Sequence), string(key))
	for at, id := range fadings.Scan(tx, store.Range{Prefix: store.K(name), Limit: sweep}) {
		have, ok := accepteds.Get(tx, store.Key(id))
		if ok && now.Sub(have.At) < deduplicationTime {
			var n uint64
			if err := at.Parse(nil, &n); err != nil {
				return false, err
			}
			if have.Sequence == n {
				break
			}
		} else if ok {
			accepteds.Delete(tx, store.Key(id))
		}
		fadings.Delete(tx, at)
	}
	return false, nil
}

// forget removes what a FIFO topic remembers.
func (s *Service) forget(tx *store.Tx, topic string) {
	sequences.Delete(tx, store.K(topic))
	for key := range accepteds.Keys(tx, store.Range{Prefix: store.K(topic)}) {
		accepteds.Delete(tx, key)
	}
	for key := range fadings.Keys(tx, store.Range{Prefix: store.K(topic)}) {
		fadings.Delete(tx, key)
	}
}

// order adds to a queue's message what keeps its order: a FIFO queue gets the group and the deduplication id, a standard
// queue the group, for its fairness.
func (m *message) order(in *sqs.SendMessageInput, queue string) {
	if m.Group == "" {
		return
	}
	in.MessageGroupId = &m.Group
	if m.Deduplication != "" && strings.HasSuffix(aws.ARN(queue).Resource(), ".fifo") {
		in.MessageDeduplicationId = &m.Deduplication
	}
}
