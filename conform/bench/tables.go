package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	loadedItems = 10_000
	partitions  = 200
)

// dynamodb measures the operations on items, all with 64 clients.
func (b *bench) dynamodb() error {
	s, err := b.server("dynamodb")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	if err := fillTables(c); err != nil {
		return err
	}
	if err := b.handlerRates(); err != nil {
		return err
	}
	value := strings.Repeat("x", 1000)
	gets, puts, queries, pairs := make([]*signed, 2000), make([]*signed, 2000), make([]*signed, partitions), make([]*signed, 2000)
	keys, counters := rand.Perm(loadedItems), rand.Perm(loadedItems) // each once: transactions that meet are cancelled
	for i := range gets {
		key := keys[i]
		forms := []struct {
			to                 **signed
			operation, request string
		}{
			{&gets[i], "GetItem", fmt.Sprintf(`{"TableName":"items","Key":{"k":{"S":"k%06d"}}}`, key)},
			{&puts[i], "PutItem", fmt.Sprintf(`{"TableName":"items","Item":{"k":{"S":"k%06d"},"v":{"S":"%s"}}}`, key, value)},
			{&queries[i%partitions], "Query", fmt.Sprintf(`{"TableName":"lists","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"p%d"}}}`, i%partitions)},
			{&pairs[i], "TransactWriteItems", fmt.Sprintf(`{"TransactItems":[{"Put":{"TableName":"items","Item":{"k":{"S":"k%06d"},"v":{"S":"%s"}}}},`+
				`{"Update":{"TableName":"items","Key":{"k":{"S":"u%06d"}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}}]}`, key, value, counters[i])},
		}
		for _, f := range forms {
			if *f.to, err = c.json("dynamodb", "DynamoDB_20120810."+f.operation, f.request); err != nil {
				return err
			}
		}
	}
	hot, err := c.json("dynamodb", "DynamoDB_20120810.UpdateItem",
		`{"TableName":"items","Key":{"k":{"S":"hot"}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}`)
	if err != nil {
		return err
	}
	batches, err := batchesOf25(c, value)
	if err != nil {
		return err
	}
	rates := make([]float64, 6)
	for i, list := range [][]*signed{gets, puts, {hot}, queries, pairs, batches} {
		if rates[i], err = c.cycle(crowd, list); err != nil {
			return err
		}
	}
	b.rate("GetItem, 64 clients", "≥ 65 % of the handler", rates[0], b.rate64, "the handler")
	b.rate("PutItem, 64 clients, durable", "≥ 50 % of the handler", rates[1], b.rate64, "the handler")
	b.rate("UpdateItem ADD on one hot item, 64 clients", "≥ 50 % of PutItem", rates[2], rates[1], "PutItem")
	b.rate("Query of 20 items, 64 clients", "≥ 25 % of the handler", rates[3], b.rate64, "the handler")
	b.rate("TransactWriteItems of 2, 64 clients", "≥ 50 % of PutItem", rates[4], rates[1], "PutItem")
	b.add("BatchWriteItem of 25, 64 clients", "≥ 5 × PutItem in items/s", fmt.Sprintf("%.0f items/s", 25*rates[5]), fmt.Sprintf("%.1f × PutItem", 25*rates[5]/rates[1]))
	return nil
}

// fillTables makes items, of 1 KiB each, and lists, with partitions of 20 small ones.
func fillTables(c *caller) error {
	for _, create := range []string{
		`{"TableName":"items","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`,
		`{"TableName":"lists","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"s","AttributeType":"N"}],` +
			`"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"s","KeyType":"RANGE"}]}`,
	} {
		if _, err := c.post("dynamodb", "DynamoDB_20120810.CreateTable", create); err != nil {
			return err
		}
	}
	value, small := strings.Repeat("x", 1000), strings.Repeat("y", 230)
	for at := 0; at < loadedItems; at += 25 {
		if err := putBatch(c, "items", 25, func(i int) string {
			return fmt.Sprintf(`{"k":{"S":"k%06d"},"v":{"S":"%s"}}`, at+i, value)
		}); err != nil {
			return err
		}
	}
	for p := range partitions {
		if err := putBatch(c, "lists", 20, func(i int) string {
			return fmt.Sprintf(`{"p":{"S":"p%d"},"s":{"N":"%d"},"v":{"S":"%s"}}`, p, i, small)
		}); err != nil {
			return err
		}
	}
	return nil
}

