package lambda

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"iter"
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
	Dir           string `json:",omitempty"` // where the code lies that was not uploaded
	Architectures []string
	DeadLetter    string // ARN of a queue or topic, or ""
	Tracing       string
	LogGroup      string // "" for /aws/lambda/NAME
	Modified      time.Time
	Revision      string
	// Environment is drawn anew whenever environments of before must not be used any more.
	Environment string
	Tags        map[string]string
	Reserved    *int32     // concurrency
	Version     string     `json:",omitempty"` // "" for $LATEST
	Unzipped    int64      `json:",omitempty"` // bytes of the package's files
	Layers      []layerUse `json:",omitempty"`
	Logging     logging    `json:",omitzero"`
	// RuntimeUpdate and RuntimeARN are what PutRuntimeManagementConfig said.
	RuntimeUpdate string `json:",omitempty"`
	RuntimeARN    string `json:",omitempty"`
	Recursive     bool   `json:",omitempty"` // loops are allowed
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
	return r.draw(tx, 1)
}

// draw is find for an invocation: an alias with two versions chooses by draw, which is in [0, 1].
func (r reference) draw(tx *store.Tx, draw float64) (f *function, err error) {
	named, ok := r, true
	if r.alias() {
		var a *alias
		if a, ok, err = decodedAliases.Get(tx, r.key()); err != nil {
			return nil, err
		}
		if !ok {
			return nil, r.missing()
		}
		named.qualifier = a.choose(draw)
	}
	if n, number := versionNumber(named.qualifier); number {
		f, ok, err = decodedVersions.Get(tx, versionKey(r.name, n))
	} else {
		f, ok, err = decoded.Get(tx, store.K(r.name))
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, r.missing()
	}
	return f, nil
}

// choose returns the version that runs an invocation.
func (s *Service) choose(ctx context.Context, r reference) (f *function, err error) {
	draw := 1.0
	if r.alias() {
		draw = float64(s.world.Uint64()>>11) / (1 << 53)
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		f, err = r.draw(tx, draw)
		return err
	})
	return f, err
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
	if err := s.takeCode(f, in.Code.ZipFile, in.Code.S3Bucket, in.Code.S3Key); err != nil {
		return nil, err
	}
	f.touch(s)
	revision, shown := s.world.UUID(), f
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if functions.Has(tx, store.K(r.name)) {
			return lambda.ResourceConflictException("Function already exist: %s", r.name)
		}
		if err := f.useLayers(ctx, tx, in.Layers); err != nil {
			return err
		}
		f.save(tx)
		if in.GetPublish() {
			shown = f.publish(tx, nil, revision)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.makeReady(r, shown, false), nil
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
		return nil, tooManyTags()
	}
	if len(in.Architectures) > 0 {
		f.Architectures = in.Architectures
	}
	set := settings{
		runtime: in.Runtime, handler: in.Handler, description: in.Description, timeout: in.Timeout, memory: in.MemorySize,
		environment: in.Environment, tmp: in.EphemeralStorage, deadLetter: in.DeadLetterConfig, tracing: in.TracingConfig,
		logging: in.LoggingConfig, snap: in.SnapStart,
	}
	if err := s.check(set); err != nil {
		return nil, err
	}
	return f, set.apply(f)
}

// refuseUnwritten answers honestly to what is not there yet.
func refuseUnwritten(in *lambda.CreateFunctionInput) error {
	switch {
	case in.GetPackageType() == lambda.PackageTypeImage || in.Code.ImageUri != nil:
		return unwritten("functions from container images")
	case in.CodeSigningConfigArn != nil:
		return unwritten("code signing")
	case len(in.FileSystemConfigs) > 0:
		return unwritten("file systems")
	}
	return refuseUnwrittenSettings(in.VpcConfig, in.KMSKeyArn)
}

func refuseUnwrittenSettings(vpc *lambda.VpcConfig, key *string) error {
	switch {
	case vpc != nil && len(vpc.SubnetIds)+len(vpc.SecurityGroupIds) > 0:
		return unwritten("functions in a VPC")
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
	f.Package, f.PackageBytes, f.Unzipped = name, int64(len(zip)), unzippedSize(zip)
	return nil
}

// unzippedSize is how large a package is when unpacked; one that is no zip file was refused before.
func unzippedSize(b []byte) (size int64) {
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return 0
	}
	for _, file := range r.File {
		size += int64(file.UncompressedSize64)
	}
	return size
}

