package events

import (
	"context"
	"maps"
	"slices"

	"fogbank/api/events"
	"fogbank/store"
)

// TagResource adds tags to a rule or bus, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *events.TagResourceInput) (*events.TagResourceOutput, error) {
	return &events.TagResourceOutput{}, s.retag(ctx, in.ResourceARN, func(tags map[string]string) {
		for _, t := range in.Tags {
			tags[t.Key] = t.Value
		}
	})
}

// UntagResource removes tags from a rule or bus.
func (s *Service) UntagResource(ctx context.Context, in *events.UntagResourceInput) (*events.UntagResourceOutput, error) {
	return &events.UntagResourceOutput{}, s.retag(ctx, in.ResourceARN, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

// ListTagsForResource returns the tags of a rule or bus by key.
func (s *Service) ListTagsForResource(ctx context.Context, in *events.ListTagsForResourceInput) (*events.ListTagsForResourceOutput, error) {
	out := &events.ListTagsForResourceOutput{Tags: []events.Tag{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		tags, _, err := tagged(tx, in.ResourceARN)
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			out.Tags = append(out.Tags, events.Tag{Key: key, Value: tags[key]})
		}
		return err
	})
}
