package scheduler

import (
	"testing"
	"time"
)

func TestInput(t *testing.T) {
	v := &invocation{ID: "0123456789abcdef", Schedule: "arn:aws:scheduler:eu-west-1:000000000000:schedule/g/n",
		At: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Target: target{ARN: "arn:aws:sqs:eu-west-1:000000000000:q"}}
	for _, c := range []struct{ arn, input, want string }{
		{"arn:aws:sqs:eu-west-1:000000000000:q", "", `{"version":"0","id":"0123456789abcdef","detail-type":"Scheduled Event","source":"aws.scheduler",` +
			`"account":"000000000000","time":"2030-01-02T03:04:05Z","region":"eu-west-1","resources":["arn:aws:scheduler:eu-west-1:000000000000:schedule/g/n"],"detail":"{}"}`},
		{universal + "sqs:createQueue", "", "{}"},
		{"arn:aws:sqs:eu-west-1:000000000000:q", "<b> <aws.scheduler.other>", "<b> <aws.scheduler.other>"},
		{"arn:aws:sqs:eu-west-1:000000000000:q", "<aws.scheduler.schedule-arn> <aws.scheduler.scheduled-time> <aws.scheduler.execution-id> <aws.scheduler.attempt-number>",
			"arn:aws:scheduler:eu-west-1:000000000000:schedule/g/n 2030-01-02T03:04:05Z 0123456789abcdef 3"},
	} {
		v.Target.ARN, v.Target.Input = c.arn, c.input
		if got := v.input(3); got != c.want {
			t.Errorf("%s: %s, want %s", c.input, got, c.want)
		}
	}
	if got, want := encodePayload(`{"FunctionName":"f","Payload":"{\"a\":1}"}`), `{"FunctionName":"f","Payload":"eyJhIjoxfQ=="}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
