package sns

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
	"fogbank/world"
)

// seen is a message as a subscriber reads it.
type seen struct {
	Type, MessageId, Token, TopicArn, Subject, Message, SubscribeURL, Timestamp, SignatureVersion, Signature, SigningCertURL, UnsubscribeURL string
	headers                                                                                                                                  map[string]string
	url                                                                                                                                      string
	raw                                                                                                                                      string
}

// posted returns what was sent over HTTP since the last time.
func (b *bench) posted() (list []seen) {
	requests, _ := b.net.Take()
	for _, r := range requests {
		m := seen{headers: map[string]string{}, url: r.URL, raw: string(r.Body)}
		for _, h := range r.Headers {
			m.headers[h.Name] = h.Value
		}
		if m.headers["x-amz-sns-rawdelivery"] != "true" {
			if err := json.Unmarshal(r.Body, &m); err != nil {
				b.t.Errorf("%v: %s", err, r.Body)
			}
		}
		list = append(list, m)
	}
	return list
}

func (b *bench) anonymous() context.Context {
	c := *aws.CallFrom(b.ctx)
	c.Principal = aws.Principal{}
	return aws.WithCall(b.ctx, &c)
}

func (b *bench) root() context.Context {
	c := *aws.CallFrom(b.ctx)
	c.Principal = aws.Principal{Kind: aws.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root"}
	return aws.WithCall(b.ctx, &c)
}

// madeKey is a signing key that tests share: making one costs more than most of them.
var madeKey = sync.OnceValue(func() keyRecord { return must(newKey(world.Seeded(1), keyBits[webKey])) })

func (b *bench) web(topic, url string, attributes map[string]string) string {
	must(0, b.db.Update(b.ctx, func(tx *store.Tx) error { keys.Put(tx, store.K(webKey), madeKey()); return nil }))
	out := must(b.Subscribe(b.root(), &sns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: &url, Attributes: attributes, ReturnSubscriptionArn: new(true)}))
	b.drain()
	m := b.posted()[0]
	must(b.ConfirmSubscription(b.anonymous(), &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: m.Token}))
	return *out.SubscriptionArn
}

// TestHandshake: nothing is delivered before the endpoint confirmed, and the endpoint can leave and come back.
func TestHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		out := must(b.Subscribe(b.root(), &sns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: new("http://shop.test/hook")}))
		if *out.SubscriptionArn != "pending confirmation" {
			t.Error(*out.SubscriptionArn)
		}
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "too early"}))
		b.drain()
		list := b.posted()
		if len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		m := list[0]
		if m.Type != "SubscriptionConfirmation" || m.headers["x-amz-sns-message-type"] != m.Type || m.headers["x-amz-sns-topic-arn"] != topic ||
			m.headers["Content-Type"] != "text/plain; charset=UTF-8" || m.SubscribeURL != "http://localhost:4566/?Action=ConfirmSubscription&TopicArn="+topic+"&Token="+m.Token {
			t.Errorf("%+v", m)
		}
		verify(t, b, m.SigningCertURL, m.Signature, "Message\n"+m.Message+"\nMessageId\n"+m.MessageId+"\nSubscribeURL\n"+m.SubscribeURL+
			"\nTimestamp\n"+m.Timestamp+"\nToken\n"+m.Token+"\nTopicArn\n"+m.TopicArn+"\nType\n"+m.Type+"\n")
		for _, token := range []string{"", "x", m.Token[:len(m.Token)-1] + "0", strings.Repeat("0", len(m.Token))} {
			if token == m.Token {
				continue
			}
			_, err := b.ConfirmSubscription(b.anonymous(), &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: token})
			if e := aws.AsError(err); err == nil || e.Message != "Invalid parameter: Token" {
				t.Errorf("%s: %v", token, err)
			}
		}
		confirm := &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: m.Token, AuthenticateOnUnsubscribe: new("true")}
		arn := *must(b.ConfirmSubscription(b.anonymous(), confirm)).SubscriptionArn // which may not ask for that without a signature
		if again := must(b.ConfirmSubscription(b.anonymous(), confirm)); *again.SubscriptionArn != arn {
			t.Error(*again.SubscriptionArn)
		}
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "hello"}))
		b.drain()
		if list = b.posted(); len(list) != 1 || list[0].Message != "hello" || list[0].headers["x-amz-sns-subscription-arn"] != arn {
			t.Fatalf("%+v", list)
		}
		must(b.Unsubscribe(b.anonymous(), &sns.UnsubscribeInput{SubscriptionArn: arn}))
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "gone"}))
		b.drain()
		if list = b.posted(); len(list) != 1 || list[0].Type != "UnsubscribeConfirmation" {
			t.Fatalf("%+v", list)
		}
		if _, err := b.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn}); !aws.IsCode(err, "NotFoundException") {
			t.Error(err)
		}
		must(b.ConfirmSubscription(b.root(), &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: list[0].Token, AuthenticateOnUnsubscribe: new("true")}))
		if _, err := b.Unsubscribe(b.anonymous(), &sns.UnsubscribeInput{SubscriptionArn: arn}); !aws.IsCode(err, "AuthorizationErrorException") {
			t.Error(err)
		}
		must(b.Unsubscribe(b.root(), &sns.UnsubscribeInput{SubscriptionArn: arn}))
	})
}

