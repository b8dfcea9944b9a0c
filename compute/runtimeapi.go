package compute

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const apiPrefix = "/2018-06-01/runtime/"

// ServeHTTP is the Runtime API of one environment.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (e *environment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	e.upOnce.Do(func() { close(e.up) })
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

// serveResponse ends an invocation with the function's answer, sent whole or in chunks; a trailer may
// still turn it into an error.
func (e *environment) serveResponse(w http.ResponseWriter, r *http.Request, id string) {
	body, ok := readBody(r)
	current := e.running(id)
	if current == nil {
		refuse(w, 400, "InvalidRequestID", "Invalid request ID")
		return
	}
	if !ok {
		e.finish(current, Failure("error", "Function.ResponseSizeTooLarge",
			"Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload), nil)
		refuse(w, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.Itoa(MaxPayload)+" bytes).")
		return
	}
	res := Result{Payload: body}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		res = Failure("error", kind, "RequestId: %s Error: the response stream ended with an error", id)
	}
	e.finish(current, res, nil)
	accept(w)
}

// serveError ends an invocation with the error the runtime describes.
func (e *environment) serveError(w http.ResponseWriter, r *http.Request, id string) {
	body, ok := readBody(r)
	current := e.running(id)
	if current == nil {
		refuse(w, 400, "InvalidRequestID", "Invalid request ID")
		return
	}
	if !ok {
		refuse(w, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.Itoa(MaxPayload)+" bytes).")
		return
	}
	e.finish(current, reported(r, body), nil)
	accept(w)
}

// serveInitError records that the runtime cannot start.
func (e *environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(r)
	if !ok {
		refuse(w, 413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.Itoa(MaxPayload)+" bytes).")
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

// readBody reads a body of at most MaxPayload bytes; ok is false when it is longer or broken off.
func readBody(r *http.Request) (body []byte, ok bool) {
	if r.ContentLength > MaxPayload {
		return nil, false
	}
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, err == nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	return body, err == nil && len(body) <= MaxPayload
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(202)
	io.WriteString(w, `{"status":"OK"}`+"\n")
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
