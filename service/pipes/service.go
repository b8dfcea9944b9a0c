package pipes

import (
	"context"
	"log/slog"

	"fogbank/api/events"
	"fogbank/api/pipes"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/source"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// principal is who Pipes is to roles' trust policies.
const principal = "pipes.amazonaws.com"

// APIs sends requests to API destinations and to methods of API Gateway, as the principal of the call in ctx, and
// returns the answers' bodies.
type APIs interface {
	Call(ctx context.Context, destination string, p *events.HttpParameters, event, body []byte) ([]byte, error)
	CallAPI(ctx context.Context, method string, p *events.HttpParameters, event, body []byte) ([]byte, error)
}

// Options are what the service needs besides the store and the world.
type Options struct {
	// Service makes calls as pipes.amazonaws.com, Role those of the principal in the context's call.
	Service, Role wire.Invoker
	// Delivery makes calls as delivery.logs.amazonaws.com, which delivers services' logs.
	Delivery wire.Invoker
	APIs     APIs
	// Endpoint is this server's scheme and host, for the URLs of queues.
	Endpoint string
	Log      *slog.Logger
}

// Service implements pipes.Service.
type Service struct {
	pipes.Unimplemented
	db    *store.DB
	world *world.World
	o     Options
	roles source.Roles
}

var _ pipes.Service = (*Service)(nil)

// New returns the service; Start starts its pipes.
func New(db *store.DB, w *world.World, o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Role = logged(o.Role)
	s := &Service{db: db, world: w, o: o, roles: sts.Client{Invoke: o.Service}}
	db.OnClear(s.cleared)
	return s
}

// Start runs the pipes there are, in the background.
func (s *Service) Start() { s.world.Go(s.supervise) }

// Access names the pipe an operation is about, and the role it hands to Pipes.
func (s *Service) Access(ctx context.Context, _ *wire.Operation, in any) ([]aws.Access, error) {
	c := aws.CallFrom(ctx)
	switch in := in.(type) {
	case *pipes.CreatePipeInput:
		return append(append(aws.On(pipeARN(c.Account, c.Region, in.Name)), passing(in.RoleArn)), logging(in.LogConfiguration)...), nil
	case *pipes.UpdatePipeInput:
		return append(append(aws.On(pipeARN(c.Account, c.Region, in.Name)), passing(in.RoleArn)), logging(in.LogConfiguration)...), nil
	case interface{ GetResourceArn() string }:
		return aws.On(aws.ARN(in.GetResourceArn())), nil
	case interface{ GetName() string }:
		return aws.On(pipeARN(c.Account, c.Region, in.GetName())), nil
	}
	return aws.On("*"), nil
}

// passing is that a role is handed to Pipes.
func passing(role string) aws.Access {
	return aws.Access{Action: "iam:PassRole", Resource: aws.ARN(role), Context: map[string][]string{"iam:PassedToService": {principal}}}
}

// logging is the permission to have Pipes write logs, which the caller needs for a log destination.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-logs.html
func logging(c *pipes.PipeLogConfigurationParameters) []aws.Access {
	if c == nil || c.CloudwatchLogsLogDestination == nil {
		return nil
	}
	return []aws.Access{{Action: "logs:CreateLogDelivery", Resource: "*"}}
}

func pipeARN(account, region, name string) aws.ARN {
	return aws.MakeARN("pipes", region, account, "pipe/"+name)
}

// cleared forgets the pipes of an account that was emptied; "" is all.
func (s *Service) cleared(ctx context.Context, account string) error {
	prefix := store.Key("")
	if account != "" {
		prefix = store.K(account)
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		for key := range known.Keys(tx, store.Range{Prefix: prefix}) {
			known.Delete(tx, key)
		}
		tx.Wake(topic)
		return nil
	})
}

// notYet refuses what fogbank does not do, rather than pretend.
func notYet(what string) error {
	return aws.Errorf("NotImplemented", 501, "EventBridge Pipes: %s is not implemented", what)
}

func invalid(format string, args ...any) error { return pipes.ValidationException(format, args...) }