// TestUnconfirmed: a subscription nobody confirms within two days goes away, and so does its token.
func TestUnconfirmed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		b.Start()
		topic := b.topic("orders")
		must(b.Subscribe(b.root(), &sns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: new("http://shop.test/")}))
		synctest.Wait()
		token := b.posted()[0].Token
		pending := func() string {
			return must(b.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: topic})).Attributes["SubscriptionsPending"]
		}
		time.Sleep(47 * time.Hour)
		if pending() != "1" {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if pending() != "0" {
			t.Error("still there")
		}
		if _, err := b.ConfirmSubscription(b.anonymous(), &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: token}); err == nil {
			t.Error("the token still works")
		}
	})
}

// TestTracedPost: the tracing header of the publisher goes along, if it is one.
func TestTracedPost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		b.web(topic, "http://shop.test/", nil)
		const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:1"
		for _, sent := range []string{header, "", "Root=1"} {
			must(b.Publish(aws.Traced(b.ctx, sent), &sns.PublishInput{TopicArn: &topic, Message: "hello"}))
			b.drain()
			want := sent
			if sent != header {
				want = ""
			}
			if list := b.posted(); len(list) != 1 || list[0].headers["X-Amzn-Trace-Id"] != want {
				t.Errorf("%q: %+v", sent, list)
			}
		}
	})
}

// TestDeliveryPolicy: attempts come when the policy says, a refusal is final, and in the end there is the dead-letter queue.
func TestDeliveryPolicy(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		status       []int // answers, the last again and again; 0 is no answer
		want         []int // seconds of the attempts
		dead         string
	}{
		{"default", "", []int{500}, []int{0, 20, 40, 60}, "500"},
		{"recovers", "", []int{503, 429, 200}, []int{0, 20, 40}, ""},
		{"refused", "", []int{404}, []int{0}, "404"},
		{"redirected", "", []int{302}, []int{0}, "302"},
		{"silent", "", []int{0}, []int{0, 20, 40, 60}, "ConnectionFailed"},
		{"phases", `{"healthyRetryPolicy":{"minDelayTarget":2,"maxDelayTarget":10,"numRetries":8,"numNoDelayRetries":1,"numMinDelayRetries":2,"numMaxDelayRetries":1,"backoffFunction":"linear"}}`,
			[]int{500}, []int{0, 0, 2, 4, 8, 14, 22, 32, 42}, "500"},
		{"none", `{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":0}}`, []int{500}, []int{0}, "500"},
		{"an hour", `{"healthyRetryPolicy":{"minDelayTarget":1500,"maxDelayTarget":1500,"numRetries":100}}`, []int{500}, []int{0, 1500, 3000}, "500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := open(t, 1)
				topic := b.topic("orders")
				attributes := map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + queue("dead") + `"}`, "RawMessageDelivery": "true"}
				if c.policy != "" {
					attributes["DeliveryPolicy"] = c.policy
				}
				b.web(topic, "http://shop.test/", attributes)
				b.Start()
				start := b.world.Now()
				var attempts []int
				b.net.Respond = func(context.Context, *egress.Request) (*egress.Answer, error) {
					status := c.status[min(len(attempts), len(c.status)-1)]
					attempts = append(attempts, int(b.world.Now().Sub(start).Round(time.Second)/time.Second))
					if status == 0 {
						return nil, errors.New("connection reset")
					}
					return &egress.Answer{Status: status}, nil
				}
				must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "x"}))
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if !slices.Equal(attempts, c.want) {
					t.Errorf("attempts at %v; want %v", attempts, c.want)
				}
				if c.dead == "" {
					if len(b.far.sent) > 0 {
						t.Errorf("%+v", b.far.sent)
					}
				} else if len(b.far.sent) != 1 || *b.far.sent[0].attributes["ErrorCode"].StringValue != c.dead || b.far.sent[0].body != "x" {
					t.Errorf("dead: %+v", b.far.sent)
				}
			})
		})
	}
}

