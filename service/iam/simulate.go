package iam

import (
	"context"
	"strconv"
	"strings"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

// maxSimulated bounds actions times resources of one simulation.
const maxSimulated = 10_000

// simulation is what is to be decided, action by action and resource by resource.
type simulation struct {
	request   policy.Request
	actions   []string
	resources []string
}

// SimulateCustomPolicy decides actions on resources by the policies given.
func (s *Service) SimulateCustomPolicy(ctx context.Context, in *iam.SimulateCustomPolicyInput) (*iam.SimulatePolicyResponse, error) {
	sim, err := newSimulation(ctx, in)
	if err != nil {
		return nil, err
	}
	return sim.run(in.Marker, in.MaxItems)
}

// SimulatePrincipalPolicy decides actions on resources by the policies of a user, group or role and
// those given besides.
func (s *Service) SimulatePrincipalPolicy(ctx context.Context, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePolicyResponse, error) {
	custom := iam.SimulateCustomPolicyInput{PolicyInputList: in.PolicyInputList, PermissionsBoundaryPolicyInputList: in.PermissionsBoundaryPolicyInputList,
		ActionNames: in.ActionNames, ResourceArns: in.ResourceArns, ResourcePolicy: in.ResourcePolicy, CallerArn: in.CallerArn, ContextEntries: in.ContextEntries}
	sim, err := newSimulation(ctx, &custom)
	if err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		arn := aws.ARN(in.PolicySourceArn)
		k, _, _ := strings.Cut(arn.Resource(), "/")
		e, err := find(tx, kind(k), arn.Name())
		if err != nil || e.arn() != arn {
			return iam.NoSuchEntityException("The entity %s cannot be found.", in.PolicySourceArn)
		}
		id, err := s.identity(tx, e.ID)
		if err != nil {
			return err
		}
		sim.request.Identity.Policies = append(id.Policies, sim.request.Identity.Policies...)
		if sim.request.Identity.Boundary == nil {
			sim.request.Identity.Boundary = id.Boundary
		}
		if in.CallerArn == nil && e.Kind == userKind {
			h, _, err := byID.Get(tx, store.K(e.ID))
			if err != nil {
				return err
			}
			sim.request.Principal = h.principal("")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sim.run(in.Marker, in.MaxItems)
}

// newSimulation parses the policies and context keys of a simulation. The caller is a user of the
// account unless CallerArn says who.
func newSimulation(ctx context.Context, in *iam.SimulateCustomPolicyInput) (*simulation, error) {
	account := aws.CallFrom(ctx).Account
	sim := &simulation{actions: in.ActionNames, resources: in.ResourceArns}
	if len(sim.resources) == 0 {
		sim.resources = []string{"*"}
	}
	if len(sim.actions)*len(sim.resources) > maxSimulated {
		return nil, iam.InvalidInputException("A simulation has at most %d actions times resources.", maxSimulated)
	}
	r := &sim.request
	r.Principal = aws.Principal{Kind: aws.User, Account: account, ARN: aws.ARN(in.GetCallerArn())}
	r.Keys = map[string][]string{}
	for _, e := range in.ContextEntries {
		r.Keys[e.GetContextKeyName()] = e.ContextKeyValues
	}
	var err error
	if r.Identity.Policies, err = parseList(in.PolicyInputList, "PolicyInputList."); err != nil {
		return nil, err
	}
	if len(in.PermissionsBoundaryPolicyInputList) > 0 {
		if r.Identity.Boundary, err = parseList(in.PermissionsBoundaryPolicyInputList, "PermissionsBoundaryPolicyInputList."); err != nil {
			return nil, err
		}
	}
	if in.ResourcePolicy != nil {
		if r.ResourcePolicy, err = parseNamed("ResourcePolicy", *in.ResourcePolicy); err != nil {
			return nil, iam.InvalidInputException("Invalid ResourcePolicy: %s", err.Error())
		}
	}
	return sim, nil
}

// parseList parses policies and names them by their place, from 1.
func parseList(texts []string, name string) ([]*policy.Document, error) {
	docs := make([]*policy.Document, len(texts))
	for i, t := range texts {
		d, err := parseNamed(name+strconv.Itoa(i+1), t)
		if err != nil {
			return nil, iam.InvalidInputException("Invalid policy input: %s", err.Error())
		}
		docs[i] = d
	}
	return docs, nil
}

// run decides a page of the simulation.
func (sim *simulation) run(marker *string, maxItems *int32) (*iam.SimulatePolicyResponse, error) {
	p, err := newPager(marker, maxItems)
	if err != nil {
		return nil, err
	}
	all := make([]iam.EvaluationResult, 0, len(sim.actions)*len(sim.resources))
	for _, action := range sim.actions {
		for _, resource := range sim.resources {
			all = append(all, sim.decide(action, resource))
		}
	}
	var out iam.SimulatePolicyResponse
	out.EvaluationResults, out.IsTruncated, out.Marker = slice(all, p)
	return &out, nil
}

func (sim *simulation) decide(action, resource string) iam.EvaluationResult {
	r := sim.request
	r.Action, r.Resource = action, aws.ARN(resource)
	r.ResourceAccount = r.Resource.Account()
	d := policy.Evaluate(&r)
	e := iam.EvaluationResult{EvalActionName: action, EvalResourceName: &resource, EvalDecision: "implicitDeny",
		MatchedStatements: []iam.Statement{}, MissingContextValues: []string{}}
	switch {
	case d.Allowed:
		e.EvalDecision = "allowed"
	case d.Explicit:
		e.EvalDecision = "explicitDeny"
	}
	if d.Statement != "" {
		e.MatchedStatements = []iam.Statement{{SourcePolicyId: new(d.Policy), SourcePolicyType: new("IAM Policy")}}
	}
	if r.Identity.Boundary != nil {
		e.PermissionsBoundaryDecisionDetail = &iam.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: new(d.Reason != policy.BoundaryLayer)}
	}
	return e
}
