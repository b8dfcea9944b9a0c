package fogbank

import (
	"bytes"
	"context"
	"net/http"

	"fogbank/egress"
)

// inside carries requests to this cloud's own data planes, in process, by the hosts they have outside.
type inside struct{ handler http.Handler }

// maxKept is how much of an answer's body is kept: what an enrichment may answer, and a byte by which more is noticed.
const maxKept = 6<<20 + 1

// Do sends a request and returns the answer, whatever its status.
func (i inside) Do(ctx context.Context, r *egress.Request) (*egress.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for _, h := range r.Headers {
		req.Header.Set(h.Name, h.Value)
	}
	req.RequestURI, req.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:0"
	w := &kept{header: http.Header{}, status: http.StatusOK}
	i.handler.ServeHTTP(w, req)
	return &egress.Answer{Status: w.status, Body: w.body.Bytes(), RetryAfter: w.header.Get("Retry-After")}, nil
}

// kept is a http.ResponseWriter that keeps what is written, up to maxKept bytes of body.
type kept struct {
	header  http.Header
	status  int
	started bool
	body    bytes.Buffer
}

// Header implements http.ResponseWriter.
func (k *kept) Header() http.Header { return k.header }

// WriteHeader implements http.ResponseWriter; the first status counts.
func (k *kept) WriteHeader(status int) {
	if !k.started {
		k.started, k.status = true, status
	}
}

// Write implements http.ResponseWriter.
func (k *kept) Write(b []byte) (int, error) {
	k.started = true
	k.body.Write(b[:min(len(b), maxKept-k.body.Len())])
	return len(b), nil
}
