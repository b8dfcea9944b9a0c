package dynamodb

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/dynamodbstreams"
)

// put writes n items of as many partition keys.
func (c *cloud) fill(n, from int) {
	for i := range n {
		c.want("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"%d"}}}`, from+i), `{}`)
	}
}

func (c *cloud) shards(arn string) []dynamodbstreams.Shard {
	c.t.Helper()
	out, err := c.s.Streams().DescribeStream(c.ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		c.t.Fatal(err)
	}
	return out.StreamDescription.Shards
}

// TestSplit: a shard is split when it gets more than 1,000 records a second, and not below.
func TestSplit(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", simpleTable+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
		arn := c.ok("ListStreams", `{"TableName":"tbl"}`, "Streams", "StreamArn").(string)
		c.s.splitAfter = 256
		for i := range 3 * 256 { // 900 a second
			c.fill(1, i)
			time.Sleep(time.Second / 900)
		}
		synctest.Wait()
		if n := len(c.shards(arn)); n != 1 {
			t.Fatalf("%d shards at 900 writes a second", n)
		}
		c.fill(2*256, 1e6)
		synctest.Wait()
		list := c.shards(arn)
		if len(list) < 3 {
			t.Fatalf("%d shards when writes came at once", len(list))
		}
		parent := list[0]
		if r := parent.SequenceNumberRange; r.EndingSequenceNumber == nil || *r.StartingSequenceNumber != sequence(1) {
			t.Errorf("the parent: %v", r)
		}
		for _, child := range list[1:3] {
			r := child.SequenceNumberRange
			if child.GetParentShardId() != *parent.ShardId || *r.StartingSequenceNumber <= *parent.SequenceNumberRange.EndingSequenceNumber {
				t.Errorf("the child: %v of %s", r, child.GetParentShardId())
			}
		}

		// Pages of one shard say the same as the whole.
		var paged []string
		for after := ""; ; {
			in := &dynamodbstreams.DescribeStreamInput{StreamArn: arn, Limit: new(int32(1))}
			if after != "" {
				in.ExclusiveStartShardId = &after
			}
			out, err := c.s.Streams().DescribeStream(c.ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for i := range out.StreamDescription.Shards {
				paged = append(paged, *out.StreamDescription.Shards[i].ShardId)
			}
			if after = out.StreamDescription.GetLastEvaluatedShardId(); after == "" {
				break
			}
		}
		if len(paged) != len(list) || paged[0] != *parent.ShardId {
			t.Errorf("by pages: %q", paged)
		}

		// A day after, the parent is forgotten and its children are not; they still name it.
		time.Sleep(25 * time.Hour)
		c.fill(1, 2e6)
		time.Sleep(time.Hour)
		synctest.Wait()
		kept := c.shards(arn)
		if slices.ContainsFunc(kept, func(s dynamodbstreams.Shard) bool { return *s.ShardId == *parent.ShardId }) {
			t.Error("the parent outlives its records")
		}
		if !slices.ContainsFunc(kept, func(s dynamodbstreams.Shard) bool { return s.GetParentShardId() == *parent.ShardId }) {
			t.Error("nobody names the parent")
		}
		c.want("GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+*parent.ShardId+`","ShardIteratorType":"TRIM_HORIZON"}`,
			`!ResourceNotFoundException: Requested resource not found: Shard does not exist`)
	})
}

// TestAdapter reads a stream as the Kinesis adapter does, with checkpoints by sequence number, while shards are split: each item's
// changes come in order, none is missed.
func TestAdapter(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.s.splitAfter = 32
		c.ok("CreateTable", simpleTable+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}`)
		arn := c.ok("ListStreams", `{"TableName":"tbl"}`, "Streams", "StreamArn").(string)
		checkpoint, ended := map[string]string{}, map[string]bool{}
		seen := map[string]int{}
		for round := 1; round <= 20; round++ {
			for i := range 20 {
				c.want("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"%d"},"n":{"N":"%d"}}}`, i, round), `{}`)
			}
			synctest.Wait()
			for more := true; more; {
				more = false
				for _, sh := range c.shards(arn) {
					if ended[*sh.ShardId] || sh.ParentShardId != nil && !ended[*sh.ParentShardId] {
						continue
					}
					if c.readOn(arn, *sh.ShardId, checkpoint, seen) {
						ended[*sh.ShardId], more = true, true
					}
				}
			}
			for i := range 20 {
				if n := seen[fmt.Sprint(i)]; n != round {
					t.Fatalf("item %d was seen up to %d, want %d", i, n, round)
				}
			}
		}
		if len(ended) < 3 {
			t.Errorf("%d shards were closed: it shows little", len(ended))
		}
	})
}

// readOn reads a shard from its checkpoint and reports whether it is at its end.
func (c *cloud) readOn(arn, shard string, checkpoint map[string]string, seen map[string]int) (end bool) {
	how := `"ShardIteratorType":"TRIM_HORIZON"`
	if at := checkpoint[shard]; at != "" {
		how = `"ShardIteratorType":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"` + at + `"`
	}
	it := c.ok("GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+shard+`",`+how+`}`, "ShardIterator").(string)
	for {
		var out struct {
			Records []struct {
				Dynamodb struct {
					NewImage       struct{ P, N map[string]string }
					SequenceNumber string
				}
			}
			NextShardIterator string
		}
		if err := json.Unmarshal([]byte(c.call("GetRecords", `{"ShardIterator":"`+it+`","Limit":7}`)), &out); err != nil {
			c.t.Fatal(err)
		}
		for _, r := range out.Records {
			id, n := r.Dynamodb.NewImage.P["S"], 0
			fmt.Sscan(r.Dynamodb.NewImage.N["N"], &n)
			if n != seen[id]+1 {
				c.t.Fatalf("item %s: %d comes after %d", id, n, seen[id])
			}
			seen[id], checkpoint[shard] = n, r.Dynamodb.SequenceNumber
		}
		if it = out.NextShardIterator; it == "" {
			return true
		}
		if len(out.Records) == 0 {
			return false
		}
	}
}

// TestOldShard: a stream of before shards were split is one that has not been.
func TestOldShard(t *testing.T) {
	var st stream
	old := `{"ID":7,"ARN":"arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/l","Table":"t","Label":"l","View":"KEYS_ONLY","Created":"2024-05-06T07:08:09.01Z","Keys":[],"Shards":[{"Number":1,"Opened":"2024-05-06T07:08:09.01Z"}]}`
	if err := json.Unmarshal([]byte(old), &st); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(&st); string(again) != old {
		t.Errorf("written again: %s", again)
	}
	list := st.outlets()
	if len(list) != 1 || list[0].from != 0 || list[0].part != st.part(1) || !strings.HasSuffix(list[0].topic, st.Shards[0].id(&st)) {
		t.Errorf("outlets %+v", list)
	}
	st.halve(&st.Shards[0], 9, someTime)
	if list = st.outlets(); len(list) != 2 || list[1].from != 1<<63 || st.Shards[2].to() != 1<<64-1 || st.Shards[1].sequence(1) != sequence(10) {
		t.Errorf("halves %+v of %+v", list, st.Shards)
	}
}
