package dynamodb

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// slowDisk is a service whose disk can be held up: then what is written waits to be synced, and is ongoing.
type slowDisk struct {
	*cloud
	gate chan struct{} // syncs wait until it is closed, once there is one
}

func newSlowDisk(t *testing.T) (d *slowDisk, stop func()) {
	d = &slowDisk{}
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if d.gate != nil && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") {
			<-d.gate
		}
		return nil
	}))
	w := world.Seeded(1)
	db, err := store.Open(store.Options{Dir: "/db", FS: disk, World: w, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.cloud = &cloud{t, New(db, w), db, aws.WithCall(context.Background(), &aws.Call{Account: "000000000000", Region: "us-east-1"})}
	return d, func() {
		w.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// begin runs an operation that waits for the disk; its answer comes when the disk is released.
func (d *slowDisk) begin(op, input string) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- d.call(op, input) }()
	synctest.Wait()
	return answer
}

const (
	writeAB = `{"ClientRequestToken":"ab","TransactItems":[{"Put":{"TableName":"tbl","Item":{"p":{"S":"a"}}}},{"Put":{"TableName":"tbl","Item":{"p":{"S":"b"}}}}]}`
	writeBC = `{"ClientRequestToken":"bc","TransactItems":[{"Put":{"TableName":"tbl","Item":{"p":{"S":"c"}}}},{"Update":{"TableName":"tbl","Key":{"p":{"S":"b"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"1"}}}}]}`
)

// What meets an ongoing transaction is refused as in AWS; what is done already, or meets nothing, is not.
func TestTransactionConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, stop := newSlowDisk(t)
		defer stop()
		d.ok("CreateTable", simpleTable+`}`)
		d.ok("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"free"}}}`)
		d.gate = make(chan struct{})
		first := d.begin("TransactWriteItems", writeAB)

		const cancelled = `!TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons `
		const reasons = ` {"CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}]}`
		const refused = `!TransactionConflictException: Transaction is ongoing for the item`
		d.want("TransactWriteItems", writeBC, cancelled+`[None, TransactionConflict]`+reasons)
		d.want("TransactWriteItems", writeAB, `!TransactionInProgressException: The transaction with the given request token is already in progress.`)
		d.want("TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"tbl","Key":{"p":{"S":"free"}}}},{"Get":{"TableName":"tbl","Key":{"p":{"S":"a"}}}}]}`,
			cancelled+`[None, TransactionConflict]`+reasons)
		d.want("ExecuteTransaction", `{"TransactStatements":[{"Statement":"SELECT * FROM tbl WHERE p='free'"},{"Statement":"SELECT * FROM tbl WHERE p='a'"}]}`,
			cancelled+`[None, TransactionConflict]`+reasons)
		d.want("ExecuteTransaction", `{"TransactStatements":[{"Statement":"INSERT INTO tbl VALUE {'p':'x'}"},{"Statement":"DELETE FROM tbl WHERE p='a'"}]}`,
			cancelled+`[None, TransactionConflict]`+reasons)
		d.want("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}}}`, refused)
		d.want("UpdateItem", `{"TableName":"tbl","Key":{"p":{"S":"a"}}}`, refused)
		d.want("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"b"}}}`, refused)
		d.want("ExecuteStatement", `{"Statement":"INSERT INTO tbl VALUE {'p':'a'}"}`, refused)
		d.want("BatchExecuteStatement", `{"Statements":[{"Statement":"DELETE FROM tbl WHERE p='a'"}]}`,
			`{"Responses":[{"Error":{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}}]}`)
		d.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"free"}}}`, `{"Item":{"p":{"S":"free"}}}`)
		other := d.begin("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"other"}}}`)

		close(d.gate)
		synctest.Wait()
		d.gate = nil
		for _, answer := range []<-chan string{first, other} {
			if got := <-answer; got != `{}` {
				t.Errorf("got %s", got)
			}
		}
		d.want("TransactWriteItems", writeBC, `{}`)

		// A repetition of what was done is no conflict, whatever goes on.
		d.gate = make(chan struct{})
		second := d.begin("DeleteItem", `{"TableName":"tbl","Key":{"p":{"S":"b"}}}`)
		third := d.begin("TransactWriteItems", strings.Replace(writeAB, `"ab"`, `"again"`, 1))
		repeated := d.begin("TransactWriteItems", writeAB)
		close(d.gate)
		synctest.Wait()
		d.gate = nil
		for _, answer := range []<-chan string{second, third, repeated} {
			if got := <-answer; got != `{}` {
				t.Errorf("got %s", got)
			}
		}
	})
}

// Transactions that may wait do.
func TestTransactionsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, stop := newSlowDisk(t)
		defer stop()
		d.s.Wait()
		d.ok("CreateTable", simpleTable+`}`)
		d.ok("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"free"}}}`) // now the table is on disk, ACTIVE
		d.gate = make(chan struct{})
		answers := []<-chan string{d.begin("TransactWriteItems", writeAB), d.begin("TransactWriteItems", writeBC), d.begin("TransactWriteItems", writeAB),
			d.begin("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"a"}}}`)}
		close(d.gate)
		synctest.Wait()
		d.gate = nil
		for _, answer := range answers {
			if got := <-answer; got != `{}` {
				t.Errorf("got %s", got)
			}
		}
		d.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"b"}}}`, `{"Item":{"n":{"N":"1"},"p":{"S":"b"}}}`)
	})
}
