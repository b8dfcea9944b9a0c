package iam

import (
	"context"
	"slices"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
)

// GetAccountSummary returns how much of everything there is and may be.
func (s *Service) GetAccountSummary(ctx context.Context, _ *iam.GetAccountSummaryInput) (*iam.GetAccountSummaryOutput, error) {
	m := map[string]int32{
		"UsersQuota": 5000, "GroupsQuota": 300, "RolesQuota": 1000, "PoliciesQuota": maxPolicies, "GroupsPerUserQuota": maxGroups,
		"AccessKeysPerUserQuota": maxAccessKeys, "VersionsPerPolicyQuota": maxVersions, "PolicySizeQuota": maxManagedPolicy,
		"UserPolicySizeQuota": 2048, "GroupPolicySizeQuota": 5120, "RolePolicySizeQuota": 10240, "AssumeRolePolicySizeQuota": maxTrustPolicy,
		"AttachedPoliciesPerUserQuota": maxAttached, "AttachedPoliciesPerGroupQuota": maxAttached, "AttachedPoliciesPerRoleQuota": maxAttached,
		"GlobalEndpointTokenVersion": 2,
		// What cannot be made here.
		"MFADevices": 0, "MFADevicesInUse": 0, "AccountMFAEnabled": 0, "Providers": 0, "InstanceProfiles": 0, "ServerCertificates": 0, "AccountSigningCertificatesPresent": 0,
	}
	account := aws.CallFrom(ctx).Account
	return &iam.GetAccountSummaryOutput{SummaryMap: m}, s.db.View(ctx, func(tx *store.Tx) error {
		m["Users"], m["Groups"], m["Roles"] = int32(count(tx, "user")), int32(count(tx, "group")), int32(count(tx, "role"))
		m["Policies"] = int32(count(tx, "policy"))
		m["PolicyVersionsInUse"] = int32(size(tx, versions, ""))
		m["AccountAccessKeysPresent"] = 0
		for _, k := range keys.All(tx, "") {
			if k.UserID == "" && k.Account == account {
				m["AccountAccessKeysPresent"] = 1
			}
		}
		return nil
	})
}

// detail is one item of GetAccountAuthorizationDetails: an entity or a managed policy.
type detail struct {
	entity *entity
	custom *managed
	aws    *awsManaged
}

// GetAccountAuthorizationDetails returns users, groups, roles and policies with all that belongs to
// them. AWS managed policies appear when they are attached, or asked for.
func (s *Service) GetAccountAuthorizationDetails(ctx context.Context, in *iam.GetAccountAuthorizationDetailsInput) (*iam.GetAccountAuthorizationDetailsOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := iam.GetAccountAuthorizationDetailsOutput{UserDetailList: []iam.UserDetail{}, GroupDetailList: []iam.GroupDetail{}, RoleDetailList: []iam.RoleDetail{},
		Policies: []iam.ManagedPolicyDetail{}}
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		var page []detail
		page, out.IsTruncated, out.Marker = slice(s.details(tx, in.Filter), p)
		for _, d := range page {
			s.describe(tx, d, &out)
		}
		return nil
	})
}

// details lists what the filter chooses, everything when it is empty.
func (s *Service) details(tx *store.Tx, filter []string) (all []detail) {
	wants := func(what string) bool { return len(filter) == 0 || slices.Contains(filter, what) }
	for _, of := range []struct {
		filter string
		kind   kind
	}{{"User", userKind}, {"Group", groupKind}, {"Role", roleKind}} {
		if !wants(of.filter) {
			continue
		}
		for _, id := range names.All(tx, store.K(string(of.kind))) {
			e, _ := entities.Get(tx, store.K(id))
			all = append(all, detail{entity: &e})
		}
	}
	if wants("LocalManagedPolicy") {
		for _, m := range policies.All(tx, "") {
			all = append(all, detail{custom: &m})
		}
	}
	if wants("AWSManagedPolicy") {
		for _, a := range awsPolicies {
			if any1(tx, attached, store.K(a.arn())) {
				all = append(all, detail{aws: s.catalog[a.arn()]})
			}
		}
	}
	return all
}

