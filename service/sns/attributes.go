package sns

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"fogbank/api/sns"
	"fogbank/policy"
	"fogbank/store"
)

// defaultDelivery is the delivery policy of a topic that has none of its own.
const defaultDelivery = `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,` +
	`"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},` +
	`"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}`

// defaultPolicy is the policy of a topic that has none of its own: it speaks of the owner's account only.
func defaultPolicy(arn, account string) string {
	return fmt.Sprintf(`{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID",`+
		`"Effect":"Allow","Principal":{"AWS":"*"},"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes",`+
		`"SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic",`+
		`"SNS:Publish"],"Resource":%q,"Condition":{"StringEquals":{"AWS:SourceOwner":%q}}}]}`, arn, account)
}

// set checks and stores an attribute; "" removes it.
func (t *topic) set(name, v string) error {
	switch name {
	case "DisplayName":
		if len(v) > 100 || strings.ContainsAny(v, "\r\n") {
			return invalid("Attributes Reason: DisplayName: Invalid value [%s]", v)
		}
	case "Policy":
		if err := checkPolicy(v); err != nil {
			return err
		}
	case "DeliveryPolicy":
		if v != "" && !json.Valid([]byte(v)) {
			return invalid("DeliveryPolicy: Unable to parse delivery policy")
		}
	case "SignatureVersion":
		if v != "1" && v != "2" {
			return invalid("Attributes Reason: SignatureVersion: Invalid value [%s]. Must be 1 or 2", v)
		}
	case "TracingConfig":
		if v == "Active" {
			return notYet("TracingConfig Active")
		}
		if v != "PassThrough" {
			return invalid("Attributes Reason: TracingConfig: Invalid value [%s]", v)
		}
	case "FifoTopic":
		if v != "false" {
			return invalid("Attributes Reason: FifoTopic")
		}
		return nil
	case "KmsMasterKeyId", "ContentBasedDeduplication", "FifoThroughputScope", "ArchivePolicy", "DataProtectionPolicy":
		return notYet("the topic attribute " + name)
	default:
		if strings.HasSuffix(name, "FeedbackRoleArn") || strings.HasSuffix(name, "FeedbackSampleRate") {
			return notYet("the topic attribute " + name)
		}
		return invalid("AttributeName")
	}
	if v == "" {
		delete(t.Attributes, name)
		return nil
	}
	t.Attributes[name] = v
	return nil
}

// checkPolicy applies AWS's rules for the policy of a topic.
func checkPolicy(text string) error {
	if text == "" {
		return nil
	}
	doc, err := policy.Parse(text)
	if err == nil {
		err = doc.Check(policy.ResourcePolicy)
	}
	if err != nil {
		return invalid("Policy Error: %s", err)
	}
	return nil
}

// SetTopicAttributes sets one attribute of a topic.
func (s *Service) SetTopicAttributes(ctx context.Context, in *sns.SetTopicAttributesInput) (*sns.SetTopicAttributesOutput, error) {
	return &sns.SetTopicAttributesOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		t, err := findTopic(ctx, tx, in.TopicArn)
		if err != nil {
			return err
		}
		if t.Attributes == nil {
			t.Attributes = map[string]string{}
		}
		if err := t.set(in.AttributeName, in.GetAttributeValue()); err != nil {
			return err
		}
		topics.Put(tx, store.K(t.Name), t)
		return nil
	})
}

// GetTopicAttributes returns a topic's attributes with their defaults.
func (s *Service) GetTopicAttributes(ctx context.Context, in *sns.GetTopicAttributesInput) (*sns.GetTopicAttributesOutput, error) {
	out := &sns.GetTopicAttributesOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		t, err := findTopic(ctx, tx, in.TopicArn)
		if err != nil {
			return err
		}
		confirmed := 0
		for range subscriptions.Keys(tx, store.Range{Prefix: store.K(t.Name)}) {
			confirmed++
		}
		out.Attributes = map[string]string{
			"TopicArn":                in.TopicArn,
			"Owner":                   tx.Account(),
			"DisplayName":             "",
			"Policy":                  defaultPolicy(in.TopicArn, tx.Account()),
			"EffectiveDeliveryPolicy": defaultDelivery,
			"SubscriptionsConfirmed":  strconv.Itoa(confirmed),
			"SubscriptionsPending":    "0",
			"SubscriptionsDeleted":    strconv.Itoa(t.Deleted),
		}
		maps.Copy(out.Attributes, t.Attributes)
		return nil
	})
}
