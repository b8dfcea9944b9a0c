package wire_test

import (
	"encoding/json"
	"hash/crc32"
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"fogbank/api/apigatewayv2"
	"fogbank/api/dynamodb"
	"fogbank/api/events"
	"fogbank/api/iam"
	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/wire"
	"fogbank/wire/attribute"
)

// answered runs Encode and shows the status, the content type and the body.
func answered(t *testing.T, api *wire.API, name string, p wire.Protocol, out any) (string, *httptest.ResponseRecorder) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := wire.Encode(w, api.Operation(name), p, out, "r-1"); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("X-Amzn-RequestId"); got != "r-1" {
		t.Errorf("%s: request id %q", name, got)
	}
	if n := w.Header().Get("Content-Length"); n != "" && n != strconv.Itoa(w.Body.Len()) {
		t.Errorf("%s: length %s of %d", name, n, w.Body.Len())
	}
	return strings.TrimSpace(strconv.Itoa(w.Code)+" "+w.Header().Get("Content-Type")) + " " + w.Body.String(), w
}

func TestEncode(t *testing.T) {
	at := time.Date(2023, 11, 14, 22, 13, 20, 125e6, time.UTC)
	messages := &sqs.ReceiveMessageOutput{Messages: []sqs.Message{
		{MessageId: new("m"), Body: new("a<b>&\"\r\n\x00é\xff"), Attributes: map[string]string{"b": "2", "a": "1"},
			MessageAttributes: map[string]sqs.MessageAttributeValue{"k": {DataType: "Binary", BinaryValue: []byte{0, 1}}}}}}
	for _, c := range []struct {
		api  *wire.API
		op   string
		p    wire.Protocol
		out  any
		want string
	}{
		{sqs.API, "ReceiveMessage", wire.JSON10, messages, "200 application/x-amz-json-1.0 " +
			`{"Messages":[{"MessageId":"m","Body":"a<b>&\"\r\n\u0000é` + "\uFFFD" + `","Attributes":{"a":"1","b":"2"},"MessageAttributes":{"k":{"BinaryValue":"AAE=","DataType":"Binary"}}}]}`},
		{sqs.API, "ReceiveMessage", wire.Query, messages, "200 text/xml " + `<ReceiveMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ReceiveMessageResult>` +
			"<Message><MessageId>m</MessageId><Body>a&lt;b&gt;&amp;&quot;&#xD;\n\uFFFDé\uFFFD</Body>" +
			"<Attribute><Name>a</Name><Value>1</Value></Attribute><Attribute><Name>b</Name><Value>2</Value></Attribute>" +
			"<MessageAttribute><Name>k</Name><Value><BinaryValue>AAE=</BinaryValue><DataType>Binary</DataType></Value></MessageAttribute></Message>" +
			`</ReceiveMessageResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></ReceiveMessageResponse>`},
		{sqs.API, "ReceiveMessage", wire.JSON10, (*sqs.ReceiveMessageOutput)(nil), "200 application/x-amz-json-1.0 {}"},
		{sqs.API, "DeleteMessage", wire.JSON10, &sqs.DeleteMessageOutput{}, "200 application/x-amz-json-1.0 {}"},
		{sqs.API, "DeleteMessage", wire.Query, &sqs.DeleteMessageOutput{}, "200 text/xml " +
			`<DeleteMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></DeleteMessageResponse>`},
		{sqs.API, "ListQueues", wire.Query, &sqs.ListQueuesOutput{QueueUrls: []string{"u", "v"}}, "200 text/xml " +
			`<ListQueuesResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ListQueuesResult><QueueUrl>u</QueueUrl><QueueUrl>v</QueueUrl></ListQueuesResult>` +
			`<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></ListQueuesResponse>`},
		{sns.API, "GetTopicAttributes", wire.Query, &sns.GetTopicAttributesOutput{Attributes: map[string]string{"Owner": "1"}}, "200 text/xml " +
			`<GetTopicAttributesResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><GetTopicAttributesResult><Attributes><entry><key>Owner</key><value>1</value></entry></Attributes>` +
			`</GetTopicAttributesResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetTopicAttributesResponse>`},
		{iam.API, "GetUser", wire.Query, &iam.GetUserOutput{User: iam.User{UserName: "ann", Path: "/", UserId: "AIDA", Arn: "arn:aws:iam::1:user/ann", CreateDate: at}}, "200 text/xml " +
			`<GetUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetUserResult><User><Path>/</Path><UserName>ann</UserName><UserId>AIDA</UserId><Arn>arn:aws:iam::1:user/ann</Arn>` +
			`<CreateDate>2023-11-14T22:13:20.125Z</CreateDate></User></GetUserResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetUserResponse>`},
		{iam.API, "GetAccessKeyLastUsed", wire.Query, &iam.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: &iam.AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}}, "200 text/xml " +
			`<GetAccessKeyLastUsedResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetAccessKeyLastUsedResult><AccessKeyLastUsed><ServiceName>N/A</ServiceName><Region>N/A</Region></AccessKeyLastUsed>` +
			`</GetAccessKeyLastUsedResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetAccessKeyLastUsedResponse>`},
		{events.API, "DescribeEventBus", wire.JSON11, &events.DescribeEventBusOutput{Name: new("b"), CreationTime: &at}, `200 application/x-amz-json-1.1 {"Name":"b","CreationTime":1700000000.125}`},
		{logs.API, "GetLogEvents", wire.JSON11, &logs.GetLogEventsOutput{Events: []logs.OutputLogEvent{}}, `200 application/x-amz-json-1.1 {"events":[]}`},
		{dynamodb.API, "DescribeTable", wire.JSON10, &dynamodb.DescribeTableOutput{Table: &dynamodb.TableDescription{ItemCount: new(int64(math.MaxInt64)), CreationDateTime: new(at.Truncate(time.Second))}},
			`200 application/x-amz-json-1.0 {"Table":{"CreationDateTime":1700000000,"ItemCount":9223372036854775807}}`},
		{dynamodb.API, "GetItem", wire.JSON10, &dynamodb.GetItemOutput{Item: attribute.MakeItem(attribute.Attribute{Name: "k", Value: attribute.S("v")}),
			ConsumedCapacity: &dynamodb.ConsumedCapacity{CapacityUnits: new(0.5)}}, `200 application/x-amz-json-1.0 {"Item":{"k":{"S":"v"}},"ConsumedCapacity":{"CapacityUnits":0.5}}`},
		{dynamodb.API, "GetItem", wire.JSON10, &dynamodb.GetItemOutput{}, `200 application/x-amz-json-1.0 {}`},
		{apigatewayv2.API, "CreateApi", wire.RESTJSON, &apigatewayv2.CreateApiOutput{ApiId: new("a"), CreatedDate: &at}, `201 application/json {"apiId":"a","createdDate":"2023-11-14T22:13:20.125Z"}`},
		{apigatewayv2.API, "DeleteApi", wire.RESTJSON, &apigatewayv2.DeleteApiOutput{}, "204 "},
		{lambda.API, "Invoke", wire.RESTJSON, &lambda.InvokeOutput{StatusCode: new(int32(200)), Payload: []byte(`"ok"`)}, `200 application/octet-stream "ok"`},
		{lambda.API, "Invoke", wire.RESTJSON, &lambda.InvokeOutput{StatusCode: new(int32(202))}, "202 "},
		{lambda.API, "Invoke", wire.RESTJSON, &lambda.InvokeOutput{StatusCode: new(int32(204)), Payload: []byte("x")}, "204 "},
		{lambda.API, "GetFunctionConcurrency", wire.RESTJSON, &lambda.GetFunctionConcurrencyOutput{}, "200 application/json {}"},
	} {
		if got, _ := answered(t, c.api, c.op, c.p, c.out); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.op, got, c.want)
		}
	}
}

