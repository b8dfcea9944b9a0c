package lambda

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/store"
)

// MaxURLBody is the most bytes the body of a request to a function URL may have.
const MaxURLBody = maxSyncPayload

// URL is a function URL that exists.
type URL struct {
	Function aws.ARN // with the alias the URL is of
	Signed   bool    // requests must be signed: AuthType AWS_IAM
	id       string
	auth     string
	mode     string
	place    reference
	cors     *cors
}

// URLRequest is an HTTP request to a function URL.
type URLRequest struct {
	ID       string // of the request
	Host     string // without a port
	Method   string
	Path     string // as sent, still escaped
	RawQuery string
	Protocol string // "HTTP/1.1"
	SourceIP string
	// Headers have names in lower case; those that came several times are joined by commas. Without cookie.
	Headers map[string]string
	Cookies []string
	Query   map[string]string // values of one name are joined by commas
	Body    []byte
}

// URLAnswer is an HTTP response.
type URLAnswer struct {
	Status  int
	Headers map[string][]string
	Body    []byte
	// Stream is the body, instead, of an answer that the function is still writing. A read fails with another error
	// than io.EOF where it did not write it to its end. Whoever closes it before lets the function write to nobody.
	Stream io.ReadCloser
}

// FindURL returns the function URL with an identifier.
func (s *Service) FindURL(ctx context.Context, id string) (found *URL, ok bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p, there := urlPlaces.Get(tx, store.K(id))
		if !there {
			return nil
		}
		r := reference{p.Account, p.Region, p.Function, p.Qualifier}
		var u urlConfig
		if u, ok = urls.Get(tx.In(p.Account, p.Region), r.key()); ok {
			found = &URL{Function: r.arn(), Signed: u.Auth != "NONE", id: id, auth: u.Auth, mode: u.mode(), place: r, cors: u.Cors}
		}
		return nil
	})
	return found, ok, err
}

// Access is what a caller of the URL must be allowed to do.
// https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
func (u *URL) Access() []aws.Access {
	return []aws.Access{
		{Action: "lambda:InvokeFunctionUrl", Resource: u.Function, Context: map[string][]string{"lambda:FunctionUrlAuthType": {u.auth}}},
		{Action: "lambda:InvokeFunction", Resource: u.Function, Context: map[string][]string{"lambda:InvokedViaFunctionUrl": {"true"}}},
	}
}

// Preflight answers a browser's question which requests it may send; ok is false when the request is none.
func (u *URL) Preflight(q *URLRequest) (a URLAnswer, ok bool) {
	origin := q.Headers["origin"]
	if u.cors == nil || q.Method != "OPTIONS" || origin == "" || q.Headers["access-control-request-method"] == "" {
		return a, false
	}
	a = URLAnswer{Status: 200, Headers: map[string][]string{}}
	if u.cors.mark(a.Headers, origin) {
		set := func(name string, values []string) {
			if len(values) > 0 {
				a.Headers[name] = []string{strings.Join(values, ",")}
			}
		}
		set("Access-Control-Allow-Methods", u.cors.Methods)
		set("Access-Control-Allow-Headers", u.cors.Headers)
		if u.cors.MaxAge != nil {
			set("Access-Control-Max-Age", []string{strconv.Itoa(int(*u.cors.MaxAge))})
		}
	}
	return a, true
}

