package main

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// destroy deletes everything, the near end first; it goes on past errors and returns them together.
func (c *clients) destroy(ctx context.Context, s *State) error {
	var all error
	note := func(_ any, err error) { all = errors.Join(all, err) }
	note(c.gateway.DeleteApi(ctx, &apigatewayv2.DeleteApiInput{ApiId: &s.APIID}))
	note(c.lambda.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: &s.Mapping}))
	for _, name := range []string{placeFn, changedFn} {
		note(c.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(name)}))
		note(c.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String(name), PolicyName: aws.String("least-privilege")}))
		note(c.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(name)}))
	}
	note(c.ddb.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &s.Table}))
	note(c.bus.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: aws.String(rule), EventBusName: aws.String(busName), Ids: []string{"queue"}}))
	note(c.bus.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: aws.String(rule), EventBusName: aws.String(busName)}))
	note(c.bus.DeleteEventBus(ctx, &eventbridge.DeleteEventBusInput{Name: aws.String(busName)}))
	subs, err := c.sns.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &s.TopicARN})
	note(nil, err)
	if err == nil {
		for _, sub := range subs.Subscriptions {
			note(c.sns.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: sub.SubscriptionArn}))
		}
	}
	note(c.sns.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: &s.TopicARN}))
	for _, url := range s.Queues {
		note(c.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: aws.String(url)}))
	}
	return all
}
