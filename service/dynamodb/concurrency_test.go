package dynamodb

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Concurrent conditional writes of one item are as though one after another: each takes the number the
// condition names, so none is taken twice and none left out.
func TestConditionalWritesAreLinear(t *testing.T) {
	c := newCloud(t)
	c.ok("CreateTable", simpleTable+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}`)
	c.ok("PutItem", `{"TableName":"tbl","Item":{"p":{"S":"x"},"n":{"N":"0"}}}`)
	const workers, each = 8, 20
	var wg sync.WaitGroup
	taken := make([]map[string]bool, workers)
	for w := range workers {
		taken[w] = map[string]bool{}
		wg.Go(func() {
			seen := 0
			for len(taken[w]) < each {
				got := c.call("UpdateItem", fmt.Sprintf(`{"TableName":"tbl","Key":{"p":{"S":"x"}},"UpdateExpression":"SET n = n + :one","ConditionExpression":"n = :n",
"ExpressionAttributeValues":{":one":{"N":"1"},":n":{"N":"%d"}},"ReturnValues":"UPDATED_NEW","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`, seen))
				_, rest, ok := strings.Cut(got, `"n":{"N":"`)
				if !ok {
					t.Errorf("got %s", got)
					return
				}
				number, _, _ := strings.Cut(rest, `"`)
				if strings.HasPrefix(got, "{") {
					taken[w][number] = true
				}
				fmt.Sscan(number, &seen)
			}
		})
	}
	wg.Wait()
	all := map[string]bool{}
	for _, m := range taken {
		for n := range m {
			if all[n] {
				t.Errorf("%s was taken twice", n)
			}
			all[n] = true
		}
	}
	if len(all) != workers*each {
		t.Errorf("%d numbers were taken, want %d", len(all), workers*each)
	}
	c.want("GetItem", `{"TableName":"tbl","Key":{"p":{"S":"x"}},"ProjectionExpression":"n"}`, fmt.Sprintf(`{"Item":{"n":{"N":"%d"}}}`, workers*each))
}

// Money is moved between accounts by transactions; whoever looks at all accounts together always sees the same sum.
func TestTransactionsAreSerializable(t *testing.T) {
	c := newCloud(t)
	c.ok("CreateTable", simpleTable+`}`)
	const accounts = 4
	var gets []string
	for i := range accounts {
		c.ok("PutItem", fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"%d"},"n":{"N":"100"}}}`, i))
		gets = append(gets, fmt.Sprintf(`{"Get":{"TableName":"tbl","Key":{"p":{"S":"%d"}}}}`, i))
	}
	look := `{"TransactItems":[` + strings.Join(gets, ",") + `]}`
	total := func() {
		sum, rest := 0, c.call("TransactGetItems", look)
		for strings.Contains(rest, "TransactionConflict") {
			runtime.Gosched()
			rest = c.call("TransactGetItems", look)
		}
		for range accounts {
			var n int
			_, rest, _ = strings.Cut(rest, `"n":{"N":"`)
			fmt.Sscan(rest[:strings.Index(rest, `"`)], &n)
			sum += n
		}
		if sum != accounts*100 {
			t.Errorf("the sum is %d", sum)
		}
	}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 40 {
				from, to := (w+i)%accounts, (w+i*3+1)%accounts
				if from == to || i%5 == 0 {
					total()
					continue
				}
				half := `{"Update":{"TableName":"tbl","Key":{"p":{"S":"%d"}},"UpdateExpression":"ADD n :d","ConditionExpression":"n >= :least","ExpressionAttributeValues":{":d":{"N":"%d"},":least":{"N":"%d"}}}}`
				got := c.call("TransactWriteItems", fmt.Sprintf(`{"TransactItems":[`+half+`,`+half+`]}`, from, -7, 7, to, 7, 0))
				if got != "{}" && !strings.HasPrefix(got, "!TransactionCanceledException") {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	wg.Wait()
	total()
}
