package compute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	telemetryPath = "/2022-07-01/telemetry"
	// socketsEach is how many connections to an extension there can be, one after the other.
	socketsEach = 4
	// maxBacklog is how many events are kept for extensions that have yet to subscribe.
	maxBacklog = 1000
)

// Bounds of the buffering of a subscription.
// https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html
var buffering = struct{ items, bytes, timeoutMs bound }{
	bound{25, 30_000, 1000}, bound{256 << 10, 1 << 20, 256 << 10}, bound{1000, 10_000, 10_000},
}

type bound struct{ least, most, otherwise int }

// take is a value that was asked for, the usual one when there is none; ok is false when it is out of bounds.
func (b bound) take(asked *int) (n int, ok bool) {
	if asked == nil {
		return b.otherwise, true
	}
	return *asked, *asked >= b.least && *asked <= b.most
}

// telemetry passes what is told and printed on to the extensions that have subscribed to it.
type telemetry struct {
	e    *environment
	dial func(port int) (net.Conn, error) // into the environment's network

	mu       sync.Mutex
	backlog  []telling // since the beginning, until the initialisation is over
	open     bool      // the initialisation is not over
	followed []*subscription
}

// telling is an event for subscribers of its kind: "platform", "function" or "extension".
type telling struct {
	kind string
	doc  []byte
}

// subscription is what one extension has asked for. Its delivery may be held while its mu is taken, not the other way
// round.
type subscription struct {
	t      *telemetry
	types  []string
	port   int // where it listens
	path   string
	items  int // of a batch
	bytes  int
	every  time.Duration
	client *http.Client
	full   chan struct{} // a batch is to be sent at once

	delivery sync.Mutex // one at a time

	mu      sync.Mutex
	batch   [][]byte
	size    int // of the batch, in bytes
	dropped LogsDropped
}

func newTelemetry(e *environment) *telemetry { return &telemetry{e: e, open: true} }

// add takes an event.
func (t *telemetry) add(kind string, at time.Time, typ string, record any) {
	doc, err := json.Marshal(struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record any    `json:"record"`
	}{at.UTC().Format("2006-01-02T15:04:05.000Z"), typ, record})
	if err != nil {
		panic("compute: an event that is not JSON: " + err.Error())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open && len(t.backlog) < maxBacklog {
		t.backlog = append(t.backlog, telling{kind, doc})
	}
	for _, s := range t.followed {
		s.add(kind, doc)
	}
}

// settled is that the initialisation is over: whoever has not subscribed cannot any more.
func (t *telemetry) settled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open, t.backlog = false, nil
}

// flush delivers what is waiting.
func (t *telemetry) flush() {
	t.mu.Lock()
	list := slices.Clone(t.followed)
	t.mu.Unlock()
	for _, s := range list {
		s.deliver()
	}
}

// serve is the Telemetry API. https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html
func (t *telemetry) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		refuse(w, 404, "NotFound", "There is no such resource.")
		return
	}
	ext := t.e.ext.caller(w, r)
	if ext == nil {
		return
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRegistration))
	s, fault := readSubscription(b)
	if err != nil || fault != "" {
		refuse(w, 400, "ValidationError", fault)
		return
	}
	if !t.subscribe(s) {
		refuse(w, 403, "Telemetry.SubscriptionClosed", "The initialisation is over.")
		return
	}
	t.e.tell(factSubscription, TelemetrySubscription{ext.name, "Subscribed", s.types})
	answerJSON(w, 200, "OK")
}

