package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"fogbank/aws"
	"fogbank/world"
)

// Limits of the client.
const (
	maxHeaders  = 64 << 10 // bytes of an answer's headers
	maxIdle     = 256      // connections kept for reuse
	maxIdleHost = 8
	idleTime    = 30 * time.Second
	maxURL      = 8 << 10
)

// Options are what a Client is made of.
type Options struct {
	World *world.World
	// Allow lists addresses and prefixes that are no public ones and may be reached all the same: see NewGuard.
	Allow string
	// Local says whether this machine may be reached when Allow is empty.
	Local bool
	// Roots are the authorities whose certificates https and mail servers may have; nil: the machine's.
	Roots *x509.CertPool
	// Relay is the mail relay: smtp://user@host:port, or smtps:// for TLS from the first byte. Empty: none.
	Relay string
	// Password is for the relay's user.
	Password string
	// From is the address mail comes from.
	From string
}

// Client sends over the machine's network.
type Client struct {
	guarded, trusted *http.Transport
	world            *world.World
	relay            *relay // nil: none
}

var _ Network = (*Client)(nil)

// New returns a client; Close it.
func New(o Options) (*Client, error) {
	guard, err := NewGuard(o.Allow, o.Local)
	if err != nil {
		return nil, fmt.Errorf("egress-allow: %w", err)
	}
	c := &Client{world: o.World}
	if c.relay, err = newRelay(&o); err != nil {
		return nil, err
	}
	c.guarded = transport(o.Roots, func(_ context.Context, _, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return &refusal{fmt.Errorf("the address %q: %w", address, err)}
		}
		return guard.Check(a.Addr())
	})
	c.trusted = transport(o.Roots, nil)
	return c, nil
}

// transport makes connections that check has nothing against. It is asked about the address that is about to be
// connected to, after all resolving.
func transport(roots *x509.CertPool, check func(ctx context.Context, network, address string, c syscall.RawConn) error) *http.Transport {
	dialer := &net.Dialer{Timeout: Timeout, ControlContext: check}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    Timeout,
		ResponseHeaderTimeout:  Timeout,
		MaxResponseHeaderBytes: maxHeaders,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdleHost,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true, // a small answer must not become a huge one
	}
}

// Close lets go of connections that are kept for reuse.
func (c *Client) Close() error {
	c.guarded.CloseIdleConnections()
	c.trusted.CloseIdleConnections()
	return nil
}

// CheckURL reports what is wrong with the form of a URL to send requests to.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL:
		return errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("neither http nor https")
	case u.Hostname() == "" || strings.ContainsAny(u.Host, " \t\r\n"):
		return errors.New("no host")
	}
	return nil
}

// Do implements Network.
func (c *Client) Do(ctx context.Context, r *Request) (*Answer, error) {
	if err := CheckURL(r.URL); err != nil {
		return nil, &refusal{err}
	}
	if err := aws.Settle(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := c.world.WithTimeout(ctx, Timeout)
	defer cancel()
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, &refusal{err}
	}
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	for _, h := range r.Headers {
		req.Header.Set(h.Name, h.Value)
	}
	t := c.guarded
	if r.Trusted {
		t = c.trusted
	}
	res, err := t.RoundTrip(req) // which follows no redirect
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return &Answer{Status: res.StatusCode, Body: body, RetryAfter: res.Header.Get("Retry-After")}, nil
}
