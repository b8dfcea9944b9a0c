package scheduler

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/relay"
	"fogbank/wire"
)

// invocation is a target to be called for one moment of a schedule.
type invocation struct {
	ID       string // the execution id
	Schedule string // its ARN
	Group    string
	At       time.Time // the moment
	Target   target
}

// enact takes a role for the schedules of a group, and returns who then calls. The role's trust policy
// sees the group as aws:SourceArn.
func (s *Service) enact(ctx context.Context, account, region, group, role, session string) (aws.Principal, error) {
	ctx = aws.WithCall(ctx, &aws.Call{Account: account, Region: region, SourceARN: groupARN(account, region, group), SourceAccount: account})
	out, err := s.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: session})
	if err != nil {
		return aws.Principal{}, err
	}
	u := out.AssumedRoleUser
	return aws.Principal{Kind: aws.AssumedRole, Account: aws.ARN(role).Account(), ARN: aws.ARN(u.Arn), Role: aws.ARN(role),
		UserID: u.AssumedRoleId, Key: out.Credentials.AccessKeyId}, nil
}

// as returns a context for calls as an invocation's role, in the tenant of a resource.
func (s *Service) as(ctx context.Context, v *invocation, account, region, once string) (context.Context, error) {
	arn := aws.ARN(v.Schedule)
	p, err := s.enact(ctx, arn.Account(), arn.Region(), v.Group, v.Target.Role, v.ID)
	if err != nil {
		return nil, err
	}
	return aws.WithCall(ctx, &aws.Call{Principal: p, Account: account, Region: region, Endpoint: s.o.Endpoint, OnceKey: once}), nil
}

// fill replaces the context attributes in a target's input.
//
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
func fill(input, arn, at, id string, attempt int) string {
	if !strings.Contains(input, "<aws.scheduler.") {
		return input
	}
	return strings.NewReplacer("<aws.scheduler.schedule-arn>", arn, "<aws.scheduler.scheduled-time>", at,
		"<aws.scheduler.execution-id>", id, "<aws.scheduler.attempt-number>", strconv.Itoa(attempt)).Replace(input)
}

// input is what the target is sent at an attempt, counted from 1.
func (v *invocation) input(attempt int) string {
	if v.Target.Input == "" {
		if v.Target.service() == "" {
			return "{}"
		}
		return v.notification()
	}
	return fill(v.Target.Input, v.Schedule, v.at(), v.ID, attempt)
}

func (v *invocation) at() string { return v.At.UTC().Format("2006-01-02T15:04:05Z") }

// notification is what targets get when a schedule says nothing else.
func (v *invocation) notification() string {
	arn := aws.ARN(v.Schedule)
	b, err := json.Marshal(struct {
		Version    string   `json:"version"`
		ID         string   `json:"id"`
		DetailType string   `json:"detail-type"`
		Source     string   `json:"source"`
		Account    string   `json:"account"`
		Time       string   `json:"time"`
		Region     string   `json:"region"`
		Resources  []string `json:"resources"`
		Detail     string   `json:"detail"`
	}{"0", v.ID, "Scheduled Event", "aws.scheduler", arn.Account(), v.at(), arn.Region(), []string{v.Schedule}, "{}"})
	if err != nil {
		panic("scheduler: a notification that is no JSON: " + err.Error())
	}
	return string(b)
}

// deliver calls the target.
func (s *Service) deliver(ctx context.Context, item relay.Item[invocation]) error {
	v := &item.Value
	input := v.input(item.Attempts + 1)
	to := aws.ARN(v.Target.ARN)
	if v.Target.service() == "" {
		return s.call(ctx, v, input, item.ID)
	}
	ctx, err := s.as(ctx, v, to.Account(), to.Region(), item.ID)
	if err != nil {
		return err
	}
	switch to.Service() {
	case "sqs":
		in := &sqs.SendMessageInput{QueueUrl: s.queueURL(to), MessageBody: input}
		if v.Target.Group != "" {
			in.MessageGroupId = new(v.Target.Group)
		}
		_, err = sqs.Client{Invoke: s.o.Role}.SendMessage(ctx, in)
	case "sns":
		_, err = sns.Client{Invoke: s.o.Role}.Publish(ctx, &sns.PublishInput{TopicArn: new(v.Target.ARN), Message: input})
	case "lambda":
		_, err = lambda.Client{Invoker: s.o.Role}.Invoke(ctx, &lambda.InvokeInput{FunctionName: v.Target.ARN,
			InvocationType: new(lambda.InvocationTypeEvent), Payload: []byte(input)})
	case "events":
		err = s.putEvent(ctx, v, input)
	}
	return err
}

// putEvent puts an event on the target's bus.
func (s *Service) putEvent(ctx context.Context, v *invocation, detail string) error {
	out, err := events.Client{Invoke: s.o.Role}.PutEvents(ctx, &events.PutEventsInput{Entries: []events.PutEventsRequestEntry{{
		Source: new(v.Target.Source), DetailType: new(v.Target.DetailType), Detail: &detail, EventBusName: new(v.Target.ARN),
		Time: new(v.At), Resources: []string{v.Schedule}}}})
	if err == nil && len(out.Entries) > 0 && out.Entries[0].ErrorCode != nil {
		e := &out.Entries[0]
		err = aws.Errorf(e.GetErrorCode(), 400, "%s", e.GetErrorMessage())
	}
	return err
}

