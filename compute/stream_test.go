package compute

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is a Stream that keeps what it gets.
type sink struct {
	mu    sync.Mutex
	kind  string
	got   []byte
	bytes int
	more  chan struct{} // a value for each chunk, while there is room
	hold  chan struct{} // when set, a Write waits until it is closed
}

func (s *sink) Begin(contentType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind = contentType
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.bytes += len(p)
	s.got = append(s.got, p[:min(len(p), 64)]...)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	if s.hold != nil {
		<-s.hold
	}
	return len(p), nil
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kind + " " + string(s.got)
}

// taken is how many bytes came.
func (s *sink) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// stream runs one invocation whose response goes to a new sink.
func (b *bench) stream(s Spec, payload string, to *sink) Result {
	b.t.Helper()
	r, err := b.pool.Invoke(context.Background(), &Job{Function: s.Name, Revision: "1", Limit: -1,
		Spec:       func(context.Context) (Spec, error) { return s, nil },
		Invocation: Invocation{ID: b.world.UUID(), ARN: string(s.Function), Payload: []byte(payload), Stream: to}})
	if err != nil {
		b.t.Fatalf("stream %s: %v", payload, err)
	}
	return r
}

func TestStream(t *testing.T) {
	modes(t, func(t *testing.T, b *bench) {
		s := b.goSpec()
		for _, test := range []struct {
			what, want string
			kind       string // of the error
			payload    string
			midstream  bool
		}{
			{what: "one two three", want: "text/plain onetwothree"},
			{what: "", want: "text/plain "},
			{what: "one !boom", want: "text/plain one", kind: "My.Error", payload: `{"errorMessage":"boom"}`, midstream: true},
			{what: "one cut", want: "text/plain one", kind: "Runtime.TruncatedResponse"},
			{what: "one exit", kind: "Runtime.ExitError"}, // which may come before anything was sent
			{what: "after", want: "text/plain after"},
		} {
			to := &sink{}
			r := b.stream(s, `{"Do":"stream","Arg":"`+test.what+`"}`, to)
			if test.want != "" && to.text() != test.want || r.Type != test.kind || r.Failed != (test.kind != "") || r.Midstream != test.midstream ||
				test.payload != "" && string(r.Payload) != test.payload || !r.Failed && len(r.Payload) > 0 {
				t.Errorf("%q: %q, %+v %s", test.what, to.text(), r, r.Payload)
			}
		}
		to := &sink{}
		if r := b.stream(s, `{"Do":"echo"}`, to); to.text() != `application/octet-stream {"Do":"echo"}` && to.text() != ` {"Do":"echo"}` || r.Failed {
			t.Errorf("a response in one piece: %q %+v", to.text(), r)
		}
		to = &sink{}
		if r := b.stream(s, `{"Do":"fail","Arg":"no stock"}`, to); to.text() != " " || !r.Failed || r.Midstream || r.Type != "errorString" {
			t.Errorf("an error in place of a response: %q %+v", to.text(), r)
		}
		if r := b.invoke(s, `{"Do":"stream","Arg":"one two"}`); string(r.Payload) != "onetwo" || r.Failed {
			t.Errorf("not streamed: %+v %s", r, r.Payload)
		}
		if r := b.invoke(s, `{"Do":"stream","Arg":"one !boom"}`); string(r.Payload) != `{"errorMessage":"boom"}` || !r.Failed {
			t.Errorf("not streamed, with an error behind it: %+v %s", r, r.Payload)
		}
	})
}

// TestStreamArrivesAtOnce: a chunk is passed on before the function goes on.
func TestStreamArrivesAtOnce(t *testing.T) {
	b := newBench(t, false)
	s := b.goSpec()
	b.invoke(s, "{}")
	to := &sink{more: make(chan struct{}, 1)}
	done := make(chan Result, 1)
	go func() { done <- b.stream(s, `{"Do":"stream","Arg":"first sleep:60s second"}`, to) }()
	<-to.more
	if to.text() != "text/plain first" {
		t.Errorf("%q", to.text())
	}
	if r := <-done; r.Type != "Sandbox.Timedout" || to.text() != "text/plain first" {
		t.Errorf("%q %+v", to.text(), r)
	}
}

// TestStreamHoldsTheFunctionUp: while nobody takes what was written, little more is, and the timeout ends it all.
func TestStreamHoldsTheFunctionUp(t *testing.T) {
	b := newBench(t, false)
	s := b.goSpec()
	to := &sink{hold: make(chan struct{})}
	r := b.stream(s, `{"Do":"stream","Arg":"mb:100"}`, to)
	if r.Type != "Sandbox.Timedout" || to.taken() > streamChunk {
		t.Errorf("%d bytes were taken, %+v", to.taken(), r)
	}
	close(to.hold)
}

func TestStreamLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("200 MB go through a pipe")
	}
	b := newBench(t, false)
	s := b.goSpec()
	s.Timeout = time.Minute
	to := &sink{}
	if r := b.stream(s, `{"Do":"stream","Arg":"mb:200"}`, to); r.Failed || to.taken() != MaxStream {
		t.Errorf("%d bytes, %+v", to.taken(), r)
	}
	to = &sink{}
	if r := b.stream(s, `{"Do":"stream","Arg":"mb:200 x"}`, to); r.Type != "Function.ResponseSizeTooLarge" || to.taken() != MaxStream {
		t.Errorf("%d bytes, %+v", to.taken(), r)
	}
}

// TestAPIRefuses: what the Runtime API does not have, what is over, and a second response are refused.
func TestAPIRefuses(t *testing.T) {
	b := newBench(t, true)
	s := b.goSpec()
	e, err := b.process.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	env := e.(*retried).env.(*environment)
	base := "http://" + env.doors.api.Addr().String()
	to := &sink{more: make(chan struct{}, 1)}
	w := &work{in: Invocation{ID: "id", Stream: to}, taken: make(chan bool, 1), done: make(chan struct{})}
	env.mu.Lock()
	env.current = w
	env.mu.Unlock()
	body, write := io.Pipe()
	go http.Post(base+apiPrefix+"invocation/id/response", "text/plain", body)
	io.WriteString(write, "one")
	<-to.more
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{"POST", apiPrefix + "invocation/gone/response", 400},
		{"POST", apiPrefix + "invocation/gone/error", 400},
		{"POST", apiPrefix + "invocation/gone/nothing", 404},
		{"POST", apiPrefix + "invocation/id/response", 403},
		{"POST", apiPrefix + "invocation/id/error", 403},
		{"DELETE", apiPrefix + "invocation/next", 404},
		{"GET", "/", 404},
	} {
		req, _ := http.NewRequest(test.method, base+test.path, strings.NewReader("{}"))
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.StatusCode != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, r.StatusCode, test.want)
		}
	}
	io.WriteString(write, "two")
	write.Close()
	<-w.done
	if to.text() != "text/plain onetwo" || w.result.Failed {
		t.Errorf("the first response: %q %+v", to.text(), w.result)
	}
}
