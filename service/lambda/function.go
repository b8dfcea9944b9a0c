package lambda

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/source"
	"fogbank/store"
)

// function is the stored record of a function.
type function struct {
	Name          string
	Runtime       string
	Role          string
	Handler       string
	Description   string
	Timeout       int32 // seconds
	MemoryMB      int32
	TmpMB         int32
	Variables     map[string]string
	Package       string // hexadecimal SHA-256
	PackageBytes  int64
	Architectures []string
	DeadLetter    string // ARN of a queue or topic, or ""
	Tracing       string
	LogGroup      string // "" for /aws/lambda/NAME
	Modified      time.Time
	Revision      string
	// Environment is drawn anew whenever environments of before must not be used any more.
	Environment string
	Tags        map[string]string
	Reserved    *int32 // concurrency
}

var (
	functions = store.NewTable[function]("lambda/function", store.Regional)
	packages  = store.NewTable[struct{}]("lambda/package", store.Global)
	// decoded are functions as they are stored, kept decoded.
	decoded = store.Derive(functions, func(_ store.Key, f function) (*function, error) { return &f, nil })
)

// Defaults and limits of a function.
const (
	defaultTimeout = 3   // seconds
	defaultMemory  = 128 // MB
	defaultTmp     = 512 // MB
	maxTimeout     = 900 // seconds
	maxVariables   = 4096
	maxTags        = 50
	modifiedForm   = "2006-01-02T15:04:05.000-0700"
)

// find returns the function a request means; nobody may change it.
func find(tx *store.Tx, r reference) (*function, error) {
	if r.qualifier != "" && r.qualifier != latest {
		return nil, r.missing()
	}
	f, ok, err := decoded.Get(tx, store.K(r.name))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, r.missing()
	}
	return f, nil
}

// load is find in a transaction of its own.
func (s *Service) load(ctx context.Context, r reference) (f *function, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		f, err = find(tx, r)
		return err
	})
	return f, err
}

// logGroup is where the function's output goes.
func (f *function) logGroup() string {
	if f.LogGroup != "" {
		return f.LogGroup
	}
	return "/aws/lambda/" + f.Name
}

