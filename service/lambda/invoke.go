package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/source"
)

// Limits of an invocation's payload, in bytes.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	maxSyncPayload  = 6 << 20
	maxAsyncPayload = 1 << 20
	maxInvokeArgs   = 256 << 10 // of InvokeAsync
	maxContext      = 3583      // of the client context, in base64
	// renewEarly is how long before its credentials end an environment is no longer used: a function runs
	// for fifteen minutes at most.
	renewEarly = 16 * time.Minute
)

// Invoke runs a function, now or later.
func (s *Service) Invoke(ctx context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
	limit := maxSyncPayload
	if in.GetInvocationType() == lambda.InvocationTypeEvent {
		limit = maxAsyncPayload
	}
	r, f, inv, err := s.prepare(ctx, &request{name: in.FunctionName, qualifier: in.GetQualifier(), payload: in.Payload, context: in.GetClientContext(),
		limit: limit, operation: "InvokeFunction"})
	if err != nil {
		return nil, err
	}
	switch in.GetInvocationType() {
	case lambda.InvocationTypeDryRun:
		return &lambda.InvokeOutput{StatusCode: new(int32(204))}, nil
	case lambda.InvocationTypeEvent:
		if err := s.accept(ctx, r, inv); err != nil {
			return nil, err
		}
		return &lambda.InvokeOutput{StatusCode: new(int32(202))}, nil
	}
	res, err := s.run(ctx, r, f, inv)
	if err != nil {
		return nil, clientError(err)
	}
	out := &lambda.InvokeOutput{StatusCode: new(int32(200)), Payload: res.Payload, ExecutedVersion: new(f.version())}
	if res.Failed {
		out.FunctionError = new(unhandled)
	}
	if in.GetLogType() == lambda.LogTypeTail {
		out.LogResult = new(base64.StdEncoding.EncodeToString(res.Tail))
	}
	return out, nil
}

// InvokeAsync is what Invoke of an event was once, which AWS has kept. "Trace ID is not propagated to the function."
// https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html
func (s *Service) InvokeAsync(ctx context.Context, in *lambda.InvokeAsyncInput) (*lambda.InvokeAsyncOutput, error) {
	ctx = aws.Traced(ctx, "")
	r, _, inv, err := s.prepare(ctx, &request{name: in.FunctionName, payload: in.InvokeArgs, limit: maxInvokeArgs, operation: "InvokeAsync"})
	if err != nil {
		return nil, err
	}
	if err := s.accept(ctx, r, inv); err != nil {
		return nil, err
	}
	return &lambda.InvokeAsyncOutput{Status: new(int32(202))}, nil
}

// unhandled is X-Amz-Function-Error. AWS answers it for every error of a function, also for one that its handler
// returned, as its documentation shows; "Handled" was that of runtimes that are no more.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html
const unhandled = "Unhandled"

// request is what the operations that invoke a function are given alike.
type request struct {
	name, qualifier string
	payload         []byte
	context         string // of the client, in base64
	limit           int    // of the payload
	operation       string // as messages call it
}

// prepare finds the function a request is for and checks what goes to it.
func (s *Service) prepare(ctx context.Context, q *request) (r reference, f *function, inv compute.Invocation, err error) {
	if r, err = refer(ctx, q.name, q.qualifier); err != nil {
		return r, nil, inv, err
	}
	if f, err = s.choose(ctx, r); err != nil {
		return r, nil, inv, err
	}
	if len(q.payload) > q.limit {
		return r, nil, inv, lambda.RequestTooLargeException("Request must be smaller than %d bytes for the %s operation", q.limit, q.operation)
	}
	if len(q.payload) > 0 && !json.Valid(q.payload) {
		return r, nil, inv, lambda.InvalidRequestContentException("Could not parse request body into json: the payload is not a JSON document")
	}
	inv = compute.Invocation{ID: aws.CallFrom(ctx).RequestID, ARN: string(r.arn()), Payload: q.payload}
	if len(inv.Payload) == 0 {
		inv.Payload = []byte("{}")
	}
	if q.context != "" {
		b, err := base64.StdEncoding.DecodeString(q.context)
		if err != nil || len(q.context) > maxContext || !json.Valid(b) {
			return r, nil, inv, lambda.InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.")
		}
		inv.ClientContext = string(b)
	}
	return r, f, inv, nil
}

