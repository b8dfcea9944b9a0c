package sts

import (
	"context"

	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
	"fogbank/wire"
	"fogbank/world"
)

// Directory is what sts asks IAM.
type Directory interface {
	// Role finds a role by ARN in whatever account.
	Role(ctx context.Context, arn aws.ARN) (credential.Role, bool, error)
	// TrustPolicy returns a role's trust policy, nil when there is no such role.
	TrustPolicy(ctx context.Context, role aws.ARN) (*policy.Document, error)
	// ManagedPolicy reports whether a policy of the account in ctx or of AWS exists.
	ManagedPolicy(ctx context.Context, arn string) (bool, error)
	// KeyAccount returns the account of a long-term access key.
	KeyAccount(ctx context.Context, keyID string) (string, bool, error)
	// Issue makes temporary credentials.
	Issue(ctx context.Context, s *credential.Session) (credential.Temporary, error)
}

// Service answers the STS API. It keeps nothing.
type Service struct {
	sts.Unimplemented
	world     *world.World
	directory Directory
}

var _ sts.Service = (*Service)(nil)

// New returns the service.
func New(w *world.World, d Directory) *Service { return &Service{world: w, directory: d} }

// Access names the role to assume or the federated user to be, and the condition keys of AssumeRole.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
func (s *Service) Access(ctx context.Context, _ *wire.Operation, in any) ([]aws.Access, error) {
	var touched []aws.Access
	var tags []sts.Tag
	keys := map[string][]string{}
	switch x := in.(type) {
	case *sts.AssumeRoleInput:
		if !isRole(x.RoleArn) {
			return nil, sts.ValidationError("%s is invalid", x.RoleArn)
		}
		keys["sts:RoleSessionName"] = []string{x.RoleSessionName}
		if x.ExternalId != nil {
			keys["sts:ExternalId"] = []string{*x.ExternalId}
		}
		touched, tags = aws.On(aws.ARN(x.RoleArn)), x.Tags
	case *sts.GetFederationTokenInput:
		account := aws.CallFrom(ctx).Principal.Account
		touched, tags = aws.On(aws.MakeARN("sts", "", account, "federated-user/"+x.Name)), x.Tags
	default:
		return aws.On("*"), nil
	}
	for _, t := range tags {
		keys["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.Key)
	}
	if len(tags) > 0 {
		touched = append(touched, aws.Access{Action: "sts:TagSession", Resource: touched[0].Resource})
	}
	for i := range touched {
		touched[i].Context = keys
	}
	return touched, nil
}

// isRole reports whether arn names a role in an account.
func isRole(arn string) bool {
	p, ok := aws.ARN(arn).Parse()
	return ok && p.Service == "iam" && len(p.Account) == 12 && len(p.Resource) > len("role/") && p.Resource[:5] == "role/"
}

// ResourcePolicy is the trust policy of a role, which has to agree to its being assumed.
func (s *Service) ResourcePolicy(ctx context.Context, resource aws.ARN) (*policy.Document, error) {
	if !isRole(string(resource)) {
		return nil, nil
	}
	return s.directory.TrustPolicy(ctx, resource)
}

// GetCallerIdentity says who calls. It needs no permission.
func (s *Service) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	p := &aws.CallFrom(ctx).Principal
	return &sts.GetCallerIdentityOutput{UserId: &p.UserID, Account: &p.Account, Arn: new(string(p.ARN))}, nil
}

// GetAccessKeyInfo returns the account an access key belongs to, long-term or temporary.
func (s *Service) GetAccessKeyInfo(ctx context.Context, in *sts.GetAccessKeyInfoInput) (*sts.GetAccessKeyInfoOutput, error) {
	if account, ok := credential.AccountOf(in.AccessKeyId); ok {
		return &sts.GetAccessKeyInfoOutput{Account: &account}, nil
	}
	account, ok, err := s.directory.KeyAccount(ctx, in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, sts.ValidationError("Invalid access key id: %s", in.AccessKeyId)
	}
	return &sts.GetAccessKeyInfoOutput{Account: &account}, nil
}
