package events

import (
	"strconv"
	"time"

	"fogbank/aws"
	"fogbank/egress"
)

// postponed is a failure whose endpoint said how long to wait before the next attempt.
type postponed struct {
	error
	after time.Duration
}

func (p *postponed) Unwrap() error { return p.error }

// later adds to a failure what the answer's Retry-After says. A negative one ends the attempts.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
func (s *Service) later(answer *egress.Answer, failure error) error {
	if permanent(failure) || answer.RetryAfter == "" {
		return failure
	}
	after, ok := s.retryAfter(answer.RetryAfter)
	switch {
	case !ok:
		return failure
	case after < 0:
		return aws.Errorf("ERROR_FROM_TARGET", 400, "%s", aws.AsError(failure).Message)
	}
	return &postponed{failure, after}
}

// retryAfter reads the header: seconds, or a date.
func (s *Service) retryAfter(text string) (time.Duration, bool) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second, true
	}
	const layout = "Mon, 02 Jan 2006 15:04:05 GMT"
	at, err := time.Parse(layout, text)
	return max(at.Sub(s.world.Now()), 0), err == nil
}
