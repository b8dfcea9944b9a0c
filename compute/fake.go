package compute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"fogbank/aws"
	"fogbank/world"
)

// Handler is a function of a Fake: it returns the answer or an error. Log writes a line to the
// function's log. It ends when ctx does, which is when the function's timeout is over.
type Handler func(ctx context.Context, s Spec, in Invocation, log func(string)) ([]byte, error)

// Fake runs Go functions in memory, found by the function's handler, else by its name: for tests in
// virtual time. The handlers of every Fake besides one's own are
//
//	echo        answers its event
//	fail        fails with errorType "Error" and errorMessage "failed"
//	fail:TEXT   the same with the message TEXT
//	slow:10s    waits, then answers its event
//	crash       ends as a process that exits with status 1 does
//	broken      does so already when it initialises
//	log         logs its event and answers null
//	value:JSON  answers JSON
//	stream:A|B  streams A and, 0.7 s later, B, or answers both as a list when the response is not streamed; a text beginning with
//	            "!" is an error instead, and a first text with a slash the media type of the response,
//	            "prelude" that of one with a prelude; \0 is the byte 0
//	trip:TEXT   logs its event, and fails if TEXT occurs in it
//	tally:TEXT  logs its event, a batch of a tumbling window, and answers as the window's state how many records it had so
//	            far; fails if TEXT occurs in it
//	refuse:TEXT logs its event, a batch of a queue or stream, and answers that the records in which TEXT
//	            occurs failed (ReportBatchItemFailures)
type Fake struct {
	World    *world.World
	Handlers map[string]Handler // by handler or function name; read only once in use
	Started  atomic.Int64       // environments started
}

// FakeError is an error whose type and message a Handler chooses.
type FakeError struct {
	Type, Message string
	Midstream     bool // see Result
}

func (e FakeError) Error() string { return e.Message }

// errCrash makes the environment end.
var errCrash = errors.New("crash")

// Isolation says that there is none to speak of.
func (f *Fake) Isolation() string { return "in memory: Go functions of a test" }

// Start makes an environment; it fails when no handler fits.
func (f *Fake) Start(_ context.Context, s Spec) (Env, error) {
	h := f.find(s)
	if h == nil {
		return nil, errors.New("compute: the fake has no handler " + s.Handler + " for function " + s.Name)
	}
	f.Started.Add(1)
	return &fakeEnv{world: f.World, spec: s, run: h}, nil
}

func (f *Fake) find(s Spec) Handler {
	if h := f.Handlers[s.Handler]; h != nil {
		return h
	}
	if h := f.Handlers[s.Name]; h != nil {
		return h
	}
	name, arg, _ := strings.Cut(s.Handler, ":")
	return f.standard(name, arg)
}

// standard returns the built-in handler of a name.
func (f *Fake) standard(name, arg string) Handler {
	switch name {
	case "echo":
		return func(_ context.Context, _ Spec, in Invocation, _ func(string)) ([]byte, error) {
			return in.Payload, nil
		}
	case "fail":
		if arg == "" {
			arg = "failed"
		}
		return func(context.Context, Spec, Invocation, func(string)) ([]byte, error) {
			return nil, FakeError{Type: "Error", Message: arg}
		}
	case "slow":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return nil
		}
		return func(ctx context.Context, _ Spec, in Invocation, _ func(string)) ([]byte, error) {
			f.World.Wait(ctx, nil, d)
			return in.Payload, ctx.Err()
		}
	case "crash", "broken":
		return func(context.Context, Spec, Invocation, func(string)) ([]byte, error) { return nil, errCrash }
	case "log":
		return func(_ context.Context, _ Spec, in Invocation, log func(string)) ([]byte, error) {
			log(string(in.Payload))
			return []byte("null"), nil
		}
	case "trip":
		return func(_ context.Context, _ Spec, in Invocation, log func(string)) ([]byte, error) {
			log(string(in.Payload))
			if bytes.Contains(in.Payload, []byte(arg)) {
				return nil, FakeError{Type: "Error", Message: "tripped over " + arg}
			}
			return []byte("null"), nil
		}
	case "tally":
		return func(_ context.Context, _ Spec, in Invocation, log func(string)) ([]byte, error) {
			log(string(in.Payload))
			return tally(in.Payload, arg)
		}
	case "refuse":
		return func(_ context.Context, _ Spec, in Invocation, log func(string)) ([]byte, error) {
			log(string(in.Payload))
			return refusals(in.Payload, arg)
		}
	case "stream":
		return func(ctx context.Context, _ Spec, in Invocation, _ func(string)) ([]byte, error) {
			return f.stream(ctx, in, strings.Split(arg, "|"))
		}
	case "value":
		return func(context.Context, Spec, Invocation, func(string)) ([]byte, error) { return []byte(arg), nil }
	}
	return nil
}

