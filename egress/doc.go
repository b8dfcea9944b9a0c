// Package egress is the one way out: requests and mail to hosts that are not ours.
//
// Promises. A request goes to an address the guard allows and to no other: the address is checked when the
// connection is made, after names were resolved, so a name that resolves differently the second time gains
// nothing. Redirects are not followed, and proxies in the environment are not used. A request ends after
// Timeout; of an answer at most MaxAnswer bytes are read. Mail goes to the one relay that was configured, with
// TLS where the relay offers it, and with a password over nothing else; no field of a mail can add a header.
//
// The guard refuses loopback, private, shared, link-local, multicast, unspecified and reserved addresses, the
// metadata services of clouds among them, and the IPv4 addresses of that kind inside IPv6 ones. A list of
// prefixes lifts it for those.
//
// Network is the package's interface with two implementations: Client, for the world outside, and Memory, which
// records and answers as it is told, for tests in virtual time.
package egress

import (
	"context"
	"errors"
	"time"
)

const (
	// Timeout is how long a request or a mail may take, all in all.
	Timeout = 15 * time.Second
	// MaxAnswer is how many bytes of an answer's body are read; what follows is cut off.
	MaxAnswer = 64 << 10
)

// Header is one header of a request.
type Header struct{ Name, Value string }

// Request is what to send to a host outside.
type Request struct {
	Method  string // "POST" when empty
	URL     string // http or https
	Headers []Header
	Body    []byte
	// Trusted says that the operator chose the URL: its address is not checked.
	Trusted bool
}

// Answer is what came back.
type Answer struct {
	Status int
	Body   []byte // cut off at MaxAnswer
	// RetryAfter is the header of that name, empty when there was none.
	RetryAfter string
}

// Mail is a plain text mail to one recipient.
type Mail struct {
	ID      string // unique; part of the Message-ID, so that a mail sent twice can be recognised
	Name    string // shown as the sender's
	To      string // an address without a name
	Subject string
	Body    string
	At      time.Time
}

// Network carries requests and mail to the outside, after aws.Settle.
type Network interface {
	// Do sends a request. Any status is an answer, not an error. An error that Refused reports will come
	// again however often one tries.
	Do(ctx context.Context, r *Request) (*Answer, error)
	// Send sends a mail.
	Send(ctx context.Context, m *Mail) error
	// Mails reports whether there is a relay for mail.
	Mails() bool
}

// refusal is an error that trying again does not mend.
type refusal struct{ cause error }

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

// Refused reports whether err says that a request or mail cannot be sent at all: the guard or the relay refused it,
// or it is malformed.
func Refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}
