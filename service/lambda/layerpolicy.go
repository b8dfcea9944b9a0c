package lambda

import (
	"context"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

var (
	layerPolicies = store.NewTable[permissions]("lambda/layerpolicy", store.Regional)
	// compiledLayerPolicies are the policies of layers as documents to be evaluated.
	compiledLayerPolicies = store.Derive(layerPolicies, func(_ store.Key, p permissions) (*policy.Document, error) {
		return policy.Parse(p.document())
	})
)

// AddLayerVersionPermission lets others use a version of a layer.
func (s *Service) AddLayerVersionPermission(ctx context.Context, in *lambda.AddLayerVersionPermissionInput) (*lambda.AddLayerVersionPermissionOutput, error) {
	l, err := referLayer(ctx, in.LayerName, in.VersionNumber)
	if err != nil {
		return nil, err
	}
	st := statement{Sid: in.StatementId, Effect: "Allow", Principal: principalOf(in.Principal), Action: in.Action, Resource: string(l.arn())}
	if org := in.GetOrganizationId(); org != "" {
		st.Condition = map[string]map[string]string{"StringEquals": {"aws:PrincipalOrgID": org}}
	}
	if err := st.check(); err != nil {
		return nil, err
	}
	revision := s.world.UUID()
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := findLayer(tx, l); err != nil {
			return err
		}
		p, _ := layerPolicies.Get(tx, l.key())
		if err := p.add(st, in.RevisionId, revision); err != nil {
			return err
		}
		layerPolicies.Put(tx, l.key(), p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.AddLayerVersionPermissionOutput{Statement: new(string(mustJSON(st))), RevisionId: &revision}, nil
}

// RemoveLayerVersionPermission takes a permission back. Functions that use the layer go on.
func (s *Service) RemoveLayerVersionPermission(ctx context.Context, in *lambda.RemoveLayerVersionPermissionInput) (*lambda.RemoveLayerVersionPermissionOutput, error) {
	l, err := referLayer(ctx, in.LayerName, in.VersionNumber)
	if err != nil {
		return nil, err
	}
	revision := s.world.UUID()
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := findLayerPolicy(tx, l)
		if err != nil {
			return err
		}
		if err := p.remove(in.StatementId, in.RevisionId, revision); err != nil {
			return err
		}
		if len(p.Statements) == 0 {
			layerPolicies.Delete(tx, l.key())
			return nil
		}
		layerPolicies.Put(tx, l.key(), p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.RemoveLayerVersionPermissionOutput{}, nil
}

// findLayerPolicy returns the policy of a version of a layer.
func findLayerPolicy(tx *store.Tx, l layerReference) (permissions, error) {
	if _, err := findLayer(tx, l); err != nil {
		return permissions{}, err
	}
	p, ok := layerPolicies.Get(tx, l.key())
	if !ok {
		return p, lambda.ResourceNotFoundException("No policy is associated with the given resource.")
	}
	return p, nil
}

// GetLayerVersionPolicy returns the policy of a version of a layer.
func (s *Service) GetLayerVersionPolicy(ctx context.Context, in *lambda.GetLayerVersionPolicyInput) (*lambda.GetLayerVersionPolicyOutput, error) {
	l, err := referLayer(ctx, in.LayerName, in.VersionNumber)
	if err != nil {
		return nil, err
	}
	out := &lambda.GetLayerVersionPolicyOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p, err := findLayerPolicy(tx, l)
		if err != nil {
			return err
		}
		out.Policy, out.RevisionId = new(p.document()), new(p.Revision)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// accessLayers are the versions of layers a function is going to use.
func accessLayers(arns []string) (list []aws.Access) {
	for _, arn := range arns {
		list = append(list, aws.Access{Action: "lambda:GetLayerVersion", Resource: aws.ARN(arn)})
	}
	return list
}

// accessLayer names the layer, or its version, an operation is about.
func accessLayer(ctx context.Context, name string, number int64) ([]aws.Access, error) {
	l, err := referLayer(ctx, name, number)
	if err != nil {
		return nil, err
	}
	return aws.On(l.arn()), nil
}
