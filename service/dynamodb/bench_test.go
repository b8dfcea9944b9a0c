package dynamodb

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"fogbank/api/dynamodb"
	"fogbank/api/dynamodbstreams"
	"fogbank/wire"
)

var payload = `"payload":{"S":"` + strings.Repeat("x", 900) + `"},"n":{"N":"1234"},"tags":{"L":[{"S":"a"},{"S":"b"}]}`

// benchmark runs an operation from JSON to JSON, with its policy look-up, in as many goroutines as -cpu says.
func benchmark(b *testing.B, c *cloud, op string, input func(n int64) string) {
	o := dynamodb.API.Operation(op)
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		var out []byte
		for pb.Next() {
			in, err := wire.ParseInput(o, []byte(input(n.Add(1))))
			if err == nil {
				_, err = c.s.Access(c.ctx, o, in)
			}
			var answer any
			if err == nil {
				answer, err = o.Call(c.s, c.ctx, in)
			}
			if err != nil {
				b.Error(err)
				return
			}
			out = wire.AppendJSON(out[:0], o.Output, answer)
		}
	})
}

func BenchmarkGetItem(b *testing.B) {
	c := newCloud(b)
	c.ok("CreateTable", simpleTable+`}`)
	for i := range 1000 {
		c.ok("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"key-%d"},%s}}`, i, payload))
	}
	benchmark(b, c, "GetItem", func(n int64) string { return fmt.Sprintf(`{"TableName":"tbl","Key":{"p":{"S":"key-%d"}}}`, n%1000) })
}

func BenchmarkPutItem(b *testing.B) {
	c := newCloud(b)
	c.ok("CreateTable", simpleTable+`}`)
	benchmark(b, c, "PutItem", func(n int64) string {
		return fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"key-%d"},%s}}`, n%100_000, payload)
	})
}

func BenchmarkUpdateHot(b *testing.B) {
	c := newCloud(b)
	c.ok("CreateTable", simpleTable+`}`)
	benchmark(b, c, "UpdateItem", func(int64) string {
		return `{"TableName":"tbl","Key":{"p":{"S":"hot"}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}`
	})
}

func BenchmarkTransactWrite(b *testing.B) {
	c := newCloud(b)
	c.ok("CreateTable", simpleTable+`}`)
	benchmark(b, c, "TransactWriteItems", func(n int64) string {
		return fmt.Sprintf(`{"TransactItems":[{"Put":{"TableName":"tbl","Item":{"p":{"S":"key-%d"},%s}}},{"Put":{"TableName":"tbl","Item":{"p":{"S":"other-%d"},%s}}}]}`, n%10_000, payload, n%10_000, payload)
	})
}

func BenchmarkBatchWrite(b *testing.B) {
	c := newCloud(b)
	c.ok("CreateTable", simpleTable+`}`)
	benchmark(b, c, "BatchWriteItem", func(n int64) string {
		var list []string
		for i := range 25 {
			list = append(list, fmt.Sprintf(`{"PutRequest":{"Item":{"p":{"S":"key-%d-%d"},%s}}}`, n%1000, i, payload))
		}
		return `{"RequestItems":{"tbl":[` + strings.Join(list, ",") + `]}}`
	})
}

func BenchmarkQuery(b *testing.B) {
	c := newCloud(b)
	c.ok("CreateTable", sortedTable+`}`)
	for i := range 1000 {
		c.ok("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"part-%d"},"k":{"N":"%d"},%s}}`, i%50, i/50, payload))
	}
	benchmark(b, c, "Query", func(n int64) string {
		return fmt.Sprintf(`{"TableName":"tbl","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"part-%d"}}}`, n%50)
	})
}

// BenchmarkGetRecords reads the newest record of a stream's only shard, or finds that there is none.
func BenchmarkGetRecords(b *testing.B) {
	for _, records := range []uint64{0, 1} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			c := newCloud(b)
			c.ok("CreateTable", simpleTable+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}`)
			for i := range 1000 {
				c.ok("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"key-%d"},%s}}`, i, payload))
			}
			arn := c.ok("ListStreams", `{"TableName":"tbl"}`, "Streams", "StreamArn").(string)
			at := iterator{arn, 1, 1000 - records, c.s.world.Now()}.String()
			o := dynamodbstreams.API.Operation("GetRecords")
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				in, err := wire.ParseInput(o, []byte(`{"ShardIterator":"`+at+`"}`))
				var answer any
				if err == nil {
					answer, err = o.Call(c.s.Streams(), c.ctx, in)
				}
				if err != nil {
					b.Fatal(err)
				}
				if got := answer.(*dynamodbstreams.GetRecordsOutput); uint64(len(got.Records)) != records {
					b.Fatalf("%d records, want %d", len(got.Records), records)
				}
				out = wire.AppendJSON(out[:0], o.Output, answer)
			}
		})
	}
}
