package sns

import (
	"bytes"
	"encoding/json"
	"math"
	"mime"
	"strings"
	"time"
)

// maxRetryTime is how long the retries of one message may take together.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
const maxRetryTime = time.Hour

// retryPolicy says when to try again: some times at once, some after the least delay, some with delays that grow, some after
// the greatest. Delays are seconds.
type retryPolicy struct {
	MinDelayTarget     int    `json:"minDelayTarget"`
	MaxDelayTarget     int    `json:"maxDelayTarget"`
	NumRetries         int    `json:"numRetries"`
	NumMaxDelayRetries int    `json:"numMaxDelayRetries"`
	NumNoDelayRetries  int    `json:"numNoDelayRetries"`
	NumMinDelayRetries int    `json:"numMinDelayRetries"`
	BackoffFunction    string `json:"backoffFunction"`
}

type throttlePolicy struct {
	MaxReceivesPerSecond int `json:"maxReceivesPerSecond"`
}

type requestPolicy struct {
	HeaderContentType string `json:"headerContentType"`
}

// topicPolicy is the DeliveryPolicy of a topic.
type topicPolicy struct {
	HTTP struct {
		Retry            *retryPolicy    `json:"defaultHealthyRetryPolicy,omitempty"`
		DisableOverrides bool            `json:"disableSubscriptionOverrides"`
		Throttle         *throttlePolicy `json:"defaultThrottlePolicy,omitempty"`
		Request          *requestPolicy  `json:"defaultRequestPolicy,omitempty"`
	} `json:"http"`
}

// deliveryPolicy is the DeliveryPolicy of a subscription, and with nothing left out the one in effect.
type deliveryPolicy struct {
	Retry      *retryPolicy    `json:"healthyRetryPolicy"`
	Sickly     *struct{}       `json:"sicklyRetryPolicy"`
	Throttle   *throttlePolicy `json:"throttlePolicy"`
	Request    *requestPolicy  `json:"requestPolicy"`
	Guaranteed bool            `json:"guaranteed"`
}

// The values of a policy that says nothing.
const (
	defaultDelay       = 20
	defaultRetries     = 3
	defaultContentType = "text/plain; charset=UTF-8"
)

// UnmarshalJSON starts from impossible values, so that check sees what was left out.
func (r *retryPolicy) UnmarshalJSON(b []byte) error {
	type plain retryPolicy
	p := plain{MinDelayTarget: -1, MaxDelayTarget: -1, NumRetries: -1}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return err
	}
	*r = retryPolicy(p)
	return nil
}

// parseTopicPolicy reads and checks the DeliveryPolicy of a topic.
func parseTopicPolicy(text string) (p topicPolicy, err error) {
	if text == "" {
		return p, nil
	}
	if strict(text, &p) != nil {
		return p, invalid("DeliveryPolicy: Unable to parse delivery policy")
	}
	return p, checkPolicies("http.defaultHealthyRetryPolicy", p.HTTP.Retry, "http.defaultThrottlePolicy", p.HTTP.Throttle, p.HTTP.Request)
}

// parseDeliveryPolicy reads and checks the DeliveryPolicy of a subscription.
func parseDeliveryPolicy(text string) (p deliveryPolicy, err error) {
	if text == "" {
		return p, nil
	}
	if strict(text, &p) != nil {
		return p, invalid("DeliveryPolicy: Unable to parse delivery policy")
	}
	return p, checkPolicies("healthyRetryPolicy", p.Retry, "throttlePolicy", p.Throttle, p.Request)
}

