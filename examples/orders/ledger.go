package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"orders/order"
)

// change names one version of one order: what has to arrive.
type change struct {
	id      string
	version int
}

// fact is what the sender knows of a change.
type fact struct {
	sent    time.Time
	queues  []string             // where it has to arrive
	arrived map[string]time.Time // when it first did
}

// seen is the highest version of an order that a queue has given, and when the queue had got it.
type seen struct {
	version int
	sent    int64
}

// place is where a message stood in its queue.
type place struct {
	sent  int64 // when the queue got it, in milliseconds
	again bool  // given before, in an answer that was cut off: it comes when its visibility timeout is over
}

// ledger is the truth as seen from outside: what was accepted, and what arrived where.
type ledger struct {
	requests int

	mu         sync.Mutex
	begin      time.Time
	end        time.Time // of the last first arrival
	count      Progress
	facts      map[change]*fact
	orders     map[string]order.Order // the last accepted state
	early      map[change][]string    // arrived before the answer to its request
	duplicates map[string]int
	versions   map[string]seen // queue/order → the highest version
	again      int             // messages whose earlier delivery was cut off
	disorder   []string
	strange    []string
	refused    []Refusal
	lost       []string // requests never answered
	latency    map[string][]float64
}

// Hop is a row of the progress table; times are in milliseconds.
type Hop struct {
	Name     string  `json:"name"`
	Count    int     `json:"count"`
	InFlight int     `json:"inFlight"`
	P50      float64 `json:"p50ms"`
	P99      float64 `json:"p99ms"`
}

// Progress is how far things are.
type Progress struct {
	Type     string `json:"type"` // "progress"
	Requests int    `json:"requests"`
	Sent     int    `json:"sent"`
	Accepted int    `json:"accepted"`
	Repeated int    `json:"repeated"`
	Refused  int    `json:"refused"`
	Retries  int    `json:"retries"`
	Hops     []Hop  `json:"hops"`
}

