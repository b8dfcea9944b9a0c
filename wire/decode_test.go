package wire_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fogbank/api/apigatewayv2"
	"fogbank/api/dynamodb"
	"fogbank/api/events"
	"fogbank/api/iam"
	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/wire"
)

// index holds services of every protocol.
var index = wire.NewIndex(sqs.API, sns.API, dynamodb.API, events.API, lambda.API, apigatewayv2.API, iam.API, sts.API, logs.API)

// decoded runs Decode and shows what came out: the input as JSON, or the error.
func decoded(op *wire.Operation, p wire.Protocol, r *http.Request, body string, labels map[string]string) string {
	in, err := wire.Decode(op, p, r, []byte(body), labels)
	if e, ok := errors.AsType[*aws.Error](err); ok {
		return fmt.Sprintf("%s %d: %s", e.Code, e.Status, e.Message)
	}
	if err != nil {
		return "not an aws.Error: " + err.Error()
	}
	return string(wire.AppendJSON(nil, op.Input, in))
}

func TestDecodeJSON(t *testing.T) {
	const mandatory = `"QueueUrl":"q","MessageBody":"b"`
	for _, c := range []struct{ target, body, want string }{
		// What is read.
		{"AmazonSQS.ListQueues", ``, `{}`},
		{"AmazonSQS.ListQueues", ` {} `, `{}`},
		{"AmazonSQS.SendMessage", `{` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b"}`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"","MessageBody":""}`, `{"QueueUrl":"","MessageBody":""}`},
		{"AmazonSQS.SendMessage", `{"Unknown":[{"a":[1,-2.5e+3,"\u0041",true,false,null]}],` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b"}`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":null,` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b"}`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":0,` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b","DelaySeconds":0}`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":5.9,` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b","DelaySeconds":5}`},
		{"AmazonSQS.SendMessage", `{"queueurl":1,` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b"}`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"first",` + mandatory + `}`, `{"QueueUrl":"q","MessageBody":"b"}`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"q","MessageBody":"\"\\\/\b\f\n\r\té😀 é😀"}`, `{"QueueUrl":"q","MessageBody":"\"\\/\u0008\u000c\n\r\té😀 é😀"}`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"q","MessageBody":"\ud83d\u0041\udc00"}`, "{\"QueueUrl\":\"q\",\"MessageBody\":\"\uFFFDA\uFFFD\"}"},
		{"AmazonSQS.SendMessage", `{"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAECAw=="},"b":null},` + mandatory + `}`,
			`{"QueueUrl":"q","MessageBody":"b","MessageAttributes":{"a":{"BinaryValue":"AAECAw==","DataType":"Binary"}}}`},
		{"AmazonSQS.GetQueueAttributes", `{"QueueUrl":"q","AttributeNames":[]}`, `{"QueueUrl":"q","AttributeNames":[]}`},
		{"Logs_20140328.PutLogEvents", `{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1700000000000,"message":"m"}]}`,
			`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1700000000000,"message":"m"}]}`},
		{"AWSEvents.PutEvents", `{"Entries":[{"Time":1700000000.125,"Source":"a"}]}`, `{"Entries":[{"Time":1700000000.125,"Source":"a"}]}`},
		{"AWSEvents.PutEvents", `{"Entries":[{"Time":"2023-11-14T22:13:20Z"}]}`, `{"Entries":[{"Time":1700000000}]}`},
		{"DynamoDB_20120810.PutItem", `{"TableName":"t","Item":{"k":{"S":"v"}}}`, `{"TableName":"t","Item":{"k":{"S":"v"}}}`},
		// What cannot be read.
		{"AmazonSQS.SendMessage", `[]`, `SerializationException 400: Unexpected value type in payload`},
		{"AmazonSQS.SendMessage", `null`, `SerializationException 400: Unexpected value type in payload`},
		{"AmazonSQS.SendMessage", ` `, `SerializationException 400: Unexpected end of input`},
		{"AmazonSQS.SendMessage", `{`, `SerializationException 400: Unexpected end of input`},
		{"AmazonSQS.SendMessage", `{"QueueUrl"`, `SerializationException 400: Unexpected end of input`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"q",}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{"QueueUrl" "q"}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":nul}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{` + mandatory + `} x`, `SerializationException 400: Unexpected content after the end of the document`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":1}`, `SerializationException 400: NUMBER_VALUE cannot be converted to String`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":true}`, `SerializationException 400: TRUE_VALUE cannot be converted to String`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":{}}`, `SerializationException 400: Start of structure or map found where not expected.`},
		{"AmazonSQS.SendMessage", `{"QueueUrl":[]}`, `SerializationException 400: Start of list found where not expected`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":"1"}`, `SerializationException 400: STRING_VALUE cannot be converted to Integer`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":2147483648}`, `SerializationException 400: 2147483648 is out of range`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":1e400}`, `SerializationException 400: 1e400 can not be converted to an integer`},
		{"AmazonSQS.SendMessage", `{"DelaySeconds":01}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{"x":-}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{"x":1.}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{"x":` + strings.Repeat("1", 401) + `}`, `SerializationException 400: Unexpected token`},
		{"AmazonSQS.SendMessage", `{"x":"\x"}`, `SerializationException 400: Unrecognized character escape`},
		{"AmazonSQS.SendMessage", `{"x":"\u12"}`, `SerializationException 400: Unrecognized character escape`},
		{"AmazonSQS.SendMessage", `{"x":"\`, `SerializationException 400: Unexpected end of input`},
		{"AmazonSQS.SendMessage", "{\"x\":\"a\nb\"}", `SerializationException 400: Illegal unquoted character in a string`},
		{"AmazonSQS.SendMessage", "{\"x\":\"\xff\"}", `SerializationException 400: The request is not valid UTF-8`},
		{"AmazonSQS.SendMessage", `{"MessageAttributes":{"a":{"DataType":"B","BinaryValue":"!"}},` + mandatory + `}`, `SerializationException 400: The base64 text is not valid`},
		{"AmazonSQS.SendMessage", `{"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, `SerializationException 400: The request is nested too deeply`},
		{"AmazonSQS.GetQueueAttributes", `{"QueueUrl":"q","AttributeNames":[` + strings.Repeat(`"",`, 1<<17) + `""]}`, `SerializationException 400: The request has too many elements`},
		{"DynamoDB_20120810.DescribeTable", `{"TableName":7}`, `SerializationException 400: NUMBER_VALUE cannot be converted to String`},
	} {
		op, p, ok := index.Target(c.target)
		if !ok {
			t.Fatalf("no operation %s", c.target)
		}
		r := httptest.NewRequest("POST", "/", nil)
		if got := decoded(op, p, r, c.body, nil); got != c.want {
			t.Errorf("%s %.120s\n got %s\nwant %s", c.target, c.body, got, c.want)
		}
	}
}

