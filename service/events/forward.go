package events

import (
	"context"
	"encoding/json"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/store"
)

// putEvents is the operation by whose action buses are sent events.
var putEvents = events.API.Operation("PutEvents")

// forward routes the event on another bus, as it came, in the bus's account and region. The target's role must be
// allowed to put events there; without a role, a bus of another account must allow the rule's account.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
func (s *Service) forward(ctx context.Context, d *delivery, payload []byte) error {
	if d.Hops+1 >= maxHops {
		return aws.Errorf("THIRD_ACCOUNT_HOP_DETECTED", 400, "The event has passed %d event buses.", maxHops)
	}
	flat, err := pattern.Flatten(payload)
	if err != nil {
		return invalid("The event is not one that can be matched: %s", err)
	}
	if err := s.admit(ctx, d, payload); err != nil {
		return err
	}
	arn := aws.ARN(d.ARN)
	ctx = aws.WithCall(ctx, &aws.Call{Account: arn.Account(), Region: arn.Region()})
	ev := &event{ID: d.ID, JSON: payload, Ingested: d.Ingested, Hops: d.Hops + 1, Host: d.Host, Trace: d.Trace, flat: flat}
	return s.db.Update(ctx, func(tx *store.Tx) error { return s.dispatch(tx, nil, d.ARN, ev) })
}

// admit asks policy whether the event may be put on the bus it is sent to.
func (s *Service) admit(ctx context.Context, d *delivery, payload []byte) error {
	arn, from := aws.ARN(d.ARN), aws.ARN(d.RuleARN).Account()
	if d.Role == "" {
		if from == arn.Account() {
			return nil
		}
		call := *aws.CallFrom(ctx)
		call.Principal = aws.Principal{Kind: aws.Root, Account: from, ARN: aws.MakeARN("iam", "", from, "root")}
		ctx = aws.WithCall(ctx, &call)
	}
	var e struct {
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return invalid("The event is not one that can be matched: %s", err)
	}
	return s.to.Permit(ctx, putEvents, aws.Access{Action: putEvents.Action, Resource: arn, Context: putting(e.Source, e.DetailType, true)})
}