// run invokes a function in an environment. The invocation goes on when the client goes away.
func (s *Service) run(ctx context.Context, r reference, f *function, inv compute.Invocation) (compute.Result, error) {
	most, err := s.limits(ctx, r, f)
	if err != nil {
		return compute.Result{}, err
	}
	header := aws.CallFrom(ctx).Trace
	if err := s.chained(r, header, most); err != nil {
		return compute.Result{}, err
	}
	inv.Trace = s.passedOn(r, header)
	dir, environment, err := s.code(f)
	if err != nil {
		return compute.Result{}, err
	}
	return s.o.Pool.Invoke(context.WithoutCancel(ctx), &compute.Job{
		Function: r.poolVersion(f), Group: r.poolName(), Revision: environment, Limit: most.reserved,
		Scope: r.account + "/" + r.region, Shared: most.shared, Invocation: inv,
		Spec: func(ctx context.Context) (compute.Spec, error) { return s.spec(ctx, r, f, dir) },
	})
}

// clientError is what the caller of a synchronous invocation learns of a failure that is not the function's.
func clientError(err error) error {
	if t, ok := errors.AsType[compute.Throttled](err); ok {
		e := lambda.TooManyRequestsException("Rate Exceeded.")
		e.Detail = &lambda.TooManyRequestsExceptionDetail{Type: new("User"), Reason: &t.Reason}
		return e
	}
	return err
}

// errRole is that the execution role cannot be assumed when the function is to run.
var errRole = lambda.AccessDeniedException("The role defined for the function cannot be assumed by Lambda.")

// enact takes an execution role for a function.
func (s *Service) enact(ctx context.Context, role, name string) (*source.Session, error) {
	as, err := source.Assume(ctx, s.sts, role, name)
	if e, ok := errors.AsType[*aws.Error](err); ok && e.Status < 500 {
		return nil, errRole
	}
	return as, err
}

// spec says how to start an environment of a function, whose code lies in dir if that is not "".
func (s *Service) spec(ctx context.Context, r reference, f *function, dir string) (compute.Spec, error) {
	as, err := s.enact(ctx, f.Role, f.Name)
	if err != nil {
		return compute.Spec{}, err
	}
	to := &stream{
		call:  aws.Call{Principal: as.Principal, Account: r.account, Region: r.region},
		group: f.logGroup(),
		name:  s.world.Now().Format("2006/01/02") + "/[" + f.version() + "]" + s.world.Hex(16),
	}
	variables := maps.Clone(f.Variables)
	if more := f.Logging.variables(); more != nil {
		if variables == nil {
			variables = map[string]string{}
		}
		maps.Copy(variables, more)
	}
	return compute.Spec{
		Function: r.unqualified(), Name: f.Name, Version: f.version(), Runtime: f.Runtime, Handler: f.Handler,
		Code: f.Package, Dir: dir, Layers: f.layerPackages(), MemoryMB: int(f.MemoryMB), TmpMB: int(f.TmpMB), Timeout: time.Duration(f.Timeout) * time.Second,
		Variables: variables, Region: r.region, Endpoint: s.o.Endpoint,
		Credentials: compute.Credentials{KeyID: as.KeyID, Secret: as.Secret, Token: as.Token}, Expires: as.Expires.Add(-renewEarly), LogGroup: to.group, LogStream: to.name,
		Log: func(at time.Time, text string) {
			if line, ok := f.Logging.line(text); ok {
				s.journal.write(to, at, line)
			}
		},
		Tell: func(fact compute.Fact) {
			for _, line := range f.Logging.facts(fact) {
				s.journal.write(to, fact.At, line)
			}
		},
	}, nil
}
