package apigateway

import (
	"context"
	"maps"
	"slices"
	"strings"

	"fogbank/api/apigatewayv2"
	"fogbank/aws"
	"fogbank/store"
)

// retag finds what an ARN names, an API or a stage, and stores its tags as changed by f when they differ.
func retag(tx *store.Tx, arn string, f func(tags map[string]string)) (map[string]string, error) {
	p, ok := aws.ARN(arn).Parse()
	path, isAPI := strings.CutPrefix(p.Resource, "/apis/")
	if !ok || p.Service != "apigateway" || !isAPI {
		return nil, apigatewayv2.BadRequestException("Invalid resource ARN specified")
	}
	id, stageName, isStage := strings.Cut(path, "/stages/")
	a, err := findAPI(tx, id)
	if err != nil {
		return nil, err
	}
	var st stage
	tags := maps.Clone(a.Tags)
	if isStage {
		if st, err = findStage(tx, id, stageName); err != nil {
			return nil, err
		}
		tags = maps.Clone(st.Tags)
	}
	if tags == nil {
		tags = map[string]string{}
	}
	if f == nil {
		return tags, nil
	}
	if f(tags); len(tags) > maxTags {
		return nil, apigatewayv2.BadRequestException("A resource can have no more than %d tags", maxTags)
	}
	if isStage {
		st.Tags = tags
		stages.Put(tx, store.K(id, stageName), st)
		return tags, nil
	}
	a.Tags = tags
	apis.Put(tx, store.K(id), a)
	return tags, nil
}

// TagResource adds tags to an API or a stage.
func (s *Service) TagResource(ctx context.Context, in *apigatewayv2.TagResourceInput) (*apigatewayv2.TagResourceOutput, error) {
	return &apigatewayv2.TagResourceOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := retag(tx, in.ResourceArn, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
		return err
	})
}

// UntagResource removes tags from an API or a stage.
func (s *Service) UntagResource(ctx context.Context, in *apigatewayv2.UntagResourceInput) (*apigatewayv2.UntagResourceOutput, error) {
	return &apigatewayv2.UntagResourceOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := retag(tx, in.ResourceArn, func(tags map[string]string) {
			maps.DeleteFunc(tags, func(k, _ string) bool { return slices.Contains(in.TagKeys, k) })
		})
		return err
	})
}

// GetTags returns the tags of an API or a stage.
func (s *Service) GetTags(ctx context.Context, in *apigatewayv2.GetTagsInput) (*apigatewayv2.GetTagsOutput, error) {
	out := &apigatewayv2.GetTagsOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) (err error) {
		out.Tags, err = retag(tx, in.ResourceArn, nil)
		return err
	})
}
