package sim_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"fogbank/api/dynamodb"
	"fogbank/api/dynamodbstreams"
	"fogbank/wire/attribute"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestSplitHistories plays histories whose stream is written to so fast that its shards are split, with power cuts: the function
// still gets every change, in order per item, and children of shards after their parents; with lanes too.
func TestSplitHistories(t *testing.T) {
	for n := range uint64(2) {
		t.Run(fmt.Sprintf("seed%d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &history{t: t, chance: rand.New(rand.NewPCG(n, 4)), faults: rand.New(rand.NewPCG(n, 5)), disk: vfs.NewCrashableMem(),
					acked: map[string]int{}, seen: map[string]int{}, lanes: int32(1 + 3*n)}
				h.open(n)
				h.deploy()
				// Power that is cut before a shard is split takes the news that it must be, until as much again is written.
				const burst = 360
				for step := 0; step == 0 || step%burst != 0 || step < 3*burst && h.shards() < 3; step++ {
					h.writeAll(step + 1)
					if h.chance.IntN(100) == 0 {
						h.powerCut(n*10_000 + uint64(step))
					}
				}
				h.drain()
				if shards := h.shards(); shards < 3 {
					t.Errorf("%d shards: none was split", shards)
				}
				if err := h.cloud.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// writeAll writes a version of 25 items.
func (h *history) writeAll(version int) {
	in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]dynamodb.WriteRequest{}}
	for i := range 25 {
		item := attribute.MakeItem(attribute.Attribute{Name: "id", Value: attribute.S(fmt.Sprint("item-", i))},
			attribute.Attribute{Name: "version", Value: attribute.N(fmt.Sprint(version))})
		in.RequestItems["items"] = append(in.RequestItems["items"], dynamodb.WriteRequest{PutRequest: &dynamodb.PutRequest{Item: item}})
	}
	if _, err := (dynamodb.Client{Invoke: h.cloud.Do}).BatchWriteItem(h.context(), in); err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range 25 {
		h.acked[fmt.Sprint("item-", i)] = version
	}
}

// shards counts the shards of the table's stream.
func (h *history) shards() int {
	table, err := dynamodb.Client{Invoke: h.cloud.Do}.DescribeTable(h.context(), &dynamodb.DescribeTableInput{TableName: "items"})
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := dynamodbstreams.Client{Invoke: h.cloud.Do}.DescribeStream(h.context(), &dynamodbstreams.DescribeStreamInput{StreamArn: *table.Table.LatestStreamArn})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(out.StreamDescription.Shards)
}
