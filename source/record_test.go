package source

import (
	"testing"

	"fogbank/api/sqs"
)

func TestQueueRecord(t *testing.T) {
	got := string(mustJSON(record("arn:aws:sqs:eu-west-1:000000000000:q", &sqs.Message{MessageId: new("id"), ReceiptHandle: new("h"), Body: new("grüße"), MD5OfBody: new("md5"),
		Attributes: map[string]string{"SentTimestamp": "1"}, MessageAttributes: map[string]sqs.MessageAttributeValue{
			"s": {DataType: "String", StringValue: new("v")}, "b": {DataType: "Binary", BinaryValue: []byte{1, 2}}}})))
	want := `{"messageId":"id","receiptHandle":"h","body":"grüße","attributes":{"SentTimestamp":"1"},"messageAttributes":{` +
		`"b":{"binaryValue":"AQI=","stringListValues":[],"binaryListValues":[],"dataType":"Binary"},` +
		`"s":{"stringValue":"v","stringListValues":[],"binaryListValues":[],"dataType":"String"}},"md5OfBody":"md5",` +
		`"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:000000000000:q","awsRegion":"eu-west-1"}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestFailedItems(t *testing.T) {
	for _, test := range []struct {
		answer string
		failed []string
		ok     bool
	}{
		{``, nil, true},
		{`null`, nil, true},
		{`""`, nil, true},
		{`{}`, nil, true},
		{`{"batchItemFailures":[]}`, nil, true},
		{`{"batchItemFailures":null}`, nil, true},
		{`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}`, []string{"a", "b"}, true},
		{`{"batchItemFailures":[{"itemIdentifier":""}]}`, nil, false},
		{`{"batchItemFailures":[{"itemIdentifier":null}]}`, nil, false},
		{`{"batchItemFailures":[{"wrongKey":"a"}]}`, nil, false},
		{`{"batchItemFailures":"a"}`, nil, false},
		{`"text"`, nil, false},
		{`not JSON`, nil, false},
	} {
		failed, ok := FailedItems([]byte(test.answer))
		if ok != test.ok || len(failed) != len(test.failed) {
			t.Errorf("%s: %v %v", test.answer, failed, ok)
		}
		for _, id := range test.failed {
			if !failed[id] {
				t.Errorf("%s: %s did not fail", test.answer, id)
			}
		}
	}
}

func FuzzFailedItems(f *testing.F) {
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":"a"}]}`))
	f.Add([]byte(`""`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, failed := FirstFailed(b, 3, func(i int) string { return string(rune('a' + i)) }); n < 0 || n > 3 || failed == (n == 3) {
			t.Errorf("%q: %d %v", b, n, failed)
		}
	})
}
