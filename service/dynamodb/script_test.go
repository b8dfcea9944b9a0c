package dynamodb

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// cloud is a service on a store in memory, called with JSON.
type cloud struct {
	t   testing.TB
	s   *Service
	db  *store.DB
	ctx context.Context
}

func newCloud(t testing.TB) *cloud {
	w := world.Seeded(1)
	db := store.Memory(w)
	s := New(db, w)
	s.Start()
	t.Cleanup(func() {
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	call := &aws.Call{Account: "000000000000", Region: "us-east-1", RequestID: "r", Endpoint: "http://127.0.0.1:4566"}
	return &cloud{t, s, db, aws.WithCall(context.Background(), call)}
}

// call runs an operation and returns its answer, or "!" and the error.
func (c *cloud) call(op, input string) string {
	c.t.Helper()
	api, impl := dynamodb.API, any(c.s)
	o := api.Operation(op)
	if o == nil {
		api, impl = dynamodbstreams.API, c.s.Streams()
		o = api.Operation(op)
	}
	in, err := wire.ParseInput(o, []byte(input))
	var out any
	if err == nil {
		if _, err = c.access(o, in); err == nil {
			out, err = o.Call(impl, c.ctx, in)
		}
	}
	if err != nil {
		e := aws.AsError(err)
		if e.Code == "InternalFailure" {
			c.t.Fatalf("%s %s: %v", op, input, err)
		}
		text := "!" + e.Code + ": " + e.Message
		if e.Detail != nil {
			detail := e.Detail.(interface{ WireShape() *wire.Shape })
			text += " " + string(wire.AppendJSON(nil, detail.WireShape(), e.Detail))
		}
		return text
	}
	return string(wire.AppendJSON(nil, o.Output, out))
}

func (c *cloud) access(o *wire.Operation, in any) ([]aws.Access, error) {
	if o.API == dynamodb.API {
		return c.s.Access(c.ctx, o, in)
	}
	return c.s.Streams().Access(c.ctx, o, in)
}

// want runs an operation and compares the whole answer.
func (c *cloud) want(op, input, want string) {
	c.t.Helper()
	if got := c.call(op, input); got != want {
		c.t.Errorf("%s %s\n got %s\nwant %s", op, input, got, want)
	}
}

// ok runs an operation that must succeed and returns a member of its answer.
func (c *cloud) ok(op, input string, path ...string) any {
	c.t.Helper()
	got := c.call(op, input)
	if strings.HasPrefix(got, "!") {
		c.t.Fatalf("%s %s: %s", op, input, got)
	}
	var v any
	if err := json.Unmarshal([]byte(got), &v); err != nil {
		c.t.Fatalf("%s: %v", got, err)
	}
	for _, p := range path {
		if list, ok := v.([]any); ok {
			v = list[0]
		}
		v = v.(map[string]any)[p]
	}
	return v
}

// bubble runs f in virtual time.
func bubble(t *testing.T, f func(c *cloud)) {
	synctest.Test(t, func(t *testing.T) { f(newCloud(t)) })
}

const simpleTable = `{"TableName":"tbl","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"}],"KeySchema":[{"AttributeName":"p","KeyType":"HASH"}]`
const sortedTable = `{"TableName":"tbl","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"k","AttributeType":"N"}],
"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"k","KeyType":"RANGE"}]`

func TestItems(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", simpleTable+`}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"},"n":{"N":"1"}}}`, `{}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}}}`, `{"Item":{"n":{"N":"1"},"p":{"S":"a"}}}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"b"}}}`, `{}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"ProjectionExpression":"n"}`, `{"Item":{"n":{"N":"1"}}}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"ProjectionExpression":"x"}`, `{"Item":{}}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"N":"1"}}}`, `!ValidationException: The provided key element does not match the schema`)
		c.want("GetItem", `{"TableName":"nope","Key":{"p":{"N":"1"}}}`, `!ResourceNotFoundException: Requested resource not found`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"q":{"S":"a"}}}`, `!ValidationException: One or more parameter values were invalid: Missing the key p in the item`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"N":"5"}}}`, `!ValidationException: One or more parameter values were invalid: Type mismatch for key p expected: S actual: N`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":""}}}`, `!ValidationException: One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: p`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}},"ConditionExpression":"attribute_not_exists(p)"}`, `!ConditionalCheckFailedException: The conditional request failed`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}},"ConditionExpression":"attribute_not_exists(p)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`,
			`!ConditionalCheckFailedException: The conditional request failed {"Item":{"n":{"N":"1"},"p":{"S":"a"}}}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"},"n":{"N":"2"}},"ReturnValues":"ALL_OLD","ReturnConsumedCapacity":"TOTAL"}`,
			`{"Attributes":{"n":{"N":"1"},"p":{"S":"a"}},"ConsumedCapacity":{"TableName":"tbl","CapacityUnits":1}}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"UpdateExpression":"SET n = n + :one, m = :m","ExpressionAttributeValues":{":one":{"N":"1"},":m":{"M":{}}},"ReturnValues":"UPDATED_NEW"}`,
			`{"Attributes":{"m":{"M":{}},"n":{"N":"3"}}}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"UpdateExpression":"SET m.x = :one","ExpressionAttributeValues":{":one":{"N":"1"}},"ReturnValues":"UPDATED_OLD"}`, `{}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"z"}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}},"ReturnValues":"ALL_NEW"}`, `{"Attributes":{"n":{"N":"1"},"p":{"S":"z"}}}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"y"}},"UpdateExpression":"REMOVE n"}`, `{}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"y"}}}`, `{}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"y"}}}`, `{}`)
		c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"y"}}}`, `{"Item":{"p":{"S":"y"}}}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"UpdateExpression":"SET p = :v","ExpressionAttributeValues":{":v":{"S":"x"}}}`,
			`!ValidationException: One or more parameter values were invalid: Cannot update attribute p. This attribute is part of the key`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"UpdateExpression":"SET a = :v","AttributeUpdates":{"a":{"Value":{"S":"x"}}},"ExpressionAttributeValues":{":v":{"S":"x"}}}`,
			`!ValidationException: Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributeUpdates} Expression parameters: {UpdateExpression}`)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"z"}},"ReturnValues":"ALL_OLD"}`, `{"Attributes":{"n":{"N":"1"},"p":{"S":"z"}}}`)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"z"}},"ReturnValues":"ALL_OLD"}`, `{}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"big"},"x":{"S":"`+strings.Repeat("x", 400<<10)+`"}}}`, `!ValidationException: Item size has exceeded the maximum allowed size`)
	})
}

