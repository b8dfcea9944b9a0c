package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"fogbank/api/lambda"
	"fogbank/policy"
	"fogbank/store"
)

// maxPolicy is the limit of a function's resource policy, in bytes.
const maxPolicy = 20480

// permissions is the stored record of a function's resource policy.
type permissions struct {
	Revision   string
	Statements []statement
}

// statement is one AddPermission, in the form AWS shows it.
type statement struct {
	Sid       string                       `json:"Sid"`
	Effect    string                       `json:"Effect"`
	Principal any                          `json:"Principal"`
	Action    string                       `json:"Action"`
	Resource  string                       `json:"Resource"`
	Condition map[string]map[string]string `json:"Condition,omitempty"`
}

var (
	policies = store.NewTable[permissions]("lambda/policy", store.Regional)
	// compiledPolicies are the policies as documents to be evaluated.
	compiledPolicies = store.Derive(policies, func(_ store.Key, p permissions) (*policy.Document, error) {
		if len(p.Statements) == 0 {
			return nil, nil
		}
		return policy.Parse(p.document())
	})
)

// document is the policy as JSON.
func (p *permissions) document() string {
	return string(mustJSON(struct {
		Version   string      `json:"Version"`
		ID        string      `json:"Id"`
		Statement []statement `json:"Statement"`
	}{"2012-10-17", "default", p.Statements}))
}

// mustJSON is v as JSON; v is made of types that always have one.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("lambda: a value without a JSON form: " + err.Error())
	}
	return b
}

// AddPermission adds a statement to a function's resource policy.
func (s *Service) AddPermission(ctx context.Context, in *lambda.AddPermissionInput) (*lambda.AddPermissionOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	if r.qualifier == latest {
		return nil, lambda.InvalidParameterValueException("We currently do not support adding policies for $LATEST.")
	}
	st := newStatement(r, in)
	if err := st.check(); err != nil {
		return nil, err
	}
	revision := s.world.UUID()
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		p, _ := policies.Get(tx, r.key())
		if err := p.add(st, in.RevisionId, revision); err != nil {
			return err
		}
		policies.Put(tx, r.key(), p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.AddPermissionOutput{Statement: new(string(mustJSON(st)))}, nil
}

func wrongRevision() error {
	return lambda.PreconditionFailedException("The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve the latest RevisionId")
}

// check makes sure that a policy can be evaluated.
func (st statement) check() error {
	trial := permissions{Statements: []statement{st}}
	if doc, err := policy.Parse(trial.document()); err != nil || doc.Check(policy.ResourcePolicy) != nil {
		return lambda.InvalidParameterValueException("The provided principal was invalid. Please check the principal and try again.")
	}
	return nil
}

// add adds a statement to p, which must be of the revision wanted, if any.
func (p *permissions) add(st statement, wanted *string, revision string) error {
	if wanted != nil && *wanted != p.Revision {
		return wrongRevision()
	}
	if p.index(st.Sid) >= 0 {
		return lambda.ResourceConflictException("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", st.Sid)
	}
	p.Statements, p.Revision = append(p.Statements, st), revision
	if n := len(p.document()); n > maxPolicy {
		return lambda.PolicyLengthExceededException("The final policy size (%d) is bigger than the limit (%d).", n, maxPolicy)
	}
	return nil
}

// remove takes a statement out of p, which must be of the revision wanted, if any.
func (p *permissions) remove(sid string, wanted *string, revision string) error {
	if wanted != nil && *wanted != p.Revision {
		return wrongRevision()
	}
	i := p.index(sid)
	if i < 0 {
		return lambda.ResourceNotFoundException("Statement %s is not found in resource policy.", sid)
	}
	p.Statements, p.Revision = slices.Delete(p.Statements, i, i+1), revision
	return nil
}

// newStatement is the statement a request asks for.
func newStatement(r reference, in *lambda.AddPermissionInput) statement {
	st := statement{Sid: in.StatementId, Effect: "Allow", Action: in.Action, Resource: string(r.arn()), Principal: principalOf(in.Principal)}
	condition := func(operator, key string, value *string) {
		if value == nil {
			return
		}
		if st.Condition == nil {
			st.Condition = map[string]map[string]string{}
		}
		if st.Condition[operator] == nil {
			st.Condition[operator] = map[string]string{}
		}
		st.Condition[operator][key] = *value
	}
	condition("ArnLike", "AWS:SourceArn", in.SourceArn)
	condition("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	condition("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	condition("StringEquals", "lambda:EventSourceToken", in.EventSourceToken)
	condition("StringEquals", "lambda:FunctionUrlAuthType", in.FunctionUrlAuthType)
	if in.GetInvokedViaFunctionUrl() {
		condition("Bool", "lambda:InvokedViaFunctionUrl", new("true"))
	}
	return st
}

// principalOf is the Principal element for a service, an account, a user or role, or everyone.
func principalOf(p string) any {
	switch {
	case p == "*":
		return "*"
	case len(p) == 12 && strings.Trim(p, "0123456789") == "":
		return map[string]string{"AWS": "arn:aws:iam::" + p + ":root"}
	case strings.HasPrefix(p, "arn:"):
		return map[string]string{"AWS": p}
	default:
		return map[string]string{"Service": p}
	}
}

// index finds a statement, -1 when there is none.
func (p *permissions) index(sid string) int {
	return slices.IndexFunc(p.Statements, func(st statement) bool { return st.Sid == sid })
}

// RemovePermission removes a statement from a function's resource policy.
func (s *Service) RemovePermission(ctx context.Context, in *lambda.RemovePermissionInput) (*lambda.RemovePermissionOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	revision := s.world.UUID()
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		p, ok := policies.Get(tx, r.key())
		if !ok {
			return lambda.ResourceNotFoundException("No policy is associated with the given resource.")
		}
		if err := p.remove(in.StatementId, in.RevisionId, revision); err != nil {
			return err
		}
		if len(p.Statements) == 0 {
			policies.Delete(tx, r.key())
			return nil
		}
		policies.Put(tx, r.key(), p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.RemovePermissionOutput{}, nil
}

// GetPolicy returns a function's resource policy.
func (s *Service) GetPolicy(ctx context.Context, in *lambda.GetPolicyInput) (*lambda.GetPolicyOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	out := &lambda.GetPolicyOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		p, ok := policies.Get(tx, r.key())
		if !ok {
			return lambda.ResourceNotFoundException("The resource you requested does not exist.")
		}
		out.Policy, out.RevisionId = new(p.document()), new(p.Revision)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
