package lambda

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"sync"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
)

// streaming is an invocation whose response is passed on while the function writes it. Between the function and who
// reads there is nothing but the chunk at hand: a reader that waits holds the function up, one that has gone away does
// not, as in AWS.
type streaming struct {
	body   *io.PipeReader
	write  *io.PipeWriter
	begun  chan string   // the media type, once the function has begun
	done   chan struct{} // closed when result and err are set
	result compute.Result
	err    error // why the function was not run
}

// errBroken is how the body of a response ends that the function did not finish.
var errBroken = errors.New("lambda: the function failed in the middle of its response")

// Begin implements compute.Stream.
func (s *streaming) Begin(contentType string) {
	select {
	case s.begun <- contentType:
	default:
	}
}

// Write implements compute.Stream.
func (s *streaming) Write(chunk []byte) (int, error) { return s.write.Write(chunk) }

// stream runs a function whose response is streamed, and returns with the response's media type when it begins. A
// function that has ended without one is no error: begun is false. The error is that of a function that was not run.
func (s *Service) stream(ctx context.Context, r reference, f *function, inv compute.Invocation) (st *streaming, kind string, begun bool, err error) {
	st = &streaming{begun: make(chan string, 1), done: make(chan struct{})}
	st.body, st.write = io.Pipe()
	inv.Stream = st
	s.world.Go(func(context.Context) {
		defer close(st.done)
		st.result, st.err = s.run(ctx, r, f, inv)
		if st.err != nil || st.result.Failed {
			st.write.CloseWithError(errBroken)
			return
		}
		st.write.Close()
	})
	select {
	case kind = <-st.begun:
		return st, kind, true, nil
	case <-st.done:
	}
	select {
	case kind = <-st.begun: // both had come
		return st, kind, true, nil
	default:
		return st, "", false, st.err
	}
}

// InvokeWithResponseStream runs a function and passes its response on while it is being written.
func (s *Service) InvokeWithResponseStream(ctx context.Context, in *lambda.InvokeWithResponseStreamInput) (*lambda.InvokeWithResponseStreamOutput, error) {
	r, f, inv, err := s.prepare(ctx, &request{name: in.FunctionName, qualifier: in.GetQualifier(), payload: in.Payload, context: in.GetClientContext(),
		limit: maxSyncPayload, operation: "InvokeWithResponseStream"})
	if err != nil {
		return nil, err
	}
	if in.GetInvocationType() == lambda.ResponseStreamingInvocationTypeDryRun {
		return &lambda.InvokeWithResponseStreamOutput{StatusCode: new(int32(204))}, nil
	}
	st, _, _, err := s.stream(ctx, r, f, inv)
	if err != nil {
		return nil, clientError(err)
	}
	return &lambda.InvokeWithResponseStreamOutput{StatusCode: new(int32(200)), ExecutedVersion: new(f.version()),
		EventStream: st.events(in.GetLogType() == lambda.LogTypeTail)}, nil
}

// chunks are where the bodies of streamed responses are read into.
var chunks = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// events are the events of a response: its chunks as they come, each good until the next, and how it ended.
func (st *streaming) events(tail bool) func(yield func(*lambda.InvokeWithResponseStreamResponseEvent) bool) {
	return func(yield func(*lambda.InvokeWithResponseStreamResponseEvent) bool) {
		defer st.body.Close()
		buf := chunks.Get().(*[32 << 10]byte)
		defer chunks.Put(buf)
		for {
			n, err := st.body.Read(buf[:])
			if n > 0 && !yield(&lambda.InvokeWithResponseStreamResponseEvent{PayloadChunk: &lambda.InvokeResponseStreamUpdate{Payload: buf[:n]}}) {
				return
			}
			if err != nil {
				break
			}
		}
		<-st.done
		yield(&lambda.InvokeWithResponseStreamResponseEvent{InvokeComplete: st.complete(tail)})
	}
}

// complete says how an invocation ended: an error the function itself reported behind its response has its own type
// as code, every other is Unhandled.
func (st *streaming) complete(tail bool) *lambda.InvokeWithResponseStreamCompleteEvent {
	end := &lambda.InvokeWithResponseStreamCompleteEvent{}
	switch {
	case st.err != nil:
		end.ErrorCode, end.ErrorDetails = new("ServiceException"), new(aws.AsError(st.err).Message)
	case st.result.Midstream:
		end.ErrorCode, end.ErrorDetails = &st.result.Type, new(string(st.result.Payload))
	case st.result.Failed:
		end.ErrorCode, end.ErrorDetails = new(unhandled), new(string(st.result.Payload))
	}
	if tail {
		end.LogResult = new(base64.StdEncoding.EncodeToString(st.result.Tail))
	}
	return end
}
