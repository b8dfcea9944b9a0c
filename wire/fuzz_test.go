package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"fogbank/api/apigatewayv2"
	"fogbank/api/dynamodb"
	"fogbank/api/events"
	"fogbank/api/iam"
	"fogbank/api/lambda"
	"fogbank/api/sns"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/wire"
)

var (
	lambdaAPI     = lambda.API
	apigatewayAPI = apigatewayv2.API
)

// roundTrip checks that what was decoded can be written and read back the same.
func roundTrip(t *testing.T, op *wire.Operation, in any, err error) {
	t.Helper()
	if err != nil {
		if _, ok := errors.AsType[*aws.Error](err); !ok {
			t.Fatalf("%s: %v is not an aws.Error", op.Name, err)
		}
		return
	}
	doc := wire.AppendJSON(nil, op.Input, in)
	if !json.Valid(doc) {
		t.Fatalf("%s: not JSON: %s", op.Name, doc)
	}
	again, err := wire.ParseJSON(op.Input, doc)
	if err != nil {
		t.Fatalf("%s: %v in %s", op.Name, err, doc)
	}
	if second := wire.AppendJSON(nil, op.Input, again); !bytes.Equal(doc, second) {
		t.Fatalf("%s: %s became %s", op.Name, doc, second)
	}
	wire.AppendError(nil, aws.AsError(wire.Validate(op, in)))
}

func FuzzJSON(f *testing.F) {
	ops := []*wire.Operation{sqs.API.Operation("SendMessage"), sqs.API.Operation("SendMessageBatch"), dynamodb.API.Operation("CreateTable"),
		dynamodb.API.Operation("TransactWriteItems"), events.API.Operation("PutTargets"), events.API.Operation("PutEvents")}
	f.Add(0, sendBody)
	f.Add(3, putBody)
	f.Add(5, []byte(`{"Entries":[{"Time":1.5e9,"Detail":"{}","Resources":["a",null]}]}`))
	f.Add(1, []byte(`{"QueueUrl":"\ud83d\ude00","Entries":[{"Id":"1","MessageBody":"b","DelaySeconds":1.0}]}`))
	f.Fuzz(func(t *testing.T, n int, body []byte) {
		op := ops[uint(n)%uint(len(ops))]
		in, err := wire.Decode(op, wire.JSON10, httptest.NewRequest("POST", "/", nil), body, nil)
		if err == nil && len(body) > 0 && !json.Valid(body) {
			t.Fatalf("%q is not JSON", body)
		}
		roundTrip(t, op, in, err)
	})
}

func FuzzQuery(f *testing.F) {
	ops := []*wire.Operation{sqs.API.Operation("SendMessageBatch"), sqs.API.Operation("CreateQueue"), sns.API.Operation("PublishBatch"),
		iam.API.Operation("CreateRole"), iam.API.Operation("SimulateCustomPolicy")}
	f.Add(0, "QueueUrl=q&SendMessageBatchRequestEntry.1.Id=1&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n", "")
	f.Add(1, "QueueName=q&Attribute.1.Name=a&Attribute.1.Value=b&Tag.1.Key=%C3%A9", "Version=1")
	f.Add(2, "TopicArn=t&PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.BinaryValue=AA%3D%3D", "")
	f.Add(4, "ContextEntries.member.1.ContextKeyValues.member.1=v", "")
	f.Fuzz(func(t *testing.T, n int, body, query string) {
		op := ops[uint(n)%uint(len(ops))]
		r := &http.Request{Method: "POST", URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}}
		in, err := wire.Decode(op, wire.Query, r, []byte(body), nil)
		roundTrip(t, op, in, err)
	})
}

func FuzzREST(f *testing.F) {
	f.Add("POST", "/2015-03-31/functions/f/invocations", "Qualifier=1", `{"a":1}`, "Event")
	f.Add("GET", "/2018-10-31/layers", "find=LayerVersion&Arn=x", "", "")
	f.Add("POST", "/v2/apis/a/routes", "", `{"routeKey":"GET /x"}`, "")
	f.Add("DELETE", "/v2/tags/a%2Fb", "tagKeys=a&tagKeys=b", "", "")
	f.Fuzz(func(t *testing.T, method, path, query, body, header string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}}
		r.Header["X-Amz-Invocation-Type"] = []string{header}
		for _, signing := range []string{"lambda", "apigateway", ""} {
			op, labels, ok := index.Path(signing, r)
			if !ok {
				continue
			}
			in, err := wire.Decode(op, wire.RESTJSON, r, []byte(body), labels)
			roundTrip(t, op, in, err)
		}
	})
}

func FuzzPaths(f *testing.F) {
	op := func(path string) *wire.Operation { return &wire.Operation{Method: "GET", Path: path} }
	p := wire.NewPaths(op("/a/{x}"), op("/a/{x+}"), op("/{y+}/b"), op("/a/b?c=d"))
	f.Add("/a/b", "c=d")
	f.Add("/a/%2F/b//", "")
	f.Fuzz(func(t *testing.T, path, query string) {
		values, _ := url.ParseQuery(query)
		if op, labels, ok := p.Match("GET", path, values); ok && op.Path != "/a/b?c=d" && len(labels) != 1 {
			t.Fatalf("%s matched %s with %v", path, op.Path, labels)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	s := lambda.API.Operation("CreateEventSourceMapping").Input
	f.Add([]byte(`{"FunctionName":"f","StartingPositionTimestamp":1.5,"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := wire.ParseJSON(s, doc)
		if err != nil {
			return
		}
		if out := wire.AppendJSON(nil, s, v); !json.Valid(out) {
			t.Fatalf("%q became %q", doc, out)
		}
	})
}