// TestDecodeKeepsNothing changes the body after it was decoded, as a server that reuses buffers does.
func TestDecodeKeepsNothing(t *testing.T) {
	r := func(target string) *http.Request { return httptest.NewRequest("POST", target, nil) }
	for _, c := range []struct {
		op     *wire.Operation
		p      wire.Protocol
		target string
		body   string
	}{
		{sqs.API.Operation("SendMessage"), wire.JSON10, "/", `{"QueueUrl":"queue","MessageBody":"body","MessageAttributes":{"name":{"DataType":"Binary","BinaryValue":"AAEC","StringValue":"\u0041b"}}}`},
		{sqs.API.Operation("SendMessage"), wire.Query, "/", "QueueUrl=queue&MessageBody=a+body&MessageAttribute.1.Name=k&MessageAttribute.1.Value.DataType=String"},
		{dynamodb.API.Operation("PutItem"), wire.JSON10, "/", `{"TableName":"t","Item":{"key":{"S":"value"},"n":{"N":"12"},"b":{"B":"AAEC"},"m":{"M":{"x":{"SS":["a","b"]}}},"e":{"S":"\u0041"}}}`},
		{lambda.API.Operation("Invoke"), wire.RESTJSON, "/", `{"payload":1}`},
	} {
		body := []byte(c.body)
		in, err := wire.Decode(c.op, c.p, r(c.target), body, map[string]string{"FunctionName": "f"})
		if err != nil {
			t.Fatal(err)
		}
		before := string(wire.AppendJSON(nil, c.op.Input, in))
		for i := range body {
			body[i] = '#'
		}
		if after := string(wire.AppendJSON(nil, c.op.Input, in)); after != before {
			t.Errorf("%s: the input changed with the body: %s", c.op.Name, after)
		}
	}
}

