package conform

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	evt "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/pipes"
	pip "github.com/aws/aws-sdk-go-v2/service/pipes/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	sch "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"conform/server"
)

var replayed = flag.Int("replayed", 2000, "how many archived events TestReplay replays")

const account = "000000000000"

func queueARN(name string) *string {
	return aws.String("arn:aws:sqs:us-east-1:" + account + ":" + name)
}

// queueFor makes a queue that a service may send to.
func queueFor(t *testing.T, s *server.Server, name, service string) (url string) {
	t.Helper()
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sqs:SendMessage","Resource":%q}]}`,
		service, *queueARN(name))
	out, err := sqs.NewFromConfig(s.Root()).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"Policy": policy}})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// roleFor makes a role of a service that may do everything with queues.
func roleFor(t *testing.T, s *server.Server, name, service string) *string {
	t.Helper()
	c := iam.NewFromConfig(s.Root())
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service)
	out, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err == nil {
		_, err = c.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("queues"),
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Role.Arn
}

// bodies receives n messages and deletes them.
func bodies(t *testing.T, s *server.Server, url string, n int) (list []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := sqs.NewFromConfig(s.Root())
	for len(list) < n {
		out, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(list), n, err)
		}
		for _, m := range out.Messages {
			list = append(list, *m.Body)
			if _, err := c.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return list
}

// TestReplay archives events and replays them, by the SDK for Go: each comes once more, with the name of the replay.
func TestReplay(t *testing.T) {
	s := start(t)
	ctx, c := t.Context(), eventbridge.NewFromConfig(s.Root())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	url := queueFor(t, s, "again", "events.amazonaws.com")
	bus, err := c.CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String("b")})
	must(err)
	archive, err := c.CreateArchive(ctx, &eventbridge.CreateArchiveInput{ArchiveName: aws.String("all"), EventSourceArn: bus.EventBusArn, RetentionDays: aws.Int32(7)})
	must(err)
	_, err = c.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("r"), EventBusName: aws.String("b"), EventPattern: aws.String(`{"replay-name":[{"exists":true}]}`)})
	must(err)
	_, err = c.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("r"), EventBusName: aws.String("b"), Targets: []evt.Target{{Id: aws.String("q"), Arn: queueARN("again")}}})
	must(err)
	begin := time.Now().Add(-time.Minute)
	for n := 0; n < *replayed; n += 10 {
		var entries []evt.PutEventsRequestEntry
		for i := range min(10, *replayed-n) {
			entries = append(entries, evt.PutEventsRequestEntry{EventBusName: aws.String("b"), Source: aws.String("s"), DetailType: aws.String("d"), Detail: aws.String(fmt.Sprintf(`{"n":%d}`, n+i))})
		}
		out, err := c.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		must(err)
		if out.FailedEntryCount != 0 {
			t.Fatalf("%+v", out.Entries)
		}
	}
	_, err = c.StartReplay(ctx, &eventbridge.StartReplayInput{ReplayName: aws.String("again"), EventSourceArn: archive.ArchiveArn, EventStartTime: &begin,
		EventEndTime: aws.Time(time.Now().Add(time.Minute)), Destination: &evt.ReplayDestination{Arn: bus.EventBusArn}})
	must(err)
	seen := map[int]bool{}
	for len(seen) < *replayed {
		for _, body := range bodies(t, s, url, 1) {
			var e struct {
				ReplayName string `json:"replay-name"`
				Detail     struct{ N int }
			}
			must(json.Unmarshal([]byte(body), &e))
			if e.ReplayName != "again" {
				t.Fatalf("got %s", body)
			}
			seen[e.Detail.N] = true
		}
	}
	t.Logf("%d events were archived and replayed", len(seen))
}

// TestSchedulesAndPipesByGo makes a schedule and a pipe with the SDK for Go, and lists them.
func TestSchedulesAndPipesByGo(t *testing.T) {
	s := start(t)
	ctx := t.Context()
	from, to := queueFor(t, s, "from", "none.amazonaws.com"), queueFor(t, s, "to", "none.amazonaws.com")
	schedules, tubes := scheduler.NewFromConfig(s.Root()), pipes.NewFromConfig(s.Root())
	_, err := schedules.CreateSchedule(ctx, &scheduler.CreateScheduleInput{Name: aws.String("once"), ActionAfterCompletion: sch.ActionAfterCompletionDelete,
		ScheduleExpression: aws.String("at(" + time.Now().UTC().Add(2*time.Second).Format("2006-01-02T15:04:05") + ")"),
		FlexibleTimeWindow: &sch.FlexibleTimeWindow{Mode: sch.FlexibleTimeWindowModeOff},
		Target: &sch.Target{Arn: aws.String("arn:aws:scheduler:::aws-sdk:sqs:sendMessage"), RoleArn: roleFor(t, s, "schedule", "scheduler.amazonaws.com"),
			Input: aws.String(fmt.Sprintf(`{"QueueUrl":%q,"MessageBody":"tick"}`, to))}})
	if err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, s, to, 1); got[0] != "tick" {
		t.Errorf("the schedule sent %q", got)
	}
	_, err = tubes.CreatePipe(ctx, &pipes.CreatePipeInput{Name: aws.String("p"), Source: queueARN("from"), Target: queueARN("to"), RoleArn: roleFor(t, s, "pipe", "pipes.amazonaws.com"),
		SourceParameters: &pip.PipeSourceParameters{FilterCriteria: &pip.FilterCriteria{Filters: []pip.Filter{{Pattern: aws.String(`{"body":{"n":[{"numeric":[">",1]}]}}`)}}}},
		TargetParameters: &pip.PipeTargetParameters{InputTemplate: aws.String(`{"was": <$.body.n>}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		if _, err := sqs.NewFromConfig(s.Root()).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &from, MessageBody: aws.String(fmt.Sprintf(`{"n":%d}`, n))}); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	for _, body := range bodies(t, s, to, 2) {
		got[body] = true
	}
	if !got[`{"was": 2}`] || !got[`{"was": 3}`] {
		t.Errorf("the pipe sent %v", got)
	}
	pages := pipes.NewListPipesPaginator(tubes, &pipes.ListPipesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil || len(page.Pipes) != 1 || page.Pipes[0].CurrentState != pip.PipeStateRunning && page.Pipes[0].CurrentState != pip.PipeStateCreating {
			t.Errorf("%+v, %v", page, err)
		}
	}
}
