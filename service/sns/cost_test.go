package sns

import (
	"fmt"
	"log/slog"
	"math"
	"testing"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
	"fogbank/world"
)

// crowd makes a topic with n queues, and gives them filter policies.
func crowd(b testing.TB, n int, policy func(i int) string) (*bench, string) {
	w := world.New()
	db := store.Memory(w)
	f := &far{db: db}
	s := New(db, w, Options{Log: slog.New(slog.DiscardHandler), Queues: f, Functions: f, Network: &egress.Memory{}})
	ctx := aws.WithCall(b.Context(), &aws.Call{Principal: aws.Principal{Kind: aws.Root, Account: account}, Account: account, Region: region})
	topic := *must(s.CreateTopic(ctx, &sns.CreateTopicInput{Name: "orders"})).TopicArn
	for i := range n {
		attributes := map[string]string{"RawMessageDelivery": "true"}
		if p := policy(i); p != "" {
			attributes["FilterPolicy"] = p
		}
		must(s.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sqs", Endpoint: new(queue(fmt.Sprint("q", i))), Attributes: attributes}))
	}
	b.Cleanup(func() {
		w.Stop()
		db.Close()
	})
	return &bench{Service: s, ctx: ctx, far: f}, topic
}

func BenchmarkSubscribe(b *testing.B) {
	for _, n := range []int{10, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, topic := crowd(b, n, func(int) string { return "" })
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				out := must(x.Subscribe(x.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sqs", Endpoint: new(queue(fmt.Sprint("z", i)))}))
				must(x.Unsubscribe(x.ctx, &sns.UnsubscribeInput{SubscriptionArn: *out.SubscriptionArn}))
				i++
			}
		})
	}
}

// filtered makes a topic with n filter policies, of which the message returned matches the first three.
func filtered(tb testing.TB, n int) (*bench, *sns.PublishInput) {
	x, topic := crowd(tb, n, func(i int) string {
		return fmt.Sprintf(`{"k":["v%d"],"n":[{"numeric":[">",%d]}],"name":[{"prefix":"a"}]}`, i/3, i/3)
	})
	return x, &sns.PublishInput{TopicArn: &topic, Message: "hello", MessageAttributes: map[string]sns.MessageAttributeValue{
		"k": {DataType: "String", StringValue: new("v0")}, "n": {DataType: "Number", StringValue: new("100000")},
		"name": {DataType: "String", StringValue: new("abc")}}}
}

func BenchmarkPublishFiltered(b *testing.B) {
	for _, n := range []int{3, 200, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, in := filtered(b, n)
			must(x.Publish(x.ctx, in))
			b.ReportAllocs()
			for b.Loop() {
				must(x.Publish(x.ctx, in))
			}
		})
	}
}

// TestCostOfFilters: a publish that three subscriptions want costs no more for the 9,997 that do not.
func TestCostOfFilters(t *testing.T) {
	allocations := func(n int) float64 {
		x, in := filtered(t, n)
		must(x.Publish(x.ctx, in))
		least := math.Inf(1) // what goes on in the background counts in some rounds, not in all
		for range 10 {
			least = min(least, testing.AllocsPerRun(20, func() { must(x.Publish(x.ctx, in)) }))
		}
		return least
	}
	few, many := allocations(3), allocations(maxFilterPolicies)
	if t.Logf("%.0f and %.0f allocations", few, many); many > 1.5*few {
		t.Errorf("%.0f allocations with 3 subscriptions, %.0f with 10,000", few, many)
	}
}

func BenchmarkPublishCrowd(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, topic := crowd(b, n, func(int) string { return "" })
			b.ReportAllocs()
			for b.Loop() {
				must(x.Publish(x.ctx, &sns.PublishInput{TopicArn: &topic, Message: "hello"}))
			}
		})
	}
}
