package scheduler

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"

	"fogbank/api/scheduler"
	"fogbank/aws"
	"fogbank/wire"
)

const (
	maxInput    = 256 << 10
	maxAttempts = 185
	maxAge      = 86_400 // seconds
)

// target is what a schedule invokes, as stored.
type target struct {
	ARN        string
	Role       string
	Input      string `json:",omitempty"`
	Group      string `json:",omitempty"` // of messages to a FIFO queue
	DetailType string `json:",omitempty"` // of events
	Source     string `json:",omitempty"`
	DeadLetter string `json:",omitempty"` // ARN of a queue
	Attempts   int32  // retries
	Age        int32  // seconds
}

// universal is what the ARNs of universal targets begin with, before service:operation.
const universal = "arn:aws:scheduler:::aws-sdk:"

// newTarget checks a target. The ones fogbank has no service for are refused.
func (s *Service) newTarget(in *scheduler.Target) (target, error) {
	t := target{ARN: in.Arn, Role: in.RoleArn, Attempts: maxAttempts, Age: maxAge}
	if in.Input != nil {
		t.Input = *in.Input
	}
	if in.SqsParameters != nil {
		t.Group = in.SqsParameters.GetMessageGroupId()
	}
	if in.EventBridgeParameters != nil {
		t.DetailType, t.Source = in.EventBridgeParameters.DetailType, in.EventBridgeParameters.Source
	}
	if in.DeadLetterConfig != nil {
		t.DeadLetter = in.DeadLetterConfig.GetArn()
	}
	if p := in.RetryPolicy; p != nil && p.MaximumRetryAttempts != nil {
		t.Attempts = *p.MaximumRetryAttempts
	}
	if p := in.RetryPolicy; p != nil && p.MaximumEventAgeInSeconds != nil {
		t.Age = *p.MaximumEventAgeInSeconds
	}
	switch {
	case in.EcsParameters != nil || in.KinesisParameters != nil || in.SageMakerPipelineParameters != nil:
		return t, notYet("a target in ECS, Kinesis or SageMaker")
	case len(t.Input) > maxInput:
		return t, invalid("The Input must not exceed %d bytes.", maxInput)
	}
	if err := s.checkARN(&t); err != nil {
		return t, err
	}
	return t, t.checkParameters()
}

// checkARN refuses targets that cannot be called.
func (s *Service) checkARN(t *target) error {
	if strings.HasPrefix(t.ARN, universal) {
		_, err := s.operation(t.ARN)
		return err
	}
	p, ok := aws.ARN(t.ARN).Parse()
	if !ok || p.Account == "" || p.Region == "" {
		return invalid("Provided Arn is not in correct format.")
	}
	fine := true
	switch p.Service {
	case "sqs":
		if strings.HasSuffix(p.Resource, ".fifo") && t.Group == "" {
			return invalid("SqsParameters with a MessageGroupId must be specified for a FIFO queue.")
		}
	case "sns":
		fine = !strings.Contains(p.Resource, ":")
	case "lambda":
		fine = strings.HasPrefix(p.Resource, "function:")
	case "events":
		fine = strings.HasPrefix(p.Resource, "event-bus/")
		if fine && (t.DetailType == "" || t.Source == "") {
			return invalid("EventBridgeParameters must be specified for an event bus.")
		}
	default:
		return notYet("a target in " + p.Service)
	}
	if !fine {
		return invalid("Provided Arn is not in correct format.")
	}
	return nil
}

// sourcePattern is that of EventBridgeParameters.Source, but for what must not begin it.
var sourcePattern = regexp.MustCompile(`^(?:[/.\-_A-Za-z0-9]+|\$(?:\.[\w_-]+(?:\[(?:\d+|\*)\])*)*)$`)

// checkParameters refuses parameters of another kind of target, and input that is not what the target takes.
func (t *target) checkParameters() error {
	service := t.service()
	switch {
	case t.Group != "" && service != "sqs":
		return invalid("SqsParameters are for a target that is a queue.")
	case t.Source != "" && service != "events":
		return invalid("EventBridgeParameters are for a target that is an event bus.")
	case t.Source != "" && (!sourcePattern.MatchString(t.Source) || strings.HasPrefix(t.Source, "aws.")):
		return invalid("The Source of EventBridgeParameters is not valid.")
	}
	if service == "sqs" || service == "sns" || t.Input == "" {
		return nil
	}
	if !json.Valid([]byte(fill(t.Input, "", "0", "0", 0))) {
		return invalid("Invalid RequestJson provided. Reason The Input must be valid JSON.")
	}
	return nil
}

// service is that of a templated target, "" for a universal one.
func (t *target) service() string {
	if strings.HasPrefix(t.ARN, universal) {
		return ""
	}
	return aws.ARN(t.ARN).Service()
}

// reading are how operations begin that universal targets cannot be, since they change nothing.
//
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
var reading = []string{"get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup", "discover", "validate",
	"batchGet", "batchDescribe", "batchRead", "transactGet", "adminGet", "adminList", "testMigration", "retrieve", "testConnection",
	"translateDocument", "isAuthorized", "invokeModel"}

// operation returns what a universal target calls: arn:aws:scheduler:::aws-sdk:sqs:sendMessage.
func (s *Service) operation(arn string) (*wire.Operation, error) {
	service, name, ok := strings.Cut(strings.TrimPrefix(arn, universal), ":")
	if !ok || service == "" || name == "" {
		return nil, invalid("Provided Arn is not in correct format.")
	}
	for _, verb := range reading {
		if rest, ok := strings.CutPrefix(name, verb); ok && (rest == "" || unicode.IsUpper(rune(rest[0]))) {
			return nil, invalid("The operation %s of %s cannot be the target of a schedule.", name, service)
		}
	}
	api := s.apis[service]
	if api == nil {
		return nil, notYet("a universal target in " + service)
	}
	op := api.Operation(strings.ToUpper(name[:1]) + name[1:])
	if op == nil {
		return nil, invalid("%s is not an operation of %s.", name, service)
	}
	return op, nil
}

// entry is the target as GetSchedule shows it, defaults included.
func (t *target) entry() *scheduler.Target {
	e := &scheduler.Target{Arn: t.ARN, RoleArn: t.Role, RetryPolicy: &scheduler.RetryPolicy{
		MaximumEventAgeInSeconds: new(t.Age), MaximumRetryAttempts: new(t.Attempts)}}
	if t.Input != "" {
		e.Input = new(t.Input)
	}
	if t.Group != "" {
		e.SqsParameters = &scheduler.SqsParameters{MessageGroupId: new(t.Group)}
	}
	if t.Source != "" {
		e.EventBridgeParameters = &scheduler.EventBridgeParameters{DetailType: t.DetailType, Source: t.Source}
	}
	if t.DeadLetter != "" {
		e.DeadLetterConfig = &scheduler.DeadLetterConfig{Arn: new(t.DeadLetter)}
	}
	return e
}

// checkRole tries a schedule's role, as AWS does when a schedule gets it.
func (s *Service) checkRole(ctx context.Context, r *record) error {
	c := aws.CallFrom(ctx)
	_, err := s.enact(ctx, c.Account, c.Region, r.Group, r.Target.Role, "scheduler-check")
	if err != nil && aws.AsError(err).Status < 500 {
		return invalid("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
	}
	return err
}
