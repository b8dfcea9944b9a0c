package sqs

import (
	"context"
	"maps"
	"strings"
	"unicode/utf8"

	"fogbank/api/sqs"
	"fogbank/store"
)

// checkTags applies the rules for tags: keys of 1 to 128 characters not beginning with "aws:", values up to 256.
func checkTags(list map[string]string) error {
	if len(list) > maxTags {
		return tooManyTags()
	}
	for key, value := range list {
		switch {
		case key == "" || utf8.RuneCountInString(key) > 128:
			return invalidParameter("Tag keys must be between 1 and 128 characters in length.")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return invalidParameter("Tag keys can't start with the reserved prefix aws:.")
		case utf8.RuneCountInString(value) > 256:
			return invalidParameter("Tag values must be between 0 and 256 characters in length.")
		}
	}
	return nil
}

func tooManyTags() error {
	return invalidParameter("Too many tags: a queue can have at most %d.", maxTags)
}

// TagQueue adds tags to a queue, replacing those of the same key.
func (s *Service) TagQueue(ctx context.Context, in *sqs.TagQueueInput) (*sqs.TagQueueOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	err := s.changeTags(ctx, in.QueueUrl, func(have map[string]string) { maps.Copy(have, in.Tags) })
	if err != nil {
		return nil, err
	}
	return &sqs.TagQueueOutput{}, nil
}

// UntagQueue removes the tags of some keys.
func (s *Service) UntagQueue(ctx context.Context, in *sqs.UntagQueueInput) (*sqs.UntagQueueOutput, error) {
	err := s.changeTags(ctx, in.QueueUrl, func(have map[string]string) {
		for _, key := range in.TagKeys {
			delete(have, key)
		}
	})
	if err != nil {
		return nil, err
	}
	return &sqs.UntagQueueOutput{}, nil
}

func (s *Service) changeTags(ctx context.Context, url string, change func(map[string]string)) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := find(tx, url)
		if err != nil {
			return err
		}
		have, _ := tags.Get(tx, store.K(q.Name))
		if have == nil {
			have = map[string]string{}
		}
		if change(have); len(have) > maxTags {
			return tooManyTags()
		}
		tags.Put(tx, store.K(q.Name), have)
		return nil
	})
}

// ListQueueTags returns a queue's tags.
func (s *Service) ListQueueTags(ctx context.Context, in *sqs.ListQueueTagsInput) (*sqs.ListQueueTagsOutput, error) {
	out := &sqs.ListQueueTagsOutput{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		q, err := find(tx, in.QueueUrl)
		if err != nil {
			return err
		}
		out.Tags, _ = tags.Get(tx, store.K(q.Name))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
