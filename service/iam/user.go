package iam

import (
	"context"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
)

// CreateUser makes a user without keys or policies.
func (s *Service) CreateUser(ctx context.Context, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	e := entity{Kind: userKind, Account: aws.CallFrom(ctx).Account, Name: in.UserName, Path: orSlash(in.GetPath()),
		ID: s.uniqueID("AIDA"), Created: s.now(), Tags: tags, Boundary: in.GetPermissionsBoundary()}
	err = s.db.Update(ctx, func(tx *store.Tx) error { return s.create(tx, e) })
	return &iam.CreateUserOutput{User: new(e.user())}, err
}

// user is the entity as the API shows users.
func (e *entity) user() iam.User {
	return iam.User{Path: e.Path, UserName: e.Name, UserId: e.ID, Arn: string(e.arn()), CreateDate: e.Created,
		Tags: e.Tags, PermissionsBoundary: e.boundary()}
}

// userName returns the name given, or that of the calling user.
func userName(ctx context.Context, given *string) (string, error) {
	if given != nil {
		return *given, nil
	}
	p := &aws.CallFrom(ctx).Principal
	if p.Kind != aws.User {
		return "", iam.ValidationError("Must specify userName when calling with non-User credentials")
	}
	return p.ARN.Name(), nil
}

// GetUser returns a user, the caller when no name is given.
func (s *Service) GetUser(ctx context.Context, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	call := aws.CallFrom(ctx)
	if in.UserName == nil && call.Principal.Kind == aws.Root {
		return &iam.GetUserOutput{User: iam.User{Path: "/", UserId: call.Account, Arn: string(call.Principal.ARN), CreateDate: awsCreated}}, nil
	}
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	var out iam.GetUserOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, name)
		out.User = e.user()
		return err
	})
}

// UpdateUser changes a user's name or path; keys, policies and groups stay.
func (s *Service) UpdateUser(ctx context.Context, in *iam.UpdateUserInput) (*iam.UpdateUserOutput, error) {
	return &iam.UpdateUserOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, in.UserName)
		if err != nil {
			return err
		}
		return rename(tx, &e, in.NewUserName, in.NewPath)
	})
}

// DeleteUser removes a user that has no keys, policies or groups any more.
func (s *Service) DeleteUser(ctx context.Context, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
	return &iam.DeleteUserOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, in.UserName)
		if err != nil {
			return err
		}
		switch {
		case any1(tx, userKeys, store.K(e.ID)):
			return iam.DeleteConflictException("Cannot delete entity, must delete access keys first.")
		case any1(tx, memberships, store.K(e.ID)):
			return iam.DeleteConflictException("Cannot delete entity, must remove users from group first.")
		}
		return remove(tx, &e)
	})
}

// ListUsers lists the users below a path by name; tags and boundaries are left out, as in AWS.
func (s *Service) ListUsers(ctx context.Context, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListUsersOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		out.Users, out.IsTruncated, out.Marker = list(tx, names, store.K(string(userKind)), p, func(_ store.Key, id string) (iam.User, bool) {
			e, _ := entities.Get(tx, store.K(id))
			u := e.user()
			u.Tags, u.PermissionsBoundary = nil, nil
			return u, under(e.Path, in.GetPathPrefix())
		})
		return nil
	})
}