// call runs the operation of a universal target. Its input is the operation's, by the members' names in the API.
func (s *Service) call(ctx context.Context, v *invocation, input, once string) error {
	op, err := s.operation(v.Target.ARN)
	if err != nil {
		return err
	}
	if op.Action == "lambda:InvokeFunction" {
		input = encodePayload(input)
	}
	in, err := wire.ParseInput(op, []byte(input))
	if err != nil {
		return err
	}
	arn := aws.ARN(v.Schedule)
	if ctx, err = s.as(ctx, v, arn.Account(), arn.Region(), once); err != nil {
		return err
	}
	_, err = s.o.Role(ctx, op, in)
	return err
}

// encodePayload puts Lambda's Payload, which schedules give as text, in the form blobs have in JSON.
func encodePayload(input string) string {
	var members map[string]json.RawMessage
	var text string
	if json.Unmarshal([]byte(input), &members) != nil || json.Unmarshal(members["Payload"], &text) != nil {
		return input
	}
	members["Payload"] = json.RawMessage(strconv.Quote(base64.StdEncoding.EncodeToString([]byte(text))))
	b, err := json.Marshal(members)
	if err != nil {
		return input
	}
	return string(b)
}

func (s *Service) queueURL(queue aws.ARN) string {
	return s.o.Endpoint + "/" + queue.Account() + "/" + queue.Resource()
}

// throttled are the codes of services that are busy; all else a client is blamed for is final.
var throttled = []string{"RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException", "OverLimit",
	"ProvisionedThroughputExceededException", "RequestLimitExceeded"}

func permanent(err error) bool {
	e := aws.AsError(err)
	return e.Fault == aws.Sender && e.Status < 500 && !slices.Contains(throttled, e.Code)
}

// Delays between attempts: with the default of 185 retries they outlast the default of 24 hours.
const (
	firstDelay   = time.Second
	longestDelay = 520 * time.Second
)

// retry applies the target's retry policy: doubling delays with a quarter of jitter, until the retries or the
// age are used up. The last attempt is made when the age is reached.
func (s *Service) retry(item relay.Item[invocation], err error) (time.Duration, bool) {
	t := &item.Value.Target
	left := time.Duration(t.Age)*time.Second - s.world.Now().Sub(item.FirstAt)
	if permanent(err) || item.Attempts > int(t.Attempts) || left <= 0 {
		return 0, false
	}
	delay := min(firstDelay<<min(item.Attempts-1, 20), longestDelay)
	delay += delay/4 - time.Duration(s.world.IntN(int(delay/2)))
	return min(delay, left), true
}

// dead sends an invocation that failed for good to the target's dead-letter queue, or logs it.
func (s *Service) dead(ctx context.Context, item relay.Item[invocation], cause error) error {
	v, err := &item.Value, cause
	if v.Target.DeadLetter != "" {
		if err = s.bury(ctx, v, item, cause); err != nil && !permanent(err) {
			return err
		}
	}
	if err != nil {
		s.o.Log.Warn("a schedule's target was not invoked", slog.String("schedule", v.Schedule), slog.String("target", v.Target.ARN),
			slog.Int("attempts", item.Attempts), slog.Any("cause", err))
	}
	return nil
}

// bury sends the input to the dead-letter queue as the schedule's role, with AWS's attributes.
//
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
func (s *Service) bury(ctx context.Context, v *invocation, item relay.Item[invocation], cause error) error {
	queue, e := aws.ARN(v.Target.DeadLetter), aws.AsError(cause)
	ctx, err := s.as(ctx, v, queue.Account(), queue.Region(), item.ID+"/dead")
	if err != nil {
		return err
	}
	attributes := map[string]sqs.MessageAttributeValue{}
	text := func(name, v string) {
		attributes[name] = sqs.MessageAttributeValue{DataType: "String", StringValue: new(v)}
	}
	code := e.Code
	if e.Query != "" {
		code = e.Query // AWS.SimpleQueueService.NonExistentQueue
	}
	text("ERROR_CODE", code)
	text("ERROR_MESSAGE", e.Message)
	text("EXECUTION_ID", v.ID)
	text("IS_PAYLOAD_TRUNCATED", "false")
	text("RETRY_ATTEMPTS", strconv.Itoa(max(item.Attempts-1, 0)))
	text("SCHEDULED_TIME", v.at())
	text("SCHEDULE_ARN", v.Schedule)
	text("TARGET_ARN", v.Target.ARN)
	if !permanent(cause) {
		condition := "MaximumRetryAttempts"
		if item.Attempts <= int(v.Target.Attempts) {
			condition = "MaximumEventAgeInSeconds"
		}
		text("EXHAUSTED_RETRY_CONDITION", condition)
	}
	_, err = sqs.Client{Invoke: s.o.Role}.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: s.queueURL(queue), MessageBody: v.input(item.Attempts),
		MessageAttributes: attributes})
	return err
}
