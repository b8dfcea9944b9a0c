package events

import (
	"context"
	"encoding/json"
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

	"fogbank/api/events"
	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
	"fogbank/template"
	"fogbank/wire"
	"fogbank/world"
)

const (
	account = "000000000000"
	region  = "us-east-1"
)

// far is where targets live: it keeps what it was sent and fails as told.
type far struct {
	mu      sync.Mutex
	sent    []sent
	streams map[string]bool
	fail    func(to string) (before, after error)
}

type sent struct {
	to, body, once string
	call           *aws.Call
	group          string
	attributes     map[string]sqs.MessageAttributeValue
}

func (f *far) take(ctx context.Context, s sent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var before, after error
	if f.fail != nil {
		before, after = f.fail(s.to)
	}
	if before != nil {
		return before
	}
	s.call = aws.CallFrom(ctx)
	s.once = s.call.OnceKey
	f.sent = append(f.sent, s)
	return after
}

func (f *far) SendMessage(ctx context.Context, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	return &sqs.SendMessageOutput{}, f.take(ctx, sent{to: in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:], body: in.MessageBody,
		group: in.GetMessageGroupId(), attributes: in.MessageAttributes})
}

func (f *far) Publish(ctx context.Context, in *sns.PublishInput) (*sns.PublishOutput, error) {
	return &sns.PublishOutput{}, f.take(ctx, sent{to: in.GetTopicArn(), body: in.Message})
}

func (f *far) Invoke(ctx context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
	return &lambda.InvokeOutput{}, f.take(ctx, sent{to: in.FunctionName, body: string(in.Payload)})
}

func (f *far) CreateLogStream(_ context.Context, in *logs.CreateLogStreamInput) (*logs.CreateLogStreamOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[in.LogStreamName] = true
	return &logs.CreateLogStreamOutput{}, nil
}

func (f *far) PutLogEvents(ctx context.Context, in *logs.PutLogEventsInput) (*logs.PutLogEventsOutput, error) {
	f.mu.Lock()
	missing := !f.streams[in.LogStreamName]
	f.mu.Unlock()
	if missing {
		return nil, logs.ResourceNotFoundException("The specified log stream does not exist.")
	}
	return &logs.PutLogEventsOutput{}, f.take(ctx, sent{to: in.LogGroupName + "/" + in.LogStreamName, body: in.LogEvents[0].Message})
}

