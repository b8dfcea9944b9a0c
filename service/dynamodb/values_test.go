package dynamodb

import (
	"strings"
	"testing"
)

// What is wrong with the form of a value is told before anything else, in the words of DynamoDB.
func TestMalformedValues(t *testing.T) {
	bubble(t, func(c *cloud) {
		nested := func(n int) string {
			return `{"TableName":"tbl","Item":{"p":{"S":"x"},"v":` + strings.Repeat(`{"L":[`, n) + `{"S":"x"}` + strings.Repeat(`]}`, n) + `}}`
		}
		c.ok("CreateTable", simpleTable+`}`)
		c.want("PutItem", nested(31), `{}`)
		c.want("PutItem", nested(32), `!ValidationException: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":1}}}`, `!SerializationException: NUMBER_VALUE cannot be converted to String`)
		c.want("PutItem", `{"TableName":"tbl","Item":[]}`, `!SerializationException: Start of list found where not expected`)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"B":"a"}}}`, `!SerializationException: Base64 encoded length is expected a multiple of 4 bytes but found: 1`)
		// An update must not nest deeper than an item may.
		deep := "v" + strings.Repeat("[0]", 31)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"x"}},"UpdateExpression":"SET `+deep+` = :l","ExpressionAttributeValues":{":l":{"L":[]}}}`,
			`!ValidationException: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit`)
	})
}

// A page ends at 1 MB, before the item that would make it larger, and at the limit.
func TestPages(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", sortedTable+`}`)
		for _, k := range []string{"1", "2", "3", "4"} {
			c.ok("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"x"},"k":{"N":"`+k+`"},"v":{"S":"`+strings.Repeat("v", 300<<10)+`"}}}`)
		}
		query := `{"TableName":"tbl","KeyConditionExpression":"p = :p","FilterExpression":"size(v) < :p2","ExpressionAttributeValues":{":p":{"S":"x"},":p2":{"N":"1"}}`
		c.want("Query", query+`}`, `{"Items":[],"Count":0,"ScannedCount":3,"LastEvaluatedKey":{"k":{"N":"3"},"p":{"S":"x"}}}`)
		c.want("Query", query+`,"ScanIndexForward":false}`, `{"Items":[],"Count":0,"ScannedCount":3,"LastEvaluatedKey":{"k":{"N":"2"},"p":{"S":"x"}}}`)
		c.want("Query", query+`,"ExclusiveStartKey":{"k":{"N":"3"},"p":{"S":"x"}}}`, `{"Items":[],"Count":0,"ScannedCount":1}`)
		c.want("Query", query+`,"Limit":2,"ReturnConsumedCapacity":"TOTAL"}`,
			`{"Items":[],"Count":0,"ScannedCount":2,"LastEvaluatedKey":{"k":{"N":"2"},"p":{"S":"x"}},"ConsumedCapacity":{"TableName":"tbl","CapacityUnits":75.5}}`)
	})
}
