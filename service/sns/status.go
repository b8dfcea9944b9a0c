package sns

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"fogbank/api/logs"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/store"
)

// Logs is what SNS needs of CloudWatch Logs.
type Logs interface {
	CreateLogGroup(context.Context, *logs.CreateLogGroupInput) (*logs.CreateLogGroupOutput, error)
	CreateLogStream(context.Context, *logs.CreateLogStreamInput) (*logs.CreateLogStreamOutput, error)
	PutLogEvents(context.Context, *logs.PutLogEventsInput) (*logs.PutLogEventsOutput, error)
}

// Roles is what SNS needs of STS.
type Roles interface {
	AssumeRole(context.Context, *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error)
}

// feedback is how deliveries of one kind are logged. The roles are "" for no log.
type feedback struct {
	Success, Failure string
	Rate             int // per cent of successes; failures are logged always
}

// feedbackKinds are the prefixes of the attributes.
var feedbackKinds = []string{"HTTP", "SQS", "Lambda", "Firehose", "Application"}

// feedbackKind returns the prefix for a protocol, "" when its deliveries are not logged by topic.
func feedbackKind(protocol string) string {
	switch protocol {
	case "http", "https":
		return "HTTP"
	case "sqs":
		return "SQS"
	case "lambda":
		return "Lambda"
	case "application":
		return "Application"
	}
	return ""
}

// feedbackAttribute splits the name of an attribute such as SQSSuccessFeedbackRoleArn.
func feedbackAttribute(name string) (kind, what string, ok bool) {
	for _, kind := range feedbackKinds {
		if what, ok := strings.CutPrefix(name, kind); ok {
			switch what {
			case "SuccessFeedbackRoleArn", "FailureFeedbackRoleArn", "SuccessFeedbackSampleRate":
				return kind, what, true
			}
		}
	}
	return "", "", false
}

// checkFeedback checks the value of such an attribute.
func checkFeedback(name, what, v string) error {
	if v == "" {
		return nil
	}
	if what == "SuccessFeedbackSampleRate" {
		if n, err := strconv.Atoi(v); err != nil || n < 0 || n > 100 {
			return invalid("Attributes Reason: %s: Invalid value [%s]. Must be an integer between 0 and 100", name, v)
		}
		return nil
	}
	if p, ok := aws.ARN(v).Parse(); !ok || p.Service != "iam" || !strings.HasPrefix(p.Resource, "role/") {
		return invalid("Attributes Reason: %s: Invalid value [%s]. Must be the ARN of an IAM role", name, v)
	}
	return nil
}

// feedbacks reads a topic's attributes.
func feedbacks(attributes map[string]string) map[string]feedback {
	var all map[string]feedback
	for _, kind := range feedbackKinds {
		f := feedback{Success: attributes[kind+"SuccessFeedbackRoleArn"], Failure: attributes[kind+"FailureFeedbackRoleArn"]}
		if f.Success == "" && f.Failure == "" {
			continue
		}
		f.Rate, _ = strconv.Atoi(attributes[kind+"SuccessFeedbackSampleRate"]) // "" is 0, and nothing else gets past checkFeedback
		if all == nil {
			all = map[string]feedback{}
		}
		all[kind] = f
	}
	return all
}

// result is how a delivery ended.
type result struct {
	status   int // as HTTP has it
	attempts int
	dwell    time.Duration // since it was published
	answer   string        // of the far side
	failed   bool
}

// report logs how a delivery ended, where the topic asks for it. A log that cannot be written must not send
// the message again: it is noted in our own.
func (s *Service) report(ctx context.Context, d *delivery, r result) {
	if !d.Report {
		return
	}
	f, err := s.feedback(ctx, d)
	if err == nil {
		role := f.Failure
		if !r.failed {
			if role = f.Success; f.Rate < 100 && s.world.IntN(100) >= f.Rate {
				role = ""
			}
		}
		if role != "" {
			err = s.logStatus(ctx, d, role, r)
		}
	}
	if err != nil {
		s.log.Warn("the status of a delivery could not be logged", slog.String("subscription", d.subscription()), slog.Any("cause", err))
	}
}