// stream writes words to the invocation's stream, else answers them.
func (f *Fake) stream(ctx context.Context, in Invocation, words []string) ([]byte, error) {
	if in.Stream == nil {
		return json.Marshal(words)
	}
	kind := "application/octet-stream"
	if len(words) > 1 && (strings.Contains(words[0], "/") || words[0] == "prelude") {
		kind, words = words[0], words[1:]
	}
	if kind == "prelude" {
		kind = "application/vnd.awslambda.http-integration-response"
	}
	for i, word := range words {
		if boom, ok := strings.CutPrefix(word, "!"); ok {
			return nil, FakeError{"Error", boom, i > 0}
		}
		if i == 0 {
			in.Stream.Begin(kind)
		} else if f.World.Wait(ctx, nil, 700*time.Millisecond); ctx.Err() != nil {
			return nil, ctx.Err()
		}
		in.Stream.Write([]byte(strings.ReplaceAll(word, `\0`, "\x00")))
	}
	return nil, nil
}

// tally adds the records of a batch to the number that is its window's state, unless text, when there is one, occurs in it.
func tally(event []byte, text string) ([]byte, error) {
	if text != "" && bytes.Contains(event, []byte(text)) {
		return nil, FakeError{Type: "Error", Message: "tripped over " + text}
	}
	var batch struct {
		Records []json.RawMessage
		State   json.RawMessage
	}
	if err := json.Unmarshal(event, &batch); err != nil {
		return nil, err
	}
	n := 0
	if string(batch.State) != "{}" {
		if err := json.Unmarshal(batch.State, &n); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]int{"state": n + len(batch.Records)})
}

// refusals is a partial batch response naming the records in which text occurs.
func refusals(event []byte, text string) ([]byte, error) {
	var batch struct{ Records []json.RawMessage }
	var into any = &batch
	if bytes.HasPrefix(event, []byte("[")) {
		into = &batch.Records // a pipe's
	}
	if err := json.Unmarshal(event, into); err != nil {
		return nil, err
	}
	type item struct {
		ID string `json:"itemIdentifier"`
	}
	failed := []item{}
	for _, raw := range batch.Records {
		var r struct {
			MessageID string `json:"messageId"`
			Dynamodb  struct{ SequenceNumber string }
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, err
		}
		if bytes.Contains(raw, []byte(text)) {
			failed = append(failed, item{r.MessageID + r.Dynamodb.SequenceNumber})
		}
	}
	return json.Marshal(map[string][]item{"batchItemFailures": failed})
}

// fakeEnv is one environment of a Fake.
type fakeEnv struct {
	world  *world.World
	spec   Spec
	run    Handler
	warm   bool
	closed atomic.Bool
}

func (e *fakeEnv) Alive() bool { return !e.closed.Load() }
func (e *fakeEnv) Close()      { e.closed.Store(true) }

// Ready fails when the handler is broken.
func (e *fakeEnv) Ready(ctx context.Context) (*Result, error) {
	if err := aws.Settle(ctx); err != nil {
		return nil, err
	}
	if e.spec.Handler == "broken" {
		r := e.result(Invocation{}, nil, errCrash, false)
		return &r, nil
	}
	e.warm = true
	return nil, nil
}

// Invoke runs the handler until the function's timeout.
func (e *fakeEnv) Invoke(ctx context.Context, in Invocation) (Result, error) {
	if err := aws.Settle(ctx); err != nil {
		return Result{}, err
	}
	start := e.world.Start()
	if !e.warm {
		e.spec.tellInit(e.world.Now(), phaseInit, nil, time.Millisecond)
	}
	e.spec.tellStart(e.world.Now(), in)
	limited, cancel := e.world.WithTimeout(ctx, e.spec.Timeout)
	defer cancel()
	go func() {
		select {
		case <-e.world.Done():
			cancel()
		case <-limited.Done():
		}
	}()
	out, err := e.run(limited, e.spec, in, func(line string) {
		if e.spec.Log != nil {
			e.spec.Log(e.world.Now(), line)
		}
	})
	select {
	case <-e.world.Done():
		e.Close()
		return Result{}, ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		e.Close()
		return Result{}, err
	}
	r := e.result(in, out, err, limited.Err() != nil)
	r.Duration, r.MemoryMB = e.world.Elapsed(start), 32
	if !e.warm {
		r.Init, e.warm = time.Millisecond, true
	}
	e.spec.tellEnd(e.world.Now(), in, r)
	return r, nil
}

func (e *fakeEnv) result(in Invocation, out []byte, err error, late bool) Result {
	if late {
		e.Close()
		return timedOut(in.ID, e.spec.Timeout)
	}
	if errors.Is(err, errCrash) {
		e.Close()
		return Failure("error", "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 1", in.ID)
	}
	if f, ok := errors.AsType[FakeError](err); ok {
		r := Failure("", f.Type, "%s", f.Message)
		r.Midstream = f.Midstream
		return r
	}
	if err != nil {
		return Failure("", "Error", "%s", err.Error())
	}
	if in.Stream != nil && out != nil {
		in.Stream.Begin("application/json")
		in.Stream.Write(out)
		out = nil
	}
	return Result{Payload: out}
}

// timedOut is the Result of a function that ran out of time.
func timedOut(id string, limit time.Duration) Result {
	return Failure("timeout", "Sandbox.Timedout", "RequestId: %s Error: Task timed out after %.2f seconds", id, limit.Seconds())
}
