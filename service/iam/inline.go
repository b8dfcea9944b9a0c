package iam

import (
	"context"
	"unicode/utf8"

	"fogbank/api/iam"
	"fogbank/policy"
	"fogbank/store"
)

// inline is a policy embedded in a user, group or role.
type inline struct {
	Name     string
	Document string
}

var inlines = store.NewTable[inline]("iam/inline", store.Account) // owner id, policy name

// putInline embeds a policy or replaces the one of that name.
func (s *Service) putInline(ctx context.Context, k kind, owner, name, document string) error {
	if _, err := checkPolicy(document, policy.IdentityPolicy); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, owner)
		if err != nil {
			return err
		}
		total := characters(document)
		for _, other := range inlines.All(tx, store.K(e.ID)) {
			if other.Name != name {
				total += characters(other.Document)
			}
		}
		if most := kinds[k].inline; total > most {
			return iam.LimitExceededException("Maximum policy size of %d bytes exceeded for %s %s", most, string(k), e.Name)
		}
		inlines.Put(tx, store.K(e.ID, name), inline{name, document})
		return nil
	})
}

// characters is the length of a document as quotas count it.
func characters(document string) int { return utf8.RuneCountInString(policy.Compact(document)) }

// findInline returns an owner and its policy of a name.
func findInline(tx *store.Tx, k kind, owner, name string) (entity, inline, error) {
	e, err := find(tx, k, owner)
	if err != nil {
		return e, inline{}, err
	}
	p, ok := inlines.Get(tx, store.K(e.ID, name))
	if !ok {
		return e, p, iam.NoSuchEntityException("The %s policy with name %s cannot be found.", string(k), name)
	}
	return e, p, nil
}

func (s *Service) getInline(ctx context.Context, k kind, owner, name string) (e entity, p inline, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		e, p, err = findInline(tx, k, owner, name)
		p.Document = escape(p.Document)
		return err
	})
	return e, p, err
}

func (s *Service) deleteInline(ctx context.Context, k kind, owner, name string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		e, _, err := findInline(tx, k, owner, name)
		if err == nil {
			inlines.Delete(tx, store.K(e.ID, name))
		}
		return err
	})
}

// listInline returns a page of the names of an owner's inline policies.
func (s *Service) listInline(ctx context.Context, k kind, owner string, marker *string, maxItems *int32) (found []string, truncated *bool, next *string, err error) {
	p, err := newPager(marker, maxItems)
	if err != nil {
		return nil, nil, nil, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, owner)
		if err != nil {
			return err
		}
		found, truncated, next = list(tx, inlines, store.K(e.ID), p, func(_ store.Key, v inline) (string, bool) { return v.Name, true })
		return nil
	})
	return found, truncated, next, err
}

// PutUserPolicy embeds a policy in a user, replacing the one of that name.
func (s *Service) PutUserPolicy(ctx context.Context, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	return &iam.PutUserPolicyOutput{}, s.putInline(ctx, userKind, in.UserName, in.PolicyName, in.PolicyDocument)
}

// GetUserPolicy returns an inline policy of a user.
func (s *Service) GetUserPolicy(ctx context.Context, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	e, p, err := s.getInline(ctx, userKind, in.UserName, in.PolicyName)
	return &iam.GetUserPolicyOutput{UserName: e.Name, PolicyName: p.Name, PolicyDocument: p.Document}, err
}

// DeleteUserPolicy removes an inline policy of a user.
func (s *Service) DeleteUserPolicy(ctx context.Context, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	return &iam.DeleteUserPolicyOutput{}, s.deleteInline(ctx, userKind, in.UserName, in.PolicyName)
}

// ListUserPolicies lists the names of a user's inline policies.
func (s *Service) ListUserPolicies(ctx context.Context, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	found, truncated, marker, err := s.listInline(ctx, userKind, in.UserName, in.Marker, in.MaxItems)
	return &iam.ListUserPoliciesOutput{PolicyNames: found, IsTruncated: truncated, Marker: marker}, err
}

// PutGroupPolicy embeds a policy in a group, replacing the one of that name.
func (s *Service) PutGroupPolicy(ctx context.Context, in *iam.PutGroupPolicyInput) (*iam.PutGroupPolicyOutput, error) {
	return &iam.PutGroupPolicyOutput{}, s.putInline(ctx, groupKind, in.GroupName, in.PolicyName, in.PolicyDocument)
}

// GetGroupPolicy returns an inline policy of a group.
func (s *Service) GetGroupPolicy(ctx context.Context, in *iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
	e, p, err := s.getInline(ctx, groupKind, in.GroupName, in.PolicyName)
	return &iam.GetGroupPolicyOutput{GroupName: e.Name, PolicyName: p.Name, PolicyDocument: p.Document}, err
}

// DeleteGroupPolicy removes an inline policy of a group.
func (s *Service) DeleteGroupPolicy(ctx context.Context, in *iam.DeleteGroupPolicyInput) (*iam.DeleteGroupPolicyOutput, error) {
	return &iam.DeleteGroupPolicyOutput{}, s.deleteInline(ctx, groupKind, in.GroupName, in.PolicyName)
}

// ListGroupPolicies lists the names of a group's inline policies.
func (s *Service) ListGroupPolicies(ctx context.Context, in *iam.ListGroupPoliciesInput) (*iam.ListGroupPoliciesOutput, error) {
	found, truncated, marker, err := s.listInline(ctx, groupKind, in.GroupName, in.Marker, in.MaxItems)
	return &iam.ListGroupPoliciesOutput{PolicyNames: found, IsTruncated: truncated, Marker: marker}, err
}

// PutRolePolicy embeds a policy in a role, replacing the one of that name.
func (s *Service) PutRolePolicy(ctx context.Context, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	return &iam.PutRolePolicyOutput{}, s.putInline(ctx, roleKind, in.RoleName, in.PolicyName, in.PolicyDocument)
}

// GetRolePolicy returns an inline policy of a role.
func (s *Service) GetRolePolicy(ctx context.Context, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	e, p, err := s.getInline(ctx, roleKind, in.RoleName, in.PolicyName)
	return &iam.GetRolePolicyOutput{RoleName: e.Name, PolicyName: p.Name, PolicyDocument: p.Document}, err
}

// DeleteRolePolicy removes an inline policy of a role.
func (s *Service) DeleteRolePolicy(ctx context.Context, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	return &iam.DeleteRolePolicyOutput{}, s.deleteInline(ctx, roleKind, in.RoleName, in.PolicyName)
}

// ListRolePolicies lists the names of a role's inline policies.
func (s *Service) ListRolePolicies(ctx context.Context, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	found, truncated, marker, err := s.listInline(ctx, roleKind, in.RoleName, in.Marker, in.MaxItems)
	return &iam.ListRolePoliciesOutput{PolicyNames: found, IsTruncated: truncated, Marker: marker}, err
}