func TestBackOff(t *testing.T) {
	for function, want := range map[string][]float64{
		"linear":      {6.5, 11, 15.5, 20},
		"arithmetic":  {3.8, 7.4, 12.8, 20},
		"geometric":   {3.557, 6.325, 11.247, 20},
		"exponential": {3.2, 5.6, 10.4, 20},
	} {
		for i, w := range want {
			if got := backOff(function, i+1, 4, 2, 20); got < w-0.001 || got > w+0.001 {
				t.Errorf("%s %d: %v; want %v", function, i+1, got, w)
			}
		}
	}
}

// TestThrottle: an endpoint gets no more than it takes, and others do not wait for it.
func TestThrottle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		b.web(topic, "http://slow.test/", map[string]string{"RawMessageDelivery": "true", "DeliveryPolicy": `{"throttlePolicy":{"maxReceivesPerSecond":2}}`})
		b.web(topic, "http://fast.test/", map[string]string{"RawMessageDelivery": "true"})
		b.Start()
		for i := range 20 {
			must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: strconv.Itoa(i)}))
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		count := func() (fast, slow int) {
			for _, m := range b.posted() {
				if m.url == "http://fast.test/" {
					fast++
				} else {
					slow++
				}
			}
			return fast, slow
		}
		if fast, slow := count(); fast != 20 || slow > 2 {
			t.Errorf("at once: %d, %d", fast, slow)
		}
		time.Sleep(4 * time.Second)
		if _, slow := count(); slow < 7 || slow > 9 {
			t.Errorf("in four seconds: %d", slow)
		}
		time.Sleep(time.Minute)
		if _, slow := count(); slow < 9 {
			t.Errorf("the rest: %d", slow)
		}
	})
}

func TestEffectivePolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		arn := b.web(topic, "http://shop.test/", map[string]string{"DeliveryPolicy": `{"requestPolicy":{"headerContentType":"application/json"}}`})
		set := func(text string) error {
			_, err := b.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{TopicArn: topic, AttributeName: "DeliveryPolicy", AttributeValue: &text})
			return err
		}
		if err := set(`{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":2,"numRetries":5},"defaultThrottlePolicy":{"maxReceivesPerSecond":9}}}`); err != nil {
			t.Fatal(err)
		}
		got := must(b.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn})).Attributes["EffectiveDeliveryPolicy"]
		want := `{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":2,"numRetries":5,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},` +
			`"sicklyRetryPolicy":null,"throttlePolicy":{"maxReceivesPerSecond":9},"requestPolicy":{"headerContentType":"application/json"},"guaranteed":false}`
		if got != want {
			t.Errorf("%s", got)
		}
		if err := set(`{"http":{"disableSubscriptionOverrides":true}}`); err != nil {
			t.Fatal(err)
		}
		got = must(b.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn})).Attributes["EffectiveDeliveryPolicy"]
		if !strings.Contains(got, defaultContentType) {
			t.Errorf("%s", got)
		}
		for _, bad := range []string{`{`, `{"http":{"x":1}}`, `{"http":{"defaultHealthyRetryPolicy":{"numRetries":101,"minDelayTarget":1,"maxDelayTarget":1}}}`,
			`{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1}}}`, `{"http":{"defaultThrottlePolicy":{"maxReceivesPerSecond":0}}}`,
			`{"http":{"defaultHealthyRetryPolicy":{"numRetries":3,"minDelayTarget":9,"maxDelayTarget":1}}}`,
			`{"http":{"defaultHealthyRetryPolicy":{"numRetries":3,"minDelayTarget":1,"maxDelayTarget":1,"numNoDelayRetries":4}}}`} {
			if err := set(bad); !aws.IsCode(err, "InvalidParameterException") {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

// TestMail: without a relay mail is in the outbox; with one it is sent.
func TestMail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := b.topic("orders")
		must(b.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{TopicArn: topic, AttributeName: "DisplayName", AttributeValue: new("The Shop")}))
		must(b.Subscribe(b.root(), &sns.SubscribeInput{TopicArn: topic, Protocol: "email", Endpoint: new("you@example.com")}))
		b.drain()
		letters := must(b.Outbox(b.ctx, 0, 10))
		if len(letters) != 1 || letters[0].To != "you@example.com" || letters[0].From != "The Shop" {
			t.Fatalf("%+v", letters)
		}
		_, token, _ := strings.Cut(letters[0].Body, "&Token=")
		token, _, _ = strings.Cut(token, "\r\n")
		must(b.ConfirmSubscription(b.anonymous(), &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: token}))
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "hello", Subject: new("news")}))
		b.drain()
		letters = must(b.Outbox(b.ctx, letters[0].Number, 10))
		if len(letters) != 1 || letters[0].Subject != "news" || !strings.HasPrefix(letters[0].Body, "hello\r\n") || !strings.Contains(letters[0].Body, "Action=Unsubscribe") {
			t.Fatalf("%+v", letters)
		}
		b.net.Relay = true
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "again"}))
		b.drain()
		if _, mails := b.net.Take(); len(mails) != 1 || mails[0].Subject != "AWS Notification Message" || mails[0].Name != "The Shop" {
			t.Fatalf("%+v", mails)
		}
	})
}