// mark puts what the rules say about an origin into an answer, in place of what the function said, and
// reports whether the origin is allowed.
func (c *cors) mark(h map[string][]string, origin string) bool {
	if c == nil {
		return false
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	i := slices.IndexFunc(c.Origins, func(o string) bool { return o == "*" || strings.EqualFold(o, origin) })
	if i < 0 || origin == "" {
		return false
	}
	if h["Access-Control-Allow-Origin"] = []string{origin}; c.Origins[i] == "*" {
		h["Access-Control-Allow-Origin"] = []string{"*"}
	}
	if c.Credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	if len(c.Expose) > 0 {
		h["Access-Control-Expose-Headers"] = []string{strings.Join(c.Expose, ",")}
	}
	return true
}

// InvokeURL runs the function with a request, for the caller in ctx, and returns what it answers.
func (s *Service) InvokeURL(ctx context.Context, u *URL, q *URLRequest) URLAnswer {
	c := aws.CallFrom(ctx)
	event := u.event(s, c, q)
	in := aws.WithCall(ctx, &aws.Call{Account: u.place.account, Region: u.place.region, Principal: c.Principal, RequestID: q.ID, Trace: c.Trace})
	f, err := s.choose(in, u.place)
	if err != nil {
		return refusal(502, "Internal Server Error")
	}
	a, ok, err := s.answerURL(in, u, f, compute.Invocation{ID: q.ID, ARN: string(u.Function), Payload: event})
	if _, throttled := errors.AsType[compute.Throttled](err); throttled {
		return refusal(429, "Rate Exceeded.")
	}
	if !ok {
		a = refusal(502, "Internal Server Error")
	}
	u.cors.mark(a.Headers, q.Headers["origin"])
	return a
}

// answerURL runs the function in the URL's mode; ok is false when it gave no answer.
func (s *Service) answerURL(ctx context.Context, u *URL, f *function, inv compute.Invocation) (a URLAnswer, ok bool, err error) {
	if u.mode == lambda.InvokeModeResponseStream {
		st, kind, begun, err := s.stream(ctx, u.place, f, inv)
		if err != nil || !begun {
			return a, false, err
		}
		a, ok = streamedAnswer(st.body, kind)
		if !ok {
			st.body.Close()
		}
		return a, ok, nil
	}
	res, err := s.run(ctx, u.place, f, inv)
	if err != nil || res.Failed {
		return a, false, err
	}
	a, ok = readURLAnswer(res.Payload)
	return a, ok, nil
}

// refusal is an answer in Lambda's own words.
func refusal(status int, message string) URLAnswer {
	return URLAnswer{Status: status, Headers: map[string][]string{"Content-Type": {"application/json"}},
		Body: mustJSON(map[string]string{"Message": message})}
}

// Forbidden is the answer to those who may not use the URL, or to a URL there is not.
func Forbidden() URLAnswer { return refusal(403, "Forbidden") }

// urlEvent is the event of payload format 2.0, as function URLs send it.
// https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
type urlEvent struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Cookies        []string          `json:"cookies,omitempty"`
	Headers        map[string]string `json:"headers"`
	Query          map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext urlContext        `json:"requestContext"`
	Body           *string           `json:"body,omitempty"`
	Base64         bool              `json:"isBase64Encoded"`
}

type urlContext struct {
	AccountID    string         `json:"accountId"`
	APIID        string         `json:"apiId"`
	Authorizer   *urlAuthorizer `json:"authorizer,omitempty"`
	DomainName   string         `json:"domainName"`
	DomainPrefix string         `json:"domainPrefix"`
	HTTP         urlHTTP        `json:"http"`
	RequestID    string         `json:"requestId"`
	RouteKey     string         `json:"routeKey"`
	Stage        string         `json:"stage"`
	Time         string         `json:"time"`
	TimeEpoch    int64          `json:"timeEpoch"`
}

type urlHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// urlAuthorizer says who signed a request.
type urlAuthorizer struct {
	IAM struct {
		AccessKey string  `json:"accessKey"`
		AccountID string  `json:"accountId"`
		CallerID  string  `json:"callerId"`
		Cognito   *string `json:"cognitoIdentity"`
		OrgID     *string `json:"principalOrgId"`
		UserARN   string  `json:"userArn"`
		UserID    string  `json:"userId"`
	} `json:"iam"`
}

// event builds the event of a request.
func (u *URL) event(s *Service, c *aws.Call, q *URLRequest) []byte {
	now := s.world.Now()
	e := urlEvent{Version: "2.0", RouteKey: "$default", RawPath: q.Path, RawQueryString: q.RawQuery, Cookies: q.Cookies, Headers: q.Headers, Query: q.Query,
		RequestContext: urlContext{AccountID: "anonymous", APIID: u.id, DomainName: q.Host, DomainPrefix: u.id, RequestID: q.ID, RouteKey: "$default",
			HTTP:  urlHTTP{q.Method, q.Path, q.Protocol, q.SourceIP, q.Headers["user-agent"]},
			Stage: "$default", Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli()}}
	if p := c.Principal; u.Signed {
		a := &urlAuthorizer{}
		a.IAM.AccessKey, a.IAM.AccountID, a.IAM.CallerID, a.IAM.UserARN, a.IAM.UserID = p.Key, p.Account, p.UserID, string(p.ARN), p.UserID
		e.RequestContext.AccountID, e.RequestContext.Authorizer = p.Account, a
	}
	if len(q.Body) > 0 {
		text := string(q.Body)
		if e.Base64 = !isText(q.Headers["content-type"]) || !utf8.Valid(q.Body); e.Base64 {
			text = base64.StdEncoding.EncodeToString(q.Body)
		}
		e.Body = &text
	}
	return mustJSON(e)
}

