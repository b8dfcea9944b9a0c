package dynamodb

import (
	"strings"
	"testing"
	"testing/synctest"

	"fogbank/store"
)

const collectionTable = `{"TableName":"tbl","BillingMode":"PAY_PER_REQUEST",
"AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"k","AttributeType":"N"},{"AttributeName":"l","AttributeType":"S"}],
"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"k","KeyType":"RANGE"}],
"LocalSecondaryIndexes":[{"IndexName":"local","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["n"]}}]}`

// collectionSizes compares the kept size of every item collection of a table with what it holds.
func (c *cloud) collectionSizes(table string) {
	c.t.Helper()
	err := c.db.View(c.ctx, func(tx *store.Tx) error {
		t, err := schemaIn(tx, table)
		if err != nil {
			return err
		}
		want := map[store.Key]int64{}
		for key, item := range items.Scan(tx, store.Range{Prefix: t.prefix}) {
			want[t.collectionOf(key)] += int64(item.Size())
		}
		for _, x := range t.locals {
			for key, item := range entries.Scan(tx, store.Range{Prefix: x.prefix}) {
				want[t.prefix+key[len(x.prefix):len(x.prefix)+hashLength]] += int64(item.Size())
			}
		}
		for key, size := range collections.Scan(tx, store.Range{Prefix: t.prefix}) {
			if want[key] != size {
				c.t.Errorf("collection %q is kept as %d bytes, it has %d", key, size, want[key])
			}
			delete(want, key)
		}
		if len(want) > 0 && t.collected() {
			c.t.Errorf("collections without a size: %v", want)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// A collection is as large as its items and what local indexes project of them, and may not grow beyond its limit, whoever
// lets it grow; it may shrink.
func TestCollectionLimit(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", collectionTable)
		put := func(p, k, more string) string {
			return `{"TableName":"tbl","Item":{"p":{"S":"` + p + `"},"k":{"N":"` + k + `"}` + more + `}}`
		}
		text := func(n int) string { return `,"x":{"S":"` + strings.Repeat("x", n) + `"}` }
		// An item of p, k and x has 1+1 + 1+2 + 1+n bytes; with l it has 1+1 more, and the same again without x in the index.
		c.s.maxCollection = 1000
		c.want("PutItem", put("a", "1", text(494)), `{}`)                  // 500
		c.want("PutItem", put("a", "2", text(474)+`,"l":{"S":"1"}`), `{}`) // 482 + 7
		c.collectionSizes("tbl")
		const refused = `!ItemCollectionSizeLimitExceededException: Collection size exceeded.`
		c.want("PutItem", put("a", "3", text(1)), `{}`) // 7: 996
		c.want("PutItem", put("a", "3", text(5)), `{}`) // 11: 1000
		c.want("PutItem", put("a", "3", text(6)), refused)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"},"k":{"N":"1"}},"UpdateExpression":"SET y = :y","ExpressionAttributeValues":{":y":{"S":""}}}`, refused)
		c.want("BatchWriteItem", `{"RequestItems":{"tbl":[{"PutRequest":{"Item":{"p":{"S":"a"},"k":{"N":"4"}}}}]}}`, refused)
		c.want("ExecuteStatement", `{"Statement":"INSERT INTO tbl VALUE {'p':'a','k':4}"}`, refused)
		c.want("BatchExecuteStatement", `{"Statements":[{"Statement":"INSERT INTO tbl VALUE {'p':'a','k':4}"},{"Statement":"INSERT INTO tbl VALUE {'p':'b','k':4}"}]}`,
			`{"Responses":[{"Error":{"Code":"ItemCollectionSizeLimitExceeded","Message":"Collection size exceeded."}},{"TableName":"tbl"}]}`)
		c.want("TransactWriteItems", `{"TransactItems":[{"Put":`+put("c", "1", "")+`},{"Put":`+put("a", "4", "")+`}]}`,
			`!TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons [None, ItemCollectionSizeLimitExceeded] `+
				`{"CancellationReasons":[{"Code":"None"},{"Code":"ItemCollectionSizeLimitExceeded","Message":"Collection size exceeded."}]}`)
		c.collectionSizes("tbl")
		c.want("PutItem", put("a", "2", text(474)), `{}`) // the entry goes
		c.want("PutItem", put("a", "3", text(6)), `{}`)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"a"},"k":{"N":"1"}}}`, `{}`)
		c.collectionSizes("tbl")
		// A collection that has become too large, by a lower limit, may shrink.
		c.s.maxCollection = 10
		c.want("PutItem", put("a", "2", text(400)), `{}`)
		c.want("PutItem", put("a", "2", text(401)), refused)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"a"},"k":{"N":"2"}}}`, `{}`)
		c.collectionSizes("tbl")
	})
}

