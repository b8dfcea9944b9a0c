package iam

import (
	"context"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
)

// listings are the operations about all users, groups or roles: their resource is the path asked for.
var listings = map[string]kind{"ListUsers": userKind, "ListGroups": groupKind, "ListRoles": roleKind}

// Access names the user, group, role or policy an operation is about, with its path, or "*", and the
// condition keys IAM has for it: iam:PolicyARN, iam:PermissionsBoundary, the tags given and those there are.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagement.html
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	a := aws.Access{Resource: "*", Context: map[string][]string{}}
	if k, ok := listings[op.Name]; ok {
		e := entity{Kind: k, Account: aws.CallFrom(ctx).Account, Path: "/"}
		if x, ok := in.(interface{ GetPathPrefix() string }); ok && x.GetPathPrefix() != "" {
			e.Path = x.GetPathPrefix()
		}
		return aws.On(e.arn()), nil
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if e, ok := subject(ctx, in); ok {
			touchEntity(tx, e, in, &a)
		} else {
			touchPolicy(ctx, tx, in, &a)
		}
		return nil
	})
	return []aws.Access{a}, err
}

// subject returns the entity an input is about as far as the input tells. An input with a user and a
// group is about the group.
func subject(ctx context.Context, in any) (entity, bool) {
	e := entity{Account: aws.CallFrom(ctx).Account, Path: "/"}
	if x, ok := in.(interface{ GetPath() string }); ok {
		e.Path = orSlash(x.GetPath())
	}
	switch x := in.(type) {
	case interface{ GetGroupName() string }:
		e.Kind, e.Name = groupKind, x.GetGroupName()
	case interface{ GetRoleName() string }:
		e.Kind, e.Name = roleKind, x.GetRoleName()
	case interface{ GetUserName() string }:
		e.Kind, e.Name = userKind, x.GetUserName()
		if p := &aws.CallFrom(ctx).Principal; e.Name == "" && p.Kind == aws.User {
			e.Name = p.ARN.Name()
		}
	}
	return e, e.Name != ""
}

// touchEntity fills a for a user, group or role, which may exist already.
func touchEntity(tx *store.Tx, e entity, in any, a *aws.Access) {
	if old, err := find(tx, e.Kind, e.Name); err == nil {
		e = old
	}
	a.Resource = e.arn()
	boundary := e.Boundary
	if x, ok := in.(interface{ GetPermissionsBoundary() string }); ok && x.GetPermissionsBoundary() != "" {
		boundary = x.GetPermissionsBoundary()
	}
	if boundary != "" {
		a.Context["iam:PermissionsBoundary"] = []string{boundary}
	}
	if x, ok := in.(interface{ GetPolicyArn() string }); ok {
		a.Context["iam:PolicyARN"] = []string{x.GetPolicyArn()}
	}
	resourceTags(a.Context, e.Tags)
	requestTags(a.Context, in)
}

// touchPolicy fills a for a managed policy.
func touchPolicy(ctx context.Context, tx *store.Tx, in any, a *aws.Access) {
	switch x := in.(type) {
	case *iam.CreatePolicyInput:
		p := managed{Account: aws.CallFrom(ctx).Account, Path: orSlash(x.GetPath()), Name: x.PolicyName}
		a.Resource = aws.ARN(p.arn())
	case *iam.SimulatePrincipalPolicyInput:
		a.Resource = aws.ARN(x.PolicySourceArn)
	case interface{ GetPolicyArn() string }:
		a.Resource = aws.ARN(x.GetPolicyArn())
		if p, ok := customerManaged(tx, x.GetPolicyArn()); ok {
			resourceTags(a.Context, p.Tags)
		}
	}
	requestTags(a.Context, in)
}

func resourceTags(keys map[string][]string, tags []iam.Tag) {
	for _, t := range tags {
		keys["aws:ResourceTag/"+t.Key] = []string{t.Value}
		keys["iam:ResourceTag/"+t.Key] = []string{t.Value}
	}
}

// requestTags adds the tags and tag keys an input has.
func requestTags(keys map[string][]string, in any) {
	var tags []iam.Tag
	switch x := in.(type) {
	case *iam.CreateUserInput:
		tags = x.Tags
	case *iam.CreateRoleInput:
		tags = x.Tags
	case *iam.CreatePolicyInput:
		tags = x.Tags
	case *iam.TagUserInput:
		tags = x.Tags
	case *iam.TagRoleInput:
		tags = x.Tags
	case *iam.TagPolicyInput:
		tags = x.Tags
	case *iam.UntagUserInput:
		keys["aws:TagKeys"] = x.TagKeys
	case *iam.UntagRoleInput:
		keys["aws:TagKeys"] = x.TagKeys
	case *iam.UntagPolicyInput:
		keys["aws:TagKeys"] = x.TagKeys
	}
	for _, t := range tags {
		keys["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.Key)
	}
}
