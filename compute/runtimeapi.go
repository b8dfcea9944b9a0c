package compute

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const apiPrefix = "/2018-06-01/runtime/"

// streamChunk is the most bytes of a streamed response that are read before they are passed on.
const streamChunk = 32 << 10

// ServeHTTP is the Runtime API of one environment.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (e *environment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == telemetryPath {
		e.telemetry.serve(w, r)
		return
	}
	if path, ok := strings.CutPrefix(r.URL.Path, extensionPrefix); ok {
		e.ext.serve(w, r, path)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, apiPrefix)
	if !ok {
		refuse(w, 404, "NotFound", "There is no such resource.")
		return
	}
	switch {
	case path == "invocation/next" && r.Method == http.MethodGet:
		e.serveNext(w, r)
	case path == "init/error" && r.Method == http.MethodPost:
		e.serveInitError(w, r)
	case strings.HasPrefix(path, "invocation/") && r.Method == http.MethodPost:
		id, what, _ := strings.Cut(strings.TrimPrefix(path, "invocation/"), "/")
		switch what {
		case "response":
			e.serveResponse(w, r, id)
		case "error":
			e.serveError(w, r, id)
		default:
			refuse(w, 404, "NotFound", "There is no such resource.")
		}
	default:
		refuse(w, 404, "NotFound", "There is no such resource.")
	}
}

// serveNext waits for an invocation and hands it over.
func (e *environment) serveNext(w http.ResponseWriter, r *http.Request) {
	next := e.nextWork(r.Context().Done(), func() bool { return r.Context().Err() != nil })
	if next == nil {
		return
	}
	next.eachHeader(e.spec.Timeout, w.Header().Set)
	w.Write(next.in.Payload)
}

// nextWork waits for an invocation and takes it for the runtime that asks. It returns nil when the environment has ended or the
// runtime has gone: when done is closed, or gone says so once there is an invocation, which then waits for somebody else.
func (e *environment) nextWork(done <-chan struct{}, gone func() bool) *work {
	if !e.ext.until(e.ext.idle, e.dead, done) {
		return nil
	}
	e.upOnce.Do(e.initialised)
	idle := time.NewTimer(freezeAfter)
	defer idle.Stop()
	for {
		select {
		case next := <-e.work:
			if gone() {
				next.taken <- false
				return nil
			}
			e.take(next)
			return next
		case <-idle.C:
			e.freeze()
		case <-e.dead:
			return nil
		case <-done:
			return nil
		}
	}
}

// eachHeader names the headers an invocation is handed over with.
func (w *work) eachHeader(timeout time.Duration, f func(name, value string)) {
	f("Content-Type", "application/json")
	f("Content-Length", strconv.Itoa(len(w.in.Payload)))
	f("Lambda-Runtime-Aws-Request-Id", w.in.ID)
	f("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(w.start.Add(timeout).UnixMilli(), 10))
	f("Lambda-Runtime-Invoked-Function-Arn", w.in.ARN)
	if w.in.Trace != "" {
		f("Lambda-Runtime-Trace-Id", w.in.Trace)
	}
	if w.in.ClientContext != "" {
		f("Lambda-Runtime-Client-Context", w.in.ClientContext)
	}
	if w.in.Identity != "" {
		f("Lambda-Runtime-Cognito-Identity", w.in.Identity)
	}
}

// initialised is that the runtime asks for the first time.
func (e *environment) initialised() {
	e.spec.tellInit(e.p.o.World.Now(), e.phase, nil, e.p.o.World.Elapsed(e.started))
	e.telemetry.settled()
	close(e.up)
}

// serveResponse ends an invocation with the function's answer, sent whole or in chunks; a trailer may
// still turn it into an error.
func (e *environment) serveResponse(w http.ResponseWriter, r *http.Request, id string) {
	current := e.running(id)
	switch {
	case current == nil:
		badID.write(w)
		return
	case !e.respond(current):
		badState.write(w)
		return
	case current.in.Stream != nil:
		e.serveStream(w, r, current)
		return
	}
	body, err := readBody(r.Body, r.ContentLength)
	if err != nil && err != errLarge {
		e.truncated(current)
		return
	}
	e.conclude(current, body, err, r.Trailer).write(w)
}

// conclude ends an invocation with the body of its response, which may be too large, and what came behind it. The runtime is
// answered with the objection, if there is one.
func (e *environment) conclude(current *work, body []byte, err error, trailer http.Header) *objection {
	if err == errLarge {
		return e.tooLarge(current, MaxPayload)
	}
	res, failed := trailed(trailer, current.in.ID)
	if !failed {
		res = Result{Payload: body, Produced: len(body)}
	}
	return e.end(current, res)
}

// end ends an invocation as its runtime says, unless its time is over.
func (e *environment) end(current *work, res Result) *objection {
	if !e.finish(current, res, nil) {
		return badID
	}
	return nil
}

// tooLarge ends an invocation whose response has more bytes than it may.
func (e *environment) tooLarge(current *work, limit int) *objection {
	e.finish(current, Failure("error", "Function.ResponseSizeTooLarge",
		"Response payload size exceeded maximum allowed payload size (%d bytes).", limit), nil)
	return badSize(limit)
}

// serveStream passes a response on while the function writes it, no faster than it is taken.
func (e *environment) serveStream(w http.ResponseWriter, r *http.Request, current *work) {
	current.in.Stream.Begin(r.Header.Get("Content-Type"))
	buf := make([]byte, streamChunk)
	total := 0
	for {
		n, err := r.Body.Read(buf)
		if total += n; total > MaxStream {
			e.tooLarge(current, MaxStream).write(w)
			return
		}
		if n > 0 {
			current.in.Stream.Write(buf[:n])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			e.truncated(current)
			return
		}
		if e.running(current.in.ID) != current { // its time is over
			badID.write(w)
			return
		}
	}
	res, _ := trailed(r.Trailer, current.in.ID)
	res.Produced = total
	e.end(current, res).write(w)
}

// truncated ends an invocation whose response broke off: the runtime has ended, which says more and is seen in a
// moment, or has only closed the connection.
func (e *environment) truncated(current *work) {
	e.p.o.World.Wait(context.Background(), e.dead, handover)
	e.finish(current, Failure("error", "Runtime.TruncatedResponse", "RequestId: %s Error: Runtime closed the connection before the end of its response", current.in.ID), nil)
}

// trailed is the error that follows a response in its trailer; failed is false when there is none.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
func trailed(trailer http.Header, id string) (res Result, failed bool) {
	kind := trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return res, false
	}
	res = Failure("", kind, "RequestId: %s Error: the response stream ended with an error", id)
	if body, err := base64.StdEncoding.DecodeString(trailer.Get("Lambda-Runtime-Function-Error-Body")); err == nil && len(body) > 0 {
		res.Payload = body
	}
	res.Midstream = true
	return res, true
}

