package sns

import (
	"fmt"
	"log/slog"
	"testing"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
	"fogbank/world"
)

func crowd(b testing.TB, n int, policy func(i int) string) (*Service, *bench, string) {
	w := world.New()
	db := store.Memory(w)
	f := &far{}
	s := New(db, w, Options{Log: slog.New(slog.DiscardHandler), Queues: f, Functions: f, Network: &egress.Memory{}})
	ctx := aws.WithCall(b.Context(), &aws.Call{Account: account, Region: region})
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
	return s, &bench{Service: s, ctx: ctx, far: f}, topic
}

func BenchmarkSubscribe(b *testing.B) {
	for _, n := range []int{10, 1000, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, x, topic := crowd(b, n, func(int) string { return "" })
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				out := must(s.Subscribe(x.ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: "sqs", Endpoint: new(queue(fmt.Sprint("z", i)))}))
				must(s.Unsubscribe(x.ctx, &sns.UnsubscribeInput{SubscriptionArn: *out.SubscriptionArn}))
				i++
			}
		})
	}
}

func BenchmarkPublishFiltered(b *testing.B) {
	for _, n := range []int{3, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, x, topic := crowd(b, n, func(i int) string { return fmt.Sprintf(`{"k":["v%d"],"n":[{"numeric":[">",%d]}]}`, i/3, i/3) })
			in := &sns.PublishInput{TopicArn: &topic, Message: "hello", MessageAttributes: map[string]sns.MessageAttributeValue{
				"k": {DataType: "String", StringValue: new("v0")}, "n": {DataType: "Number", StringValue: new("100")}}}
			b.ReportAllocs()
			for b.Loop() {
				must(s.Publish(x.ctx, in))
			}
		})
	}
}

func BenchmarkPublishCrowd(b *testing.B) {
	for _, n := range []int{1, 100, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, x, topic := crowd(b, n, func(int) string { return "" })
			b.ReportAllocs()
			for b.Loop() {
				must(s.Publish(x.ctx, &sns.PublishInput{TopicArn: &topic, Message: "hello"}))
			}
		})
	}
}