// describe adds d to the answer.
func (s *Service) describe(tx *store.Tx, d detail, out *iam.GetAccountAuthorizationDetailsOutput) {
	switch {
	case d.custom != nil:
		used, bounds := size(tx, attached, store.K(d.custom.arn())), size(tx, bounded, store.K(d.custom.arn()))
		m := managedDetail(d.custom.policy(used, bounds))
		for k, v := range versions.All(tx, store.K(fold(d.custom.Name))) {
			var name string
			var n int
			if k.Parse(&name, &n) != nil {
				panic("iam: a policy version without a number")
			}
			m.PolicyVersionList = append(m.PolicyVersionList, iam.PolicyVersion{Document: new(escape(v.Document)), VersionId: new(versionID(n)),
				IsDefaultVersion: new(n == d.custom.Default), CreateDate: &v.Created})
		}
		out.Policies = append(out.Policies, m)
	case d.aws != nil:
		m := managedDetail(d.aws.policy(size(tx, attached, store.K(d.aws.arn())), size(tx, bounded, store.K(d.aws.arn()))))
		m.PolicyVersionList = []iam.PolicyVersion{d.aws.version()}
		out.Policies = append(out.Policies, m)
	default:
		describeEntity(tx, d.entity, out)
	}
}

func managedDetail(p *iam.Policy) iam.ManagedPolicyDetail {
	return iam.ManagedPolicyDetail{PolicyName: p.PolicyName, PolicyId: p.PolicyId, Arn: p.Arn, Path: p.Path, DefaultVersionId: p.DefaultVersionId,
		AttachmentCount: p.AttachmentCount, PermissionsBoundaryUsageCount: p.PermissionsBoundaryUsageCount, IsAttachable: p.IsAttachable,
		Description: p.Description, CreateDate: p.CreateDate, UpdateDate: p.UpdateDate}
}

func describeEntity(tx *store.Tx, e *entity, out *iam.GetAccountAuthorizationDetailsOutput) {
	embedded := []iam.PolicyDetail{}
	for _, p := range inlines.All(tx, store.K(e.ID)) {
		embedded = append(embedded, iam.PolicyDetail{PolicyName: &p.Name, PolicyDocument: new(escape(p.Document))})
	}
	managed := []iam.AttachedPolicy{}
	for _, arn := range attachments.All(tx, store.K(e.ID)) {
		managed = append(managed, attachedPolicy(arn))
	}
	arn := new(string(e.arn()))
	switch e.Kind {
	case userKind:
		u := iam.UserDetail{Path: &e.Path, UserName: &e.Name, UserId: &e.ID, Arn: arn, CreateDate: &e.Created, UserPolicyList: embedded, GroupList: []string{},
			AttachedManagedPolicies: managed, PermissionsBoundary: e.boundary(), Tags: e.Tags}
		for k := range memberships.All(tx, store.K(e.ID)) {
			u.GroupList = append(u.GroupList, second(tx, k).Name)
		}
		out.UserDetailList = append(out.UserDetailList, u)
	case groupKind:
		out.GroupDetailList = append(out.GroupDetailList, iam.GroupDetail{Path: &e.Path, GroupName: &e.Name, GroupId: &e.ID, Arn: arn, CreateDate: &e.Created,
			GroupPolicyList: embedded, AttachedManagedPolicies: managed})
	case roleKind:
		out.RoleDetailList = append(out.RoleDetailList, iam.RoleDetail{Path: &e.Path, RoleName: &e.Name, RoleId: &e.ID, Arn: arn, CreateDate: &e.Created,
			AssumeRolePolicyDocument: new(escape(e.Trust)), RolePolicyList: embedded, InstanceProfileList: []iam.InstanceProfile{}, AttachedManagedPolicies: managed, PermissionsBoundary: e.boundary(), Tags: e.Tags})
	}
}
