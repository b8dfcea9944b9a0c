package logs

import (
	"context"

	"fogbank/aws"
	"fogbank/policy"
)

// groupPolicy is the resource policy of every log group: there is no other, as PutResourcePolicy is not written. It lets
// the services write that AWS has such a policy made for: rules of EventBridge by its console, and the delivery of other
// services' logs by the operations that set it up. Both write to groups of their own account and region only.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
var groupPolicy = must(policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
	"Principal":{"Service":["delivery.logs.amazonaws.com","events.amazonaws.com"]},
	"Action":["logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}`))

func must(d *policy.Document, err error) *policy.Document {
	if err != nil {
		panic("logs: the policy of groups is not one: " + err.Error())
	}
	return d
}

// ResourcePolicy implements gate.Guarded.
func (s *Service) ResourcePolicy(context.Context, aws.ARN) (*policy.Document, error) {
	return groupPolicy, nil
}
