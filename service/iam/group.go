package iam

import (
	"context"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
)

// maxGroups is how many groups a user may be in.
const maxGroups = 10

var (
	members     = store.NewTable[mark]("iam/member", store.Account)     // group id, user id
	memberships = store.NewTable[mark]("iam/membership", store.Account) // user id, group id
)

// CreateGroup makes a group without members or policies.
func (s *Service) CreateGroup(ctx context.Context, in *iam.CreateGroupInput) (*iam.CreateGroupOutput, error) {
	e := entity{Kind: groupKind, Account: aws.CallFrom(ctx).Account, Name: in.GroupName, Path: orSlash(in.GetPath()),
		ID: s.uniqueID("AGPA"), Created: s.now()}
	err := s.db.Update(ctx, func(tx *store.Tx) error { return s.create(tx, e) })
	return &iam.CreateGroupOutput{Group: e.group()}, err
}

// group is the entity as the API shows groups.
func (e *entity) group() iam.Group {
	return iam.Group{Path: e.Path, GroupName: e.Name, GroupId: e.ID, Arn: string(e.arn()), CreateDate: e.Created}
}

// GetGroup returns a group and its members, by page.
func (s *Service) GetGroup(ctx context.Context, in *iam.GetGroupInput) (*iam.GetGroupOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.GetGroupOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		g, err := find(tx, groupKind, in.GroupName)
		if err != nil {
			return err
		}
		out.Group = g.group()
		out.Users, out.IsTruncated, out.Marker = list(tx, members, store.K(g.ID), p, func(k store.Key, _ mark) (iam.User, bool) {
			e := second(tx, k)
			u := e.user()
			u.Tags, u.PermissionsBoundary = nil, nil
			return u, true
		})
		return nil
	})
}

// second returns the entity whose id is the second part of a key.
func second(tx *store.Tx, k store.Key) entity {
	var first, id string
	if k.Parse(&first, &id) != nil {
		panic("iam: a key without an owner and an id")
	}
	e, _ := entities.Get(tx, store.K(id))
	return e
}

// UpdateGroup changes a group's name or path.
func (s *Service) UpdateGroup(ctx context.Context, in *iam.UpdateGroupInput) (*iam.UpdateGroupOutput, error) {
	return &iam.UpdateGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, groupKind, in.GroupName)
		if err != nil {
			return err
		}
		return rename(tx, &e, in.NewGroupName, in.NewPath)
	})
}

// DeleteGroup removes a group that has no members or policies any more.
func (s *Service) DeleteGroup(ctx context.Context, in *iam.DeleteGroupInput) (*iam.DeleteGroupOutput, error) {
	return &iam.DeleteGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, groupKind, in.GroupName)
		if err != nil {
			return err
		}
		if any1(tx, members, store.K(e.ID)) {
			return iam.DeleteConflictException("Cannot delete entity, must remove users from group first.")
		}
		return remove(tx, &e)
	})
}

// ListGroups lists the groups below a path by name.
func (s *Service) ListGroups(ctx context.Context, in *iam.ListGroupsInput) (*iam.ListGroupsOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListGroupsOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		out.Groups, out.IsTruncated, out.Marker = list(tx, names, store.K(string(groupKind)), p, func(_ store.Key, id string) (iam.Group, bool) {
			e, _ := entities.Get(tx, store.K(id))
			return e.group(), under(e.Path, in.GetPathPrefix())
		})
		return nil
	})
}

// both finds a group and a user.
func both(tx *store.Tx, group, user string) (g, u entity, err error) {
	if g, err = find(tx, groupKind, group); err == nil {
		u, err = find(tx, userKind, user)
	}
	return g, u, err
}

// AddUserToGroup makes a user a member of a group; again is no error.
func (s *Service) AddUserToGroup(ctx context.Context, in *iam.AddUserToGroupInput) (*iam.AddUserToGroupOutput, error) {
	return &iam.AddUserToGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		g, u, err := both(tx, in.GroupName, in.UserName)
		if err != nil || members.Has(tx, store.K(g.ID, u.ID)) {
			return err
		}
		if size(tx, memberships, store.K(u.ID)) >= maxGroups {
			return iam.LimitExceededException("Cannot exceed quota for GroupsPerUser: %d", maxGroups)
		}
		members.Put(tx, store.K(g.ID, u.ID), mark{})
		memberships.Put(tx, store.K(u.ID, g.ID), mark{})
		return nil
	})
}

// RemoveUserFromGroup ends a membership; ending one that is not is no error.
func (s *Service) RemoveUserFromGroup(ctx context.Context, in *iam.RemoveUserFromGroupInput) (*iam.RemoveUserFromGroupOutput, error) {
	return &iam.RemoveUserFromGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		g, u, err := both(tx, in.GroupName, in.UserName)
		if err != nil {
			return err
		}
		members.Delete(tx, store.K(g.ID, u.ID))
		memberships.Delete(tx, store.K(u.ID, g.ID))
		return nil
	})
}

// ListGroupsForUser lists the groups a user is in.
func (s *Service) ListGroupsForUser(ctx context.Context, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListGroupsForUserOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		u, err := find(tx, userKind, in.UserName)
		if err != nil {
			return err
		}
		out.Groups, out.IsTruncated, out.Marker = list(tx, memberships, store.K(u.ID), p, func(k store.Key, _ mark) (iam.Group, bool) {
			e := second(tx, k)
			return e.group(), true
		})
		return nil
	})
}
