package lambda

import (
	"context"
	"strings"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
)

// latest is the version that changes.
const latest = "$LATEST"

// reference is a function as a request names it.
type reference struct {
	account, region, name string
	qualifier             string // "" when none was given
}

// refer reads a function's name, partial or full ARN, the latter two with or without a qualifier.
func refer(ctx context.Context, name, qualifier string) (reference, error) {
	c := aws.CallFrom(ctx)
	r := reference{c.Account, c.Region, name, qualifier}
	f := strings.Split(name, ":")
	if f[0] == "arn" {
		if len(f) < 7 || len(f) > 8 || f[2] != "lambda" || f[5] != "function" {
			return r, lambda.InvalidParameterValueException("Invalid function ARN: %s", name)
		}
		if f[3] != c.Region {
			return r, lambda.ResourceNotFoundException("Functions from '%s' are not reachable in this region ('%s')", f[3], c.Region)
		}
		r.region = f[3]
		f = f[4:]
	}
	if len(f) >= 2 && f[1] == "function" {
		r.account, f = f[0], f[2:]
	} else if len(f) >= 2 && f[0] == "function" {
		f = f[1:]
	}
	if len(f) == 0 || len(f) > 2 || f[0] == "" {
		return r, lambda.InvalidParameterValueException("Invalid function name: %s", name)
	}
	r.name = f[0]
	if len(f) == 2 {
		if qualifier != "" && qualifier != f[1] {
			return r, lambda.InvalidParameterValueException("The derived qualifier from the function name does not match the specified qualifier.")
		}
		r.qualifier = f[1]
	}
	if len(r.name) > 64 {
		return r, lambda.ValidationException("1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64", r.name)
	}
	return r, nil
}

// unqualified is the function's ARN without version or alias.
func (r reference) unqualified() aws.ARN {
	return aws.MakeARN("lambda", r.region, r.account, "function:"+r.name)
}

// arn is the ARN the request means, with its qualifier if it has one.
func (r reference) arn() aws.ARN {
	if r.qualifier == "" {
		return r.unqualified()
	}
	return r.unqualified() + aws.ARN(":"+r.qualifier)
}

// at is another version or alias of the function; "" for none.
func (r reference) at(qualifier string) reference {
	r.qualifier = qualifier
	return r
}

// qualified is arn with $LATEST when no qualifier was given.
func (r reference) qualified() aws.ARN {
	if r.qualifier == "" {
		r.qualifier = latest
	}
	return r.arn()
}

// key is what settings that every qualifier has of its own are stored under.
func (r reference) key() store.Key {
	if r.qualifier == "" || r.qualifier == latest {
		return store.K(r.name)
	}
	return store.K(r.name, r.qualifier)
}

// alias reports whether the qualifier is an alias's name.
func (r reference) alias() bool {
	_, number := versionNumber(r.qualifier)
	return r.qualifier != "" && r.qualifier != latest && !number
}

// missing is the error of a function that is not there.
func (r reference) missing() error {
	return lambda.ResourceNotFoundException("Function not found: %s", r.arn())
}

// poolName is what the pool knows the function by.
func (r reference) poolName() string { return r.account + "/" + r.region + "/" + r.name }

// poolVersion is what the pool knows a version of it by.
func (r reference) poolVersion(f *function) string {
	if f.Version == "" {
		return r.poolName()
	}
	return r.poolName() + ":" + f.Version
}

func mappingARN(account, region, uuid string) aws.ARN {
	return aws.MakeARN("lambda", region, account, "event-source-mapping:"+uuid)
}

// after is the place in a table of qualifiers' settings where a list goes on: marker is "", or of a qualifier.
func (r reference) after(marker store.Key) store.Key {
	switch marker {
	case "":
		return ""
	case store.K(latest):
		return store.K(r.name)
	}
	return store.K(r.name) + marker
}

// qualifierOf reads a key that reference.key made.
func qualifierOf(key store.Key) (string, error) {
	var name, qualifier string
	if key.Parse(&name) == nil {
		return latest, nil
	}
	err := key.Parse(&name, &qualifier)
	return qualifier, err
}
