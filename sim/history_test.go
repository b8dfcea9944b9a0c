package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank"
	"fogbank/api/dynamodb"
	"fogbank/api/iam"
	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/wire/attribute"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	seeds = flag.Int("seeds", 60, "how many histories TestHistories plays")
	seed  = flag.Int("seed", -1, "play this history only")
)

// TestHistories plays histories of the order system's spine (table → stream → function → topic →
// queue) on disks that lose what was not synced, with functions that fail before or after they did
// their work. Whatever the seed chose, everything acknowledged arrives, in order per item.
func TestHistories(t *testing.T) {
	first, last := 0, *seeds
	if *seed >= 0 {
		first, last = *seed, *seed+1
	}
	var total tally
	for n := first; n < last; n++ {
		t.Run(fmt.Sprintf("seed%d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { total.add(play(t, uint64(n))) })
		})
		if t.Failed() {
			t.Fatalf("replay it with: go test ./sim -run TestHistories -seed %d", n)
		}
	}
	t.Logf("%d histories: %d writes acknowledged, %d power cuts, %d function failures, %d duplicates, none lost",
		last-first, total.writes, total.cuts, total.failures, total.duplicates)
	if *seed < 0 && (total.cuts == 0 || total.failures == 0 || total.writes == 0) {
		t.Error("the histories were too tame to show anything")
	}
}

type tally struct{ writes, cuts, failures, duplicates int }

func (a *tally) add(b tally) {
	a.writes += b.writes
	a.cuts += b.cuts
	a.failures += b.failures
	a.duplicates += b.duplicates
}

// history is one run.
type history struct {
	t      *testing.T
	chance *rand.Rand
	disk   *vfs.MemFS
	cloud  *fogbank.Cloud
	world  *world.World
	lanes  int32 // ParallelizationFactor of the mapping; 0 is 1

	mu      sync.Mutex
	epoch   int            // of the machine: a power cut begins a new one
	acked   map[string]int // item → version acknowledged
	flaky   bool
	faults  *rand.Rand // guarded by mu
	seen    map[string]int
	counted tally
}

func play(t *testing.T, n uint64) tally {
	h := &history{t: t, chance: rand.New(rand.NewPCG(n, 1)), faults: rand.New(rand.NewPCG(n, 2)), disk: vfs.NewCrashableMem(),
		acked: map[string]int{}, seen: map[string]int{}, flaky: true}
	h.open(n)
	h.deploy()
	for step := range 40 {
		switch h.chance.IntN(10) {
		case 0:
			h.powerCut(n*1000 + uint64(step))
		case 1, 2:
			time.Sleep(time.Duration(h.chance.IntN(5000)) * time.Millisecond)
		default:
			h.write(fmt.Sprintf("item-%d", h.chance.IntN(6)))
		}
	}
	h.mu.Lock()
	h.flaky = false // the bad day ends
	h.mu.Unlock()
	h.drain()
	if err := h.cloud.Close(); err != nil {
		t.Error(err)
	}
	return h.counted
}

func (h *history) open(seed uint64) {
	h.world = world.Seeded(seed)
	opened := make(chan struct{}) // functions are called already while the cloud opens
	var cloud *fogbank.Cloud
	changed := func(_ context.Context, _ compute.Spec, in compute.Invocation, _ func(string)) ([]byte, error) {
		<-opened
		return h.changed(cloud, in)
	}
	var err error
	cloud, err = fogbank.Open(fogbank.Config{FS: h.disk, World: h.world, Log: slog.New(slog.DiscardHandler),
		Functions: &compute.Fake{World: h.world, Handlers: map[string]compute.Handler{"changed": changed}}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.cloud = cloud
	close(opened)
}

// powerCut replaces the disk by what a power cut at this moment leaves of it, and starts again.
func (h *history) powerCut(seed uint64) {
	h.mu.Lock()
	disk := h.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: h.chance.IntN(101), RNG: rand.New(rand.NewPCG(seed, 3))})
	h.epoch++
	h.counted.cuts++
	h.mu.Unlock()
	if err := h.cloud.Close(); err != nil {
		h.t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // no machine restarts in no time
	h.disk = disk
	h.open(seed)
}

func (h *history) context() context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Account: fogbank.DefaultAccount, Region: fogbank.DefaultRegion, Endpoint: "http://fogbank",
		Principal: aws.Principal{Kind: aws.Root, Account: fogbank.DefaultAccount, ARN: aws.MakeARN("iam", "", fogbank.DefaultAccount, "root")}})
}

// write starts writing the next version of an item, in the background: the cut may come before the answer.
func (h *history) write(item string) {
	cloud := h.cloud
	h.mu.Lock()
	epoch, version := h.epoch, h.acked[item]+1
	h.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := dynamodb.Client{Invoke: cloud.Do}.PutItem(h.context(), &dynamodb.PutItemInput{TableName: "items",
			Item: attribute.MakeItem(attribute.Attribute{Name: "id", Value: attribute.S(item)}, attribute.Attribute{Name: "version", Value: attribute.N(fmt.Sprint(version))})})
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil && h.epoch == epoch {
			h.acked[item] = version
			h.counted.writes++
		}
	}()
	if h.chance.IntN(4) > 0 {
		<-done
	}
}