func TestEncodeHeaders(t *testing.T) {
	_, w := answered(t, lambda.API, "Invoke", wire.RESTJSON, &lambda.InvokeOutput{FunctionError: new("Unhandled\r\nX: y"), ExecutedVersion: new("$LATEST")})
	if got := w.Header().Get("X-Amz-Function-Error"); got != "UnhandledX: y" {
		t.Errorf("function error %q", got)
	}
	if got := w.Header().Get("X-Amz-Executed-Version"); got != "$LATEST" {
		t.Errorf("version %q", got)
	}
}

func TestChecksum(t *testing.T) {
	_, w := answered(t, dynamodb.API, "ListTables", wire.JSON10, &dynamodb.ListTablesOutput{TableNames: []string{"t"}})
	want := strconv.FormatUint(uint64(crc32.ChecksumIEEE(w.Body.Bytes())), 10)
	if got := w.Header().Get("X-Amz-Crc32"); got != want {
		t.Errorf("checksum %q, want %q", got, want)
	}
	_, w = answered(t, sqs.API, "ListQueues", wire.JSON10, &sqs.ListQueuesOutput{})
	if got := w.Header().Get("X-Amz-Crc32"); got != "" {
		t.Errorf("a queue's answer has checksum %q", got)
	}
}

func TestEncodeError(t *testing.T) {
	cancelled := dynamodb.TransactionCanceledException("Transaction cancelled")
	cancelled.Detail = &dynamodb.TransactionCanceledExceptionDetail{CancellationReasons: []dynamodb.CancellationReason{{Code: new("None")}}}
	throttled := lambda.TooManyRequestsException("Rate Exceeded.")
	throttled.Detail = &lambda.TooManyRequestsExceptionDetail{RetryAfterSeconds: new("3"), Type: new("User"), Reason: new("ConcurrentInvocationLimitExceeded")}
	for _, c := range []struct {
		api    *wire.API
		p      wire.Protocol
		e      *aws.Error
		want   string
		header string // name: value
	}{
		{sqs.API, wire.JSON10, sqs.QueueDoesNotExist("The specified queue does not exist."), `400 application/x-amz-json-1.0 {"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`,
			"x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender"},
		{sqs.API, wire.JSON10, aws.Errorf("InternalFailure", 500, "no"), `500 application/x-amz-json-1.0 {"__type":"com.amazon.coral.service#InternalFailure","message":"no"}`, "x-amzn-query-error: InternalFailure;Receiver"},
		{sqs.API, wire.Query, sqs.QueueDoesNotExist("a<b"), `400 text/xml <ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><Error><Type>Sender</Type>` +
			`<Code>AWS.SimpleQueueService.NonExistentQueue</Code><Message>a&lt;b</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, ""},
		{sns.API, wire.Query, sns.NotFoundException("Topic does not exist"), `404 text/xml <ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>` +
			`<Code>NotFound</Code><Message>Topic does not exist</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, ""},
		{iam.API, wire.Query, aws.Errorf("NoSuchEntityException", 404, "gone"), `404 text/xml <ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>` +
			`<Code>NoSuchEntity</Code><Message>gone</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, ""},
		{dynamodb.API, wire.JSON10, dynamodb.ResourceNotFoundException("Requested resource not found"), `400 application/x-amz-json-1.0 {"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"Requested resource not found"}`, ""},
		{dynamodb.API, wire.JSON10, dynamodb.ValidationException("bad"), `400 application/x-amz-json-1.0 {"__type":"com.amazon.coral.validate#ValidationException","message":"bad"}`, ""},
		{dynamodb.API, wire.JSON10, cancelled, `400 application/x-amz-json-1.0 {"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"Transaction cancelled","CancellationReasons":[{"Code":"None"}]}`, ""},
		{events.API, wire.JSON11, events.ResourceNotFoundException("Rule r does not exist."), `400 application/x-amz-json-1.1 {"__type":"ResourceNotFoundException","message":"Rule r does not exist."}`, ""},
		{lambda.API, wire.RESTJSON, lambda.ResourceNotFoundException("Function not found: f"), `404 application/json {"Message":"Function not found: f","Type":"User"}`, "x-amzn-ErrorType: ResourceNotFoundException"},
		{lambda.API, wire.RESTJSON, lambda.ServiceException("no"), `500 application/json {"Message":"no","Type":"Service"}`, "x-amzn-ErrorType: ServiceException"},
		{lambda.API, wire.RESTJSON, throttled, `429 application/json {"message":"Rate Exceeded.","Type":"User","Reason":"ConcurrentInvocationLimitExceeded"}`, "Retry-After: 3"},
		{apigatewayv2.API, wire.RESTJSON, apigatewayv2.NotFoundException("Invalid API identifier specified"), `404 application/json {"message":"Invalid API identifier specified"}`, "x-amzn-ErrorType: NotFoundException"},
		{nil, wire.JSON10, aws.Errorf("UnknownOperationException", 400, ""), `400 application/x-amz-json-1.0 {"__type":"com.amazon.coral.service#UnknownOperationException","message":""}`, ""},
		{nil, wire.Query, aws.Errorf("InvalidAction", 400, "no"), `400 text/xml <ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>no</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, ""},
		{nil, wire.Query, sqs.QueueDoesNotExist("x"), `400 text/xml <ErrorResponse><Error><Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code><Message>x</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, ""},
		{nil, 0, &aws.Error{Code: "X"}, `400 application/x-amz-json-1.0 {"__type":"com.amazon.coral.service#X","message":""}`, ""},
	} {
		w := httptest.NewRecorder()
		if c.api == nil {
			wire.EncodeError(w, c.p, c.e, "r-1")
		} else {
			c.api.Operations[0].EncodeError(w, c.p, c.e, "r-1")
		}
		if got := strconv.Itoa(w.Code) + " " + w.Header().Get("Content-Type") + " " + w.Body.String(); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.e.Code, got, c.want)
		}
		if name, want, ok := strings.Cut(c.header, ": "); ok && w.Header().Get(name) != want {
			t.Errorf("%s: %s is %q, want %q", c.e.Code, name, w.Header().Get(name), want)
		}
	}
}

