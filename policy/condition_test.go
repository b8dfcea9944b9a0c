package policy

import (
	"net/netip"
	"testing"
	"time"

	"fogbank/aws"
)

func TestCondition(t *testing.T) {
	r := &Request{
		Principal: aws.Principal{Kind: aws.AssumedRole, Account: "111111111111", UserID: "AROAEXAMPLEEXAMPLE001:s", Key: "ASIAX",
			ARN: "arn:aws:sts::111111111111:assumed-role/r/s", Role: "arn:aws:iam::111111111111:role/path/r",
			Tags: map[string]string{"Team": "blue"}},
		Action: "sqs:SendMessage", Resource: "arn:aws:sqs:us-east-1:222222222222:q", ResourceAccount: "222222222222",
		Call: &aws.Call{Region: "us-east-1", SourceIP: netip.MustParseAddr("::ffff:10.1.2.3"), UserAgent: "aws-cli/2",
			SourceARN: "arn:aws:sns:us-east-1:111111111111:t", SourceAccount: "111111111111"},
		Now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		Keys: map[string][]string{
			"s:text": {"Hello"}, "s:number": {"5"}, "s:flag": {"true"}, "s:bytes": {"QmFzZTY0"}, "s:none": {}, "s:list": {"a", "b"},
			"s:v6": {"2001:db8::1"}, "s:empty": {""}, "aws:TagKeys": {"x", "y"}, "s:junk": {"junk"},
		},
	}
	for _, c := range []struct {
		condition string
		want      bool
	}{
		{`{"StringEquals":{"s:text":"Hello"}}`, true},
		{`{"StringEquals":{"S:TEXT":"Hello"}}`, true},
		{`{"StringEquals":{"s:text":["x","Hello"]}}`, true},
		{`{"StringEquals":{"s:text":"hello"}}`, false},
		{`{"StringEquals":{"s:text":"Hel*"}}`, false},
		{`{"StringEquals":{"s:absent":"x"}}`, false},
		{`{"StringEquals":{"s:text":[]}}`, false},
		{`{"stringequals":{"s:text":"Hello"}}`, true},
		{`{"StringNotEquals":{"s:text":"Hello"}}`, false},
		{`{"StringNotEquals":{"s:text":["a","b"]}}`, true},
		{`{"StringNotEquals":{"s:text":["a","Hello"]}}`, false},
		{`{"StringNotEquals":{"s:absent":"x"}}`, true},
		{`{"StringEqualsIgnoreCase":{"s:text":"hELLO"}}`, true},
		{`{"StringNotEqualsIgnoreCase":{"s:text":"hELLO"}}`, false},
		{`{"StringLike":{"s:text":"H*o"}}`, true},
		{`{"StringLike":{"s:text":"h*o"}}`, false},
		{`{"StringLike":{"s:empty":"*"}}`, true},
		{`{"StringNotLike":{"s:text":"H*o"}}`, false},
		{`{"StringEqualsIfExists":{"s:absent":"x"}}`, true},
		{`{"StringEqualsIfExists":{"s:text":"x"}}`, false},
		{`{"NumericEquals":{"s:number":"5.0"}}`, true},
		{`{"NumericNotEquals":{"s:number":5}}`, false},
		{`{"NumericLessThan":{"s:number":"5"}}`, false},
		{`{"NumericLessThanEquals":{"s:number":5}}`, true},
		{`{"NumericGreaterThan":{"s:number":4.5}}`, true},
		{`{"NumericGreaterThanEquals":{"s:number":"6"}}`, false},
		{`{"NumericEquals":{"s:junk":"6"}}`, false},
		{`{"NumericGreaterThanEquals":{"s:junk":"6"}}`, false},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2026-05-01T11:59:59Z"}}`, true},
		{`{"DateLessThan":{"aws:CurrentTime":"2026-05-01T14:00:00+02:00"}}`, false},
		{`{"DateEquals":{"aws:CurrentTime":"2026-05-01T14:00:00+02:00"}}`, true},
		{`{"DateNotEquals":{"aws:CurrentTime":"2026-05-01"}}`, true},
		{`{"DateLessThanEquals":{"aws:EpochTime":"1777636800"}}`, true},
		{`{"DateGreaterThanEquals":{"aws:CurrentTime":1777636801}}`, false},
		{`{"NumericGreaterThan":{"aws:EpochTime":"1777636799"}}`, true},
		{`{"Bool":{"s:flag":"True"}}`, true},
		{`{"Bool":{"s:flag":false}}`, false},
		{`{"Bool":{"aws:SecureTransport":"false"}}`, true},
		{`{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}`, false},
		{`{"BinaryEquals":{"s:bytes":"QmFzZTY0"}}`, true},
		{`{"BinaryEquals":{"s:bytes":"QmFzZTY1"}}`, false},
		{`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, true},
		{`{"IpAddress":{"aws:SourceIp":["10.1.2.3","1.1.1.1"]}}`, true},
		{`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, false},
		{`{"IpAddress":{"s:v6":"2001:db8::/32"}}`, true},
		{`{"IpAddress":{"s:v6":"10.0.0.0/8"}}`, false},
		{`{"NotIpAddress":{"s:absent":"10.0.0.0/8"}}`, true},
		{`{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:*:111111111111:t"}}`, true},
		{`{"ArnLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:111111111111:*"}}`, true},
		{`{"ArnLike":{"aws:SourceArn":"arn:aws:*:t"}}`, false},
		{`{"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:*:u"}}`, true},
		{`{"ArnNotEquals":{"aws:SourceArn":"arn:aws:sns:*:*:t"}}`, false},
		{`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/path/r"}}`, true},
		{`{"Null":{"s:absent":"true"}}`, true},
		{`{"Null":{"s:absent":"false"}}`, false},
		{`{"Null":{"s:none":true}}`, true},
		{`{"Null":{"s:text":"false"}}`, true},
		{`{"Null":{"s:text":"true"}}`, false},
		{`{"ForAllValues:StringEquals":{"s:list":["a","b","c"]}}`, true},
		{`{"ForAllValues:StringEquals":{"s:list":["a"]}}`, false},
		{`{"ForAllValues:StringEquals":{"s:absent":["a"]}}`, true},
		{`{"ForAllValues:StringEquals":{"s:none":["a"]}}`, true},
		{`{"ForAllValues:StringNotEquals":{"s:list":["c","d"]}}`, true},
		{`{"ForAllValues:StringNotEquals":{"s:list":["a","d"]}}`, false},
		{`{"ForAnyValue:StringEquals":{"s:list":["b","z"]}}`, true},
		{`{"ForAnyValue:StringEquals":{"s:list":["z"]}}`, false},
		{`{"ForAnyValue:StringEquals":{"s:absent":["z"]}}`, false},
		{`{"ForAnyValue:StringNotEquals":{"s:list":["a"]}}`, true},
		{`{"ForAnyValue:StringNotEquals":{"s:list":["a","b"]}}`, false},
		{`{"ForAnyValue:StringNotEquals":{"s:absent":["a"]}}`, false},
		{`{"ForAnyValue:StringLikeIfExists":{"s:absent":["a"]}}`, true},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["x","y"]}}`, true},
		{`{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`, true},
		{`{"StringEquals":{"aws:PrincipalAccount":"111111111111","aws:ResourceAccount":"222222222222"}}`, true},
		{`{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}`, true},
		{`{"StringLike":{"aws:userid":"AROAEXAMPLEEXAMPLE001:*"}}`, true},
		{`{"Null":{"aws:username":"true"}}`, true},
		{`{"StringEquals":{"aws:RequestedRegion":"us-east-1","aws:SourceAccount":"111111111111","aws:UserAgent":"aws-cli/2"}}`, true},
		{`{"Bool":{"aws:PrincipalIsAWSService":"false","aws:ViaAWSService":"false"}}`, true},
		{`{"Null":{"aws:PrincipalServiceName":"true"}}`, true},
		{`{"StringEquals":{"aws:PrincipalAccount":"${aws:SourceAccount}"}}`, true},
		{`{"StringEquals":{"aws:PrincipalAccount":"${aws:ResourceAccount}"}}`, false},
		{`{"NumericEquals":{"s:number":"${s:number}"}}`, true},
		{`{"NumericEquals":{"s:number":"${s:text}"}}`, false},
		{`{"Bool":{"s:flag":"${s:flag}"}}`, true},
		{`{"IpAddress":{"aws:SourceIp":"${s:absent, '10.0.0.0/8'}"}}`, true},
		{`{"StringNotEquals":{"s:text":"${s:absent}"}}`, true},
		{`{"StringEquals":{"s:text":"Hello"},"Bool":{"s:flag":"false"}}`, false},
		{`{"StringEquals":{"s:text":"Hello","s:number":"6"}}`, false},
		{`{}`, true},
	} {
		d, err := Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":` + c.condition + `}}`)
		if err != nil {
			t.Errorf("%s: %v", c.condition, err)
			continue
		}
		e := evaluation{r: r}
		if got := e.applies(&d.statements[0], false); got != c.want {
			t.Errorf("%s: %v, want %v", c.condition, got, c.want)
		}
	}
}