func (f *far) places() (list []string) {
	for _, s := range f.sent {
		list = append(list, s.to)
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
	f := &far{streams: map[string]bool{}}
	return &bench{New(db, w, slog.New(slog.DiscardHandler), Clients{Queues: f, Topics: f, Functions: f, Logs: f, Permit: permitAll}), t,
		aws.WithCall(t.Context(), &aws.Call{Account: account, Region: region, Endpoint: "http://localhost:4566"}), f}
}

// permitAll is a policy that lets everybody do everything.
func permitAll(context.Context, *wire.Operation, aws.Access) error { return nil }

// byBusPolicy decides as the gate does about principals without policies of their own.
func (b *bench) byBusPolicy(ctx context.Context, _ *wire.Operation, a aws.Access) error {
	c := aws.CallFrom(ctx)
	doc, err := b.ResourcePolicy(ctx, a.Resource)
	if err == nil && !policy.Evaluate(&policy.Request{Principal: c.Principal, Call: c, Action: a.Action, Resource: a.Resource,
		ResourceAccount: a.Resource.Account(), Now: b.world.Now(), ResourcePolicy: doc, Keys: a.Context}).Allowed {
		err = aws.Errorf("AccessDeniedException", 403, "not authorized")
	}
	return err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func queue(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// rule makes a rule on a bus with its targets.
func (b *bench) rule(bus, name, pattern string, to ...events.Target) {
	must(b.PutRule(b.ctx, &events.PutRuleInput{Name: name, EventBusName: &bus, EventPattern: &pattern}))
	if len(to) > 0 {
		must(b.PutTargets(b.ctx, &events.PutTargetsInput{Rule: name, EventBusName: &bus, Targets: to}))
	}
}

// put puts one event and returns its id.
func (b *bench) put(bus, detail string) string {
	out := must(b.PutEvents(b.ctx, &events.PutEventsInput{Entries: []events.PutEventsRequestEntry{{Source: new("shop"), DetailType: new("order"),
		Detail: &detail, EventBusName: &bus, Resources: []string{"arn:x"}}}}))
	if *out.FailedEntryCount > 0 {
		b.t.Fatalf("%s", *out.Entries[0].ErrorMessage)
	}
	return *out.Entries[0].EventId
}

func (b *bench) drain() {
	for must(b.relay.Step(b.ctx, b.db)) {
	}
}

func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// TestRuleQuota: a bus has its number of rules and no more; those of an older server's bus are counted.
func TestRuleQuota(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		must(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: "orders"}))
		put := func(name, code string) {
			t.Helper()
			_, err := b.PutRule(b.ctx, &events.PutRuleInput{Name: name, EventBusName: new("orders"), EventPattern: new(`{"source":["shop"]}`)})
			if code == "" && err != nil || code != "" && !aws.IsCode(err, code) {
				t.Errorf("%s: %v", name, err)
			}
		}
		count := func(set store.Number) (n store.Number) {
			must(0, b.db.Update(b.ctx, func(tx *store.Tx) error {
				n, _ = ruleCounts.Get(tx, store.K("orders"))
				if ruleCounts.Delete(tx, store.K("orders")); set > 0 {
					ruleCounts.Put(tx, store.K("orders"), set)
				}
				return nil
			}))
			return n
		}
		put("a", "")
		put("b", "")
		put("a", "") // changed, not added
		if n := count(0); n != 2 {
			t.Errorf("%d rules are counted of 2", n)
		}
		put("c", "")
		must(b.DeleteRule(b.ctx, &events.DeleteRuleInput{Name: "b", EventBusName: new("orders")}))
		must(b.DeleteRule(b.ctx, &events.DeleteRuleInput{Name: "b", EventBusName: new("orders")})) // it is gone
		if n := count(maxRules - 1); n != 2 {
			t.Errorf("%d rules are counted of 2 that an older server made", n)
		}
		put("d", "")
		put("e", "LimitExceededException")
		put("a", "")
		must(b.DeleteRule(b.ctx, &events.DeleteRuleInput{Name: "d", EventBusName: new("orders")}))
		put("e", "")
	})
}

func TestEveryTarget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		must(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: "orders"}))
		must(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: "other"}))
		b.rule("orders", "high", `{"detail":{"total":[{"numeric":[">",1000]}]}}`,
			events.Target{Id: "1", Arn: queue("high-value")},
			events.Target{Id: "2", Arn: queue("high.fifo"), SqsParameters: &events.SqsParameters{MessageGroupId: new("g")}},
			events.Target{Id: "3", Arn: "arn:aws:sns:us-east-1:000000000000:topic"},
			events.Target{Id: "4", Arn: "arn:aws:lambda:us-east-1:000000000000:function:f"},
			events.Target{Id: "5", Arn: "arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/high:*"})
		b.rule("orders", "pass", `{"source":["shop"]}`, events.Target{Id: "1", Arn: "arn:aws:events:us-east-1:000000000000:event-bus/other"})
		b.rule("other", "end", `{"detail-type":["order"]}`, events.Target{Id: "1", Arn: queue("end")})
		b.put("orders", `{"total":999}`)
		id := b.put("arn:aws:events:us-east-1:000000000000:event-bus/orders", `{"total": 1000.01, "note": "a<b"}`)
		b.drain()
		want := []string{"/aws/events/high/2000/01/01/high", "arn:aws:lambda:us-east-1:000000000000:function:f", "arn:aws:sns:us-east-1:000000000000:topic",
			"end", "end", "high-value", "high.fifo"}
		if got := b.far.places(); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		envelope := `{"version":"0","id":"` + id + `","detail-type":"order","source":"shop","account":"000000000000","time":"2000-01-01T00:00:00Z",` +
			`"region":"us-east-1","resources":["arn:x"],"detail":{"total":1000.01,"note":"a<b"}}`
		for _, s := range b.far.sent {
			if s.to != "end" && s.body != envelope {
				t.Errorf("%s got %s", s.to, s.body)
			}
			if s.to == "high.fifo" && s.group != "g" {
				t.Errorf("group %s", s.group)
			}
			if s.to == "high-value" && (s.call.SourceARN != "arn:aws:events:us-east-1:000000000000:rule/orders/high" || s.once == "") {
				t.Errorf("%+v", s.call)
			}
		}
	})
}

func TestPutEventsErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		entry := func(source, kind, detail, bus string) events.PutEventsRequestEntry {
			return events.PutEventsRequestEntry{Source: &source, DetailType: &kind, Detail: &detail, EventBusName: &bus}
		}
		out := must(b.PutEvents(b.ctx, &events.PutEventsInput{Entries: []events.PutEventsRequestEntry{
			entry("shop", "order", "{}", ""), entry("", "order", "{}", ""), entry("shop", "", "{}", ""), entry("shop", "order", "", ""),
			entry("shop", "order", "{", ""), entry("shop", "order", "[]", ""), entry("aws.s3", "order", "{}", ""), entry("shop", "order", "{}", "nope"), entry("shop", "order", "  ", "")}}))
		var codes []string
		for _, e := range out.Entries {
			codes = append(codes, e.GetErrorCode())
		}
		if want := []string{"", "InvalidArgument", "InvalidArgument", "InvalidArgument", "MalformedDetail", "MalformedDetail", "NotAuthorizedForSource",
			"ResourceNotFoundException", "MalformedDetail"}; !slices.Equal(codes, want) || *out.FailedEntryCount != 8 {
			t.Errorf("%v", codes)
		}
		_, err := b.PutEvents(b.ctx, &events.PutEventsInput{Entries: []events.PutEventsRequestEntry{entry("shop", "order", `{"a":"`+strings.Repeat("x", 1<<20)+`"}`, "")}})
		if !aws.IsCode(err, "ValidationException") {
			t.Error(err)
		}
	})
}