// serveError ends an invocation with the error the runtime describes, instead of a response.
func (e *environment) serveError(w http.ResponseWriter, r *http.Request, id string) {
	body, err := readBody(r.Body, r.ContentLength)
	current := e.running(id)
	switch {
	case current == nil:
		badID.write(w)
	case err != nil:
		badSize(MaxPayload).write(w)
	case !e.respond(current):
		badState.write(w)
	default:
		e.end(current, reported(r, body)).write(w)
	}
}

// serveInitError records that the runtime cannot start.
func (e *environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r.Body, r.ContentLength)
	if err != nil {
		badSize(MaxPayload).write(w)
		return
	}
	res := reported(r, body)
	res.Status = "error"
	e.failInit(res)
	accept(w)
}

// reported is the Result of an error as a runtime describes it.
func reported(r *http.Request, body []byte) Result {
	kind := r.Header.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		var doc struct {
			ErrorType string `json:"errorType"`
		}
		// A body of another form is passed on as it is; only the type is then unknown.
		if json.Unmarshal(body, &doc) == nil {
			kind = doc.ErrorType
		}
	}
	if len(body) == 0 {
		return Failure("", kind, "%s", kind)
	}
	return Result{Payload: body, Failed: true, Type: kind}
}

// errLarge is a body of more than MaxPayload bytes.
var errLarge = errors.New("compute: a body that is too large")

// readBody reads a body of at most MaxPayload bytes, whose length is negative when it is not known.
func readBody(r io.Reader, length int64) ([]byte, error) {
	if length > MaxPayload {
		return nil, errLarge
	}
	if length >= 0 {
		body := make([]byte, length)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r, MaxPayload+1))
	if err == nil && len(body) > MaxPayload {
		err = errLarge
	}
	return body, err
}

// objection is why the Runtime API did not do what it was asked to; nil when it did.
type objection struct {
	status        int
	kind, message string
}

var (
	badID    = &objection{400, "InvalidRequestID", "Invalid request ID"}                    // of no invocation, or of one that is over
	badState = &objection{403, "InvalidStateTransition", "State transition is not allowed"} // to a second response
)

// badSize refuses a body that is too large.
func badSize(limit int) *objection {
	return &objection{413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (" + strconv.Itoa(limit) + " bytes)."}
}

// body is the answer's.
func (r *objection) body() string {
	return `{"errorMessage":` + string(quote(r.message)) + `,"errorType":` + string(quote(r.kind)) + "}\n"
}

// write answers with the objection, or that the request was accepted.
func (r *objection) write(w http.ResponseWriter) {
	if r == nil {
		accept(w)
		return
	}
	refuse(w, r.status, r.kind, r.message)
}

func accept(w http.ResponseWriter) { answerJSON(w, 202, map[string]string{"status": "OK"}) }

// answerJSON answers what can be JSON.
func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // whoever asked may be gone
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, (&objection{status, kind, message}).body())
}

// server is what serves an environment's Runtime API.
func (e *environment) server() *http.Server {
	return &http.Server{
		Handler:           e,
		ReadHeaderTimeout: initLimit,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}
