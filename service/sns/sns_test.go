package sns

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/policy"
	"fogbank/store"
	"fogbank/world"
)

const (
	account = "000000000000"
	region  = "us-east-1"
)

// far is the far side: queues and functions that keep what they were sent, and fail as told.
type far struct {
	db      *store.DB
	mu      sync.Mutex
	sent    []sent
	fail    func(endpoint string) (before, after error)
	invoked [][]byte
}

type sent struct {
	queue, body, once string
	source            aws.ARN
	attributes        map[string]sqs.MessageAttributeValue
}

// SendMessage counts what was committed, like SQS.
func (f *far) SendMessage(ctx context.Context, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	c := aws.CallFrom(ctx)
	queue := in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:]
	var before, after error
	if f.fail != nil {
		f.mu.Lock()
		before, after = f.fail(queue)
		f.mu.Unlock()
	}
	if before != nil {
		return nil, before
	}
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.sent = append(f.sent, sent{queue, in.MessageBody, c.OnceKey, c.SourceARN, in.MessageAttributes})
		})
		return nil
	})
	return &sqs.SendMessageOutput{}, cmp.Or(err, after)
}

func (f *far) Invoke(_ context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invoked = append(f.invoked, in.Payload)
	return &lambda.InvokeOutput{}, nil
}

func (f *far) queues() (list []string) {
	for _, s := range f.sent {
		list = append(list, s.queue)
	}
	slices.Sort(list)
	return list
}

// bench is a service with its surroundings.
type bench struct {
	*Service
	t   *testing.T
	ctx context.Context
	far *far
	net *egress.Memory
}

// open makes a service in a seeded world; inside a synctest bubble.
func open(t *testing.T, seed uint64) *bench {
	w := world.Seeded(seed)
	db := store.Memory(w)
	t.Cleanup(func() {
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &far{db: db}
	net := &egress.Memory{}
	return &bench{New(db, w, Options{Log: slog.New(slog.DiscardHandler), Queues: f, Functions: f, Network: net}), t, aws.WithCall(t.Context(),
		&aws.Call{Principal: aws.Principal{Kind: aws.Root, Account: account}, Account: account, Region: region, Endpoint: "http://localhost:4566"}), f, net}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (b *bench) topic(name string) string {
	return *must(b.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: name})).TopicArn
}

func queue(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

func (b *bench) subscribe(topic, name string, attributes map[string]string) string {
	return *must(b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sqs", Endpoint: new(queue(name)), Attributes: attributes})).SubscriptionArn
}

// drain delivers until nothing is left to do.
func (b *bench) drain() {
	for must(b.spread.Step(b.ctx, b.db)) || must(b.relay.Step(b.ctx, b.db)) || must(b.outside.Step(b.ctx, b.db)) {
	}
}

func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestEnvelope(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		subscription := b.subscribe(topic, "billing", nil)
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "häagen \"dazs\"\n\x01</a>", Subject: new("an order"),
			MessageAttributes: map[string]sns.MessageAttributeValue{
				"kind": {DataType: "String", StringValue: new("new")}, "raw": {DataType: "Binary", BinaryValue: []byte{1, 2, 3}}}}))
		b.drain()
		if len(b.far.sent) != 1 {
			t.Fatalf("%d messages", len(b.far.sent))
		}
		got := b.far.sent[0]
		if got.source != aws.ARN(topic) || got.once == "" {
			t.Errorf("sent on behalf of %s, once %q", got.source, got.once)
		}
		var e struct {
			Type, MessageId, TopicArn, Subject, Message, Timestamp, SignatureVersion, Signature, SigningCertURL, UnsubscribeURL string
			MessageAttributes                                                                                                   map[string]struct{ Type, Value string }
		}
		if err := json.Unmarshal([]byte(got.body), &e); err != nil {
			t.Fatalf("%v\n%s", err, got.body)
		}
		if e.Message != "häagen \"dazs\"\n\x01</a>" || e.Subject != "an order" || e.MessageAttributes["raw"].Value != "AQID" ||
			e.Timestamp != "2000-01-01T00:00:00.000Z" || e.UnsubscribeURL != "http://localhost:4566/?Action=Unsubscribe&SubscriptionArn="+subscription {
			t.Errorf("%+v", e)
		}
		want := "{\n  \"Type\" : \"Notification\",\n  \"MessageId\" : \"" + e.MessageId + "\",\n  \"TopicArn\" : \"arn:aws:sns:us-east-1:000000000000:orders\",\n" +
			"  \"Subject\" : \"an order\",\n  \"Message\" : \"häagen \\\"dazs\\\"\\n\\u0001</a>\",\n"
		if !strings.HasPrefix(got.body, want) {
			t.Errorf("%s\nwant prefix\n%s", got.body, want)
		}
		verify(t, b, e.SigningCertURL, e.Signature, "Message\n"+e.Message+"\nMessageId\n"+e.MessageId+"\nSubject\nan order\nTimestamp\n"+
			e.Timestamp+"\nTopicArn\n"+e.TopicArn+"\nType\nNotification\n")
	})
}

