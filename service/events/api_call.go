package events

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"fogbank/api/events"
	"fogbank/aws"
)

// apiTarget is an API Gateway method by its ARN: arn:aws:execute-api:region:account:api-id/stage/METHOD/path, in
// whose path * stands for path parameters.
type apiTarget struct{ api, stage, method, path string }

// apiMethods are the methods of APIs; * is any, which is called with POST.
var apiMethods = []string{"*", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// parseAPI reads the resource of an API Gateway ARN.
func parseAPI(arn aws.ARN) (t apiTarget, ok bool) {
	parts := strings.SplitN(arn.Resource(), "/", 4)
	if len(parts) < 3 || slices.Contains(parts[:2], "") || !slices.Contains(apiMethods, parts[2]) {
		return t, false
	}
	t = apiTarget{api: parts[0], stage: parts[1], method: parts[2]}
	if len(parts) == 4 {
		t.path = parts[3]
	}
	if t.method == "*" {
		t.method = "POST"
	}
	return t, !strings.ContainsAny(t.api+t.stage, "*?#") && !strings.ContainsAny(t.path, "?#")
}

// checkAPI refuses an API Gateway target that could not be called.
func (t *target) checkAPI() error {
	to, ok := parseAPI(aws.ARN(t.ARN))
	if !ok {
		return invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", t.ARN)
	}
	given := 0
	if t.HTTP != nil {
		given = len(t.HTTP.PathParameterValues)
	}
	if stars := strings.Count(to.path, "*"); stars != given {
		return invalid("Parameter PathParameterValues is not valid for target %s. Reason: the path has %d wildcards, and %d values are given.", t.ID, stars, given)
	}
	return nil
}

// callAPI hands a delivery to an API of API Gateway.
func (s *Service) callAPI(ctx context.Context, d *delivery, payload []byte) error {
	parameters, err := d.parameters()
	if err != nil {
		return err
	}
	_, err = s.CallAPI(ctx, d.ARN, parameters, d.Event, payload)
	return err
}

// maxAPIAnswer is the longest answer of an API that is of use, in bytes.
const maxAPIAnswer = 6 << 20

// CallAPI sends a body to an API of API Gateway, named by the ARN of a method, and returns the answer's body. A role
// that calls must be allowed execute-api:Invoke. The parameters' values that are JSON paths are taken from the event,
// if there is one.
func (s *Service) CallAPI(ctx context.Context, arn string, parameters *events.HttpParameters, event, body []byte) ([]byte, error) {
	to, ok := parseAPI(aws.ARN(arn))
	if !ok {
		return nil, invalid("%s is not the ARN of a method of an API.", arn)
	}
	if aws.CallFrom(ctx).Principal.Kind == aws.AssumedRole {
		if err := s.to.Permit(ctx, putEvents, aws.Access{Action: "execute-api:Invoke", Resource: aws.ARN(arn)}); err != nil {
			return nil, err
		}
	}
	path := to.path
	if to.stage != "$default" {
		path = to.stage + "/" + path
	}
	r := &request{url: "https://" + to.api + ".execute-api." + aws.ARN(arn).Region() + ".amazonaws.com/" + path, method: to.method, query: url.Values{}}
	r.header("User-Agent", "Amazon/EventBridge/ApiDestinations")
	if err := r.fill(parameters, event, body); err != nil {
		return nil, err
	}
	r.trace(aws.CallFrom(ctx).Tracing())
	answer, err := s.to.APIs.Do(ctx, r.outgoing())
	if err != nil {
		return nil, err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return nil, s.later(answer, refusal("The API", answer.Status))
	}
	if len(answer.Body) > maxAPIAnswer {
		return nil, aws.Errorf("SDK_CLIENT_ERROR", 400, "The answer of the API has more than %d bytes.", maxAPIAnswer)
	}
	return answer.Body, nil
}
