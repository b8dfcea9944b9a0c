package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/sns"
	"fogbank/api/sqs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestOrder plays histories of a FIFO topic with an archive, a FIFO queue and a consumer on disks that lose what was not
// synced. A publisher whose answer got lost repeats itself under the same deduplication id. Whatever the seed chose,
// what was acknowledged arrives, each group in order, and what was deleted never comes again; and a replay at the end, cut
// off in the middle, brings everything once more, once and in order.
func TestOrder(t *testing.T) {
	first, last := 0, min(*seeds, 30)
	if *seed >= 0 {
		first, last = *seed, *seed+1
	}
	cuts, published, repeated := 0, 0, 0
	for n := first; n < last; n++ {
		t.Run(fmt.Sprintf("seed%d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &order{history: &history{t: t, chance: rand.New(rand.NewPCG(uint64(n), 4)), faults: rand.New(rand.NewPCG(uint64(n), 5)),
					disk: vfs.NewCrashableMem()}, left: map[string]bool{}, gone: map[string]bool{}}
				o.play(uint64(n))
				cuts, published, repeated = cuts+o.counted.cuts, published+len(o.acked), repeated+o.repeated
			})
		})
		if t.Failed() {
			t.Fatalf("replay it with: go test ./sim -run TestOrder -seed %d", n)
		}
	}
	t.Logf("%d messages, %d power cuts, %d repeated publishes", published, cuts, repeated)
	if *seed < 0 && (cuts == 0 || published == 0 || repeated == 0) {
		t.Error("the histories were too tame to show anything")
	}
}

// order is one history.
type order struct {
	*history
	acked    []string // bodies, "group/number", in the order of publishing
	highest  string   // sequence number acknowledged
	left     map[string]bool
	gone     map[string]bool // deleted, and that was acknowledged; left says it was tried
	repeated int
}

const (
	orderTopic = "arn:aws:sns:us-east-1:000000000000:orders.fifo"
	orderQueue = "http://fogbank/000000000000/orders.fifo"
	againQueue = "http://fogbank/000000000000/again.fifo"
)

func (o *order) play(n uint64) {
	o.open(n)
	begin := o.world.Now()
	o.must(sns.Client{Invoke: o.cloud.Do}.CreateTopic(o.context(), &sns.CreateTopicInput{Name: "orders.fifo",
		Attributes: map[string]string{"FifoTopic": "true", "ArchivePolicy": `{"MessageRetentionPeriod":"7"}`}}))
	o.queue("orders.fifo", nil)
	for step := range 60 {
		switch o.chance.IntN(10) {
		case 0:
			o.powerCut(n*1000 + uint64(step))
		case 1, 2:
			time.Sleep(time.Duration(o.chance.IntN(20000)) * time.Millisecond)
		case 3, 4, 5:
			o.consume(orderQueue)
		default:
			o.publish(n*1000 + 500 + uint64(step))
		}
	}
	for range 200 {
		o.consume(orderQueue)
		time.Sleep(10 * time.Second)
	}
	for _, body := range o.acked {
		if !o.left[body] {
			o.t.Errorf("%s never came", body)
		}
	}
	o.queue("again.fifo", map[string]string{"ReplayPolicy": `{"PointType":"Timestamp","StartingPoint":"` + begin.Format(time.RFC3339Nano) + `"}`})
	o.powerCut(n*1000 + 999)
	time.Sleep(time.Hour)
	synctest.Wait()
	o.readAgain()
	if err := o.cloud.Close(); err != nil {
		o.t.Error(err)
	}
}

