package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
	"fogbank/wire"
	"fogbank/world"
)

// Service is what the gate needs of a service besides its operations.
type Service interface {
	// Access names what in is going to touch, to be decided by policy before the operation
	// runs. ctx has the call; names without an account of their own are built from it. No
	// entry means the operation's own action on "*".
	Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error)
}

// Guarded is a service whose resources have policies of their own.
type Guarded interface {
	// ResourcePolicy returns the policy of a resource, nil when it has none or does not
	// exist. The call in ctx has the resource's account and region.
	ResourcePolicy(ctx context.Context, resource aws.ARN) (*policy.Document, error)
}

// Credential is what an access key id stands for.
type Credential = credential.Credential

// Directory knows keys and what their holders may do.
type Directory interface {
	// Credential finds an access key in any account. The session token that came with it is in
	// ctx: credential.TokenFrom.
	Credential(ctx context.Context, keyID string) (Credential, bool, error)
	// Identity returns the identity policies and the permissions boundary of a user or role.
	Identity(ctx context.Context, p aws.Principal) (policy.Identity, error)
}

// Options are what a gate is made of. World and Directory are required.
type Options struct {
	World     *world.World
	Directory Directory
	Log       *slog.Logger // nil: silent
	// Account and Region hold for calls that name none; by default 000000000000 and us-east-1.
	Account, Region string
	// Endpoint is where clients find us, for calls in process: "http://localhost:4566" by default.
	Endpoint string
	Records  int // kept for Explain; 1,000 by default
	// Audit, when set, is told of every call of a client that proved who it is, before the answer is sent: ctx has
	// the call; failure is nil for a success. Calls services make are not told of.
	Audit func(ctx context.Context, op *wire.Operation, in, out any, failure *aws.Error)
}

// Gate routes calls to services. Mount everything before serving.
type Gate struct {
	world     *world.World
	log       *slog.Logger
	directory Directory
	options   Options

	index     *wire.Index
	routes    map[*wire.Operation]*route
	endpoints map[string]string // host prefix → signing name: "streams.dynamodb" → "dynamodb"
	rest      map[string]bool   // signing names whose operations are found by path
	data      []dataPlane
	nowhere   route // counts requests for which no operation was found

	// lookup carries a call of nobody, for questions to the directory.
	lookup   context.Context
	keys     signingKeys
	sessions sessionPolicies
	records  ring
	pool     sync.Pool
	inflight atomic.Int64 // bytes of large bodies being held
	// bodyGrace and shortWait are the constants, but for tests.
	bodyGrace, shortWait time.Duration
}

// route is an operation and who runs it.
type route struct {
	op      *wire.Operation
	impl    Service
	guarded Guarded // nil when impl is not
	counts  counts
}

// dataPlane is a handler for requests that are no AWS API calls.
type dataPlane struct {
	match   func(host, path string) bool
	handler http.Handler
}

// New returns a gate with nothing behind it.
func New(o Options) *Gate {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Endpoint == "" {
		o.Endpoint = "http://localhost:4566"
	}
	if o.Records <= 0 {
		o.Records = 1000
	}
	g := &Gate{
		world: o.World, log: o.Log, directory: o.Directory, options: o,
		index: wire.NewIndex(), routes: map[*wire.Operation]*route{},
		bodyGrace: bodyGrace, shortWait: shortWait, endpoints: map[string]string{}, rest: map[string]bool{},
		records: ring{list: make([]Record, 0, o.Records)},
	}
	g.lookup = aws.WithCall(context.Background(), &aws.Call{Account: o.Account, Region: o.Region})
	g.pool.New = func() any { return &exchange{gate: g} }
	return g
}

// Mount puts impl, which implements the API's generated Service, behind the gate.
func (g *Gate) Mount(api *wire.API, impl Service) {
	guarded, _ := impl.(Guarded)
	for _, op := range api.Operations {
		g.routes[op] = &route{op: op, impl: impl, guarded: guarded}
	}
	g.index.Add(api)
	g.endpoints[api.Endpoint] = api.Signing
	g.endpoints[api.Signing] = api.Signing
	g.rest[api.Signing] = slices.Contains(api.Protocols, wire.RESTJSON)
}

// Data hands requests for which match says so to h, which does its own authentication. host is
// in lower case and without a port.
func (g *Gate) Data(match func(host, path string) bool, h http.Handler) {
	g.data = append(g.data, dataPlane{match, h})
}

// ServeHTTP is the path of every request, top to bottom.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := g.dataPlane(r); h != nil {
		g.serveData(h, w, r)
		return
	}
	x := g.admit(w, r)
	defer x.finish()
	out, err := x.perform()
	if later, ok := err.(aws.Later); ok {
		if out, err = x.await(later); x.parked {
			return
		}
	}
	x.reply(out, err)
}

// perform does everything between the first and the last byte.
func (x *exchange) perform() (any, error) {
	if err := x.read(); err != nil {
		return nil, err
	}
	if err := x.identify(); err != nil {
		return nil, err
	}
	ctx, err := x.authenticate()
	if err != nil {
		return nil, err
	}
	in, err := wire.Decode(x.route.op, x.protocol, x.r, x.body, x.labels)
	if err != nil {
		return nil, err
	}
	return x.gate.serve(ctx, x.route, in, &x.record)
}

// serve runs an operation for a client, and tells the audit. Like run it may return an aws.Later.
func (g *Gate) serve(ctx context.Context, rt *route, in any, rec *Record) (any, error) {
	out, err := g.run(ctx, rt, in, rec)
	if g.options.Audit == nil {
		return out, err
	}
	call := *aws.CallFrom(ctx)
	if rec.Account != "" { // where the operation ran
		call.Account, call.Region = rec.Account, rec.Region
	}
	audit := func(ctx context.Context, out any, err error) {
		var failure *aws.Error
		if err != nil {
			out, failure = nil, g.asError(err, rt.op, rt.op.API.Protocols[0])
		}
		g.options.Audit(aws.WithCall(ctx, &call), rt.op, in, out, failure)
	}
	if u, ok := err.(*unfinished); ok {
		u.audit = audit
		return nil, u
	}
	audit(ctx, out, err)
	return out, err
}

// run authorises and runs an operation; ctx has the call.
func (g *Gate) run(ctx context.Context, rt *route, in any, rec *Record) (any, error) {
	ctx, err := g.authorise(ctx, rt, in, rec)
	if err != nil {
		return nil, err
	}
	out, err := rt.op.Call(rt.impl, ctx, in)
	if later, ok := err.(aws.Later); ok {
		return nil, &unfinished{Later: later, call: aws.CallFrom(ctx)}
	}
	return out, err
}

// dataPlane returns the handler of a request that is no API call, or nil.
func (g *Gate) dataPlane(r *http.Request) http.Handler {
	if len(g.data) == 0 {
		return nil
	}
	host := hostname(r.Host)
	for _, d := range g.data {
		if d.match(host, r.URL.Path) {
			return d.handler
		}
	}
	return nil
}

// serveData runs a data plane; a panic in it is a 500 in API Gateway's form.
func (g *Gate) serveData(h http.Handler, w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			g.logPanic(p, slog.String("host", r.Host), slog.String("path", printable(r.URL.Path)))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			w.Write([]byte(`{"message":"Internal Server Error"}`))
		}
	}()
	if err := http.NewResponseController(w).SetReadDeadline(g.world.Wall().Add(dataTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return // the client went away
	}
	h.ServeHTTP(w, r)
}
