package dynamodb

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A registers is the state of two items: the number each holds, or none.
type registers [2]int

const (
	none    = -1
	anyOrNo = -2 // as a condition: none; as a value to set: leave it
)

// linearOp is one operation as a client saw it: conditions, what it sets if they hold, what it read.
type linearOp struct {
	from, to  int64 // moments of call and return
	condition registers
	set       registers
	reads     [2]bool
	ok        bool
	got       registers
}

// apply returns the state after the operation; possible is false when it cannot have had this outcome on the state.
func (o *linearOp) apply(s registers) (after registers, possible bool) {
	holds := true
	after = s
	for i := range s {
		holds = holds && (o.condition[i] == anyOrNo || o.condition[i] == s[i])
		if o.reads[i] && o.got[i] != s[i] {
			return s, false
		}
		if o.set[i] != anyOrNo {
			after[i] = o.set[i]
		}
	}
	if !holds {
		after = s
	}
	return after, holds == o.ok
}

// linearizable looks for an order of the operations, each at some moment between its call and its return, in which
// every outcome is right. It tries what could be next, and remembers which sets of done operations led nowhere from which state.
// At most 64 operations.
func linearizable(ops []linearOp, start registers) bool {
	type position struct {
		done  uint64
		state registers
	}
	dead := map[position]bool{}
	var search func(p position) bool
	search = func(p position) bool {
		if p.done == 1<<len(ops)-1 {
			return true
		}
		if dead[p] {
			return false
		}
		first := int64(1<<63 - 1) // the earliest return among those not done: what is called later cannot be next
		for i := range ops {
			if p.done&(1<<i) == 0 {
				first = min(first, ops[i].to)
			}
		}
		for i := range ops {
			if p.done&(1<<i) != 0 || ops[i].from > first {
				continue
			}
			if after, possible := ops[i].apply(p.state); possible && search(position{p.done | 1<<i, after}) {
				return true
			}
		}
		dead[p] = true
		return false
	}
	return search(position{0, start})
}

func TestChecker(t *testing.T) {
	set := func(from, to int64, v int) linearOp {
		return linearOp{from: from, to: to, condition: registers{anyOrNo, anyOrNo}, set: registers{v, anyOrNo}, ok: true}
	}
	get := func(from, to int64, v int) linearOp {
		return linearOp{from: from, to: to, condition: registers{anyOrNo, anyOrNo}, set: registers{anyOrNo, anyOrNo}, reads: [2]bool{true, false}, got: registers{v, 0}, ok: true}
	}
	swap := func(from, to int64, was, is int, ok bool) linearOp {
		return linearOp{from: from, to: to, condition: registers{was, anyOrNo}, set: registers{is, anyOrNo}, ok: ok}
	}
	for _, c := range []struct {
		what string
		ops  []linearOp
		want bool
	}{
		{"read after write", []linearOp{set(1, 2, 5), get(3, 4, 5)}, true},
		{"stale read", []linearOp{set(1, 2, 5), get(3, 4, none)}, false},
		{"overlapping read", []linearOp{set(1, 4, 5), get(2, 3, none)}, true},
		{"back in time", []linearOp{set(1, 6, 5), get(2, 3, 5), get(4, 5, none)}, false},
		{"two swaps of one value", []linearOp{swap(1, 3, none, 1, true), swap(2, 4, none, 2, true)}, false},
		{"one of two swaps", []linearOp{swap(1, 3, none, 1, true), swap(2, 4, none, 2, false)}, true},
	} {
		if got := linearizable(c.ops, registers{none, none}); got != c.want {
			t.Errorf("%s: %t", c.what, got)
		}
	}
}

// linearClient makes random operations on two items and notes what it saw.
type linearClient struct {
	*cloud
	r     *rand.Rand
	clock *atomic.Int64
	seen  registers
}

func condition(v int) string {
	if v == none {
		return `"ConditionExpression":"attribute_not_exists(n)"`
	}
	return fmt.Sprintf(`"ConditionExpression":"n = :c","ExpressionAttributeValues":{":c":{"N":"%d"}}`, v)
}

func (c *linearClient) put(key, v, when int) string {
	return fmt.Sprintf(`{"TableName":"tbl","Item":{"p":{"S":"%d"},"n":{"N":"%d"}},%s}`, key, v, condition(when))
}

