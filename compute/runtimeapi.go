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
	if !e.ext.until(e.ext.idle, e.dead, r.Context().Done()) {
		return
	}
	e.upOnce.Do(e.initialised)
	idle := time.NewTimer(freezeAfter)
	defer idle.Stop()
	var next *work
	for next == nil {
		select {
		case next = <-e.work:
		case <-idle.C:
			e.freeze()
		case <-e.dead:
			return
		case <-r.Context().Done():
			return
		}
	}
	e.take(next)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(next.in.Payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", next.in.ID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(next.start.Add(e.spec.Timeout).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", next.in.ARN)
	if next.in.Trace != "" {
		h.Set("Lambda-Runtime-Trace-Id", next.in.Trace)
	}
	if next.in.ClientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", next.in.ClientContext)
	}
	if next.in.Identity != "" {
		h.Set("Lambda-Runtime-Cognito-Identity", next.in.Identity)
	}
	w.Write(next.in.Payload)
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
		refuseID(w)
		return
	case !e.respond(current):
		refuseState(w)
		return
	case current.in.Stream != nil:
		e.serveStream(w, r, current)
		return
	}
	body, err := readBody(r)
	if err == errLarge {
		e.tooLarge(w, current, MaxPayload)
		return
	}
	if err != nil {
		e.truncated(current)
		return
	}
	res, failed := trailed(r, id)
	if !failed {
		res = Result{Payload: body, Produced: len(body)}
	}
	e.end(w, current, res)
}

// end ends an invocation as its runtime says, unless its time is over.
func (e *environment) end(w http.ResponseWriter, current *work, res Result) {
	if !e.finish(current, res, nil) {
		refuseID(w)
		return
	}
	accept(w)
}

// tooLarge ends an invocation whose response has more bytes than it may.
func (e *environment) tooLarge(w http.ResponseWriter, current *work, limit int) {
	e.finish(current, Failure("error", "Function.ResponseSizeTooLarge",
		"Response payload size exceeded maximum allowed payload size (%d bytes).", limit), nil)
	refuseSize(w, limit)
}

// serveStream passes a response on while the function writes it, no faster than it is taken.
func (e *environment) serveStream(w http.ResponseWriter, r *http.Request, current *work) {
	current.in.Stream.Begin(r.Header.Get("Content-Type"))
	buf := make([]byte, streamChunk)
	total := 0
	for {
		n, err := r.Body.Read(buf)
		if total += n; total > MaxStream {
			e.tooLarge(w, current, MaxStream)
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
			refuseID(w)
			return
		}
	}
	res, _ := trailed(r, current.in.ID)
	res.Produced = total
	e.end(w, current, res)
}

// truncated ends an invocation whose response broke off: the runtime has ended, which says more and is seen in a
// moment, or has only closed the connection.
func (e *environment) truncated(current *work) {
	e.p.o.World.Wait(context.Background(), e.dead, handover)
	e.finish(current, Failure("error", "Runtime.TruncatedResponse", "RequestId: %s Error: Runtime closed the connection before the end of its response", current.in.ID), nil)
}

// trailed is the error that follows a response in its trailers; failed is false when there is none.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
func trailed(r *http.Request, id string) (res Result, failed bool) {
	kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return res, false
	}
	res = Failure("", kind, "RequestId: %s Error: the response stream ended with an error", id)
	if body, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body")); err == nil && len(body) > 0 {
		res.Payload = body
	}
	res.Midstream = true
	return res, true
}

// serveError ends an invocation with the error the runtime describes, instead of a response.
func (e *environment) serveError(w http.ResponseWriter, r *http.Request, id string) {
	body, err := readBody(r)
	current := e.running(id)
	switch {
	case current == nil:
		refuseID(w)
	case err != nil:
		refuseSize(w, MaxPayload)
	case !e.respond(current):
		refuseState(w)
	default:
		e.end(w, current, reported(r, body))
	}
}

// serveInitError records that the runtime cannot start.
func (e *environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		refuseSize(w, MaxPayload)
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

// readBody reads a body of at most MaxPayload bytes.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxPayload {
		return nil, errLarge
	}
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	if err == nil && len(body) > MaxPayload {
		err = errLarge
	}
	return body, err
}

// refuseID answers to an invocation there is not, or no more.
func refuseID(w http.ResponseWriter) { refuse(w, 400, "InvalidRequestID", "Invalid request ID") }

// refuseState answers to a second response to an invocation.
func refuseState(w http.ResponseWriter) {
	refuse(w, 403, "InvalidStateTransition", "State transition is not allowed")
}

// refuseSize answers to a body that is too large.
func refuseSize(w http.ResponseWriter, limit int) {
	refuse(w, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.Itoa(limit)+" bytes).")
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
	io.WriteString(w, `{"errorMessage":`+string(quote(message))+`,"errorType":`+string(quote(kind))+"}\n")
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