// verify checks a signature as a subscriber would.
func verify(t *testing.T, b *bench, url, signature, text string) {
	path, ok := strings.CutPrefix(url, "http://localhost:4566")
	certificate, found, err := b.Certificate(b.ctx, path)
	if !ok || !found || err != nil {
		t.Fatal(url, found, err)
	}
	block, _ := pem.Decode(certificate)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum([]byte(text))
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err == nil {
		err = rsa.VerifyPKCS1v15(c.PublicKey.(*rsa.PublicKey), crypto.SHA1, sum[:], raw)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		b.subscribe(topic, "all", nil)
		b.subscribe(topic, "physical", map[string]string{"FilterPolicyScope": "MessageBody", "FilterPolicy": `{"items":{"physical":[true]}}`})
		b.subscribe(topic, "urgent", map[string]string{"FilterPolicy": `{"priority":[{"numeric":[">",5]}]}`, "RawMessageDelivery": "true"})
		later := b.subscribe(topic, "later", nil)
		for _, c := range []struct {
			body, priority string
			want           []string
		}{
			{`{"items":[{"physical":false},{"physical":true}]}`, "9", []string{"all", "later", "physical", "urgent"}},
			{`{"items":[{"physical":false}]}`, "5", []string{"all", "later"}},
			{`no json`, "5.5", []string{"all", "later", "urgent"}},
		} {
			b.far.sent = nil
			must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: c.body, MessageAttributes: map[string]sns.MessageAttributeValue{
				"priority": {DataType: "Number", StringValue: &c.priority}}}))
			b.drain()
			if got := b.far.queues(); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: %v; want %v", c.body, c.priority, got, c.want)
			}
			for _, m := range b.far.sent {
				if m.queue == "urgent" && (m.body != c.body || *m.attributes["priority"].StringValue != c.priority) {
					t.Errorf("raw: %+v", m)
				}
			}
		}
		must(b.SetSubscriptionAttributes(b.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: later,
			AttributeName: "FilterPolicy", AttributeValue: new(`{"never":["x"]}`)}))
		b.far.sent = nil
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "x"}))
		b.drain()
		if got := b.far.queues(); !slices.Equal(got, []string{"all"}) {
			t.Errorf("after the filter was set: %v", got)
		}
	})
}

func TestStructuredAndLambda(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		b.subscribe(topic, "raw", map[string]string{"RawMessageDelivery": "true"})
		function := "arn:aws:lambda:us-east-1:000000000000:function:f"
		must(b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "lambda", Endpoint: &function}))
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: `{"default":"d","sqs":"q"}`, MessageStructure: new("json")}))
		b.drain()
		if len(b.far.sent) != 1 || b.far.sent[0].body != "q" {
			t.Errorf("%+v", b.far.sent)
		}
		var event struct {
			Records []struct {
				EventSource, EventVersion, EventSubscriptionArn string
				Sns                                             struct {
					Message, SigningCertUrl, Timestamp, Signature, MessageId string
					Subject                                                  *string
					MessageAttributes                                        map[string]any
				}
			}
		}
		if err := json.Unmarshal(b.far.invoked[0], &event); err != nil {
			t.Fatal(err)
		}
		r := event.Records[0]
		if r.EventSource != "aws:sns" || r.Sns.Message != "d" || r.Sns.Subject != nil || r.Sns.MessageAttributes == nil {
			t.Errorf("%s", b.far.invoked[0])
		}
		verify(t, b, r.Sns.SigningCertUrl, r.Sns.Signature, "Message\nd\nMessageId\n"+r.Sns.MessageId+"\nTimestamp\n"+r.Sns.Timestamp+"\nTopicArn\n"+topic+"\nType\nNotification\n")
	})
}

