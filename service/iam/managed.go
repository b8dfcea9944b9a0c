package iam

import (
	"context"
	"strconv"
	"strings"
	"time"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

const (
	maxPolicies      = 1500 // customer managed policies per account
	maxVersions      = 5    // of a policy
	maxManagedPolicy = 6144 // characters, blanks not counted
)

// managed is a customer managed policy. The document of its default version is kept in it, so that
// deciding a request reads one row.
type managed struct {
	Account, Name, Path, ID, Description string
	Created, Updated                     time.Time
	Default, Last                        int // version numbers: the one in force, the newest ever made
	Document                             string
	Tags                                 []iam.Tag `json:",omitempty"`
}

// version is one version of a customer managed policy.
type version struct {
	Document string
	Created  time.Time
}

var (
	policies = store.NewTable[managed]("iam/policy", store.Account)         // folded name
	versions = store.NewTable[version]("iam/policy-version", store.Account) // folded name, number
)

func (p *managed) arn() string { return "arn:aws:iam::" + p.Account + ":policy" + p.Path + p.Name }

// policyPath returns the path in a policy's ARN; ok is false when arn names no policy.
func policyPath(arn string) (path string, ok bool) {
	p, ok := aws.ARN(arn).Parse()
	rest, isPolicy := strings.CutPrefix(p.Resource, "policy/")
	if !ok || p.Service != "iam" || !isPolicy {
		return "", false
	}
	return "/" + rest[:strings.LastIndexByte(rest, '/')+1], true
}

// customerManaged returns the policy of an ARN in the account at hand.
func customerManaged(tx *store.Tx, arn string) (managed, bool) {
	if _, ok := policyPath(arn); !ok {
		return managed{}, false
	}
	p, ok := policies.Get(tx, store.K(fold(aws.ARN(arn).Name())))
	return p, ok && p.arn() == arn
}

// exists reports whether arn names a managed policy, AWS's or the account's.
func (s *Service) exists(tx *store.Tx, arn string) bool {
	if s.catalog[arn] != nil {
		return true
	}
	_, ok := customerManaged(tx, arn)
	return ok
}

func noPolicy(arn string) error {
	return iam.NoSuchEntityException("Policy %s was not found.", arn)
}

// own returns a policy that may be changed: one of the account's.
func (s *Service) own(tx *store.Tx, arn string) (managed, error) {
	if s.catalog[arn] != nil {
		return managed{}, iam.AccessDenied("The policy %s is managed by AWS and cannot be changed.", arn)
	}
	p, ok := customerManaged(tx, arn)
	if !ok {
		return p, noPolicy(arn)
	}
	return p, nil
}

// CreatePolicy makes a customer managed policy; its document is version v1.
func (s *Service) CreatePolicy(ctx context.Context, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	if err := checkManaged(in.PolicyDocument); err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	now := s.now()
	p := managed{Account: aws.CallFrom(ctx).Account, Name: in.PolicyName, Path: orSlash(in.GetPath()), ID: s.uniqueID("ANPA"),
		Description: in.GetDescription(), Created: now, Updated: now, Default: 1, Last: 1, Document: in.PolicyDocument, Tags: tags}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		key := store.K(fold(p.Name))
		if policies.Has(tx, key) {
			return iam.EntityAlreadyExistsException("A policy called %s already exists. Duplicate names are not allowed.", p.Name)
		}
		if err := addCount(tx, "policy", "PoliciesPerAccount", maxPolicies); err != nil {
			return err
		}
		policies.Put(tx, key, p)
		versions.Put(tx, key.Int(1), version{p.Document, now})
		return nil
	})
	return &iam.CreatePolicyOutput{Policy: p.policy(0, 0)}, err
}

func checkManaged(document string) error {
	if _, err := checkPolicy(document, policy.IdentityPolicy); err != nil {
		return err
	}
	if characters(document) > maxManagedPolicy {
		return iam.LimitExceededException("Cannot exceed quota for PolicySize: %d", maxManagedPolicy)
	}
	return nil
}

