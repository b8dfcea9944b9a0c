package sqs

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fogbank/api/sqs"
)

func (s *server) sendGroup(url, group string, bodies ...string) {
	for len(bodies) > 0 {
		n := min(len(bodies), 10)
		in := &sqs.SendMessageBatchInput{QueueUrl: url}
		for i, body := range bodies[:n] {
			e := sqs.SendMessageBatchRequestEntry{Id: fmt.Sprint(i), MessageBody: body}
			if group != "" {
				e.MessageGroupId = &group
			}
			in.Entries = append(in.Entries, e)
		}
		must(s.SendMessageBatch(s.ctx, in))
		bodies = bodies[n:]
	}
}

func numbered(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(prefix, i))
	}
	return list
}

// TestFair has one group fill a queue: others' messages, sent later, are handed out first.
func TestFair(t *testing.T) {
	bubble(t, func(s *server) {
		url := s.queue("jobs")
		s.sendGroup(url, "noisy", numbered("n", 400)...)
		for range 3 {
			s.receive(url, 10, 0)
		}
		s.sendGroup(url, "quiet", "q0", "q1")
		s.sendGroup(url, "", "alone")
		s.want(s.counts(url), "373/30/0")
		// Receivers put a part of the backlog aside at a time.
		s.receive(url, 1, 0)
		s.restart()
		s.want(s.counts(url), "372/31/0")
		s.want(bodies(s.receive(url, 2, 0)), "q0 q1")
		s.want(bodies(s.receive(url, 2, 0)), "alone n31")
		s.want(s.counts(url), "368/35/0")
		// When nothing else is there the noisy group is served, in its order.
		s.want(bodies(s.receive(url, 3, 0)), "n32 n33 n34")
		// One who waits gets a message that was put aside.
		s.want(bodies(s.receive(url, 1, 20)), "n35")
		// Deleting what is in flight makes the group quiet again.
		time.Sleep(31 * time.Second)
		seen := map[string]bool{}
		for len(seen) < 403 {
			list := s.receive(url, 10, 0)
			if len(list) == 0 {
				t.Fatalf("only %d messages came", len(seen))
			}
			for _, m := range list {
				if seen[m.GetBody()] {
					t.Fatalf("%s came twice", m.GetBody())
				}
				seen[m.GetBody()] = true
				if err := s.delete(url, m); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.want(s.counts(url), "0/0/0")
	})
}

// TestFairModel runs random histories with noisy groups against what must hold: nothing is lost, hidden messages stay
// hidden, the counts are right.
func TestFairModel(t *testing.T) {
	for seed := range uint64(6) {
		bubble(t, func(s *server) {
			r := &run{server: s, Rand: rand.New(rand.NewPCG(seed, 1)), url: s.queue("jobs", "VisibilityTimeout", "20", "MessageRetentionPeriod", "600")}
			for i := range 150 {
				switch n := r.IntN(100); {
				case n < 20:
					r.sendMany()
				case n < 60:
					r.receiveAny()
				case n < 75:
					for range 10 {
						r.deleteOne()
					}
				case n < 85:
					r.hideOne()
				case n < 97:
					time.Sleep(time.Duration(r.IntN(6000)) * time.Millisecond)
				default:
					r.restart()
				}
				s.want(s.counts(r.url), r.reference.counts(s.world.Now()))
				if t.Failed() {
					t.Fatalf("seed %d, after step %d", seed, i)
				}
			}
			time.Sleep(20 * time.Minute)
			s.want(s.counts(r.url), "0/0/0")
			s.want(fmt.Sprint(len(s.receive(r.url, 1, 0))), "0")
		})
	}
}

func (r *run) sendMany() {
	group := []string{"", "loud", "loud", "loud", "soft"}[r.IntN(5)]
	var list []string
	for range 1 + r.IntN(40) {
		r.sent++
		m := &ref{body: fmt.Sprint("m", r.sent), order: r.sent, due: r.world.Now()}
		list = append(list, m.body)
		r.list = append(r.list, m)
	}
	r.sendGroup(r.url, group, list...)
}

// receiveAny receives and checks that what came was visible; any of it may come.
func (r *run) receiveAny() {
	n := 1 + r.IntN(10)
	now := r.world.Now()
	free := map[string]*ref{}
	for _, f := range r.available(now) {
		free[f.body] = f
	}
	got := r.receive(r.url, int32(n), 0)
	if len(got) != min(n, len(free)) {
		r.t.Errorf("received %d of %d available, at most %d were asked for", len(got), len(free), n)
	}
	for _, m := range got {
		f := free[m.GetBody()]
		if f == nil {
			r.t.Errorf("%s was not visible", m.GetBody())
			return
		}
		delete(free, f.body)
		if f.received > 0 {
			r.stale = append(r.stale, f.latest)
		}
		f.received++
		f.due, f.latest = now.Add(modelVisibility), m
		r.want(m.Attributes["ApproximateReceiveCount"], fmt.Sprint(f.received))
	}
}
