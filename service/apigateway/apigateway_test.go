package apigateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/apigatewayv2"
	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

const functionARN = "arn:aws:lambda:us-east-1:000000000000:function:f"

// function is Lambda with one function.
type function func(ctx context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error)

func (f function) Invoke(ctx context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
	return f(ctx, in)
}

func returns(payload string) function {
	return func(context.Context, *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		return &lambda.InvokeOutput{Payload: []byte(payload)}, nil
	}
}

// setUp makes an API with routes that all lead to f, and a $default stage.
func setUp(t testing.TB, f function, format string, keys ...string) (s *Service, ctx context.Context, id string) {
	t.Helper()
	w := world.Seeded(1)
	db := store.Memory(w)
	t.Cleanup(func() { w.Stop(); db.Close() })
	s = New(db, w, f)
	ctx = aws.WithCall(t.Context(), &aws.Call{Account: "000000000000", Region: "us-east-1", Endpoint: "http://localhost:4566"})
	a, err := s.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: "shop", ProtocolType: "HTTP"})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: *a.ApiId, IntegrationType: "AWS_PROXY",
		IntegrationUri: new(functionARN), PayloadFormatVersion: &format})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if _, err := s.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: *a.ApiId, RouteKey: key, Target: new("integrations/" + *i.IntegrationId)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: *a.ApiId, StageName: "$default", AutoDeploy: new(true)}); err != nil {
		t.Fatal(err)
	}
	return s, ctx, *a.ApiId
}

func get(s *Service, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func host(id string) string { return "http://" + id + ".execute-api.us-east-1.localhost:4566" }

func TestPrecedence(t *testing.T) {
	var got string
	var in *lambda.InvokeInput
	var source aws.ARN
	s, _, id := setUp(t, func(ctx context.Context, i *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		var e struct{ RouteKey string }
		if err := json.Unmarshal(i.Payload, &e); err != nil {
			return nil, err
		}
		got, in, source = e.RouteKey, i, aws.CallFrom(ctx).SourceARN
		return &lambda.InvokeOutput{Payload: []byte(`{"statusCode":204}`)}, nil
	}, "2.0", "GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "ANY /pets/dog/1", "GET /pets/{kind}/1", "GET /", "$default")
	for _, c := range []struct{ method, path, route, source string }{
		{"GET", "/pets/dog/1", "GET /pets/dog/1", "GET/pets/dog/1"},
		{"POST", "/pets/dog/1", "ANY /pets/dog/1", "POST/pets/dog/1"},
		{"GET", "/pets/dog/2", "GET /pets/dog/{id}", "GET/pets/dog/{id}"},
		{"GET", "/pets/cat/1", "GET /pets/{kind}/1", "GET/pets/{kind}/1"},
		{"GET", "/pets/cat/2", "GET /pets/{proxy+}", "GET/pets/{proxy+}"},
		{"POST", "/test/5", "ANY /{proxy+}", "POST/{proxy+}"},
		{"GET", "/", "GET /", "GET/"},
		{"POST", "/", "$default", "$default"},
	} {
		got = ""
		if w := get(s, c.method, host(id)+c.path, ""); w.Code != 204 || got != c.route {
			t.Errorf("%s %s: %d by %q, want %q", c.method, c.path, w.Code, got, c.route)
		}
		if want := aws.ARN("arn:aws:execute-api:us-east-1:000000000000:" + id + "/$default/" + c.source); source != want {
			t.Errorf("source %s, want %s", source, want)
		}
	}
	if in.FunctionName != functionARN {
		t.Errorf("invoked %s", in.FunctionName)
	}
}

func TestEvent2(t *testing.T) {
	var event map[string]any
	s, _, id := setUp(t, func(_ context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		event = nil
		return &lambda.InvokeOutput{Payload: []byte("{}")}, json.Unmarshal(in.Payload, &event)
	}, "2.0", "POST /orders/{id}")
	w := get(s, "POST", host(id)+"/orders/a%20b?x=1&x=2&y=%C3%BC", `{"a":"<ü>"}`, "Content-Type", "application/json",
		"Cookie", "a=1; b=2", "X-Two", "1", "X-Two", "2", "User-Agent", "test")
	if w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	context := event["requestContext"].(map[string]any)
	context["time"], context["timeEpoch"], context["requestId"] = "T", "E", "R"
	headers := event["headers"].(map[string]any)
	if trace := headers["x-amzn-trace-id"].(string); !strings.HasPrefix(trace, "Root=1-") {
		t.Error(trace)
	}
	delete(headers, "x-amzn-trace-id")
	got, _ := json.MarshalIndent(event, "", " ")
	var want any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(`{"version":"2.0","routeKey":"POST /orders/{id}","rawPath":"/orders/a%20b","rawQueryString":"x=1&x=2&y=%C3%BC",
		"cookies":["a=1","b=2"],
		"headers":{"content-type":"application/json","x-two":"1,2","user-agent":"test","host":"ID.execute-api.us-east-1.localhost:4566","x-forwarded-for":"192.0.2.1","x-forwarded-port":"4566","x-forwarded-proto":"http"},
		"queryStringParameters":{"x":"1,2","y":"ü"},"pathParameters":{"id":"a b"},"body":"{\"a\":\"<ü>\"}","isBase64Encoded":false,
		"requestContext":{"accountId":"000000000000","apiId":"ID","domainName":"ID.execute-api.us-east-1.localhost","domainPrefix":"ID",
		"http":{"method":"POST","path":"/orders/a%20b","protocol":"HTTP/1.1","sourceIp":"192.0.2.1","userAgent":"test"},
		"requestId":"R","routeKey":"POST /orders/{id}","stage":"$default","time":"T","timeEpoch":"E"}}`, "ID", id)), &want); err != nil {
		t.Fatal(err)
	}
	if text, _ := json.MarshalIndent(want, "", " "); string(text) != string(got) {
		t.Errorf("got %s\nwant %s", got, text)
	}
	for kind, encoded := range map[string]bool{"text/plain": false, "": false, "application/x-www-form-urlencoded": true, "image/png": true} {
		get(s, "POST", host(id)+"/orders/1", "a=b", "Content-Type", kind)
		if event["isBase64Encoded"] != encoded || encoded && event["body"] != base64.StdEncoding.EncodeToString([]byte("a=b")) {
			t.Errorf("%q: %v", kind, event["body"])
		}
	}
}

