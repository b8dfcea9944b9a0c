package fogbank

import (
	"strings"
	"testing"

	apidynamodb "fogbank/api/dynamodb"
	apievents "fogbank/api/events"
	apiiam "fogbank/api/iam"
	apilambda "fogbank/api/lambda"
	apisns "fogbank/api/sns"
	apists "fogbank/api/sts"
	"fogbank/wire"
)

// TestTold: what an audit event tells of parameters and answers, and that no secret is in it.
func TestTold(t *testing.T) {
	for _, c := range []struct {
		shape *wire.Shape
		v     any
		want  string
	}{
		{apiiam.API.Operation("CreateAccessKey").Output, &apiiam.CreateAccessKeyOutput{AccessKey: apiiam.AccessKey{UserName: "bob", AccessKeyId: "AKIA", SecretAccessKey: "s3cret", Status: "Active"}},
			`{"accessKey":{"accessKeyId":"AKIA","secretAccessKey":"` + hidden + `","status":"Active","userName":"bob"}}`},
		{apists.API.Operation("AssumeRole").Output, &apists.AssumeRoleOutput{Credentials: &apists.Credentials{AccessKeyId: "ASIA", SecretAccessKey: "s3cret", SessionToken: "s3cret"}}, ``},
		{apilambda.API.Operation("CreateFunction").Input, &apilambda.CreateFunctionInput{FunctionName: "f", Role: "r", Code: apilambda.FunctionCode{ZipFile: []byte("s3cret")},
			Environment: &apilambda.Environment{Variables: map[string]string{"K": "s3cret"}}, Tags: map[string]string{"Team": "A"}},
			`{"code":{},"environment":"` + hidden + `","functionName":"f","role":"r","tags":{"Team":"A"}}`},
		{apievents.API.Operation("CreateConnection").Input, &apievents.CreateConnectionInput{Name: "c", AuthorizationType: "BASIC", AuthParameters: apievents.CreateConnectionAuthRequestParameters{
			BasicAuthParameters: &apievents.CreateConnectionBasicAuthRequestParameters{Username: "u", Password: "s3cret"}}},
			`{"authParameters":"` + hidden + `","authorizationType":"BASIC","name":"c"}`},
		{apisns.API.Operation("CreatePlatformApplication").Input, &apisns.CreatePlatformApplicationInput{Name: "a", Platform: "GCM",
			Attributes: map[string]string{"PlatformCredential": "s3cret", "PlatformPrincipal": "s3cret", "SuccessFeedbackSampleRate": "1"}},
			`{"attributes":{"PlatformCredential":"` + hidden + `","PlatformPrincipal":"` + hidden + `","SuccessFeedbackSampleRate":"1"},"name":"a","platform":"GCM"}`},
		{apisns.API.Operation("ConfirmSubscription").Input, &apisns.ConfirmSubscriptionInput{TopicArn: "t", Token: "s3cret"}, `{"token":"` + hidden + `","topicArn":"t"}`},
		{apidynamodb.API.Operation("ListTables").Input, &apidynamodb.ListTablesInput{}, ``},
		{apidynamodb.API.Operation("ListTables").Input, &apidynamodb.ListTablesInput{ExclusiveStartTableName: new(strings.Repeat("x", maxTold))}, ``},
	} {
		got := string(told(c.shape, c.v))
		if c.want != "" && got != c.want || strings.Contains(got, "s3cret") || len(got) > maxTold {
			t.Errorf("%s: %.300s", c.shape.Name, got)
		}
	}
}

// TestDataPlane: the operations named as data events exist.
func TestDataPlane(t *testing.T) {
	for _, api := range APIs() {
		for _, name := range dataPlane[api.Name] {
			if api.Operation(name) == nil {
				t.Errorf("%s has no operation %s", api.Name, name)
			}
		}
	}
}