// Refusal is a request answered with 4xx.
type Refusal struct {
	Token  string `json:"clientToken"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
}

const (
	hopPost = "POST → function → table"
	hopTell = "table → stream → function"
	hopLast = "order → last queue"
)

func newLedger(requests int) *ledger {
	return &ledger{requests: requests, facts: map[change]*fact{}, orders: map[string]order.Order{}, early: map[change][]string{},
		duplicates: map[string]int{}, versions: map[string]seen{}, latency: map[string][]float64{}}
}

func (l *ledger) sent(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count.Sent++; l.count.Sent == 1 {
		l.begin = now
	}
}

func (l *ledger) retried() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Retries++
}

func (l *ledger) failed(r *request, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, r.token+": "+why)
}

// answered notes a final answer. A repeated request that finds its own order there is accepted
// too: its first answer may have been lost on the way.
func (l *ledger) answered(r *request, begin time.Time, status int, body []byte) {
	var a struct {
		OrderID, Reason string
		Duplicate       bool
	}
	err := json.Unmarshal(body, &a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.observe(hopPost, time.Since(begin))
	switch {
	case err != nil:
		l.lost = append(l.lost, fmt.Sprintf("%s: status %d, not JSON: %.100s", r.token, status, body))
	case status/100 == 4:
		l.count.Refused++
		l.refused = append(l.refused, Refusal{r.token, status, a.Reason})
		if status != http.StatusBadRequest || a.Reason == "" {
			l.strange = append(l.strange, fmt.Sprintf("%s was refused with %d and reason %q", r.token, status, a.Reason))
		}
	case status/100 == 2 && r.valid:
		l.accept(r, begin, a.OrderID, a.Duplicate)
	default:
		l.strange = append(l.strange, fmt.Sprintf("%s: status %d: %.100s", r.token, status, body))
	}
}

func (l *ledger) accept(r *request, begin time.Time, id string, duplicate bool) {
	c := change{id, 1}
	o := l.orders[id]
	if r.order.RefundOf != "" {
		c.version = 2
		o.Status, o.Version = order.Refunded, 2
	} else if o.OrderID == "" {
		o = r.order.New(0)
	}
	if l.facts[c] != nil {
		if !duplicate {
			l.strange = append(l.strange, "accepted twice: "+r.token)
		}
		l.count.Repeated++
		return
	}
	l.count.Accepted++
	l.orders[id] = o
	f := &fact{sent: begin, queues: []string{"billing", "audit"}, arrived: map[string]time.Time{}}
	if o.Physical {
		f.queues = append(f.queues, "fulfilment")
	}
	if o.TotalCents > 1000_00 {
		f.queues = append(f.queues, "high-value")
	}
	l.facts[c] = f
	for _, q := range l.early[c] {
		l.arrive(f, q)
	}
	delete(l.early, c)
}

// arrive notes the first arrival of a change at a queue.
func (l *ledger) arrive(f *fact, queue string) {
	l.end = time.Now()
	f.arrived[queue] = l.end
	if !slices.Contains(f.queues, queue) {
		l.strange = append(l.strange, "arrived at "+queue+" though it should not")
	} else if len(f.arrived) == len(f.queues) {
		l.observe(hopLast, l.end.Sub(f.sent))
	}
}

func (l *ledger) observe(hop string, d time.Duration) {
	l.latency[hop] = append(l.latency[hop], float64(d.Microseconds())/1000)
}

// received notes a message read from a queue. One that is given again after later ones, because the answer with
// it was cut off, was not out of order if the queue had got it before those.
func (l *ledger) received(queue string, e order.Event, p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := change{e.OrderID, e.Version}
	f := l.facts[c]
	if f != nil && !f.arrived[queue].IsZero() || slices.Contains(l.early[c], queue) {
		l.duplicates[queue]++
		return
	}
	l.observe("function → "+queue, time.Since(time.UnixMilli(e.SentAtMs)))
	if queue == "audit" {
		l.observe(hopTell, time.UnixMilli(e.SentAtMs).Sub(time.UnixMilli(e.ChangedAtMs)))
	}
	at := queue + "/" + e.OrderID
	switch last := l.versions[at]; {
	case e.Version >= last.version:
		l.versions[at] = seen{e.Version, p.sent}
	case !p.again || p.sent > last.sent:
		l.disorder = append(l.disorder, fmt.Sprintf("%s: version %d after %d", at, e.Version, last.version))
	}
	if p.again {
		l.again++
	}
	if f == nil {
		l.early[c] = append(l.early[c], queue)
		return
	}
	l.arrive(f, queue)
}

// missing lists what has not arrived yet.
func (l *ledger) missing() (list []string) {
	for c, f := range l.facts {
		for _, q := range f.queues {
			if f.arrived[q].IsZero() {
				list = append(list, fmt.Sprintf("%s version %d at %s", c.id, c.version, q))
			}
		}
	}
	slices.Sort(list)
	return list
}

// settle waits until everything arrived, then a little longer for duplicates to show.
func (l *ledger) settle(ctx context.Context, patience time.Duration) {
	for begin := time.Now(); time.Since(begin) < patience && ctx.Err() == nil; wait(ctx, 50*time.Millisecond) {
		l.mu.Lock()
		done := len(l.missing()) == 0
		l.mu.Unlock()
		if done {
			wait(ctx, time.Second)
			return
		}
	}
}

func (l *ledger) progress() Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.count
	p.Type, p.Requests = "progress", l.requests
	expected, arrived, last := map[string]int{}, map[string]int{}, 0
	for _, f := range l.facts {
		for _, q := range f.queues {
			expected[q]++
		}
		for q := range f.arrived {
			arrived[q]++
		}
		if len(f.arrived) >= len(f.queues) {
			last++
		}
	}
	add := func(name string, count, inFlight int) {
		h := Hop{Name: name, Count: count, InFlight: max(inFlight, 0)}
		h.P50, h.P99 = percentiles(l.latency[name])
		p.Hops = append(p.Hops, h)
	}
	answered := len(l.latency[hopPost])
	add(hopPost, answered, p.Sent-answered-len(l.lost))
	add(hopTell, len(l.latency[hopTell]), len(l.facts)-arrived["audit"])
	for _, q := range queueNames {
		add("function → "+q, arrived[q], expected[q]-arrived[q])
	}
	add(hopLast, last, len(l.facts)-last)
	return p
}

func percentiles(v []float64) (p50, p99 float64) {
	if len(v) == 0 {
		return 0, 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2], s[min(len(s)-1, len(s)*99/100)]
}

// read takes messages from a queue until ctx ends.
func (c *clients) read(ctx context.Context, l *ledger, queue, url string) {
	for ctx.Err() == nil {
		out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp, types.MessageSystemAttributeNameApproximateReceiveCount}})
		if err != nil {
			wait(ctx, 100*time.Millisecond)
			continue
		}
		if len(out.Messages) == 0 {
			continue
		}
		var done []types.DeleteMessageBatchRequestEntry
		for _, m := range out.Messages {
			e, err := parseMessage(queue, *m.Body)
			if err != nil {
				l.mu.Lock()
				l.strange = append(l.strange, fmt.Sprintf("%s holds %.200q: %v", queue, *m.Body, err))
				l.mu.Unlock()
			} else {
				l.received(queue, e, placeOf(m.Attributes))
			}
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
		}
		// What cannot be deleted comes again, and is counted as a duplicate then.
		_, _ = c.sqs.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: done})
	}
}

func placeOf(attributes map[string]string) place {
	// The queue writes both as numbers; without them a message stands where it arrived.
	sent, err := strconv.ParseInt(attributes["SentTimestamp"], 10, 64)
	return place{sent: sent, again: err == nil && attributes["ApproximateReceiveCount"] != "1"}
}

// parseMessage takes the order event out of what each queue holds: audit has it raw, the others
// inside the envelope of SNS or EventBridge.
func parseMessage(queue, body string) (e order.Event, err error) {
	switch queue {
	case "audit":
		err = json.Unmarshal([]byte(body), &e)
	case "high-value":
		var envelope struct{ Detail order.Event }
		err = json.Unmarshal([]byte(body), &envelope)
		e = envelope.Detail
	default:
		var envelope struct{ Message string }
		if err = json.Unmarshal([]byte(body), &envelope); err == nil {
			err = json.Unmarshal([]byte(envelope.Message), &e)
		}
	}
	if err == nil && e.OrderID == "" {
		err = fmt.Errorf("no order in it")
	}
	return e, err
}

// Verdict is the judgement, from the outside alone.
type Verdict struct {
	Type        string         `json:"type"` // "verdict"
	OK          bool           `json:"ok"`
	Accepted    int            `json:"accepted"`
	Repeated    int            `json:"repeated"` // answered with the order an earlier request made
	Retries     int            `json:"retries"`
	InTable     int            `json:"inTable"`
	Delivered   map[string]int `json:"delivered"`
	Duplicates  map[string]int `json:"duplicates"`
	Redelivered int            `json:"redelivered"` // first seen after an earlier delivery was cut off
	Explanation string         `json:"explanation,omitempty"`
	Refused     []Refusal      `json:"refused"`
	Missing     []string       `json:"missing"`
	OutOfOrder  []string       `json:"outOfOrder"`
	Unanswered  []string       `json:"unanswered"`
	Unexpected  []string       `json:"unexpected"`
	OrdersPerS  float64        `json:"ordersPerSecond"` // accepted changes over the time until the last arrived
	LastP50     float64        `json:"lastQueueP50ms"`
	LastP99     float64        `json:"lastQueueP99ms"`
}

func (l *ledger) verdict() *Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &Verdict{Type: "verdict", Accepted: l.count.Accepted, Repeated: l.count.Repeated, Retries: l.count.Retries, Delivered: map[string]int{},
		Duplicates: l.duplicates, Redelivered: l.again, Refused: l.refused, Missing: l.missing(), OutOfOrder: l.disorder, Unanswered: l.lost, Unexpected: l.strange}
	for _, f := range l.facts {
		for q := range f.arrived {
			v.Delivered[q]++
		}
	}
	for c, queues := range l.early {
		v.Unexpected = append(v.Unexpected, fmt.Sprintf("%s version %d arrived at %v but was never accepted", c.id, c.version, queues))
	}
	for _, n := range l.duplicates {
		if n > 0 {
			v.Explanation = "Delivery is at least once: a hop that was cut off before it could note its success delivers again. Consumers tell a repetition by order id and version."
		}
	}
	if l.again > 0 {
		v.Explanation = strings.TrimSpace(v.Explanation + " A message whose delivery was cut off comes again when its visibility timeout is over, behind later ones.")
	}
	v.LastP50, v.LastP99 = percentiles(l.latency[hopLast])
	if d := l.end.Sub(l.begin).Seconds(); d > 0 {
		v.OrdersPerS = float64(v.Accepted) / d
	}
	return v
}

// checkTable compares the table with what was accepted, and completes the judgement.
func (v *Verdict) checkTable(ctx context.Context, c *clients, s *State, l *ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pages := dynamodb.NewScanPaginator(c.ddb, &dynamodb.ScanInput{TableName: &s.Table, ConsistentRead: aws.Bool(true)})
	rows := map[string]order.Order{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			v.Unexpected = append(v.Unexpected, "scan: "+err.Error())
			return
		}
		for _, item := range page.Items {
			var o order.Order
			if err := attributevalue.UnmarshalMap(item, &o); err != nil {
				v.Unexpected = append(v.Unexpected, "row: "+err.Error())
				continue
			}
			rows[o.OrderID] = o
		}
	}
	for id, want := range l.orders {
		got := rows[id]
		switch {
		case got.OrderID == "":
			v.Missing = append(v.Missing, id+" in the table")
		case got.Status != want.Status || got.Version != want.Version || got.TotalCents != want.TotalCents || got.Customer != want.Customer:
			v.Unexpected = append(v.Unexpected, fmt.Sprintf("%s in the table is %s version %d, total %d", id, got.Status, got.Version, got.TotalCents))
		default:
			v.InTable++
		}
	}
	// Rows of earlier runs may be there; rows of refused requests may not.
	for _, r := range v.Refused {
		if o, ok := rows[order.ID(r.Token)]; ok && l.orders[o.OrderID].OrderID == "" {
			v.Unexpected = append(v.Unexpected, r.Token+" was refused, and is in the table")
		}
	}
	v.OK = v.Accepted > 0 && len(v.Missing)+len(v.OutOfOrder)+len(v.Unanswered)+len(v.Unexpected) == 0
}
