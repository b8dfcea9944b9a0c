package lambda

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/store"
)

// minUnreserved is the concurrency that stays for functions without a reservation.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
const minUnreserved = 100

// provision is the stored record of a provisioned concurrency configuration.
type provision struct {
	Count    int32
	Modified time.Time
}

var (
	// provisions are those of all tenants, by account, region, function and qualifier.
	provisions = store.NewTable[provision]("lambda/provision", store.Global)
	// claims is, in one row of a tenant, the concurrency reserved for functions and provisioned for those without a
	// reservation: it is read by every invocation.
	claims = store.NewTable[int32]("lambda/claim", store.Regional)
	// decodedClaims is kept decoded.
	decodedClaims = store.Derive(claims, func(_ store.Key, n int32) (int32, error) { return n, nil })
)

// claimKey is where claims has its row.
var claimKey = store.K("concurrency")

// provisionsTopic is woken when something provisioned may have to be started or closed.
const provisionsTopic = "lambda/provisions"

// limits are how many invocations may run at once, and in a chain.
type limits struct {
	reserved int // of the function; -1 when nothing is reserved for it
	shared   int // of all functions of the account and region that nothing is reserved or provisioned for
	// recursive is that loops of the function are allowed.
	recursive bool
}

// limits reads what bounds the invocations of a function.
func (s *Service) limits(ctx context.Context, r reference, f *function) (l limits, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if f.Version != "" { // what is reserved is reserved for all versions together
			if f, err = find(tx, r.at("")); err != nil {
				return err
			}
		}
		claimed, _, err := decodedClaims.Get(tx, claimKey)
		l = limits{-1, compute.DefaultMax - int(claimed), f.Recursive}
		if f.Reserved != nil {
			l.reserved = int(*f.Reserved)
		}
		return err
	})
	return l, err
}

// claim counts anew what is reserved and provisioned.
func claim(tx *store.Tx) {
	if n := claimedBut(tx, ""); n > 0 {
		claims.Put(tx, claimKey, n)
	} else {
		claims.Delete(tx, claimKey)
	}
}

// claimedBut is the concurrency reserved, and provisioned without a reservation, for functions other than one.
func claimedBut(tx *store.Tx, other string) (sum int32) {
	reserved := map[string]bool{}
	for _, f := range functions.All(tx, "") {
		if f.Reserved == nil {
			continue
		}
		reserved[f.Name] = true
		if f.Name != other {
			sum += *f.Reserved
		}
	}
	for r, p := range provisionsOf(tx, tx.Account(), tx.Region()) {
		if r.name != other && !reserved[r.name] {
			sum += p.Count
		}
	}
	return sum
}

// provisionsOf yields the configurations below an account, a region, a function, as far as these are given.
func provisionsOf(tx *store.Tx, parts ...string) iter.Seq2[reference, provision] {
	return func(yield func(reference, provision) bool) {
		for key, p := range provisions.All(tx, provisionKey(parts...)) {
			var r reference
			if key.Parse(&r.account, &r.region, &r.name, &r.qualifier) == nil && !yield(r, p) {
				return
			}
		}
	}
}

func provisionKey(parts ...string) store.Key {
	var key store.Key
	for _, part := range parts {
		key += store.K(part)
	}
	return key
}

// provisionKey is where the configuration of a version or alias is stored.
func (r reference) provisionKey() store.Key {
	return provisionKey(r.account, r.region, r.name, r.qualifier)
}

// deleteProvisions removes the configurations below an account, a region, a function, a qualifier, and reports whether
// there were any.
func deleteProvisions(tx *store.Tx, parts ...string) (any bool) {
	for key := range provisions.Keys(tx, store.Range{Prefix: provisionKey(parts...)}) {
		provisions.Delete(tx, key)
		any = true
	}
	if any {
		tx.Wake(provisionsTopic)
	}
	return any
}

// deleteProvision removes the configuration of a version or alias.
func (r reference) deleteProvision(tx *store.Tx) {
	if deleteProvisions(tx, r.account, r.region, r.name, r.qualifier) {
		claim(tx)
	}
}

