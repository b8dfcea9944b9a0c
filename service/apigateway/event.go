package apigateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// event2 is the event of payload format 2.0.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event2 struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  context2          `json:"requestContext"`
	Body            *string           `json:"body,omitempty"`
	PathParameters  map[string]string `json:"pathParameters,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	StageVariables  map[string]string `json:"stageVariables,omitempty"`
}

type context2 struct {
	AccountID    string   `json:"accountId"`
	APIID        string   `json:"apiId"`
	DomainName   string   `json:"domainName"`
	DomainPrefix string   `json:"domainPrefix"`
	HTTP         httpInfo `json:"http"`
	RequestID    string   `json:"requestId"`
	RouteKey     string   `json:"routeKey"`
	Stage        string   `json:"stage"`
	Time         string   `json:"time"`
	TimeEpoch    int64    `json:"timeEpoch"`
}

type httpInfo struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

const eventTime = "02/Jan/2006:15:04:05 -0700"

// event2 builds the event of payload format 2.0.
func (q *request) event2() []byte {
	headers := map[string]string{}
	for name, values := range q.headers() {
		if name != "cookie" {
			headers[name] = strings.Join(values, ",")
		}
	}
	e := event2{
		Version: "2.0", RouteKey: q.target.key, RawPath: q.rawPath, RawQueryString: q.URL.RawQuery, Headers: headers,
		PathParameters: q.params, StageVariables: q.vars,
		RequestContext: context2{AccountID: q.place.Account, APIID: q.api, DomainName: q.host, DomainPrefix: q.api,
			HTTP:      httpInfo{Method: q.Method, Path: q.rawPath, Protocol: q.Proto, SourceIP: q.sourceIP, UserAgent: q.UserAgent()},
			RequestID: q.id, RouteKey: q.target.key, Stage: q.stage, Time: q.now.Format(eventTime), TimeEpoch: q.now.UnixMilli()},
	}
	for _, line := range q.Header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				e.Cookies = append(e.Cookies, cookie)
			}
		}
	}
	for name, values := range q.query() {
		if e.Query == nil {
			e.Query = map[string]string{}
		}
		e.Query[name] = strings.Join(values, ",")
	}
	e.Body, e.IsBase64Encoded = q.text()
	return marshal(e)
}

// event1 is the event of payload format 1.0.
type event1 struct {
	Version        string              `json:"version"`
	Resource       string              `json:"resource"`
	Path           string              `json:"path"`
	Method         string              `json:"httpMethod"`
	Headers        map[string]string   `json:"headers"`
	MultiHeaders   map[string][]string `json:"multiValueHeaders"`
	Query          map[string]string   `json:"queryStringParameters"`
	MultiQuery     map[string][]string `json:"multiValueQueryStringParameters"`
	RequestContext context1            `json:"requestContext"`
	PathParameters map[string]string   `json:"pathParameters"`
	StageVariables map[string]string   `json:"stageVariables"`
	Body           *string             `json:"body"`
	IsBase64       bool                `json:"isBase64Encoded"`
}

type context1 struct {
	AccountID         string    `json:"accountId"`
	APIID             string    `json:"apiId"`
	DomainName        string    `json:"domainName"`
	DomainPrefix      string    `json:"domainPrefix"`
	ExtendedRequestID string    `json:"extendedRequestId"`
	Method            string    `json:"httpMethod"`
	Identity          identity1 `json:"identity"`
	Path              string    `json:"path"`
	Protocol          string    `json:"protocol"`
	RequestID         string    `json:"requestId"`
	RequestTime       string    `json:"requestTime"`
	RequestTimeEpoch  int64     `json:"requestTimeEpoch"`
	ResourceID        string    `json:"resourceId"`
	ResourcePath      string    `json:"resourcePath"`
	Stage             string    `json:"stage"`
}

type identity1 struct {
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// event1 builds the event of payload format 1.0.
func (q *request) event1() []byte {
	resource := q.target.path
	if q.target.method == "" {
		resource = defaultRoute
	}
	e := event1{
		Version: "1.0", Resource: resource, Path: q.rawPath, Method: q.Method, Headers: map[string]string{},
		PathParameters: q.params, StageVariables: q.vars, MultiHeaders: q.headers(),
		RequestContext: context1{AccountID: q.place.Account, APIID: q.api, DomainName: q.host, DomainPrefix: q.api, ExtendedRequestID: q.id,
			Method: q.Method, Identity: identity1{q.sourceIP, q.UserAgent()}, Path: q.rawPath, Protocol: q.Proto, RequestID: q.id,
			RequestTime: q.now.Format(eventTime), RequestTimeEpoch: q.now.UnixMilli(), ResourceID: q.target.key, ResourcePath: resource, Stage: q.stage},
	}
	for name, values := range e.MultiHeaders {
		e.Headers[name] = values[len(values)-1]
	}
	if query := q.query(); len(query) > 0 {
		e.Query, e.MultiQuery = map[string]string{}, query
		for name, values := range query {
			e.Query[name] = values[len(values)-1]
		}
	}
	e.Body, e.IsBase64 = q.text()
	return marshal(e)
}

// headers are the request's, in lower case, with those the gateway adds.
func (q *request) headers() map[string][]string {
	all := make(map[string][]string, len(q.Header)+4)
	for name, values := range maps.All(q.Header) {
		all[strings.ToLower(name)] = values
	}
	delete(all, "connection")
	if all["x-amzn-trace-id"] == nil {
		all["x-amzn-trace-id"] = []string{q.trace}
	}
	all["host"] = []string{q.Host}
	all["x-forwarded-for"] = []string{strings.Join(append(q.Header["X-Forwarded-For"], q.sourceIP), ", ")}
	scheme, port := "http", "80"
	if q.TLS != nil {
		scheme, port = "https", "443"
	}
	if u, err := url.Parse("//" + q.Host); err == nil && u.Port() != "" {
		port = u.Port()
	}
	all["x-forwarded-proto"], all["x-forwarded-port"] = []string{scheme}, []string{port}
	return all
}

// query is the decoded query string; what cannot be decoded is left out.
func (q *request) query() url.Values {
	if q.URL.RawQuery == "" {
		return nil
	}
	values, _ := url.ParseQuery(q.URL.RawQuery)
	return values
}

// text is the body as an event carries it: as it is for text, else in base64.
func (q *request) text() (body *string, encoded bool) {
	if len(q.body) == 0 {
		return nil, false
	}
	kind, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	switch {
	case !utf8.Valid(q.body):
	case strings.HasPrefix(kind, "text/"), kind == "application/json", kind == "application/javascript", kind == "application/xml",
		err != nil && q.Header.Get("Content-Type") == "":
		return new(string(q.body)), false
	}
	return new(base64.StdEncoding.EncodeToString(q.body)), true
}

func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("apigateway: an event that is not JSON: " + err.Error())
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// hopByHop are headers of a connection, not of an answer; a function cannot set them.
var hopByHop = map[string]bool{"Connection": true, "Content-Length": true, "Keep-Alive": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Apigw-Requestid": true}

// valid reports whether a header may be sent.
func validHeader(name, value string) bool {
	return name != "" && strings.Trim(strings.ToLower(name), idLetters+"-_!#$%&'*+.^`|~") == "" && !strings.ContainsAny(value, "\r\n\x00") &&
		!hopByHop[http.CanonicalHeaderKey(name)]
}
