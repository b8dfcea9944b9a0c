package iam

import (
	"context"
	"slices"
	"strings"

	"fogbank/api/iam"
	"fogbank/store"
)

// maxTags is how many tags a user, role or policy may have.
const maxTags = 50

// mergeTags adds tags to have, replacing those whose keys differ in case at most.
func mergeTags(have, add []iam.Tag) ([]iam.Tag, error) {
	for i, t := range add {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, iam.InvalidInputException("Tag keys beginning with aws: are reserved for AWS use.")
		}
		for _, other := range add[:i] {
			if strings.EqualFold(t.Key, other.Key) {
				return nil, iam.InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
	}
	merged := slices.Clone(have)
	for _, t := range add {
		i := slices.IndexFunc(merged, func(o iam.Tag) bool { return strings.EqualFold(o.Key, t.Key) })
		if i >= 0 {
			merged[i] = t
		} else {
			merged = append(merged, t)
		}
	}
	if len(merged) > maxTags {
		return nil, iam.LimitExceededException("The number of tags has reached the maximum limit.")
	}
	return merged, nil
}

// dropTags removes the tags with the keys, in whatever case.
func dropTags(have []iam.Tag, keys []string) []iam.Tag {
	return slices.DeleteFunc(slices.Clone(have), func(t iam.Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
}

// retag changes the tags of a user or role.
func (s *Service) retag(ctx context.Context, k kind, name string, change func([]iam.Tag) ([]iam.Tag, error)) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, name)
		if err != nil {
			return err
		}
		if e.Tags, err = change(e.Tags); err != nil {
			return err
		}
		entities.Put(tx, store.K(e.ID), e)
		return nil
	})
}

func adding(add []iam.Tag) func([]iam.Tag) ([]iam.Tag, error) {
	return func(have []iam.Tag) ([]iam.Tag, error) { return mergeTags(have, add) }
}

func dropping(keys []string) func([]iam.Tag) ([]iam.Tag, error) {
	return func(have []iam.Tag) ([]iam.Tag, error) { return dropTags(have, keys), nil }
}

// TagUser adds tags to a user, replacing those of the same key.
func (s *Service) TagUser(ctx context.Context, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	return &iam.TagUserOutput{}, s.retag(ctx, userKind, in.UserName, adding(in.Tags))
}

// UntagUser removes tags from a user.
func (s *Service) UntagUser(ctx context.Context, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	return &iam.UntagUserOutput{}, s.retag(ctx, userKind, in.UserName, dropping(in.TagKeys))
}

// TagRole adds tags to a role, replacing those of the same key.
func (s *Service) TagRole(ctx context.Context, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	return &iam.TagRoleOutput{}, s.retag(ctx, roleKind, in.RoleName, adding(in.Tags))
}

// UntagRole removes tags from a role.
func (s *Service) UntagRole(ctx context.Context, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	return &iam.UntagRoleOutput{}, s.retag(ctx, roleKind, in.RoleName, dropping(in.TagKeys))
}

// tagsOf returns a page of the tags of a user or role.
func (s *Service) tagsOf(ctx context.Context, k kind, name string, marker *string, maxItems *int32) (tags []iam.Tag, truncated *bool, next *string, err error) {
	p, err := newPager(marker, maxItems)
	if err != nil {
		return nil, nil, nil, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		e, err := find(tx, k, name)
		tags, truncated, next = slice(e.Tags, p)
		return err
	})
	return tags, truncated, next, err
}

// ListUserTags lists the tags of a user.
func (s *Service) ListUserTags(ctx context.Context, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	tags, truncated, marker, err := s.tagsOf(ctx, userKind, in.UserName, in.Marker, in.MaxItems)
	return &iam.ListUserTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, err
}

// ListRoleTags lists the tags of a role.
func (s *Service) ListRoleTags(ctx context.Context, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	tags, truncated, marker, err := s.tagsOf(ctx, roleKind, in.RoleName, in.Marker, in.MaxItems)
	return &iam.ListRoleTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, err
}
