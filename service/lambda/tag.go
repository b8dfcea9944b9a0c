package lambda

import (
	"context"
	"maps"
	"strings"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
)

// TagResource adds tags to a function or an event-source mapping, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *lambda.TagResourceInput) (*lambda.TagResourceOutput, error) {
	err := s.retag(ctx, in.Resource, func(tags map[string]string) error {
		maps.Copy(tags, in.Tags)
		if len(tags) > maxTags {
			return tooManyTags()
		}
		return nil
	})
	return &lambda.TagResourceOutput{}, err
}

// UntagResource removes tags.
func (s *Service) UntagResource(ctx context.Context, in *lambda.UntagResourceInput) (*lambda.UntagResourceOutput, error) {
	err := s.retag(ctx, in.Resource, func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
	return &lambda.UntagResourceOutput{}, err
}

func tooManyTags() error {
	return lambda.InvalidParameterValueException("Tags limit exceeded. Maximum number of tags allowed: %d", maxTags)
}

// mappingOf is the identifier of the mapping a resource is, "" when it is none.
func mappingOf(resource string) string {
	uuid, ok := strings.CutPrefix(aws.ARN(resource).Resource(), "event-source-mapping:")
	if !ok || aws.ARN(resource).Service() != "lambda" {
		return ""
	}
	return uuid
}

// retag changes the tags of a function or mapping.
func (s *Service) retag(ctx context.Context, resource string, change func(map[string]string) error) error {
	if uuid := mappingOf(resource); uuid != "" {
		return s.db.Update(ctx, func(tx *store.Tx) error {
			m, _, err := findMapping(tx, uuid)
			if err != nil {
				return err
			}
			if m.Tags = maps.Clone(m.Tags); m.Tags == nil {
				m.Tags = map[string]string{}
			}
			if err := change(m.Tags); err != nil {
				return err
			}
			mappings.Put(tx, store.K(uuid), m)
			return nil
		})
	}
	r, err := tagged(ctx, resource)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, r, nil, func(_ *store.Tx, f *function) error {
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		return change(f.Tags)
	})
	return err
}

// tagged is the function whose tags a request is about.
func tagged(ctx context.Context, resource string) (reference, error) {
	if aws.ARN(resource).Service() != "lambda" {
		return reference{}, lambda.InvalidParameterValueException("Invalid resource ARN: %s", resource)
	}
	r, err := refer(ctx, resource, "")
	if err == nil && r.qualifier != "" {
		err = lambda.InvalidParameterValueException("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return r, err
}

// ListTags returns the tags of a function or an event-source mapping.
func (s *Service) ListTags(ctx context.Context, in *lambda.ListTagsInput) (*lambda.ListTagsOutput, error) {
	tags, err := s.tags(ctx, in.Resource)
	if err != nil {
		return nil, err
	}
	if tags == nil {
		tags = map[string]string{}
	}
	return &lambda.ListTagsOutput{Tags: tags}, nil
}

func (s *Service) tags(ctx context.Context, resource string) (tags map[string]string, err error) {
	if uuid := mappingOf(resource); uuid != "" {
		err = s.db.View(ctx, func(tx *store.Tx) error {
			m, _, err := findMapping(tx, uuid)
			tags = m.Tags
			return err
		})
		return tags, err
	}
	r, err := tagged(ctx, resource)
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	return f.Tags, nil
}
