package policy

import (
	"strconv"
	"strings"
	"time"

	"fogbank/aws"
)

// evaluation is the scratch of one decision.
type evaluation struct {
	r   *Request
	one [1]string // backs the answer of values for keys with one value
}

// values returns the values of a condition key, named in lower case, valid
// until the next call. Keys given with the request come first, then the global
// keys AWS defines for every request.
func (e *evaluation) values(key string) ([]string, bool) {
	if list, ok := e.given(key); ok {
		return list, true
	}
	v, ok := e.global(key)
	if !ok {
		return nil, false
	}
	e.one[0] = v
	return e.one[:], true
}

// given looks in the request's own keys, whose names are spelled as AWS spells them.
func (e *evaluation) given(key string) ([]string, bool) {
	for k, list := range e.r.Keys {
		if len(k) == len(key) && hasPrefix(k, key, true) {
			return list, true
		}
	}
	return nil, false
}

// variable returns the value of a policy variable: that of a key with exactly one value, else the default.
func (e *evaluation) variable(t *token) (string, bool) {
	if list, ok := e.given(t.text); ok {
		if len(list) == 1 {
			return list[0], true
		}
	} else if v, ok := e.global(t.text); ok {
		return v, true
	}
	return t.fallback, t.defaults
}

// global returns a global condition key of one value.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (e *evaluation) global(key string) (string, bool) {
	name, ok := strings.CutPrefix(key, "aws:")
	if !ok {
		return "", false
	}
	if v, ok := principalKey(&e.r.Principal, name); ok {
		return v, true
	}
	switch name {
	case "currenttime":
		return e.r.Now.UTC().Format(time.RFC3339), !e.r.Now.IsZero()
	case "epochtime":
		return strconv.FormatInt(e.r.Now.Unix(), 10), !e.r.Now.IsZero()
	case "resourceaccount":
		return e.r.ResourceAccount, e.r.ResourceAccount != ""
	}
	if e.r.Call == nil {
		return "", false
	}
	return callKey(e.r.Call, name)
}

// principalKey returns a key that follows from who calls.
func principalKey(p *aws.Principal, name string) (string, bool) {
	switch name {
	case "principalarn":
		if p.Kind == aws.AssumedRole {
			return string(p.Role), p.Role != ""
		}
		return string(p.ARN), p.Kind != aws.Anonymous && p.Kind != aws.ServicePrincipal
	case "principalaccount":
		return p.Account, p.Account != ""
	case "principaltype":
		t := principalTypes[p.Kind]
		return t, t != ""
	case "userid":
		if p.Kind == aws.Anonymous {
			return "anonymous", true
		}
		return p.UserID, p.UserID != ""
	case "username":
		return p.ARN.Name(), p.Kind == aws.User
	case "principalisawsservice":
		return strconv.FormatBool(p.Kind == aws.ServicePrincipal), true
	case "principalservicename", "principalservicenameslist":
		return string(p.ARN), p.Kind == aws.ServicePrincipal
	case "viaawsservice":
		return "false", true
	case "multifactorauthpresent":
		return "false", strings.HasPrefix(p.Key, "ASIA")
	}
	if tag, ok := strings.CutPrefix(name, "principaltag/"); ok {
		for k, v := range p.Tags {
			if strings.EqualFold(k, tag) {
				return v, true
			}
		}
	}
	return "", false
}

// principalTypes are the values of aws:PrincipalType by kind; a service has none.
var principalTypes = [...]string{
	aws.Anonymous: "Anonymous", aws.Root: "Account", aws.User: "User",
	aws.AssumedRole: "AssumedRole", aws.FederatedUser: "FederatedUser", aws.ServicePrincipal: "",
}

// callKey returns a key that follows from how and where the call is made.
func callKey(c *aws.Call, name string) (string, bool) {
	switch name {
	case "sourceip":
		if !c.SourceIP.IsValid() {
			return "", false
		}
		return c.SourceIP.Unmap().String(), true
	case "securetransport":
		return strconv.FormatBool(c.Secure), true
	case "useragent":
		return c.UserAgent, c.UserAgent != ""
	case "sourcearn":
		return string(c.SourceARN), c.SourceARN != ""
	case "sourceaccount":
		return c.SourceAccount, c.SourceAccount != ""
	case "requestedregion":
		return c.Region, c.Region != ""
	}
	return "", false
}
