package sns

import (
	"context"
	"log/slog"

	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
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
	signer    *signer
	relay     *relay.Relay[delivery]
}

var _ sns.Service = (*Service)(nil)

// New returns the service. It delivers through queues and functions, which are to call as
// sns.amazonaws.com, on behalf of the call in their context.
func New(db *store.DB, w *world.World, log *slog.Logger, queues Queues, functions Functions) *Service {
	s := &Service{db: db, world: w, log: log, queues: queues, functions: functions, signer: newSigner(db, w)}
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
	return s
}

// Start begins to deliver in the background.
func (s *Service) Start() { s.relay.Start(s.db, s.world, s.log) }

// Access implements gate.Service: operations on a topic name the topic, those on a subscription
// or on nothing in particular name "*", as AWS's reference has it.
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	switch in := in.(type) {
	case *sns.CreateTopicInput:
		c := aws.CallFrom(ctx)
		return aws.On(aws.MakeARN("sns", c.Region, c.Account, in.Name)), nil
	case *sns.PublishInput:
		if in.TopicArn == nil && in.TargetArn == nil {
			return aws.On("*"), nil
		}
		return on(in.GetTopicArn() + in.GetTargetArn())
	case *sns.SubscribeInput:
		access, err := on(in.TopicArn)
		if err == nil {
			access[0].Context = map[string][]string{"sns:Protocol": {in.Protocol}, "sns:Endpoint": {in.GetEndpoint()}}
		}
		return access, err
	case interface{ GetTopicArn() string }:
		return on(in.GetTopicArn())
	case interface{ GetResourceArn() string }:
		return on(in.GetResourceArn())
	}
	return aws.On("*"), nil
}

// on is the access to a topic by its ARN.
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