// SizeEstimateRangeGB tells between which whole numbers of GB a collection is.
func TestCollectionMetrics(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", collectionTable)
		put := `{"TableName":"tbl","Item":{"p":{"S":"a"},"k":{"N":"1"}},"ReturnItemCollectionMetrics":"SIZE"}`
		metrics := func(collection, estimate string) string {
			return `{"ItemCollectionKey":{"p":{"S":"` + collection + `"}},"SizeEstimateRangeGB":` + estimate + `}`
		}
		c.want("PutItem", put, `{"ItemCollectionMetrics":`+metrics("a", "[0,1]")+`}`)
		err := c.db.Update(c.ctx, func(tx *store.Tx) error { // seven GB and a half of other items
			tbl, err := schemaIn(tx, "tbl")
			if err != nil {
				return err
			}
			for key, size := range collections.Scan(tx, store.Range{Prefix: tbl.prefix}) {
				collections.Put(tx, key, size+15<<29)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.want("PutItem", put, `{"ItemCollectionMetrics":`+metrics("a", "[7,8]")+`}`)
		c.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"},"k":{"N":"2"}},"ReturnItemCollectionMetrics":"SIZE"}`, `{"ItemCollectionMetrics":`+metrics("a", "[7,8]")+`}`)
		c.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"a"},"k":{"N":"2"}},"ReturnItemCollectionMetrics":"SIZE"}`, `{"ItemCollectionMetrics":`+metrics("a", "[7,8]")+`}`)
		// Each collection is told of once.
		c.want("BatchWriteItem", `{"ReturnItemCollectionMetrics":"SIZE","RequestItems":{"tbl":[{"PutRequest":{"Item":{"p":{"S":"a"},"k":{"N":"2"}}}},
{"DeleteRequest":{"Key":{"p":{"S":"a"},"k":{"N":"1"}}}},{"PutRequest":{"Item":{"p":{"S":"b"},"k":{"N":"2"}}}}]}}`,
			`{"UnprocessedItems":{},"ItemCollectionMetrics":{"tbl":[`+metrics("a", "[7,8]")+`,`+metrics("b", "[0,1]")+`]}}`)
		c.want("TransactWriteItems", `{"ReturnItemCollectionMetrics":"SIZE","TransactItems":[{"Put":{"TableName":"tbl","Item":{"p":{"S":"b"},"k":{"N":"3"}}}},
{"ConditionCheck":{"TableName":"tbl","Key":{"p":{"S":"a"},"k":{"N":"2"}},"ConditionExpression":"attribute_exists(p)"}}]}`,
			`{"ItemCollectionMetrics":{"tbl":[`+metrics("b", "[0,1]")+`]}}`)
	})
}

// A restored table's collections have their sizes, and so has one that an older version made, from its next change on.
func TestCollectionsElsewhere(t *testing.T) {
	bubble(t, func(c *cloud) {
		c.ok("CreateTable", collectionTable)
		for _, item := range []string{`"p":{"S":"a"},"k":{"N":"1"}`, `"p":{"S":"a"},"k":{"N":"2"},"l":{"S":"x"},"n":{"N":"5"}`, `"p":{"S":"b"},"k":{"N":"1"}`} {
			c.ok("PutItem", `{"TableName":"tbl","Item":{`+item+`}}`)
		}
		arn := c.ok("CreateBackup", `{"TableName":"tbl","BackupName":"one"}`, "BackupDetails", "BackupArn").(string)
		synctest.Wait()
		c.ok("RestoreTableFromBackup", `{"TargetTableName":"again","BackupArn":"`+arn+`"}`)
		synctest.Wait()
		c.collectionSizes("again")
		err := c.db.Update(c.ctx, func(tx *store.Tx) error {
			for key := range collections.Scan(tx, store.Range{}) {
				collections.Delete(tx, key)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.ok("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"},"k":{"N":"3"}}}`)
		c.ok("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"b"},"k":{"N":"1"}}}`)
		c.collectionSizes("tbl")
	})
}
