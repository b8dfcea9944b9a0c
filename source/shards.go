package source

import (
	"cmp"
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
	tails map[string][]*relay.Tail[Record] // of a shard's lanes
	left  map[string]int                   // lanes of a shard that are not done with
	ended map[string]bool                  // the shards that are done with
	ends  chan string
}

// Follow follows every shard of the stream, children after their parents, until ctx ends.
func (s *Stream) Follow(ctx context.Context) {
	f := &family{s, map[string][]*relay.Tail[Record]{}, map[string]int{}, map[string]bool{}, make(chan string, 64)}
	defer func() {
		for id := range f.tails {
			f.stop(id)
		}
	}()
	for ctx.Err() == nil {
		shards, err := s.shards(ctx)
		if err == nil {
			err = f.forget(ctx, shards)
		}
		if err == nil {
			err = f.begin(ctx, shards)
		}
		if err != nil {
			s.Note(ctx, err)
			s.World.Wait(ctx, nil, discoverDelay)
			continue
		}
		select {
		case id := <-f.ends:
			if f.left[id]--; f.left[id] == 0 {
				f.ended[id] = true
				f.stop(id)
			}
		case <-ctx.Done():
		}
	}
}

// stop ends the tails of a shard's lanes.
func (f *family) stop(id string) {
	for _, t := range f.tails[id] {
		t.Stop()
	}
}

// begin starts the tails of the shards that are new and have no parent still being read.
func (f *family) begin(ctx context.Context, shards []dynamodbstreams.Shard) error {
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
			if err := f.start(ctx, &shards[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts the tails of a shard's lanes. When there were other lanes before, all go on where the last of those was.
func (f *family) start(ctx context.Context, shard *dynamodbstreams.Shard) error {
	id := shard.GetShardId()
	lanes := max(f.Parallel, 1)
	names := make([]string, lanes)
	for lane := range lanes {
		names[lane] = f.Name + "/" + id + f.laneName(lane)
	}
	err := f.DB.Update(ctx, func(tx *store.Tx) error {
		relay.Regroup(tx.In(f.Account, f.Region), f.Name+"/"+id, names, compareCursors)
		return nil
	})
	if err != nil {
		return err
	}
	f.left[id] = lanes
	for lane := range lanes {
		t := f.tail(id, lane, f.first(shard), f.ends)
		f.tails[id] = append(f.tails[id], t)
		t.Start(f.DB, f.World, f.Log)
	}
	return nil
}

// compareCursors orders cursors of a shard by how far they are.
func compareCursors(a, b string) int {
	rank := func(cursor string) int {
		switch {
		case cursor == "":
			return 0
		case cursor == cursorEnd:
			return 3
		case strings.HasPrefix(cursor, cursorAfter):
			return 2
		}
		return 1 // where LATEST was
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
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
	for id := range f.tails {
		if !listed[id] {
			f.stop(id)
			delete(f.tails, id)
			delete(f.left, id)
			delete(f.ended, id)
		}
	}
	return f.DB.Update(ctx, func(tx *store.Tx) error {
		tx = tx.In(f.Account, f.Region)
		relay.KeepTails(tx, f.Name, func(rest string) bool {
			id, _, _ := strings.Cut(rest, "/")
			return listed[id]
		})
		for key := range openWindows.Keys(tx, store.Range{Prefix: store.K(f.Name)}) {
			var id string
			if err := key.Parse(nil, &id, nil); err != nil {
				return err
			}
			if !listed[id] {
				openWindows.Delete(tx, key)
			}
		}
		return nil
	})
}

// Forget removes what is stored of a consumer that is deleted. It must have stopped, or it is stored again.
func Forget(tx *store.Tx, name string) {
	relay.ForgetTails(tx, name)
	for key := range openWindows.Keys(tx, store.Range{Prefix: store.K(name)}) {
		openWindows.Delete(tx, key)
	}
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
