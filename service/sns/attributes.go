package sns

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode"

	"fogbank/api/sns"
	"fogbank/policy"
	"fogbank/store"
)

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
		if len(v) > 100 || strings.ContainsFunc(v, unicode.IsControl) {
			return invalid("Attributes Reason: DisplayName: Invalid value [%s]", v)
		}
	case "Policy":
		if err := checkPolicy(v); err != nil {
			return err
		}
	case "DeliveryPolicy":
		if _, err := parseTopicPolicy(v); err != nil {
			return err
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
		if v != strconv.FormatBool(t.fifo()) {
			return invalid("Attributes Reason: FifoTopic")
		}
		if !t.fifo() {
			return nil
		}
	case "ContentBasedDeduplication":
		if !t.fifo() {
			return invalid("Attributes Reason: Content-based deduplication can only be set for FIFO topics")
		}
		if v != "true" && v != "false" {
			return invalid("Attributes Reason: ContentBasedDeduplication: Invalid value [%s]. Must be true or false.", v)
		}
	case "FifoThroughputScope":
		if !t.fifo() {
			return invalid("Attributes Reason: FifoThroughputScope can only be set for FIFO topics")
		}
		if v != "Topic" && v != "MessageGroup" {
			return invalid("Attributes Reason: FifoThroughputScope: Invalid value [%s]. Must be Topic or MessageGroup.", v)
		}
	case "ArchivePolicy":
		if days, err := t.checkArchivePolicy(v); err != nil {
			return err
		} else if days == 0 {
			v = ""
		}
	case "KmsMasterKeyId", "DataProtectionPolicy":
		return notYet("the topic attribute " + name)
	default:
		_, what, ok := feedbackAttribute(name)
		if !ok {
			return invalid("AttributeName")
		}
		if err := checkFeedback(name, what, v); err != nil {
			return err
		}
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
	var archiveID string
	if in.AttributeName == "ArchivePolicy" {
		archiveID = s.world.UUID()
	}
	now := s.world.Now()
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
		if in.AttributeName == "ArchivePolicy" {
			was := t
			if err := t.keep(archiveID, now); err != nil {
				return err
			}
			archivePolicyChanged(tx, &was, &t)
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
		confirmed, pending := 0, 0
		for _, sub := range subscriptions.All(tx, store.K(t.Name)) {
			switch {
			case sub.Ended:
			case sub.Pending:
				pending++
			default:
				confirmed++
			}
		}
		_, f, err := checkTopic(tx, in.TopicArn)
		if err != nil {
			return err
		}
		out.Attributes = map[string]string{
			"TopicArn":                in.TopicArn,
			"Owner":                   tx.Account(),
			"DisplayName":             "",
			"Policy":                  defaultPolicy(in.TopicArn, tx.Account()),
			"EffectiveDeliveryPolicy": effectiveTopic(&f.delivery),
			"SubscriptionsConfirmed":  strconv.Itoa(confirmed),
			"SubscriptionsPending":    strconv.Itoa(pending),
			"SubscriptionsDeleted":    strconv.Itoa(t.Deleted),
		}
		if t.fifo() {
			out.Attributes["ContentBasedDeduplication"], out.Attributes["FifoThroughputScope"] = "false", "Topic"
		}
		if t.Archive != nil {
			out.Attributes["BeginningArchiveTime"] = stampText(t.Archive.from(tx.World().Now()))
		}
		maps.Copy(out.Attributes, t.Attributes)
		return nil
	})
}