func TestTransform(t *testing.T) {
	ev := []byte(`{"version":"0","id":"1","detail-type":"order","source":"shop","detail":{"id":"i-1","n":5,"ok":true,"none":null,"say":"a \"b\"","tags":["x","y"],"items":[{"sku":"s1"},{"sku":"s2"}],"o":{"a":1}}}`)
	o := occasion{"arn:rule", "r", "2000-01-01T00:00:00Z"}
	variables := map[string]string{"id": "$.detail.id", "n": "$.detail.n", "none": "$.detail.none", "missing": "$.detail.nope", "say": "$.detail.say",
		"tags": "$.detail.tags", "sku": "$.detail.items[1].sku", "skus": "$.detail.items[*].sku", "o": "$.detail.o", "all": "$"}
	for _, c := range []struct{ template, want string }{
		{`"<id> is <n>"`, `"i-1 is 5"`},
		{`{"id":<id>,"n":<n>}`, `{"id":"i-1","n":5}`},
		{`{"id":"<id>","n":"<n>"}`, `{"id":"i-1","n":"5"}`},
		{`{"t":"<id> says \"<say>\""}`, `{"t":"i-1 says \"a \"b\"\""}`},
		{`{"none":<none>,"missing":<missing>,"q":"<missing>"}`, `{"none":null,"missing":null,"q":""}`},
		{`{"tags":<tags>,"text":"<tags>"}`, `{"tags":["x","y"],"text":"[x,y]"}`},
		{`{"sku":<sku>,"skus":<skus>}`, `{"sku":"s2","skus":["s1","s2"]}`},
		{`{"o":<o>,"text":"<o>"}`, `{"o":{"a":1},"text":"{a:1}"}`},
		{`plain <id> and <n>, <other> < 5`, `plain i-1 and 5, <other> < 5`},
		{`<o>`, `{"a":1}`},
		{`{"r":<aws.events.rule-name>,"a":"<aws.events.rule-arn>","t":<aws.events.event.ingestion-time>}`, `{"r":"r","a":"arn:rule","t":"2000-01-01T00:00:00Z"}`},
		{`{"e":<aws.events.event>}`, `{"e":{"version":"0","id":"1","detail-type":"order","source":"shop"}}`},
		{`{"e":<aws.events.event.json>}`, `{"e":` + string(ev) + `}`},
	} {
		tr, err := newTransform(&target{ID: "1", Template: &c.template, Variables: variables})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(tr.apply(ev, o)); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.template, got, c.want)
		}
	}
	for path, want := range map[string]string{"$.detail.id": `"i-1"`, "$.detail.items[0]": `{"sku":"s1"}`, "$.detail['o']": `{"a":1}`,
		"$.detail.o.*": `[1]`, "$.nope": "null", "$": string(ev)} {
		tr, err := newTransform(&target{ID: "1", Path: &path})
		if got := string(tr.apply(ev, o)); err != nil || got != want {
			t.Errorf("%s: %s %v", path, got, err)
		}
	}
	for _, path := range []string{"", "detail", "$detail", "$..a", "$.a[", "$.a[x]", "$.a[-1]"} {
		if _, ok := template.ParsePath(path); ok {
			t.Errorf("%q is a path", path)
		}
	}
}

// TestRetryPolicy: a target down for 23 hours gets everything; one down for 25 hours is given up after 24, with the
// documented attributes; one that refuses at once.
func TestRetryPolicy(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			b := open(t, seed)
			start := b.world.Now()
			dead := &events.DeadLetterConfig{Arn: new(queue("dead"))}
			b.rule("default", "r", `{"source":["shop"]}`,
				events.Target{Id: "1", Arn: queue("a"), DeadLetterConfig: dead}, events.Target{Id: "2", Arn: queue("b"), DeadLetterConfig: dead},
				events.Target{Id: "3", Arn: queue("c"), DeadLetterConfig: dead}, events.Target{Id: "4", Arn: queue("d"), DeadLetterConfig: dead,
					RetryPolicy: &events.RetryPolicy{MaximumRetryAttempts: new(int32(2))}})
			tried := map[string]int{}
			b.far.fail = func(to string) (error, error) {
				tried[to]++
				down := b.world.Now().Sub(start)
				switch {
				case to == "a" && down < 23*time.Hour, to == "b" && down < 25*time.Hour, to == "d":
					return errors.New("down"), nil
				case to == "c":
					return sqs.QueueDoesNotExist("The specified queue does not exist."), nil
				}
				return nil, nil
			}
			b.Start()
			b.put("", `{}`)
			time.Sleep(30 * time.Hour)
			synctest.Wait()
			if got := b.far.places(); !slices.Equal(got, []string{"a", "dead", "dead", "dead"}) {
				t.Errorf("seed %d: %v", seed, got)
			}
			if tried["c"] != 1 || tried["d"] != 3 || tried["b"] > 186 {
				t.Errorf("seed %d: %v", seed, tried)
			}
			for _, s := range b.far.sent {
				value := func(name string) string { a := s.attributes[name]; return a.GetStringValue() }
				want := map[string][3]string{queue("b"): {"INTERNAL_ERROR", "MaximumEventAgeInSeconds", fmt.Sprint(tried["b"] - 1)},
					queue("c"): {"NO_RESOURCE", "", ""}, queue("d"): {"INTERNAL_ERROR", "MaximumRetryAttempts", "2"}}[value("TARGET_ARN")]
				if got := [3]string{value("ERROR_CODE"), value("EXHAUSTED_RETRY_CONDITION"), value("RETRY_ATTEMPTS")}; s.to == "dead" &&
					(got != want || value("RULE_ARN") != "arn:aws:events:us-east-1:000000000000:rule/r" || !strings.HasPrefix(s.body, `{"version":"0"`)) {
					t.Errorf("seed %d: %v, want %v: %+v", seed, got, want, s)
				}
			}
		})
	}
}

