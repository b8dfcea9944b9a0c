package events

import (
	"context"
	"log/slog"
	"strconv"

	"fogbank/api/events"
	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/policy"
	"fogbank/relay"
	"fogbank/source"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// Queues is what EventBridge needs of SQS.
type Queues interface {
	SendMessage(context.Context, *sqs.SendMessageInput) (*sqs.SendMessageOutput, error)
}

// Topics is what EventBridge needs of SNS.
type Topics interface {
	Publish(context.Context, *sns.PublishInput) (*sns.PublishOutput, error)
}

// Functions is what EventBridge needs of Lambda.
type Functions interface {
	Invoke(context.Context, *lambda.InvokeInput) (*lambda.InvokeOutput, error)
}

// Logs is what EventBridge needs of CloudWatch Logs.
type Logs interface {
	CreateLogStream(context.Context, *logs.CreateLogStreamInput) (*logs.CreateLogStreamOutput, error)
	PutLogEvents(context.Context, *logs.PutLogEventsInput) (*logs.PutLogEventsOutput, error)
}

// APIs is what EventBridge needs of API Gateway: requests to the hosts of APIs, in process, as the principal of
// the call in ctx.
type APIs interface {
	Do(ctx context.Context, r *egress.Request) (*egress.Answer, error)
}

// Clients are the services targets live in. Calls carry, in their context, the rule they are
// made for; the clients are to call as events.amazonaws.com.
type Clients struct {
	Queues    Queues
	Topics    Topics
	Functions Functions
	Logs      Logs
	APIs      APIs
	Roles     source.Roles   // to take targets' roles
	Network   egress.Network // to API destinations
	// AsRole makes calls of the principal in the context's call, which is a target's role.
	AsRole wire.Invoker
	// Permit asks policy whether the principal of the call in ctx may do something.
	Permit func(ctx context.Context, op *wire.Operation, a aws.Access) error
}

// Service implements events.Service.
type Service struct {
	events.Unimplemented
	db    *store.DB
	world *world.World
	log   *slog.Logger
	to    Clients
	// asRole are the clients for targets that have roles.
	asRole Clients
	relay  *relay.Relay[delivery]
	// authorizing tries the credentials of new connections.
	authorizing *relay.Relay[authorization]
}

var _ events.Service = (*Service)(nil)

// New returns the service.
func New(db *store.DB, w *world.World, log *slog.Logger, to Clients) *Service {
	s := &Service{db: db, world: w, log: log, to: to, asRole: Clients{Queues: sqs.Client{Invoke: to.AsRole}, Topics: sns.Client{Invoke: to.AsRole}, Functions: lambda.Client{Invoker: to.AsRole}}}
	s.relay = relay.New(relay.Options[delivery]{
		Name:    "events/delivery",
		Deliver: s.deliver,
		Retry:   s.retry,
		Dead:    s.dead,
		Lanes:   deliveryLanes,
	})
	s.authorizing = s.newAuthorizing()
	return s
}

// Start begins to deliver in the background.
func (s *Service) Start() {
	s.relay.Start(s.db, s.world, s.log)
	s.authorizing.Start(s.db, s.world, s.log)
	ticks.Run(s.db, s.strike)
	sweeps.Run(s.db, s.sweep)
	replayTurns.Run(s.db, s.turn)
}

// Access implements gate.Service.
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	c := aws.CallFrom(ctx)
	if list := keeping(c, in); list != nil {
		return list, nil
	}
	if list := reaching(c, in); list != nil {
		return list, nil
	}
	switch in := in.(type) {
	case *events.PutEventsInput:
		list := make([]aws.Access, len(in.Entries))
		for i := range in.Entries {
			e := &in.Entries[i]
			list[i] = aws.Access{Resource: busARN(c, e.GetEventBusName()), Context: putting(e.GetSource(), e.GetDetailType(), false)}
		}
		return list, nil
	case *events.CreateEventBusInput:
		return aws.On(busARN(c, in.Name)), nil
	case *events.DeleteEventBusInput:
		return aws.On(busARN(c, in.Name)), nil
	case *events.DescribeEventBusInput:
		return aws.On(busARN(c, in.GetName())), nil
	case *events.UpdateEventBusInput:
		return aws.On(busARN(c, in.GetName())), nil
	case *events.PutPermissionInput:
		return aws.On(busARN(c, in.GetEventBusName())), nil
	case *events.RemovePermissionInput:
		return aws.On(busARN(c, in.GetEventBusName())), nil
	case *events.PutRuleInput:
		return passing(aws.On(ruleOn(c, in.GetEventBusName(), in.Name)), in.GetRoleArn()), nil
	case *events.PutTargetsInput:
		access := aws.On(ruleOn(c, in.GetEventBusName(), in.Rule))
		access[0].Context = map[string][]string{}
		for i := range in.Targets {
			access[0].Context["events:TargetArn"] = append(access[0].Context["events:TargetArn"], in.Targets[i].Arn)
			access = passing(access, in.Targets[i].GetRoleArn())
		}
		return access, nil
	case interface {
		GetEventBusName() string
		GetRule() string
	}:
		return aws.On(ruleOn(c, in.GetEventBusName(), in.GetRule())), nil
	case interface {
		GetEventBusName() string
		GetName() string
	}:
		return aws.On(ruleOn(c, in.GetEventBusName(), in.GetName())), nil
	case interface{ GetResourceARN() string }:
		return aws.On(aws.ARN(in.GetResourceARN())), nil
	}
	return aws.On("*"), nil
}

// passing adds that a role is handed to EventBridge.
func passing(access []aws.Access, role string) []aws.Access {
	if role == "" {
		return access
	}
	return append(access, aws.Access{Action: "iam:PassRole", Resource: aws.ARN(role),
		Context: map[string][]string{"iam:PassedToService": {"events.amazonaws.com"}}})
}

// putting are the condition keys of an event on its way to a bus.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
func putting(source, detailType string, byRule bool) map[string][]string {
	return map[string][]string{"events:source": {source}, "events:detail-type": {detailType}, "events:eventBusInvocation": {strconv.FormatBool(byRule)}}
}

// busARN returns the ARN of a bus given by name or ARN; "" is the default bus.
func busARN(c *aws.Call, bus string) aws.ARN {
	if _, ok := aws.ARN(bus).Parse(); ok {
		return aws.ARN(bus)
	}
	if bus == "" {
		bus = defaultBus
	}
	return aws.MakeARN("events", c.Region, c.Account, "event-bus/"+bus)
}

// ruleOn returns the ARN of a rule on a bus given by name or ARN.
func ruleOn(c *aws.Call, bus, name string) aws.ARN {
	arn := busARN(c, bus)
	return ruleARN(arn.Account(), arn.Region(), busName(string(arn)), name)
}

func ruleARN(account, region, bus, name string) aws.ARN {
	if bus != defaultBus {
		name = bus + "/" + name
	}
	return aws.MakeARN("events", region, account, "rule/"+name)
}

// ResourcePolicy implements gate.Guarded: buses have policies.
func (s *Service) ResourcePolicy(ctx context.Context, resource aws.ARN) (*policy.Document, error) {
	name := busName(string(resource))
	if resource.Service() != "events" || name == "" {
		return nil, nil
	}
	var doc *policy.Document
	err := s.db.Glance(ctx, func(tx *store.Tx) error {
		d, _, err := busPolicies.Get(tx, store.K(name))
		doc = d
		return err
	})
	return doc, err
}
