package sqs

import (
	"context"
	"sync/atomic"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// The limits of SQS.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-quotas.html
const (
	maxMessageBytes     = 1 << 20 // also of a batch
	maxBatch            = 10
	maxAttributes       = 10 // message attributes of a message
	maxDelaySeconds     = 900
	maxWaitSeconds      = 20
	maxVisibility       = 43200 // seconds
	maxInFlight         = 120_000
	maxInFlightFIFO     = 120_000
	maxListed           = 1000
	maxTags             = 50
	maxReceives         = 1000 // maxReceiveCount of a redrive policy
	onceWindow          = 5 * time.Minute
	deletedMilliseconds = 60_000 // before a name can be used again
	purgedMilliseconds  = 60_000 // between two purges
)

// Service implements sqs.Service.
type Service struct {
	sqs.Unimplemented
	db    *store.DB
	world *world.World
	// lastMoment is the last slot time given to a message. It is forgotten at the end without harm.
	lastMoment atomic.Int64
}

var _ sqs.Service = (*Service)(nil)

// New returns the service with its state in db. Start begins its background work.
func New(db *store.DB, w *world.World) *Service { return &Service{db: db, world: w} }

// Start begins the background work: alarms, expiry, clearing of deleted queues, message moves.
func (s *Service) Start() {
	alarms.Run(s.db, s.alarm)
	sweeps.Run(s.db, s.sweep)
	clearings.Run(s.db, s.clear)
	moves.Run(s.db, s.moveSome)
	redelays.Run(s.db, s.redelay)
}

// batchActions are the IAM actions of batch operations: those of the single ones.
var batchActions = map[string]string{
	"SendMessageBatch":             "sqs:SendMessage",
	"DeleteMessageBatch":           "sqs:DeleteMessage",
	"ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}

// Access returns the queue an input touches.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	call := aws.CallFrom(ctx)
	on := func(account, name string) []aws.Access {
		return []aws.Access{{Action: batchActions[op.Name], Resource: aws.MakeARN("sqs", call.Region, account, name)}}
	}
	switch in := in.(type) {
	case *sqs.CreateQueueInput:
		return on(call.Account, in.QueueName), nil
	case *sqs.GetQueueUrlInput:
		if owner := in.GetQueueOwnerAWSAccountId(); owner != "" {
			return on(owner, in.QueueName), nil
		}
		return on(call.Account, in.QueueName), nil
	case *sqs.ListQueuesInput:
		return on(call.Account, "*"), nil
	case *sqs.StartMessageMoveTaskInput:
		return accessOfMove(in), nil
	case *sqs.CancelMessageMoveTaskInput:
		task, ok := openTask(in.TaskHandle)
		if !ok {
			return nil, noTask()
		}
		return accessOfTask(task.source, op.Action), nil
	case *sqs.ListMessageMoveTasksInput:
		return aws.On(aws.ARN(in.SourceArn)), nil
	case interface{ GetQueueUrl() string }:
		account, name, err := address(in.GetQueueUrl())
		if err != nil {
			return nil, err
		}
		return on(account, name), nil
	}
	return aws.On("*"), nil
}

// ResourcePolicy returns the queue's policy, nil when it has none or there is no such queue.
func (s *Service) ResourcePolicy(ctx context.Context, resource aws.ARN) (*policy.Document, error) {
	var d *policy.Document
	err := s.db.Glance(ctx, func(tx *store.Tx) error {
		d = nil
		q, ok, err := lives.Get(tx, store.K(resource.Name()))
		if ok {
			d = q.policy
		}
		return err
	})
	return d, err
}