func TestAppendError(t *testing.T) {
	want := `{"__type":"ResourceNotFoundException","message":"gone","Type":"User"}`
	if got := string(wire.AppendError(nil, lambda.ResourceNotFoundException("gone"))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestStrings compares the strings written with what encoding/json reads back.
func TestStrings(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x300; r++ {
		all.WriteRune(r)
	}
	for _, s := range []string{"", "a", all.String(), "1234567\"", "12345678\\", "😀 \u2028\uFFFE", "\xff\xc3", strings.Repeat("x", 100) + "\n"} {
		out := &sqs.GetQueueUrlOutput{QueueUrl: &s}
		_, w := answered(t, sqs.API, "GetQueueUrl", wire.JSON10, out)
		var got struct{ QueueUrl string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.QueueUrl != strings.ToValidUTF8(strings.ReplaceAll(s, "\xff\xc3", "\uFFFD\uFFFD"), "\uFFFD") {
			t.Errorf("%q came back as %q, %v", s, got.QueueUrl, err)
		}
		in, err := wire.ParseJSON(sqs.API.Operation("GetQueueUrl").Output, w.Body.Bytes())
		if err != nil || in.(*sqs.GetQueueUrlOutput).GetQueueUrl() != got.QueueUrl {
			t.Errorf("%q was read as %v, %v", s, in, err)
		}
	}
}