// strict decodes JSON that has no member v does not know.
func strict(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// checkPolicies applies the limits AWS documents, and puts defaults where they may be left out.
func checkPolicies(retryName string, r *retryPolicy, throttleName string, t *throttlePolicy, q *requestPolicy) error {
	if r != nil {
		if err := r.check(retryName); err != nil {
			return err
		}
	}
	if t != nil && t.MaxReceivesPerSecond < 1 {
		return invalid("DeliveryPolicy: %s.maxReceivesPerSecond must be greater than or equal to 1", throttleName)
	}
	if q != nil && q.HeaderContentType != "" {
		if _, _, err := mime.ParseMediaType(q.HeaderContentType); err != nil || strings.ContainsAny(q.HeaderContentType, "\r\n") {
			return invalid("DeliveryPolicy: requestPolicy.headerContentType is not a valid content type")
		}
	}
	return nil
}

func (r *retryPolicy) check(name string) error {
	bad := func(what string) error { return invalid("DeliveryPolicy: %s.%s", name, what) }
	switch {
	case r.NumRetries == -1:
		return bad("numRetries must be specified")
	case r.MinDelayTarget == -1:
		return bad("minDelayTarget must be specified")
	case r.MaxDelayTarget == -1:
		return bad("maxDelayTarget must be specified")
	case r.NumRetries < 0:
		return bad("numRetries must be greater than or equal to 0")
	case r.NumRetries > 100:
		return bad("numRetries must be less than or equal to 100")
	case r.MinDelayTarget < 1:
		return bad("minDelayTarget must be greater than or equal to 1")
	case r.MaxDelayTarget < r.MinDelayTarget:
		return bad("maxDelayTarget must be greater than or equal to minDelayTarget")
	case r.MaxDelayTarget > 3600:
		return bad("maxDelayTarget must be less than or equal to 3600")
	case r.NumNoDelayRetries < 0 || r.NumMinDelayRetries < 0 || r.NumMaxDelayRetries < 0:
		return bad("numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries must be greater than or equal to 0")
	case r.NumNoDelayRetries+r.NumMinDelayRetries+r.NumMaxDelayRetries > r.NumRetries:
		return bad("numRetries must be greater than or equal to total of numMinDelayRetries, numNoDelayRetries and numMaxDelayRetries")
	}
	switch r.BackoffFunction {
	case "":
		r.BackoffFunction = "linear"
	case "linear", "arithmetic", "geometric", "exponential":
	default:
		return bad("backoffFunction must be one of linear, arithmetic, geometric, exponential")
	}
	return nil
}

// effective returns what holds of a topic's policy and a subscription's: the subscription's parts, unless the topic forbids
// it, then the topic's, then AWS's.
func effective(topic *topicPolicy, sub *deliveryPolicy) *deliveryPolicy {
	e := &deliveryPolicy{Retry: &retryPolicy{MinDelayTarget: defaultDelay, MaxDelayTarget: defaultDelay, NumRetries: defaultRetries, BackoffFunction: "linear"},
		Request: &requestPolicy{defaultContentType}}
	e.overlay(topic.HTTP.Retry, topic.HTTP.Throttle, topic.HTTP.Request)
	if !topic.HTTP.DisableOverrides {
		e.overlay(sub.Retry, sub.Throttle, sub.Request)
	}
	return e
}

func (e *deliveryPolicy) overlay(r *retryPolicy, t *throttlePolicy, q *requestPolicy) {
	if r != nil {
		e.Retry = r
	}
	if t != nil {
		e.Throttle = t
	}
	if q != nil && q.HeaderContentType != "" {
		e.Request = q
	}
}

// effectiveTopic returns a topic's policy with AWS's defaults, as GetTopicAttributes shows it.
func effectiveTopic(topic *topicPolicy) string {
	e := effective(topic, &deliveryPolicy{})
	shown := *topic
	shown.HTTP.Retry, shown.HTTP.Throttle, shown.HTTP.Request = e.Retry, e.Throttle, e.Request
	b, err := json.Marshal(shown)
	if err != nil {
		panic("sns: a delivery policy that cannot be written: " + err.Error())
	}
	return string(b)
}

// String is the policy as GetSubscriptionAttributes shows it.
func (e *deliveryPolicy) String() string {
	b, err := json.Marshal(e)
	if err != nil {
		panic("sns: a delivery policy that cannot be written: " + err.Error())
	}
	return string(b)
}

// delay returns how long to wait before the nth retry, counted from 1, or that there is none: the
// retries are used up, or would take longer than maxRetryTime together.
func (r *retryPolicy) delay(n int) (time.Duration, bool) {
	if n > r.NumRetries {
		return 0, false
	}
	total := time.Duration(0)
	for i := 1; i < n; i++ {
		total += r.phase(i)
	}
	d := r.phase(n)
	return d, total+d <= maxRetryTime
}

// phase returns the delay before the nth retry.
func (r *retryPolicy) phase(n int) time.Duration {
	least, most := float64(r.MinDelayTarget), float64(r.MaxDelayTarget)
	growing := r.NumRetries - r.NumNoDelayRetries - r.NumMinDelayRetries - r.NumMaxDelayRetries
	i := n - r.NumNoDelayRetries - r.NumMinDelayRetries
	seconds := most
	switch {
	case n <= r.NumNoDelayRetries:
		return 0
	case i <= 0:
		seconds = least
	case i <= growing:
		seconds = backOff(r.BackoffFunction, i, growing, least, most)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

// backOff returns the ith of k delays that grow from least to most, of which the last is most. AWS draws the four curves
// without giving their formulas: linear grows by equal steps, arithmetic by steps that grow by equal amounts,
// geometric by equal factors, exponential by steps that double.
func backOff(function string, i, k int, least, most float64) float64 {
	x, n := float64(i), float64(k)
	switch function {
	case "arithmetic":
		return least + (most-least)*x*(x+1)/(n*(n+1))
	case "geometric":
		return least * math.Pow(most/least, x/n)
	case "exponential":
		return least + (most-least)*(math.Exp2(x)-1)/(math.Exp2(n)-1)
	}
	return least + (most-least)*x/n
}
