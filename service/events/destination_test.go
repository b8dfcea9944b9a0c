package events

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/events"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
)

// anyRole lets every role be assumed.
type anyRole struct{}

func (anyRole) AssumeRole(context.Context, *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	return &sts.AssumeRoleOutput{Credentials: &sts.Credentials{}, AssumedRoleUser: &sts.AssumedRoleUser{}}, nil
}

// outside is an OAuth issuer and an endpoint that takes its tokens.
type outside struct {
	issued int // tokens
	good   string
	status int    // of the endpoint; 0: 200
	after  string // its Retry-After
	life   string
	form   string
	calls  int
}

func (o *outside) respond(_ context.Context, r *egress.Request) (*egress.Answer, error) {
	if strings.HasPrefix(r.URL, "https://issuer/") {
		o.issued++
		o.good, o.form = fmt.Sprintf("token-%d", o.issued), string(r.Body)
		return &egress.Answer{Status: 200, Body: []byte(`{"access_token":"` + o.good + `","expires_in":` + o.life + `}`)}, nil
	}
	o.calls++
	for _, h := range r.Headers {
		if h.Name == "Authorization" && h.Value != "Bearer "+o.good {
			return &egress.Answer{Status: 401}, nil
		}
	}
	return &egress.Answer{Status: max(o.status, 200), RetryAfter: o.after}, nil
}

// destine makes a connection with OAuth, a destination and a rule that sends to it.
func destine(t *testing.T, o *outside) *bench {
	b := open(t, 1)
	b.to.Roles, b.to.Network = anyRole{}, &egress.Memory{Respond: o.respond}
	b.authorizing.Start(b.db, b.world, nil)
	c := must(b.CreateConnection(b.ctx, &events.CreateConnectionInput{Name: "c", AuthorizationType: "OAUTH_CLIENT_CREDENTIALS",
		AuthParameters: authParameters{OAuthParameters: &events.CreateConnectionOAuthRequestParameters{AuthorizationEndpoint: "https://issuer/token", HttpMethod: "POST",
			ClientParameters: events.CreateConnectionOAuthClientRequestParameters{ClientID: "me", ClientSecret: "s&cret"}}}}))
	if *c.ConnectionState != "AUTHORIZING" {
		t.Errorf("the connection is %s", *c.ConnectionState)
	}
	synctest.Wait()
	d := must(b.CreateApiDestination(b.ctx, &events.CreateApiDestinationInput{Name: "d", ConnectionArn: *c.ConnectionArn, InvocationEndpoint: "https://there/", HttpMethod: "POST"}))
	b.rule("default", "r", `{"source":["shop"]}`, events.Target{Id: "1", Arn: *d.ApiDestinationArn, RoleArn: new("arn:aws:iam::000000000000:role/r"),
		DeadLetterConfig: &events.DeadLetterConfig{Arn: new(queue("dead"))}})
	return b
}

// TestOAuth: a token is kept until it ends or is refused, and is never stored as it is.
func TestOAuth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := &outside{life: "3600"}
		b := destine(t, o)
		if got := *must(b.DescribeConnection(b.ctx, &events.DescribeConnectionInput{Name: "c"})).ConnectionState; got != "AUTHORIZED" {
			t.Errorf("the connection is %s", got)
		}
		form, _ := url.ParseQuery(o.form)
		if form.Get("grant_type") != "client_credentials" || form.Get("client_id") != "me" || form.Get("client_secret") != "s&cret" {
			t.Errorf("the issuer was sent %s", o.form)
		}
		send := func(issued, calls int) {
			t.Helper()
			o.calls = 0
			b.put("default", `{}`)
			b.drain()
			if o.issued != issued || o.calls != calls {
				t.Errorf("%d tokens and %d calls, want %d and %d", o.issued, o.calls, issued, calls)
			}
		}
		send(1, 1)
		send(1, 1)
		o.good = "revoked"
		send(2, 2)
		time.Sleep(time.Hour)
		send(3, 1)
		err := b.db.View(b.ctx, func(tx *store.Tx) error {
			c, _ := connections.Get(tx, store.K("c"))
			k, _ := tokens.Get(tx, store.K("c"))
			if strings.Contains(string(c.Sealed), "cret") || strings.Contains(string(k.Sealed), "token") {
				t.Error("a secret is stored as it is")
			}
			return nil
		})
		if err != nil || len(b.far.sent) > 0 {
			t.Error(err, b.far.sent)
		}
	})
}

