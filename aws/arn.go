package aws

import "strings"

// ARN is an Amazon Resource Name: arn:partition:service:region:account:resource.
type ARN string

// MakeARN builds an ARN in partition aws.
func MakeARN(service, region, account, resource string) ARN {
	return ARN("arn:aws:" + service + ":" + region + ":" + account + ":" + resource)
}

// Parts are the six fields of an ARN, the prefix left out.
type Parts struct {
	Partition, Service, Region, Account, Resource string
}

// Parse splits an ARN; ok is false when it does not have six fields beginning with "arn", or holds a zero
// byte, which divides the parts of stored keys.
func (a ARN) Parse() (p Parts, ok bool) {
	// Every request parses several; cutting leaves nothing for the collector.
	rest, ok := strings.CutPrefix(string(a), "arn:")
	for _, to := range [...]*string{&p.Partition, &p.Service, &p.Region, &p.Account} {
		var more bool
		*to, rest, more = strings.Cut(rest, ":")
		ok = ok && more
	}
	p.Resource = rest
	if !ok || p.Partition == "" || p.Service == "" || rest == "" || strings.IndexByte(string(a), 0) >= 0 {
		return Parts{}, false
	}
	return p, true
}

// Account returns the account field, or "" when a is not an ARN.
func (a ARN) Account() string { p, _ := a.Parse(); return p.Account }

// Region returns the region field, or "" when a is not an ARN.
func (a ARN) Region() string { p, _ := a.Parse(); return p.Region }

// Service returns the service field, or "" when a is not an ARN.
func (a ARN) Service() string { p, _ := a.Parse(); return p.Service }

// Resource returns the last field, or "" when a is not an ARN.
func (a ARN) Resource() string { p, _ := a.Parse(); return p.Resource }

// Name returns what follows the last "/" or ":" of the resource field.
func (a ARN) Name() string {
	r := a.Resource()
	return r[strings.LastIndexAny(r, "/:")+1:]
}
