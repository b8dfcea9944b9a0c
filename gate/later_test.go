package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/parking"
	"fogbank/wire"
)

// poll is an operation that waits until told how it ends: by a message, an error, or a panic.
type poll struct {
	ends    chan string
	changed chan struct{}
	looks   chan struct{}
	wakes   chan func()
	misses  int // looks in vain whatever there is
}

func (p *poll) Error() string            { return "not yet" }
func (p *poll) Until() time.Time         { return time.Now().Add(time.Hour) }
func (p *poll) Changed() <-chan struct{} { return p.changed }
func (p *poll) Notify(wake func()) func() {
	p.wakes <- wake
	return func() {}
}

func (p *poll) Resume(ctx context.Context) (any, error) {
	if ctx.Err() != nil {
		p.looks <- struct{}{}
		return &sqs.ReceiveMessageOutput{}, nil
	}
	if p.misses > 0 {
		p.misses--
		return nil, p
	}
	select {
	case how := <-p.ends:
		switch how {
		case "error":
			return nil, errors.New("disk is full")
		case "panic":
			panic("the worst has happened")
		}
		return &sqs.ReceiveMessageOutput{Messages: []sqs.Message{{Body: new(how + " for " + string(aws.CallFrom(ctx).Principal.ARN))}}}, nil
	default:
		return nil, p
	}
}

// waitingQueues is an SQS whose ReceiveMessage waits.
type waitingQueues struct {
	queues
	*poll
}

func (w waitingQueues) ReceiveMessage(context.Context, *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	return nil, w.poll
}

// lot opens a gate behind a real server with a parking lot, in which a request is parked at once.
func lot(t *testing.T) (*Gate, *poll, *httptest.Server, func() string) {
	g, log := open(t)
	g.shortWait = 0
	p := &poll{ends: make(chan string, 1), changed: make(chan struct{}), looks: make(chan struct{}, 1), wakes: make(chan func(), 1)}
	g.Mount(sqs.API, waitingQueues{poll: p})
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(g)
	l := parking.New(ctx, time.Hour)
	server.Config.BaseContext = l.Context
	server.Start()
	served := make(chan error)
	go func() { served <- server.Config.Serve(l) }()
	t.Cleanup(func() {
		cancel()
		server.Close()
		l.Close()
		if err := <-served; err != http.ErrServerClosed && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return g, p, server, log.String
}

// receive sends a signed ReceiveMessage on conn.
func receive(t *testing.T, g *Gate, conn net.Conn) {
	r := httptest.NewRequest("POST", "http://localhost:4566/", nil)
	body := `{"QueueUrl":"http://localhost:4566/` + home + `/q"}`
	r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	sign(r, body, "SENDER", "s3nder", "us-east-1", "sqs", g.world.Now())
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
}

// TestLater: a request that waits is answered from the lot as it would have been, and leaves one record.
func TestLater(t *testing.T) {
	g, p, server, log := lot(t)
	audits := 0
	g.options.Audit = func(ctx context.Context, op *wire.Operation, in, out any, failure *aws.Error) { audits++ }
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i, test := range []struct{ ends, body, code string }{
		{"one", `"Body":"one for arn:aws:iam::000000000000:user/sender"`, ""}, {"error", "InternalFailure", internalFailure},
		{"panic", "InternalFailure", internalFailure}, {"two", "two for", ""},
	} {
		receive(t, g, conn)
		wake := <-p.wakes // it is parked
		wake()            // for nothing
		wake = <-p.wakes
		p.ends <- test.ends
		wake()
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(test.ends, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(body), test.body) || res.Header.Get("X-Amzn-Requestid") == "" || res.Header.Get("Date") == "" || res.Close {
			t.Errorf("%s: %v %s, %v", test.ends, res.Header, body, err)
		}
		r, ok := g.Explain(res.Header.Get("X-Amzn-Requestid"))
		if !ok || r.Code != test.code || r.Status != res.StatusCode || r.Operation != "ReceiveMessage" || r.Principal == "" {
			t.Errorf("%s: record %+v", test.ends, r)
		}
		if n := g.Counts(); len(g.Records()) != min(i+1, 3) || len(n) > 2 {
			t.Errorf("%s: %d records, %v", test.ends, len(g.Records()), n)
		}
	}
	if audits != 3 || !strings.Contains(log(), "the worst has happened") { // a panic has no outcome to tell
		t.Errorf("%d audits, log %s", audits, log())
	}
}

// TestLaterGone: a client that goes away ends its wait.
func TestLaterGone(t *testing.T) {
	g, p, server, _ := lot(t)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	receive(t, g, conn)
	<-p.wakes
	conn.Close()
	<-p.looks
}

// TestLaterInProcess: who calls in process waits to the end.
func TestLaterInProcess(t *testing.T) {
	g, p, _, _ := lot(t)
	ctx := aws.WithCall(t.Context(), &aws.Call{Account: home, Region: "us-east-1", Principal: user("sender")})
	for _, run := range []wire.Invoker{g.Embedded(), g.InProcess()} {
		p.changed = make(chan struct{})
		p.ends <- "message"
		close(p.changed)
		out, err := sqs.Client{Invoke: run}.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: fmt.Sprintf("http://localhost:4566/%s/q", home)})
		if err != nil || len(out.Messages) != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

// TestLaterUnparked: a request that cannot be parked is waited for where it is.
func TestLaterUnparked(t *testing.T) {
	g, p, server, _ := lot(t)
	p.changed = make(chan struct{})
	c := call{key: "SENDER", secret: "s3nder", service: "sqs", target: "AmazonSQS.ReceiveMessage", body: `{"QueueUrl":"http://localhost:4566/` + home + `/q"}`}
	c.edit = func(r *http.Request) {
		*r = *r.WithContext(server.Config.BaseContext(nil))
		p.ends <- "message"
		close(p.changed)
	}
	p.misses = 1 // when it would be parked
	if w := c.do(t, g); w.Code != 200 || !strings.Contains(w.Body.String(), "message for") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
