package logs

import (
	"context"

	"fogbank/api/logs"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// Service implements CloudWatch Logs.
type Service struct {
	logs.Unimplemented
	db    *store.DB
	world *world.World
}

var _ logs.Service = (*Service)(nil)

// New returns the service on db.
func New(db *store.DB, w *world.World) *Service {
	return &Service{db: db, world: w}
}

// Start begins to clear away what has expired or was deleted.
func (s *Service) Start() {
	sweeps.Run(s.db, s.sweep)
}

// Access names what an operation touches, as AWS's authorisation does: a stream, or a group with
// an empty stream's name behind it.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	c := aws.CallFrom(ctx)
	if in, ok := in.(interface{ GetResourceArn() string }); ok {
		return aws.On(aws.ARN(in.GetResourceArn())), nil
	}
	group, stream := "", ""
	if in, ok := in.(interface{ GetLogGroupName() string }); ok {
		group = in.GetLogGroupName()
	}
	if in, ok := in.(interface{ GetLogGroupIdentifier() string }); ok && group == "" {
		group = in.GetLogGroupIdentifier()
	}
	if in, ok := in.(interface{ GetLogStreamName() string }); ok {
		stream = in.GetLogStreamName()
	}
	if a, ok := aws.ARN(group).Parse(); ok {
		return aws.On(aws.MakeARN("logs", a.Region, a.Account, "log-group:"+groupName(group)+":log-stream:"+stream)), nil
	}
	return aws.On(aws.MakeARN("logs", c.Region, c.Account, "log-group:"+group+":log-stream:"+stream)), nil
}
