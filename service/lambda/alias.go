package lambda

import (
	"context"
	"maps"

	"fogbank/api/lambda"
	"fogbank/store"
)

// alias is the stored record of an alias.
type alias struct {
	Name        string
	Version     string
	Description string
	Weights     map[string]float64 `json:",omitempty"` // of another version: the part of invocations it gets
	Revision    string
}

var (
	aliases = store.NewTable[alias]("lambda/alias", store.Regional)
	// decodedAliases are aliases as they are stored, kept decoded.
	decodedAliases = store.Derive(aliases, func(_ store.Key, a alias) (*alias, error) { return &a, nil })
)

// uses reports whether an alias sends invocations to a version.
func (a *alias) uses(version string) bool {
	_, also := a.Weights[version]
	return a.Version == version || also
}

// choose is the version for an invocation; draw is in [0, 1).
func (a *alias) choose(draw float64) string {
	for version, weight := range a.Weights { // one at most
		if draw < weight {
			return version
		}
	}
	return a.Version
}

// describe is a as the API shows it.
func (a *alias) describe(r reference) *lambda.AliasConfiguration {
	c := &lambda.AliasConfiguration{AliasArn: new(string(r.at(a.Name).arn())), Name: &a.Name, FunctionVersion: &a.Version,
		Description: &a.Description, RevisionId: &a.Revision}
	if len(a.Weights) > 0 {
		c.RoutingConfig = &lambda.AliasRoutingConfiguration{AdditionalVersionWeights: a.Weights}
	}
	return c
}

// check makes sure that the versions of an alias are there and its weights allowed.
// https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
func (a *alias) check(tx *store.Tx, r reference) error {
	if _, named := versionNumber(a.Version); !named && a.Version != latest {
		return lambda.InvalidParameterValueException("Function version must be $LATEST or the number of a version, not %s.", a.Version)
	}
	if _, err := find(tx, r.at(a.Version)); err != nil {
		return err
	}
	if len(a.Weights) > 1 {
		return lambda.InvalidParameterValueException("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for version, weight := range a.Weights {
		if version == a.Version {
			return lambda.InvalidParameterValueException("Invalid function version %s. Function version %s is already included in routing configuration.", version, version)
		}
		if a.Version == latest || version == latest {
			return lambda.InvalidParameterValueException("$LATEST is not supported for an alias pointing to more than 1 version")
		}
		if _, named := versionNumber(version); !named || weight < 0 || weight > 1 {
			return lambda.InvalidParameterValueException("Invalid value for AdditionalVersionWeights: {%s=%v}. The weight of a version is a number from 0 to 1.", version, weight)
		}
		if _, err := find(tx, r.at(version)); err != nil {
			return err
		}
	}
	return nil
}

// CreateAlias gives a version a name.
func (s *Service) CreateAlias(ctx context.Context, in *lambda.CreateAliasInput) (*lambda.CreateAliasOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	r.qualifier = ""
	a := alias{Name: in.Name, Version: in.FunctionVersion, Description: in.GetDescription(), Revision: s.world.UUID()}
	if in.RoutingConfig != nil {
		a.Weights = in.RoutingConfig.AdditionalVersionWeights
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		if aliases.Has(tx, store.K(r.name, a.Name)) {
			return lambda.ResourceConflictException("Alias already exists: %s", r.at(a.Name).arn())
		}
		if err := a.check(tx, r); err != nil {
			return err
		}
		aliases.Put(tx, store.K(r.name, a.Name), a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.describe(r), nil
}

// findAlias returns an alias.
func findAlias(tx *store.Tx, r reference, name string) (alias, error) {
	a, ok := aliases.Get(tx, store.K(r.name, name))
	if !ok {
		return a, lambda.ResourceNotFoundException("Cannot find alias arn: %s", r.at(name).arn())
	}
	return a, nil
}

// GetAlias describes an alias.
func (s *Service) GetAlias(ctx context.Context, in *lambda.GetAliasInput) (*lambda.GetAliasOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	var a alias
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		a, err = findAlias(tx, r, in.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.describe(r), nil
}

// UpdateAlias changes what the request names.
func (s *Service) UpdateAlias(ctx context.Context, in *lambda.UpdateAliasInput) (*lambda.UpdateAliasOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	r.qualifier = ""
	revision := s.world.UUID()
	var a alias
	err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if a, err = findAlias(tx, r, in.Name); err != nil {
			return err
		}
		if in.RevisionId != nil && *in.RevisionId != a.Revision {
			return staleRevision()
		}
		put(&a.Version, in.FunctionVersion)
		put(&a.Description, in.Description)
		if in.RoutingConfig != nil {
			a.Weights = maps.Clone(in.RoutingConfig.AdditionalVersionWeights)
		}
		a.Revision = revision
		if err := a.check(tx, r); err != nil {
			return err
		}
		aliases.Put(tx, store.K(r.name, a.Name), a)
		return moveProvision(tx, r.at(a.Name), &a)
	})
	if err != nil {
		return nil, err
	}
	return a.describe(r), nil
}

// DeleteAlias removes an alias with its policy and configuration; one that is not there is no error.
func (s *Service) DeleteAlias(ctx context.Context, in *lambda.DeleteAliasInput) (*lambda.DeleteAliasOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	r.qualifier = ""
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		aliases.Delete(tx, store.K(r.name, in.Name))
		r.at(in.Name).deleteConfigs(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteAliasOutput{}, nil
}

// ListAliases lists a function's aliases by name, those of one version when asked to.
func (s *Service) ListAliases(ctx context.Context, in *lambda.ListAliasesInput) (*lambda.ListAliasesOutput, error) {
	out := &lambda.ListAliasesOutput{}
	err := s.list(ctx, in.FunctionName, in.GetMarker(), in.GetMaxItems(), func(tx *store.Tx, r reference, after store.Key, limit int) error {
		out.Aliases, out.NextMarker = []lambda.AliasConfiguration{}, nil
		scan := store.Range{Prefix: store.K(r.name)}
		if after != "" {
			scan.After = store.K(r.name) + after
		}
		for _, a := range aliases.Scan(tx, scan) {
			if in.FunctionVersion != nil && !a.uses(*in.FunctionVersion) {
				continue
			}
			if len(out.Aliases) == limit {
				out.NextMarker = new(writeMarker(*out.Aliases[limit-1].Name))
				break
			}
			out.Aliases = append(out.Aliases, *a.describe(r))
		}
		return nil
	})
	return out, err
}
