package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/wire"
	"fogbank/world"
)

const home, abroad = "000000000000", "111111111111"

// people is a directory of a few keys.
type people map[string]Credential

func (p people) Credential(_ context.Context, id string) (Credential, bool, error) {
	c, ok := p[id]
	return c, ok, nil
}

func (p people) Identity(_ context.Context, who aws.Principal) (policy.Identity, error) {
	if who.Kind == aws.AssumedRole || who.ARN.Name() == "sender" {
		return policy.Identity{Policies: []*policy.Document{allowSQS}}, nil
	}
	return policy.Identity{}, nil
}

func mustParse(text string) *policy.Document {
	d, err := policy.Parse(text)
	if err != nil {
		panic(err)
	}
	return d
}

var (
	allowSQS = mustParse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"},{"Effect":"Deny","Action":"sqs:PurgeQueue","Resource":"*"}]}`)
	sharing  = mustParse(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sqs:SendMessage","Resource":"*"},
		{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:000000000000:t"}}}]}`)
)

func user(name string) aws.Principal {
	return aws.Principal{Kind: aws.User, Account: home, ARN: aws.ARN("arn:aws:iam::" + home + ":user/" + name), UserID: "AIDA" + name}
}

func staff(now time.Time) people {
	role := aws.Principal{Kind: aws.AssumedRole, Account: home, ARN: "arn:aws:sts::000000000000:assumed-role/r/s", Role: "arn:aws:iam::000000000000:role/r", UserID: "AROA:s"}
	narrowed := role
	narrowed.SessionPolicies = []string{`{"Statement":[{"Effect":"Allow","Action":"sqs:ReceiveMessage","Resource":"*"}]}`}
	return people{
		"ROOT":   {Secret: "test", Principal: aws.Principal{Kind: aws.Root, Account: home, ARN: "arn:aws:iam::000000000000:root", UserID: home}, Active: true},
		"SENDER": {Secret: "s3nder", Principal: user("sender"), Active: true},
		"NOBODY": {Secret: "nob0dy", Principal: user("nobody"), Active: true},
		"OFF":    {Secret: "off", Principal: user("off")},
		"ASIA1":  {Secret: "tmp", Principal: role, Token: "token", Expires: now.Add(time.Hour), Active: true},
		"ASIA2":  {Secret: "tmp", Principal: role, Token: "token", Expires: now, Active: true},
		"ASIA3":  {Secret: "tmp", Principal: narrowed, Token: "token", Expires: now.Add(time.Hour), Active: true},
	}
}

// queues is an SQS that says in the message's id who sent it and where.
type queues struct{ sqs.Unimplemented }

func (queues) SendMessage(ctx context.Context, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	c := aws.CallFrom(ctx)
	switch in.MessageBody {
	case "panic":
		panic("the worst has happened")
	case "fail":
		return nil, fmt.Errorf("disk is full")
	case "ended":
		return nil, fmt.Errorf("reading: %w", ctx.Err())
	case "missing":
		return nil, sqs.QueueDoesNotExist("The specified queue does not exist.")
	}
	return &sqs.SendMessageOutput{MessageId: new(string(c.Principal.ARN) + " in " + c.Account + " " + c.Region + " at " + c.Endpoint)}, nil
}

func (queues) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	c := aws.CallFrom(ctx)
	if in, ok := in.(*sqs.SendMessageInput); ok {
		u, err := url.Parse(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		account, name, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
		return aws.On(aws.MakeARN("sqs", c.Region, account, name)), nil
	}
	return aws.On(aws.MakeARN("sqs", c.Region, c.Account, "q")), nil
}

func (queues) ResourcePolicy(_ context.Context, r aws.ARN) (*policy.Document, error) {
	if r.Name() == "shared" {
		return sharing, nil
	}
	return nil, nil
}

type tables struct{ dynamodb.Unimplemented }

func (tables) Access(context.Context, *wire.Operation, any) ([]aws.Access, error) { return nil, nil }

type topics struct{ sns.Unimplemented }

func (topics) Access(context.Context, *wire.Operation, any) ([]aws.Access, error) {
	return aws.On("arn:aws:sns:us-east-1:000000000000:t"), nil
}

type functions struct{ lambda.Unimplemented }

func (functions) ListFunctions(context.Context, *lambda.ListFunctionsInput) (*lambda.ListFunctionsOutput, error) {
	return &lambda.ListFunctionsOutput{}, nil
}

func (functions) Access(context.Context, *wire.Operation, any) ([]aws.Access, error) { return nil, nil }

type tokens struct{ sts.Unimplemented }

func (tokens) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Arn: new(string(aws.CallFrom(ctx).Principal.ARN))}, nil
}