func TestLegacyParameters(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", simpleTable+`}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"},"n":{"N":"1"}},"Expected":{"p":{"Exists":false}}}`, `{}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}},"Expected":{"p":{"Exists":false}}}`, `!ConditionalCheckFailedException: The conditional request failed`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"AttributeUpdates":{"n":{"Action":"ADD","Value":{"N":"4"}},"s":{"Value":{"S":"x"}}},"Expected":{"n":{"Value":{"N":"1"}}},"ReturnValues":"ALL_NEW"}`,
			`{"Attributes":{"n":{"N":"5"},"p":{"S":"a"},"s":{"S":"x"}}}`)
		c.want("Query", `{"TableName":"tbl","KeyConditions":{"p":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}},"QueryFilter":{"n":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"4"}]}},"AttributesToGet":["n"]}`,
			`{"Items":[{"n":{"N":"5"}}],"Count":1,"ScannedCount":1}`)
		c.want("Scan", `{"TableName":"tbl","ScanFilter":{"n":{"ComparisonOperator":"NULL"}}}`, `{"Items":[],"Count":0,"ScannedCount":1}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"AttributeUpdates":{"s":{"Action":"ADD","Value":{"S":"x"}}}}`,
			`!ValidationException: One or more parameter values were invalid: ADD action is not supported for the type S`)
	})
}