// changed is the function on the stream: it publishes each change, and fails now and then before or after.
func (h *history) changed(cloud *fogbank.Cloud, in compute.Invocation) ([]byte, error) {
	var batch struct {
		Records []struct {
			Dynamodb struct {
				NewImage struct{ Id, Version map[string]string }
			}
		}
	}
	if err := json.Unmarshal(in.Payload, &batch); err != nil {
		return nil, err
	}
	for _, r := range batch.Records {
		if h.fails() {
			return nil, errors.New("failed before publishing")
		}
		text := r.Dynamodb.NewImage.Id["S"] + " " + r.Dynamodb.NewImage.Version["N"]
		_, err := sns.Client{Invoke: cloud.Do}.Publish(h.context(), &sns.PublishInput{TopicArn: new("arn:aws:sns:us-east-1:000000000000:changes"), Message: text})
		if err != nil {
			return nil, err
		}
		if h.fails() {
			return nil, errors.New("failed after publishing")
		}
	}
	return []byte("{}"), nil
}

func (h *history) fails() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flaky && h.faults.IntN(5) == 0 {
		h.counted.failures++
		return true
	}
	return false
}

// deploy makes the system; a synced disk keeps it through every cut.
func (h *history) deploy() {
	ctx, run := h.context(), h.cloud.Do
	must := func(_ any, err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	table, err := dynamodb.Client{Invoke: run}.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: "items", BillingMode: new("PAY_PER_REQUEST"),
		AttributeDefinitions: []dynamodb.AttributeDefinition{{AttributeName: "id", AttributeType: "S"}},
		KeySchema:            []dynamodb.KeySchemaElement{{AttributeName: "id", KeyType: "HASH"}},
		StreamSpecification:  &dynamodb.StreamSpecification{StreamEnabled: true, StreamViewType: new("NEW_IMAGE")}})
	must(nil, err)
	must(sns.Client{Invoke: run}.CreateTopic(ctx, &sns.CreateTopicInput{Name: "changes"}))
	queue := "arn:aws:sqs:us-east-1:000000000000:inbox"
	must(sqs.Client{Invoke: run}.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: "inbox", Attributes: map[string]string{
		"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + queue + `"}]}`}}))
	must(sns.Client{Invoke: run}.Subscribe(ctx, &sns.SubscribeInput{TopicArn: "arn:aws:sns:us-east-1:000000000000:changes", Protocol: "sqs",
		Endpoint: &queue, Attributes: map[string]string{"RawMessageDelivery": "true"}}))
	role, err := iam.Client{Invoke: run}.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "changed",
		AssumeRolePolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`})
	must(nil, err)
	must(iam.Client{Invoke: run}.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: "changed", PolicyArn: "arn:aws:iam::aws:policy/service-role/AWSLambdaDynamoDBExecutionRole"}))
	must(lambda.Client{Invoker: run}.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: "changed", Role: role.Role.Arn, Runtime: new("provided.al2023"),
		Handler: new("changed"), Code: lambda.FunctionCode{ZipFile: []byte("not looked at by a Fake")}}))
	must(lambda.Client{Invoker: run}.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: "changed",
		EventSourceArn: table.TableDescription.LatestStreamArn, StartingPosition: new("TRIM_HORIZON"), BatchSize: new(int32(5)), ParallelizationFactor: new(max(h.lanes, 1))}))
}

// drain gives every retry its time, reads the queue and checks it against what was acknowledged.
func (h *history) drain() {
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	url := "http://fogbank/000000000000/inbox"
	client, highest := sqs.Client{Invoke: h.cloud.Do}, map[string]int{}
	for {
		out, err := client.ReceiveMessage(h.context(), &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: new(int32(10)), VisibilityTimeout: new(int32(40000))})
		if err != nil {
			h.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			h.arrived(m.GetBody(), highest)
		}
	}
	for item, version := range h.acked {
		for v := 1; v <= version; v++ {
			if h.seen[fmt.Sprintf("%s %d", item, v)] == 0 {
				h.t.Errorf("version %d of %s was acknowledged and never arrived", v, item)
			}
		}
	}
}

func (h *history) arrived(body string, highest map[string]int) {
	item, text, _ := strings.Cut(body, " ")
	var version int
	if _, err := fmt.Sscan(text, &version); err != nil {
		h.t.Fatalf("the queue holds %q", body)
	}
	if h.seen[body]++; h.seen[body] > 1 {
		h.counted.duplicates++
		return
	}
	if version < highest[item] {
		h.t.Errorf("version %d of %s first arrived after version %d", version, item, highest[item])
	}
	highest[item] = max(highest[item], version)
}
