package sns

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/pattern"
	"fogbank/store"
)

// Limits of a topic, and of all of an account's in a region.
const (
	maxSubscriptions  = 10_000
	maxOrdered        = 100 // subscriptions of a FIFO topic
	maxFilterPolicies = 10_000
)

// subscription is the record of a subscription.
type subscription struct {
	ID         string
	Protocol   string
	Endpoint   string
	Principal  string            // the ARN of who subscribed
	Attributes map[string]string // those that were set

	Pending         bool   // until its endpoint confirms it
	Ended           bool   // without a signature: its endpoint may still change its mind
	Token           string // of the confirmation
	ConfirmationID  string // the id of the message with the token
	Unauthenticated bool   // it was confirmed without a signature
	Guarded         bool   // ending it takes a signature

	Replay *replay `json:",omitempty"`
}

var subscriptions = store.NewTable[subscription]("sns/subscription", store.Regional)

// protocols are those of AWS; only some can be delivered to.
var protocols = map[string]bool{"sqs": true, "lambda": true, "http": true, "https": true, "email": true,
	"email-json": true, "sms": true, "application": true, "firehose": false}

// checkEndpoint checks a protocol and its endpoint.
func checkEndpoint(protocol, endpoint string, fifo bool) error {
	written, known := protocols[protocol]
	if !known {
		return invalid("Does not support this protocol string: %s", protocol)
	}
	if !written {
		return notYet("a subscription of protocol " + protocol)
	}
	p, ok := aws.ARN(endpoint).Parse()
	switch {
	case fifo && protocol != "sqs":
		return invalid("Invalid protocol type: %s", protocol)
	case protocol == "http" || protocol == "https":
		if egress.CheckURL(endpoint) != nil || !strings.HasPrefix(endpoint, protocol+"://") {
			return invalid("Endpoint must match the specified protocol")
		}
	case strings.HasPrefix(protocol, "email") && egress.CheckAddress(endpoint) != nil:
		return invalid("Email address")
	case protocol == "sms" && !phone.MatchString(endpoint):
		return invalid("Invalid SMS endpoint: %s", endpoint)
	case protocol == "application" && !isEndpoint(endpoint):
		return invalid("Application endpoint arn invalid: %s", endpoint)
	case protocol == "sqs" && (!ok || p.Service != "sqs" || p.Account == ""):
		return invalid("SQS endpoint ARN")
	case protocol == "sqs" && !fifo && strings.HasSuffix(p.Resource, ".fifo"):
		return invalid("Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
	case protocol == "lambda" && (!ok || p.Service != "lambda" || !strings.HasPrefix(p.Resource, "function:")):
		return invalid("Lambda endpoint ARN")
	}
	return nil
}

// set checks and stores an attribute; "" removes it.
func (sub *subscription) set(name, v string) error {
	switch name {
	case "RawMessageDelivery":
		if v = strings.ToLower(v); v != "true" && v != "false" {
			return invalid("Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", v)
		}
		if v == "true" && sub.Protocol != "sqs" && sub.Protocol != "http" && sub.Protocol != "https" {
			return invalid("Attributes Reason: Delivery protocol [%s] does not support raw message delivery.", sub.Protocol)
		}
	case "FilterPolicy":
		if v == "{}" {
			v = ""
		}
	case "FilterPolicyScope":
		if v != "MessageAttributes" && v != "MessageBody" {
			return invalid("Attributes Reason: FilterPolicyScope: Invalid value [%s]. Please use either MessageBody or MessageAttributes", v)
		}
	case "RedrivePolicy":
		if _, err := deadLetterTarget(v); err != nil {
			return err
		}
	case "DeliveryPolicy":
		if sub.Protocol == "http" || sub.Protocol == "https" {
			if _, err := parseDeliveryPolicy(v); err != nil {
				return err
			}
			break
		}
		return invalid("Delivery protocol [%s] does not support delivery policy.", sub.Protocol)
	case "ReplayPolicy":
		if v == "{}" {
			v = ""
		}
		if _, err := parseReplayPolicy(v); err != nil {
			return err
		}
	case "SubscriptionRoleArn":
		return notYet("the subscription attribute " + name)
	default:
		return invalid("AttributeName")
	}
	if v == "" {
		delete(sub.Attributes, name)
		return nil
	}
	sub.Attributes[name] = v
	return nil
}

// check applies the rules that need several attributes, in AWS's words.
func (sub *subscription) check() error {
	_, err := sub.filter()
	if syntax, ok := errors.AsType[*pattern.SyntaxError](err); ok {
		return invalid("FilterPolicy: %s", syntax)
	}
	switch {
	case errors.Is(err, pattern.ErrNested):
		return invalid("Filter policy scope MessageAttributes does not support nested filter policy")
	case err != nil:
		return invalid("FilterPolicy: %s", err)
	}
	return nil
}

// filter compiles the filter policy, nil when there is none.
func (sub *subscription) filter() (*pattern.Pattern, error) {
	text := sub.Attributes["FilterPolicy"]
	if text == "" {
		return nil, nil
	}
	return pattern.Parse(sub.scope(), []byte(text))
}

func (sub *subscription) scope() pattern.Kind {
	if sub.Attributes["FilterPolicyScope"] == "MessageBody" {
		return pattern.Body
	}
	return pattern.Attributes
}

// deadLetterTarget reads the queue of a redrive policy, "" for none.
func deadLetterTarget(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var redrive struct {
		DeadLetterTargetArn *string `json:"deadLetterTargetArn"`
	}
	if json.Unmarshal([]byte(text), &redrive) != nil {
		return "", invalid("RedrivePolicy: failed to parse JSON.")
	}
	if redrive.DeadLetterTargetArn == nil {
		return "", invalid("RedrivePolicy: deadLetterTargetArn is a required field")
	}
	if p, ok := aws.ARN(*redrive.DeadLetterTargetArn).Parse(); !ok || p.Service != "sqs" {
		return "", invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")
	}
	return *redrive.DeadLetterTargetArn, nil
}

// pendingARN is what stands for the ARN of a subscription that is not confirmed.
const pendingARN = "pending confirmation"

// newSubscription checks what is to be subscribed.
func (s *Service) newSubscription(ctx context.Context, in *sns.SubscribeInput) (*subscription, error) {
	if err := checkEndpoint(in.Protocol, in.GetEndpoint(), strings.HasSuffix(in.TopicArn, ".fifo")); err != nil {
		return nil, err
	}
	sub := &subscription{ID: s.world.UUID(), Protocol: in.Protocol, Endpoint: in.GetEndpoint(), ConfirmationID: s.world.UUID(),
		Principal: string(aws.CallFrom(ctx).Principal.ARN), Attributes: map[string]string{}, Pending: needsConfirmation(in.Protocol)}
	sub.Token = s.newToken(sub.ID)
	for name, v := range in.Attributes {
		if err := sub.set(name, v); err != nil {
			return nil, err
		}
	}
	if err := sub.check(); err != nil {
		return nil, err
	}
	if sub.Pending || sub.Attributes["RawMessageDelivery"] != "true" {
		if _, err := s.signer.key(ctx, keyFor(sub.Protocol)); err != nil { // made now, so that no message waits for it
			return nil, err
		}
	}
	return sub, nil
}

// Subscribe adds an endpoint to a topic. The same endpoint twice is the same subscription,
// unless its attributes differ, which is an error. Endpoints that are not AWS's own are asked to confirm, and asked
// again when they are subscribed again.
func (s *Service) Subscribe(ctx context.Context, in *sns.SubscribeInput) (*sns.SubscribeOutput, error) {
	sub, err := s.newSubscription(ctx, in)
	if err != nil {
		return nil, err
	}
	out := &sns.SubscribeOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		t, err := findTopic(ctx, tx, in.TopicArn)
		if err != nil {
			return err
		}
		have, err := roomFor(tx, &t, sub)
		if err != nil {
			return err
		}
		chosen := *sub
		if have != nil {
			chosen = *have
			if len(in.Attributes) > 0 && !have.Ended && !maps.Equal(have.Attributes, sub.Attributes) {
				return invalid("Attributes Reason: Subscription already exists with different attributes")
			}
		}
		out.SubscriptionArn = new(in.TopicArn + ":" + chosen.ID)
		if have != nil && !have.Pending && !have.Ended {
			return nil
		}
		if have != nil && have.Ended {
			chosen.Attributes, chosen.Pending, chosen.Ended = sub.Attributes, true, false
		}
		key := store.K(t.Name, chosen.ID)
		if !chosen.Pending {
			chosen.Token, chosen.ConfirmationID = "", ""
			if err := replayPolicyChanged(tx, &t, key, &chosen); err != nil {
				return err
			}
			enroll(tx, t.Name, have, &chosen)
			return nil
		}
		if !in.GetReturnSubscriptionArn() {
			out.SubscriptionArn = new(pendingARN)
		}
		chosen.ConfirmationID = sub.ConfirmationID
		enroll(tx, t.Name, have, &chosen)
		return s.await(ctx, tx, in.TopicArn, key, &chosen, confirmation)
	})
}