// feedback returns how the topic wants the delivery logged, or the account for a text message to a number.
func (s *Service) feedback(ctx context.Context, d *delivery) (f feedback, err error) {
	return f, s.db.View(ctx, func(tx *store.Tx) error {
		if d.Protocol == "sms" {
			a, _ := accounts.Get(tx, store.K())
			f.Success, f.Failure = a.Attributes["DeliveryStatusIAMRole"], a.Attributes["DeliveryStatusIAMRole"]
			f.Rate, _ = strconv.Atoi(a.Attributes["DeliveryStatusSuccessSamplingRate"]) // checked when it was set
			return nil
		}
		facts, ok, err := facts.Get(tx, store.K(aws.ARN(d.message.Topic).Resource()))
		if ok && err == nil {
			f = facts.feedback[feedbackKind(d.Protocol)]
		}
		return err
	})
}

// statusEvent is the text of a log event.
//
// https://docs.aws.amazon.com/sns/latest/dg/topics-attrib.html
func (s *Service) statusEvent(d *delivery, r result) string {
	type noted struct {
		MD5       string `json:"messageMD5Sum"`
		ID        string `json:"messageId"`
		Topic     string `json:"topicArn,omitempty"`
		Timestamp string `json:"timestamp"`
	}
	type delivered struct {
		ID          string `json:"deliveryId"`
		Destination string `json:"destination"`
		Answer      string `json:"providerResponse,omitempty"`
		Dwell       int64  `json:"dwellTimeMs"`
		Attempts    int    `json:"attempts"`
		Status      int    `json:"statusCode,omitempty"`
	}
	sum := md5.Sum([]byte(d.message.Body))
	event := struct {
		Notification noted     `json:"notification"`
		Delivery     delivered `json:"delivery"`
		Status       string    `json:"status"`
	}{noted{hex.EncodeToString(sum[:]), d.message.ID, d.message.Topic, time.UnixMilli(d.message.At).UTC().Format("2006-01-02 15:04:05.000")},
		delivered{s.world.UUID(), d.Endpoint, r.answer, r.dwell.Milliseconds(), r.attempts, r.status}, "SUCCESS"}
	if r.failed {
		event.Status = "FAILURE"
	}
	b, err := json.Marshal(event)
	if err != nil {
		panic("sns: a status that cannot be written: " + err.Error())
	}
	return string(b)
}

// logStatus writes to the log group of the topic, in a stream for each day, in the role's name.
func (s *Service) logStatus(ctx context.Context, d *delivery, role string, r result) error {
	here := aws.CallFrom(ctx)
	out, err := s.roles.AssumeRole(aws.WithCall(ctx, &aws.Call{Account: aws.ARN(role).Account(), Region: here.Region}),
		&sts.AssumeRoleInput{RoleArn: role, RoleSessionName: "sns-delivery-status"})
	if err != nil {
		return fmt.Errorf("assume %s: %w", role, err)
	}
	user := out.AssumedRoleUser
	ctx = aws.WithCall(ctx, &aws.Call{Account: here.Account, Region: here.Region, Principal: aws.Principal{Kind: aws.AssumedRole,
		Account: aws.ARN(role).Account(), ARN: aws.ARN(user.Arn), Role: aws.ARN(role), UserID: user.AssumedRoleId}})
	name := aws.ARN(d.message.Topic).Resource()
	if d.message.Topic == "" {
		name = "DirectPublishToPhoneNumber"
	}
	group := "sns/" + here.Region + "/" + here.Account + "/" + name
	if r.failed {
		group += "/Failure"
	}
	now := s.world.Now()
	in := &logs.PutLogEventsInput{LogGroupName: group, LogStreamName: now.Format("2006-01-02"),
		LogEvents: []logs.InputLogEvent{{Timestamp: now.UnixMilli(), Message: s.statusEvent(d, r)}}}
	if _, err = s.logs.PutLogEvents(ctx, in); !aws.IsCode(err, "ResourceNotFoundException") {
		return err
	}
	exists := "ResourceAlreadyExistsException"
	if _, err := s.logs.CreateLogGroup(ctx, &logs.CreateLogGroupInput{LogGroupName: group}); err != nil && !aws.IsCode(err, exists) {
		return err
	}
	if _, err := s.logs.CreateLogStream(ctx, &logs.CreateLogStreamInput{LogGroupName: group, LogStreamName: in.LogStreamName}); err != nil && !aws.IsCode(err, exists) {
		return err
	}
	_, err = s.logs.PutLogEvents(ctx, in)
	return err
}
