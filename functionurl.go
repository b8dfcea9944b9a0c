package fogbank

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"fogbank/api/lambda"
	"fogbank/aws"
	functions "fogbank/service/lambda"
)

// functionURLPath is the beginning of function URLs for clients that cannot resolve their hosts:
// /_aws/lambda-url/{id}/…
const functionURLPath = "/_aws/lambda-url/"

// isFunctionURL reports whether a request is for a function URL.
func isFunctionURL(host, path string) bool {
	_, ok := functions.URLHost(host)
	return ok || strings.HasPrefix(path, functionURLPath)
}

// serveFunctionURL serves a request to a function URL: who calls is proven and permitted, the function
// invoked, and its answer sent.
func (c *Cloud) serveFunctionURL(w http.ResponseWriter, r *http.Request) {
	id, path := functionURL(r)
	service := c.services.lambda
	ctx := c.gate.Caller(r)
	u, ok, err := service.FindURL(ctx, id)
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	if !ok {
		send(w, r, functions.Forbidden())
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, functions.MaxURLBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			http.Error(w, "Request must be smaller than "+strconv.Itoa(functions.MaxURLBody)+" bytes for the InvokeFunction operation", http.StatusRequestEntityTooLarge)
		}
		return
	}
	q := functionRequest(ctx, r, path, body)
	if a, ok := u.Preflight(q); ok {
		send(w, r, a)
		return
	}
	if ctx, err = c.permitFunctionURL(ctx, r, u, body); err != nil {
		send(w, r, functions.Forbidden())
		return
	}
	w.Header().Set("X-Amzn-Requestid", q.ID)
	send(w, r, service.InvokeURL(ctx, u, q))
}

// functionURL is the identifier of the URL a request is for, and the path below it.
func functionURL(r *http.Request) (id, path string) {
	host := strings.ToLower(r.Host)
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if id, ok := functions.URLHost(host); ok {
		return id, r.URL.EscapedPath()
	}
	id, path, _ = strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), functionURLPath), "/")
	return id, "/" + path
}

// permitFunctionURL proves who calls when the URL asks for it, and asks policy.
func (c *Cloud) permitFunctionURL(ctx context.Context, r *http.Request, u *functions.URL, body []byte) (context.Context, error) {
	op := lambda.API.Operations[0]
	if u.Signed {
		var err error
		if ctx, err = c.gate.SignedCaller(r, body, op); err != nil {
			return nil, err
		}
	}
	for _, a := range u.Access() {
		if err := c.gate.Permit(ctx, op, a); err != nil {
			return nil, err
		}
	}
	return ctx, nil
}

// functionRequest is a request in the form the service takes it.
func functionRequest(ctx context.Context, r *http.Request, path string, body []byte) *functions.URLRequest {
	call := aws.CallFrom(ctx)
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	q := &functions.URLRequest{ID: call.RequestID, Host: host, Method: r.Method, Path: path, RawQuery: r.URL.RawQuery, Protocol: r.Proto,
		Headers: map[string]string{"host": r.Host}, Body: body}
	if call.SourceIP.IsValid() {
		q.SourceIP = call.SourceIP.String()
	}
	for name, values := range r.Header {
		if name != "Cookie" && name != "Connection" {
			q.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	scheme := "http"
	if call.Secure {
		scheme = "https"
	}
	q.Headers["x-forwarded-proto"] = scheme
	q.Headers["x-forwarded-for"] = strings.TrimPrefix(q.Headers["x-forwarded-for"]+", "+q.SourceIP, ", ")
	for _, line := range r.Header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				q.Cookies = append(q.Cookies, cookie)
			}
		}
	}
	query, _ := url.ParseQuery(r.URL.RawQuery) // what cannot be read is left out, as in AWS
	for name, values := range query {
		if q.Query == nil {
			q.Query = map[string]string{}
		}
		q.Query[name] = strings.Join(values, ",")
	}
	return q
}

// send writes an answer of a function.
func send(w http.ResponseWriter, r *http.Request, a functions.URLAnswer) {
	h := w.Header()
	for name, values := range a.Headers {
		h[name] = values
	}
	silent := a.Status == http.StatusNoContent || a.Status == http.StatusNotModified || a.Status < 200
	if !silent && a.Stream == nil {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w.WriteHeader(a.Status)
	if a.Stream != nil {
		defer a.Stream.Close()
	}
	if silent || r.Method == http.MethodHead {
		return
	}
	w.Write(a.Body)
	if a.Stream != nil {
		relayStream(w, a.Stream)
	}
}

// relayStream writes a body as it comes, each piece on its way before the next is waited for. A body that breaks off
// breaks the answer off, so that nobody takes it for whole.
func relayStream(w http.ResponseWriter, body io.Reader) {
	control := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return // the client went away
		}
		n, err := body.Read(buf)
		if _, gone := w.Write(buf[:n]); gone != nil {
			return
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
