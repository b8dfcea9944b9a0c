package dynamodb

import (
	"context"
	"maps"
	"slices"
	"strings"

	"fogbank/api/dynamodb"
)

const maxTags = 50

var errTooManyTags = validation("Number of Tags exceed the current limit for the provided ResourceArn")

// checkTags refuses keys that are AWS's or given twice.
func checkTags(tags []dynamodb.Tag) error {
	seen := map[string]bool{}
	for _, tag := range tags {
		switch {
		case strings.HasPrefix(tag.Key, "aws:"):
			return validation("Tag Key cannot be prefixed with aws:, Key: %s", tag.Key)
		case seen[tag.Key]:
			return validation("Duplicate Tag Keys provided as input: Duplicate Tag Key found %s", tag.Key)
		}
		seen[tag.Key] = true
	}
	return nil
}

// TagResource adds tags to a table, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *dynamodb.TagResourceInput) (*dynamodb.TagResourceOutput, error) {
	if len(in.Tags) == 0 {
		return nil, validation("Atleast one Tag needs to be provided as Input.") // DynamoDB's own words
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return &dynamodb.TagResourceOutput{}, s.changeByARN(ctx, in.ResourceArn, func(t *table) error {
		tags := maps.Clone(t.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		for _, tag := range in.Tags {
			tags[tag.Key] = tag.Value
		}
		if len(tags) > maxTags {
			return errTooManyTags
		}
		t.Tags = tags
		return nil
	})
}

// UntagResource removes tags from a table.
func (s *Service) UntagResource(ctx context.Context, in *dynamodb.UntagResourceInput) (*dynamodb.UntagResourceOutput, error) {
	if len(in.TagKeys) == 0 {
		return nil, validation("Atleast one Tag Key needs to be provided as Input.")
	}
	return &dynamodb.UntagResourceOutput{}, s.changeByARN(ctx, in.ResourceArn, func(t *table) error {
		t.Tags = maps.Clone(t.Tags)
		for _, key := range in.TagKeys {
			delete(t.Tags, key)
		}
		return nil
	})
}

// ListTagsOfResource lists a table's tags by key; they fit one page.
func (s *Service) ListTagsOfResource(ctx context.Context, in *dynamodb.ListTagsOfResourceInput) (*dynamodb.ListTagsOfResourceOutput, error) {
	name, err := arnTable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t, err := s.schema(ctx, name)
	if err == errNoTable {
		return nil, dynamodb.ResourceNotFoundException("Requested resource not found: ResourceArn: %s not found", in.ResourceArn)
	}
	if err != nil {
		return nil, err
	}
	out := &dynamodb.ListTagsOfResourceOutput{Tags: []dynamodb.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(t.Tags)) {
		out.Tags = append(out.Tags, dynamodb.Tag{Key: key, Value: t.Tags[key]})
	}
	return out, nil
}