// TestRetries: a queue that is out of order gets the message when it is back, one that
// refuses does not, and its message goes to the dead-letter queue.
func TestRetries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		b.subscribe(topic, "down", nil)
		b.subscribe(topic, "gone", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + queue("dead") + `"}`})
		back := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)
		b.far.fail = func(endpoint string) (error, error) {
			switch {
			case endpoint == "gone":
				return sqs.QueueDoesNotExist("The specified queue does not exist."), nil
			case endpoint == "down" && b.world.Now().Before(back):
				return errors.New("down"), nil
			}
			return nil, nil
		}
		b.Start()
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "x"}))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := b.far.queues(); !slices.Equal(got, []string{"dead"}) {
			t.Errorf("%v", got)
		}
		if a := b.far.sent[0].attributes; *a["ErrorCode"].StringValue != "QueueDoesNotExist" || *a["ErrorMessage"].StringValue != "The specified queue does not exist." {
			t.Errorf("%+v", a)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := b.far.queues(); !slices.Equal(got, []string{"dead", "down"}) {
			t.Errorf("%v", got)
		}
	})
}

// TestShared: big messages to several are stored once and removed with the last delivery.
func TestShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		for i := range spreadOver {
			b.subscribe(topic, fmt.Sprint("q", i), map[string]string{"RawMessageDelivery": fmt.Sprint(i%2 == 0)})
		}
		body := strings.Repeat("x", 200<<10)
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: body}))
		count := func() (n int) {
			must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
				for range messages.All(tx, "") {
					n++
				}
				for range pendings.All(tx, "") {
					n++
				}
				return nil
			}))
			return n
		}
		if n := count(); n != spreadOver+1 {
			t.Errorf("%d rows before", n)
		}
		b.drain()
		if len(b.far.sent) != spreadOver || !strings.Contains(b.far.sent[1].body, body) {
			t.Errorf("%d sent", len(b.far.sent))
		}
		if n := count(); n != 0 {
			t.Errorf("%d rows left", n)
		}
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		publish := func(in sns.PublishInput) error {
			if in.TopicArn == nil {
				in.TopicArn = &topic
			}
			_, err := b.Publish(b.ctx, &in)
			return err
		}
		subscribe := func(protocol, endpoint string, attributes map[string]string) error {
			_, err := b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: protocol, Endpoint: &endpoint, Attributes: attributes})
			return err
		}
		create := func(name string, attributes map[string]string) error {
			_, err := b.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: name, Attributes: attributes})
			return err
		}
		attribute := func(kind, v string) map[string]sns.MessageAttributeValue {
			return map[string]sns.MessageAttributeValue{"a": {DataType: kind, StringValue: &v}}
		}
		for i, c := range []struct {
			err        error
			code, text string
		}{
			{publish(sns.PublishInput{Message: ""}), "InvalidParameterException", "Invalid parameter: Empty message"},
			{publish(sns.PublishInput{Message: strings.Repeat("x", 256<<10+1)}), "InvalidParameterException", "Invalid parameter: Message too long"},
			{publish(sns.PublishInput{Message: "x", Subject: new("")}), "InvalidParameterException", "Invalid parameter: Subject"},
			{publish(sns.PublishInput{Message: "x", Subject: new("two\nlines")}), "InvalidParameterException", "Invalid parameter: Subject"},
			{publish(sns.PublishInput{Message: "x", MessageStructure: new("json")}), "InvalidParameterException", "Invalid parameter: Message Structure - JSON message body failed to parse"},
			{publish(sns.PublishInput{Message: `{"sqs":"x"}`, MessageStructure: new("json")}), "InvalidParameterException", "Invalid parameter: Message Structure - No default entry in JSON message body"},
			{publish(sns.PublishInput{Message: "x", TopicArn: new(topic + "x")}), "NotFoundException", "Topic does not exist"},
			{publish(sns.PublishInput{Message: "x", TopicArn: new("orders")}), "InvalidParameterException", "Invalid parameter: TopicArn"},
			{publish(sns.PublishInput{Message: "x", PhoneNumber: new("+1")}), "InvalidParameterException", "Invalid parameter: PhoneNumber Reason: PhoneNumber and TopicArn or TargetArn are mutually exclusive"},
			{publish(sns.PublishInput{Message: "x", MessageAttributes: attribute("Number", "ten")}), "InvalidParameterValueException", "Could not cast message attribute 'a' value to number."},
			{publish(sns.PublishInput{Message: "x", MessageAttributes: attribute("Bool", "true")}), "InvalidParameterValueException", ""},
			{publish(sns.PublishInput{Message: "x", MessageAttributes: attribute("String", "")}), "InvalidParameterValueException", ""},
			{subscribe("carrier-pigeon", "x", nil), "InvalidParameterException", "Invalid parameter: Does not support this protocol string: carrier-pigeon"},
			{subscribe("firehose", "arn:aws:firehose:us-east-1:000000000000:deliverystream/x", nil), "NotImplemented", ""},
			{subscribe("https", "http://example.com", nil), "InvalidParameterException", "Invalid parameter: Endpoint must match the specified protocol"},
			{subscribe("email", "x@example.com\r\nBcc: y@example.com", nil), "InvalidParameterException", "Invalid parameter: Email address"},
			{subscribe("sms", "12345", nil), "InvalidParameterException", "Invalid parameter: Invalid SMS endpoint: 12345"},
			{subscribe("http", "http://example.com", map[string]string{"DeliveryPolicy": `{"healthyRetryPolicy":{"numRetries":3,"minDelayTarget":0,"maxDelayTarget":5}}`}),
				"InvalidParameterException", "Invalid parameter: DeliveryPolicy: healthyRetryPolicy.minDelayTarget must be greater than or equal to 1"},
			{subscribe("sqs", "billing", nil), "InvalidParameterException", "Invalid parameter: SQS endpoint ARN"},
			{subscribe("sqs", queue("a.fifo"), nil), "InvalidParameterException", ""},
			{subscribe("sqs", queue("a"), map[string]string{"RawMessageDelivery": "yes"}), "InvalidParameterException", "Invalid parameter: Attributes Reason: RawMessageDelivery: Invalid value [yes]. Must be true or false."},
			{subscribe("sqs", queue("a"), map[string]string{"FilterPolicy": `{"a":[]}`}), "InvalidParameterException",
				"Invalid parameter: FilterPolicy: Empty arrays are not allowed\n at [Source: (String)\"{\"a\":[]}\"; line: 1, column: 8]"},
			{subscribe("sqs", queue("a"), map[string]string{"FilterPolicy": `{"a":{"b":[1]}}`}), "InvalidParameterException", "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"},
			{subscribe("sqs", queue("a"), map[string]string{"Nonsense": "x"}), "InvalidParameterException", "Invalid parameter: AttributeName"},
			{create("no spaces", nil), "InvalidParameterException", "Invalid parameter: Topic Name"},
			{create("a.fifo", nil), "InvalidParameterException", "Invalid parameter: Topic Name"},
			{create("a", map[string]string{"ContentBasedDeduplication": "true"}), "InvalidParameterException", "Invalid parameter: Attributes Reason: Content-based deduplication can only be set for FIFO topics"},
			{create("orders", map[string]string{"DisplayName": "other"}), "InvalidParameterException", "Invalid parameter: Attributes Reason: Topic already exists with different attributes"},
			{create("p", map[string]string{"Policy": "{"}), "InvalidParameterException", ""},
		} {
			e := aws.AsError(c.err)
			if c.err == nil || e.Code != c.code || c.text != "" && e.Message != c.text {
				t.Errorf("%d: %v; want %s %s", i, c.err, c.code, c.text)
			}
		}
	})
}

func TestTopicsAndSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		if b.topic("orders") != topic {
			t.Error("another topic of the same name")
		}
		first := b.subscribe(topic, "a", map[string]string{"RawMessageDelivery": "true"})
		if b.subscribe(topic, "a", nil) != first {
			t.Error("the same endpoint twice is two subscriptions")
		}
		for i := range 150 {
			b.topic(fmt.Sprintf("t%03d", i))
			b.subscribe(topic, fmt.Sprint("q", i), nil)
		}
		page := must(b.ListTopics(b.ctx, &sns.ListTopicsInput{}))
		rest := must(b.ListTopics(b.ctx, &sns.ListTopicsInput{NextToken: page.NextToken}))
		if len(page.Topics) != 100 || len(rest.Topics) != 51 || rest.NextToken != nil {
			t.Error(len(page.Topics), len(rest.Topics))
		}
		subs := must(b.ListSubscriptionsByTopic(b.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic}))
		more := must(b.ListSubscriptionsByTopic(b.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic, NextToken: subs.NextToken}))
		if len(subs.Subscriptions) != 100 || len(more.Subscriptions) != 51 {
			t.Error(len(subs.Subscriptions), len(more.Subscriptions))
		}
		must(b.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: first}))
		must(b.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: first}))
		a := must(b.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: topic})).Attributes
		if a["SubscriptionsConfirmed"] != "150" || a["SubscriptionsDeleted"] != "1" || a["Owner"] != account {
			t.Errorf("%v", a)
		}
		must(b.AddPermission(b.ctx, &sns.AddPermissionInput{TopicArn: topic, Label: "l", AWSAccountId: []string{"111111111111"}, ActionName: []string{"Publish"}}))
		doc := must(b.ResourcePolicy(b.ctx, aws.ARN(topic)))
		granted := func(doc *policy.Document) bool {
			return doc != nil && policy.Evaluate(&policy.Request{Action: "sns:Publish", Resource: aws.ARN(topic), ResourceAccount: account,
				Principal: aws.Principal{Kind: aws.Root, Account: "111111111111", ARN: "arn:aws:iam::111111111111:root"}, ResourcePolicy: doc}).Allowed
		}
		if !granted(doc) {
			t.Errorf("%v", doc)
		}
		must(b.RemovePermission(b.ctx, &sns.RemovePermissionInput{TopicArn: topic, Label: "l"}))
		if doc := must(b.ResourcePolicy(b.ctx, aws.ARN(topic))); granted(doc) {
			t.Error("the permission is still there")
		}
		must(b.TagResource(b.ctx, &sns.TagResourceInput{ResourceArn: topic, Tags: []sns.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}}))
		must(b.UntagResource(b.ctx, &sns.UntagResourceInput{ResourceArn: topic, TagKeys: []string{"b"}}))
		if tags := must(b.ListTagsForResource(b.ctx, &sns.ListTagsForResourceInput{ResourceArn: topic})).Tags; len(tags) != 1 || tags[0].Value != "1" {
			t.Errorf("%v", tags)
		}
		must(b.DeleteTopic(b.ctx, &sns.DeleteTopicInput{TopicArn: topic}))
		must(b.DeleteTopic(b.ctx, &sns.DeleteTopicInput{TopicArn: topic}))
		if left := must(b.ListSubscriptions(b.ctx, &sns.ListSubscriptionsInput{})).Subscriptions; len(left) != 0 {
			t.Errorf("%d subscriptions left", len(left))
		}
	})
}

func TestPublishBatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		b.subscribe(topic, "a", map[string]string{"RawMessageDelivery": "true"})
		out := must(b.PublishBatch(b.ctx, &sns.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: []sns.PublishBatchRequestEntry{
			{Id: "1", Message: "one"}, {Id: "2", Message: ""}, {Id: "3", Message: "three"}}}))
		b.drain()
		if len(out.Successful) != 2 || len(out.Failed) != 1 || out.Failed[0].Id != "2" || out.Failed[0].Code != "InvalidParameter" || len(b.far.sent) != 2 {
			t.Errorf("%+v %+v", out, b.far.sent)
		}
		for want, entries := range map[string][]sns.PublishBatchRequestEntry{
			"EmptyBatchRequestException":            {},
			"BatchEntryIdsNotDistinctException":     {{Id: "1", Message: "x"}, {Id: "1", Message: "x"}},
			"InvalidBatchEntryIdException":          {{Id: "a b", Message: "x"}},
			"TooManyEntriesInBatchRequestException": make([]sns.PublishBatchRequestEntry, 11),
			"BatchRequestTooLongException":          {{Id: "1", Message: strings.Repeat("x", 200<<10)}, {Id: "2", Message: strings.Repeat("x", 200<<10)}},
		} {
			if _, err := b.PublishBatch(b.ctx, &sns.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: entries}); !aws.IsCode(err, want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// TestDelivery runs 300 seeded histories in which the far side fails before or after it stored a message: nothing
// published is lost, and the same seed replays the same history.
func TestDelivery(t *testing.T) {
	duplicates := 0
	for seed := range uint64(300) {
		a, n := history(t, seed)
		if seed%10 == 0 {
			if b, _ := history(t, seed); a != b {
				t.Fatalf("seed %d: two histories\n%s\n%s", seed, a, b)
			}
		}
		duplicates += n
	}
	t.Logf("%d duplicates", duplicates)
}

func history(t *testing.T, seed uint64) (trace string, duplicates int) {
	bubble(t, func(t *testing.T) {
		b := open(t, seed)
		r := rand.New(rand.NewPCG(seed, 0))
		topic := b.topic("orders")
		names := []string{"a", "b", "c"}
		for _, name := range names {
			b.subscribe(topic, name, map[string]string{"RawMessageDelivery": "true"})
		}
		bad := true
		b.far.fail = func(string) (before, after error) {
			switch n := r.IntN(4); {
			case bad && n == 0:
				return errors.New("lost on the way there"), nil
			case bad && n == 1:
				return nil, errors.New("lost on the way back")
			}
			return nil, nil
		}
		published := 0
		for range 40 {
			if r.IntN(4) == 0 {
				must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: fmt.Sprint(published)}))
				published++
			} else if did, _ := b.relay.Step(b.ctx, b.db); !did {
				time.Sleep(time.Second)
			}
		}
		bad = false
		for range 10 {
			for did := true; did; {
				did, _ = b.relay.Step(b.ctx, b.db)
			}
			time.Sleep(time.Minute)
		}
		count, once := map[string]int{}, map[string]string{}
		for _, s := range b.far.sent {
			place := s.queue + "/" + s.body
			if had, ok := once[place]; ok && had != s.once {
				t.Errorf("seed %d: two once-only keys for %s", seed, place)
			}
			once[place] = s.once
			count[place]++
			trace += place + " "
		}
		for i := range published {
			for _, name := range names {
				n := count[fmt.Sprintf("%s/%d", name, i)]
				if n == 0 {
					t.Errorf("seed %d: message %d never reached %s", seed, i, name)
				}
				duplicates += n - 1
			}
		}
	})
	return trace, duplicates
}