// TestOutboxIsBounded: the oldest letters fall out.
func TestOutboxIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		must(0, b.db.Update(b.ctx, func(tx *store.Tx) error {
			for range maxOutbox {
				drop(tx, Letter{})
			}
			return nil
		}))
		for range 3 {
			must(0, b.db.Update(b.ctx, func(tx *store.Tx) error { drop(tx, Letter{}); return nil }))
		}
		if list := must(b.Outbox(b.ctx, 0, maxOutbox+5)); len(list) != maxOutbox || list[0].Number != 4 {
			t.Errorf("%d from %d", len(list), list[0].Number)
		}
	})
}

// TestTexts: a text message goes to the outbox, within the month's limit, and to nobody who opted out.
func TestTexts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		send := func(text string) {
			must(b.Publish(b.ctx, &sns.PublishInput{PhoneNumber: new("+15551234567"), Message: text}))
			b.drain()
		}
		send("hello")
		if list := must(b.Outbox(b.ctx, 0, 10)); len(list) != 1 || list[0].Protocol != "sms" || list[0].To != "+15551234567" {
			t.Fatalf("%+v", list)
		}
		must(0, b.OptOut(b.ctx, "+15551234567"))
		send("unwanted")
		must(b.OptInPhoneNumber(b.ctx, &sns.OptInPhoneNumberInput{PhoneNumber: "+15551234567"}))
		for range 200 { // a dollar is 155 parts
			send("hello")
		}
		if list := must(b.Outbox(b.ctx, 0, 1000)); len(list) != 155 {
			t.Errorf("%d", len(list))
		}
		time.Sleep(32 * 24 * time.Hour)
		send("a new month")
		if list := must(b.Outbox(b.ctx, 155, 1000)); len(list) != 1 {
			t.Errorf("%+v", list)
		}
		if _, err := b.Publish(b.ctx, &sns.PublishInput{PhoneNumber: new("5551234"), Message: "x"}); !aws.IsCode(err, "InvalidParameterException") {
			t.Error(err)
		}
		b.smsGateway = "http://gateway.test/"
		b.net.Respond = func(context.Context, *egress.Request) (*egress.Answer, error) {
			return &egress.Answer{Status: 410}, nil
		}
		send("through the gateway")
		if out := must(b.CheckIfPhoneNumberIsOptedOut(b.ctx, &sns.CheckIfPhoneNumberIsOptedOutInput{PhoneNumber: "+15551234567"})); !*out.IsOptedOut {
			t.Error("the gateway was not believed")
		}
	})
}