func (tokens) Access(context.Context, *wire.Operation, any) ([]aws.Access, error) { return nil, nil }

func open(t testing.TB) (*Gate, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	w := world.Seeded(1)
	g := New(Options{World: w, Directory: staff(w.Now()), Log: slog.New(slog.NewTextHandler(&log, nil)), Records: 3})
	g.Mount(sqs.API, queues{})
	g.Mount(dynamodb.API, tables{})
	g.Mount(sns.API, topics{})
	g.Mount(lambda.API, functions{})
	g.Mount(sts.API, tokens{})
	return g, &log
}

// call is one request to the gate.
type call struct {
	key, secret, token string
	service, region    string
	method, host, path string
	target, form       string // one of the two, or neither
	body               string
	edit               func(*http.Request)
}

func (c call) do(t testing.TB, g *Gate) *httptest.ResponseRecorder {
	t.Helper()
	body := c.body + c.form
	if c.host == "" {
		c.host = "localhost:4566"
	}
	if c.method == "" {
		c.method = "POST"
	}
	r := httptest.NewRequest(c.method, "http://"+c.host+"/"+strings.TrimPrefix(c.path, "/"), strings.NewReader(body))
	switch {
	case c.target != "":
		r.Header.Set("X-Amz-Target", c.target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	case c.form != "":
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.token != "" {
		r.Header.Set("X-Amz-Security-Token", c.token)
	}
	if c.region == "" {
		c.region = "us-east-1"
	}
	if c.key != "" {
		sign(r, body, c.key, c.secret, c.region, c.service, g.world.Now())
	}
	if c.edit != nil {
		c.edit(r)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func send(key, secret, queue string) call {
	return call{key: key, secret: secret, service: "sqs", target: "AmazonSQS.SendMessage",
		body: fmt.Sprintf(`{"QueueUrl":"http://localhost:4566/%s","MessageBody":"hi"}`, queue)}
}

func with(c call, f func(*call)) call { f(&c); return c }

func TestServe(t *testing.T) {
	g, _ := open(t)
	mine := send("ROOT", "test", home+"/q")
	form := call{key: "ROOT", secret: "test", service: "sqs", path: home + "/q",
		form: "Action=SendMessage&Version=2012-11-05&MessageBody=hi&QueueUrl=http%3A%2F%2Flocalhost%2F" + home + "%2Fq"}
	for _, c := range []struct {
		name   string
		call   call
		status int
		want   string // in the body
	}{
		{"json", mine, 200, "arn:aws:iam::000000000000:root in 000000000000 us-east-1 at http://localhost:4566"},
		{"query to the queue's URL", form, 200, "<MessageId>arn:aws:iam::000000000000:root in"},
		{"region of the scope", with(mine, func(c *call) { c.region = "eu-west-3" }), 200, "eu-west-3"},
		{"host with region", with(mine, func(c *call) { c.host = "sqs.us-east-1.localhost:4566" }), 200, "root in"},
		{"host of another region", with(mine, func(c *call) { c.host = "sqs.eu-west-1.amazonaws.com" }), 400, "Credential should be scoped to a valid region, not 'us-east-1'. "},
		{"rest", call{key: "ROOT", secret: "test", service: "lambda", method: "GET", path: "2015-03-31/functions/"}, 200, "{"},
		{"user with a policy", send("SENDER", "s3nder", home+"/q"), 200, "user/sender in"},
		{"user without", send("NOBODY", "nob0dy", home+"/q"), 400, "User: arn:aws:iam::000000000000:user/nobody is not authorized to perform: sqs:SendMessage on resource: arn:aws:sqs:us-east-1:000000000000:q because no identity-based policy allows the sqs:SendMessage action"},
		{"explicit deny", with(send("SENDER", "s3nder", home+"/q"), func(c *call) {
			c.target = "AmazonSQS.PurgeQueue"
			c.body = `{"QueueUrl":"http://localhost:4566/000000000000/q"}`
		}), 400, "with an explicit deny in an identity-based policy"},
		{"root abroad", send("ROOT", "test", abroad+"/q"), 400, "because no resource-based policy allows the sqs:SendMessage action"},
		{"shared abroad", send("SENDER", "s3nder", abroad+"/shared"), 200, "user/sender in 111111111111"},
		{"session", with(send("ASIA1", "tmp", home+"/q"), func(c *call) { c.token = "token" }), 200, "assumed-role/r/s"},
		{"session policy", with(send("ASIA3", "tmp", home+"/q"), func(c *call) { c.token = "token" }), 400, "because no session policy allows the sqs:SendMessage action"},
		{"expired session", with(send("ASIA2", "tmp", home+"/q"), func(c *call) { c.token = "token" }), 400, `ExpiredTokenException`},
		{"session without token", send("ASIA1", "tmp", home+"/q"), 400, "UnrecognizedClientException"},
		{"wrong token", with(send("ASIA1", "tmp", home+"/q"), func(c *call) { c.token = "tokem" }), 400, "The security token included in the request is invalid."},
		{"unknown key", send("STRANGER", "x", home+"/q"), 400, "UnrecognizedClientException"},
		{"unknown key, query", with(form, func(c *call) { c.key = "STRANGER" }), 403, "<Code>InvalidClientTokenId</Code>"},
		{"inactive key", send("OFF", "off", home+"/q"), 400, "The security token included in the request is invalid."},
		{"wrong secret", send("ROOT", "tset", home+"/q"), 400, "InvalidSignatureException"},
		{"wrong secret, query", with(form, func(c *call) { c.secret = "x" }), 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"wrong secret, rest", call{key: "ROOT", secret: "x", service: "lambda", method: "GET", path: "2015-03-31/functions/"}, 403, mismatchText},
		{"unsigned", with(mine, func(c *call) { c.key = "" }), 400, "MissingAuthenticationTokenException"},
		{"unsigned, query", with(form, func(c *call) { c.key = "" }), 403, "<Code>MissingAuthenticationToken</Code>"},
		{"unsigned, rest", call{method: "GET", path: "2015-03-31/functions/"}, 403, "Missing Authentication Token"},
		{"nothing at all", call{method: "GET"}, 403, "Missing Authentication Token"},
		{"another service's signature", with(mine, func(c *call) { c.service = "sns" }), 400, "Credential should be scoped to correct service: 'sqs'. "},
		{"streaming body", with(mine, func(c *call) {
			c.edit = func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") }
		}), 400, "The payload form STREAMING-AWS4-HMAC-SHA256-PAYLOAD is not supported by sqs."},
		{"unknown target", with(mine, func(c *call) { c.target = "AmazonSQS.Fly" }), 400, "UnknownOperationException"},
		{"unknown action", with(form, func(c *call) { c.form = "Action=Fly&Version=2012-11-05" }), 400, "<Code>InvalidAction</Code>"},
		{"no action", with(form, func(c *call) { c.form = "Fly=1" }), 400, "<Code>MissingAction</Code>"},
		{"unknown path", call{key: "ROOT", secret: "test", service: "lambda", method: "GET", path: "nowhere"}, 404, "There is no operation GET /nowhere."},
		{"unknown service", call{key: "ROOT", secret: "test", service: "s3", method: "GET", path: "bucket"}, 501, "The service s3 is not implemented."},
		{"unwritten operation", call{key: "ROOT", secret: "test", service: "dynamodb", target: "DynamoDB_20120810.ListTables", body: "{}"}, 501, "NotImplemented"},
		{"failure", with(mine, func(c *call) { c.body = strings.Replace(c.body, "hi", "fail", 1) }), 500, "InternalFailure"},
		{"modelled error", with(mine, func(c *call) { c.body = strings.Replace(c.body, "hi", "missing", 1) }), 400, "The specified queue does not exist."},
		{"sns denial", call{key: "NOBODY", secret: "nob0dy", service: "sns", form: "Action=ListTopics&Version=2010-03-31"}, 403, "<Code>AuthorizationError</Code>"},
		{"free operation", call{key: "NOBODY", secret: "nob0dy", service: "sts", form: "Action=GetCallerIdentity&Version=2011-06-15"}, 200, "user/nobody"},
		{"operation without signature", call{host: "sts.localhost", form: "Action=AssumeRoleWithSAML&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Frole1&PrincipalArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Asaml-provider%2Fx&SAMLAssertion=abcd"}, 501, "NotImplemented"},
		{"large body", with(mine, func(c *call) { c.body = strings.Repeat("x", maxBody+1) }), 413, "RequestEntityTooLarge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.call.do(t, g)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, c.status, c.want)
			}
			if strings.Contains(w.Body.String(), "disk") {
				t.Error("the cause of a failure reached the client")
			}
			if id := w.Header().Get("X-Amzn-Requestid"); id == "" {
				t.Error("an answer without a request id")
			} else if _, ok := g.Explain(id); !ok {
				t.Error("a request without a record")
			}
		})
	}
}

func TestPanic(t *testing.T) {
	g, log := open(t)
	c := send("ROOT", "test", home+"/q")
	c.body = strings.Replace(c.body, "hi", "panic", 1)
	w := c.do(t, g)
	if w.Code != 500 || !strings.Contains(w.Body.String(), "InternalFailure") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := log.String(); !strings.Contains(text, "the worst has happened") || !strings.Contains(text, "gate_test.go") {
		t.Errorf("the log does not tell where: %s", text)
	}
	if w := send("ROOT", "test", home+"/q").do(t, g); w.Code != 200 {
		t.Errorf("the gate did not survive: %d", w.Code)
	}
}

// TestEnded: what ends with its client is no failure of ours.
func TestEnded(t *testing.T) {
	g, log := open(t)
	c := send("ROOT", "test", home+"/q")
	c.body = strings.Replace(c.body, "hi", "ended", 1)
	c.edit = func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		*r = *r.WithContext(ctx)
	}
	if w := c.do(t, g); w.Code != 503 || !strings.Contains(w.Body.String(), "ServiceUnavailable") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := log.String(); strings.Contains(text, "ERROR") {
		t.Errorf("it is logged as an error: %s", text)
	}
}

func TestRecord(t *testing.T) {
	g, log := open(t)
	send("ROOT", "test", home+"/q").do(t, g)
	w := send("NOBODY", "nob0dy", home+"/q").do(t, g)
	rec, ok := g.Explain(w.Header().Get("X-Amzn-Requestid"))
	if !ok || rec.Service != "sqs" || rec.Operation != "SendMessage" || rec.Principal != "arn:aws:iam::000000000000:user/nobody" ||
		rec.Account != home || rec.Region != "us-east-1" || rec.Code != "AccessDeniedException" || rec.Status != 400 ||
		rec.Reason() != "not allowed by any identity-based policy" {
		t.Errorf("%+v", rec)
	}
	if _, err := json.Marshal(rec); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "operation=SendMessage") || strings.Contains(log.String(), "nob0dy") {
		t.Error(log.String())
	}
	want := []Count{{"sqs", "SendMessage", "", 1, 0}, {"sqs", "SendMessage", "AccessDeniedException", 1, 0}}
	got := g.Counts()
	for i := range got {
		got[i].Duration = 0
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	for range 5 {
		send("ROOT", "test", home+"/q").do(t, g)
	}
	if list := g.Records(); len(list) != 3 || list[0].At.Before(list[2].At) {
		t.Errorf("%d records", len(list))
	}
}

// Calls from inside pass the same policy as calls from outside.
func TestAs(t *testing.T) {
	g, _ := open(t)
	client := sqs.Client{Invoke: g.As("sns.amazonaws.com")}
	in := &sqs.SendMessageInput{QueueUrl: "http://localhost:4566/" + abroad + "/shared", MessageBody: "hi"}
	ctx := aws.WithCall(t.Context(), &aws.Call{Account: home, Region: "eu-west-1", SourceARN: "arn:aws:sns:us-east-1:000000000000:t"})
	out, err := client.SendMessage(ctx, in)
	if err != nil || out.GetMessageId() != "sns.amazonaws.com in 111111111111 eu-west-1 at http://localhost:4566" {
		t.Errorf("%v %v", out.GetMessageId(), err)
	}
	_, err = client.SendMessage(t.Context(), in)
	if !aws.IsCode(err, "AccessDeniedException") {
		t.Errorf("without a source: %v", err)
	}
	in.MessageBody = "panic"
	if _, err = client.SendMessage(ctx, in); !aws.IsCode(err, "InternalFailure") {
		t.Errorf("panic: %v", err)
	}
	in.MessageBody = "hi"
	role := aws.WithCall(t.Context(), &aws.Call{Account: home, Region: "us-east-1", Principal: user("nobody")})
	if _, err := (sqs.Client{Invoke: g.InProcess()}).SendMessage(role, in); !aws.IsCode(err, "AccessDeniedException") {
		t.Errorf("as a user: %v", err)
	}
	if rec := g.Records()[0]; !rec.InProcess || rec.Principal != "arn:aws:iam::000000000000:user/nobody" || rec.Account != abroad {
		t.Errorf("%+v", rec)
	}
}

// TestAudit: the calls of clients that proved who they are are told, with what became of them; others are not.
func TestAudit(t *testing.T) {
	g, _ := open(t)
	var told []string
	g.options.Audit = func(ctx context.Context, op *wire.Operation, in, out any, failure *aws.Error) {
		line := string(aws.CallFrom(ctx).Principal.ARN) + " " + aws.CallFrom(ctx).Account + " " + op.Name
		if failure != nil {
			line += " " + failure.Code
		}
		if in.(*sqs.SendMessageInput).MessageBody == "" || (out == nil) != (failure != nil) {
			line += " without input, or output"
		}
		told = append(told, line)
	}
	send("ROOT", "test", home+"/q").do(t, g)
	send("NOBODY", "nob0dy", home+"/q").do(t, g)
	send("ROOT", "wrong", home+"/q").do(t, g)
	ctx := aws.WithCall(t.Context(), &aws.Call{Account: home, Region: "us-east-1", Principal: user("sender")})
	in := &sqs.SendMessageInput{QueueUrl: "http://localhost:4566/" + home + "/q", MessageBody: "missing"}
	for _, run := range []wire.Invoker{g.Embedded(), g.InProcess(), g.As("sns.amazonaws.com")} {
		if _, err := (sqs.Client{Invoke: run}).SendMessage(ctx, in); err == nil {
			t.Error("no error")
		}
	}
	want := []string{"arn:aws:iam::000000000000:root 000000000000 SendMessage", "arn:aws:iam::000000000000:user/nobody 000000000000 SendMessage AccessDeniedException",
		"arn:aws:iam::000000000000:user/sender 000000000000 SendMessage QueueDoesNotExist"}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

func TestData(t *testing.T) {
	g, log := open(t)
	g.Data(func(host, path string) bool { return host == "abc.execute-api.us-east-1.localhost" },
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("oh")
			}
			io.WriteString(w, "data")
		}))
	for path, want := range map[string]string{"/": "data", "/panic": `{"message":"Internal Server Error"}`} {
		w := call{host: "ABC.execute-api.us-east-1.localhost:4566", path: path, method: "GET"}.do(t, g)
		if w.Body.String() != want {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	if !strings.Contains(log.String(), "panic=oh") {
		t.Error(log.String())
	}
}

func TestSplitHost(t *testing.T) {
	for host, want := range map[string]string{
		"sqs.us-east-1.localhost:4566":             "sqs us-east-1",
		"SQS.us-east-1.amazonaws.com":              "sqs us-east-1",
		"streams.dynamodb.eu-west-1.amazonaws.com": "streams.dynamodb eu-west-1",
		"sts.localhost.localstack.cloud:4566":      "sts ",
		"iam.amazonaws.com":                        "iam ",
		"localhost:4566":                           " ",
		"127.0.0.1:4566":                           " ",
		"[::1]:4566":                               " ",
		"sqs-fips.us-gov-west-1.amazonaws.com":     "sqs us-gov-west-1",
		"abc.execute-api.us-east-1.localhost:4566": "abc.execute-api us-east-1",
		"evil.example":                             " ",
	} {
		if e, r := splitHost(host); e+" "+r != want {
			t.Errorf("%s: %q %q, want %q", host, e, r, want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, c := range []struct {
		host, origin, site string
		want               bool
	}{
		{"localhost:4566", "", "", true},
		{"127.0.0.1:4566", "", "", true},
		{"[::1]:4566", "", "", true},
		{"evil.example:4566", "", "", false},
		{"localhost.evil.example:4566", "", "", false},
		{"localhost:4566", "http://localhost:4566", "same-origin", true},
		{"localhost:4566", "http://localhost:3000", "same-site", false},
		{"localhost:4566", "http://localhost:3000", "", false},
		{"localhost:4566", "https://evil.example", "cross-site", false},
		{"localhost:4566", "null", "", false},
		{"localhost:4566", "", "cross-site", false},
		{"localhost:4566", "", "none", true},
	} {
		r := httptest.NewRequest("POST", "http://"+c.host+"/_fogbank/reset", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if got := SameOrigin(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add("Action=A&Version=1&Action=B", "Action")
	f.Fuzz(func(t *testing.T, form, name string) {
		got := formValue([]byte(form), name)
		if v, err := url.ParseQuery(form); err == nil && !strings.ContainsAny(form, ";") && url.QueryEscape(name) == name && name != "" && v.Get(name) != got && !strings.Contains(form, "%") {
			t.Errorf("%q %q: %q, want %q", form, name, got, v.Get(name))
		}
	})
}

// discard answers nobody.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkServe is a whole request: signature, decoding, policy, record, answer.
func BenchmarkServe(b *testing.B) {
	for _, c := range []struct{ name, key, secret string }{{"root", "ROOT", "test"}, {"user", "SENDER", "s3nder"}} {
		b.Run(c.name, func(b *testing.B) {
			g, _ := open(b)
			g.log = slog.New(slog.DiscardHandler)
			s := send(c.key, c.secret, home+"/q")
			r := httptest.NewRequest("POST", "http://localhost:4566/", nil)
			r.Header.Set("X-Amz-Target", s.target)
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
			sign(r, s.body, s.key, s.secret, "us-east-1", "sqs", g.world.Now())
			r.ContentLength = int64(len(s.body))
			body := strings.NewReader("")
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(s.body)
				r.Body = io.NopCloser(body)
				clear(w.h)
				g.ServeHTTP(w, r)
			}
			if n := g.Counts(); len(n) != 1 || n[0].Code != "" {
				b.Fatal(n)
			}
		})
	}
}

// Whatever comes, signed or not, is answered with a request id and without a panic.
func FuzzServe(f *testing.F) {
	f.Add("POST", "/", "AmazonSQS.SendMessage", "application/x-amz-json-1.0", `{"QueueUrl":"http://h/000000000000/q","MessageBody":"m"}`, true)
	f.Add("POST", "/000000000000/q", "", "application/x-www-form-urlencoded", "Action=SendMessage&Version=2012-11-05&MessageBody=m&QueueUrl=x", true)
	f.Add("GET", "/2015-03-31/functions/?X-Amz-Algorithm=x&a=%zz", "", "", "", false)
	g, log := open(f)
	f.Fuzz(func(t *testing.T, method, target, operation, kind, body string, signed bool) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || strings.ContainsAny(method+operation+kind, "\r\n") {
			return
		}
		r := &http.Request{Method: method, URL: u, Host: "localhost", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
		if operation != "" {
			r.Header.Set("X-Amz-Target", operation)
		}
		r.Header.Set("Content-Type", kind)
		if signed {
			sign(r, body, "ROOT", "test", "us-east-1", "sqs", g.world.Now())
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Header().Get("X-Amzn-Requestid") == "" || w.Code < 200 {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if strings.Contains(log.String(), "stack=") && !strings.Contains(body, "panic") {
			t.Fatal(log.String())
		}
		log.Reset()
	})
}

// TestSlowBody gives up on a client that does not send what it announced, and says so.
func TestSlowBody(t *testing.T) {
	g, _ := open(t)
	g.bodyGrace = 20 * time.Millisecond
	server := httptest.NewServer(g)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 100\r\n\r\n{")
	answer, err := io.ReadAll(conn) // to the end: the connection is of no more use
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "RequestTimeoutException") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// TestLongPoll lets an operation wait longer than its body may take.
func TestLongPoll(t *testing.T) {
	g, _ := open(t)
	g.bodyGrace = time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := g.admit(w, r)
		defer x.finish()
		if err := x.read(); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the end of the body's time ended the request")
		case <-time.After(50 * time.Millisecond):
		}
	}))
	defer server.Close()
	res, err := http.Post(server.URL, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}