// isText reports whether bodies of a type are passed on as text.
func isText(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch kind = strings.TrimSpace(kind); kind {
	case "", "application/json", "application/javascript", "application/xml":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}

// urlHead is what a function says of an answer besides its body.
type urlHead struct {
	Status  *int                       `json:"statusCode"`
	Headers map[string]json.RawMessage `json:"headers"`
	Cookies []string                   `json:"cookies"`
}

// take puts what a function says into the answer; it reports false when there is no such status.
func (a *URLAnswer) take(h *urlHead) bool {
	if a.Status = *h.Status; a.Status < 100 || a.Status > 599 {
		return false
	}
	for name, raw := range h.Headers {
		value := string(raw)
		json.Unmarshal(raw, &value) // what is no text, a number, stays as it is written
		setHeader(a.Headers, name, value)
	}
	for _, cookie := range h.Cookies {
		setHeader(a.Headers, "Set-Cookie", append(a.Headers["Set-Cookie"], cookie)...)
	}
	return true
}

const (
	// preludeType is the media type of a response that begins with a prelude: a JSON object of its status, headers and
	// cookies, and eight bytes of 0.
	preludeType = "application/vnd.awslambda.http-integration-response"
	preludeEnd  = "\x00\x00\x00\x00\x00\x00\x00\x00"
	maxPrelude  = 16 << 10 // with its end
)

// streamedAnswer is the answer whose body is being written, once its head is known; ok is false when what should
// describe it does not.
// https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html
func streamedAnswer(body io.ReadCloser, kind string) (a URLAnswer, ok bool) {
	a = URLAnswer{Status: 200, Headers: map[string][]string{}, Stream: body}
	setHeader(a.Headers, "Content-Type", cmp.Or(kind, "application/octet-stream"))
	if base, _, _ := strings.Cut(kind, ";"); strings.TrimSpace(base) != preludeType {
		return a, true
	}
	read := make([]byte, 0, maxPrelude)
	for {
		n, err := body.Read(read[len(read):cap(read)])
		read = read[:len(read)+n]
		if i := bytes.Index(read, []byte(preludeEnd)); i >= 0 {
			a.Body = read[i+len(preludeEnd):]
			read = read[:i]
			break
		}
		if err != nil || len(read) == cap(read) {
			return a, false
		}
	}
	h := urlHead{Status: &a.Status}
	if err := json.Unmarshal(read, &h); err != nil || h.Status == nil {
		return a, false
	}
	a.Headers = map[string][]string{"Content-Type": {"application/octet-stream"}}
	return a, a.take(&h)
}

// readURLAnswer reads what a function returned: an object with a statusCode describes the answer, any
// other JSON is its body. ok is false when it is neither.
func readURLAnswer(payload []byte) (a URLAnswer, ok bool) {
	if !json.Valid(payload) {
		return a, false
	}
	var r struct {
		urlHead
		Body   *string `json:"body"`
		Base64 bool    `json:"isBase64Encoded"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(payload), []byte("{")) {
		if err := json.Unmarshal(payload, &r); err != nil {
			return a, false
		}
	}
	a.Headers = map[string][]string{"Content-Type": {"application/json"}}
	if r.Status == nil {
		a.Status, a.Body = 200, payload
		var text string
		if json.Unmarshal(payload, &text) == nil {
			a.Body = []byte(text)
		}
		return a, true
	}
	if !a.take(&r.urlHead) {
		return a, false
	}
	if r.Body != nil {
		a.Body = []byte(*r.Body)
	}
	if r.Base64 {
		b, err := base64.StdEncoding.DecodeString(string(a.Body))
		if err != nil {
			return a, false
		}
		a.Body = b
	}
	return a, true
}

// connectionHeaders belong to a connection, not to an answer; a function cannot set them.
var connectionHeaders = map[string]bool{"Connection": true, "Content-Length": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true,
	"Trailer": true, "Transfer-Encoding": true, "Upgrade": true}

// setHeader sets a header a function asks for; one that may not be sent is left out.
func setHeader(h map[string][]string, name string, values ...string) {
	name = canonicalHeader(name)
	if name == "" || connectionHeaders[name] || slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "\r\n\x00") }) {
		return
	}
	h[name] = values
}

// canonicalHeader is a header's name with capitals at the beginnings of its words, "" when it is none.
func canonicalHeader(name string) string {
	b := []byte(strings.ToLower(name))
	upper := true
	for i, c := range b {
		letter := c >= 'a' && c <= 'z'
		if !letter && !strings.ContainsRune("0123456789-_!#$%&'*+.^`|~", rune(c)) {
			return ""
		}
		if upper && letter {
			b[i] = c - 'a' + 'A'
		}
		upper = c == '-'
	}
	return string(b)
}
