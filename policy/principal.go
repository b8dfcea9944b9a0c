package policy

import (
	"strings"

	"fogbank/aws"
)

// grant tells how closely a Principal element names the caller: the closer, the
// less the caller's own policies matter.
type grant uint8

const (
	noGrant      grant = iota
	accountGrant       // the caller's account: its identity policies must grant too
	roleGrant          // the role behind a session: boundary and session policies still narrow
	directGrant        // the user, the session, the service or everybody
)

// principals is a compiled Principal or NotPrincipal element.
type principals struct {
	not      bool
	everyone bool     // "*" or {"AWS": "*"}
	accounts []string // account ids, of root ARNs as well
	arns     []string // users, roles, sessions
	ids      []string // AIDA… and AROA…: what is left of a principal that was deleted
	services []string
	// others are Federated and CanonicalUser principals, as "Federated:…"; no caller has one yet.
	others []string
}

func readPrincipals(v any, not bool) (*principals, error) {
	p := &principals{not: not}
	if v == "*" {
		p.everyone = true
		return p, nil
	}
	o, ok := v.(object)
	if !ok || len(o) == 0 {
		return nil, errSyntax
	}
	for _, m := range o {
		list, err := texts(m.value)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errSyntax
		}
		for _, s := range list {
			if err := p.add(m.name, s); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *principals) add(kind, s string) error {
	switch kind {
	case "Service":
		p.services = append(p.services, s)
		return nil
	case "Federated", "CanonicalUser":
		p.others = append(p.others, kind+":"+s)
		return nil
	case "AWS":
	default:
		return errSyntax
	}
	switch {
	case s == "*":
		p.everyone = true
	case isAccount(s):
		p.accounts = append(p.accounts, s)
	case strings.HasPrefix(s, "arn:"):
		parts, ok := aws.ARN(s).Parse()
		switch {
		case !ok || parts.Service != "iam" && parts.Service != "sts" || !isAccount(parts.Account) || strings.ContainsAny(s, "*?"):
			return malformed(`Invalid principal in policy: "AWS":"%s"`, s)
		case parts.Service == "iam" && parts.Resource == "root":
			p.accounts = append(p.accounts, parts.Account)
		default:
			p.arns = append(p.arns, s)
		}
	case isUniqueID(s):
		p.ids = append(p.ids, s)
	default:
		return malformed(`Invalid principal in policy: "AWS":"%s"`, s)
	}
	return nil
}

// isAccount reports whether s is a 12-digit account id.
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

// isUniqueID reports whether s looks like the unique id of a user or role.
func isUniqueID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && (strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA"))
}

// match returns how closely the element names p for an Allow; for a Deny anything but noGrant applies.
func (ps *principals) match(p *aws.Principal, deny bool) grant {
	if ps.not {
		if ps.exempts(p, deny) {
			return noGrant
		}
		return everyoneGrant(p)
	}
	switch {
	case p.Kind == aws.ServicePrincipal:
		if ps.everyone || contains(ps.services, string(p.ARN)) {
			return directGrant
		}
		return noGrant
	case p.Kind == aws.Anonymous:
		if ps.everyone {
			return directGrant
		}
		return noGrant
	case p.ARN != "" && contains(ps.arns, string(p.ARN)), contains(ps.ids, p.UserID):
		return directGrant
	case p.Role != "" && contains(ps.arns, string(p.Role)), ps.namesRoleID(p):
		return roleGrant
	case ps.everyone:
		return everyoneGrant(p)
	case contains(ps.accounts, p.Account):
		if p.Kind == aws.Root {
			return directGrant
		}
		return accountGrant
	}
	return noGrant
}

func everyoneGrant(p *aws.Principal) grant {
	if p.Kind == aws.AssumedRole {
		return roleGrant
	}
	return directGrant
}

// namesRoleID reports whether the element holds the unique id of the role behind a session.
func (ps *principals) namesRoleID(p *aws.Principal) bool {
	if len(ps.ids) == 0 || p.Kind != aws.AssumedRole {
		return false
	}
	id, _, _ := strings.Cut(p.UserID, ":")
	return contains(ps.ids, id)
}

// exempts reports whether a NotPrincipal element leaves p out. AWS looks at the
// account, then the role, then the user or session: a Deny spares only those of whom
// every part is listed, an Allow passes over those of whom any is.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
func (ps *principals) exempts(p *aws.Principal, deny bool) bool {
	if ps.everyone {
		return true
	}
	switch p.Kind {
	case aws.Anonymous:
		return false
	case aws.ServicePrincipal:
		return contains(ps.services, string(p.ARN))
	case aws.Root:
		return contains(ps.accounts, p.Account)
	}
	account := contains(ps.accounts, p.Account)
	self := contains(ps.arns, string(p.ARN)) || contains(ps.ids, p.UserID)
	role := p.Role == "" || contains(ps.arns, string(p.Role)) || ps.namesRoleID(p)
	if deny {
		return account && self && role
	}
	return account || self || p.Role != "" && role
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
