package sqs

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	host    = "http://sqs.test"
)

// server is a service on a store in memory that can be restarted.
type server struct {
	*Service
	t     testing.TB
	ctx   context.Context
	fs    vfs.FS
	seed  uint64
	world *world.World
	db    *store.DB
}

// bubble runs f with a service in virtual time.
func bubble(t *testing.T, f func(*server)) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		defer s.stop()
		f(s)
	})
}

func start(t testing.TB) *server {
	call := &aws.Call{Account: account, Region: region, Endpoint: host,
		Principal: aws.Principal{Kind: aws.Root, Account: account, UserID: account}}
	s := &server{t: t, ctx: aws.WithCall(t.Context(), call), fs: vfs.NewMem()}
	s.open()
	return s
}

func (s *server) open() {
	s.seed++
	s.world = world.Seeded(s.seed)
	db, err := store.Open(store.Options{Dir: "/data", FS: s.fs, World: s.world, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.db = db
	s.Service = New(db, s.world)
	s.Start()
}

func (s *server) stop() {
	s.world.Stop()
	if err := s.db.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *server) restart() {
	s.stop()
	s.open()
}

// must returns v, failing the test at an error.
func must[V any](v V, err error) V {
	if err != nil {
		panic(fmt.Sprintf("unexpected: %v", err))
	}
	return v
}

// queue makes a queue with attributes given as name, value, …; it returns the URL.
func (s *server) queue(name string, attributes ...string) string {
	in := &sqs.CreateQueueInput{QueueName: name, Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		in.Attributes[attributes[i]] = attributes[i+1]
	}
	return must(s.CreateQueue(s.ctx, in)).GetQueueUrl()
}

func (s *server) fifo(name string, attributes ...string) string {
	return s.queue(name+".fifo", append(attributes, "FifoQueue", "true")...)
}

func (s *server) send(url, body string) string {
	return must(s.SendMessage(s.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: body})).GetMessageId()
}

func (s *server) sendTo(url, group, id, body string) *sqs.SendMessageOutput {
	return must(s.SendMessage(s.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: body, MessageGroupId: &group, MessageDeduplicationId: &id}))
}

// receive takes up to n messages and returns them.
func (s *server) receive(url string, n, wait int32) []sqs.Message {
	return must(s.poll(s.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: &n, WaitTimeSeconds: &wait,
		MessageSystemAttributeNames: []string{"All"}, MessageAttributeNames: []string{"All"}})).Messages
}

// poll is ReceiveMessage to its end.
func (s *server) poll(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	out, err := s.ReceiveMessage(ctx, in)
	for {
		later, ok := err.(aws.Later)
		if !ok {
			return out, err
		}
		s.world.WaitUntil(ctx, later.Changed(), later.Until())
		var rest any
		rest, err = later.Resume(ctx)
		out, _ = rest.(*sqs.ReceiveMessageOutput)
	}
}

func (s *server) delete(url string, m sqs.Message) error {
	_, err := s.DeleteMessage(s.ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.GetReceiptHandle()})
	return err
}

func (s *server) hide(url string, m sqs.Message, seconds int32) error {
	_, err := s.ChangeMessageVisibility(s.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: m.GetReceiptHandle(), VisibilityTimeout: seconds})
	return err
}

// counts returns visible/in flight/delayed.
func (s *server) counts(url string) string {
	a := must(s.GetQueueAttributes(s.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []string{"All"}})).Attributes
	return a["ApproximateNumberOfMessages"] + "/" + a["ApproximateNumberOfMessagesNotVisible"] + "/" + a["ApproximateNumberOfMessagesDelayed"]
}

func bodies(list []sqs.Message) string {
	s := ""
	for _, m := range list {
		s += m.GetBody() + " "
	}
	if s != "" {
		s = s[:len(s)-1]
	}
	return s
}

func (s *server) want(got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("got %q, want %q", got, want)
	}
}

func code(err error) string {
	if err == nil {
		return ""
	}
	e := aws.AsError(err)
	return e.Code + ": " + e.Message
}

func TestVisibility(t *testing.T) {
	bubble(t, func(s *server) {
		url := s.queue("jobs")
		s.want(url, host+"/"+account+"/jobs")
		s.send(url, "hello")
		s.want(s.counts(url), "1/0/0")
		list := s.receive(url, 1, 0)
		s.want(bodies(list), "hello")
		s.want(s.counts(url), "0/1/0")
		time.Sleep(29 * time.Second)
		s.want(bodies(s.receive(url, 1, 0)), "")
		s.restart()
		time.Sleep(time.Second)
		again := s.receive(url, 1, 0)
		s.want(bodies(again), "hello")
		s.want(again[0].Attributes["ApproximateReceiveCount"], "2")
		s.want(code(s.delete(url, list[0])), "") // not the latest receipt: succeeds without effect
		s.want(s.counts(url), "0/1/0")
		s.want(code(s.hide(url, again[0], 0)), "")
		s.want(s.counts(url), "1/0/0")
		last := s.receive(url, 1, 0)
		s.want(code(s.delete(url, last[0])), "")
		s.want(s.counts(url), "0/0/0")
		s.want(code(s.delete(url, last[0])), "")
	})
}

func TestLongPoll(t *testing.T) {
	bubble(t, func(s *server) {
		url := s.queue("jobs")
		got := make(chan string)
		begin := s.world.Now()
		go func() { got <- bodies(s.receive(url, 1, 20)) }()
		time.Sleep(19 * time.Second)
		s.send(url, "just-in-time")
		s.want(<-got, "just-in-time")
		s.want(s.world.Now().Sub(begin).String(), "19s")
	})
}
