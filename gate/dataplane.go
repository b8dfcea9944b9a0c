package gate

import (
	"context"
	"net/http"

	"fogbank/aws"
	"fogbank/policy"
	"fogbank/wire"
)

// Caller returns the context of a data plane's request that need not be signed: its call has nobody as principal.
func (g *Gate) Caller(r *http.Request) context.Context {
	return aws.WithCall(r.Context(), &aws.Call{Account: g.options.Account, Region: g.options.Region, RequestID: g.world.UUID(),
		SourceIP: sourceIP(r), UserAgent: r.UserAgent(), Endpoint: g.endpoint(r), Secure: r.TLS != nil, Trace: r.Header.Get("X-Amzn-Trace-Id")})
}

// SignedCaller is Caller for a request that must be signed for the service of op, and proves who sent it. The
// body is what was read of the request's.
func (g *Gate) SignedCaller(r *http.Request, body []byte, op *wire.Operation) (context.Context, error) {
	x := g.pool.Get().(*exchange)
	defer func() {
		*x = exchange{gate: g, buf: x.buf, canon: x.canon}
		g.pool.Put(x)
	}()
	x.r, x.body, x.route = r, body, g.routes[op]
	x.record = Record{ID: g.world.UUID(), At: g.world.Now(), start: g.world.Start()}
	x.sig, x.rejected = parseSignature(r)
	_, x.hostArea = splitHost(r.Host)
	ctx, err := x.authenticate()
	if err != nil {
		return nil, g.asError(err, op, wire.RESTJSON)
	}
	return ctx, nil
}

// Permit asks policy whether the caller in ctx may do a, which names its action, to a resource of the service
// of op.
func (g *Gate) Permit(ctx context.Context, op *wire.Operation, a aws.Access) error {
	call := aws.CallFrom(ctx)
	req := policy.Request{Principal: call.Principal, Call: call, Now: g.world.Now(), Action: a.Action, Resource: a.Resource, Keys: a.Context}
	err := g.entitle(&req)
	if err != nil {
		return err
	}
	if req.ResourcePolicy, err = g.routes[op].policy(ctx, call, a.Resource, &req); err != nil {
		return err
	}
	if d := policy.Evaluate(&req); !d.Allowed {
		return g.asError(reject(denied, d.Message(&req)), op, wire.RESTJSON)
	}
	return nil
}