// parseSubscription splits the ARN of a subscription.
func parseSubscription(arn string) (topicARN, name, id string, err error) {
	at := strings.LastIndexByte(arn, ':')
	if at < 0 {
		return "", "", "", invalid("SubscriptionArn Reason: An ARN must have at least 6 elements, not 1")
	}
	topicARN, id = arn[:at], arn[at+1:]
	name, err = parseTopic(aws.ARN(topicARN))
	if err != nil || id == "" {
		return "", "", "", invalid("SubscriptionArn")
	}
	return topicARN, name, id, nil
}

// findSubscription returns the subscription of an ARN in the account and region acted in.
func findSubscription(tx *store.Tx, arn string) (topicARN string, key store.Key, sub subscription, err error) {
	topicARN, name, id, err := parseSubscription(arn)
	if err != nil {
		return "", "", sub, err
	}
	key = store.K(name, id)
	ok := topicARN == arnOf(tx, name)
	if ok {
		sub, ok = subscriptions.Get(tx, key)
		ok = ok && !sub.Ended
	}
	if !ok {
		return "", "", sub, sns.NotFoundException("Subscription does not exist")
	}
	return topicARN, key, sub, nil
}

// GetSubscriptionAttributes returns a subscription's attributes with their defaults.
func (s *Service) GetSubscriptionAttributes(ctx context.Context, in *sns.GetSubscriptionAttributesInput) (*sns.GetSubscriptionAttributesOutput, error) {
	out := &sns.GetSubscriptionAttributesOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		topicARN, _, sub, err := findSubscription(tx, in.SubscriptionArn)
		if err != nil {
			return err
		}
		out.Attributes = map[string]string{
			"SubscriptionArn":              in.SubscriptionArn,
			"TopicArn":                     topicARN,
			"Owner":                        tx.Account(),
			"Protocol":                     sub.Protocol,
			"Endpoint":                     sub.Endpoint,
			"PendingConfirmation":          strconv.FormatBool(sub.Pending),
			"ConfirmationWasAuthenticated": strconv.FormatBool(!sub.Pending && !sub.Unauthenticated),
			"RawMessageDelivery":           "false",
			"SubscriptionPrincipal":        sub.Principal,
		}
		maps.Copy(out.Attributes, sub.Attributes)
		if sub.Replay != nil {
			out.Attributes["ReplayStatus"] = sub.Replay.Status
		}
		if sub.Protocol == "http" || sub.Protocol == "https" {
			if err := showPolicy(tx, topicARN, &sub, out.Attributes); err != nil {
				return err
			}
		}
		if sub.Attributes["FilterPolicy"] != "" && sub.Attributes["FilterPolicyScope"] == "" {
			out.Attributes["FilterPolicyScope"] = "MessageAttributes"
		}
		return nil
	})
}

