package conform

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	str "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"conform/server"
)

var kills = flag.Int("kills", 5, "how often TestCrash kills the server")

// acknowledged is what the server said it had done.
type acknowledged struct {
	mu       sync.Mutex
	items    map[string]int // key → version last acknowledged
	messages map[string]bool
}

// TestCrash kills the binary at random under load and checks after each restart that everything
// acknowledged is there, that no transaction is half there, and that the stream has no gap.
func TestCrash(t *testing.T) {
	s, err := server.Start(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	ctx := t.Context()
	queue := prepareCrash(t, s)
	ack := &acknowledged{items: map[string]int{}, messages: map[string]bool{}}
	seed := uint64(time.Now().UnixNano())
	chance := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, %d kills", seed, *kills)
	for round := range *kills {
		load, stop := context.WithCancel(ctx)
		var writers sync.WaitGroup
		for w := range 8 {
			writers.Go(func() { ack.write(load, s, queue, round, w) })
		}
		time.Sleep(time.Duration(50+chance.IntN(300)) * time.Millisecond)
		s.Kill()
		stop()
		writers.Wait()
		if err := s.Restart(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		ack.check(t, s, round)
	}
	ack.checkStream(t, s)
	ack.checkQueue(t, s, queue)
	if len(ack.items) == 0 || len(ack.messages) == 0 {
		t.Error("nothing was acknowledged: the test shows nothing")
	}
	t.Logf("%d items and %d messages were acknowledged, and none was lost", len(ack.items), len(ack.messages))
}

func prepareCrash(t *testing.T, s *server.Server) (queue string) {
	t.Helper()
	_, err := dynamodb.NewFromConfig(s.Root()).CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: aws.String("items"), BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("k"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("k"), KeyType: ddb.KeyTypeHash}},
		StreamSpecification:  &ddb.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddb.StreamViewTypeNewImage}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := sqs.NewFromConfig(s.Root()).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// write writes versions 1, 2, 3 … of a pair of items in one transaction each, and sends messages.
func (a *acknowledged) write(ctx context.Context, s *server.Server, queue string, round, writer int) {
	cfg := s.Root()
	d, q := dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	for v := 1; ctx.Err() == nil; v++ {
		key := fmt.Sprintf("r%d-w%d", round, writer)
		put := func(suffix string) ddb.TransactWriteItem {
			return ddb.TransactWriteItem{Put: &ddb.Put{TableName: aws.String("items"), Item: map[string]ddb.AttributeValue{
				"k": &ddb.AttributeValueMemberS{Value: key + suffix}, "v": &ddb.AttributeValueMemberN{Value: strconv.Itoa(v)}}}}
		}
		if _, err := d.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []ddb.TransactWriteItem{put("a"), put("b")}}); err != nil {
			return
		}
		a.mu.Lock()
		a.items[key] = v
		a.mu.Unlock()
		body := fmt.Sprintf("%s-%d", key, v)
		if _, err := q.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body}); err != nil {
			return
		}
		a.mu.Lock()
		a.messages[body] = true
		a.mu.Unlock()
	}
}

func (a *acknowledged) check(t *testing.T, s *server.Server, round int) {
	t.Helper()
	d := dynamodb.NewFromConfig(s.Root())
	version := func(key string) int {
		out, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("items"), ConsistentRead: aws.Bool(true),
			Key: map[string]ddb.AttributeValue{"k": &ddb.AttributeValueMemberS{Value: key}}})
		if err != nil {
			t.Fatal(err)
		}
		n, ok := out.Item["v"].(*ddb.AttributeValueMemberN)
		if !ok {
			return 0
		}
		v, _ := strconv.Atoi(n.Value)
		return v
	}
	for key, want := range a.items {
		x, y := version(key+"a"), version(key+"b")
		// The last write may have been done and its answer lost: one more is right, one less is not.
		if x != y || x < want || x > want+1 {
			t.Fatalf("round %d: %s is at versions %d and %d, acknowledged was %d", round, key, x, y, want)
		}
	}
}

// checkStream reads the whole stream: the versions of each item must follow one another.
func (a *acknowledged) checkStream(t *testing.T, s *server.Server) {
	t.Helper()
	// Reads may be tried again: this SDK closes a connection under a long answer that has begun before it has noticed that all
	// of its request is sent, and counts on its own retries.
	cfg := s.Root()
	cfg.Retryer = nil
	ctx, c := t.Context(), dynamodbstreams.NewFromConfig(cfg)
	streams, err := c.ListStreams(ctx, &dynamodbstreams.ListStreamsInput{TableName: aws.String("items")})
	if err != nil || len(streams.Streams) != 1 {
		t.Fatalf("streams: %v, %v", streams, err)
	}
	arn := streams.Streams[0].StreamArn
	about, err := c.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	for _, shard := range about.StreamDescription.Shards {
		it, err := c.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: shard.ShardId, ShardIteratorType: str.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			page, err := c.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: next})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Records) == 0 {
				break
			}
			for _, r := range page.Records {
				key := r.Dynamodb.Keys["k"].(*str.AttributeValueMemberS).Value
				v, _ := strconv.Atoi(r.Dynamodb.NewImage["v"].(*str.AttributeValueMemberN).Value)
				if v != last[key]+1 {
					t.Fatalf("the stream of %s goes from version %d to %d", key, last[key], v)
				}
				last[key] = v
			}
			next = page.NextShardIterator
		}
	}
	for key, want := range a.items {
		if last[key+"a"] < want || last[key+"b"] < want {
			t.Errorf("the stream of %s ends at %d and %d, acknowledged was %d", key, last[key+"a"], last[key+"b"], want)
		}
	}
}

func (a *acknowledged) checkQueue(t *testing.T, s *server.Server, queue string) {
	t.Helper()
	q, got := sqs.NewFromConfig(s.Root()), map[string]bool{}
	for {
		out, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: 600})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			got[*m.Body] = true
		}
	}
	for body := range a.messages {
		if !got[body] {
			t.Errorf("message %s was acknowledged and is lost", body)
		}
	}
}
