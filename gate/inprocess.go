package gate

import (
	"context"
	"log/slog"

	"fogbank/aws"
	"fogbank/wire"
)

// As returns an invoker for calls a service makes on its own behalf, as "sns.amazonaws.com".
// A call in ctx gives account, region, SourceARN, SourceAccount and OnceKey; the resource's
// policy must allow the service. Errors are *aws.Error as a client would get them.
func (g *Gate) As(service string) wire.Invoker {
	principal := aws.Principal{Kind: aws.ServicePrincipal, ARN: aws.ARN(service)}
	return func(ctx context.Context, op *wire.Operation, in any) (any, error) {
		call := aws.Call{Account: g.options.Account, Region: g.options.Region, Endpoint: g.options.Endpoint}
		if c, ok := aws.LookupCall(ctx); ok {
			call = *c
		}
		call.Principal, call.UserAgent = principal, service
		return g.invoke(ctx, &call, op, in, g.run)
	}
}

// InProcess returns an invoker for calls on behalf of the principal of the call in ctx,
// such as a role a service has assumed.
func (g *Gate) InProcess() wire.Invoker {
	return func(ctx context.Context, op *wire.Operation, in any) (any, error) {
		call := *aws.CallFrom(ctx)
		return g.invoke(ctx, &call, op, in, g.run)
	}
}

// Embedded is InProcess for clients in this process, whose calls are audited as those from outside are.
func (g *Gate) Embedded() wire.Invoker {
	return func(ctx context.Context, op *wire.Operation, in any) (any, error) {
		call := *aws.CallFrom(ctx)
		return g.invoke(ctx, &call, op, in, g.serve)
	}
}

// runner is run or serve.
type runner func(ctx context.Context, rt *route, in any, rec *Record) (any, error)

// invoke takes a call in process through authorisation, the operation and its record.
func (g *Gate) invoke(ctx context.Context, call *aws.Call, op *wire.Operation, in any, run runner) (out any, err error) {
	rt := g.routes[op]
	if rt == nil {
		return nil, aws.Errorf("NotImplemented", 501, "The service %s is not implemented.", op.API.Name)
	}
	g.complete(call)
	rec := Record{ID: call.RequestID, InProcess: true, Status: op.Status, At: g.world.Now(), start: g.world.Start(),
		Principal: call.Principal.ARN, Account: call.Account, Region: call.Region}
	var cause error
	defer func() {
		if p := recover(); p != nil {
			g.logPanic(p, slog.String("id", rec.ID), slog.String("operation", rt.name()))
			out, err = nil, errPanic
		}
		if err != nil {
			e := g.asError(err, op, op.API.Protocols[0])
			if e.Code == internalFailure {
				cause = err
			}
			rec.Code, rec.Message, rec.Status = e.Code, e.Message, e.Status
			out, err = nil, e
		}
		g.keep(&rec, rt, cause)
	}()
	out, err = run(aws.WithCall(ctx, call), rt, in, &rec)
	if later, ok := err.(aws.Later); ok {
		return g.await(ctx, later, false)
	}
	return out, err
}

// complete fills in what a call in process has no client to take from.
func (g *Gate) complete(call *aws.Call) {
	call.RequestID = g.world.UUID()
	if call.Account == "" {
		call.Account = g.options.Account
	}
	if call.Region == "" {
		call.Region = g.options.Region
	}
	if call.Endpoint == "" {
		call.Endpoint = g.options.Endpoint
	}
	if call.Principal.Kind == aws.ServicePrincipal {
		call.SourceIP, call.Secure = noAddress, true
	}
}
