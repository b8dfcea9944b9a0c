package iam

import (
	"context"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
)

// maxAttached is how many managed policies a user, group or role may have.
const maxAttached = 10

var (
	attachments = store.NewTable[string]("iam/attachment", store.Account) // owner id, policy ARN → policy ARN
	attached    = store.NewTable[mark]("iam/attached", store.Account)     // policy ARN, owner id
	bounded     = store.NewTable[mark]("iam/bounded", store.Account)      // policy ARN, owner id
)

// attach attaches a managed policy; again is no error.
func (s *Service) attach(ctx context.Context, k kind, owner, arn string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, owner)
		if err != nil {
			return err
		}
		if !s.exists(tx, arn) {
			return iam.NoSuchEntityException("Policy %s does not exist or is not attachable.", arn)
		}
		if attachments.Has(tx, store.K(e.ID, arn)) {
			return nil
		}
		if size(tx, attachments, store.K(e.ID)) >= maxAttached {
			return iam.LimitExceededException("Cannot exceed quota for %s: %d", kinds[k].attached, maxAttached)
		}
		attachments.Put(tx, store.K(e.ID, arn), arn)
		attached.Put(tx, store.K(arn, e.ID), mark{})
		return nil
	})
}

func (s *Service) detach(ctx context.Context, k kind, owner, arn string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, owner)
		if err != nil {
			return err
		}
		if !attachments.Has(tx, store.K(e.ID, arn)) {
			return iam.NoSuchEntityException("Policy %s was not found.", arn)
		}
		attachments.Delete(tx, store.K(e.ID, arn))
		attached.Delete(tx, store.K(arn, e.ID))
		return nil
	})
}

// listAttached returns a page of the managed policies of an owner below a path.
func (s *Service) listAttached(ctx context.Context, k kind, owner string, prefix, marker *string, maxItems *int32) (found []iam.AttachedPolicy, truncated *bool, next *string, err error) {
	p, err := newPager(marker, maxItems)
	if err != nil {
		return nil, nil, nil, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, owner)
		if err != nil {
			return err
		}
		found, truncated, next = list(tx, attachments, store.K(e.ID), p, func(_ store.Key, arn string) (iam.AttachedPolicy, bool) {
			path, _ := policyPath(arn)
			return attachedPolicy(arn), prefix == nil || under(path, *prefix)
		})
		return nil
	})
	return found, truncated, next, err
}

func attachedPolicy(arn string) iam.AttachedPolicy {
	return iam.AttachedPolicy{PolicyArn: &arn, PolicyName: new(aws.ARN(arn).Name())}
}

// bound sets or, with "", removes the permissions boundary of e, which the caller stores.
func (s *Service) bound(tx *store.Tx, e *entity, arn string) error {
	if arn != "" && !s.exists(tx, arn) {
		return iam.NoSuchEntityException("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	if e.Boundary != "" {
		bounded.Delete(tx, store.K(e.Boundary, e.ID))
	}
	if e.Boundary = arn; arn != "" {
		bounded.Put(tx, store.K(arn, e.ID), mark{})
	}
	return nil
}

// boundary is the entity's boundary as the API shows it.
func (e *entity) boundary() *iam.AttachedPermissionsBoundary {
	if e.Boundary == "" {
		return nil
	}
	return &iam.AttachedPermissionsBoundary{PermissionsBoundaryArn: &e.Boundary, PermissionsBoundaryType: new("Policy")}
}

// rebound changes a boundary; without one there is none to remove.
func (s *Service) rebound(ctx context.Context, k kind, name, arn string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, name)
		if err != nil {
			return err
		}
		if arn == "" && e.Boundary == "" {
			return iam.NoSuchEntityException("No permissions boundary is attached to %s %s.", string(k), e.Name)
		}
		if err := s.bound(tx, &e, arn); err != nil {
			return err
		}
		entities.Put(tx, store.K(e.ID), e)
		return nil
	})
}