// touch notes that f changed, in a way that makes its environments useless.
func (f *function) touch(s *Service) {
	f.Modified, f.Revision, f.Environment = s.world.Now(), s.world.UUID(), s.world.Hex(8)
}

// save stores f and that it uses its package.
func (f *function) save(tx *store.Tx) {
	if n, ok := versionNumber(f.Version); ok {
		versions.Put(tx, versionKey(f.Name, n), *f)
	} else {
		functions.Put(tx, store.K(f.Name), *f)
	}
	for _, name := range append(f.layerPackages(), f.Package) {
		packages.Put(tx, packageKey(tx, name, f.holder()), struct{}{})
	}
}

// release notes that f does not use its packages any more.
func (f *function) release(tx *store.Tx) {
	for _, name := range append(f.layerPackages(), f.Package) {
		packages.Delete(tx, packageKey(tx, name, f.holder()))
	}
}

func packageKey(tx *store.Tx, name, holder string) store.Key {
	return store.K(name, tx.Account(), tx.Region(), holder)
}

// describe is f as the API shows it.
func (f *function) describe(r reference) *lambda.FunctionConfiguration {
	c := &lambda.FunctionConfiguration{
		FunctionName: &f.Name, FunctionArn: new(string(r.arn())), Runtime: &f.Runtime, Role: &f.Role, Handler: &f.Handler,
		CodeSize: &f.PackageBytes, Description: &f.Description, Timeout: &f.Timeout, MemorySize: &f.MemoryMB,
		LastModified: new(f.Modified.Format(modifiedForm)), CodeSha256: new(f.sum()),
		Version: new(f.version()), TracingConfig: &lambda.TracingConfigResponse{Mode: &f.Tracing}, RevisionId: &f.Revision,
		State: new(lambda.StateActive), LastUpdateStatus: new(lambda.LastUpdateStatusSuccessful),
		PackageType: new(lambda.PackageTypeZip), Architectures: f.Architectures,
		EphemeralStorage: &lambda.EphemeralStorage{Size: f.TmpMB},
		SnapStart:        &lambda.SnapStartResponse{ApplyOn: new(lambda.SnapStartApplyOnNone), OptimizationStatus: new(lambda.SnapStartOptimizationStatusOff)},
		LoggingConfig:    f.Logging.describe(f.logGroup()),
	}
	if len(f.Variables) > 0 {
		c.Environment = &lambda.EnvironmentResponse{Variables: f.Variables}
	}
	for i := range f.Layers {
		c.Layers = append(c.Layers, lambda.Layer{Arn: &f.Layers[i].ARN, CodeSize: &f.Layers[i].Bytes})
	}
	if f.DeadLetter != "" {
		c.DeadLetterConfig = &lambda.DeadLetterConfig{TargetArn: &f.DeadLetter}
	}
	return c
}

// describe is f as the API shows it, saying so when it is not ready or not isolated.
func (s *Service) describe(f *function, r reference) *lambda.FunctionConfiguration {
	c := f.describe(r)
	if m := s.unready.get(r.poolVersion(f)); m != nil {
		m.show(c)
	}
	if s.o.Unsafe != nil {
		if text := s.o.Unsafe(); text != "" {
			c.StateReason = new(strings.TrimPrefix(c.GetStateReason()+" "+text, " "))
		}
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
	return s.describe(f, r), nil
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
	location, err := s.location(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &lambda.GetFunctionOutput{
		Configuration: s.describe(f, r),
		Code:          &lambda.FunctionCodeLocation{RepositoryType: new("S3"), Location: location},
		Tags:          f.Tags,
	}
	if f.Reserved != nil {
		out.Concurrency = &lambda.Concurrency{ReservedConcurrentExecutions: f.Reserved}
	}
	return out, nil
}

// ListFunctions lists the functions of the account and region by name; with FunctionVersion ALL each is followed
// by its versions.
func (s *Service) ListFunctions(ctx context.Context, in *lambda.ListFunctionsInput) (*lambda.ListFunctionsOutput, error) {
	limit := pageSize(in.GetMaxItems())
	name, version, err := readPlace(in.GetMarker())
	if err != nil {
		return nil, err
	}
	all := in.GetFunctionVersion() == lambda.FunctionVersionAll
	out := &lambda.ListFunctionsOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		out.Functions, out.NextMarker = []lambda.FunctionConfiguration{}, nil
		var last *function
		for f := range listed(tx, name, all) {
			if f.Name == name && (!all || f.Version == "" || !f.after(version)) {
				continue
			}
			if len(out.Functions) == limit {
				out.NextMarker = new(writeMarker(last.holder()))
				return nil
			}
			r := here(ctx)
			r.name, r.qualifier = f.Name, f.Version
			if all {
				r.qualifier = f.version()
			}
			out.Functions = append(out.Functions, *s.describe(f, r))
			last = f
		}
		return nil
	})
	return out, err
}

