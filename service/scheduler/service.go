package scheduler

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"

	"fogbank/api/scheduler"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/relay"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// Options are what the service needs besides the store and the world.
type Options struct {
	// APIs are those universal targets may name.
	APIs []*wire.API
	// Service makes calls as scheduler.amazonaws.com, Role those of the principal in the context's call.
	Service, Role wire.Invoker
	// Endpoint is the scheme and host of queue URLs: "http://127.0.0.1:4566".
	Endpoint string
	Log      *slog.Logger
}

// Service implements scheduler.Service.
type Service struct {
	scheduler.Unimplemented
	db    *store.DB
	world *world.World
	o     Options
	sts   sts.Client
	apis  map[string]*wire.API // by the name universal targets use: "cloudwatchlogs"
	relay *relay.Relay[invocation]
}

var _ scheduler.Service = (*Service)(nil)

// New returns the service.
func New(db *store.DB, w *world.World, o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{db: db, world: w, o: o, sts: sts.Client{Invoke: o.Service}, apis: map[string]*wire.API{}}
	for _, api := range o.APIs {
		s.apis[strings.ToLower(strings.ReplaceAll(api.ID, " ", ""))] = api
	}
	s.relay = relay.New(relay.Options[invocation]{Name: "scheduler/invocation", Deliver: s.deliver, Retry: s.retry, Dead: s.dead})
	return s
}

// Start begins to invoke targets in the background.
func (s *Service) Start() {
	s.relay.Start(s.db, s.world, s.o.Log)
	dues.Run(s.db, s.strike)
	windows.Run(s.db, s.open)
	endings.Run(s.db, s.end)
}

// invalid is ValidationException.
func invalid(format string, args ...any) error { return scheduler.ValidationException(format, args...) }

// notYet refuses what fogbank does not do, rather than pretend.
func notYet(what string) error {
	return aws.Errorf("NotImplemented", 501, "EventBridge Scheduler: %s is not implemented", what)
}

// Access implements gate.Service.
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	c := aws.CallFrom(ctx)
	switch in := in.(type) {
	case *scheduler.CreateScheduleInput:
		return passing(scheduleARN(c.Account, c.Region, groupOf(in.GroupName), in.Name), in.Target.RoleArn), nil
	case *scheduler.UpdateScheduleInput:
		return passing(scheduleARN(c.Account, c.Region, groupOf(in.GroupName), in.Name), in.Target.RoleArn), nil
	case *scheduler.ListSchedulesInput, *scheduler.ListScheduleGroupsInput:
		return aws.On("*"), nil
	case interface {
		GetGroupName() string
		GetName() string
	}:
		group := in.GetGroupName()
		return aws.On(scheduleARN(c.Account, c.Region, groupOf(&group), in.GetName())), nil
	case interface{ GetName() string }:
		return aws.On(groupARN(c.Account, c.Region, in.GetName())), nil
	case interface{ GetResourceArn() string }:
		return aws.On(aws.ARN(in.GetResourceArn())), nil
	}
	return aws.On("*"), nil
}

// passing is what putting a schedule touches: itself, and the role handed to Scheduler.
func passing(schedule aws.ARN, role string) []aws.Access {
	return append(aws.On(schedule), aws.Access{Action: "iam:PassRole", Resource: aws.ARN(role),
		Context: map[string][]string{"iam:PassedToService": {"scheduler.amazonaws.com"}}})
}

// groupOf returns the group's name, the default group's when none is given.
func groupOf(name *string) string {
	if name == nil || *name == "" {
		return defaultGroup
	}
	return *name
}

func groupARN(account, region, name string) aws.ARN {
	return aws.MakeARN("scheduler", region, account, "schedule-group/"+name)
}

func scheduleARN(account, region, group, name string) aws.ARN {
	return aws.MakeARN("scheduler", region, account, "schedule/"+group+"/"+name)
}

// Pages of lists. A scan stops after so many rows even if few of them were wanted.
const (
	pageSize = 100
	pageScan = 10_000
)

// pageLimit returns how many rows a page has.
func pageLimit(given *int32) int {
	if given == nil {
		return pageSize
	}
	return int(*given)
}

// pageToken names the row a page ended with.
func pageToken(group, name string) *string {
	b, err := json.Marshal([2]string{group, name})
	if err != nil {
		panic("scheduler: names that are no JSON: " + err.Error())
	}
	return new(base64.RawURLEncoding.EncodeToString(b))
}

// parseToken reads what pageToken wrote; "" is the beginning.
func parseToken(token string) (row [2]string, err error) {
	if token == "" {
		return row, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(b, &row) != nil {
		return row, invalid("Invalid nextToken provided.")
	}
	return row, nil
}
