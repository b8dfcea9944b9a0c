package sqs

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fogbank/api/sqs"
)

// ref is a message as the reference queue sees it.
type ref struct {
	body     string
	group    string
	order    int       // of sending
	due      time.Time // when it is or was visible
	received int
	latest   sqs.Message // the latest receipt
}

func (r *ref) inFlight(now time.Time) bool { return r.received > 0 && r.due.After(now) }

// reference is a queue that does everything the slow and obvious way.
type reference struct {
	ordered bool
	list    []*ref
}

// available returns what may be received: in a standard queue in the order expected, in a FIFO queue by group.
func (q *reference) available(now time.Time) (list []*ref) {
	blocked := map[string]bool{}
	for _, r := range q.list {
		blocked[r.group] = blocked[r.group] || q.ordered && r.inFlight(now)
	}
	for _, r := range q.list {
		if q.ordered && r.due.After(now) && !r.inFlight(now) {
			blocked[r.group] = true // delayed, and so are those behind it
		}
		if !blocked[r.group] && !r.due.After(now) {
			list = append(list, r)
		}
	}
	if !q.ordered {
		slices.SortStableFunc(list, func(a, b *ref) int {
			return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.order, b.order))
		})
	}
	return list
}

func (q *reference) counts(now time.Time) string {
	visible, flying, delayed := 0, 0, 0
	for _, r := range q.list {
		switch {
		case r.inFlight(now):
			flying++
		case r.due.After(now):
			delayed++
		default:
			visible++
		}
	}
	return fmt.Sprintf("%d/%d/%d", visible, flying, delayed)
}

// run is one random history.
type run struct {
	*server
	*rand.Rand
	reference
	url   string
	sent  int
	stale []sqs.Message // receipts that were the latest once
}

const modelVisibility = 20 * time.Second

func TestModel(t *testing.T) {
	for seed := range uint64(24) {
		for _, fifo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d,fifo=%v", seed, fifo), func(t *testing.T) {
				bubble(t, func(s *server) {
					r := &run{server: s, Rand: rand.New(rand.NewPCG(seed, 0)), reference: reference{ordered: fifo}}
					if fifo {
						r.url = s.fifo("jobs", "VisibilityTimeout", "20", "DelaySeconds", fmt.Sprint(seed%2))
					} else {
						r.url = s.queue("jobs", "VisibilityTimeout", "20")
					}
					for i := range 150 {
						r.step(seed)
						s.want(s.counts(r.url), r.reference.counts(s.world.Now()))
						if t.Failed() {
							t.Fatalf("after step %d", i)
						}
					}
				})
			})
		}
	}
}

func (r *run) step(seed uint64) {
	switch n := r.IntN(100); {
	case n < 35:
		r.sendOne(seed)
	case n < 65:
		r.receiveSome()
	case n < 78:
		r.deleteOne()
	case n < 86:
		r.hideOne()
	case n < 97:
		time.Sleep(time.Duration(r.IntN(15000)) * time.Millisecond)
	case n < 99:
		r.restart()
		time.Sleep(time.Millisecond)
	default:
		if _, err := r.PurgeQueue(r.ctx, &sqs.PurgeQueueInput{QueueUrl: r.url}); err == nil {
			r.list = nil
		}
	}
}

func (r *run) sendOne(seed uint64) {
	r.sent++
	m := &ref{body: fmt.Sprint("m", r.sent), order: r.sent, due: r.world.Now()}
	in := &sqs.SendMessageInput{QueueUrl: r.url, MessageBody: m.body}
	if r.ordered {
		m.group = fmt.Sprint("g", r.IntN(4))
		m.due = m.due.Add(time.Duration(seed%2) * time.Second)
		in.MessageGroupId, in.MessageDeduplicationId = &m.group, &m.body
	} else if r.IntN(4) == 0 {
		delay := int32(r.IntN(30))
		m.due = m.due.Add(time.Duration(delay) * time.Second)
		in.DelaySeconds = &delay
	}
	must(r.SendMessage(r.ctx, in))
	r.list = append(r.list, m)
}

func (r *run) receiveSome() {
	n := 1 + r.IntN(10)
	now := r.world.Now()
	free := r.available(now)
	got := r.receive(r.url, int32(n), 0)
	if len(got) != min(n, len(free)) {
		r.t.Errorf("received %d of %d available, at most %d were asked for", len(got), len(free), n)
	}
	for i, m := range got {
		at := slices.IndexFunc(free, func(f *ref) bool { return f.body == m.GetBody() })
		if at < 0 || !r.ordered && at != 0 || r.ordered && slices.ContainsFunc(free[:at], func(f *ref) bool { return f.group == free[at].group }) {
			r.t.Errorf("message %d, %s, is not next of %d", i, m.GetBody(), len(free))
			return
		}
		f := free[at]
		free = slices.Delete(free, at, at+1)
		if f.received > 0 {
			r.stale = append(r.stale, f.latest)
		}
		f.received++
		f.due, f.latest = now.Add(modelVisibility), m
		r.want(m.Attributes["ApproximateReceiveCount"], fmt.Sprint(f.received))
	}
}

// one returns a message received before, or nil, and a receipt of it.
func (r *run) one() (*ref, sqs.Message) {
	if len(r.stale) > 0 && r.IntN(5) == 0 {
		return nil, r.stale[r.IntN(len(r.stale))]
	}
	var had []*ref
	for _, m := range r.list {
		if m.received > 0 {
			had = append(had, m)
		}
	}
	if len(had) == 0 {
		return nil, sqs.Message{}
	}
	m := had[r.IntN(len(had))]
	return m, m.latest
}

func (r *run) deleteOne() {
	m, receipt := r.one()
	if receipt.ReceiptHandle == nil {
		return
	}
	err := r.delete(r.url, receipt)
	switch {
	case m == nil: // a stale receipt has no effect
	case r.ordered && !m.inFlight(r.world.Now()):
		if err == nil {
			r.t.Errorf("%s was deleted by an expired receipt", m.body)
		}
	case err != nil:
		r.t.Errorf("delete %s: %v", m.body, err)
	default:
		r.list = slices.DeleteFunc(r.list, func(x *ref) bool { return x == m })
	}
}

func (r *run) hideOne() {
	m, receipt := r.one()
	if receipt.ReceiptHandle == nil {
		return
	}
	seconds := int32(r.IntN(40))
	now := r.world.Now()
	err := r.hide(r.url, receipt, seconds)
	switch {
	case m == nil || !m.inFlight(now):
		if err == nil {
			r.t.Errorf("a message that is not in flight was hidden")
		}
	case err != nil:
		r.t.Errorf("hide %s: %v", m.body, err)
	default:
		m.due = now.Add(time.Duration(seconds) * time.Second)
	}
}