// showPolicy adds the delivery policy in effect.
func showPolicy(tx *store.Tx, topicARN string, sub *subscription, attributes map[string]string) error {
	_, f, err := checkTopic(tx, topicARN)
	if err != nil {
		return err
	}
	p, err := parseDeliveryPolicy(sub.Attributes["DeliveryPolicy"])
	attributes["EffectiveDeliveryPolicy"] = effective(&f.delivery, &p).String()
	return err
}

// SetSubscriptionAttributes sets one attribute of a subscription.
func (s *Service) SetSubscriptionAttributes(ctx context.Context, in *sns.SetSubscriptionAttributesInput) (*sns.SetSubscriptionAttributesOutput, error) {
	return &sns.SetSubscriptionAttributesOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		topicARN, key, sub, err := findSubscription(tx, in.SubscriptionArn)
		if err != nil {
			return err
		}
		was := sub
		sub.Attributes = maps.Clone(sub.Attributes)
		if sub.Attributes == nil {
			sub.Attributes = map[string]string{}
		}
		if err := sub.set(in.AttributeName, in.GetAttributeValue()); err != nil {
			return err
		}
		if err := sub.check(); err != nil {
			return err
		}
		if !was.filtered() && sub.filtered() {
			all := counted(tx, "")
			if err := all.roomForPolicy(); err != nil {
				return err
			}
		}
		t, err := findTopic(ctx, tx, topicARN)
		if err != nil {
			return err
		}
		if in.AttributeName == "ReplayPolicy" {
			if err := replayPolicyChanged(tx, &t, key, &sub); err != nil {
				return err
			}
		}
		enroll(tx, t.Name, &was, &sub)
		return nil
	})
}