func TestRules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		b.rule("default", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: queue("a"), Input: new(`{"x":1}`)})
		b.put("", "{}")
		must(b.DisableRule(b.ctx, &events.DisableRuleInput{Name: "r"}))
		b.put("", "{}")
		must(b.EnableRule(b.ctx, &events.EnableRuleInput{Name: "r"}))
		b.put("", "{}")
		b.drain()
		if len(b.far.sent) != 2 || b.far.sent[0].body != `{"x":1}` {
			t.Errorf("%v", b.far.sent)
		}
		b.rule("default", "r2", `{"source":["x"]}`, events.Target{Id: "1", Arn: queue("a")})
		if names := must(b.ListRuleNamesByTarget(b.ctx, &events.ListRuleNamesByTargetInput{TargetArn: queue("a")})).RuleNames; !slices.Equal(names, []string{"r", "r2"}) {
			t.Errorf("%v", names)
		}
		page := must(b.ListRules(b.ctx, &events.ListRulesInput{Limit: new(int32(1))}))
		rest := must(b.ListRules(b.ctx, &events.ListRulesInput{Limit: new(int32(1)), NextToken: page.NextToken}))
		if len(page.Rules) != 1 || len(rest.Rules) != 1 || *rest.Rules[0].Name != "r2" || rest.NextToken != nil {
			t.Errorf("%+v %+v", page, rest)
		}
		if _, err := b.DeleteRule(b.ctx, &events.DeleteRuleInput{Name: "r"}); !aws.IsCode(err, "ValidationException") {
			t.Error(err)
		}
		out := must(b.RemoveTargets(b.ctx, &events.RemoveTargetsInput{Rule: "r", Ids: []string{"1", "2"}}))
		if *out.FailedEntryCount != 1 || *out.FailedEntries[0].TargetId != "2" {
			t.Errorf("%+v", out)
		}
		must(b.DeleteRule(b.ctx, &events.DeleteRuleInput{Name: "r"}))
		if _, err := b.DescribeRule(b.ctx, &events.DescribeRuleInput{Name: "r"}); err == nil || aws.AsError(err).Message != "Rule r does not exist on EventBus default." {
			t.Error(err)
		}
		arn := "arn:aws:events:us-east-1:000000000000:rule/r2"
		must(b.TagResource(b.ctx, &events.TagResourceInput{ResourceARN: arn, Tags: []events.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}}))
		must(b.UntagResource(b.ctx, &events.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"a"}}))
		if tags := must(b.ListTagsForResource(b.ctx, &events.ListTagsForResourceInput{ResourceARN: arn})).Tags; len(tags) != 1 || tags[0].Key != "b" {
			t.Errorf("%v", tags)
		}
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		b.rule("default", "r", `{"source":["shop"]}`)
		put := func(target events.Target) error {
			target.Id = "1"
			_, err := b.PutTargets(b.ctx, &events.PutTargetsInput{Rule: "r", Targets: []events.Target{target}})
			return err
		}
		rule := func(in events.PutRuleInput) error {
			in.Name = "x"
			_, err := b.PutRule(b.ctx, &in)
			return err
		}
		second := func(_ any, err error) error { return err }
		for i, c := range []struct {
			err        error
			code, text string
		}{
			{rule(events.PutRuleInput{}), "ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified."},
			{rule(events.PutRuleInput{ScheduleExpression: new("rate(1 days)")}), "ValidationException", "Parameter ScheduleExpression is not valid."},
			{rule(events.PutRuleInput{EventPattern: new(`{"source": ["aws.health"], "detail": {}}`)}), "InvalidEventPatternException",
				"Event pattern is not valid. Reason: Empty objects are not allowed\n at [Source: (String)\"{\"source\": [\"aws.health\"], \"detail\": {}}\"; line: 1, column: 40]"},
			{rule(events.PutRuleInput{EventPattern: new(`{"a":[1]}`), EventBusName: new("nope")}), "ResourceNotFoundException", "Event bus nope does not exist."},
			{put(events.Target{Arn: "a queue"}), "ValidationException", "Parameter a queue is not valid. Reason: Provided Arn is not in correct format."},
			{put(events.Target{Arn: "arn:aws:kinesis:us-east-1:000000000000:stream/x"}), "NotImplemented", ""},
			{put(events.Target{Arn: "arn:aws:events:us-east-1:000000000000:api-destination/x"}), "ValidationException", "RoleArn is required for target 1."},
			{put(events.Target{Arn: queue("a.fifo")}), "ValidationException", "Parameter(s) SqsParameters must be specified for target: 1."},
			{put(events.Target{Arn: queue("a"), Input: new("{}"), InputPath: new("$")}), "ValidationException", ""},
			{put(events.Target{Arn: queue("a"), Input: new("{")}), "ValidationException", ""},
			{put(events.Target{Arn: queue("a"), InputPath: new("detail")}), "ValidationException", ""},
			{put(events.Target{Arn: queue("a"), RetryPolicy: &events.RetryPolicy{MaximumEventAgeInSeconds: new(int32(1))}}), "ValidationException", ""},
			{second(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: "default"})), "ResourceAlreadyExistsException", "Event bus default already exists."},
			{second(b.DeleteEventBus(b.ctx, &events.DeleteEventBusInput{Name: "default"})), "ValidationException", ""},
			{second(b.TestEventPattern(b.ctx, &events.TestEventPatternInput{EventPattern: `{"a":[1]}`, Event: `{}`})), "ValidationException", ""},
		} {
			e := aws.AsError(c.err)
			if c.err == nil || e.Code != c.code || c.text != "" && e.Message != c.text {
				t.Errorf("%d: %v; want %s %s", i, c.err, c.code, c.text)
			}
		}
		many := make([]events.Target, 6)
		for i := range many {
			many[i] = events.Target{Id: fmt.Sprint(i), Arn: queue("a")}
		}
		if _, err := b.PutTargets(b.ctx, &events.PutTargetsInput{Rule: "r", Targets: many}); !aws.IsCode(err, "LimitExceededException") {
			t.Error(err)
		}
		if out := must(b.TestEventPattern(b.ctx, &events.TestEventPatternInput{EventPattern: `{"source":["shop"]}`,
			Event: `{"id":"1","account":"1","source":"shop","time":"2000-01-01T00:00:00Z","region":"r","detail-type":"d"}`})); !*out.Result {
			t.Error("no match")
		}
	})
}

