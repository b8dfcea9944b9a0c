package dynamodb

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
)

// shard is a part of a stream: the changes of the items whose partition keys' hashes begin with From to To, in order. When too
// much is written to it, it is closed and two others, each with half of its range, go on in its place; when it is old, one.
type shard struct {
	Number uint64
	Parent uint64    `json:",omitempty"`
	Opened time.Time // part of its id
	// Older is the parent's id, which stays known when the parent is forgotten.
	Older string `json:",omitempty"`
	From  uint64 `json:",omitempty"`
	To    uint64 `json:",omitempty"` // 0 stands for the greatest number
	// Base is the sequence number of the parent's last record: the shard's go on from there.
	Base   uint64    `json:",omitempty"`
	Closed time.Time `json:",omitzero"`
}

const (
	// splitAfter is how many records are looked at to tell a shard's load: when they came faster than shardRate a second,
	// the shard is split. AWS does so by the load of its partitions, each good for 1,000 writes a second. They are many, so that
	// a short burst splits nothing.
	splitAfter = 8192
	shardRate  = 1000
	// maxOpenShards bounds the shards of a stream that are written to; those that were are forgotten with their last record.
	maxOpenShards = 32
	// shardLife is after how long a shard is closed, and a child goes on in its place: about four hours in AWS, seen to hourly.
	shardLife = 4 * time.Hour
)

// to is the last hash of the shard.
func (s *shard) to() uint64 {
	if s.To == 0 {
		return math.MaxUint64
	}
	return s.To
}

// id is the shard's id as clients see it.
func (s *shard) id(st *stream) string {
	return fmt.Sprintf("shardId-%020d-%08x", s.Opened.UnixMilli(), uint32(st.ID>>32)^uint32(st.ID)^uint32(s.Number))
}

// sequence is the sequence number of the shard's record number n.
func (s *shard) sequence(n uint64) string { return sequence(s.Base + n) }

// closed reports whether nothing is written to the shard any more.
func (s *stream) closed(sh *shard) bool { return !s.Ended.IsZero() || !sh.Closed.IsZero() }

// topic is what wakes the readers of a shard.
func (s *stream) topic(sh *shard) string { return string(s.ARN) + "/" + sh.id(s) }

// outlet is an open shard made ready for those who write to it.
type outlet struct {
	from   uint64
	number uint64
	part   store.Key
	topic  string
}

// outlets returns the open shards of a stream in the order of their ranges.
func (s *stream) outlets() (list []outlet) {
	if s == nil {
		return nil
	}
	for i := range s.Shards {
		if sh := &s.Shards[i]; sh.Closed.IsZero() {
			list = append(list, outlet{sh.From, sh.Number, s.part(sh.Number), s.topic(sh)})
		}
	}
	slices.SortFunc(list, func(a, b outlet) int {
		if a.from < b.from {
			return -1
		}
		return 1
	})
	return list
}

// outlet returns the shard that changes of the item at key go to.
func (t *schema) outlet(key store.Key) *outlet {
	if len(t.outlets) == 1 {
		return &t.outlets[0]
	}
	at := len(t.prefix) + 1 // behind the mark
	hash := binary.BigEndian.Uint64([]byte(key[at : at+8]))
	i := len(t.outlets) - 1
	for i > 0 && t.outlets[i].from > hash {
		i--
	}
	return &t.outlets[i]
}

// strain is the news that a shard has so many records, to be looked at.
type strain struct {
	account, region, table string
	shard, records         uint64
}

// strained hears of every record of a shard, when its number is known, and passes on one in splitAfter.
func (s *Service) strained(tx *store.Tx, table string, shard uint64, record *store.Seq) {
	account, region := tx.Account(), tx.Region()
	tx.AfterCommit(func() {
		if record.N%s.splitAfter != 0 {
			return
		}
		select {
		case s.strains <- strain{account, region, table, shard, record.N}:
		default: // there will be others
		}
	})
}

// divide splits shards that are written to too fast.
func (s *Service) divide(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-s.strains:
			if err := s.split(ctx, n); err != nil && ctx.Err() == nil {
				continue // the store has told; the next news tries again
			}
		}
	}
}

