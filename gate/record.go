package gate

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"fogbank/aws"
	"fogbank/policy"
)

var noAddress netip.Addr

// Record is what is remembered of one request.
type Record struct {
	ID        string          `json:"id"`
	At        time.Time       `json:"at"`
	Service   string          `json:"service,omitempty"` // "sqs"; empty when none was found
	Operation string          `json:"operation,omitempty"`
	Principal aws.ARN         `json:"principal,omitempty"` // empty until proven
	Account   string          `json:"account,omitempty"`   // acted in
	Region    string          `json:"region,omitempty"`
	Resource  aws.ARN         `json:"resource,omitempty"` // the first, or the one that was refused
	Decision  policy.Decision `json:"decision"`
	Code      string          `json:"code,omitempty"` // of the error; empty for a success
	Message   string          `json:"message,omitempty"`
	Cause     string          `json:"cause,omitempty"` // behind an InternalFailure, never sent to a client
	Status    int             `json:"status"`
	InProcess bool            `json:"inProcess,omitempty"`
	Duration  time.Duration   `json:"durationNanoseconds"`

	start time.Time
}

// Reason says in a line why the request was allowed or refused by policy.
func (r *Record) Reason() string {
	d := &r.Decision
	if d.Reason == "" {
		return ""
	}
	verb := "allowed by "
	switch {
	case d.Explicit:
		verb = "denied by "
	case !d.Allowed:
		verb = "not allowed by any "
	}
	return strings.TrimSpace(strings.Join([]string{verb + string(d.Reason), d.Policy, d.Statement}, " "))
}

// LogValue implements slog.LogValuer.
func (r *Record) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", r.ID), slog.String("service", r.Service), slog.String("operation", r.Operation),
		slog.String("principal", string(r.Principal)), slog.String("account", r.Account), slog.String("region", r.Region),
		slog.String("code", r.Code), slog.Int("status", r.Status), slog.Duration("duration", r.Duration),
		slog.String("decision", r.Reason()), slog.String("cause", r.Cause))
}

// keep ends a record: into the log, the ring and the counters.
func (g *Gate) keep(r *Record, rt *route, cause error) {
	r.Duration = g.world.Elapsed(r.start)
	if rt.op != nil {
		r.Service, r.Operation = rt.op.API.Name, rt.op.Name
	}
	if cause != nil {
		r.Cause = cause.Error()
	}
	g.records.add(r)
	rt.counts.add(r.Code, r.Duration)
	// A line for every success would cost more than many a request; Explain has them all.
	level := slog.LevelDebug
	switch {
	case r.Code == internalFailure:
		level = slog.LevelError
	case r.Code != "" && !r.InProcess:
		level = slog.LevelInfo
	}
	if g.log.Enabled(context.Background(), level) {
		g.log.LogAttrs(context.Background(), level, "request", slog.Any("", r.LogValue()))
	}
}

// ring holds the last records.
type ring struct {
	mu   sync.Mutex
	list []Record // up to its capacity
	next int
}

func (k *ring) add(r *Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.list) < cap(k.list) {
		k.list = append(k.list, *r)
		return
	}
	k.list[k.next] = *r
	k.next = (k.next + 1) % len(k.list)
}

// Explain returns the record of a request among the last ones.
func (g *Gate) Explain(requestID string) (Record, bool) {
	g.records.mu.Lock()
	defer g.records.mu.Unlock()
	i := slices.IndexFunc(g.records.list, func(r Record) bool { return r.ID == requestID })
	if i < 0 {
		return Record{}, false
	}
	return g.records.list[i], true
}

// Records returns the last records, the latest first.
func (g *Gate) Records() []Record {
	k := &g.records
	k.mu.Lock()
	defer k.mu.Unlock()
	list := slices.Concat(k.list[k.next:], k.list[:k.next])
	slices.Reverse(list)
	return list
}

// maxCodes bounds the error codes counted apart for one operation.
const maxCodes = 64

// Count is how often an operation ended with a code, and how long that took in all.
type Count struct {
	Service, Operation string
	Code               string // empty for successes
	Requests           uint64
	Duration           time.Duration
}

type counts struct {
	mu   sync.Mutex
	list []Count
}

func (c *counts) add(code string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.list, func(n Count) bool { return n.Code == code })
	if i < 0 && len(c.list) >= maxCodes {
		i = len(c.list) - 1
	} else if i < 0 {
		i = len(c.list)
		c.list = append(c.list, Count{Code: code})
	}
	c.list[i].Requests++
	c.list[i].Duration += d
}

// Counts returns the counters of every operation called so far, ordered by service,
// operation and code.
func (g *Gate) Counts() []Count {
	var all []Count
	gather := func(rt *route, service, operation string) {
		rt.counts.mu.Lock()
		defer rt.counts.mu.Unlock()
		for _, c := range rt.counts.list {
			c.Service, c.Operation = service, operation
			all = append(all, c)
		}
	}
	gather(&g.nowhere, "", "")
	for op, rt := range g.routes {
		gather(rt, op.API.Name, op.Name)
	}
	slices.SortFunc(all, func(a, b Count) int {
		return strings.Compare(a.Service+"\x00"+a.Operation+"\x00"+a.Code, b.Service+"\x00"+b.Operation+"\x00"+b.Code)
	})
	return all
}

// name is the operation as policies call it.
func (rt *route) name() string {
	if rt.op == nil {
		return ""
	}
	return rt.op.Action
}
