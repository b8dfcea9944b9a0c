package lambda

import (
	"context"
	"log/slog"
	"strings"

	"fogbank/api/lambda"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/policy"
	"fogbank/relay"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// principal is who Lambda is to other services.
const principal = "lambda.amazonaws.com"

// Code keeps deployment packages durably, each under the hexadecimal SHA-256 of its bytes. *compute.Code is one.
type Code interface {
	Put(zip []byte) (name string, err error)
	Get(name string) (zip []byte, err error)
	// Prepare makes a package, unless its name is empty, and those of layers ready to run.
	Prepare(name string, layers []string) error
	// Sweep forgets the packages keep does not want; it is called once, before anything else.
	Sweep(keep func(name string) bool) error
}

// Pool runs functions. *compute.Pool is one.
type Pool interface {
	Invoke(ctx context.Context, j *compute.Job) (compute.Result, error)
	Drop(function string)
	Provision(want compute.Provision)
	Provisioned(function string) compute.Provisioned
}

// Options are what the service needs besides the store and the world.
type Options struct {
	Code Code
	Pool Pool
	// Service makes calls as lambda.amazonaws.com, Role those of the principal in the context's call.
	Service, Role wire.Invoker
	// Endpoint is where functions reach this server: "http://127.0.0.1:4566".
	Endpoint string
	// Supported says why a runtime cannot run here; nil when it can.
	Supported func(runtime string) error
	// Hot are the directories functions may run from; nil: none.
	Hot *compute.Hot
	// Unsafe is what answers that describe a function say of its isolation, when there is none; nil: nothing.
	Unsafe func() string
	Log    *slog.Logger
}

// Service is Lambda.
type Service struct {
	lambda.Unimplemented
	db       *store.DB
	world    *world.World
	o        Options
	sts      sts.Client
	unready  unready
	journal  *journal
	events   *relay.Relay[event]
	sendings *relay.Relay[sending]
}

var _ lambda.Service = (*Service)(nil)

// New returns the service; Start starts its work in the background.
func New(db *store.DB, w *world.World, o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Supported == nil {
		o.Supported = func(string) error { return nil }
	}
	s := &Service{db: db, world: w, o: o, sts: sts.Client{Invoke: o.Service}, journal: newJournal(w, o.Role)}
	s.events, s.sendings = s.newEvents(), s.newSendings()
	db.OnClear(s.cleared)
	return s
}

// Start removes packages nobody uses and begins to carry logs, asynchronous events and the records of
// event sources. Call it once, before requests come in.
func (s *Service) Start() error {
	if err := s.sweep(); err != nil {
		return err
	}
	s.world.Go(s.journal.run)
	s.events.Start(s.db, s.world, s.o.Log)
	s.sendings.Start(s.db, s.world, s.o.Log)
	s.world.Go(s.superviseMappings)
	s.world.Go(s.superviseProvisions)
	return nil
}

// cleared removes what is stored about an account outside of it, and stops its mappings.
func (s *Service) cleared(ctx context.Context, account string) error {
	if account == "" {
		return nil // all of it is gone
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		for key := range known.Keys(tx, store.Range{Prefix: store.K(account)}) {
			known.Delete(tx, key)
		}
		for key := range packages.Keys(tx, store.Range{}) {
			var name, owner, region, holder string
			if err := key.Parse(&name, &owner, &region, &holder); err != nil {
				return err
			}
			if owner == account {
				packages.Delete(tx, key)
			}
		}
		for key, place := range urlPlaces.All(tx, "") {
			if place.Account == account {
				urlPlaces.Delete(tx, key)
			}
		}
		deleteProvisions(tx, account)
		tx.Wake(mappingsTopic)
		return nil
	})
}

