package wire_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fogbank/api/dynamodb"
	"fogbank/api/sqs"
	"fogbank/wire"
)

// The bodies of the hot operations, of the size the published figures use.
var (
	sendBody = []byte(`{"QueueUrl":"http://127.0.0.1:4566/000000000000/orders","MessageBody":"` +
		strings.Repeat("an order of some size, ", 44) + `","MessageAttributes":{"kind":{"DataType":"String","StringValue":"order"}}}`)
	putBody = []byte(`{"TableName":"orders","Item":{"pk":{"S":"customer#1"},"sk":{"S":"order#2026-01-01"},"total":{"N":"12.50"},` +
		`"lines":{"L":[{"M":{"sku":{"S":"a-1"},"n":{"N":"2"}}},{"M":{"sku":{"S":"b-2"},"n":{"N":"1"}}}]},"note":{"S":"` +
		strings.Repeat("a note, ", 90) + `"}}}`)
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func benchmarkDecode(b *testing.B, op *wire.Operation, body []byte) {
	r := httptest.NewRequest("POST", "/", nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(op, wire.JSON10, r, body, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkStd decodes the same bytes as encoding/json does, for the ratio.
func benchmarkStd[T any](b *testing.B, body []byte) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := json.Unmarshal(body, new(T)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSendMessage(b *testing.B) {
	b.Run("wire", func(b *testing.B) { benchmarkDecode(b, sqs.API.Operation("SendMessage"), sendBody) })
	b.Run("std", func(b *testing.B) { benchmarkStd[sqs.SendMessageInput](b, sendBody) })
}

func BenchmarkDecodePutItem(b *testing.B) {
	b.Run("wire", func(b *testing.B) { benchmarkDecode(b, dynamodb.API.Operation("PutItem"), putBody) })
	b.Run("std", func(b *testing.B) {
		benchmarkStd[struct {
			TableName string
			Item      map[string]map[string]any
		}](b, putBody)
	})
}

func benchmarkEncode(b *testing.B, op *wire.Operation, p wire.Protocol, out any) {
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.Encode(w, op, p, out, "00000000-0000-0000-0000-000000000000"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeSendMessage(b *testing.B) {
	out := &sqs.SendMessageOutput{MessageId: new("5fea7756-0ea4-451a-a703-a558b933e274"),
		MD5OfMessageBody: new("fafb00f5732ab283681e124bf8747ed1"), MD5OfMessageAttributes: new("3ae8f24a165a8cedc005670c81a27295")}
	op := sqs.API.Operation("SendMessage")
	b.Run("wire", func(b *testing.B) { benchmarkEncode(b, op, wire.JSON10, out) })
	b.Run("query", func(b *testing.B) { benchmarkEncode(b, op, wire.Query, out) })
	b.Run("std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(out); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeGetItem(b *testing.B) {
	in, err := wire.Decode(dynamodb.API.Operation("PutItem"), wire.JSON10, httptest.NewRequest("POST", "/", nil), putBody, nil)
	if err != nil {
		b.Fatal(err)
	}
	item := in.(*dynamodb.PutItemInput).Item
	b.Run("wire", func(b *testing.B) {
		benchmarkEncode(b, dynamodb.API.Operation("GetItem"), wire.JSON10, &dynamodb.GetItemOutput{Item: item})
	})
	var std struct{ Item map[string]map[string]any }
	if err := json.Unmarshal(putBody, &std); err != nil {
		b.Fatal(err)
	}
	b.Run("std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(std); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	b.Run("target", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := index.Target("DynamoDB_20120810.GetItem"); !ok {
				b.Fatal("no such target")
			}
		}
	})
	b.Run("path", func(b *testing.B) {
		r := httptest.NewRequest("POST", "/2015-03-31/functions/orders/invocations", nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := index.Path("lambda", r); !ok {
				b.Fatal("no such path")
			}
		}
	})
}

func BenchmarkDecodeQuery(b *testing.B) {
	op := sqs.API.Operation("SendMessage")
	r := httptest.NewRequest("POST", "/", nil)
	body := []byte("Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2F127.0.0.1%2F1%2Fq&MessageBody=" + strings.Repeat("an+order+of+some+size%2C+", 44) +
		"&MessageAttribute.1.Name=kind&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=order")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(op, wire.Query, r, body, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeInvoke(b *testing.B) {
	op := lambdaAPI.Operation("Invoke")
	r := httptest.NewRequest("POST", "/2015-03-31/functions/orders/invocations", nil)
	labels := map[string]string{"FunctionName": "orders"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(op, wire.RESTJSON, r, []byte(`{"order":1}`), labels); err != nil {
			b.Fatal(err)
		}
	}
}
