package iam

import (
	"context"
	"slices"

	"fogbank/api/iam"
	"fogbank/store"
)

// ListPolicies lists managed policies: the account's by name, then AWS's.
func (s *Service) ListPolicies(ctx context.Context, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListPoliciesOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		var all []iam.Policy
		add := func(path string, of func(used, bounds int) *iam.Policy, arn string) {
			used, bounds := size(tx, attached, store.K(arn)), size(tx, bounded, store.K(arn))
			wanted := used
			switch in.GetPolicyUsageFilter() {
			case "PermissionsBoundary":
				wanted = bounds
			case "":
				wanted = used + bounds
			}
			if !under(path, in.GetPathPrefix()) || wanted == 0 && (in.GetOnlyAttached() || in.PolicyUsageFilter != nil) {
				return
			}
			shown := of(used, bounds)
			shown.Description, shown.Tags = nil, nil // AWS leaves them out of this listing
			all = append(all, *shown)
		}
		if in.GetScope() != "AWS" {
			for _, m := range policies.All(tx, "") {
				add(m.Path, m.policy, m.arn())
			}
		}
		if in.GetScope() != "Local" {
			for _, a := range awsPolicies {
				add(a.path, s.catalog[a.arn()].policy, a.arn())
			}
		}
		out.Policies, out.IsTruncated, out.Marker = slice(all, p)
		return nil
	})
}

// ListEntitiesForPolicy lists who has a managed policy, attached or as a boundary.
func (s *Service) ListEntitiesForPolicy(ctx context.Context, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := iam.ListEntitiesForPolicyOutput{PolicyUsers: []iam.PolicyUser{}, PolicyGroups: []iam.PolicyGroup{}, PolicyRoles: []iam.PolicyRole{}}
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		if !s.exists(tx, in.PolicyArn) {
			return noPolicy(in.PolicyArn)
		}
		var page []entity
		page, out.IsTruncated, out.Marker = slice(holders(tx, in), p)
		for _, e := range page {
			switch e.Kind {
			case userKind:
				out.PolicyUsers = append(out.PolicyUsers, iam.PolicyUser{UserName: &e.Name, UserId: &e.ID})
			case groupKind:
				out.PolicyGroups = append(out.PolicyGroups, iam.PolicyGroup{GroupName: &e.Name, GroupId: &e.ID})
			case roleKind:
				out.PolicyRoles = append(out.PolicyRoles, iam.PolicyRole{RoleName: &e.Name, RoleId: &e.ID})
			}
		}
		return nil
	})
}

// entityFilters are the values of EntityFilter that choose by kind; the others choose everybody.
var entityFilters = map[string]kind{"User": userKind, "Group": groupKind, "Role": roleKind}

// holders returns the entities ListEntitiesForPolicy asks for, in the order of their ids.
func holders(tx *store.Tx, in *iam.ListEntitiesForPolicyInput) []entity {
	var keys []store.Key
	if in.GetPolicyUsageFilter() != "PermissionsBoundary" {
		keys = slices.AppendSeq(keys, attached.Keys(tx, store.Range{Prefix: store.K(in.PolicyArn)}))
	}
	if in.GetPolicyUsageFilter() != "PermissionsPolicy" {
		keys = slices.AppendSeq(keys, bounded.Keys(tx, store.Range{Prefix: store.K(in.PolicyArn)}))
	}
	slices.Sort(keys)
	var found []entity
	for _, k := range slices.Compact(keys) {
		e := second(tx, k)
		want, byKind := entityFilters[in.GetEntityFilter()]
		if (!byKind || e.Kind == want) && under(e.Path, in.GetPathPrefix()) {
			found = append(found, e)
		}
	}
	return found
}