// split closes a shard and opens two in its place, when its last splitAfter records came faster than shardRate. Writers
// that had chosen the shard find their table changed and choose again.
func (s *Service) split(ctx context.Context, n strain) error {
	now := s.world.Now()
	ctx = aws.WithCall(ctx, &aws.Call{Account: n.account, Region: n.region})
	return s.db.Update(ctx, func(tx *store.Tx) error {
		t, ok := tables.Get(tx, store.K(n.table))
		if !ok || t.Stream == nil {
			return nil
		}
		st := *t.Stream
		st.Shards = slices.Clone(st.Shards)
		open := 0
		var at *shard
		for i := range st.Shards {
			sh := &st.Shards[i]
			if sh.Closed.IsZero() {
				open++
				if sh.Number == n.shard {
					at = sh
				}
			}
		}
		if at == nil || open >= maxOpenShards || at.From == at.to() {
			return nil
		}
		first := records.Read(tx, st.part(at.Number), n.records-min(n.records, s.splitAfter), 1)
		if len(first) == 0 || now.Sub(first[0].Value.at) > time.Duration(s.splitAfter)*time.Second/shardRate {
			return nil
		}
		tx.Wake(st.topic(at))
		st.halve(at, records.Last(tx, st.part(at.Number)), now)
		st.save(tx)
		return nil
	})
}

// halve closes the shard after its record number last, and opens one for each half of its range.
func (s *stream) halve(at *shard, last uint64, now time.Time) {
	low := s.close(at, last, now)
	high := low
	low.To = at.From + (at.to()-at.From)/2
	high.Number, high.From = low.Number+1, low.To+1
	s.Shards = append(s.Shards, low, high)
}

// close closes the shard after its record number last, and returns a child that may go on in its place.
func (s *stream) close(at *shard, last uint64, now time.Time) shard {
	at.Closed = now
	highest := uint64(0)
	for i := range s.Shards {
		highest = max(highest, s.Shards[i].Number)
	}
	return shard{Number: highest + 1, Parent: at.Number, Older: at.id(s), Opened: now, From: at.From, To: at.To, Base: at.Base + last}
}

// renew replaces the shards that were open for shardLife, each by one child.
func (s *Service) renew(ctx context.Context, id store.Key) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok := streams.Get(tx, id)
		if !ok {
			return nil
		}
		var children []shard
		for i := range st.Shards {
			sh := &st.Shards[i]
			if st.closed(sh) || sh.Opened.Add(shardLife).After(now) {
				continue
			}
			tx.Wake(st.topic(sh))
			child := st.close(sh, records.Last(tx, st.part(sh.Number)), now)
			child.Number += uint64(len(children))
			children = append(children, child)
		}
		if len(children) > 0 {
			st.Shards = append(st.Shards, children...)
			st.save(tx)
		}
		return nil
	})
}

// save stores the stream, and in the record of its table while it is the table's.
func (s *stream) save(tx *store.Tx) {
	streams.Put(tx, store.K(s.Table, s.Label), *s)
	if t, ok := tables.Get(tx, store.K(s.Table)); ok && t.Stream != nil && t.Stream.ID == s.ID {
		t.Stream = s
		t.Version++
		tables.Put(tx, store.K(t.Name), t)
	}
}

// emit appends the write to the table's stream, in the transaction of the write, and wakes its readers.
func (w *write) emit(tx *store.Tx, now time.Time) {
	s := w.t.Stream
	if s == nil {
		return
	}
	r := record{kind: modified, at: now, expired: w.by == byTTL}
	switch {
	case w.old == nil:
		r.kind = inserted
	case w.new == nil:
		r.kind = removed
	}
	if w.new != nil {
		r.keys = w.t.keysOf(w.new)
	} else {
		r.keys = w.t.keysOf(w.old)
	}
	if s.View == dynamodb.StreamViewTypeNewImage || s.View == dynamodb.StreamViewTypeNewAndOldImages {
		r.new = w.new
	}
	if s.View == dynamodb.StreamViewTypeOldImage || s.View == dynamodb.StreamViewTypeNewAndOldImages {
		r.old = w.old
	}
	o := w.t.outlet(w.key)
	number := records.Append(tx, o.part, r)
	tx.Wake(o.topic)
	if w.on != nil {
		w.on.strained(tx, w.t.Name, o.number, number)
	}
}