func TestEventTime(t *testing.T) {
	at := time.Date(2020, 3, 12, 19, 3, 58, 390e6, time.UTC)
	if got := at.Format(eventTime); got != "12/Mar/2020:19:03:58 +0000" {
		t.Error(got)
	}
}

func TestEvent1(t *testing.T) {
	var event event1
	s, _, id := setUp(t, func(_ context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		return &lambda.InvokeOutput{Payload: []byte(`{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a","b"]},"body":"hi"}`)}, json.Unmarshal(in.Payload, &event)
	}, "1.0", "GET /a/{x+}")
	w := get(s, "GET", host(id)+"/a/b/c?q=1&q=2", "", "Cookie", "k=v")
	if w.Code != 200 || w.Body.String() != "hi" || fmt.Sprint(w.Header()["Set-Cookie"]) != "[a b]" {
		t.Error(w.Code, w.Body, w.Header())
	}
	if event.Version != "1.0" || event.Resource != "/a/{x+}" || event.Path != "/a/b/c" || event.PathParameters["x"] != "b/c" ||
		event.Query["q"] != "2" || fmt.Sprint(event.MultiQuery["q"]) != "[1 2]" || event.Headers["cookie"] != "k=v" || event.RequestContext.Stage != "$default" {
		t.Errorf("%+v", event)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		format, payload string
		status          int
		kind, body      string
	}{
		{"2.0", `{"statusCode":201,"body":"ok","headers":{"content-type":"text/x","x-n":1}}`, 201, "text/x", "ok"},
		{"2.0", `{"statusCode":"404","body":"gone"}`, 404, "text/plain;charset=UTF-8", "gone"},
		{"2.0", `{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "text/plain;charset=UTF-8", "hi"},
		{"2.0", `{"message":"hi"}`, 200, "application/json", `{"message":"hi"}`},
		{"2.0", `[1,2]`, 200, "application/json", `[1,2]`},
		{"2.0", `"Hello from Lambda!"`, 200, "application/json", "Hello from Lambda!"},
		{"2.0", `not json`, 500, "application/json", `{"message":"Internal Server Error"}`},
		{"2.0", `{"statusCode":99}`, 500, "application/json", `{"message":"Internal Server Error"}`},
		{"2.0", `{"statusCode":200,"body":{}}`, 500, "application/json", `{"message":"Internal Server Error"}`},
		{"2.0", `{"statusCode":200,"body":"!","isBase64Encoded":true}`, 500, "application/json", `{"message":"Internal Server Error"}`},
		{"2.0", `{"statusCode":304,"body":"x"}`, 304, "text/plain;charset=UTF-8", ""},
		{"1.0", `{"message":"hi"}`, 500, "application/json", `{"message":"Internal Server Error"}`},
		{"1.0", `{"statusCode":200}`, 200, "text/plain;charset=UTF-8", ""},
	} {
		s, _, id := setUp(t, returns(c.payload), c.format, "$default")
		w := get(s, "GET", host(id)+"/", "")
		if w.Code != c.status || w.Header().Get("Content-Type") != c.kind || w.Body.String() != c.body || w.Header().Get("Apigw-Requestid") == "" {
			t.Errorf("%s %s: %d %s %s", c.format, c.payload, w.Code, w.Header(), w.Body)
		}
	}
	s, _, id := setUp(t, returns(`{"statusCode":200,"cookies":["a=1","b=2"],"headers":{"Transfer-Encoding":"chunked","x-bad":"a\nb","X-Fine":"1"}}`), "2.0", "$default")
	h := get(s, "GET", host(id)+"/", "").Header()
	if fmt.Sprint(h["Set-Cookie"]) != "[a=1 b=2]" || h["Transfer-Encoding"] != nil || h["X-Bad"] != nil || h.Get("X-Fine") != "1" {
		t.Error(h)
	}
}

func TestFailures(t *testing.T) {
	fails := func(err error) function {
		return func(context.Context, *lambda.InvokeInput) (*lambda.InvokeOutput, error) { return nil, err }
	}
	for _, c := range []struct {
		name   string
		f      function
		status int
	}{
		{"refused by the function's policy", fails(aws.Errorf("AccessDeniedException", 403, "no")), 500},
		{"throttled", fails(aws.Errorf("TooManyRequestsException", 429, "slow down")), 503},
		{"function failed", func(context.Context, *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			return &lambda.InvokeOutput{FunctionError: new("Unhandled"), Payload: []byte(`{"errorMessage":"x"}`)}, nil
		}, 500},
	} {
		s, _, id := setUp(t, c.f, "2.0", "$default")
		if w := get(s, "GET", host(id)+"/", ""); w.Code != c.status || w.Body.String() != `{"message":"`+http.StatusText(c.status)+`"}` {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	s, _, id := setUp(t, returns("{}"), "2.0", "GET /a")
	if w := get(s, "GET", host(id)+"/b", ""); w.Code != 404 || w.Body.String() != `{"message":"Not Found"}` {
		t.Error(w.Code, w.Body)
	}
	if w := get(s, "GET", host("nowhere")+"/", ""); w.Code != 404 {
		t.Error(w.Code, w.Body)
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		s, _, id := setUp(t, func(ctx context.Context, _ *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			time.Sleep(40 * time.Second) // and goes on when nobody waits any more
			if ended.Store(true); ctx.Err() != nil {
				t.Error("the function was interrupted")
			}
			return &lambda.InvokeOutput{}, nil
		}, "2.0", "$default")
		start := time.Now()
		defer func() {
			if time.Sleep(time.Minute); !ended.Load() {
				t.Error("the function never ended")
			}
		}()
		if w := get(s, "GET", host(id)+"/", ""); w.Code != 503 || w.Body.String() != `{"message":"Service Unavailable"}` || time.Since(start) != 30*time.Second {
			t.Error(w.Code, w.Body, time.Since(start))
		}
	})
}

func TestLargeBody(t *testing.T) {
	s, _, id := setUp(t, returns("{}"), "2.0", "$default")
	if w := get(s, "POST", host(id)+"/", strings.Repeat("x", maxBody+1)); w.Code != 413 || w.Body.String() != `{"message":"Request Entity Too Large"}` {
		t.Error(w.Code, w.Body)
	}
}

func TestStages(t *testing.T) {
	var event event2
	s, ctx, id := setUp(t, func(_ context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		event = event2{}
		return &lambda.InvokeOutput{Payload: []byte(`"` + "x" + `"`)}, json.Unmarshal(in.Payload, &event)
	}, "2.0", "GET /a")
	d, err := s.CreateDeployment(ctx, &apigatewayv2.CreateDeploymentInput{ApiId: id})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: id, StageName: "prod", DeploymentId: d.DeploymentId, StageVariables: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	path := "http://127.0.0.1:4566" + pathPrefix + id
	for _, c := range []struct{ url, stage, raw string }{
		{host(id) + "/a", "$default", "/a"},
		{host(id) + "/prod/a", "prod", "/prod/a"},
		{path + "/a", "$default", "/a"},
		{path + "/prod/a", "prod", "/prod/a"},
		{path + "/$default/a", "$default", "/a"},
		{path + "/%24default/a", "$default", "/a"},
		{strings.ToUpper(host(id)) + "/a", "$default", "/a"},
		{"http://" + id + ".execute-api.us-east-1.amazonaws.com/a", "$default", "/a"},
		{"http://" + id + ".execute-api.us-east-1.localhost.localstack.cloud:4566/a", "$default", "/a"},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Match(strings.ToLower(u.Hostname()), u.Path) {
			t.Errorf("%s is not the data plane's", c.url)
		}
		if w := get(s, "GET", strings.Replace(c.url, "HTTP:", "http:", 1), ""); w.Code != 200 || event.RequestContext.Stage != c.stage || event.RawPath != c.raw {
			t.Errorf("%s: %d %s %s", c.url, w.Code, event.RequestContext.Stage, event.RawPath)
		}
	}
	get(s, "GET", host(id)+"/prod/a", "")
	if event.StageVariables["k"] != "v" {
		t.Errorf("%+v", event.StageVariables)
	}
	// A new route is served by the stage that follows changes only.
	if _, err := s.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: id, RouteKey: "GET /b"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/b": 500, "/prod/b": 404} { // 500: a route without an integration
		if w := get(s, "GET", host(id)+path, ""); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if s.Match("sqs.us-east-1.localhost", "/") || s.Match("localhost", "/_aws/sqs") {
		t.Error("takes what is not its own")
	}
}

func TestCors(t *testing.T) {
	s, ctx, id := setUp(t, returns(`{"statusCode":200,"headers":{"Access-Control-Allow-Origin":"mine"}}`), "2.0", "GET /a")
	if w := get(s, "GET", host(id)+"/a", "", "Origin", "https://shop.example"); w.Header().Get("Access-Control-Allow-Origin") != "mine" {
		t.Error("without rules the function's own headers stay", w.Header())
	}
	_, err := s.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: id, CorsConfiguration: &apigatewayv2.Cors{AllowOrigins: []string{"https://shop.example"},
		AllowMethods: []string{"GET"}, AllowHeaders: []string{"x-a", "x-b"}, MaxAge: new(int32(60)), AllowCredentials: new(true), ExposeHeaders: []string{"x-c"}}})
	if err != nil {
		t.Fatal(err)
	}
	w := get(s, "OPTIONS", host(id)+"/a", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "GET")
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Access-Control-Allow-Methods") != "GET" ||
		h.Get("Access-Control-Allow-Headers") != "x-a,x-b" || h.Get("Access-Control-Max-Age") != "60" || h.Get("Access-Control-Allow-Credentials") != "true" {
		t.Error(w.Code, h)
	}
	if w := get(s, "OPTIONS", host(id)+"/a", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error(w.Header())
	}
	h = get(s, "GET", host(id)+"/a", "", "Origin", "https://shop.example").Header()
	if h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Access-Control-Expose-Headers") != "x-c" {
		t.Error(h)
	}
	if h = get(s, "GET", host(id)+"/a", "").Header(); h.Get("Access-Control-Allow-Origin") != "" {
		t.Error(h)
	}
	if _, err = s.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: id, CorsConfiguration: &apigatewayv2.Cors{AllowOrigins: []string{"*"}, AllowCredentials: new(true)}}); !aws.IsCode(err, "BadRequestException") {
		t.Error(err)
	}
}

// Nothing is accepted that would then be ignored.
func TestRefused(t *testing.T) {
	s, ctx, id := setUp(t, returns("{}"), "2.0", "GET /a")
	integrate := func(f func(in *apigatewayv2.CreateIntegrationInput)) error {
		in := &apigatewayv2.CreateIntegrationInput{ApiId: id, IntegrationType: "AWS_PROXY", IntegrationUri: new(functionARN), PayloadFormatVersion: new("2.0")}
		f(in)
		_, err := s.CreateIntegration(ctx, in)
		return err
	}
	route := func(in *apigatewayv2.CreateRouteInput) error {
		in.ApiId = id
		_, err := s.CreateRoute(ctx, in)
		return err
	}
	stage := func(in *apigatewayv2.CreateStageInput) error {
		in.ApiId = id
		_, err := s.CreateStage(ctx, in)
		return err
	}
	create := func(in *apigatewayv2.CreateApiInput) error { _, err := s.CreateApi(ctx, in); return err }
	_, authorizer := s.CreateAuthorizer(ctx, &apigatewayv2.CreateAuthorizerInput{ApiId: id, AuthorizerType: "JWT", Name: "a"})
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"websocket":            {create(&apigatewayv2.CreateApiInput{Name: "a", ProtocolType: "WEBSOCKET"}), "NotImplemented"},
		"protocol":             {create(&apigatewayv2.CreateApiInput{Name: "a", ProtocolType: "FTP"}), "BadRequestException"},
		"authorizer":           {authorizer, "NotImplemented"},
		"route with IAM":       {route(&apigatewayv2.CreateRouteInput{RouteKey: "GET /x", AuthorizationType: new("AWS_IAM")}), "NotImplemented"},
		"route with JWT":       {route(&apigatewayv2.CreateRouteInput{RouteKey: "GET /x", AuthorizationType: new("JWT"), AuthorizerId: new("a")}), "NotImplemented"},
		"route twice":          {route(&apigatewayv2.CreateRouteInput{RouteKey: "GET /a"}), "ConflictException"},
		"route key":            {route(&apigatewayv2.CreateRouteInput{RouteKey: "GET a"}), "BadRequestException"},
		"route target":         {route(&apigatewayv2.CreateRouteInput{RouteKey: "GET /x", Target: new("integrations/none")}), "BadRequestException"},
		"API key":              {route(&apigatewayv2.CreateRouteInput{RouteKey: "GET /x", ApiKeyRequired: new(true)}), "BadRequestException"},
		"HTTP proxy":           {integrate(func(in *apigatewayv2.CreateIntegrationInput) { in.IntegrationType = "HTTP_PROXY" }), "NotImplemented"},
		"credentials":          {integrate(func(in *apigatewayv2.CreateIntegrationInput) { in.CredentialsArn = new("arn:aws:iam::1:role/r") }), "NotImplemented"},
		"mapping":              {integrate(func(in *apigatewayv2.CreateIntegrationInput) { in.RequestParameters = map[string]string{"a": "b"} }), "NotImplemented"},
		"no format":            {integrate(func(in *apigatewayv2.CreateIntegrationInput) { in.PayloadFormatVersion = nil }), "BadRequestException"},
		"function":             {integrate(func(in *apigatewayv2.CreateIntegrationInput) { in.IntegrationUri = new("f") }), "BadRequestException"},
		"timeout":              {integrate(func(in *apigatewayv2.CreateIntegrationInput) { in.TimeoutInMillis = new(int32(30001)) }), "BadRequestException"},
		"throttling":           {stage(&apigatewayv2.CreateStageInput{StageName: "s", DefaultRouteSettings: &apigatewayv2.RouteSettings{ThrottlingBurstLimit: new(int32(1))}}), "NotImplemented"},
		"access logs":          {stage(&apigatewayv2.CreateStageInput{StageName: "s", AccessLogSettings: &apigatewayv2.AccessLogSettings{}}), "NotImplemented"},
		"stage name":           {stage(&apigatewayv2.CreateStageInput{StageName: "a b"}), "BadRequestException"},
		"stage twice":          {stage(&apigatewayv2.CreateStageInput{StageName: "$default"}), "ConflictException"},
		"unknown deployment":   {stage(&apigatewayv2.CreateStageInput{StageName: "s", DeploymentId: new("none")}), "NotFoundException"},
		"quick create by HTTP": {create(&apigatewayv2.CreateApiInput{Name: "a", ProtocolType: "HTTP", Target: new("https://example.com")}), "NotImplemented"},
	} {
		if !aws.IsCode(c.err, c.code) {
			t.Errorf("%s: %v, want %s", name, c.err, c.code)
		}
	}
}

func TestQuickCreate(t *testing.T) {
	s, ctx, _ := setUp(t, returns(`"hi"`), "2.0", "GET /a")
	a, err := s.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: "quick", ProtocolType: "HTTP", Target: new(functionARN)})
	if err != nil {
		t.Fatal(err)
	}
	if w := get(s, "GET", host(*a.ApiId)+"/anything", ""); w.Code != 200 || w.Body.String() != "hi" {
		t.Error(w.Code, w.Body)
	}
	if _, err := s.DeleteApi(ctx, &apigatewayv2.DeleteApiInput{ApiId: *a.ApiId}); err != nil {
		t.Fatal(err)
	}
	if w := get(s, "GET", host(*a.ApiId)+"/anything", ""); w.Code != 404 {
		t.Error(w.Code, w.Body)
	}
}

func TestEndpoint(t *testing.T) {
	for from, want := range map[string]string{
		"http://localhost:4566":                      "http://localhost:4566/_aws/execute-api/abc",
		"http://127.0.0.1:4566":                      "http://127.0.0.1:4566/_aws/execute-api/abc",
		"http://[::1]:4566":                          "http://[::1]:4566/_aws/execute-api/abc",
		"http://apigateway.us-east-1.localhost:4566": "http://abc.execute-api.us-east-1.localhost:4566",
		"https://localhost.localstack.cloud:4566":    "https://abc.execute-api.us-east-1.localhost.localstack.cloud:4566",
		"https://apigateway.us-east-1.amazonaws.com": "https://abc.execute-api.us-east-1.amazonaws.com",
		"http://fogbank.internal:4566":               "http://fogbank.internal:4566/_aws/execute-api/abc",
	} {
		if got := endpoint(&aws.Call{Endpoint: from, Region: "us-east-1"}, "abc"); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("GET /a/{b}/{c+}", "/a/x/y/z")
	f.Fuzz(func(t *testing.T, key, path string) {
		p, err := parseRouteKey(key)
		if err != nil {
			return
		}
		r := newRouter(deployment{Routes: []route{{Key: key}}})
		method := p.method
		if method == "ANY" {
			method = "GET"
		}
		if found, params := r.find(method, path); found != nil {
			for name := range params {
				if !slices.ContainsFunc(found.segments, func(s segment) bool { return s.text == name && s.param }) {
					t.Errorf("%q matched %q with parameter %q", key, path, name)
				}
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"multiValueHeaders":{"a":["b"]},"cookies":["c"],"body":"d","isBase64Encoded":true}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, read := range []func([]byte) (*answer, error){readAnswer1, readAnswer2} {
			a, err := read(payload)
			if err != nil {
				continue
			}
			if a.status < 200 || a.status > 599 {
				t.Errorf("status %d", a.status)
			}
			a.write(httptest.NewRecorder(), &request{Request: &http.Request{Method: "GET", Header: http.Header{}}, router: &router{}})
		}
	})
}

func BenchmarkServeHTTP(b *testing.B) {
	s, _, id := setUp(b, returns(`{"statusCode":200,"body":"ok"}`), "2.0", "POST /orders", "GET /orders/{id}")
	r := httptest.NewRequest("GET", host(id)+"/orders/17", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
	}
}
