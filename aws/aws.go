// Package aws is the vocabulary every other package speaks: names (ARN), who
// calls and where (Call), what a call touches (Access), and how an operation
// fails (Error). It does no I/O and imports nothing of fogbank.
package aws

import (
	"context"
	"net/netip"
	"time"
)

// Kind tells what sort of principal calls.
type Kind uint8

// The kinds of principal IAM distinguishes.
const (
	Anonymous        Kind = iota // nobody proved anything
	Root                         // the account itself
	User                         // an IAM user
	AssumedRole                  // a role session: temporary credentials from AssumeRole
	FederatedUser                // temporary credentials from GetFederationToken
	ServicePrincipal             // a service such as sns.amazonaws.com, only in process
)

// Principal is a proven caller. The zero value is the anonymous principal.
type Principal struct {
	Kind    Kind
	Account string // the caller's own account; empty for services and anonymous callers
	// ARN as GetCallerIdentity shows it: arn:aws:iam::A:root, arn:aws:iam::A:user/path/n,
	// arn:aws:sts::A:assumed-role/r/session; for a service its name, "sns.amazonaws.com".
	ARN ARN
	// Role is the role's own ARN (arn:aws:iam::A:role/path/r) for an assumed role; policies
	// and resource policies may name it in place of the session.
	Role ARN
	// UserID is the unique id: A for root, AIDA… for users, AROA…:session for role sessions.
	UserID string
	// Key is the access key id the call was signed with.
	Key string
	// SessionPolicies are the JSON policies passed to AssumeRole and its kin; they only narrow.
	SessionPolicies []string
	// Tags are the principal tags (aws:PrincipalTag/k).
	Tags map[string]string
}

// Call says on whose behalf and where an operation runs. The gate puts it in the context.
type Call struct {
	Principal Principal
	Account   string // the account acted in: every stored key is below it
	Region    string
	RequestID string
	SourceIP  netip.Addr // invalid for calls in process
	UserAgent string
	// Endpoint is the scheme and host the client used, "http://127.0.0.1:4566", for URLs in answers.
	Endpoint string
	Secure   bool   // arrived over TLS
	Trace    string // the client's X-Amzn-Trace-Id, as it came
	// SourceARN and SourceAccount name the resource on whose behalf a service principal
	// calls: aws:SourceArn and aws:SourceAccount in policies.
	SourceARN     ARN
	SourceAccount string
	// OnceKey, when a service calls in process, makes the effect once-only for services that honour it.
	OnceKey string
}

type callKey struct{}

// WithCall returns ctx carrying c.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallFrom returns the call in ctx, never to be changed. It panics when there is none, since an
// operation reached without passing the gate is a programming error.
func CallFrom(ctx context.Context) *Call { return ctx.Value(callKey{}).(*Call) }

// LookupCall is CallFrom for code that may also run outside any call.
func LookupCall(ctx context.Context) (*Call, bool) {
	c, ok := ctx.Value(callKey{}).(*Call)
	return c, ok
}

type firstKey struct{}

// WithFirstAttempt returns ctx for work that has never been tried before: no effect of it can be there
// already, so whoever honours OnceKey remembers the key but need not look for it.
func WithFirstAttempt(ctx context.Context) context.Context {
	return context.WithValue(ctx, firstKey{}, true)
}

// FirstAttempt reports whether ctx is one of WithFirstAttempt.
func FirstAttempt(ctx context.Context) bool {
	first, _ := ctx.Value(firstKey{}).(bool)
	return first
}

// Unsettled is what work that goes ahead of the disk depends on: facts that can be seen and are not yet certain
// to survive a crash.
type Unsettled interface {
	// Settle returns when they are.
	Settle(ctx context.Context) error
}

type unsettledKey struct{}

// WithUnsettled returns ctx for work that goes ahead of the disk. Only package store makes such contexts.
func WithUnsettled(ctx context.Context, u Unsettled) context.Context {
	return context.WithValue(ctx, unsettledKey{}, u)
}

// LookupUnsettled returns what work in ctx depends on, if it goes ahead of the disk.
func LookupUnsettled(ctx context.Context) (Unsettled, bool) {
	u, ok := ctx.Value(unsettledKey{}).(Unsettled)
	return u, ok
}

// Settle returns when everything that happened in ctx is on disk. Whatever carries something out of the process
// calls it first: a request, a mail, an invocation. Ordinarily that is so already and it returns at once.
func Settle(ctx context.Context) error {
	if u, ok := LookupUnsettled(ctx); ok {
		return u.Settle(ctx)
	}
	return nil
}

// Later is what an operation returns as its error when it has nothing to answer yet: whoever called it waits, and
// needs to hold nothing of the request while it does. Resume must be called until it returns something else.
type Later interface {
	error
	// Until is when there is an answer in any case, in the world's time.
	Until() time.Time
	// Changed is closed when there may be an answer.
	Changed() <-chan struct{}
	// Notify has wake called when Changed is closed, at once if it is. wake must be quick; it may still be called
	// while undo runs, not after.
	Notify(wake func()) (undo func())
	// Resume goes on: it returns what the operation would have, or again a Later. ctx has the operation's call; when
	// it has ended nobody waits for the answer.
	Resume(ctx context.Context) (any, error)
}

// Access is one thing an operation wants to do, to be decided by policy before it runs.
type Access struct {
	Action   string // "sqs:SendMessage"; empty means the operation's own action
	Resource ARN    // "*" where the action has no resource
	// Context holds service-specific condition keys, such as
	// "dynamodb:LeadingKeys" or "iam:PassedToService".
	Context map[string][]string
}

// On is the usual answer of a service's Access method: the operation's own action on each resource.
func On(resources ...ARN) []Access {
	list := make([]Access, len(resources))
	for i, r := range resources {
		list[i].Resource = r
	}
	return list
}