// policy is p as the API shows it, with how often it is attached and is a boundary.
func (p *managed) policy(attachments, boundaries int) *iam.Policy {
	out := &iam.Policy{PolicyName: &p.Name, PolicyId: &p.ID, Arn: new(p.arn()), Path: &p.Path, DefaultVersionId: new(versionID(p.Default)),
		AttachmentCount: new(int32(attachments)), PermissionsBoundaryUsageCount: new(int32(boundaries)), IsAttachable: new(true),
		CreateDate: &p.Created, UpdateDate: &p.Updated, Tags: p.Tags}
	if p.Description != "" {
		out.Description = &p.Description
	}
	return out
}

func versionID(n int) string { return "v" + strconv.Itoa(n) }

// versionNumber reads "v3"; 0 is none.
func versionNumber(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "v"))
	if err != nil || !strings.HasPrefix(id, "v") || n < 1 {
		return 0
	}
	return n
}

// GetPolicy returns a managed policy without its document.
func (s *Service) GetPolicy(ctx context.Context, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	var out iam.GetPolicyOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		used, bounds := size(tx, attached, store.K(in.PolicyArn)), size(tx, bounded, store.K(in.PolicyArn))
		if a := s.catalog[in.PolicyArn]; a != nil {
			out.Policy = a.policy(used, bounds)
			return nil
		}
		p, ok := customerManaged(tx, in.PolicyArn)
		if !ok {
			return noPolicy(in.PolicyArn)
		}
		out.Policy = p.policy(used, bounds)
		return nil
	})
}

// DeletePolicy removes a policy nobody has and of which only the default version is left.
func (s *Service) DeletePolicy(ctx context.Context, in *iam.DeletePolicyInput) (*iam.DeletePolicyOutput, error) {
	return &iam.DeletePolicyOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.own(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		key := store.K(fold(p.Name))
		switch {
		case any1(tx, attached, store.K(in.PolicyArn)), any1(tx, bounded, store.K(in.PolicyArn)):
			return iam.DeleteConflictException("Cannot delete a policy attached to entities.")
		case size(tx, versions, key) > 1:
			return iam.DeleteConflictException("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		policies.Delete(tx, key)
		versions.Delete(tx, key.Int(int64(p.Default)))
		counts.Put(tx, store.K("policy"), count(tx, "policy")-1)
		return nil
	})
}

// CreatePolicyVersion adds a version, in force at once when SetAsDefault is true.
func (s *Service) CreatePolicyVersion(ctx context.Context, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	if err := checkManaged(in.PolicyDocument); err != nil {
		return nil, err
	}
	now := s.now()
	var out iam.CreatePolicyVersionOutput
	return &out, s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.own(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		key := store.K(fold(p.Name))
		if size(tx, versions, key) >= maxVersions {
			return iam.LimitExceededException("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		p.Last++
		p.Updated = now
		if in.GetSetAsDefault() {
			p.Default, p.Document = p.Last, in.PolicyDocument
		}
		policies.Put(tx, key, p)
		versions.Put(tx, key.Int(int64(p.Last)), version{in.PolicyDocument, now})
		out.PolicyVersion = &iam.PolicyVersion{VersionId: new(versionID(p.Last)), IsDefaultVersion: new(p.Default == p.Last), CreateDate: &now}
		return nil
	})
}

// findVersion returns a version of a customer managed policy.
func findVersion(tx *store.Tx, p *managed, id string) (int, version, error) {
	n := versionNumber(id)
	v, ok := versions.Get(tx, store.K(fold(p.Name), n))
	if !ok {
		return 0, v, iam.NoSuchEntityException("Policy %s version %s does not exist or is not attachable.", p.arn(), id)
	}
	return n, v, nil
}

// GetPolicyVersion returns a version of a managed policy with its document.
func (s *Service) GetPolicyVersion(ctx context.Context, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	var out iam.GetPolicyVersionOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		if a := s.catalog[in.PolicyArn]; a != nil {
			v := a.version()
			if in.VersionId != *v.VersionId {
				return iam.NoSuchEntityException("Policy %s version %s does not exist or is not attachable.", in.PolicyArn, in.VersionId)
			}
			out.PolicyVersion = &v
			return nil
		}
		p, ok := customerManaged(tx, in.PolicyArn)
		if !ok {
			return noPolicy(in.PolicyArn)
		}
		n, v, err := findVersion(tx, &p, in.VersionId)
		out.PolicyVersion = &iam.PolicyVersion{Document: new(escape(v.Document)), VersionId: new(versionID(n)), IsDefaultVersion: new(n == p.Default), CreateDate: &v.Created}
		return err
	})
}