// readSubscription reads a request; fault says what is wrong with it.
func readSubscription(b []byte) (s *subscription, fault string) {
	var in struct {
		SchemaVersion string   `json:"schemaVersion"`
		Types         []string `json:"types"`
		Buffering     struct {
			Items   *int `json:"maxItems"`
			Bytes   *int `json:"maxBytes"`
			Timeout *int `json:"timeoutMs"`
		} `json:"buffering"`
		Destination struct {
			Protocol string `json:"protocol"`
			URI      string `json:"URI"`
		} `json:"destination"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, "the body is not the JSON of a subscription"
	}
	s = &subscription{types: in.Types, full: make(chan struct{}, 1)}
	var faults []string
	check := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, fault)
		}
	}
	check(slices.Contains([]string{"2022-07-01", "2022-12-13", "2025-01-29"}, in.SchemaVersion), "schemaVersion is not known")
	check(in.Destination.Protocol == "HTTP", "protocol is not HTTP")
	u, err := url.Parse(in.Destination.URI)
	check(err == nil && u.Scheme == "http" && (u.Hostname() == "sandbox.localdomain" || u.Hostname() == "sandbox.local"), "URI is not one of http://sandbox.localdomain")
	if err == nil {
		s.port, err = strconv.Atoi(u.Port())
		s.path = u.EscapedPath()
	}
	check(err == nil && s.port > 0 && s.port < 1<<16, "URI port is not provided")
	check(len(s.types) > 0, "types should not be empty")
	for _, typ := range s.types {
		check(typ == "platform" || typ == "function" || typ == "extension", "the type "+typ+" is not known")
	}
	var ok bool
	s.items, ok = buffering.items.take(in.Buffering.Items)
	check(ok, "maxItems is out of its bounds")
	s.bytes, ok = buffering.bytes.take(in.Buffering.Bytes)
	check(ok, "maxBytes is out of its bounds")
	ms, ok := buffering.timeoutMs.take(in.Buffering.Timeout)
	check(ok, "timeoutMs is out of its bounds")
	s.every = time.Duration(ms) * time.Millisecond
	return s, strings.Join(faults, "; ")
}

// subscribe begins to follow; what was told before comes first. It reports false when it is too late.
func (t *telemetry) subscribe(s *subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open || len(t.followed) == maxExtensions {
		return false
	}
	s.t = t
	s.client = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DialContext: func(context.Context, string, string) (net.Conn, error) { return t.dial(s.port) }}}
	for _, e := range t.backlog {
		s.add(e.kind, e.doc)
	}
	t.followed = append(t.followed, s)
	go s.run()
	return true
}

// add puts an event into the batch, or, where that has no room, counts it as dropped.
func (s *subscription) add(kind string, doc []byte) {
	if !slices.Contains(s.types, kind) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batch) >= s.items || s.size+len(doc) > s.bytes {
		s.dropped.Records++
		s.dropped.Bytes += len(doc)
		return
	}
	s.batch = append(s.batch, doc)
	s.size += len(doc)
	if len(s.batch) == s.items || s.size > s.bytes/2 {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// run delivers batches as they fill, and after some time, until the environment has ended.
func (s *subscription) run() {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.full:
		case <-s.t.e.dead:
			s.client.CloseIdleConnections()
			return
		}
		s.deliver()
	}
}

// deliver sends what there is. What cannot be sent is told of as dropped with the next batch.
func (s *subscription) deliver() {
	s.delivery.Lock()
	defer s.delivery.Unlock()
	s.mu.Lock()
	batch, dropped, size := s.batch, s.dropped, s.size
	s.batch, s.dropped, s.size = nil, LogsDropped{}, 0
	s.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	if dropped.Records > 0 {
		dropped.Reason = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."
		s.t.e.tell(factDropped, dropped)
	}
	body := append(append([]byte{'['}, bytes.Join(batch, []byte{','})...), ']')
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.t.e.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sandbox.localdomain:"+strconv.Itoa(s.port)+s.path, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		var r *http.Response
		if r, err = s.client.Do(req); err == nil {
			io.Copy(io.Discard, io.LimitReader(r.Body, maxRegistration))
			r.Body.Close()
		}
	}
	if err != nil {
		s.mu.Lock()
		s.dropped.Records += len(batch)
		s.dropped.Bytes += size
		s.mu.Unlock()
	}
}

// errNoSocket is that no more connections to an extension can be made.
var errNoSocket = errors.New("compute: no socket is left in the environment")
