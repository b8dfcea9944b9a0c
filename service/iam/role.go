package iam

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

const (
	maxTrustPolicy    = 2048 // characters of a trust policy, blanks not counted
	defaultMaxSession = 3600 // seconds
)

// CreateRole makes a role that whoever its trust policy names may assume.
func (s *Service) CreateRole(ctx context.Context, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	trust, err := checkTrust(in.AssumeRolePolicyDocument)
	if err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	e := entity{Kind: roleKind, Account: aws.CallFrom(ctx).Account, Name: in.RoleName, Path: orSlash(in.GetPath()),
		ID: s.uniqueID("AROA"), Created: s.now(), Tags: tags, Boundary: in.GetPermissionsBoundary(),
		Trust: in.AssumeRolePolicyDocument, Description: in.GetDescription(), MaxSession: in.GetMaxSessionDuration()}
	if e.MaxSession == 0 {
		e.MaxSession = defaultMaxSession
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := principalsExist(tx, trust); err != nil {
			return err
		}
		return s.create(tx, e)
	})
	r := e.role()
	r.Description, r.MaxSessionDuration = nil, nil // AWS leaves them out of this answer
	return &iam.CreateRoleOutput{Role: r}, err
}

// checkTrust reads a trust policy.
func checkTrust(text string) (*policy.Document, error) {
	d, err := checkPolicy(text, policy.TrustPolicy)
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(policy.Compact(text)) > maxTrustPolicy {
		return nil, iam.LimitExceededException("Cannot exceed quota for ACLSizePerRole: %d", maxTrustPolicy)
	}
	return d, nil
}

// principalsExist checks that the users and roles a trust policy names are there.
func principalsExist(tx *store.Tx, d *policy.Document) error {
	for _, p := range d.Principals() {
		parts, ok := aws.ARN(p).Parse()
		if !ok || parts.Service != "iam" {
			continue
		}
		k, _, _ := strings.Cut(parts.Resource, "/")
		var e entity
		err := errors.New("no such account")
		if isAccount(parts.Account) {
			e, err = find(tx.In(parts.Account, ""), kind(k), aws.ARN(p).Name())
		}
		if err != nil || string(e.arn()) != p || e.Kind == groupKind {
			return iam.MalformedPolicyDocumentException(`Invalid principal in policy: "AWS":"%s"`, p)
		}
	}
	return nil
}

// escape writes a policy document the way IAM's answers carry it.
func escape(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

// role is the entity as the API shows roles.
func (e *entity) role() iam.Role {
	r := iam.Role{Path: e.Path, RoleName: e.Name, RoleId: e.ID, Arn: string(e.arn()), CreateDate: e.Created, Tags: e.Tags,
		PermissionsBoundary: e.boundary(), AssumeRolePolicyDocument: new(escape(e.Trust)), MaxSessionDuration: new(e.MaxSession)}
	if e.Description != "" {
		r.Description = &e.Description
	}
	return r
}

// GetRole returns a role.
func (s *Service) GetRole(ctx context.Context, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	var out iam.GetRoleOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		e, err := find(tx, roleKind, in.RoleName)
		out.Role = e.role()
		return err
	})
}

// changeRole finds a role, lets change work on it and stores it.
func (s *Service) changeRole(ctx context.Context, name string, change func(*store.Tx, *entity) error) (e entity, err error) {
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if e, err = find(tx, roleKind, name); err != nil {
			return err
		}
		if err := change(tx, &e); err != nil {
			return err
		}
		entities.Put(tx, store.K(e.ID), e)
		return nil
	})
	return e, err
}

// UpdateRole sets the description and the longest session; what is not given goes back to its default.
func (s *Service) UpdateRole(ctx context.Context, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(_ *store.Tx, e *entity) error {
		if in.Description != nil {
			e.Description = *in.Description
		}
		if e.MaxSession = in.GetMaxSessionDuration(); e.MaxSession == 0 {
			e.MaxSession = defaultMaxSession
		}
		return nil
	})
	return &iam.UpdateRoleOutput{}, err
}

// UpdateRoleDescription sets the description.
func (s *Service) UpdateRoleDescription(ctx context.Context, in *iam.UpdateRoleDescriptionInput) (*iam.UpdateRoleDescriptionOutput, error) {
	e, err := s.changeRole(ctx, in.RoleName, func(_ *store.Tx, e *entity) error {
		e.Description = in.Description
		return nil
	})
	return &iam.UpdateRoleDescriptionOutput{Role: new(e.role())}, err
}

// UpdateAssumeRolePolicy replaces the trust policy. Sessions that exist go on.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	trust, err := checkTrust(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	_, err = s.changeRole(ctx, in.RoleName, func(tx *store.Tx, e *entity) error {
		e.Trust = in.PolicyDocument
		return principalsExist(tx, trust)
	})
	return &iam.UpdateAssumeRolePolicyOutput{}, err
}

// DeleteRole removes a role that has no policies any more; its sessions end at once.
func (s *Service) DeleteRole(ctx context.Context, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	return &iam.DeleteRoleOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, roleKind, in.RoleName)
		if err != nil {
			return err
		}
		return remove(tx, &e)
	})
}

// ListRoles lists the roles below a path by name; tags and boundaries are left out, as in AWS.
func (s *Service) ListRoles(ctx context.Context, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListRolesOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		out.Roles, out.IsTruncated, out.Marker = list(tx, names, store.K(string(roleKind)), p, func(_ store.Key, id string) (iam.Role, bool) {
			e, _ := entities.Get(tx, store.K(id))
			r := e.role()
			r.Tags, r.PermissionsBoundary = nil, nil
			return r, under(e.Path, in.GetPathPrefix())
		})
		return nil
	})
}

// ListInstanceProfilesForRole answers that there are none: instance profiles cannot be made here.
func (s *Service) ListInstanceProfilesForRole(ctx context.Context, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	return &iam.ListInstanceProfilesForRoleOutput{InstanceProfiles: []iam.InstanceProfile{}, IsTruncated: new(false)}, s.db.View(ctx, func(tx *store.Tx) error {
		_, err := find(tx, roleKind, in.RoleName)
		return err
	})
}