// sweep removes packages that a crash or a deletion left without a function.
func (s *Service) sweep() error {
	used := map[string]bool{}
	err := s.db.View(context.Background(), func(tx *store.Tx) error {
		for k := range packages.Keys(tx, store.Range{}) {
			var name string
			var rest [3]string
			if err := k.Parse(&name, &rest[0], &rest[1], &rest[2]); err != nil {
				return err
			}
			used[name] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.o.Code.Sweep(func(name string) bool { return used[name] })
}

// Access names the function, mapping or role an operation is about.
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	switch in := in.(type) {
	case *lambda.CreateFunctionInput:
		list, err := s.accessFunction(ctx, in.FunctionName, "")
		return append(append(list, passRole(in.Role)), accessLayers(in.Layers)...), err
	case *lambda.UpdateFunctionConfigurationInput:
		list, err := s.accessFunction(ctx, in.FunctionName, "")
		if in.Role != nil {
			list = append(list, passRole(*in.Role))
		}
		return append(list, accessLayers(in.Layers)...), err
	case *lambda.PublishLayerVersionInput:
		return accessLayer(ctx, in.LayerName, 0)
	case *lambda.GetLayerVersionByArnInput:
		return accessLayer(ctx, in.Arn, 0)
	case *lambda.ListLayerVersionsInput:
		return aws.On("*"), nil
	case *lambda.CreateEventSourceMappingInput:
		return s.accessMappings(ctx, in.FunctionName)
	case *lambda.ListEventSourceMappingsInput:
		return s.accessMappings(ctx, in.GetFunctionName())
	case *lambda.TagResourceInput:
		return aws.On(aws.ARN(in.Resource)), nil
	case *lambda.UntagResourceInput:
		return aws.On(aws.ARN(in.Resource)), nil
	case *lambda.ListTagsInput:
		return aws.On(aws.ARN(in.Resource)), nil
	}
	if l, ok := in.(interface {
		GetLayerName() string
		GetVersionNumber() int64
	}); ok {
		return accessLayer(ctx, l.GetLayerName(), l.GetVersionNumber())
	}
	if m, ok := in.(interface{ GetUUID() string }); ok {
		c := aws.CallFrom(ctx)
		return aws.On(mappingARN(c.Account, c.Region, m.GetUUID())), nil
	}
	f, ok := in.(interface{ GetFunctionName() string })
	if !ok {
		return aws.On("*"), nil
	}
	qualifier := ""
	if q, ok := in.(interface{ GetQualifier() string }); ok {
		qualifier = q.GetQualifier()
	}
	return s.accessFunction(ctx, f.GetFunctionName(), qualifier)
}

func (s *Service) accessFunction(ctx context.Context, name, qualifier string) ([]aws.Access, error) {
	r, err := refer(ctx, name, qualifier)
	if err != nil {
		return nil, err
	}
	return aws.On(r.arn()), nil
}

// accessMappings is "*", with the function as a condition key.
func (s *Service) accessMappings(ctx context.Context, function string) ([]aws.Access, error) {
	if function == "" {
		return aws.On("*"), nil
	}
	r, err := refer(ctx, function, "")
	if err != nil {
		return nil, err
	}
	return []aws.Access{{Resource: "*", Context: map[string][]string{"lambda:FunctionArn": {string(r.arn())}}}}, nil
}

// passRole is the permission to give a role to Lambda.
func passRole(role string) aws.Access {
	return aws.Access{Action: "iam:PassRole", Resource: aws.ARN(role),
		Context: map[string][]string{"iam:PassedToService": {principal}}}
}

// ResourcePolicy returns the policy AddPermission has built up for a function.
func (s *Service) ResourcePolicy(ctx context.Context, resource aws.ARN) (doc *policy.Document, err error) {
	if strings.HasPrefix(resource.Resource(), "layer:") {
		return s.layerPolicy(ctx, resource)
	}
	name, ok := strings.CutPrefix(resource.Resource(), "function:")
	if !ok {
		return nil, nil
	}
	var r reference
	r.name, r.qualifier, _ = strings.Cut(name, ":")
	err = s.db.Glance(ctx, func(tx *store.Tx) error {
		doc, _, err = compiledPolicies.Get(tx, r.key())
		return err
	})
	return doc, err
}

func (s *Service) layerPolicy(ctx context.Context, resource aws.ARN) (doc *policy.Document, err error) {
	l, err := referLayer(ctx, string(resource), 0)
	if err != nil {
		return nil, nil // nothing there to have a policy
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		doc, _, err = compiledLayerPolicies.Get(tx, l.key())
		return err
	})
	return doc, err
}