// TestDestinationErrors: what is worth another try is tried again; the rest is dead at once.
func TestDestinationErrors(t *testing.T) {
	for status, again := range map[int]bool{400: false, 403: false, 404: false, 302: false, 409: true, 429: true, 500: true, 503: true} {
		bubble(t, func(t *testing.T) {
			o := &outside{life: "3600", status: status}
			b := destine(t, o)
			b.put("default", `{}`)
			b.drain()
			if dead := len(b.far.sent) == 1; dead == again {
				t.Errorf("%d: dead: %t", status, dead)
			}
			if !again {
				if code := *b.far.sent[0].attributes["ERROR_CODE"].StringValue; code != "SDK_CLIENT_ERROR" {
					t.Errorf("%d: %s", status, code)
				}
				return
			}
			o.status = 200
			time.Sleep(time.Minute)
			b.drain()
			if o.calls != 2 || len(b.far.sent) > 0 {
				t.Errorf("%d: %d calls, %v", status, o.calls, b.far.sent)
			}
		})
	}
}

// TestRetryAfter: an endpoint that asks for a longer wait than the retry policy's gets it, and a negative one ends the attempts.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		after     string
		wait      time.Duration // after which the next attempt is made, not before
		condition string        // or why there is none
	}{
		{"600", 10 * time.Minute, ""},
		{"Sat, 01 Jan 2000 02:00:00 GMT", 2 * time.Hour, ""},
		{"0", 2 * time.Second, ""},
		{"soon", 2 * time.Second, ""},
		{"-1", 0, "none"},
		{"86401", 0, "MaximumEventAgeInSeconds"},
	} {
		bubble(t, func(t *testing.T) {
			o := &outside{life: "36000", status: 503, after: c.after}
			b := destine(t, o)
			b.put("default", `{}`)
			b.drain()
			if c.condition != "" {
				a := b.far.sent[0].attributes["EXHAUSTED_RETRY_CONDITION"]
				if got := a.GetStringValue(); got != c.condition && (c.condition != "none" || got != "") {
					t.Errorf("%s: %q", c.after, got)
				}
				return
			}
			time.Sleep(c.wait - 2*time.Second)
			b.drain()
			if o.calls != 1 {
				t.Errorf("%s: %d calls before %s", c.after, o.calls, c.wait)
			}
			time.Sleep(2 * time.Second)
			b.drain()
			if o.calls != 2 || len(b.far.sent) > 0 {
				t.Errorf("%s: %d calls, %v", c.after, o.calls, b.far.sent)
			}
		})
	}
}

// TestDeliveryWithRole guards the stored form of deliveries with and without a role and a trace.
func TestDeliveryWithRole(t *testing.T) {
	for _, d := range []delivery{{ID: "i", ARN: "a", Event: []byte("{}"), Attempts: 3}, {ID: "i", ARN: "a", Event: []byte("{}"), Role: "r"},
		{ID: "i", ARN: "a", Event: []byte("{}"), Role: "r", HTTP: []byte("{}")}, {ID: "i", ARN: "a", Event: []byte("{}"), Trace: "Root=1"}} {
		b, err := d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got delivery
		if err := got.UnmarshalBinary(b); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", d) {
			t.Errorf("%+v came back as %+v: %v", d, got, err)
		}
		for n := range b {
			var cut delivery
			cut.UnmarshalBinary(b[:n]) // must not panic
		}
	}
}

func FuzzReadToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"t","expires_in":3600}`))
	f.Add([]byte(`{"access_token":"t","expires_in":"1e300"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if token, life, err := readToken(b); err == nil && (token == "" || life <= 0 || life > maxToken) {
			t.Errorf("%q: %q %v", b, token, life)
		}
	})
}

func TestHeaderValue(t *testing.T) {
	if got := headerValue("a\r\nX: b\tc"); got != "aX: b\tc" {
		t.Errorf("%q", got)
	}
	d := destination{Endpoint: "https://h/*/x/*", Method: "PUT"}
	r, err := d.request(&events.HttpParameters{PathParameterValues: []string{"$.a", "b/../c"}, HeaderParameters: map[string]string{"content-type": "text/plain"}}, []byte(`{"a":"?q"}`), nil)
	if err != nil || r.url != "https://h/%3Fq/x/b%2F..%2Fc" {
		t.Errorf("%v %v", r, err)
	}
	if _, err := d.request(&events.HttpParameters{PathParameterValues: []string{"$.none"}}, []byte(`{}`), nil); !aws.IsCode(err, "INVALID_PARAMETER") {
		t.Error(err)
	}
}
