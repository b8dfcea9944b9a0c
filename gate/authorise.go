package gate

import (
	"context"
	"fmt"
	"sync"

	"fogbank/aws"
	"fogbank/policy"
)

// unsigned are the operations that may come without a signature: what proves the caller is
// in their input, and the service checks it together with the role's trust policy.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
var unsigned = map[string]bool{
	"sts:AssumeRoleWithWebIdentity": true,
	"sts:AssumeRoleWithSAML":        true,
}

// bearer are the operations that may come without a signature because a secret in their input, which
// only their receiver has, stands for it: the links in SNS's messages. The service decides; a signed call
// needs a permission like any other.
// https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html
var bearer = map[string]bool{
	"sns:ConfirmSubscription": true,
	"sns:Unsubscribe":         true,
}

// free are the operations every proven caller may use; policies have no say in them.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
var free = map[string]bool{
	"sts:GetCallerIdentity": true,
	"sts:GetSessionToken":   true,
}

// everything is what an operation touches when its service names nothing.
var everything = []aws.Access{{Resource: "*"}}

// authorise asks policy about everything in touches. The context it returns is in the account
// of the resources, when they all belong to one.
func (g *Gate) authorise(ctx context.Context, rt *route, in any, rec *Record) (context.Context, error) {
	list, err := rt.impl.Access(ctx, rt.op, in)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		list = everything
	}
	anonymous := aws.CallFrom(ctx).Principal.Kind == aws.Anonymous
	ctx = moveToOwner(ctx, list, rec.InProcess || anonymous) // who does not sign names no region
	call := aws.CallFrom(ctx)
	rec.Account, rec.Region, rec.Resource = call.Account, call.Region, list[0].Resource
	if free[rt.op.Action] || unsigned[rt.op.Action] || anonymous && bearer[rt.op.Action] {
		rec.Decision = policy.Decision{Allowed: true, Reason: "no permission needed"}
		return ctx, nil
	}
	req := policy.Request{Principal: call.Principal, Call: call, Now: rec.At}
	if err := g.entitle(&req); err != nil {
		return nil, err
	}
	for i := range list {
		a := &list[i]
		req.Action, req.Resource, req.Keys = a.Action, a.Resource, a.Context
		if req.Action == "" {
			req.Action = rt.op.Action
		}
		if req.ResourcePolicy, err = rt.policy(ctx, call, a.Resource, &req); err != nil {
			return nil, err
		}
		d := policy.Evaluate(&req)
		rec.Decision = d
		if !d.Allowed {
			rec.Resource = a.Resource
			return nil, reject(denied, d.Message(&req))
		}
	}
	return ctx, nil
}

// moveToOwner returns ctx with the call in the account that owns everything in list, so that
// the operation works on the owner's data; in process, in the resources' region as well.
func moveToOwner(ctx context.Context, list []aws.Access, inProcess bool) context.Context {
	account, region := "", ""
	for i := range list {
		p, ok := list[i].Resource.Parse()
		if !ok || p.Account == "" {
			continue
		}
		if account != "" && account != p.Account {
			return ctx
		}
		account = p.Account
		switch {
		case p.Region == "":
		case region != "" && region != p.Region:
			inProcess = false
		default:
			region = p.Region
		}
	}
	call := aws.CallFrom(ctx)
	if account == "" || !isAccount(account) {
		account = call.Account
	}
	if region == "" || !inProcess || !isRegion(region) {
		region = call.Region
	}
	if account == call.Account && region == call.Region {
		return ctx
	}
	moved := *call
	moved.Account, moved.Region = account, region
	return aws.WithCall(ctx, &moved)
}

// isAccount reports whether s is a 12-digit account id; it becomes part of every stored key.
func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// entitle adds what the caller's own policies say. The account's root, services and strangers have none.
func (g *Gate) entitle(req *policy.Request) (err error) {
	p := &req.Principal
	switch p.Kind {
	case aws.Root, aws.ServicePrincipal, aws.Anonymous:
	default:
		if req.Identity, err = g.directory.Identity(g.lookup, *p); err != nil {
			return fmt.Errorf("policies of %s: %w", p.ARN, err)
		}
	}
	if len(p.SessionPolicies) > 0 {
		req.Session, err = g.sessions.parse(p.SessionPolicies)
	}
	return err
}

// policy returns the resource's own policy and notes who owns the resource.
func (rt *route) policy(ctx context.Context, call *aws.Call, resource aws.ARN, req *policy.Request) (*policy.Document, error) {
	p, ok := resource.Parse()
	req.ResourceAccount = p.Account
	if p.Account == "" {
		req.ResourceAccount = call.Account
	}
	if rt.guarded == nil || !ok {
		return nil, nil
	}
	if p.Region == "" {
		p.Region = call.Region
	}
	if req.ResourceAccount != call.Account || p.Region != call.Region {
		there := *call
		there.Account, there.Region = req.ResourceAccount, p.Region
		ctx = aws.WithCall(ctx, &there)
	}
	doc, err := rt.guarded.ResourcePolicy(ctx, resource)
	if err != nil {
		return nil, fmt.Errorf("policy of %s: %w", resource, err)
	}
	return doc, nil
}

// maxSessionPolicies bounds the cache of parsed session policies, of 2 KB each at most.
const maxSessionPolicies = 256

// sessionPolicies keeps the parsed form of policies that come with every call of a session.
// The zero value is ready.
type sessionPolicies struct {
	mu     sync.RWMutex
	parsed map[string]*policy.Document
}

func (s *sessionPolicies) parse(texts []string) ([]*policy.Document, error) {
	list := make([]*policy.Document, len(texts))
	for i, text := range texts {
		s.mu.RLock()
		doc := s.parsed[text]
		s.mu.RUnlock()
		if doc == nil {
			var err error
			if doc, err = policy.Parse(text); err != nil {
				return nil, fmt.Errorf("session policy: %w", err)
			}
			s.keep(text, doc)
		}
		list[i] = doc
	}
	return list, nil
}

func (s *sessionPolicies) keep(text string, doc *policy.Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed == nil || len(s.parsed) >= maxSessionPolicies {
		s.parsed = make(map[string]*policy.Document)
	}
	s.parsed[text] = doc
}
