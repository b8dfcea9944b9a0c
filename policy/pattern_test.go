package policy

import (
	"strings"
	"testing"

	"fogbank/aws"
)

func TestPattern(t *testing.T) {
	e := &evaluation{r: &Request{
		Principal: aws.Principal{Kind: aws.User, Account: "111111111111", ARN: "arn:aws:iam::111111111111:user/dept/ann",
			Tags: map[string]string{"Team": "blue*"}},
		Keys: map[string][]string{"svc:many": {"a", "b"}, "svc:one": {"x"}},
	}}
	for _, c := range []struct {
		syntax        syntax
		pattern, text string
		want          bool
	}{
		{actionName, "*", "sqs:SendMessage", true},
		{actionName, "sqs:*", "SQS:SendMessage", true},
		{actionName, "sqs:send*", "sqs:SendMessageBatch", true},
		{actionName, "sqs:*Message", "sqs:SendMessage", true},
		{actionName, "sqs:*Message", "sqs:SendMessageBatch", false},
		{actionName, "sqs:?endMessage", "sqs:SendMessage", true},
		{actionName, "sqs:?endMessage", "sqs:endMessage", false},
		{actionName, "sqs:SendMessage", "sqs:SendMessages", false},
		{actionName, "sqs:", "sqs:SendMessage", false},
		{actionName, "", "sqs:SendMessage", false},
		{plainText, "a*", "a*", true},
		{plainText, "a*", "ab", false},
		{plainText, "Ab", "ab", false},
		{foldedText, "Ab", "aB", true},
		{wildcards, "a*b*c", "a--b--b--c", true},
		{wildcards, "a*b*c", "a--c--b", false},
		{wildcards, "*a*a*a*b", strings.Repeat("a", 200), false},
		{wildcards, "h?llo", "héllo", true},
		{wildcards, "a${*}c", "a*c", true},
		{wildcards, "a${*}c", "abc", false},
		{wildcards, "${?}${$}", "?$", true},
		{wildcards, "home/${aws:username}/*", "home/ann/x", true},
		{wildcards, "home/${AWS:UserName}/*", "home/ann/x", true},
		{wildcards, "home/${aws:username}/*", "home/bob/x", false},
		{wildcards, "${aws:PrincipalTag/team}", "blue*", true},
		{wildcards, "${aws:PrincipalTag/team}", "bluest", false},
		{wildcards, "${aws:PrincipalTag/size}", "", false},
		{wildcards, "${aws:PrincipalTag/size, 'large'}", "large", true},
		{wildcards, "${aws:PrincipalTag/size,'a}b'}", "a}b", true},
		{wildcards, "${svc:one}", "x", true},
		{wildcards, "${svc:many}", "a", false},
		{wildcards, "${svc:many, 'd'}", "d", true},
		{wildcards, "${unclosed", "${unclosed", true},
		{resourceName, "*", "anything", true},
		{resourceName, "arn:aws:sqs:us-east-1:111111111111:q", "arn:aws:sqs:us-east-1:111111111111:q", true},
		{resourceName, "arn:aws:sqs:us-east-1:111111111111:q*", "arn:aws:sqs:us-east-1:111111111111:queue", true},
		{resourceName, "arn:aws:sqs:us-*-1:111111111111:q", "arn:aws:sqs:us-east-1:111111111111:q", true},
		{resourceName, "arn:aws:sqs:u*1:111111111111:q", "arn:aws:sqs:us-east-1:111111111111:q", true},
		{resourceName, "arn:aws:sqs:us-*1:q", "arn:aws:sqs:us-east-1:111111111111:q", false},
		{resourceName, "arn:aws:sqs:*:q", "arn:aws:sqs:us-east-1:111111111111:q", false},
		{resourceName, "arn:aws:iam::*:role/r", "arn:aws:iam::111111111111:role/r", true},
		{resourceName, "arn:aws:sqs", "arn:aws:sqs:us-east-1:111111111111:q", true},
		{resourceName, "arn:aws:sqs:*", "arn:aws:sqs:us-east-1:111111111111:q", true},
		{resourceName, "arn:aws:sns:*", "arn:aws:sqs:us-east-1:111111111111:q", false},
		{resourceName, "arn:*", "arn:aws:sqs:us-east-1:111111111111:q", true},
		{resourceName, "arn:aws:logs:*:*:log-group:*:log-stream:s", "arn:aws:logs:r:1:log-group:g:log-stream:s", true},
		{resourceName, "arn:aws:dynamodb:*:*:table/*/index/?", "arn:aws:dynamodb:r:1:table/t/index/i", true},
		{resourceName, "arn:aws:dynamodb:?:*:table/t", "arn:aws:dynamodb:r:1:table/t", true},
		{resourceName, "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/ann/x:y", true},
		{arnLike, "arn:aws:sns:*:*:t", "arn:aws:sns:us-east-1:111111111111:t", true},
		{arnLike, "arn:aws:sns:*:t", "arn:aws:sns:us-east-1:111111111111:t", false},
		{arnLike, "arn:aws:*:t", "arn:aws:sns:us-east-1:111111111111:t", false},
		{arnLike, "arn:aws:sns:u*t-1:1*1:t", "arn:aws:sns:us-east-1:111111111111:t", true},
		{arnLike, "arn:aws:lambda:*:*:function:*", "arn:aws:lambda:r:1:function:f:alias", true},
		{arnLike, "*", "arn:aws:sns:us-east-1:111111111111:t", true},
	} {
		p := compile(c.pattern, c.syntax, true)
		if got := p.match(c.text, e); got != c.want {
			t.Errorf("%q (syntax %d) against %q: %v, want %v", c.pattern, c.syntax, c.text, got, c.want)
		}
	}
}

// TestVariablesNeed2012 checks that the older language has no variables.
func TestVariablesNeed2012(t *testing.T) {
	p := compile("${aws:username}", wildcards, false)
	if !p.match("${aws:username}", &evaluation{r: &Request{}}) {
		t.Error("without variables the text must stand for itself")
	}
}
