package aws

import (
	"fmt"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		arn  ARN
		want Parts
		name string
		ok   bool
	}{
		{"arn:aws:sqs:us-east-1:000000000000:jobs", Parts{"aws", "sqs", "us-east-1", "000000000000", "jobs"}, "jobs", true},
		{"arn:aws:iam::000000000000:user/team/alice", Parts{"aws", "iam", "", "000000000000", "user/team/alice"}, "alice", true},
		{"arn:aws:lambda:us-east-1:000000000000:function:f:1", Parts{"aws", "lambda", "us-east-1", "000000000000", "function:f:1"}, "1", true},
		{"arn:aws:sqs:us-east-1:000000000000", Parts{}, "", false},
		{"urn:aws:sqs:us-east-1:000000000000:jobs", Parts{}, "", false},
		{"", Parts{}, "", false},
	} {
		got, ok := c.arn.Parse()
		if got != c.want || ok != c.ok || c.arn.Name() != c.name || c.arn.Account() != c.want.Account || c.arn.Region() != c.want.Region {
			t.Errorf("%s: got %+v, %t, name %q", c.arn, got, ok, c.arn.Name())
		}
	}
}

func TestAsError(t *testing.T) {
	own := Errorf("QueueDoesNotExist", 400, "no %s", "queue")
	if got := AsError(fmt.Errorf("sending: %w", own)); got != own || got.Message != "no queue" {
		t.Errorf("got %v", got)
	}
	if got := AsError(fmt.Errorf("disk on fire")); got.Code != "InternalFailure" || got.Status != 500 || got.Fault != Receiver {
		t.Errorf("a cause of ours reached the client: %+v", got)
	}
	if !IsCode(own, "QueueDoesNotExist") || IsCode(nil, "QueueDoesNotExist") {
		t.Error("IsCode")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:sqs:us-east-1:000000000000:jobs")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := ARN(s).Parse()
		if ok && "arn:"+p.Partition+":"+p.Service+":"+p.Region+":"+p.Account+":"+p.Resource != s {
			t.Errorf("%q does not come back", s)
		}
	})
}