func TestDecodeQuery(t *testing.T) {
	for _, c := range []struct{ action, body, want string }{
		{"SendMessage", "QueueUrl=q&MessageBody=a+b%26%C3%A9&DelaySeconds=3", `{"QueueUrl":"q","MessageBody":"a b&é","DelaySeconds":3}`},
		{"SendMessage", "QueueUrl=q&MessageBody=b&MessageAttribute.1.Name=k&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=",
			`{"QueueUrl":"q","MessageBody":"b","MessageAttributes":{"k":{"StringValue":"","DataType":"String"}}}`},
		{"CreateQueue", "QueueName=n&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5&Attribute.2.Name=VisibilityTimeout&Attribute.2.Value=1&Tag.1.Key=a&Tag.1.Value=b",
			`{"QueueName":"n","Attributes":{"DelaySeconds":"5","VisibilityTimeout":"1"},"tags":{"a":"b"}}`},
		{"GetQueueAttributes", "QueueUrl=q&AttributeName.10=c&AttributeName.2=b&AttributeName.1=a", `{"QueueUrl":"q","AttributeNames":["a","b","c"]}`},
		{"DeleteMessageBatch", "QueueUrl=q&DeleteMessageBatchRequestEntry.1.Id=x&DeleteMessageBatchRequestEntry.1.ReceiptHandle=h",
			`{"QueueUrl":"q","Entries":[{"Id":"x","ReceiptHandle":"h"}]}`},
		{"Publish", "Message=m&MessageAttributes.entry.1.Name=k&MessageAttributes.entry.1.Value.DataType=Binary&MessageAttributes.entry.1.Value.BinaryValue=AAE%3D",
			`{"Message":"m","MessageAttributes":{"k":{"DataType":"Binary","BinaryValue":"AAE="}}}`},
		{"CreateTopic", "Name=t&Attributes.entry.1.key=FifoTopic&Attributes.entry.1.value=true&Tags.member.1.Key=a&Tags.member.1.Value=",
			`{"Name":"t","Attributes":{"FifoTopic":"true"},"Tags":[{"Key":"a","Value":""}]}`},
		{"CreateUser", "UserName=ann&Path=%2Fteam%2F&Unknown.1.x=1", `{"Path":"/team/","UserName":"ann"}`},
		{"SimulateCustomPolicy", "PolicyInputList.member.1=%7B%7D&ActionNames.member.1=sqs%3ASendMessage&ResourceArns=",
			`{"PolicyInputList":["{}"],"ActionNames":["sqs:SendMessage"],"ResourceArns":[]}`},
		{"GetUser", "", `{}`},
		{"AssumeRole", "RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=s1&DurationSeconds=900", `{"RoleArn":"arn:aws:iam::123456789012:role/r","RoleSessionName":"s1","DurationSeconds":900}`},
		// What cannot be read, or breaks a constraint.
		{"SendMessage", "QueueUrl=q", `MissingParameter 400: The request must contain the parameter MessageBody.`},
		{"Publish", "", `InvalidParameterException 400: Invalid parameter: Message Reason: no value for required parameter`},
		{"SendMessage", "QueueUrl=q&MessageBody=b&DelaySeconds=soon", `MalformedInput 400: "soon" can not be converted to an Integer`},
		{"GetQueueAttributes", "QueueUrl=q&AttributeName.x=a", `MalformedInput 400: "x" is not the number of an element`},
		{"GetQueueAttributes", "QueueUrl=q&AttributeName.99999999999=a", `MalformedInput 400: "99999999999" is not the number of an element`},
		{"SendMessage", "QueueUrl=%zz", `MalformedInput 400: A parameter's value is not properly encoded`},
		{"SendMessage", "%zz=1", `MalformedInput 400: A parameter's name is not properly encoded`},
		{"SendMessage", "QueueUrl=%ff", `MalformedInput 400: The request is not valid UTF-8`},
		{"ListUsers", strings.Repeat("a=b&", 1<<15), `MalformedInput 400: The request has too many parameters`},
		{"CreateUser", "UserName=a+b", `ValidationError 400: 1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
		{"ListUsers", "MaxItems=0", `ValidationError 400: 1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1`},
		{"TagRole", "RoleName=r&Tags.member.1.Key=a", `ValidationError 400: 1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null`},
	} {
		op, ok := index.Action(c.action, "", "")
		if !ok {
			t.Fatalf("no operation %s", c.action)
		}
		r := httptest.NewRequest("POST", "/", nil)
		if got := decoded(op, wire.Query, r, "Action="+c.action+"&"+c.body, nil); got != c.want {
			t.Errorf("%s %.120s\n got %s\nwant %s", c.action, c.body, got, c.want)
		}
	}
}

func TestDecodeQueryFromURL(t *testing.T) {
	r := httptest.NewRequest("GET", "/?Action=GetUser&UserName=ann", nil)
	if got := decoded(iam.API.Operation("GetUser"), wire.Query, r, "", nil); got != `{"UserName":"ann"}` {
		t.Error(got)
	}
}

func TestDecodeREST(t *testing.T) {
	for _, c := range []struct{ signing, request, body, want string }{
		{"lambda", "POST /2015-03-31/functions/f/invocations?Qualifier=live", `{"a": 1}`, `Invoke {"FunctionName":"f","Payload":{"a": 1},"Qualifier":"live"}`},
		{"lambda", "POST /2015-03-31/functions/f/invocations", ``, `Invoke {"FunctionName":"f"}`},
		{"lambda", "POST /2015-03-31/functions/f/invocations", "\xff", `Invoke {"FunctionName":"f","Payload":"/w=="}`},
		{"lambda", "GET /2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af", ``,
			`GetFunction {"FunctionName":"arn:aws:lambda:us-east-1:123456789012:function:f"}`},
		{"lambda", "DELETE /2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af?tagKeys=a&tagKeys=b", ``,
			`UntagResource {"Resource":"arn:aws:lambda:us-east-1:123456789012:function:f","TagKeys":["a","b"]}`},
		{"lambda", "POST /2015-03-31/functions", `{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Runtime":"python3.14","Code":{"ZipFile":"UEs="},"Timeout":3}`,
			`CreateFunction {"FunctionName":"f","Runtime":"python3.14","Role":"arn:aws:iam::123456789012:role/r","Code":{"ZipFile":"UEs="},"Timeout":3}`},
		{"apigateway", "POST /v2/apis", `{"name":"n","protocolType":"HTTP","corsConfiguration":{"allowOrigins":["*"]},"Name":1}`,
			`CreateApi {"CorsConfiguration":{"AllowOrigins":["*"]},"Name":"n","ProtocolType":"HTTP"}`},
		{"apigateway", "GET /v2/apis/a1/routes/r1", ``, `GetRoute {"ApiId":"a1","RouteId":"r1"}`},
		{"apigateway", "DELETE /v2/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapis%2Fa1?tagKeys=k", ``,
			`UntagResource {"ResourceArn":"arn:aws:apigateway:us-east-1::/apis/a1","TagKeys":["k"]}`},
		// What cannot be read, or breaks a constraint.
		{"lambda", "POST /2015-03-31/functions", `{"FunctionName":`, `CreateFunction InvalidRequestContentException 400: Unexpected end of input`},
		{"lambda", "POST /2015-03-31/functions", `{"FunctionName":"f","Code":{},"Role":"arn:aws:iam::123456789012:role/r","Runtime":"cobol"}`,
			`CreateFunction ValidationException 400: 1 validation error detected: Value 'cobol' at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [`},
		{"lambda", "POST /2015-03-31/functions", `{}`, `CreateFunction ValidationException 400: 3 validation errors detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null; ` +
			`Value null at 'role' failed to satisfy constraint: Member must not be null; Value null at 'code' failed to satisfy constraint: Member must not be null`},
		{"lambda", "GET /2015-03-31/functions?MaxItems=many", ``, `ListFunctions InvalidRequestContentException 400: "many" can not be converted to an Integer`},
		{"lambda", "GET /2015-03-31/functions?Marker=%ff", ``, `ListFunctions InvalidRequestContentException 400: The request is not valid UTF-8`},
		{"apigateway", "POST /v2/apis", `{"name":"n","protocolType":7}`, `CreateApi BadRequestException 400: NUMBER_VALUE cannot be converted to String`},
	} {
		method, target, _ := strings.Cut(c.request, " ")
		r := httptest.NewRequest(method, target, nil)
		op, labels, ok := index.Path(c.signing, r)
		if !ok {
			t.Errorf("%s: no operation", c.request)
			continue
		}
		got := op.Name + " " + decoded(op, wire.RESTJSON, r, c.body, labels)
		if got != c.want && (!strings.HasSuffix(c.want, "[") || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s %s\n got %s\nwant %s", c.request, c.body, got, c.want)
		}
	}
}

func TestDecodeHeaders(t *testing.T) {
	r := httptest.NewRequest("POST", "/2015-03-31/functions/f/invocations", nil)
	r.Header.Set("X-Amz-Invocation-Type", "DryRun")
	r.Header.Set("X-Amz-Log-Type", "Tail")
	want := `{"FunctionName":"f","InvocationType":"DryRun","LogType":"Tail"}`
	op := lambda.API.Operation("Invoke")
	if got := decoded(op, wire.RESTJSON, r, "", map[string]string{"FunctionName": "f"}); got != want {
		t.Error(got)
	}
	r.Header.Set("X-Amz-Log-Type", "Head")
	want = `ValidationException 400: 1 validation error detected: Value 'Head' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]`
	if got := decoded(op, wire.RESTJSON, r, "", map[string]string{"FunctionName": "f"}); got != want {
		t.Error(got)
	}
}

func TestConstraints(t *testing.T) {
	for _, c := range []struct{ target, body, want string }{
		{"DynamoDB_20120810.GetItem", `{}`, `ValidationException 400: 2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; ` +
			`Value null at 'key' failed to satisfy constraint: Member must not be null`},
		{"DynamoDB_20120810.BatchGetItem", `{"RequestItems":{}}`, `ValidationException 400: 1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{"DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"t":{"Keys":[]}}}`, `ValidationException 400: 1 validation error detected: Value '[]' at 'requestItems.t.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{"DynamoDB_20120810.BatchWriteItem", `{"RequestItems":{"t":[]}}`, `ValidationException 400: 1 validation error detected: Value '{t=[]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: ` +
			`[Member must have length less than or equal to 25, Member must have length greater than or equal to 1]`},
		{"DynamoDB_20120810.ListTables", `{"Limit":101}`, `ValidationException 400: 1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100`},
		{"DynamoDB_20120810.UpdateItem", `{"TableName":"t","Key":{},"AttributeUpdates":{"a":{"Action":"ADDD"}}}`, `ValidationException 400: 1 validation error detected: Value 'ADDD' at 'attributeUpdates.a.member.action' failed to satisfy constraint: Member must satisfy enum value set: [ADD, PUT, DELETE]`},
		{"AWSEvents.PutEvents", `{"Entries":[]}`, `ValidationException 400: 1 validation error detected: Value '[]' at 'entries' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{"AWSEvents.TagResource", `{"ResourceARN":"a","Tags":[{"Key":"k"},null]}`, `ValidationException 400: 2 validation errors detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null; ` +
			`Value null at 'tags.2.member' failed to satisfy constraint: Member must not be null`},
		{"Logs_20140328.CreateLogGroup", `{"logGroupName":"a b"}`, `InvalidParameterException 400: 1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`},
		{"AmazonSQS.SendMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"1"}]}`, `MissingParameter 400: The request must contain the parameter Entries.1.MessageBody.`},
	} {
		op, p, _ := index.Target(c.target)
		r := httptest.NewRequest("POST", "/", nil)
		if got := decoded(op, p, r, c.body, nil); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.target, c.body, got, c.want)
		}
	}
}