func TestPush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		app := *must(b.CreatePlatformApplication(b.ctx, &sns.CreatePlatformApplicationInput{Name: "shop", Platform: "GCM", Attributes: map[string]string{"PlatformCredential": "secret"}})).PlatformApplicationArn
		if got := must(b.GetPlatformApplicationAttributes(b.ctx, &sns.GetPlatformApplicationAttributesInput{PlatformApplicationArn: app})).Attributes; len(got) != 1 {
			t.Error(got)
		}
		create := func(user string) (string, error) {
			out, err := b.CreatePlatformEndpoint(b.ctx, &sns.CreatePlatformEndpointInput{PlatformApplicationArn: app, Token: "device", CustomUserData: &user})
			return out.GetEndpointArn(), err
		}
		arn := must(create("me"))
		if again := must(create("me")); again != arn {
			t.Error(again)
		}
		if _, err := create("you"); !aws.IsCode(err, "InvalidParameterException") {
			t.Error(err)
		}
		must(b.Publish(b.ctx, &sns.PublishInput{TargetArn: &arn, Message: `{"default":"d","GCM":"{\"notification\":{}}"}`, MessageStructure: new("json")}))
		topic := b.topic("orders")
		must(b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "application", Endpoint: &arn}))
		must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: "hello"}))
		b.drain()
		list := must(b.Outbox(b.ctx, 0, 10))
		if len(list) != 2 || list[0].Body != `{"notification":{}}` || list[1].Body != "hello" || list[1].Device != "device" {
			t.Errorf("%+v", list)
		}
		must(b.SetEndpointAttributes(b.ctx, &sns.SetEndpointAttributesInput{EndpointArn: arn, Attributes: map[string]string{"Enabled": "false"}}))
		if _, err := b.Publish(b.ctx, &sns.PublishInput{TargetArn: &arn, Message: "x"}); !aws.IsCode(err, "EndpointDisabledException") {
			t.Error(err)
		}
		must(b.DeletePlatformApplication(b.ctx, &sns.DeletePlatformApplicationInput{PlatformApplicationArn: app}))
		if _, err := b.GetEndpointAttributes(b.ctx, &sns.GetEndpointAttributesInput{EndpointArn: arn}); !aws.IsCode(err, "NotFoundException") {
			t.Error(err)
		}
	})
}

// TestFIFO: messages get numbers in order, doubles within five minutes are the same message, and groups keep their order.
func TestFIFO(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		topic := *must(b.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: "orders.fifo", Attributes: map[string]string{"FifoTopic": "true", "ContentBasedDeduplication": "true"}})).TopicArn
		b.subscribe(topic, "a.fifo", map[string]string{"RawMessageDelivery": "true"})
		b.subscribe(topic, "b", map[string]string{"RawMessageDelivery": "true"})
		publish := func(group, body string) *sns.PublishOutput {
			return must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: body, MessageGroupId: &group}))
		}
		first := publish("g", "one")
		if *first.SequenceNumber != "10000000000000000001" {
			t.Error(*first.SequenceNumber)
		}
		if second := publish("g", "one"); *second.MessageId != *first.MessageId || *second.SequenceNumber != *first.SequenceNumber {
			t.Errorf("%+v", second)
		}
		publish("h", "two")
		publish("g", "three")
		b.drain()
		if len(b.far.sent) != 6 {
			t.Errorf("%+v", b.far.sent)
		}
		time.Sleep(5 * time.Minute)
		if third := publish("g", "one"); *third.MessageId == *first.MessageId {
			t.Error("remembered for too long")
		}
		for _, in := range []sns.PublishInput{{Message: "x"}, {Message: "x", MessageGroupId: new("a b")}, {Message: "x", MessageGroupId: new("g"), MessageDeduplicationId: new("")}} {
			in.TopicArn = &topic
			if _, err := b.Publish(b.ctx, &in); !aws.IsCode(err, "InvalidParameterException") {
				t.Errorf("%+v: %v", in, err)
			}
		}
		if _, err := b.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: new("http://x.test/")}); !aws.IsCode(err, "InvalidParameterException") {
			t.Error(err)
		}
	})
}

