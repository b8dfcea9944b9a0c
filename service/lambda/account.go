package lambda

import (
	"context"

	"fogbank/api/lambda"
	"fogbank/compute"
	"fogbank/store"
)

// Limits of an account and region.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	maxCode   = 75 << 30 // bytes of packages; told, not enforced
	maxZipped = 50 << 20
)

// GetAccountSettings tells an account's limits in the region and how much of them is used.
func (s *Service) GetAccountSettings(ctx context.Context, _ *lambda.GetAccountSettingsInput) (*lambda.GetAccountSettingsOutput, error) {
	var size, count int64
	claimed := int32(0)
	err := s.db.View(ctx, func(tx *store.Tx) error {
		size, count, claimed = 0, 0, claimedBut(tx, "")
		for f := range listed(tx, "", true) {
			size += f.PackageBytes
			if f.Version == "" {
				count++
			}
		}
		for _, l := range layers.All(tx, "") {
			size += l.PackageBytes
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.GetAccountSettingsOutput{
		AccountLimit: &lambda.AccountLimit{TotalCodeSize: new(int64(maxCode)), CodeSizeUnzipped: new(int64(compute.MaxUnzipped)), CodeSizeZipped: new(int64(maxZipped)),
			ConcurrentExecutions: new(int32(compute.DefaultMax)), UnreservedConcurrentExecutions: new(compute.DefaultMax - claimed)},
		AccountUsage: &lambda.AccountUsage{TotalCodeSize: &size, FunctionCount: &count},
	}, nil
}

// PutRuntimeManagementConfig says when a function or version changes to a newer runtime. The runtimes here
// are those of the host, whatever is said.
func (s *Service) PutRuntimeManagementConfig(ctx context.Context, in *lambda.PutRuntimeManagementConfigInput) (*lambda.PutRuntimeManagementConfigOutput, error) {
	r, err := referVersion(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	manual := in.UpdateRuntimeOn == lambda.UpdateRuntimeOnManual
	if manual != (in.GetRuntimeVersionArn() != "") {
		return nil, lambda.InvalidParameterValueException("RuntimeVersionArn must be given when UpdateRuntimeOn is Manual, and only then.")
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		have, err := find(tx, r)
		if err != nil {
			return err
		}
		f := *have
		f.RuntimeUpdate, f.RuntimeARN = in.UpdateRuntimeOn, in.GetRuntimeVersionArn()
		f.save(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.PutRuntimeManagementConfigOutput{UpdateRuntimeOn: in.UpdateRuntimeOn, FunctionArn: string(r.arn()), RuntimeVersionArn: in.RuntimeVersionArn}, nil
}

// referVersion is refer for what only $LATEST and versions have.
func referVersion(ctx context.Context, name, qualifier string) (reference, error) {
	r, err := refer(ctx, name, qualifier)
	if err == nil && r.alias() {
		err = lambda.InvalidParameterValueException("The qualifier must be $LATEST or the number of a version, not %s.", r.qualifier)
	}
	return r, err
}

// GetRuntimeManagementConfig tells when a function or version changes to a newer runtime.
func (s *Service) GetRuntimeManagementConfig(ctx context.Context, in *lambda.GetRuntimeManagementConfigInput) (*lambda.GetRuntimeManagementConfigOutput, error) {
	r, err := referVersion(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	out := &lambda.GetRuntimeManagementConfigOutput{UpdateRuntimeOn: new(lambda.UpdateRuntimeOnAuto), FunctionArn: new(string(r.arn()))}
	if f.RuntimeUpdate != "" {
		out.UpdateRuntimeOn = &f.RuntimeUpdate
	}
	if f.RuntimeARN != "" {
		out.RuntimeVersionArn = &f.RuntimeARN
	}
	return out, nil
}

// GetFunctionCodeSigningConfig tells that a function has none.
func (s *Service) GetFunctionCodeSigningConfig(ctx context.Context, in *lambda.GetFunctionCodeSigningConfigInput) (*lambda.GetFunctionCodeSigningConfigOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	if _, err := s.load(ctx, r); err != nil {
		return nil, err
	}
	return &lambda.GetFunctionCodeSigningConfigOutput{FunctionName: r.name}, nil
}

// ListCodeSigningConfigs lists none: code signing is refused.
func (s *Service) ListCodeSigningConfigs(context.Context, *lambda.ListCodeSigningConfigsInput) (*lambda.ListCodeSigningConfigsOutput, error) {
	return &lambda.ListCodeSigningConfigsOutput{CodeSigningConfigs: []lambda.CodeSigningConfig{}}, nil
}
