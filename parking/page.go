package parking

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// page is an answer being written. It implements http.ResponseWriter.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

// Write implements io.Writer.
func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// send writes the answer as HTTP/1.1; last says that the connection ends with it.
func (p *page) send(w io.Writer, last bool) error {
	p.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	r := http.Response{StatusCode: p.status, ProtoMajor: 1, ProtoMinor: 1, Header: p.header, Close: last,
		Body: io.NopCloser(&p.body), ContentLength: int64(p.body.Len())}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		return err
	}
	_, err := w.Write(text.Bytes())
	return err
}
