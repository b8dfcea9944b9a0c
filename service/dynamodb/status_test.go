package dynamodb

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// status is what DescribeTable says of the table tbl.
func (c *cloud) status() string {
	got := c.call("DescribeTable", `{"TableName":"tbl"}`)
	if _, rest, ok := strings.Cut(got, `"TableStatus":"`); ok {
		got, _, _ = strings.Cut(rest, `"`)
	}
	return got
}

const notThere = `!ResourceNotFoundException: Requested resource not found`

// A table whose transitions linger is CREATING, UPDATING and DELETING as long as that is, and refuses what AWS refuses.
func TestTransitions(t *testing.T) {
	bubble(t, func(c *cloud) {
		const get = `{"TableName":"tbl","Key":{"p":{"S":"a"}}}`
		const inUse = `!ResourceInUseException: Attempt to change a resource which is still in use: `
		update := func(read string) string {
			return `{"TableName":"tbl","BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":` + read + `,"WriteCapacityUnits":1}}`
		}
		is := func(want string) {
			t.Helper()
			if got := c.status(); got != want {
				t.Errorf("the table is %s, want %s", got, want)
			}
		}
		c.s.Linger(5 * time.Second)
		if got := c.ok("CreateTable", simpleTable+`}`, "TableDescription", "TableStatus"); got != "CREATING" {
			t.Errorf("CreateTable answers %s", got)
		}
		is("CREATING")
		c.want("ListTables", `{}`, `{"TableNames":["tbl"]}`)
		c.want("GetItem", get, notThere)
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}}}`, notThere)
		c.want("UpdateTimeToLive", `{"TableName":"tbl","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"at"}}`, notThere+`: Table: tbl not found`)
		c.want("CreateTable", simpleTable+`}`, inUse+`Table is being created: tbl`)
		c.want("UpdateTable", update("1"), inUse+`Table is being created: tbl`)
		c.want("DeleteTable", `{"TableName":"tbl"}`, inUse+`Table is being created: tbl`)
		time.Sleep(4 * time.Second)
		is("CREATING")
		time.Sleep(time.Second)
		synctest.Wait()
		is("ACTIVE")
		c.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}}}`, `{}`)

		if got := c.ok("UpdateTable", update("1"), "TableDescription", "TableStatus"); got != "UPDATING" {
			t.Errorf("UpdateTable answers %s", got)
		}
		is("UPDATING")
		c.want("GetItem", get, `{"Item":{"p":{"S":"a"}}}`)
		c.want("UpdateTable", update("2"), inUse+`Table IOPS are currently being updated. Table: tbl`)
		c.want("DeleteTable", `{"TableName":"tbl"}`, inUse+`Table: tbl is in the process of being updated.`)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		is("ACTIVE")

		if got := c.ok("DeleteTable", `{"TableName":"tbl"}`, "TableDescription", "TableStatus"); got != "DELETING" {
			t.Errorf("DeleteTable answers %s", got)
		}
		is("DELETING")
		c.want("GetItem", get, notThere)
		c.want("CreateTable", simpleTable+`}`, inUse+`Table is being deleted: tbl`)
		c.want("UpdateTable", update("2"), inUse+`Table is being deleted: tbl`)
		if got := c.ok("DeleteTable", `{"TableName":"tbl"}`, "TableDescription", "TableStatus"); got != "DELETING" {
			t.Errorf("a second DeleteTable answers %s", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		is(notThere + `: Table: tbl not found`)
		c.want("ListTables", `{}`, `{"TableNames":[]}`)
	})
}

// A new index of a table with more items than one transaction takes is filled in the background, with what is written and deleted
// meanwhile, and is ACTIVE then. Dropped before that, it leaves nothing behind.
func TestIndexOfManyItems(t *testing.T) {
	bubble(t, func(c *cloud) {
		const many = 3*atOnce + 7
		c.ok("CreateTable", simpleTable+`}`)
		put := func(n int, group string) {
			c.want("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"%d"},"g":{"S":"%s"}}}`, n, group), `{}`)
		}
		for n := range many {
			put(n, "old")
		}
		create := `{"TableName":"tbl","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"byGroup",
			"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}}]}`
		c.ok("UpdateTable", create)
		for n := range 100 {
			put(n, "new")
			c.want("DeleteItem", fmt.Sprintf(`{"TableName":"tbl","Key":{"p":{"S":"%d"}}}`, many-1-n), `{}`)
		}
		synctest.Wait()
		if got := c.status(); got != "ACTIVE" || !strings.Contains(c.call("DescribeTable", `{"TableName":"tbl"}`), `"IndexStatus":"ACTIVE"`) {
			t.Errorf("the table is %s: %s", got, c.call("DescribeTable", `{"TableName":"tbl"}`))
		}
		count := func(group string) any {
			return c.ok("Query", `{"TableName":"tbl","IndexName":"byGroup","Select":"COUNT","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"`+group+`"}}}`, "Count")
		}
		if old, new := count("old"), count("new"); old != float64(many-200) || new != 100.0 {
			t.Errorf("%v old and %v new items, want %d and 100", old, new, many-200)
		}
		drop := `{"TableName":"tbl","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"byGroup"}}]}`
		c.ok("UpdateTable", drop)
		c.s.Linger(time.Second)
		c.ok("UpdateTable", create)
		time.Sleep(time.Second)
		synctest.Wait()
		c.ok("UpdateTable", drop)
		time.Sleep(time.Second)
		synctest.Wait()
		left := 0
		err := c.db.View(c.ctx, func(tx *store.Tx) error {
			for range entries.Keys(tx, store.Range{}) {
				left++
			}
			return nil
		})
		if err != nil || left > 0 {
			t.Errorf("%d entries are left (%v)", left, err)
		}
	})
}