func TestStreams(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", simpleTable+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`)
		arn := c.ok("ListStreams", `{"TableName":"tbl"}`, "Streams", "StreamArn").(string)
		shard := c.ok("DescribeStream", `{"StreamArn":"`+arn+`"}`, "StreamDescription", "Shards", "ShardId").(string)
		watch := c.db.Watch(arn + "/" + shard)
		changed := watch.Changed()
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"},"n":{"N":"1"}}}`, `{}`)
		<-changed
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"},"n":{"N":"1.0"}}}`, `{}`) // changes nothing
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}},"UpdateExpression":"ADD n :n","ExpressionAttributeValues":{":n":{"N":"1"}}}`, `{}`)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}}}`, `{}`)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}}}`, `{}`)
		at := func(how string) string {
			return c.ok("GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+shard+`",`+how+`}`, "ShardIterator").(string)
		}
		names := func(it string) (list []string, next string) {
			out := c.ok("GetRecords", `{"ShardIterator":"`+it+`"}`).(map[string]any)
			for _, r := range out["Records"].([]any) {
				d := r.(map[string]any)["dynamodb"]
				if d == nil {
					d = r.(map[string]any)["Dynamodb"]
				}
				list = append(list, r.(map[string]any)["eventName"].(string)+d.(map[string]any)["SequenceNumber"].(string)[18:])
			}
			next, _ = out["NextShardIterator"].(string)
			return list, next
		}
		horizon := at(`"ShardIteratorType":"TRIM_HORIZON"`)
		got, next := names(horizon)
		if want := "INSERT001 MODIFY002 REMOVE003"; strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
		latest := at(`"ShardIteratorType":"LATEST"`)
		for _, it := range []string{next, latest} {
			if got, _ := names(it); len(got) != 0 {
				t.Errorf("got %v", got)
			}
		}
		if got, _ := names(at(`"ShardIteratorType":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"100000000000000000002"`)); strings.Join(got, " ") != "REMOVE003" {
			t.Errorf("got %v", got)
		}
		time.Sleep(16 * time.Minute)
		if got := c.call("GetRecords", `{"ShardIterator":"`+latest+`"}`); !strings.HasPrefix(got, "!ExpiredIteratorException") {
			t.Errorf("got %s", got)
		}
		c.want("GetRecords", `{"ShardIterator":"`+strings.Replace(latest, "|1|A", "|1|B", 1)+`"}`, `!ValidationException: Invalid ShardIterator`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"b"}}}`, `{}`)
		time.Sleep(24*time.Hour - 10*time.Minute)
		c.want("GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+shard+`","ShardIteratorType":"AT_SEQUENCE_NUMBER","SequenceNumber":"100000000000000000003"}`,
			`!TrimmedDataAccessException: The operation attempted to read past the oldest stream record in a shard.`)
		if got, _ := names(at(`"ShardIteratorType":"TRIM_HORIZON"`)); strings.Join(got, " ") != "INSERT004" {
			t.Errorf("got %v", got)
		}
		c.ok("UpdateTable", `{"TableName":"tbl","StreamSpecification":{"StreamEnabled":false}}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"c"}}}`, `{}`)
		if got, next := names(at(`"ShardIteratorType":"TRIM_HORIZON"`)); strings.Join(got, " ") != "INSERT004" || next != "" {
			t.Errorf("got %v, next %q", got, next)
		}
		time.Sleep(25 * time.Hour)
		c.want("ListStreams", `{}`, `{"Streams":[]}`)
	})
}

func TestExpiry(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", simpleTable+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
		at := time.Now().Add(2 * time.Hour).Unix()
		number := func(n int64) string { b, _ := json.Marshal(n); return string(b) }
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"before"},"at":{"N":"`+number(at)+`"}}}`, `{}`)
		c.ok("UpdateTimeToLive", `{"TableName":"tbl","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"at"}}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"after"},"at":{"N":"`+number(at)+`"}}}`, `{}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"later"},"at":{"N":"`+number(at+7200)+`"}}}`, `{}`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"never"},"at":{"S":"soon"}}}`, `{}`)
		time.Sleep(time.Hour)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"never"}},"UpdateExpression":"SET x = :x","ExpressionAttributeValues":{":x":{"S":"x"}}}`, `{}`)
		if got := c.ok("Scan", `{"TableName":"tbl","Select":"COUNT"}`, "Count"); got != 4.0 {
			t.Errorf("%v items", got)
		}
		time.Sleep(62 * time.Minute)
		if got := c.ok("Scan", `{"TableName":"tbl","Select":"COUNT"}`, "Count"); got != 2.0 {
			t.Errorf("%v items", got)
		}
		arn := c.ok("ListStreams", `{"TableName":"tbl"}`, "Streams", "StreamArn").(string)
		shard := c.ok("DescribeStream", `{"StreamArn":"`+arn+`"}`, "StreamDescription", "Shards", "ShardId").(string)
		it := c.ok("GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+shard+`","ShardIteratorType":"TRIM_HORIZON"}`, "ShardIterator").(string)
		got := c.call("GetRecords", `{"ShardIterator":"`+it+`"}`)
		if n := strings.Count(got, `"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}`); n != 2 {
			t.Errorf("%d deletions by DynamoDB in %s", n, got)
		}
	})
}
