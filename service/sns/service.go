package sns

import (
	"context"
	"log/slog"

	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/policy"
	"fogbank/relay"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// Queues is what SNS needs of SQS.
type Queues interface {
	SendMessage(context.Context, *sqs.SendMessageInput) (*sqs.SendMessageOutput, error)
}

// Functions is what SNS needs of Lambda.
type Functions interface {
	Invoke(context.Context, *lambda.InvokeInput) (*lambda.InvokeOutput, error)
}

// Service implements sns.Service.
type Service struct {
	sns.Unimplemented
	db        *store.DB
	world     *world.World
	log       *slog.Logger
	queues    Queues
	functions Functions
	logs      Logs
	roles     Roles
	network   egress.Network
	signer    *signer
	relay     *relay.Relay[delivery] // to queues and functions, in order
	outside   *relay.Relay[delivery] // to everything else
	spread    *relay.Relay[spread]   // to many at once
	places    chan struct{}          // for chunks of those

	smsGateway, pushGateway string
}

var _ sns.Service = (*Service)(nil)

// Options are what the service works with; all are required but those that say otherwise.
type Options struct {
	Log *slog.Logger
	// Queues and Functions are to call as sns.amazonaws.com, on behalf of the call in their context.
	Queues    Queues
	Functions Functions
	// Roles is to call as sns.amazonaws.com, and Logs as the principal of the call in their context.
	Logs  Logs
	Roles Roles
	// Network leads to endpoints outside.
	Network egress.Network
	// SMSGateway and PushGateway are URLs that take text messages and pushes as JSON; "": they go to the outbox.
	SMSGateway, PushGateway string
}

// New returns the service.
func New(db *store.DB, w *world.World, o Options) *Service {
	s := &Service{db: db, world: w, log: o.Log, queues: o.Queues, functions: o.Functions, logs: o.Logs, roles: o.Roles, network: o.Network,
		smsGateway: o.SMSGateway, pushGateway: o.PushGateway, signer: newSigner(db, w), places: make(chan struct{}, chunkPlaces())}
	s.relay = relay.New(relay.Options[delivery]{
		Name:    "sns/delivery",
		Deliver: s.deliver,
		Retry:   retry,
		Dead:    s.dead,
		// A lane is a subscription: its endpoint gets messages as they were published. What cannot
		// succeed is dead at once, so only an endpoint that is down holds up its own lane.
		Ordered: true,
		Lanes:   deliveryLanes,
	})
	s.outside = relay.New(relay.Options[delivery]{
		Name:    "sns/outside",
		Deliver: s.deliverOutside,
		Retry:   s.retryOutside,
		Dead:    s.dead,
		Lanes:   outsideLanes,
	})
	s.spread = relay.New(relay.Options[spread]{
		Name:    "sns/spread",
		Deliver: s.carry,
		Ordered: true, // a lane is a topic
		Lanes:   spreadLanes,
	})
	return s
}

// Start begins to deliver in the background.
func (s *Service) Start() {
	s.relay.Start(s.db, s.world, s.log)
	s.outside.Start(s.db, s.world, s.log)
	s.spread.Start(s.db, s.world, s.log)
	expiries.Run(s.db, s.expire)
	archiveSweeps.Run(s.db, s.sweepArchive)
	replays.Run(s.db, s.replaySome)
}

// add puts a delivery on its way. A lane is a subscription, and of a FIFO topic one of its groups.
func (s *Service) add(tx *store.Tx, d delivery) {
	if !inside(d.Protocol) {
		d.turn = &turn{}
		s.outside.Add(tx, d.ID, d)
		return
	}
	lane := d.ID
	if d.message.Sequence != 0 {
		lane += "/" + d.message.Group
	}
	s.relay.Add(tx, lane, d)
}

// Access implements gate.Service: operations on a topic name the topic, those on a subscription
// or on nothing in particular name "*", as AWS's reference has it.
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	switch in := in.(type) {
	case *sns.CreateTopicInput:
		c := aws.CallFrom(ctx)
		access := aws.On(aws.MakeARN("sns", c.Region, c.Account, in.Name))
		for name, v := range in.Attributes {
			access = passing(access, name, v)
		}
		return access, nil
	case *sns.SetTopicAttributesInput:
		access, err := on(in.TopicArn)
		return passing(access, in.AttributeName, in.GetAttributeValue()), err
	case *sns.PublishInput:
		if in.TopicArn == nil && in.TargetArn == nil {
			return aws.On("*"), nil
		}
		return on(in.GetTopicArn() + in.GetTargetArn())
	case *sns.UnsubscribeInput:
		if aws.CallFrom(ctx).Principal.Kind == aws.Anonymous {
			topic, _, _, err := parseSubscription(in.SubscriptionArn)
			return aws.On(aws.ARN(topic)), err
		}
	case *sns.SubscribeInput:
		access, err := on(in.TopicArn)
		if err == nil {
			access[0].Context = map[string][]string{"sns:Protocol": {in.Protocol}, "sns:Endpoint": {in.GetEndpoint()}}
		}
		return access, err
	case interface{ GetTopicArn() string }:
		return on(in.GetTopicArn())
	case interface{ GetPlatformApplicationArn() string }:
		return on(in.GetPlatformApplicationArn())
	case interface{ GetEndpointArn() string }:
		return on(in.GetEndpointArn())
	case interface{ GetResourceArn() string }:
		return on(in.GetResourceArn())
	}
	return aws.On("*"), nil
}

// passing adds that a role is handed to SNS, for logging.
func passing(access []aws.Access, attribute, v string) []aws.Access {
	if _, what, ok := feedbackAttribute(attribute); !ok || what == "SuccessFeedbackSampleRate" || v == "" {
		return access
	}
	return append(access, aws.Access{Action: "iam:PassRole", Resource: aws.ARN(v),
		Context: map[string][]string{"iam:PassedToService": {"sns.amazonaws.com"}}})
}

// on is the access to a topic, or something of push, by its ARN.
func on(arn string) ([]aws.Access, error) {
	if _, err := parseTopic(aws.ARN(arn)); err != nil {
		return nil, err
	}
	return aws.On(aws.ARN(arn)), nil
}

// ResourcePolicy implements gate.Guarded.
func (s *Service) ResourcePolicy(ctx context.Context, resource aws.ARN) (*policy.Document, error) {
	name, err := parseTopic(resource)
	if err != nil {
		return nil, nil
	}
	var doc *policy.Document
	err = s.db.Glance(ctx, func(tx *store.Tx) error {
		doc = nil
		t, ok, err := facts.Get(tx, store.K(name))
		if ok && err == nil {
			doc = t.policy
		}
		return err
	})
	return doc, err
}