func putBatch(c *caller, table string, n int, item func(i int) string) error {
	out, err := c.post("dynamodb", "DynamoDB_20120810.BatchWriteItem", batchOf(table, n, item))
	if err == nil && !strings.Contains(string(out), `"UnprocessedItems":{}`) {
		err = fmt.Errorf("a batch was not processed whole: %.300s", out)
	}
	return err
}

func batchOf(table string, n int, item func(i int) string) string {
	var t strings.Builder
	t.WriteString(`{"RequestItems":{"` + table + `":[`)
	for i := range n {
		if i > 0 {
			t.WriteByte(',')
		}
		t.WriteString(`{"PutRequest":{"Item":` + item(i) + `}}`)
	}
	t.WriteString(`]}}`)
	return t.String()
}

func batchesOf25(c *caller, value string) (list []*signed, err error) {
	for range 200 {
		keys := rand.Perm(loadedItems)
		s, err := c.json("dynamodb", "DynamoDB_20120810.BatchWriteItem", batchOf("items", 25, func(i int) string {
			return fmt.Sprintf(`{"k":{"S":"k%06d"},"v":{"S":"%s"}}`, keys[i], value)
		}))
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// streams measures from sending a write until the stream, read without a pause, has it.
func (b *bench) streams() error {
	s, err := b.server("streams")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	made, err := c.post("dynamodb", "DynamoDB_20120810.CreateTable", `{"TableName":"streamed","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],`+
		`"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`)
	if err != nil {
		return err
	}
	iterator, err := firstIterator(c, made)
	if err != nil {
		return err
	}
	floor, err := startFloor(b.dir, "", 0)
	if err != nil {
		return err
	}
	defer floor.stop()
	follow := func(c *caller, iterator string) func() (float64, error) {
		n := 0
		return func() (float64, error) {
			n++
			put, err := c.json("dynamodb", "DynamoDB_20120810.PutItem", fmt.Sprintf(`{"TableName":"streamed","Item":{"k":{"S":"k%d"},"v":{"S":"%s"}}}`, n, strings.Repeat("x", 1000)))
			if err != nil {
				return 0, err
			}
			sent, begin := make(chan error, 1), time.Now()
			go func() { _, err := c.send(put); sent <- err }()
			if iterator, err = readUntil(c, iterator, fmt.Sprintf(`"k%d"`, n)); err != nil {
				return 0, err
			}
			ms := float64(time.Since(begin).Microseconds()) / 1000
			return ms, <-sent
		}
	}
	lags, err := inTurn(600, follow(c, iterator), follow(floor.caller, "first"))
	if err != nil {
		return err
	}
	all, bare := lags[0], at(lags[1], 50)
	b.add("write sent → readable in the stream", "p50 ≤ 0.5 ms, p99 ≤ 5 ms", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", at(all, 50), at(all, 99)),
		fmt.Sprintf("p50 is %.2f × the floor (%.2f ms)", at(all, 50)/bare, bare))
	return nil
}

func firstIterator(c *caller, table []byte) (string, error) {
	var made struct {
		TableDescription struct{ LatestStreamArn string }
	}
	var described struct {
		StreamDescription struct{ Shards []struct{ ShardId string } }
	}
	var got struct{ ShardIterator string }
	if err := json.Unmarshal(table, &made); err != nil {
		return "", err
	}
	arn := made.TableDescription.LatestStreamArn
	out, err := c.post("dynamodb", "DynamoDBStreams_20120810.DescribeStream", `{"StreamArn":"`+arn+`"}`)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(out, &described); err != nil || len(described.StreamDescription.Shards) == 0 {
		return "", fmt.Errorf("no shards in %.300s (%v)", out, err)
	}
	out, err = c.post("dynamodb", "DynamoDBStreams_20120810.GetShardIterator",
		`{"StreamArn":"`+arn+`","ShardId":"`+described.StreamDescription.Shards[0].ShardId+`","ShardIteratorType":"TRIM_HORIZON"}`)
	if err != nil {
		return "", err
	}
	err = json.Unmarshal(out, &got)
	return got.ShardIterator, err
}

// readUntil reads records until one holds text, and returns where to go on.
func readUntil(c *caller, iterator, text string) (string, error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		out, err := c.post("dynamodb", "DynamoDBStreams_20120810.GetRecords", `{"ShardIterator":"`+iterator+`"}`)
		if err != nil {
			return "", err
		}
		var got struct{ NextShardIterator string }
		if err := json.Unmarshal(out, &got); err != nil {
			return "", err
		}
		if iterator = got.NextShardIterator; strings.Contains(string(out), text) {
			return iterator, nil
		}
	}
	return "", fmt.Errorf("%s did not come", text)
}
