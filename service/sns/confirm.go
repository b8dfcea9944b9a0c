package sns

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/store"
)

// confirmationTime is how long a token confirms, and how long a subscription waits for it.
//
// https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
const confirmationTime = 48 * time.Hour

// The types of messages, as envelopes and headers name them.
const (
	notification    = "Notification"
	confirmation    = "SubscriptionConfirmation"
	endConfirmation = "UnsubscribeConfirmation"
)

// expiries end the wait for a confirmation.
var expiries = store.NewTimers[struct{}]("sns/expiry")

// newToken makes a token that finds its subscription: its id, then chance, all in hexadecimal digits.
func (s *Service) newToken(id string) string {
	return strings.ReplaceAll(id, "-", "") + s.world.Hex(80)
}

// tokenID returns the id of the subscription a token is for.
func tokenID(token string) (id string, ok bool) {
	if len(token) != 32+160 {
		return "", false
	}
	if _, err := hex.DecodeString(token); err != nil {
		return "", false
	}
	return token[:8] + "-" + token[8:12] + "-" + token[12:16] + "-" + token[16:20] + "-" + token[20:32], true
}

// needsConfirmation reports whether endpoints of a protocol must say that they want the messages.
func needsConfirmation(protocol string) bool {
	switch protocol {
	case "http", "https", "email", "email-json":
		return true
	}
	return false
}

// await makes a subscription wait for the answer to a message of that type, which is sent to it.
func (s *Service) await(ctx context.Context, tx *store.Tx, topicARN string, key store.Key, sub *subscription, kind string) error {
	_, facts, err := checkTopic(tx, topicARN)
	if err != nil {
		return err
	}
	text := "You have chosen to subscribe to the topic " + topicARN +
		".\nTo confirm the subscription, visit the SubscribeURL included in this message."
	if kind == endConfirmation {
		text = "You have chosen to deactivate subscription " + topicARN + ":" + sub.ID +
			".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
	}
	m := message{Kind: kind, ID: sub.ConfirmationID, Topic: topicARN, Body: text, At: tx.World().Now().UnixMilli(),
		Version: facts.version, Host: aws.CallFrom(ctx).Endpoint, Token: sub.Token}
	s.add(tx, delivery{target: target{ID: sub.ID, Protocol: sub.Protocol, Endpoint: sub.Endpoint}, message: m})
	expiries.Set(tx, key, tx.World().Now().Add(confirmationTime), struct{}{})
	subscriptions.Put(tx, key, *sub)
	return nil
}

// expire removes a subscription nobody confirmed.
func (s *Service) expire(ctx context.Context, key store.Key, _ struct{}) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if sub, ok := subscriptions.Get(tx, key); ok && (sub.Pending || sub.Ended) {
			var name string
			if err := key.Parse(&name, nil); err != nil {
				return err
			}
			strike(tx, name, &sub)
		}
		return nil
	})
}

// ConfirmSubscription makes a subscription active that the holder of its token wants. It may be called without a
// signature, from the link in the confirmation message.
func (s *Service) ConfirmSubscription(ctx context.Context, in *sns.ConfirmSubscriptionInput) (*sns.ConfirmSubscriptionOutput, error) {
	guarded := false
	switch in.GetAuthenticateOnUnsubscribe() {
	case "", "false":
	case "true":
		guarded = true
	default:
		return nil, invalid("AuthenticateOnUnsubscribe")
	}
	name, err := parseTopic(aws.ARN(in.TopicArn))
	if err != nil {
		return nil, err
	}
	id, ok := tokenID(in.Token)
	if !ok {
		return nil, invalid("Token")
	}
	anonymous := aws.CallFrom(ctx).Principal.Kind == aws.Anonymous
	out := &sns.ConfirmSubscriptionOutput{SubscriptionArn: new(in.TopicArn + ":" + id)}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := findTopic(ctx, tx, in.TopicArn); err != nil {
			return err
		}
		key := store.K(name, id)
		sub, ok := subscriptions.Get(tx, key)
		if !ok || subtle.ConstantTimeCompare([]byte(sub.Token), []byte(in.Token)) != 1 {
			return invalid("Token")
		}
		if !sub.Pending && !sub.Ended {
			return nil // confirmed before
		}
		sub.Pending, sub.Ended = false, false
		sub.Unauthenticated, sub.Guarded = anonymous, guarded && !anonymous
		expiries.Cancel(tx, key)
		subscriptions.Put(tx, key, sub)
		return nil
	})
}

// Unsubscribe removes a subscription. Deliveries already pending are still made. Removing one that
// is missing succeeds. Without a signature only those can be removed that were confirmed without one;
// their endpoint is told, and can change its mind.
func (s *Service) Unsubscribe(ctx context.Context, in *sns.UnsubscribeInput) (*sns.UnsubscribeOutput, error) {
	anonymous := aws.CallFrom(ctx).Principal.Kind == aws.Anonymous
	confirmationID := s.world.UUID()
	return &sns.UnsubscribeOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		topicARN, key, sub, err := findSubscription(tx, in.SubscriptionArn)
		if aws.IsCode(err, "NotFoundException") {
			return nil
		}
		if err != nil {
			return err
		}
		if anonymous && (sub.Pending || sub.Guarded || !sub.Unauthenticated) {
			return sns.AuthorizationErrorException("Unsubscribing from this subscription requires an authenticated request")
		}
		t, err := findTopic(ctx, tx, topicARN)
		if err != nil {
			return err
		}
		t.Deleted++
		topics.Put(tx, store.K(t.Name), t)
		paces.Delete(tx, key)
		if !anonymous {
			expiries.Cancel(tx, key)
			replays.Cancel(tx, key)
			strike(tx, t.Name, &sub)
			return nil
		}
		sub.Ended, sub.ConfirmationID = true, confirmationID
		return s.await(ctx, tx, topicARN, key, &sub, endConfirmation)
	})
}
