package events

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
	"fogbank/template"
)

// callTimeout is how long an endpoint has to answer.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
const callTimeout = 5 * time.Second

// pace is when the next request to a destination may be sent.
type pace struct{ Next time.Time }

var paces = store.NewTable[pace]("events/pace", store.Regional)

// request is a request in the making. Later parameters of a name replace earlier ones.
type request struct {
	url, method string
	headers     []egress.Header
	query       url.Values
	body        []byte
}

// header sets a header.
func (r *request) header(name, value string) {
	i := slices.IndexFunc(r.headers, func(h egress.Header) bool { return strings.EqualFold(h.Name, name) })
	if i < 0 {
		r.headers = append(r.headers, egress.Header{Name: name, Value: value})
		return
	}
	r.headers[i].Value = value
}

// trace hands on a tracing header, unless there is none.
func (r *request) trace(header string) {
	if header != "" {
		r.header("X-Amzn-Trace-Id", header)
	}
}

// add takes over the headers and query parameters of a connection.
func (r *request) add(p *events.ConnectionHttpParameters) {
	if p == nil {
		return
	}
	for _, h := range p.HeaderParameters {
		r.header(text(h.Key), text(h.Value))
	}
	for _, q := range p.QueryStringParameters {
		r.query.Set(text(q.Key), text(q.Value))
	}
}

// addBody puts a connection's body parameters into the body, if that is a JSON object.
func (r *request) addBody(p *events.ConnectionHttpParameters) {
	var doc map[string]json.RawMessage
	if p == nil || len(p.BodyParameters) == 0 || json.Unmarshal(r.body, &doc) != nil || doc == nil {
		return
	}
	for _, b := range p.BodyParameters {
		doc[text(b.Key)] = appendJSON(nil, text(b.Value))
	}
	if b, err := json.Marshal(doc); err == nil {
		r.body = b
	}
}

// outgoing is the request as it is sent.
func (r *request) outgoing() *egress.Request {
	at := r.url
	if len(r.query) > 0 {
		sep := "?"
		if strings.Contains(at, "?") {
			sep = "&"
		}
		at += sep + r.query.Encode()
	}
	return &egress.Request{Method: r.method, URL: at, Headers: r.headers, Body: r.body}
}

// do sends a request and returns the answer, whatever its status. What went wrong is told without the URL, which may
// hold secrets.
func (s *Service) do(ctx context.Context, r *request) (*egress.Answer, error) {
	ctx, cancel := s.world.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := s.to.Network.Do(ctx, r.outgoing())
	switch {
	case err == nil:
		return answer, nil
	case egress.Refused(err):
		return nil, aws.Errorf("SDK_CLIENT_ERROR", 400, "The endpoint may not be reached from here.")
	}
	return nil, aws.Errorf("ERROR_FROM_TARGET", 503, "The endpoint could not be reached, or did not answer in time.")
}

// refusal is what an answer's status means: these are tried again, others are final.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
func refusal(who string, status int) error {
	switch {
	case status == 401 || status == 407 || status == 409 || status == 429 || status >= 500:
		return aws.Errorf("ERROR_FROM_TARGET", 503, "%s answered with status %d.", who, status)
	}
	return aws.Errorf("SDK_CLIENT_ERROR", 400, "%s answered with status %d.", who, status)
}

// route finds a destination and its connection by the destination's ARN.
func (s *Service) route(ctx context.Context, arn string) (d destination, c connection, p authParameters, err error) {
	name, id, _ := strings.Cut(strings.TrimPrefix(aws.ARN(arn).Resource(), "api-destination/"), "/")
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		var ok bool
		if d, ok = destinations.Get(tx, store.K(name)); !ok || id != "" && d.ID != id {
			return errNoDestination(name)
		}
		if c, err = connectionOf(tx, d.Connection); err != nil {
			return err
		}
		if c.State == events.ConnectionStateDeauthorized {
			return aws.Errorf("SDK_CLIENT_ERROR", 400, "The connection of the API destination is deauthorized.")
		}
		p, err = c.open(tx)
		return err
	})
	return d, c, p, err
}

// Call sends a body to an API destination, no faster than it allows, and returns the answer's body, which must not be
// longer than what is read of one. The principal of the call in ctx must be allowed events:InvokeApiDestination. The
// parameters' values that are JSON paths are taken from the event, if there is one.
func (s *Service) Call(ctx context.Context, arn string, parameters *events.HttpParameters, event, body []byte) ([]byte, error) {
	answer, err := s.reach(ctx, arn, parameters, event, body)
	if err == nil && len(answer) >= egress.MaxAnswer {
		err = aws.Errorf("SDK_CLIENT_ERROR", 400, "The answer of the API destination has more than %d bytes.", egress.MaxAnswer-1)
	}
	return answer, err
}