// DeletePolicyVersion removes a version that is not in force.
func (s *Service) DeletePolicyVersion(ctx context.Context, in *iam.DeletePolicyVersionInput) (*iam.DeletePolicyVersionOutput, error) {
	return &iam.DeletePolicyVersionOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.own(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		n, _, err := findVersion(tx, &p, in.VersionId)
		switch {
		case err != nil:
			return err
		case n == p.Default:
			return iam.DeleteConflictException("Cannot delete the default version of a policy.")
		}
		versions.Delete(tx, store.K(fold(p.Name), n))
		return nil
	})
}

// SetDefaultPolicyVersion puts a version in force.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, in *iam.SetDefaultPolicyVersionInput) (*iam.SetDefaultPolicyVersionOutput, error) {
	now := s.now()
	return &iam.SetDefaultPolicyVersionOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.own(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		n, v, err := findVersion(tx, &p, in.VersionId)
		if err != nil {
			return err
		}
		p.Default, p.Document, p.Updated = n, v.Document, now
		policies.Put(tx, store.K(fold(p.Name)), p)
		return nil
	})
}

// ListPolicyVersions lists the versions of a managed policy without their documents.
func (s *Service) ListPolicyVersions(ctx context.Context, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListPolicyVersionsOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		if a := s.catalog[in.PolicyArn]; a != nil {
			v := a.version()
			v.Document = nil
			out.Versions, out.IsTruncated = []iam.PolicyVersion{v}, new(false)
			return nil
		}
		m, ok := customerManaged(tx, in.PolicyArn)
		if !ok {
			return noPolicy(in.PolicyArn)
		}
		out.Versions, out.IsTruncated, out.Marker = list(tx, versions, store.K(fold(m.Name)), p, func(k store.Key, v version) (iam.PolicyVersion, bool) {
			var name string
			var n int
			if k.Parse(&name, &n) != nil {
				panic("iam: a policy version without a number")
			}
			return iam.PolicyVersion{VersionId: new(versionID(n)), IsDefaultVersion: new(n == m.Default), CreateDate: &v.Created}, true
		})
		return nil
	})
}

// retagPolicy changes the tags of a customer managed policy.
func (s *Service) retagPolicy(ctx context.Context, arn string, change func([]iam.Tag) ([]iam.Tag, error)) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.own(tx, arn)
		if err != nil {
			return err
		}
		if p.Tags, err = change(p.Tags); err != nil {
			return err
		}
		policies.Put(tx, store.K(fold(p.Name)), p)
		return nil
	})
}

// TagPolicy adds tags to a customer managed policy, replacing those of the same key.
func (s *Service) TagPolicy(ctx context.Context, in *iam.TagPolicyInput) (*iam.TagPolicyOutput, error) {
	return &iam.TagPolicyOutput{}, s.retagPolicy(ctx, in.PolicyArn, adding(in.Tags))
}

// UntagPolicy removes tags from a customer managed policy.
func (s *Service) UntagPolicy(ctx context.Context, in *iam.UntagPolicyInput) (*iam.UntagPolicyOutput, error) {
	return &iam.UntagPolicyOutput{}, s.retagPolicy(ctx, in.PolicyArn, dropping(in.TagKeys))
}

// ListPolicyTags lists the tags of a managed policy; AWS's have none.
func (s *Service) ListPolicyTags(ctx context.Context, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	pg, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var out iam.ListPolicyTagsOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		p, ok := customerManaged(tx, in.PolicyArn)
		if !ok && s.catalog[in.PolicyArn] == nil {
			return noPolicy(in.PolicyArn)
		}
		out.Tags, out.IsTruncated, out.Marker = slice(p.Tags, pg)
		return nil
	})
}