func TestRecords(t *testing.T) {
	d := delivery{target: target{"id", "sqs", queue("a"), true, queue("dead")}, Shared: true, message: message{ID: "m", Topic: "arn", Subject: "s",
		HasSubject: true, Body: "b", At: 946684800000, Version: "1", Host: "http://h", Attributes: []attribute{{Name: "n", Type: "String", Value: "v"}}}}
	waiting := d
	waiting.turn = &turn{at: 946684800000000000, waits: 3}
	var back delivery
	if err := back.UnmarshalBinary(must(waiting.AppendBinary(nil))); err != nil || *back.turn != *waiting.turn || back.message.Body != "b" {
		t.Errorf("%v %+v", err, back.turn)
	}
	b := must(d.AppendBinary(nil))
	back = delivery{}
	err := back.UnmarshalBinary(b)
	back.turn = nil
	if err != nil || fmt.Sprint(back) != fmt.Sprint(d) {
		t.Errorf("%v\n%+v\n%+v", err, d, back)
	}
	const added = 5 // bytes that records of an earlier time do not have
	for i := range b {
		if err := new(delivery).UnmarshalBinary(b[:i]); err == nil && i != len(b)-added {
			t.Errorf("%d of %d bytes are a delivery", i, len(b))
		}
	}
}

func FuzzDelivery(f *testing.F) {
	f.Add([]byte("\x02id\x03sqs"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d delivery
		if d.UnmarshalBinary(b) == nil {
			again := must(d.AppendBinary(nil))
			var back delivery
			if err := back.UnmarshalBinary(again); err != nil || fmt.Sprint(back) != fmt.Sprint(d) {
				t.Fatalf("%v", err)
			}
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	w := world.New()
	db := store.Memory(w)
	f := &far{}
	s := New(db, w, Options{Log: slog.New(slog.DiscardHandler), Queues: f, Functions: f, Network: &egress.Memory{}})
	ctx := aws.WithCall(b.Context(), &aws.Call{Account: account, Region: region})
	topic := *must(s.CreateTopic(ctx, &sns.CreateTopicInput{Name: "orders"})).TopicArn
	must(s.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sqs", Endpoint: new(queue("a")), Attributes: map[string]string{"RawMessageDelivery": "true"}}))
	b.ReportAllocs()
	for b.Loop() {
		must(s.Publish(ctx, &sns.PublishInput{TopicArn: &topic, Message: "hello"}))
	}
	w.Stop()
	db.Close()
}

func BenchmarkSign(b *testing.B) {
	w := world.New()
	db := store.Memory(w)
	s := newSigner(db, w)
	m := &message{Body: "hello", Version: "1"}
	for i := 0; b.Loop(); i++ {
		m.ID = fmt.Sprint(i)
		must(s.sign(b.Context(), m, queueKey))
	}
	w.Stop()
	db.Close()
}
