package dynamodb

import (
	"context"
	"strings"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

// policies are the parsed resource policies of tables.
var policies = store.Derive(tables, func(_ store.Key, t table) (*policy.Document, error) {
	if t.Policy == nil {
		return nil, nil
	}
	return policy.Parse(t.Policy.Text)
})

// ResourcePolicy returns the policy of the table that a table's or index's ARN names, nil when it has none.
func (s *Service) ResourcePolicy(ctx context.Context, resource aws.ARN) (doc *policy.Document, err error) {
	name, ok := strings.CutPrefix(resource.Resource(), "table/")
	if !ok {
		return nil, nil
	}
	name, below, _ := strings.Cut(name, "/")
	if below != "" && !strings.HasPrefix(below, "index/") { // streams and backups are not let in by the table's
		return nil, nil
	}
	err = s.db.Glance(ctx, func(tx *store.Tx) error {
		doc, _, err = policies.Get(tx, store.K(name))
		return err
	})
	return doc, err
}

// PutResourcePolicy sets the policy of a table.
func (s *Service) PutResourcePolicy(ctx context.Context, in *dynamodb.PutResourcePolicyInput) (*dynamodb.PutResourcePolicyOutput, error) {
	if _, err := policy.Parse(in.Policy); err != nil {
		return nil, validation("Invalid policy document: %s", err)
	}
	revision := s.world.UUID()
	out := &dynamodb.PutResourcePolicyOutput{}
	err := s.changeByARN(ctx, in.ResourceArn, func(t *table) error {
		if err := t.expectRevision(in.ExpectedRevisionId); err != nil {
			return err
		}
		out.RevisionId = new(revision)
		if t.Policy != nil && t.Policy.Text == in.Policy {
			out.RevisionId = new(t.Policy.Revision)
			return nil
		}
		t.Policy = &policyDocument{in.Policy, revision}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// expectRevision refuses a change of a policy that is not the one the caller knows; NO_POLICY stands for none.
func (t *table) expectRevision(want *string) error {
	if want == nil {
		return nil
	}
	have := "NO_POLICY"
	if t.Policy != nil {
		have = t.Policy.Revision
	}
	if have != *want {
		return dynamodb.PolicyNotFoundException("Resource-based policy not found for the provided RevisionId.")
	}
	return nil
}

// GetResourcePolicy returns the policy of a table.
func (s *Service) GetResourcePolicy(ctx context.Context, in *dynamodb.GetResourcePolicyInput) (*dynamodb.GetResourcePolicyOutput, error) {
	name, err := arnTable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t, err := s.schema(ctx, name)
	if err != nil {
		return nil, err
	}
	if t.Policy == nil {
		return nil, dynamodb.PolicyNotFoundException("Resource-based policy not found for the provided ResourceArn: %s", in.ResourceArn)
	}
	return &dynamodb.GetResourcePolicyOutput{Policy: new(t.Policy.Text), RevisionId: new(t.Policy.Revision)}, nil
}

// DeleteResourcePolicy removes the policy of a table; without one nothing happens.
func (s *Service) DeleteResourcePolicy(ctx context.Context, in *dynamodb.DeleteResourcePolicyInput) (*dynamodb.DeleteResourcePolicyOutput, error) {
	out := &dynamodb.DeleteResourcePolicyOutput{}
	err := s.changeByARN(ctx, in.ResourceArn, func(t *table) error {
		if err := t.expectRevision(in.ExpectedRevisionId); err != nil {
			return err
		}
		if t.Policy != nil {
			out.RevisionId = new(t.Policy.Revision)
		}
		t.Policy = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
