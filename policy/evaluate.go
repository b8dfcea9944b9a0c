package policy

import (
	"strings"
	"time"

	"fogbank/aws"
)

// Identity is what IAM grants a principal: the policies attached to it and to its groups.
type Identity struct {
	Policies []*Document
	// Boundary is the permissions boundary; nil means none, empty means one that allows nothing.
	Boundary []*Document
}

// Request is one action on one resource, to be decided.
type Request struct {
	Principal aws.Principal
	Action    string  // "sqs:SendMessage"
	Resource  aws.ARN // "*" where the action has none
	// ResourceAccount owns the resource; empty means the caller's own account, and so does
	// "aws", which owns what every account may use, such as the policies AWS manages.
	ResourceAccount string
	// Call gives aws:SourceIp and the like; nil outside any call.
	Call *aws.Call
	// Now gives aws:CurrentTime and aws:EpochTime.
	Now time.Time
	// Keys are condition keys of the service or the resource, spelled as AWS does, in any
	// case; they come before the global keys of the same name.
	Keys map[string][]string

	Identity Identity
	// Session are the policies given to AssumeRole and its kin; none means no narrowing.
	Session []*Document
	// ResourcePolicy is the policy of the resource, a role's trust policy included; nil when it has none.
	ResourcePolicy *Document
}

// Layer names one of the kinds of policy a decision is made from, in the words of AWS's messages.
type Layer string

// The layers.
const (
	IdentityLayer Layer = "identity-based policy"
	BoundaryLayer Layer = "permissions boundary"
	SessionLayer  Layer = "session policy"
	ResourceLayer Layer = "resource-based policy"
	TrustLayer    Layer = "role trust policy"
	RootLayer     Layer = "account root"
)

// Decision is the answer to a Request.
type Decision struct {
	Allowed bool
	// Explicit tells a denial by a Deny statement from one for want of an Allow.
	Explicit bool
	// Reason is the layer that granted, denied, or failed to allow.
	Reason Layer
	// Statement is the Sid or the place ("Statement[0]") of the deciding statement and Policy the
	// Name of its document; both are empty when no statement decided.
	Statement, Policy string
}

// found is what a layer says: the first Deny that applies, else the best Allow.
type found struct {
	deny, allow *statement
	grant       grant
}

// Evaluate decides r.
func Evaluate(r *Request) Decision {
	e := evaluation{r: r}
	trust := isTrust(r)
	resourceLayer := ResourceLayer
	if trust {
		resourceLayer = TrustLayer
	}
	var resource found
	if r.ResourcePolicy != nil {
		if e.scan(r.ResourcePolicy, true, &resource); resource.deny != nil {
			return denied(resourceLayer, resource.deny)
		}
	}
	identity := e.layer(r.Identity.Policies)
	boundary := e.layer(r.Identity.Boundary)
	session := e.layer(r.Session)
	switch {
	case identity.deny != nil:
		return denied(IdentityLayer, identity.deny)
	case boundary.deny != nil:
		return denied(BoundaryLayer, boundary.deny)
	case session.deny != nil:
		return denied(SessionLayer, session.deny)
	}

	own := r.ResourceAccount == "" || r.ResourceAccount == "aws" || r.ResourceAccount == r.Principal.Account
	switch r.Principal.Kind {
	case aws.Anonymous, aws.ServicePrincipal:
		// No identity policies: only the resource can grant.
		if resource.allow == nil {
			return Decision{Reason: resourceLayer}
		}
		return allowed(resourceLayer, resource.allow)
	case aws.Root:
		if own && !trust {
			return Decision{Allowed: true, Reason: RootLayer}
		}
	}
	if resource.allow == nil && (trust || !own) {
		return Decision{Reason: resourceLayer}
	}
	if own && resource.grant == directGrant || r.Principal.Kind == aws.Root {
		return allowed(resourceLayer, resource.allow)
	}
	if r.Identity.Boundary != nil && boundary.allow == nil {
		return Decision{Reason: BoundaryLayer}
	}
	if len(r.Session) > 0 && session.allow == nil {
		return Decision{Reason: SessionLayer}
	}
	if own && resource.grant == roleGrant {
		return allowed(resourceLayer, resource.allow)
	}
	if identity.allow == nil {
		return Decision{Reason: IdentityLayer}
	}
	return allowed(IdentityLayer, identity.allow)
}

// isTrust reports whether the resource policy is a role's trust policy that must agree: an sts action on a role.
func isTrust(r *Request) bool {
	if !hasPrefix(r.Action, "sts:", true) || !strings.HasPrefix(string(r.Resource), "arn:") {
		return false
	}
	p, ok := r.Resource.Parse()
	return ok && p.Service == "iam" && strings.HasPrefix(p.Resource, "role/")
}

func allowed(l Layer, s *statement) Decision {
	return Decision{Allowed: true, Reason: l, Statement: s.label, Policy: s.doc.Name}
}

func denied(l Layer, s *statement) Decision {
	return Decision{Explicit: true, Reason: l, Statement: s.label, Policy: s.doc.Name}
}

// layer scans documents that have no principals.
func (e *evaluation) layer(docs []*Document) (f found) {
	for _, d := range docs {
		if e.scan(d, false, &f); f.deny != nil {
			break
		}
	}
	return f
}

// scan adds what d says to f and stops at the first Deny that applies.
func (e *evaluation) scan(d *Document, ofResource bool, f *found) {
	for i := range d.statements {
		s := &d.statements[i]
		if !s.deny && f.grant == directGrant {
			continue
		}
		g := directGrant
		if ofResource {
			if s.principals == nil {
				continue
			}
			g = s.principals.match(&e.r.Principal, s.deny)
		}
		if g <= f.grant && !s.deny || g == noGrant || !e.applies(s, ofResource) {
			continue
		}
		if s.deny {
			f.deny = s
			return
		}
		f.allow, f.grant = s, g
	}
}

// applies reports whether the statement's action, resource and conditions fit the request.
func (e *evaluation) applies(s *statement, ofResource bool) bool {
	if matchAny(s.actions, e.r.Action, e) == s.notActions {
		return false
	}
	if s.hasResources {
		if matchAny(s.resources, string(e.r.Resource), e) == s.notResources {
			return false
		}
	} else if !ofResource {
		return false // only a policy on a resource may leave out which
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(e) {
			return false
		}
	}
	return true
}

func matchAny(ps []pattern, s string, e *evaluation) bool {
	for i := range ps {
		if ps[i].match(s, e) {
			return true
		}
	}
	return false
}

// Message returns the text of AWS's AccessDenied for a request refused by d.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func (d Decision) Message(r *Request) string {
	who := string(r.Principal.ARN)
	switch {
	case who == "":
		who = "anonymous"
	case r.Principal.Kind == aws.ServicePrincipal:
		return "Service: " + who + d.rest(r)
	}
	return "User: " + who + d.rest(r)
}

func (d Decision) rest(r *Request) string {
	s := " is not authorized to perform: " + r.Action
	if r.Resource != "" && r.Resource != "*" {
		s += " on resource: " + string(r.Resource)
	}
	if !d.Explicit {
		return s + " because no " + string(d.Reason) + " allows the " + r.Action + " action"
	}
	if d.Reason == IdentityLayer {
		return s + " with an explicit deny in an " + string(d.Reason)
	}
	return s + " with an explicit deny in a " + string(d.Reason)
}