// reach is Call for those whom a part of the answer will do.
func (s *Service) reach(ctx context.Context, arn string, parameters *events.HttpParameters, event, body []byte) ([]byte, error) {
	to := aws.ARN(arn)
	if err := s.to.Permit(ctx, putEvents, aws.Access{Action: "events:InvokeApiDestination", Resource: to}); err != nil {
		return nil, err
	}
	trace := aws.CallFrom(ctx).Tracing()
	ctx = aws.WithCall(ctx, &aws.Call{Account: to.Account(), Region: to.Region()})
	d, c, p, err := s.route(ctx, arn)
	if err != nil {
		return nil, err
	}
	r, err := d.request(parameters, event, body)
	if err != nil {
		return nil, err
	}
	r.add(p.InvocationHttpParameters)
	r.addBody(p.InvocationHttpParameters)
	r.trace(trace)
	if err := s.await(ctx, &d); err != nil {
		return nil, err
	}
	answer, err := s.authorizedDo(ctx, &c, &p, r)
	if err != nil {
		return nil, err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return nil, s.later(answer, refusal("The endpoint of the API destination", answer.Status))
	}
	return answer.Body, nil
}

// authorizedDo sends a request with the connection's authorization. A token that is refused is taken anew, once.
func (s *Service) authorizedDo(ctx context.Context, c *connection, p *authParameters, r *request) (*egress.Answer, error) {
	if b := p.BasicAuthParameters; b != nil {
		r.header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(b.Username+":"+b.Password)))
	}
	if k := p.ApiKeyAuthParameters; k != nil {
		r.header(k.ApiKeyName, k.ApiKeyValue)
	}
	if p.OAuthParameters == nil {
		return s.do(ctx, r)
	}
	bearer, err := s.accessToken(ctx, c.Name, c.ID, "")
	if err != nil {
		return nil, err
	}
	r.header("Authorization", "Bearer "+bearer)
	answer, err := s.do(ctx, r)
	if err != nil || answer.Status != 401 && answer.Status != 407 {
		return answer, err
	}
	if bearer, err = s.accessToken(ctx, c.Name, c.ID, bearer); err != nil {
		return nil, err
	}
	r.header("Authorization", "Bearer "+bearer)
	return s.do(ctx, r)
}

// request begins a request to the destination: its path, query and headers for an event.
func (d *destination) request(p *events.HttpParameters, event, body []byte) (*request, error) {
	r := &request{url: d.Endpoint, method: d.Method, query: url.Values{}}
	r.header("User-Agent", "Amazon/EventBridge/ApiDestinations")
	r.header("Range", "bytes=0-1048575")
	return r, r.fill(p, event, body)
}

// fill gives a request its body, and what the parameters say of its path, query and headers.
func (r *request) fill(p *events.HttpParameters, event, body []byte) error {
	r.header("Content-Type", "application/json; charset=utf-8")
	if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, r.method) {
		r.body = body
	}
	if p == nil {
		return nil
	}
	for _, v := range p.PathParameterValues {
		v, ok := dynamic(v, event)
		if !ok || v == "" {
			return aws.Errorf("INVALID_PARAMETER", 400, "A path parameter of the API has no value in the event.")
		}
		r.url = strings.Replace(r.url, "*", url.PathEscape(v), 1)
	}
	for name, v := range p.HeaderParameters {
		if v, ok := dynamic(v, event); ok {
			r.header(name, headerValue(v))
		}
	}
	for name, v := range p.QueryStringParameters {
		if v, ok := dynamic(v, event); ok {
			r.query.Set(name, v)
		}
	}
	slices.SortStableFunc(r.headers, func(a, b egress.Header) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// headerValue is v without what would end a header.
func headerValue(v string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f {
			return -1
		}
		return c
	}, v)
}

// dynamic is a parameter's value for an event: what a JSON path finds, else the value itself.
func dynamic(v string, event []byte) (string, bool) {
	if event == nil || !strings.HasPrefix(v, "$.") {
		return v, true
	}
	path, ok := template.ParsePath(v)
	if !ok {
		return v, true
	}
	found, ok := path.Find(event)
	if !ok || string(found) == "null" {
		return "", false
	}
	var s string
	if json.Unmarshal(found, &s) == nil {
		return s, true
	}
	return string(found), true
}

// await waits for the destination's next turn. Turns are handed out in order and survive a restart.
func (s *Service) await(ctx context.Context, d *destination) error {
	rate := int32(defaultRate)
	if d.Rate != nil && *d.Rate > 0 {
		rate = *d.Rate
	}
	var turn time.Time
	now := s.world.Now()
	err := s.db.UpdateSoon(ctx, func(tx *store.Tx) error {
		p, _ := paces.Get(tx, store.K(d.Name))
		if turn = p.Next; turn.Before(now) {
			turn = now
		}
		paces.Put(tx, store.K(d.Name), pace{turn.Add(time.Second / time.Duration(rate))})
		return nil
	}, "events/pace/"+aws.CallFrom(ctx).Account+"/"+d.Name)
	if err != nil {
		return err
	}
	if wait := turn.Sub(now); wait > 0 {
		s.world.Wait(ctx, nil, wait)
	}
	return ctx.Err()
}

// send hands a delivery to an API destination, as the target's role.
func (s *Service) send(ctx context.Context, d *delivery, payload []byte) error {
	parameters, err := d.parameters()
	if err != nil {
		return err
	}
	_, err = s.reach(ctx, d.ARN, parameters, d.Event, payload)
	return err
}

// parameters are what an API is sent besides the payload.
func (d *delivery) parameters() (*events.HttpParameters, error) {
	p := &events.HttpParameters{}
	if d.HTTP == nil {
		return p, nil
	}
	return p, json.Unmarshal(d.HTTP, p)
}