func FuzzDeliveryPolicy(f *testing.F) {
	f.Add(`{"healthyRetryPolicy":{"minDelayTarget":2,"maxDelayTarget":10,"numRetries":8,"numNoDelayRetries":1,"backoffFunction":"geometric"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseDeliveryPolicy(text)
		if err != nil {
			return
		}
		e := effective(&topicPolicy{}, &p)
		total := time.Duration(0)
		for n := 1; ; n++ {
			d, again := e.Retry.delay(n)
			if !again {
				break
			}
			if total += d; d < 0 || total > maxRetryTime || n > 100 {
				t.Fatalf("%s: retry %d after %s, %s in all", text, n, d, total)
			}
		}
	})
}

// TestOutsideHistories: 20 seeded histories in which endpoints outside fail and answers get lost. What was published arrives,
// or is in the dead-letter queue, and a throttled endpoint's waiting counts as no failure.
func TestOutsideHistories(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			b := open(t, seed)
			r := rand.New(rand.NewPCG(seed, 0))
			topic := b.topic("orders")
			redrive := `{"deadLetterTargetArn":"` + queue("dead") + `"}`
			b.web(topic, "http://a.test/", map[string]string{"RawMessageDelivery": "true", "RedrivePolicy": redrive})
			b.web(topic, "http://b.test/", map[string]string{"RawMessageDelivery": "true", "RedrivePolicy": redrive, "DeliveryPolicy": `{"throttlePolicy":{"maxReceivesPerSecond":1}}`})
			got := map[string]int{}
			b.net.Respond = func(_ context.Context, q *egress.Request) (*egress.Answer, error) {
				place := q.URL + string(q.Body)
				switch r.IntN(5) {
				case 0:
					return nil, errors.New("lost on the way there")
				case 1:
					got[place]++
					return nil, errors.New("lost on the way back")
				case 2:
					return &egress.Answer{Status: 503}, nil
				}
				got[place]++
				return &egress.Answer{Status: 200}, nil
			}
			for i := range 20 {
				must(b.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: strconv.Itoa(i)}))
				must(b.outside.Step(b.ctx, b.db))
			}
			for range 300 {
				b.drain()
				time.Sleep(time.Second)
			}
			for i := range 20 {
				for _, url := range []string{"http://a.test/", "http://b.test/"} {
					n := got[url+strconv.Itoa(i)]
					for _, s := range b.far.sent {
						if s.body == strconv.Itoa(i) {
							n++
						}
					}
					if n == 0 {
						t.Errorf("seed %d: message %d is lost for %s", seed, i, url)
					}
				}
			}
		})
	}
}

// TestFIFOHistories: 100 seeded histories in which the queue fails before or after it stored a message. Each group's messages
// arrive in order, and a double publish arrives once but for repeats with the same once-only key.
func TestFIFOHistories(t *testing.T) {
	for seed := range uint64(100) {
		bubble(t, func(t *testing.T) {
			b := open(t, seed)
			r := rand.New(rand.NewPCG(seed, 0))
			topic := *must(b.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: "o.fifo", Attributes: map[string]string{"FifoTopic": "true"}})).TopicArn
			b.subscribe(topic, "q.fifo", map[string]string{"RawMessageDelivery": "true"})
			b.far.fail = func(string) (before, after error) {
				switch r.IntN(4) {
				case 0:
					return errors.New("lost on the way there"), nil
				case 1:
					return nil, errors.New("lost on the way back")
				}
				return nil, nil
			}
			sequence := map[string]uint64{}
			for i := range 40 {
				group := strconv.Itoa(r.IntN(3))
				in := &sns.PublishInput{TopicArn: &topic, Message: group + "/" + strconv.Itoa(i), MessageGroupId: &group, MessageDeduplicationId: new(strconv.Itoa(i))}
				for range 1 + r.IntN(2) {
					out := must(b.Publish(b.ctx, in))
					n := must(strconv.ParseUint((*out.SequenceNumber)[1:], 10, 64))
					if had, ok := sequence[in.Message]; ok && had != n || n != uint64(i+1) {
						t.Errorf("seed %d: %s is number %d, was %d", seed, in.Message, n, had)
					}
					sequence[in.Message] = n
				}
				must(b.relay.Step(b.ctx, b.db))
			}
			for range 60 {
				b.drain()
				time.Sleep(20 * time.Second)
			}
			highest, once := map[string]int{}, map[string]string{}
			for _, s := range b.far.sent {
				group, number, _ := strings.Cut(s.body, "/")
				n := must(strconv.Atoi(number))
				if n < highest[group] || once[s.body] != "" && once[s.body] != s.once {
					t.Errorf("seed %d: %s after %d", seed, s.body, highest[group])
				}
				highest[group], once[s.body] = n, s.once
			}
			if len(once) != 40 {
				t.Errorf("seed %d: %d messages arrived", seed, len(once))
			}
		})
	}
}
