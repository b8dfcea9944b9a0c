package source

import (
	"context"
	"time"

	"fogbank/api/sts"
	"fogbank/aws"
)

// renewBefore is how long before its end a session is taken anew.
const renewBefore = time.Minute

// Roles is what is needed of STS.
type Roles interface {
	AssumeRole(context.Context, *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error)
}

// Session is a set of a role's credentials and who uses them.
type Session struct {
	Principal            aws.Principal
	KeyID, Secret, Token string
	Expires              time.Time
}

// Assume takes a role, with a name for the session.
func Assume(ctx context.Context, roles Roles, role, name string) (*Session, error) {
	out, err := roles.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: name})
	if err != nil {
		return nil, err
	}
	c, u := out.Credentials, out.AssumedRoleUser
	return &Session{
		Principal: aws.Principal{Kind: aws.AssumedRole, Account: aws.ARN(role).Account(), ARN: aws.ARN(u.Arn),
			Role: aws.ARN(role), UserID: u.AssumedRoleId, Key: c.AccessKeyId},
		KeyID: c.AccessKeyId, Secret: c.SecretAccessKey, Token: c.SessionToken,
		Expires: c.Expiration,
	}, nil
}

// Good reports whether there is a session and it can still be used at a time.
func (s *Session) Good(now time.Time) bool {
	return s != nil && now.Before(s.Expires.Add(-renewBefore))
}

// In is ctx for a call in process as the session, in a tenant.
func (s *Session) In(ctx context.Context, account, region string) context.Context {
	return aws.WithCall(ctx, &aws.Call{Principal: s.Principal, Account: account, Region: region})
}
