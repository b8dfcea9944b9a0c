package sns

import (
	"context"
	"maps"
	"slices"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/store"
)

// maxTags is how many tags a topic may have.
const maxTags = 50

func errTooManyTags() error {
	return sns.TagLimitExceededException("Could not complete request: tag quota of per resource exceeded")
}

// tagMap returns tags as a map; of tags with the same key the last one holds.
func tagMap(tags []sns.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// retag changes the tags of a topic in one transaction.
func (s *Service) retag(ctx context.Context, arn string, change func(map[string]string)) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		t, err := taggedTopic(ctx, tx, arn)
		if err != nil {
			return err
		}
		tags := maps.Clone(t.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		change(tags)
		if len(tags) > maxTags {
			return errTooManyTags()
		}
		t.Tags = tags
		topics.Put(tx, store.K(t.Name), t)
		return nil
	})
}

// taggedTopic is findTopic with the error tag operations answer.
func taggedTopic(ctx context.Context, tx *store.Tx, arn string) (topic, error) {
	t, err := findTopic(ctx, tx, arn)
	if aws.IsCode(err, "NotFoundException") {
		err = sns.ResourceNotFoundException("Resource does not exist")
	}
	return t, err
}

// TagResource adds tags to a topic, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *sns.TagResourceInput) (*sns.TagResourceOutput, error) {
	return &sns.TagResourceOutput{}, s.retag(ctx, in.ResourceArn, func(tags map[string]string) { maps.Copy(tags, tagMap(in.Tags)) })
}

// UntagResource removes tags from a topic.
func (s *Service) UntagResource(ctx context.Context, in *sns.UntagResourceInput) (*sns.UntagResourceOutput, error) {
	return &sns.UntagResourceOutput{}, s.retag(ctx, in.ResourceArn, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

// ListTagsForResource returns the tags of a topic by key.
func (s *Service) ListTagsForResource(ctx context.Context, in *sns.ListTagsForResourceInput) (*sns.ListTagsForResourceOutput, error) {
	out := &sns.ListTagsForResourceOutput{Tags: []sns.Tag{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		t, err := taggedTopic(ctx, tx, in.ResourceArn)
		for _, key := range slices.Sorted(maps.Keys(t.Tags)) {
			out.Tags = append(out.Tags, sns.Tag{Key: key, Value: t.Tags[key]})
		}
		return err
	})
}