func TestBusesAndPermissions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		b.to.Permit = b.byBusPolicy
		must(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: "orders", Tags: []events.Tag{{Key: "a", Value: "1"}}}))
		list := must(b.ListEventBuses(b.ctx, &events.ListEventBusesInput{})).EventBuses
		if len(list) != 2 || *list[0].Name != "default" || *list[1].Arn != "arn:aws:events:us-east-1:000000000000:event-bus/orders" {
			t.Errorf("%+v", list)
		}
		there := aws.WithCall(t.Context(), &aws.Call{Account: "111111111111", Region: "eu-west-1"})
		must(b.PutRule(there, &events.PutRuleInput{Name: "in", EventPattern: new(`{"source":["shop"]}`)}))
		must(b.PutTargets(there, &events.PutTargetsInput{Rule: "in", Targets: []events.Target{{Id: "1", Arn: "arn:aws:sqs:eu-west-1:111111111111:far"}}}))
		b.rule("orders", "out", `{"source":["shop"]}`, events.Target{Id: "1", Arn: "arn:aws:events:eu-west-1:111111111111:event-bus/default",
			DeadLetterConfig: &events.DeadLetterConfig{Arn: new(queue("dead"))}})
		b.put("orders", "{}")
		b.drain()
		must(b.PutPermission(there, &events.PutPermissionInput{Action: new("events:PutEvents"), Principal: new(account), StatementId: new("in")}))
		b.put("orders", "{}")
		b.drain()
		if got := b.far.places(); !slices.Equal(got, []string{"dead", "far"}) {
			t.Errorf("%v", got)
		}
		if a := b.far.sent[0].attributes["ERROR_CODE"]; a.GetStringValue() != "NO_PERMISSIONS" {
			t.Errorf("%+v", b.far.sent[0])
		}
		if doc := must(b.ResourcePolicy(there, "arn:aws:events:eu-west-1:111111111111:event-bus/default")); doc == nil {
			t.Error("no policy")
		}
		must(b.RemovePermission(there, &events.RemovePermissionInput{StatementId: new("in")}))
		if _, err := b.RemovePermission(there, &events.RemovePermissionInput{StatementId: new("in")}); !aws.IsCode(err, "ResourceNotFoundException") {
			t.Error(err)
		}
		if doc := must(b.ResourcePolicy(there, "arn:aws:events:eu-west-1:111111111111:event-bus/default")); doc != nil {
			t.Error("the policy is still there")
		}
	})
}

