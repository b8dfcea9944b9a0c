package policy

import (
	"strings"
)

// Use is what a policy is for; the grammar differs.
type Use uint8

// The uses of a policy.
const (
	IdentityPolicy Use = iota // attached to a user, group or role
	BoundaryPolicy            // a permissions boundary
	SessionPolicy             // passed to AssumeRole
	ResourcePolicy            // of a queue, a topic, a function
	TrustPolicy               // who may assume a role
)

// Check applies the grammar of a use. The error, an *Error, is in the words of
// MalformedPolicyDocument.
func (d *Document) Check(use Use) error {
	if len(d.statements) == 0 {
		return errSyntax
	}
	for i := range d.statements {
		s := &d.statements[i]
		if err := s.check(use); err != nil {
			return err
		}
	}
	return nil
}

func (s *statement) check(use Use) error {
	if use != ResourcePolicy && !alphanumeric(s.sid) {
		return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	}
	if len(s.actions) == 0 {
		return malformed("Policy statement must contain actions.")
	}
	for i := range s.actions {
		if err := checkAction(s.actions[i].source); err != nil {
			return err
		}
	}
	switch use {
	case TrustPolicy:
		return s.checkTrust()
	case ResourcePolicy:
		if s.principals == nil {
			return malformed("Missing required field Principal")
		}
		return nil
	}
	if s.principals != nil {
		return malformed("Policy document should not specify a principal.")
	}
	if len(s.resources) == 0 {
		return malformed("Policy statement must contain resources.")
	}
	for i := range s.resources {
		r := s.resources[i].source
		if r != "*" && !strings.HasPrefix(r, "arn:") && !strings.HasPrefix(r, "${") {
			return malformed(`Resource %s must be in ARN format or "*".`, r)
		}
	}
	return nil
}

func (s *statement) checkTrust() error {
	if s.principals == nil {
		return malformed("Missing required field Principal")
	}
	if s.hasResources {
		return malformed("Has prohibited field Resource")
	}
	if s.notActions {
		return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
	}
	for i := range s.actions {
		if !hasPrefix(s.actions[i].source, "sts:", true) {
			return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
		}
	}
	return nil
}

// checkAction requires "*" or a service prefix, a colon and a name.
func checkAction(a string) error {
	if a == "*" {
		return nil
	}
	vendor, name, ok := strings.Cut(a, ":")
	if !ok {
		return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	}
	if vendor == "" || strings.Trim(strings.ToLower(vendor), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return malformed("Vendor %s is not valid", printable(vendor))
	}
	if name == "" || strings.ContainsAny(name, ": ") {
		return malformed("Action names cannot be empty or contain colons or blanks: %s", printable(a))
	}
	return nil
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		c := lower(s[i])
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Principals returns the AWS principals a document names, as written but for
// accounts, which are ids; IAM refuses trust in principals that do not exist.
func (d *Document) Principals() []string {
	var list []string
	for i := range d.statements {
		if p := d.statements[i].principals; p != nil {
			list = append(append(list, p.accounts...), p.arns...)
		}
	}
	return list
}
