package conform

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"conform/server"
)

// TestPoll waits long enough for messages to be parked (after a second), with one connection that serves all requests.
func TestPoll(t *testing.T) {
	s := start(t)
	ctx, config := t.Context(), s.Root()
	var dials atomic.Int32
	config.HTTPClient = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return server.DialLocalhost(ctx, network, address)
	}}}
	c := sqs.NewFromConfig(config)
	queue, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	poll := func(seconds int32) (bodies []string) {
		out, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: seconds})
		if err != nil {
			t.Error(err)
			return nil
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
		}
		return bodies
	}
	begin := time.Now()
	if got := poll(2); len(got) != 0 || time.Since(begin) < 2*time.Second {
		t.Errorf("%q after %v", got, time.Since(begin))
	}
	other := sqs.NewFromConfig(s.Root())
	send := &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("late"), DelaySeconds: 2}
	if _, err := other.SendMessage(ctx, send); err != nil {
		t.Fatal(err)
	}
	if got := poll(20); len(got) != 1 || got[0] != "late" {
		t.Errorf("%q after a delay", got)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	// A server that stops answers first.
	ended := make(chan []string)
	go func() { ended <- poll(20) }()
	timer := time.AfterFunc(1500*time.Millisecond, func() { syscall.Kill(s.PID(), syscall.SIGTERM) })
	defer timer.Stop()
	if got := <-ended; len(got) != 0 {
		t.Errorf("%q in the end", got)
	}
}