// TestLoop: two buses that forward to each other stop after a few hops.
func TestLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		for _, name := range []string{"a", "b"} {
			must(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: name}))
		}
		bus := func(name string) string { return "arn:aws:events:us-east-1:000000000000:event-bus/" + name }
		b.rule("a", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: bus("b")}, events.Target{Id: "2", Arn: queue("seen")})
		b.rule("b", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: bus("a")}, events.Target{Id: "2", Arn: queue("seen")})
		b.put("a", "{}")
		b.drain()
		if len(b.far.sent) != maxHops {
			t.Errorf("seen %d times", len(b.far.sent))
		}
	})
}

// TestShared: big events to many targets are stored once and removed with the last delivery.
func TestShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := open(t, 1)
		for i := range 4 {
			b.rule("default", fmt.Sprint("r", i), `{"source":["shop"]}`, events.Target{Id: "1", Arn: queue("a")}, events.Target{Id: "2", Arn: queue("b")})
		}
		b.put("", `{"x":"`+strings.Repeat("x", 900<<10)+`"}`)
		count := func() (n int) {
			must(0, b.db.View(b.ctx, func(tx *store.Tx) error {
				for range shared.All(tx, "") {
					n++
				}
				for range pendings.All(tx, "") {
					n++
				}
				return nil
			}))
			return n
		}
		if n := count(); n != 9 {
			t.Errorf("%d rows before", n)
		}
		b.drain()
		if len(b.far.sent) != 8 || len(b.far.sent[7].body) < 900<<10 {
			t.Errorf("%d sent", len(b.far.sent))
		}
		if n := count(); n != 0 {
			t.Errorf("%d rows left", n)
		}
	})
}

// TestDelivery runs 300 seeded histories over two buses with failures before and after the far side took an
// event: none is lost.
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
		must(b.CreateEventBus(b.ctx, &events.CreateEventBusInput{Name: "second"}))
		b.rule("default", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: queue("a"), InputPath: new("$.detail.n")},
			events.Target{Id: "2", Arn: "arn:aws:events:us-east-1:000000000000:event-bus/second"})
		b.rule("second", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: queue("b"), InputPath: new("$.detail.n")})
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
		put := 0
		for range 40 {
			if r.IntN(4) == 0 {
				b.put("", fmt.Sprintf(`{"n":%d}`, put))
				put++
			} else if did, _ := b.relay.Step(b.ctx, b.db); !did {
				time.Sleep(time.Second)
			}
		}
		bad = false
		for range 20 {
			for did := true; did; {
				did, _ = b.relay.Step(b.ctx, b.db)
			}
			time.Sleep(10 * time.Minute)
		}
		count := map[string]int{}
		for _, s := range b.far.sent {
			count[s.to+"/"+s.body]++
			trace += s.to + "/" + s.body + " "
		}
		for i := range put {
			for _, name := range []string{"a", "b"} {
				n := count[fmt.Sprintf("%s/%d", name, i)]
				if n == 0 {
					t.Errorf("seed %d: event %d never reached %s", seed, i, name)
				}
				duplicates += n - 1
			}
		}
	})
	return trace, duplicates
}