// listed yields the functions from a name on, with all their versions when asked to.
func listed(tx *store.Tx, from string, all bool) iter.Seq[*function] {
	scan := store.Range{}
	if from != "" {
		scan.From = store.K(from)
	}
	return func(yield func(*function) bool) {
		for _, f := range functions.Scan(tx, scan) {
			if !yield(&f) {
				return
			}
			if !all {
				continue
			}
			for _, v := range versionsOf(tx, f.Name) {
				if !yield(&v) {
					return
				}
			}
		}
	}
}

// readPlace reads a marker made of a function's name, and a version's number if it has one.
func readPlace(marker string) (name string, version uint64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(marker)
	if err != nil {
		return "", 0, lambda.InvalidParameterValueException("Invalid marker")
	}
	name, number, _ := strings.Cut(string(b), ":")
	version, _ = versionNumber(number)
	return name, version, nil
}

// after reports whether f is a later version than n.
func (f *function) after(n uint64) bool {
	own, _ := versionNumber(f.Version)
	return own > n
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

// list reads a page of what belongs to a function, which must be there. read is given the function without a qualifier,
// what the marker says the page comes after, and how many entries it may have.
func (s *Service) list(ctx context.Context, name, marker string, items int32, read func(tx *store.Tx, r reference, after store.Key, limit int) error) error {
	r, err := refer(ctx, name, "")
	if err != nil {
		return err
	}
	after, err := readMarker(marker)
	if err != nil {
		return err
	}
	r.qualifier = ""
	return s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		return read(tx, r, after, pageSize(items))
	})
}

// DeleteFunction removes a function with its versions, aliases, policies and configurations, or one version.
func (s *Service) DeleteFunction(ctx context.Context, in *lambda.DeleteFunctionInput) (*lambda.DeleteFunctionOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	if r.qualifier == latest {
		return nil, lambda.InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
	}
	if r.alias() {
		return nil, lambda.InvalidParameterValueException("Deletion of aliases is not supported by DeleteFunction. Please use DeleteAlias.")
	}
	var dropped []string
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		dropped = dropped[:0]
		f, err := find(tx, r)
		if err != nil {
			return err
		}
		if n, ok := versionNumber(r.qualifier); ok {
			dropped = append(dropped, r.poolVersion(f))
			return r.deleteVersion(tx, n)
		}
		for v := range f.all(tx) {
			v.release(tx)
			dropped = append(dropped, r.poolVersion(v))
		}
		functions.Delete(tx, store.K(r.name))
		deleteAll(tx, versions, r.name)
		deleteAll(tx, aliases, r.name)
		deleteAll(tx, policies, r.name)
		deleteAll(tx, asyncConfigs, r.name)
		deleteURLs(tx, r.name)
		if deleteProvisions(tx, r.account, r.region, r.name) || f.Reserved != nil {
			claim(tx)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range dropped {
		s.o.Pool.Drop(name)
	}
	return &lambda.DeleteFunctionOutput{}, nil
}

// deleteAll removes the rows of a function from a table: its own and those of its qualifiers.
func deleteAll[V any](tx *store.Tx, table *store.Table[V], name string) {
	for key := range table.Keys(tx, store.Range{Prefix: store.K(name)}) {
		table.Delete(tx, key)
	}
}

// change runs a change of a function in a transaction, on a copy, and stores it.
func (s *Service) change(ctx context.Context, r reference, revision *string, f func(*store.Tx, *function) error) (*function, error) {
	if r.qualifier != "" && r.qualifier != latest {
		return nil, lambda.InvalidParameterValueException("A version or alias (%s) cannot be changed. Please specify the function without a qualifier.", r.qualifier)
	}
	var changed function
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		have, err := find(tx, r)
		if err != nil {
			return err
		}
		if revision != nil && *revision != have.Revision {
			return staleRevision()
		}
		changed = *have
		changed.Tags, changed.Variables = maps.Clone(have.Tags), maps.Clone(have.Variables)
		changed.Architectures = slices.Clone(have.Architectures)
		if err := f(tx, &changed); err != nil {
			return err
		}
		have.release(tx)
		changed.save(tx)
		if changed.Reserved != have.Reserved {
			claim(tx)
		}
		return nil
	})
	return &changed, err
}

