// Package credential is what proves a caller: the answer of a directory to an
// access key id, and temporary credentials whose session token carries, sealed,
// everything there is to know about the session.
//
// Promises: nothing is stored when temporary credentials are issued; a token
// survives restarts as long as the sealing key does; it works only with the
// access key id it was issued for; neither it nor anything derived from the
// sealing key can be made without that key. Whether the role or user behind a
// session still exists is for the directory to check: the token names its unique id.
//
// Secrets never appear in errors.
package credential

import (
	"context"
	"time"

	"fogbank/aws"
)

// Credential is what a directory knows of an access key.
type Credential struct {
	Secret    string // the secret access key, the root of SigV4 signing keys
	Principal aws.Principal
	Token     string    // the session token that must accompany the key; "" for long-term keys
	Expires   time.Time // zero for long-term keys
	Active    bool      // false: the key exists but was made inactive
}

type tokenKey struct{}

// WithToken returns ctx carrying the session token a request came with, for a directory to open.
func WithToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, tokenKey{}, token)
}

// TokenFrom returns the session token in ctx, or "".
func TokenFrom(ctx context.Context) string {
	t, _ := ctx.Value(tokenKey{}).(string)
	return t
}

// Role is what issuing credentials for a role takes.
type Role struct {
	ARN        aws.ARN
	ID         string // AROA…
	MaxSession time.Duration
}

// Session is what a session token says.
type Session struct {
	Kind    aws.Kind // AssumedRole, FederatedUser, User or Root
	Account string
	// ID is the unique id of the role or user behind the session: AROA…, AIDA…, or
	// the account for root.
	ID string
	// Name is the role session name or the federated user's name; empty for User and Root.
	Name            string
	Issued, Expires time.Time         // whole seconds
	Chained         bool              // issued to a role session
	Policy          string            // the inline session policy, JSON
	PolicyARNs      []string          // managed session policies
	Tags            map[string]string // session tags
}

// Temporary is a set of temporary credentials.
type Temporary struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time
}