func (o *order) must(_ any, err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// queue makes a FIFO queue and subscribes it.
func (o *order) queue(name string, attributes map[string]string) {
	arn := "arn:aws:sqs:us-east-1:000000000000:" + name
	o.must(sqs.Client{Invoke: o.cloud.Do}.CreateQueue(o.context(), &sqs.CreateQueueInput{QueueName: name, Attributes: map[string]string{"FifoQueue": "true",
		"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + arn + `"}]}`}}))
	all := map[string]string{"RawMessageDelivery": "true"}
	for k, v := range attributes {
		all[k] = v
	}
	o.must(sns.Client{Invoke: o.cloud.Do}.Subscribe(o.context(), &sns.SubscribeInput{TopicArn: orderTopic, Protocol: "sqs", Endpoint: &arn, Attributes: all}))
}

// publish sends the next message until it is acknowledged. Now and then the power goes while it is under way.
func (o *order) publish(seed uint64) {
	group := strconv.Itoa(o.chance.IntN(3))
	body := group + "/" + strconv.Itoa(len(o.acked))
	in := &sns.PublishInput{TopicArn: new(orderTopic), Message: body, MessageGroupId: &group, MessageDeduplicationId: &body}
	for try := uint64(0); ; try++ {
		cloud, answer := o.cloud, make(chan *sns.PublishOutput, 1)
		go func() {
			out, err := sns.Client{Invoke: cloud.Do}.Publish(o.context(), in)
			if err != nil {
				out = nil
			}
			answer <- out
		}()
		if try == 0 && o.chance.IntN(6) == 0 {
			time.Sleep(time.Duration(o.chance.IntN(400)) * time.Microsecond)
			o.powerCut(seed)
			<-answer // too late to be heard
			o.repeated++
			continue
		}
		out := <-answer
		if out == nil {
			o.t.Fatal("a publish failed")
		}
		if *out.SequenceNumber <= o.highest {
			o.t.Errorf("%s is number %s, after %s", body, *out.SequenceNumber, o.highest)
		}
		o.highest = *out.SequenceNumber
		o.acked = append(o.acked, body)
		return
	}
}

// consume receives messages, checks that none before them of their group is left behind, and deletes most.
func (o *order) consume(url string) {
	client := sqs.Client{Invoke: o.cloud.Do}
	out, err := client.ReceiveMessage(o.context(), &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: new(int32(1 + o.chance.IntN(10))), VisibilityTimeout: new(int32(30))})
	o.must(nil, err)
	batch := map[string]bool{}
	for _, m := range out.Messages {
		body := *m.Body
		if o.gone[body] || batch[body] {
			o.t.Errorf("%s came again", body)
		}
		for _, earlier := range o.acked {
			if earlier == body {
				break
			}
			if earlier[:1] == body[:1] && !o.left[earlier] && !batch[earlier] {
				o.t.Errorf("%s came before %s", body, earlier)
			}
		}
		batch[body] = true
	}
	for _, m := range out.Messages {
		if o.chance.IntN(5) == 0 {
			return // the consumer crashed; those behind must wait with this one
		}
		o.left[*m.Body] = true
		o.must(client.DeleteMessage(o.context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: *m.ReceiptHandle}))
		o.gone[*m.Body] = true
	}
}

// readAgain checks what a replay brought.
func (o *order) readAgain() {
	client, got, want := sqs.Client{Invoke: o.cloud.Do}, map[string][]string{}, map[string][]string{}
	for {
		out, err := client.ReceiveMessage(o.context(), &sqs.ReceiveMessageInput{QueueUrl: againQueue, MaxNumberOfMessages: new(int32(10))})
		o.must(nil, err)
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			got[(*m.Body)[:1]] = append(got[(*m.Body)[:1]], *m.Body)
			o.must(client.DeleteMessage(o.context(), &sqs.DeleteMessageInput{QueueUrl: againQueue, ReceiptHandle: *m.ReceiptHandle}))
		}
	}
	for _, body := range o.acked {
		want[body[:1]] = append(want[body[:1]], body)
	}
	for group, bodies := range want {
		if !slices.Equal(got[group], bodies) {
			o.t.Errorf("the replay of group %s brought\n%s\nnot\n%s", group, strings.Join(got[group], " "), strings.Join(bodies, " "))
		}
	}
}
