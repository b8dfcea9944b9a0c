package sts

import (
	"context"
	"errors"
	"strings"
	"time"

	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
)

const (
	defaultRoleSession = time.Hour
	maxChained         = time.Hour // of a role assumed with the credentials of a role
	maxRoot            = time.Hour // of sessions of the account's root
	defaultUserSession = 12 * time.Hour
	maxPolicyARNs      = 10
	maxPacked          = 4096 // bytes of session policies and tags
)

// AssumeRole returns credentials of a role session. That the trust policy and the caller's policies
// allow it was decided before.
func (s *Service) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	p := &aws.CallFrom(ctx).Principal
	if p.Kind == aws.Root && !conventional(p.Key) {
		return nil, sts.AccessDenied("Roles may not be assumed by root accounts.")
	}
	if in.SourceIdentity != nil || len(in.TransitiveTagKeys) > 0 || len(in.ProvidedContexts) > 0 {
		return nil, aws.Errorf("NotImplemented", 501, "sts AssumeRole with SourceIdentity, TransitiveTagKeys or ProvidedContexts is not implemented")
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, errMFA
	}
	role, ok, err := s.directory.Role(ctx, aws.ARN(in.RoleArn))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, sts.AccessDenied("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", p.ARN, in.RoleArn)
	}
	d := defaultRoleSession
	if in.DurationSeconds != nil {
		d = time.Duration(*in.DurationSeconds) * time.Second
	}
	chained := p.Kind == aws.AssumedRole
	switch {
	case chained && d > maxChained:
		return nil, sts.ValidationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case d > role.MaxSession:
		return nil, sts.ValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	x := credential.Session{Kind: aws.AssumedRole, Account: role.ARN.Account(), ID: role.ID, Name: in.RoleSessionName, Chained: chained}
	packed, err := s.narrow(ctx, &x, in.Policy, in.PolicyArns, in.Tags)
	if err != nil {
		return nil, err
	}
	c, err := s.issue(ctx, &x, d)
	return &sts.AssumeRoleOutput{Credentials: c, PackedPolicySize: packed, AssumedRoleUser: &sts.AssumedRoleUser{
		AssumedRoleId: role.ID + ":" + x.Name,
		Arn:           string(aws.MakeARN("sts", "", x.Account, "assumed-role/"+role.ARN.Name()+"/"+x.Name)),
	}}, err
}

// errMFA answers a code of a device, of which there are none.
var errMFA = sts.AccessDenied("MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")

// conventional reports whether a root key is one test suites use, "test" or an account's number. They use
// it for everything, so it may assume roles; it exists on loopback only.
func conventional(keyID string) bool {
	return keyID == "test" || len(keyID) == 12 && strings.Trim(keyID, "0123456789") == ""
}

// narrow gives a session its policies and tags and returns how many percent of their room they take,
// nil when there are none.
func (s *Service) narrow(ctx context.Context, x *credential.Session, inline *string, arns []sts.PolicyDescriptorType, tags []sts.Tag) (*int32, error) {
	size := 0
	if inline != nil {
		if err := checkPolicy(*inline); err != nil {
			return nil, err
		}
		x.Policy = policy.Compact(*inline)
		size += len(x.Policy)
	}
	if len(arns) > maxPolicyARNs {
		return nil, sts.ValidationError("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxPolicyARNs)
	}
	for _, a := range arns {
		ok, err := s.directory.ManagedPolicy(ctx, a.GetArn())
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, sts.ValidationError("Policy %s does not exist or is not attachable.", a.GetArn())
		}
		x.PolicyARNs = append(x.PolicyARNs, a.GetArn())
		size += len(a.GetArn())
	}
	if len(tags) > 0 {
		x.Tags = make(map[string]string, len(tags))
	}
	for _, t := range tags {
		for k := range x.Tags {
			if strings.EqualFold(k, t.Key) {
				return nil, aws.Errorf("InvalidParameterValue", 400, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
		x.Tags[t.Key] = t.Value
		size += len(t.Key) + len(t.Value)
	}
	if size == 0 {
		return nil, nil
	}
	percent := (100*size + maxPacked - 1) / maxPacked
	if percent > 100 {
		return nil, sts.PackedPolicyTooLargeException("Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return new(int32(percent)), nil
}

func checkPolicy(text string) error {
	d, err := policy.Parse(text)
	if err == nil {
		err = d.Check(policy.SessionPolicy)
	}
	if err != nil {
		return sts.MalformedPolicyDocumentException("%s", err.Error())
	}
	return nil
}

// issue seals the session for the time d from now.
func (s *Service) issue(ctx context.Context, x *credential.Session, d time.Duration) (*sts.Credentials, error) {
	x.Issued = s.world.Now().Truncate(time.Second)
	x.Expires = x.Issued.Add(d)
	c, err := s.directory.Issue(ctx, x)
	if errors.Is(err, credential.ErrTooLarge) {
		return nil, sts.PackedPolicyTooLargeException("Packed policy consumes more than 100%% of allotted space, please use smaller policy.")
	}
	if err != nil {
		return nil, err
	}
	return &sts.Credentials{AccessKeyId: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, Expiration: c.Expires}, nil
}

// ownSession begins a session of the calling user or root, whose credentials must be long-term ones.
func ownSession(ctx context.Context, op string, seconds *int32) (credential.Session, time.Duration, error) {
	p := &aws.CallFrom(ctx).Principal
	if p.Kind != aws.User && p.Kind != aws.Root || strings.HasPrefix(p.Key, "ASIA") {
		return credential.Session{}, 0, sts.AccessDenied("Cannot call %s with session credentials", op)
	}
	d := defaultUserSession
	if seconds != nil {
		d = time.Duration(*seconds) * time.Second
	}
	if p.Kind == aws.Root {
		d = min(d, maxRoot)
	}
	return credential.Session{Kind: p.Kind, Account: p.Account, ID: p.UserID}, d, nil
}

// GetSessionToken returns temporary credentials of the calling user or root. It needs no permission.
func (s *Service) GetSessionToken(ctx context.Context, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, errMFA
	}
	x, d, err := ownSession(ctx, "GetSessionToken", in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	c, err := s.issue(ctx, &x, d)
	return &sts.GetSessionTokenOutput{Credentials: c}, err
}

// GetFederationToken returns credentials of a federated user, who may do what the caller may and the
// session policies allow; without session policies, only what resource policies grant him.
func (s *Service) GetFederationToken(ctx context.Context, in *sts.GetFederationTokenInput) (*sts.GetFederationTokenOutput, error) {
	x, d, err := ownSession(ctx, "GetFederationToken", in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	x.Kind, x.Name = aws.FederatedUser, in.Name
	packed, err := s.narrow(ctx, &x, in.Policy, in.PolicyArns, in.Tags)
	if err != nil {
		return nil, err
	}
	if x.Policy == "" && len(x.PolicyARNs) == 0 {
		x.Policy = `{"Version":"2012-10-17","Statement":[]}`
	}
	c, err := s.issue(ctx, &x, d)
	return &sts.GetFederationTokenOutput{Credentials: c, PackedPolicySize: packed, FederatedUser: &sts.FederatedUser{
		FederatedUserId: x.Account + ":" + x.Name,
		Arn:             string(aws.MakeARN("sts", "", x.Account, "federated-user/"+x.Name)),
	}}, err
}
