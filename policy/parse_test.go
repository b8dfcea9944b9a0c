package policy

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for _, c := range []struct{ text, reason string }{
		{`{"Version":"2012-10-17","Id":"x","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, ""},
		{`{"Statement":[{"Sid":"A","Effect":"Deny","NotAction":["a:b"],"NotResource":["arn:aws:s3:::b"]}]}`, ""},
		{`{"Statement":[{"Effect":"Allow","Principal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/a"],"Service":"sns.amazonaws.com"},"Action":"*"}]}`, ""},
		{`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Condition":{"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"s:n":5}}}]}`, ""},
		{``, "This policy contains invalid Json"},
		{`{`, "This policy contains invalid Json"},
		{`{"Statement":[]} x`, "This policy contains invalid Json"},
		{"{\"Id\":\"\xff\"}", "This policy contains invalid Json"},
		{`[]`, "Syntax errors in policy."},
		{`{}`, "Syntax errors in policy."},
		{`{"Statement":"x"}`, "Syntax errors in policy."},
		{`{"Version":"2013-01-01","Statement":[]}`, "Syntax errors in policy."},
		{`{"Version":5,"Statement":[]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Action":"*","Resource":"*"}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Effect":"Allow","Action":5,"Resource":"*"}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Extra":1}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}]}`,
			"Statement IDs (SID) in a single policy must be unique."},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringSame":{"a":"b"}}}]}`, "Invalid Condition type : StringSame"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NullIfExists":{"a":"true"}}}]}`, "Invalid Condition type : NullIfExists"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"a":"Inf"}}}]}`, "Invalid value in condition: Inf"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"a":"1.2.3.4/40"}}}]}`, "Invalid value in condition: 1.2.3.4/40"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Principal":{"AWS":"arn:aws:iam::1:user/*"}}]}`, `Invalid principal in policy: "AWS":"arn:aws:iam::1:user/*"`},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Principal":{"AWS":"bob"}}]}`, `Invalid principal in policy: "AWS":"bob"`},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Principal":{}}]}`, "Syntax errors in policy."},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Principal":{"GCP":"x"}}]}`, "Syntax errors in policy."},
		{`{"Statement":` + deep + `}`, "Syntax errors in policy."},
		{strings.Repeat(" ", MaxDocumentBytes+1), "The policy document is longer than 65536 bytes."},
	} {
		_, err := Parse(c.text)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.reason {
			t.Errorf("%.100s: %q, want %q", c.text, got, c.reason)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		use               Use
		statement, reason string
	}{
		{IdentityPolicy, `"Action":"sqs:*","Resource":"*"`, ""},
		{IdentityPolicy, `"NotAction":"sqs:*","NotResource":"arn:aws:sqs:*"`, ""},
		{IdentityPolicy, `"Action":"sqs:*","Resource":"*","Principal":"*"`, "Policy document should not specify a principal."},
		{IdentityPolicy, `"Action":"sqs:*"`, "Policy statement must contain resources."},
		{IdentityPolicy, `"Action":"sqs:*","Resource":[]`, "Policy statement must contain resources."},
		{IdentityPolicy, `"Resource":"*"`, "Policy statement must contain actions."},
		{IdentityPolicy, `"Action":[],"Resource":"*"`, "Policy statement must contain actions."},
		{IdentityPolicy, `"Action":"SendMessage","Resource":"*"`, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{IdentityPolicy, `"Action":"a b:c","Resource":"*"`, "Vendor a b is not valid"},
		{IdentityPolicy, `"Action":"sqs:*","Resource":"queue"`, `Resource queue must be in ARN format or "*".`},
		{IdentityPolicy, `"Sid":"a b","Action":"sqs:*","Resource":"*"`,
			"Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
		{BoundaryPolicy, `"Action":"sqs:*","Resource":"*","Principal":"*"`, "Policy document should not specify a principal."},
		{SessionPolicy, `"Action":"sqs:*"`, "Policy statement must contain resources."},
		{ResourcePolicy, `"Sid":"a b","Action":"sqs:*","Principal":"*"`, ""},
		{ResourcePolicy, `"Action":"sqs:*","Resource":"*"`, "Missing required field Principal"},
		{TrustPolicy, `"Action":"sts:AssumeRole","Principal":{"Service":"lambda.amazonaws.com"}`, ""},
		{TrustPolicy, `"Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"AWS":"111111111111"}`, ""},
		{TrustPolicy, `"Action":"sts:AssumeRole"`, "Missing required field Principal"},
		{TrustPolicy, `"Action":"sts:AssumeRole","Principal":"*","Resource":"*"`, "Has prohibited field Resource"},
		{TrustPolicy, `"Action":"*","Principal":"*"`, "AssumeRole policy may only specify STS AssumeRole actions."},
		{TrustPolicy, `"NotAction":"sts:AssumeRole","Principal":"*"`, "AssumeRole policy may only specify STS AssumeRole actions."},
	} {
		d, err := Parse(`{"Statement":{"Effect":"Allow",` + c.statement + `}}`)
		if err != nil {
			t.Fatal(c.statement, err)
		}
		got := ""
		if err := d.Check(c.use); err != nil {
			got = err.Error()
		}
		if got != c.reason {
			t.Errorf("use %d, %s: %q, want %q", c.use, c.statement, got, c.reason)
		}
	}
	d, err := Parse(`{"Statement":[]}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(IdentityPolicy); err == nil {
		t.Error("a policy without statements must be refused")
	}
}