// PutUserPermissionsBoundary sets the policy that bounds what a user may do.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, in *iam.PutUserPermissionsBoundaryInput) (*iam.PutUserPermissionsBoundaryOutput, error) {
	return &iam.PutUserPermissionsBoundaryOutput{}, s.rebound(ctx, userKind, in.UserName, in.PermissionsBoundary)
}

// DeleteUserPermissionsBoundary removes a user's boundary.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, in *iam.DeleteUserPermissionsBoundaryInput) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
	return &iam.DeleteUserPermissionsBoundaryOutput{}, s.rebound(ctx, userKind, in.UserName, "")
}

// PutRolePermissionsBoundary sets the policy that bounds what a role may do.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, in *iam.PutRolePermissionsBoundaryInput) (*iam.PutRolePermissionsBoundaryOutput, error) {
	return &iam.PutRolePermissionsBoundaryOutput{}, s.rebound(ctx, roleKind, in.RoleName, in.PermissionsBoundary)
}

// DeleteRolePermissionsBoundary removes a role's boundary.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, in *iam.DeleteRolePermissionsBoundaryInput) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
	return &iam.DeleteRolePermissionsBoundaryOutput{}, s.rebound(ctx, roleKind, in.RoleName, "")
}

// AttachUserPolicy attaches a managed policy to a user.
func (s *Service) AttachUserPolicy(ctx context.Context, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	return &iam.AttachUserPolicyOutput{}, s.attach(ctx, userKind, in.UserName, in.PolicyArn)
}

// DetachUserPolicy detaches a managed policy from a user.
func (s *Service) DetachUserPolicy(ctx context.Context, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	return &iam.DetachUserPolicyOutput{}, s.detach(ctx, userKind, in.UserName, in.PolicyArn)
}

// ListAttachedUserPolicies lists the managed policies of a user.
func (s *Service) ListAttachedUserPolicies(ctx context.Context, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	found, truncated, marker, err := s.listAttached(ctx, userKind, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedUserPoliciesOutput{AttachedPolicies: found, IsTruncated: truncated, Marker: marker}, err
}

// AttachGroupPolicy attaches a managed policy to a group.
func (s *Service) AttachGroupPolicy(ctx context.Context, in *iam.AttachGroupPolicyInput) (*iam.AttachGroupPolicyOutput, error) {
	return &iam.AttachGroupPolicyOutput{}, s.attach(ctx, groupKind, in.GroupName, in.PolicyArn)
}

// DetachGroupPolicy detaches a managed policy from a group.
func (s *Service) DetachGroupPolicy(ctx context.Context, in *iam.DetachGroupPolicyInput) (*iam.DetachGroupPolicyOutput, error) {
	return &iam.DetachGroupPolicyOutput{}, s.detach(ctx, groupKind, in.GroupName, in.PolicyArn)
}

// ListAttachedGroupPolicies lists the managed policies of a group.
func (s *Service) ListAttachedGroupPolicies(ctx context.Context, in *iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
	found, truncated, marker, err := s.listAttached(ctx, groupKind, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedGroupPoliciesOutput{AttachedPolicies: found, IsTruncated: truncated, Marker: marker}, err
}

// AttachRolePolicy attaches a managed policy to a role.
func (s *Service) AttachRolePolicy(ctx context.Context, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	return &iam.AttachRolePolicyOutput{}, s.attach(ctx, roleKind, in.RoleName, in.PolicyArn)
}

// DetachRolePolicy detaches a managed policy from a role.
func (s *Service) DetachRolePolicy(ctx context.Context, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	return &iam.DetachRolePolicyOutput{}, s.detach(ctx, roleKind, in.RoleName, in.PolicyArn)
}

// ListAttachedRolePolicies lists the managed policies of a role.
func (s *Service) ListAttachedRolePolicies(ctx context.Context, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	found, truncated, marker, err := s.listAttached(ctx, roleKind, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: found, IsTruncated: truncated, Marker: marker}, err
}