func TestListConstraint(t *testing.T) {
	in := &lambda.CreateFunctionInput{FunctionName: "f", Role: "arn:aws:iam::123456789012:role/r", Layers: []string{"x"}}
	err := wire.Validate(lambda.API.Operation("CreateFunction"), in)
	want := "ValidationException: 1 validation error detected: Value '[x]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: " +
		`[Member must have length less than or equal to 140, Member must have length greater than or equal to 1, ` +
		`Member must satisfy regular expression pattern: arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+]`
	if err == nil || err.Error() != want {
		t.Errorf(" got %v\nwant %s", err, want)
	}
}

// TestSensitive keeps what the model calls sensitive out of messages.
func TestSensitive(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	got := decoded(iam.API.Operation("CreateLoginProfile"), wire.Query, r, "UserName=ann&Password=%01secret", nil)
	got += decoded(iam.API.Operation("ChangePassword"), wire.Query, r, "OldPassword=hidden%00&NewPassword=hidden%00", nil)
	if strings.Contains(got, "secret") || strings.Contains(got, "hidden") {
		t.Error(got)
	}
}

func TestValidateInProcess(t *testing.T) {
	op := sqs.API.Operation("SendMessageBatch")
	for _, c := range []struct {
		in   any
		want string
	}{
		{&sqs.SendMessageBatchInput{QueueUrl: "q", Entries: []sqs.SendMessageBatchRequestEntry{}}, ""},
		{&sqs.SendMessageBatchInput{QueueUrl: "q"}, "MissingParameter: The request must contain the parameter Entries."},
		{&sqs.SendMessageInput{}, "wire: sqs SendMessageBatch was given a *sqs.SendMessageInput"},
		{(*sqs.SendMessageBatchInput)(nil), "wire: sqs SendMessageBatch was given a *sqs.SendMessageBatchInput"},
	} {
		got := ""
		if err := wire.Validate(op, c.in); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%T: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParseInput(t *testing.T) {
	for _, c := range []struct{ op, doc, want string }{
		{"CreateApi", `{"Name":"n","ProtocolType":"HTTP"}`, `{"Name":"n","ProtocolType":"HTTP"}`},
		{"CreateApi", `{"name":"n"}`, `BadRequestException: 2 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; ` +
			`Value null at 'protocolType' failed to satisfy constraint: Member must not be null`},
		{"GetRoute", `{"ApiId":"a","RouteId":"r"}`, `{"ApiId":"a","RouteId":"r"}`},
	} {
		op := apigatewayv2.API.Operation(c.op)
		in, err := wire.ParseInput(op, []byte(c.doc))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = string(wire.AppendJSON(nil, op.Input, in))
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.doc, got, c.want)
		}
	}
}
