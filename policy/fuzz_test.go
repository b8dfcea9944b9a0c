package policy

import (
	"testing"
	"time"

	"fogbank/aws"
)

// FuzzParse checks that no text makes Parse, Check or Evaluate panic, and that
// what Parse accepts it accepts again without its blanks.
func FuzzParse(f *testing.F) {
	for _, s := range []string{allow, deny, to(`"*"`), not(`{"Service":"sns.amazonaws.com"}`),
		`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username, 'x'}/*","Condition":{"ForAllValues:StringLikeIfExists":{"aws:TagKeys":["a*","${*}"]},"Null":{"x":true}}}`,
		`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-01-01"},"NumericEquals":{"a":1e3},"BinaryEquals":{"b":"QQ=="},"NotIpAddress":{"aws:SourceIp":"::1/64"}}}`} {
		f.Add(`{"Version":"2012-10-17","Statement":[` + s + `]}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if _, err := Parse(Compact(text)); err != nil {
			t.Fatalf("%q: %v without its blanks", text, err)
		}
		for use := IdentityPolicy; use <= TrustPolicy; use++ {
			d.Check(use)
		}
		for _, p := range []aws.Principal{user, root, sess, fed, topi, {}} {
			r := Request{Principal: p, Action: "sqs:SendMessage", Resource: queue, ResourceAccount: own, Now: time.Unix(1, 0),
				Call: &aws.Call{Region: "us-east-1"}, Identity: Identity{Policies: []*Document{d}, Boundary: []*Document{d}}, Session: []*Document{d}, ResourcePolicy: d}
			if got := Evaluate(&r); got.Allowed && got.Explicit {
				t.Fatalf("%q: %+v", text, got)
			}
		}
	})
}

// FuzzEvaluate checks names from outside against patterns from outside: no
// panic, and an explicit deny of the same shape always wins.
func FuzzEvaluate(f *testing.F) {
	f.Add("sqs:*", "arn:aws:sqs:*:*:q", "sqs:SendMessage", queue)
	f.Add("*a*a*b", "arn:aws:*:a*b:${aws:username}*", "aaaaaaaaaa", "arn:aws:a:ab::ab")
	f.Fuzz(func(t *testing.T, action, resource, asked, on string) {
		if len(action)+len(resource)+len(asked)+len(on) > 4096 {
			return
		}
		st := func(deny bool) *Document {
			d := &Document{version: "2012-10-17"}
			d.statements = []statement{{doc: d, deny: deny, hasResources: true,
				actions: []pattern{compile(action, actionName, false)}, resources: []pattern{compile(resource, resourceName, true)}}}
			return d
		}
		r := Request{Principal: user, Action: asked, Resource: aws.ARN(on), Identity: Identity{Policies: []*Document{st(false)}}}
		if !Evaluate(&r).Allowed {
			return
		}
		r.Identity.Policies = append(r.Identity.Policies, st(true))
		if d := Evaluate(&r); d.Allowed || !d.Explicit {
			t.Fatalf("%q %q against %q %q: %+v", action, resource, asked, on, d)
		}
	})
}