// ListSubscriptions returns the subscriptions of the account and region, 100 at a time.
func (s *Service) ListSubscriptions(ctx context.Context, in *sns.ListSubscriptionsInput) (*sns.ListSubscriptionsOutput, error) {
	out := &sns.ListSubscriptionsOutput{}
	var err error
	out.Subscriptions, out.NextToken, err = s.list(ctx, "", in.GetNextToken())
	return out, err
}

// ListSubscriptionsByTopic returns the subscriptions of a topic, 100 at a time.
func (s *Service) ListSubscriptionsByTopic(ctx context.Context, in *sns.ListSubscriptionsByTopicInput) (*sns.ListSubscriptionsByTopicOutput, error) {
	out := &sns.ListSubscriptionsByTopicOutput{}
	var err error
	out.Subscriptions, out.NextToken, err = s.list(ctx, in.TopicArn, in.GetNextToken())
	return out, err
}

// list returns a page of subscriptions: a topic's, or all when the ARN is "".
func (s *Service) list(ctx context.Context, topicARN, from string) (page []sns.Subscription, next *string, err error) {
	after, err := readToken(from)
	if err != nil {
		return nil, nil, err
	}
	page = []sns.Subscription{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		r := store.Range{After: after}
		if topicARN != "" {
			t, err := findTopic(ctx, tx, topicARN)
			if err != nil {
				return err
			}
			r.Prefix = store.K(t.Name)
		}
		var last store.Key
		for key, sub := range subscriptions.Scan(tx, r) {
			if sub.Ended {
				continue
			}
			if len(page) == pageSize {
				next = new(token(last))
				break
			}
			var name string
			if err := key.Parse(&name, nil); err != nil {
				return err
			}
			arn := arnOf(tx, name)
			own := arn + ":" + sub.ID
			if sub.Pending {
				own = "PendingConfirmation"
			}
			page = append(page, sns.Subscription{SubscriptionArn: &own, Owner: new(tx.Account()),
				Protocol: new(sub.Protocol), Endpoint: new(sub.Endpoint), TopicArn: new(arn)})
			last = key
		}
		return nil
	})
	return page, next, err
}