// UpdateFunctionCode replaces a function's package.
func (s *Service) UpdateFunctionCode(ctx context.Context, in *lambda.UpdateFunctionCodeInput) (*lambda.UpdateFunctionCodeOutput, error) {
	if in.ImageUri != nil {
		return nil, unwritten("functions from container images")
	}
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	if _, err := s.load(ctx, r); err != nil {
		return nil, err
	}
	var code, stamp function
	if err := s.takeCode(&code, in.ZipFile, in.S3Bucket, in.S3Key); err != nil {
		return nil, err
	}
	stamp.touch(s)
	revision := s.world.UUID()
	var shown *function
	f, err := s.change(ctx, r, in.RevisionId, func(tx *store.Tx, f *function) error {
		shown = nil
		f.Package, f.PackageBytes, f.Unzipped, f.Dir = code.Package, code.PackageBytes, code.Unzipped, code.Dir
		if err := f.fits(); err != nil {
			return err
		}
		f.Modified, f.Revision, f.Environment = stamp.Modified, stamp.Revision, stamp.Environment
		if len(in.Architectures) > 0 {
			f.Architectures = in.Architectures
		}
		if in.GetDryRun() {
			return errDry
		}
		if in.GetPublish() {
			shown = f.publish(tx, nil, revision)
		}
		return nil
	})
	if err != nil && err != errDry {
		return nil, err
	}
	s.o.Pool.Drop(r.poolName())
	if shown != nil {
		return s.makeReady(r.at(shown.Version), shown, true), nil
	}
	if in.GetDryRun() {
		return s.describe(f, r), nil
	}
	return s.makeReady(r, f, true), nil
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
	snap                          *lambda.SnapStart
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
func (set settings) apply(f *function) error {
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
		if err := f.Logging.set(set.logging); err != nil {
			return err
		}
	}
	if set.snap != nil && set.snap.GetApplyOn() == lambda.SnapStartApplyOnPublishedVersions {
		return refuseSnapStart(f.Runtime)
	}
	return nil
}

// refuseSnapStart says why a runtime has no SnapStart: AWS has none for it either, or we have not.
// https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
func refuseSnapStart(runtime string) error {
	switch {
	case strings.HasPrefix(runtime, "java") && runtime != "java8.al2", strings.HasPrefix(runtime, "dotnet"),
		strings.HasPrefix(runtime, "python3.1") && runtime > "python3.11":
		return unwritten("SnapStart")
	}
	return lambda.InvalidParameterValueException("%s is not supported for SnapStart enabled functions.", runtime)
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
	if err := refuseUnwrittenSettings(in.VpcConfig, in.KMSKeyArn); err != nil {
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
		logging: in.LoggingConfig, snap: in.SnapStart,
	}
	if err := s.check(set); err != nil {
		return nil, err
	}
	var stamp function
	stamp.touch(s)
	f, err := s.change(ctx, r, in.RevisionId, func(tx *store.Tx, f *function) error {
		put(&f.Role, in.Role)
		f.Modified, f.Revision, f.Environment = stamp.Modified, stamp.Revision, stamp.Environment
		if err := set.apply(f); err != nil {
			return err
		}
		if in.Layers != nil {
			return f.useLayers(ctx, tx, in.Layers)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.o.Pool.Drop(r.poolName())
	return s.makeReady(r, f, true), nil
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