// provisionedFor is the concurrency provisioned for a function's versions and aliases, but one.
func provisionedFor(tx *store.Tx, r reference, but string) (sum int32) {
	for other, p := range provisionsOf(tx, r.account, r.region, r.name) {
		if other.qualifier != but {
			sum += p.Count
		}
	}
	return sum
}

// PutFunctionConcurrency reserves concurrency for a function, which is also its limit.
func (s *Service) PutFunctionConcurrency(ctx context.Context, in *lambda.PutFunctionConcurrencyInput) (*lambda.PutFunctionConcurrencyOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	n := in.ReservedConcurrentExecutions
	_, err = s.change(ctx, r, nil, func(tx *store.Tx, f *function) error {
		if n+claimedBut(tx, f.Name) > compute.DefaultMax-minUnreserved {
			return lambda.InvalidParameterValueException("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", minUnreserved)
		}
		if provisioned := provisionedFor(tx, r, ""); n < provisioned {
			return lambda.InvalidParameterValueException("ReservedConcurrentExecutions %d should not be lower than function's total provisioned concurrency [%d].", n, provisioned)
		}
		f.Reserved = &n
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.PutFunctionConcurrencyOutput{ReservedConcurrentExecutions: &n}, nil
}

// GetFunctionConcurrency tells what is reserved for a function.
func (s *Service) GetFunctionConcurrency(ctx context.Context, in *lambda.GetFunctionConcurrencyInput) (*lambda.GetFunctionConcurrencyOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	return &lambda.GetFunctionConcurrencyOutput{ReservedConcurrentExecutions: f.Reserved}, nil
}

// DeleteFunctionConcurrency gives the reservation back.
func (s *Service) DeleteFunctionConcurrency(ctx context.Context, in *lambda.DeleteFunctionConcurrencyInput) (*lambda.DeleteFunctionConcurrencyOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, r, nil, func(_ *store.Tx, f *function) error {
		f.Reserved = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteFunctionConcurrencyOutput{}, nil
}

// referProvision is refer for what only published versions and aliases have.
func referProvision(ctx context.Context, name, qualifier string) (reference, error) {
	r, err := refer(ctx, name, qualifier)
	if err == nil && (r.qualifier == "" || r.qualifier == latest) {
		err = unpublished()
	}
	return r, err
}

func unpublished() error {
	return lambda.InvalidParameterValueException("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
}

// PutProvisionedConcurrencyConfig asks for environments that are kept ready for a version or alias.
func (s *Service) PutProvisionedConcurrencyConfig(ctx context.Context, in *lambda.PutProvisionedConcurrencyConfigInput) (*lambda.PutProvisionedConcurrencyConfigOutput, error) {
	r, err := referProvision(ctx, in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	p := provision{in.ProvisionedConcurrentExecutions, s.world.Now()}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := p.check(tx, r); err != nil {
			return err
		}
		provisions.Put(tx, r.provisionKey(), p)
		claim(tx)
		tx.Wake(provisionsTopic)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.PutProvisionedConcurrencyConfigOutput{RequestedProvisionedConcurrentExecutions: &p.Count,
		AvailableProvisionedConcurrentExecutions: new(int32(0)), AllocatedProvisionedConcurrentExecutions: new(int32(0)),
		Status: new(lambda.ProvisionedConcurrencyStatusEnumInProgress), LastModified: new(p.modified())}, nil
}

// check makes sure that what is asked for can be had.
func (p provision) check(tx *store.Tx, r reference) error {
	if r.alias() {
		a, err := findAlias(tx, r, r.qualifier)
		if err != nil {
			return err
		}
		if err := a.checkProvision(tx, r); err != nil {
			return err
		}
	} else {
		if _, err := find(tx, r); err != nil {
			return err
		}
		for _, a := range aliases.All(tx, store.K(r.name)) {
			if a.uses(r.qualifier) && provisions.Has(tx, r.at(a.Name).provisionKey()) {
				return lambda.ResourceConflictException("Version is pointed by a Provisioned Concurrency alias")
			}
		}
	}
	f, err := find(tx, r.at(""))
	if err != nil {
		return err
	}
	if f.Dir != "" {
		return lambda.InvalidParameterValueException("Provisioned Concurrency is not supported for functions with hot reload.")
	}
	sum := p.Count + provisionedFor(tx, r, r.qualifier)
	if f.Reserved != nil {
		if sum > *f.Reserved {
			return lambda.InvalidParameterValueException("Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function")
		}
		return nil
	}
	left := compute.DefaultMax - claimedBut(tx, r.name)
	switch {
	case sum > left:
		return lambda.InvalidParameterValueException("Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [%d].", left)
	case sum > left-minUnreserved:
		return lambda.InvalidParameterValueException("Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", minUnreserved)
	}
	return nil
}

// checkProvision makes sure that something may be provisioned for an alias.
func (a *alias) checkProvision(tx *store.Tx, r reference) error {
	if a.Version == latest {
		return unpublished()
	}
	for _, version := range append(slices.Collect(maps.Keys(a.Weights)), a.Version) {
		if provisions.Has(tx, r.at(version).provisionKey()) {
			return lambda.ResourceConflictException("Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
		}
	}
	return nil
}

// moveProvision takes what is provisioned for an alias to the versions it has now.
func moveProvision(tx *store.Tx, r reference, a *alias) error {
	if !provisions.Has(tx, r.provisionKey()) {
		return nil
	}
	tx.Wake(provisionsTopic)
	return a.checkProvision(tx, r)
}

// modified is when the configuration was put, as the API shows it.
func (p provision) modified() string { return p.Modified.Format("2006-01-02T15:04:05-0700") }

// provisioned is how far a configuration has come.
type provisioned struct {
	ready  int32
	status string
	reason *string
}

// progress asks the pool how far a configuration has come.
func (s *Service) progress(tx *store.Tx, r reference, p provision) (provisioned, error) {
	parts, err := p.split(tx, r)
	if err != nil {
		return provisioned{}, err
	}
	now := provisioned{status: lambda.ProvisionedConcurrencyStatusEnumInProgress}
	for f, n := range parts {
		got := s.o.Pool.Provisioned(r.poolVersion(f))
		now.ready += min(int32(got.Ready), n)
		if got.Fault != "" {
			now.status, now.reason = lambda.ProvisionedConcurrencyStatusEnumFailed, new("FUNCTION_ERROR_INIT_FAILURE")
		}
	}
	if now.ready == p.Count {
		now.status, now.reason = lambda.ProvisionedConcurrencyStatusEnumReady, nil
	}
	return now, nil
}

// split is how many environments of each version a configuration keeps: an alias with two versions shares them out by
// weight.
func (p provision) split(tx *store.Tx, r reference) (map[*function]int32, error) {
	parts := map[*function]int32{}
	add := func(version string, n int32) error {
		f, err := find(tx, r.at(version))
		if err == nil && n > 0 {
			parts[f] = n
		}
		return err
	}
	if !r.alias() {
		return parts, add(r.qualifier, p.Count)
	}
	a, err := findAlias(tx, r, r.qualifier)
	if err != nil {
		return nil, err
	}
	rest := p.Count
	for version, weight := range a.Weights { // one at most
		n := int32(float64(p.Count)*weight + 0.5)
		rest -= n
		if err := add(version, n); err != nil {
			return nil, err
		}
	}
	return parts, add(a.Version, rest)
}

// GetProvisionedConcurrencyConfig tells how far a configuration has come.
func (s *Service) GetProvisionedConcurrencyConfig(ctx context.Context, in *lambda.GetProvisionedConcurrencyConfigInput) (*lambda.GetProvisionedConcurrencyConfigOutput, error) {
	r, err := referProvision(ctx, in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	var p provision
	var now provisioned
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		if err := r.exists(tx); err != nil {
			return err
		}
		var ok bool
		if p, ok = provisions.Get(tx, r.provisionKey()); !ok {
			return lambda.ProvisionedConcurrencyConfigNotFoundException("No Provisioned Concurrency Config found for this function")
		}
		now, err = s.progress(tx, r, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &lambda.GetProvisionedConcurrencyConfigOutput{RequestedProvisionedConcurrentExecutions: &p.Count,
		AvailableProvisionedConcurrentExecutions: &now.ready, AllocatedProvisionedConcurrentExecutions: &now.ready,
		Status: &now.status, StatusReason: now.reason, LastModified: new(p.modified())}, nil
}

// exists makes sure that a version or alias is there.
func (r reference) exists(tx *store.Tx) error {
	if r.alias() {
		_, err := findAlias(tx, r, r.qualifier)
		return err
	}
	_, err := find(tx, r)
	return err
}

// DeleteProvisionedConcurrencyConfig ends a configuration; one that is not there is no error.
func (s *Service) DeleteProvisionedConcurrencyConfig(ctx context.Context, in *lambda.DeleteProvisionedConcurrencyConfigInput) (*lambda.DeleteProvisionedConcurrencyConfigOutput, error) {
	r, err := referProvision(ctx, in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := r.exists(tx); err != nil {
			return err
		}
		r.deleteProvision(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteProvisionedConcurrencyConfigOutput{}, nil
}

// ListProvisionedConcurrencyConfigs lists those of a function by qualifier.
func (s *Service) ListProvisionedConcurrencyConfigs(ctx context.Context, in *lambda.ListProvisionedConcurrencyConfigsInput) (*lambda.ListProvisionedConcurrencyConfigsOutput, error) {
	out := &lambda.ListProvisionedConcurrencyConfigsOutput{}
	err := s.list(ctx, in.FunctionName, in.GetMarker(), in.GetMaxItems(), func(tx *store.Tx, r reference, after store.Key, limit int) error {
		out.ProvisionedConcurrencyConfigs, out.NextMarker = []lambda.ProvisionedConcurrencyConfigListItem{}, nil
		last := ""
		for at, p := range provisionsOf(tx, r.account, r.region, r.name) {
			if after != "" && store.K(at.qualifier) <= after {
				continue
			}
			if len(out.ProvisionedConcurrencyConfigs) == limit {
				out.NextMarker = new(writeMarker(last))
				break
			}
			now, err := s.progress(tx, at, p)
			if err != nil {
				return err
			}
			last = at.qualifier
			out.ProvisionedConcurrencyConfigs = append(out.ProvisionedConcurrencyConfigs, lambda.ProvisionedConcurrencyConfigListItem{
				FunctionArn: new(string(at.arn())), RequestedProvisionedConcurrentExecutions: &p.Count,
				AvailableProvisionedConcurrentExecutions: &now.ready, AllocatedProvisionedConcurrentExecutions: &now.ready,
				Status: &now.status, StatusReason: now.reason, LastModified: new(p.modified())})
		}
		return nil
	})
	return out, err
}

// superviseProvisions keeps the pool informed of what is to be kept ready, until the world stops.
func (s *Service) superviseProvisions(ctx context.Context) {
	watch := s.db.Watch(provisionsTopic)
	defer watch.Close()
	asked := map[string]compute.Provision{}
	for ctx.Err() == nil {
		changed := watch.Changed()
		wanted, err := s.wantedProvisions(ctx)
		if err != nil {
			s.world.Wait(ctx, changed, time.Second)
			continue
		}
		for name := range asked {
			if _, ok := wanted[name]; !ok {
				s.o.Pool.Provision(compute.Provision{Function: name})
			}
		}
		for name, want := range wanted {
			if have, ok := asked[name]; !ok || have.Count != want.Count || have.Revision != want.Revision {
				s.o.Pool.Provision(want)
			}
		}
		asked = wanted
		s.world.Wait(ctx, changed, 1000*time.Hour)
	}
}

// wantedProvisions reads what is to be kept ready, by the pool's name of the version.
func (s *Service) wantedProvisions(ctx context.Context) (wanted map[string]compute.Provision, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		wanted = map[string]compute.Provision{}
		for r, p := range provisionsOf(tx) {
			parts, err := p.split(tx.In(r.account, r.region), r)
			if err != nil {
				continue // it goes in the same transaction as what it belongs to
			}
			for f, n := range parts {
				name := r.poolVersion(f)
				want := compute.Provision{Function: name, Revision: f.Environment, Count: wanted[name].Count + int(n)}
				want.Spec = func(ctx context.Context) (compute.Spec, error) {
					return s.spec(aws.WithCall(ctx, &aws.Call{Account: r.account, Region: r.region}), r, f, "")
				}
				wanted[name] = want
			}
		}
		return nil
	})
	return wanted, err
}