// A transition is over when its operation has answered, unless transitions linger: a waiter's first look succeeds.
func TestTransitionsEnd(t *testing.T) {
	c := newCloud(t)
	for range 20 {
		c.ok("CreateTable", simpleTable+`}`)
		if got := c.status(); got != "ACTIVE" {
			t.Fatalf("the new table is %s", got)
		}
		c.ok("UpdateTable", `{"TableName":"tbl","TableClass":"STANDARD"}`)
		if got := c.status(); got != "ACTIVE" {
			t.Fatalf("the changed table is %s", got)
		}
		c.ok("DeleteTable", `{"TableName":"tbl"}`)
		if got := c.status(); !strings.HasPrefix(got, notThere) {
			t.Fatalf("the deleted table is %s", got)
		}
	}
}

// A table keeps its status across a restart, and a transition that was cut short is ended afterwards.
func TestTransitionsSurviveRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		seed := uint64(0)
		ctx := aws.WithCall(context.Background(), &aws.Call{Account: "000000000000", Region: "us-east-1"})
		open := func(linger time.Duration) (c *cloud, stop func()) {
			seed++
			w := world.Seeded(seed)
			db, err := store.Open(store.Options{Dir: "db", FS: disk, World: w, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			c = &cloud{t, New(db, w), db, ctx}
			c.s.Linger(linger)
			c.s.Start()
			return c, func() {
				w.Stop()
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, step := range []struct{ op, input, during, after string }{
			{"CreateTable", simpleTable + `}`, "CREATING", "ACTIVE"},
			{"UpdateTable", `{"TableName":"tbl","TableClass":"STANDARD"}`, "UPDATING", "ACTIVE"},
			{"DeleteTable", `{"TableName":"tbl"}`, "DELETING", notThere + `: Table: tbl not found`},
		} {
			c, stop := open(time.Minute)
			c.ok(step.op, step.input)
			stop()
			c, stop = open(0)
			if got := c.status(); got != step.during {
				t.Errorf("after %s and a restart the table is %s", step.op, got)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := c.status(); got != step.after {
				t.Errorf("a minute after %s the table is %s", step.op, got)
			}
			stop()
		}
	})
}