func TestRecords(t *testing.T) {
	d := delivery{ID: "i", RuleARN: "r", Rule: "n", Target: "t", ARN: "a", Group: "g", DeadLetter: "d", Host: "h", Ingested: "t", Attempts: 185, Age: 86400,
		Hops: 2, Payload: []byte("p"), Event: nil, Shared: store.K("x", 1)}
	b := must(d.AppendBinary(nil))
	var back delivery
	if err := back.UnmarshalBinary(b); err != nil || fmt.Sprint(back) != fmt.Sprint(d) || back.Event != nil {
		t.Errorf("%v\n%+v\n%+v", err, d, back)
	}
	for i := range b {
		if err := new(delivery).UnmarshalBinary(b[:i]); err == nil {
			t.Errorf("%d of %d bytes are a delivery", i, len(b))
		}
	}
}

func FuzzDelivery(f *testing.F) {
	f.Add([]byte("\x02id\x03sqs"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d delivery
		if d.UnmarshalBinary(b) == nil {
			var back delivery
			if err := back.UnmarshalBinary(must(d.AppendBinary(nil))); err != nil || fmt.Sprint(back) != fmt.Sprint(d) {
				t.Fatalf("%v", err)
			}
		}
	})
}

func FuzzTransform(f *testing.F) {
	f.Add(`{"a":<id>,"b":"<id>"}`, "$.detail.a[0].*")
	f.Fuzz(func(t *testing.T, template, path string) {
		tr, err := newTransform(&target{ID: "1", Template: &template, Variables: map[string]string{"id": path}})
		if err == nil {
			tr.apply([]byte(`{"version":"0","detail":{"a":[{"b":1},"x",null,{"c":"\"q\""}]}}`), occasion{})
		}
		if p, err := newTransform(&target{ID: "1", Path: &path}); err == nil {
			if got := p.apply([]byte(`{"version":"0","detail":{"a":[1,{"b":[2]}]}}`), occasion{}); !json.Valid(got) {
				t.Fatalf("%s: %s", path, got)
			}
		}
	})
}

func BenchmarkPutEvents(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := world.New()
			db := store.Memory(w)
			f := &far{}
			s := New(db, w, slog.New(slog.DiscardHandler), Clients{Queues: f, Topics: f, Functions: f, Logs: f})
			ctx := aws.WithCall(b.Context(), &aws.Call{Account: account, Region: region})
			for i := range n {
				must(s.PutRule(ctx, &events.PutRuleInput{Name: fmt.Sprint("r", i), EventPattern: new(fmt.Sprintf(`{"source":["shop"],"detail":{"n":[%d]}}`, i))}))
			}
			must(s.PutTargets(ctx, &events.PutTargetsInput{Rule: "r0", Targets: []events.Target{{Id: "1", Arn: queue("a")}}}))
			in := &events.PutEventsInput{Entries: []events.PutEventsRequestEntry{{Source: new("shop"), DetailType: new("order"), Detail: new(`{"n":0,"total":5}`)}}}
			must(s.PutEvents(ctx, in))
			b.ReportAllocs()
			for b.Loop() {
				must(s.PutEvents(ctx, in))
			}
			w.Stop()
			db.Close()
		})
	}
}
