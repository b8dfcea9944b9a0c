package pipes

import (
	"context"
	"strings"

	"fogbank/api/events"
	"fogbank/api/pipes"
	"fogbank/aws"
)

// overHTTP is the kind of API destinations and of methods of API Gateway.
const overHTTP = "http"

// kindOf is the kind of an enrichment or target: its service, or overHTTP; "" is none there is.
func kindOf(text string) string {
	arn := aws.ARN(text)
	switch {
	case arn.Service() == "execute-api", arn.Service() == "events" && strings.HasPrefix(arn.Resource(), "api-destination/"):
		return overHTTP
	}
	return arn.Service()
}

// single reports whether the pipe has a part that takes one event at a time.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
func (p *pipe) single() bool { return kindOf(p.Enrichment) == overHTTP || kindOf(p.Target) == overHTTP }

// checkHTTP checks an enrichment or target over HTTP.
func (p *pipe) checkHTTP(what, arn string) error {
	parts := strings.Split(aws.ARN(arn).Resource(), "/")
	if len(parts) < 2 || aws.ARN(arn).Service() == "execute-api" && len(parts) < 3 {
		return invalid("The %s %s is not the ARN of an API destination or of a method of an API.", what, arn)
	}
	if p.batch() > 1 {
		return invalid("The batch size of the source, %d, is larger than the %s supports: 1.", p.batch(), what)
	}
	return nil
}

// httpParameters are those of an enrichment or a target: both have the same.
type httpParameters pipes.PipeTargetHttpParameters

// fill replaces what names a value of the event by it. Headers and query parameters it lacks are left out.
func (p *httpParameters) fill(event []byte) (*events.HttpParameters, error) {
	out := &events.HttpParameters{HeaderParameters: map[string]string{}, QueryStringParameters: map[string]string{}}
	if p == nil {
		return out, nil
	}
	for _, text := range p.PathParameterValues {
		v, ok := parameter(text, event)
		if !ok {
			return nil, missing("PathParameterValues", text)
		}
		out.PathParameterValues = append(out.PathParameterValues, v)
	}
	for name, text := range p.HeaderParameters {
		if v, ok := parameter(text, event); ok {
			out.HeaderParameters[name] = v
		}
	}
	for name, text := range p.QueryStringParameters {
		if v, ok := parameter(text, event); ok {
			out.QueryStringParameters[name] = v
		}
	}
	return out, nil
}

// request sends an event over HTTP and returns the answer.
func (r *runner) request(ctx context.Context, arn string, p *httpParameters, raw, body []byte) ([]byte, error) {
	filled, err := p.fill(raw)
	if err != nil {
		return nil, err
	}
	call := r.s.o.APIs.Call
	if aws.ARN(arn).Service() == "execute-api" {
		call = r.s.o.APIs.CallAPI
	}
	x := executionFrom(ctx)
	x.invoke(aws.ARN(arn).Service(), func() []byte { return body })
	answer, err := call(ctx, arn, filled, nil, body)
	if err == nil {
		x.answer(func() []byte { return answer })
	}
	return answer, err
}

// enrichHTTP asks an API about the events of a batch, of which there is one.
func (r *runner) enrichHTTP(ctx context.Context, batch [][]byte) ([]byte, error) {
	var p *httpParameters
	if r.p.Through != nil {
		p = (*httpParameters)(r.p.Through.HttpParameters)
	}
	given, err := executionFrom(ctx).transform(r.enrich, batch, func() ([][]byte, error) { return r.enrich.applyAll(batch, r.occasion()), nil })
	if err != nil {
		return nil, err
	}
	return r.request(ctx, r.p.Enrichment, p, batch[0], given[0])
}

// sendHTTP sends an event to an API.
func (r *runner) sendHTTP(ctx context.Context, p *pipes.PipeTargetHttpParameters, raw, body []byte) error {
	_, err := r.request(ctx, r.p.Target, (*httpParameters)(p), raw, body)
	return err
}
