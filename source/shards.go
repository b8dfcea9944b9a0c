package source

import (
	"context"
	"strconv"
	"strings"
	"time"

	"fogbank/api/dynamodbstreams"
	"fogbank/relay"
	"fogbank/store"
)

// family is what a consumer knows of its stream's shards.
type family struct {
	*Stream
	tails map[string]*relay.Tail[Record]
	ended map[string]bool // the shards that are done with
	ends  chan string
}

// Follow follows every shard of the stream, children after their parents, until ctx ends.
func (s *Stream) Follow(ctx context.Context) {
	f := &family{s, map[string]*relay.Tail[Record]{}, map[string]bool{}, make(chan string, 64)}
	defer func() {
		for _, t := range f.tails {
			t.Stop()
		}
	}()
	for ctx.Err() == nil {
		shards, err := s.shards(ctx)
		if err == nil {
			err = f.forget(ctx, shards)
		}
		if err != nil {
			s.Note(ctx, err)
			s.World.Wait(ctx, nil, discoverDelay)
			continue
		}
		f.begin(shards)
		select {
		case id := <-f.ends:
			f.ended[id] = true
			if t := f.tails[id]; t != nil { // else it was forgotten meanwhile
				t.Stop()
			}
		case <-ctx.Done():
		}
	}
}

// begin starts the tails of the shards that are new and have no parent still being read.
func (f *family) begin(shards []dynamodbstreams.Shard) {
	listed := map[string]bool{}
	for i := range shards {
		id, parent := shards[i].GetShardId(), shards[i].GetParentShardId()
		listed[id] = true
		if f.Start == "LATEST" && !opened(id).After(f.Since) {
			f.ended[parent] = true // it was closed before the consumer was made
		}
	}
	for i := range shards {
		id, parent := shards[i].GetShardId(), shards[i].GetParentShardId()
		if f.tails[id] == nil && !f.ended[id] && (!listed[parent] || f.ended[parent]) {
			f.tails[id] = f.tail(id, f.first(&shards[i]), f.ends)
			f.tails[id].Start(f.DB, f.World, f.Log)
		}
	}
}

// first is the cursor to begin a shard with.
func (f *family) first(shard *dynamodbstreams.Shard) string {
	switch {
	case f.Start != "LATEST" || opened(shard.GetShardId()).After(f.Since):
		return ""
	case shard.SequenceNumberRange != nil && shard.SequenceNumberRange.EndingSequenceNumber != nil:
		return cursorSince // it was open when the consumer was made
	}
	return cursorLatest
}

// opened returns when a shard was opened, which its id begins with: "shardId-", milliseconds since 1970, "-".
func opened(id string) time.Time {
	text, _, _ := strings.Cut(strings.TrimPrefix(id, "shardId-"), "-")
	ms, _ := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(ms)
}

// forget removes the positions in shards that are no longer there.
func (f *family) forget(ctx context.Context, shards []dynamodbstreams.Shard) error {
	listed := map[string]bool{}
	for i := range shards {
		listed[shards[i].GetShardId()] = true
	}
	for id, t := range f.tails {
		if !listed[id] {
			t.Stop()
			delete(f.tails, id)
			delete(f.ended, id)
		}
	}
	return f.DB.Update(ctx, func(tx *store.Tx) error {
		relay.KeepTails(tx.In(f.Account, f.Region), f.Name, func(id string) bool { return listed[id] })
		return nil
	})
}

// shards lists the stream's shards.
func (s *Stream) shards(ctx context.Context) (list []dynamodbstreams.Shard, err error) {
	as, err := s.Role(ctx, nil)
	if err != nil {
		return nil, err
	}
	ctx = as.In(ctx, s.ARN.Account(), s.ARN.Region())
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: string(s.ARN)}
	for {
		out, err := dynamodbstreams.Client{Invoke: s.Calls}.DescribeStream(ctx, in)
		if err != nil {
			return nil, err
		}
		list = append(list, out.StreamDescription.Shards...)
		if in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return list, nil
		}
	}
}