// number reads the n of an item in an answer.
func number(text string) int {
	n := none
	if _, rest, ok := strings.Cut(text, `"n":{"N":"`); ok {
		fmt.Sscan(rest[:strings.Index(rest, `"`)], &n)
	}
	return n
}

// act makes one operation.
func (c *linearClient) act(value int) linearOp {
	key := c.r.IntN(2)
	o := linearOp{condition: registers{anyOrNo, anyOrNo}, set: registers{anyOrNo, anyOrNo}, from: c.clock.Add(1)}
	kind := c.r.IntN(6)
	got := c.try(&o, kind, key, value)
	for strings.Contains(got, "TransactionConflict") { // it met an ongoing transaction, and did nothing
		runtime.Gosched()
		got = c.try(&o, kind, key, value)
	}
	o.to = c.clock.Add(1)
	o.ok = !strings.HasPrefix(got, "!")
	for i := range o.reads {
		if o.reads[i] {
			c.seen[i] = o.got[i]
		} else if o.ok && o.set[i] != anyOrNo {
			c.seen[i] = o.set[i]
		}
	}
	if !o.ok && !strings.Contains(got, "ConditionalCheckFailed") {
		c.t.Errorf("got %s", got)
	}
	return o
}

// try makes an operation of a kind and notes what it asks and reads.
func (c *linearClient) try(o *linearOp, kind, key, value int) (got string) {
	switch kind {
	case 0: // conditional put
		o.condition[key], o.set[key] = c.seen[key], value
		got = c.call("PutItem", c.put(key, value, c.seen[key]))
	case 1: // conditional delete
		o.condition[key], o.set[key] = c.seen[key], none
		got = c.call("DeleteItem", fmt.Sprintf(`{"TableName":"tbl","Key":{"p":{"S":"%d"}},%s}`, key, condition(c.seen[key])))
	case 2: // two conditional puts, both or none
		o.condition, o.set = c.seen, registers{value, value + 1}
		got = c.call("TransactWriteItems", fmt.Sprintf(`{"TransactItems":[{"Put":%s},{"Put":%s}]}`, c.put(0, value, c.seen[0]), c.put(1, value+1, c.seen[1])))
	case 3: // PartiQL: wants the item to be there
		o.condition[key], o.set[key] = max(0, c.seen[key]), value
		got = c.call("ExecuteStatement", fmt.Sprintf(`{"Statement":"UPDATE tbl SET n=%d WHERE p='%d' AND n=%d"}`, value, key, max(0, c.seen[key])))
	case 4:
		o.reads[key] = true
		got = c.call("GetItem", fmt.Sprintf(`{"TableName":"tbl","Key":{"p":{"S":"%d"}}}`, key))
		o.got[key] = number(got)
	case 5:
		o.reads = [2]bool{true, true}
		got = c.call("ExecuteTransaction", `{"TransactStatements":[{"Statement":"SELECT * FROM tbl WHERE p='0'"},{"Statement":"SELECT * FROM tbl WHERE p='1'"}]}`)
		left, right, _ := strings.Cut(strings.TrimPrefix(got, `{"Responses":[`), "},{")
		if strings.HasPrefix(got, `{"Responses":[{},{`) {
			left, right = "", got
		}
		o.got = registers{number(left), number(right)}
	}
	return got
}

// Concurrent conditional writes, transactions, statements and reads of two items are linearizable.
func TestLinearizable(t *testing.T) {
	const clients, each = 6, 10
	for seed := range uint64(30) {
		c := newCloud(t)
		c.ok("CreateTable", simpleTable+`}`)
		var clock atomic.Int64
		histories := make([][]linearOp, clients)
		var wg sync.WaitGroup
		for n := range clients {
			wg.Go(func() {
				client := &linearClient{c, rand.New(rand.NewPCG(seed, uint64(n))), &clock, registers{none, none}}
				for i := range each {
					histories[n] = append(histories[n], client.act(1000*n+10*i))
				}
			})
		}
		wg.Wait()
		var all []linearOp
		for _, h := range histories {
			all = append(all, h...)
		}
		if !linearizable(all, registers{none, none}) {
			t.Fatalf("seed %d: no order explains what the clients saw: %+v", seed, all)
		}
	}
}
