package egress

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"sync"

	"fogbank/aws"
)

// maxRecorded is how many requests and mails a Memory keeps.
const maxRecorded = 10_000

// Memory is a network without an outside: it keeps what it is given. Its zero value is ready and answers 200.
type Memory struct {
	// Guard applies to URLs whose host is an address.
	Guard Guard
	// Respond answers requests; nil: 200. It must not block but by the world's time.
	Respond func(ctx context.Context, r *Request) (*Answer, error)
	// Relay says whether mail can be sent; Accept decides about each, nil: all are accepted.
	Relay  bool
	Accept func(m *Mail) error

	mu       sync.Mutex
	requests []Request
	mails    []Mail
}

var _ Network = (*Memory)(nil)

// Do implements Network.
func (n *Memory) Do(ctx context.Context, r *Request) (*Answer, error) {
	if err := CheckURL(r.URL); err != nil {
		return nil, &refusal{err}
	}
	if u, err := url.Parse(r.URL); err == nil && !r.Trusted {
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && n.Guard.Check(a) != nil {
			return nil, n.Guard.Check(a)
		}
	}
	if err := aws.Settle(ctx); err != nil {
		return nil, err
	}
	n.mu.Lock()
	if len(n.requests) < maxRecorded {
		n.requests = append(n.requests, Request{r.Method, r.URL, slices.Clone(r.Headers), slices.Clone(r.Body), r.Trusted})
	}
	n.mu.Unlock()
	if n.Respond == nil {
		return &Answer{Status: 200}, nil
	}
	return n.Respond(ctx, r)
}

// Mails implements Network.
func (n *Memory) Mails() bool { return n.Relay }

// Send implements Network.
func (n *Memory) Send(ctx context.Context, m *Mail) error {
	if _, err := m.message("no-reply@fogbank.test"); err != nil {
		return &refusal{err}
	}
	if err := aws.Settle(ctx); err != nil {
		return err
	}
	if n.Accept != nil {
		if err := n.Accept(m); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.mails) < maxRecorded {
		n.mails = append(n.mails, *m)
	}
	return nil
}

// Take returns the requests and mails since the last time, in order.
func (n *Memory) Take() ([]Request, []Mail) {
	n.mu.Lock()
	defer n.mu.Unlock()
	requests, mails := n.requests, n.mails
	n.requests, n.mails = nil, nil
	return requests, mails
}