// CreateFunction makes a function from a zip file.
func (s *Service) CreateFunction(ctx context.Context, in *lambda.CreateFunctionInput) (*lambda.CreateFunctionOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	f, err := s.draft(r.name, in)
	if err != nil {
		return nil, err
	}
	if err := s.checkRole(ctx, f.Role); err != nil {
		return nil, err
	}
	if err := s.putCode(f, in.Code.ZipFile); err != nil {
		return nil, err
	}
	f.touch(s)
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if functions.Has(tx, store.K(r.name)) {
			return lambda.ResourceConflictException("Function already exist: %s", r.name)
		}
		f.save(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f.describe(r), nil
}

// draft checks a request to create a function and returns it without its code.
func (s *Service) draft(name string, in *lambda.CreateFunctionInput) (*function, error) {
	if err := refuseUnwritten(in); err != nil {
		return nil, err
	}
	if in.Runtime == nil || in.Handler == nil {
		return nil, lambda.InvalidParameterValueException("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	f := &function{Name: name, Role: in.Role, Timeout: defaultTimeout, MemoryMB: defaultMemory, TmpMB: defaultTmp,
		Architectures: []string{lambda.ArchitectureX8664}, Tracing: "PassThrough", Tags: in.Tags}
	if len(in.Tags) > maxTags {
		return nil, lambda.InvalidParameterValueException("Tags limit exceeded. Maximum number of tags allowed: %d", maxTags)
	}
	if len(in.Architectures) > 0 {
		f.Architectures = in.Architectures
	}
	set := settings{
		runtime: in.Runtime, handler: in.Handler, description: in.Description, timeout: in.Timeout, memory: in.MemorySize,
		environment: in.Environment, tmp: in.EphemeralStorage, deadLetter: in.DeadLetterConfig, tracing: in.TracingConfig,
		logging: in.LoggingConfig,
	}
	if err := s.check(set); err != nil {
		return nil, err
	}
	set.apply(f)
	return f, nil
}

// refuseUnwritten answers honestly to what is not there yet.
func refuseUnwritten(in *lambda.CreateFunctionInput) error {
	switch {
	case in.GetPackageType() == lambda.PackageTypeImage || in.Code.ImageUri != nil:
		return unwritten("functions from container images")
	case in.Code.S3Bucket != nil || in.Code.S3Key != nil:
		return unwritten("code from S3; pass the zip file itself as Code.ZipFile")
	case in.GetPublish():
		return unwritten("versions other than $LATEST (Publish)")
	case in.CodeSigningConfigArn != nil:
		return unwritten("code signing")
	case len(in.FileSystemConfigs) > 0:
		return unwritten("file systems")
	}
	return refuseUnwrittenSettings(in.Layers, in.VpcConfig, in.SnapStart, in.LoggingConfig, in.KMSKeyArn)
}

func refuseUnwrittenSettings(layers []string, vpc *lambda.VpcConfig, snap *lambda.SnapStart, logging *lambda.LoggingConfig, key *string) error {
	switch {
	case len(layers) > 0:
		return unwritten("layers")
	case vpc != nil && len(vpc.SubnetIds)+len(vpc.SecurityGroupIds) > 0:
		return unwritten("functions in a VPC")
	case snap != nil && snap.GetApplyOn() == lambda.SnapStartApplyOnPublishedVersions:
		return unwritten("SnapStart")
	case logging != nil && logging.GetLogFormat() == lambda.LogFormatJson:
		return unwritten("the log format JSON")
	case key != nil && *key != "":
		return unwritten("encryption with a customer's key")
	}
	return nil
}

func unwritten(what string) error {
	return aws.Errorf("NotImplemented", 501, "lambda: %s: not implemented", what)
}

// checkRole tries the role, as AWS does when a function gets it.
func (s *Service) checkRole(ctx context.Context, role string) error {
	_, err := source.Assume(ctx, s.sts, role, "awslambda-check")
	if e, ok := errors.AsType[*aws.Error](err); ok && e.Status < 500 {
		return lambda.InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")
	}
	return err
}

// putCode stores a package and notes it in f.
func (s *Service) putCode(f *function, zip []byte) error {
	if len(zip) == 0 {
		return lambda.InvalidParameterValueException("Uploaded file must be a non-empty zip")
	}
	name, err := s.o.Code.Put(zip)
	if bad, ok := errors.AsType[*compute.BadPackage](err); ok {
		if bad.TooLarge {
			return lambda.InvalidParameterValueException("Unzipped size must be smaller than %d bytes", compute.MaxUnzipped)
		}
		return lambda.InvalidParameterValueException("Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	if err != nil {
		return err
	}
	f.Package, f.PackageBytes = name, int64(len(zip))
	return nil
}

// touch notes that f changed, in a way that makes its environments useless.
func (f *function) touch(s *Service) {
	f.Modified, f.Revision, f.Environment = s.world.Now(), s.world.UUID(), s.world.Hex(8)
}

// save stores f and that it uses its package.
func (f *function) save(tx *store.Tx) {
	functions.Put(tx, store.K(f.Name), *f)
	packages.Put(tx, packageKey(tx, f), struct{}{})
}

func packageKey(tx *store.Tx, f *function) store.Key {
	return store.K(f.Package, tx.Account(), tx.Region(), f.Name)
}

// describe is f as the API shows it.
func (f *function) describe(r reference) *lambda.FunctionConfiguration {
	sum, err := hex.DecodeString(f.Package)
	if err != nil {
		panic("lambda: a package's name is its SHA-256 in hexadecimal, not " + f.Package)
	}
	c := &lambda.FunctionConfiguration{
		FunctionName: &f.Name, FunctionArn: new(string(r.arn())), Runtime: &f.Runtime, Role: &f.Role, Handler: &f.Handler,
		CodeSize: &f.PackageBytes, Description: &f.Description, Timeout: &f.Timeout, MemorySize: &f.MemoryMB,
		LastModified: new(f.Modified.Format(modifiedForm)), CodeSha256: new(base64.StdEncoding.EncodeToString(sum)),
		Version: new(latest), TracingConfig: &lambda.TracingConfigResponse{Mode: &f.Tracing}, RevisionId: &f.Revision,
		State: new(lambda.StateActive), LastUpdateStatus: new(lambda.LastUpdateStatusSuccessful),
		PackageType: new(lambda.PackageTypeZip), Architectures: f.Architectures,
		EphemeralStorage: &lambda.EphemeralStorage{Size: f.TmpMB},
		SnapStart:        &lambda.SnapStartResponse{ApplyOn: new(lambda.SnapStartApplyOnNone), OptimizationStatus: new(lambda.SnapStartOptimizationStatusOff)},
		LoggingConfig:    &lambda.LoggingConfig{LogFormat: new(lambda.LogFormatText), LogGroup: new(f.logGroup())},
	}
	if len(f.Variables) > 0 {
		c.Environment = &lambda.EnvironmentResponse{Variables: f.Variables}
	}
	if f.DeadLetter != "" {
		c.DeadLetterConfig = &lambda.DeadLetterConfig{TargetArn: &f.DeadLetter}
	}
	return c
}

// GetFunctionConfiguration describes a function.
func (s *Service) GetFunctionConfiguration(ctx context.Context, in *lambda.GetFunctionConfigurationInput) (*lambda.GetFunctionConfigurationOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	return f.describe(r), nil
}

// GetFunction describes a function and says where its package can be downloaded for ten minutes.
func (s *Service) GetFunction(ctx context.Context, in *lambda.GetFunctionInput) (*lambda.GetFunctionOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	location, err := s.downloadURL(ctx, f.Package)
	if err != nil {
		return nil, err
	}
	out := &lambda.GetFunctionOutput{
		Configuration: f.describe(r),
		Code:          &lambda.FunctionCodeLocation{RepositoryType: new("S3"), Location: &location},
		Tags:          f.Tags,
	}
	if f.Reserved != nil {
		out.Concurrency = &lambda.Concurrency{ReservedConcurrentExecutions: f.Reserved}
	}
	return out, nil
}

// ListFunctions lists the functions of the account and region by name.
func (s *Service) ListFunctions(ctx context.Context, in *lambda.ListFunctionsInput) (*lambda.ListFunctionsOutput, error) {
	limit := int(in.GetMaxItems())
	if limit == 0 || limit > 50 {
		limit = 50
	}
	after, err := readMarker(in.GetMarker())
	if err != nil {
		return nil, err
	}
	c := aws.CallFrom(ctx)
	out := &lambda.ListFunctionsOutput{Functions: []lambda.FunctionConfiguration{}}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		for _, f := range functions.Scan(tx, store.Range{After: after, Limit: limit + 1}) {
			if len(out.Functions) == limit {
				out.NextMarker = new(writeMarker(*out.Functions[limit-1].FunctionName))
				break
			}
			out.Functions = append(out.Functions, *f.describe(reference{account: c.Account, region: c.Region, name: f.Name}))
		}
		return nil
	})
	return out, err
}

// ListVersionsByFunction lists $LATEST, the only version there is.
func (s *Service) ListVersionsByFunction(ctx context.Context, in *lambda.ListVersionsByFunctionInput) (*lambda.ListVersionsByFunctionOutput, error) {
	r, err := refer(ctx, in.FunctionName, latest)
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	return &lambda.ListVersionsByFunctionOutput{Versions: []lambda.FunctionConfiguration{*f.describe(r)}}, nil
}

// writeMarker and readMarker turn the last name of a page into an opaque text and back into a key.
func writeMarker(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

func readMarker(marker string) (store.Key, error) {
	if marker == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(marker)
	if err != nil {
		return "", lambda.InvalidParameterValueException("Invalid marker")
	}
	return store.K(string(b)), nil
}

// DeleteFunction removes a function, its policy and its asynchronous configuration.
func (s *Service) DeleteFunction(ctx context.Context, in *lambda.DeleteFunctionInput) (*lambda.DeleteFunctionOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	if r.qualifier == latest {
		return nil, lambda.InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		f, err := find(tx, r)
		if err != nil {
			return err
		}
		functions.Delete(tx, store.K(r.name))
		policies.Delete(tx, store.K(r.name))
		asyncConfigs.Delete(tx, store.K(r.name))
		packages.Delete(tx, packageKey(tx, f))
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.o.Pool.Drop(r.poolName())
	return &lambda.DeleteFunctionOutput{}, nil
}

// change runs a change of a function in a transaction, on a copy, and stores it.
func (s *Service) change(ctx context.Context, r reference, revision *string, f func(*store.Tx, *function) error) (*function, error) {
	var changed function
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		have, err := find(tx, r)
		if err != nil {
			return err
		}
		if revision != nil && *revision != have.Revision {
			return lambda.PreconditionFailedException("The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias API to retrieve the latest RevisionId")
		}
		changed = *have
		changed.Tags, changed.Variables = maps.Clone(have.Tags), maps.Clone(have.Variables)
		changed.Architectures = slices.Clone(have.Architectures)
		if err := f(tx, &changed); err != nil {
			return err
		}
		if changed.Package != have.Package {
			packages.Delete(tx, packageKey(tx, have))
		}
		changed.save(tx)
		return nil
	})
	return &changed, err
}

// UpdateFunctionCode replaces a function's package.
func (s *Service) UpdateFunctionCode(ctx context.Context, in *lambda.UpdateFunctionCodeInput) (*lambda.UpdateFunctionCodeOutput, error) {
	switch {
	case in.ImageUri != nil:
		return nil, unwritten("functions from container images")
	case in.S3Bucket != nil || in.S3Key != nil:
		return nil, unwritten("code from S3; pass the zip file itself as ZipFile")
	case in.GetPublish():
		return nil, unwritten("versions other than $LATEST (Publish)")
	}
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	if _, err := s.load(ctx, r); err != nil {
		return nil, err
	}
	var code, stamp function
	if err := s.putCode(&code, in.ZipFile); err != nil {
		return nil, err
	}
	stamp.touch(s)
	f, err := s.change(ctx, r, in.RevisionId, func(tx *store.Tx, f *function) error {
		f.Package, f.PackageBytes = code.Package, code.PackageBytes
		f.Modified, f.Revision, f.Environment = stamp.Modified, stamp.Revision, stamp.Environment
		if len(in.Architectures) > 0 {
			f.Architectures = in.Architectures
		}
		if in.GetDryRun() {
			return errDry
		}
		return nil
	})
	if err != nil && err != errDry {
		return nil, err
	}
	s.o.Pool.Drop(r.poolName())
	return f.describe(r), nil
}

// errDry ends a transaction whose outcome is only to be shown.
var errDry = errors.New("lambda: a dry run")

// settings are the configuration that creating and updating a function share; nil means unchanged.
type settings struct {
	runtime, handler, description *string
	timeout, memory               *int32
	environment                   *lambda.Environment
	tmp                           *lambda.EphemeralStorage
	deadLetter                    *lambda.DeadLetterConfig
	tracing                       *lambda.TracingConfig
	logging                       *lambda.LoggingConfig
}

// check refuses settings a function cannot have.
func (s *Service) check(set settings) error {
	if set.runtime != nil {
		if err := s.o.Supported(*set.runtime); err != nil {
			return lambda.InvalidParameterValueException("The runtime parameter of %s cannot be used: %v.", *set.runtime, err)
		}
	}
	if set.timeout != nil && *set.timeout > maxTimeout {
		return lambda.ValidationException("1 validation error detected: Value '%d' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to %d", *set.timeout, maxTimeout)
	}
	if set.environment != nil {
		if err := checkVariables(set.environment.Variables); err != nil {
			return err
		}
	}
	if set.deadLetter != nil {
		return checkDeadLetter(set.deadLetter.GetTargetArn())
	}
	return nil
}

// apply puts checked settings into f.
func (set settings) apply(f *function) {
	if set.environment != nil {
		f.Variables = set.environment.Variables
	}
	if set.deadLetter != nil {
		f.DeadLetter = set.deadLetter.GetTargetArn()
	}
	put(&f.Runtime, set.runtime)
	put(&f.Handler, set.handler)
	put(&f.Description, set.description)
	put(&f.Timeout, set.timeout)
	put(&f.MemoryMB, set.memory)
	if set.tmp != nil {
		f.TmpMB = set.tmp.Size
	}
	if set.tracing != nil {
		put(&f.Tracing, set.tracing.Mode)
	}
	if set.logging != nil {
		put(&f.LogGroup, set.logging.LogGroup)
	}
}

func put[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// UpdateFunctionConfiguration changes what the request names.
func (s *Service) UpdateFunctionConfiguration(ctx context.Context, in *lambda.UpdateFunctionConfigurationInput) (*lambda.UpdateFunctionConfigurationOutput, error) {
	if len(in.FileSystemConfigs) > 0 {
		return nil, unwritten("file systems")
	}
	if err := refuseUnwrittenSettings(in.Layers, in.VpcConfig, in.SnapStart, in.LoggingConfig, in.KMSKeyArn); err != nil {
		return nil, err
	}
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	if in.Role != nil {
		if err := s.checkRole(ctx, *in.Role); err != nil {
			return nil, err
		}
	}
	set := settings{
		runtime: in.Runtime, handler: in.Handler, description: in.Description, timeout: in.Timeout, memory: in.MemorySize,
		environment: in.Environment, tmp: in.EphemeralStorage, deadLetter: in.DeadLetterConfig, tracing: in.TracingConfig,
		logging: in.LoggingConfig,
	}
	if err := s.check(set); err != nil {
		return nil, err
	}
	var stamp function
	stamp.touch(s)
	f, err := s.change(ctx, r, in.RevisionId, func(tx *store.Tx, f *function) error {
		put(&f.Role, in.Role)
		f.Modified, f.Revision, f.Environment = stamp.Modified, stamp.Revision, stamp.Environment
		set.apply(f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.o.Pool.Drop(r.poolName())
	return f.describe(r), nil
}

// reservedVariables are set by Lambda and cannot be set by a function's configuration.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
var reservedVariables = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// checkVariables refuses reserved names and more than 4 KB, measured as JSON.
func checkVariables(v map[string]string) error {
	var used []string
	size := 1
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if slices.Contains(reservedVariables, k) {
			used = append(used, k)
		}
		size += len(k) + len(v[k]) + len(`"":"",`)
	}
	if len(used) > 0 {
		return lambda.InvalidParameterValueException("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(used, ", "))
	}
	if size > maxVariables {
		return lambda.InvalidParameterValueException("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit.")
	}
	return nil
}

// checkDeadLetter takes a queue, a topic or nothing.
func checkDeadLetter(target string) error {
	if target == "" {
		return nil
	}
	if sv := aws.ARN(target).Service(); sv != "sqs" && sv != "sns" {
		return lambda.InvalidParameterValueException("The provided target ARN %s is invalid", target)
	}
	return nil
}
