package sqs

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
)

// TestCrowd has many senders and receivers on one queue at once: every message is received once, none is lost.
func TestCrowd(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprint("fifo=", fifo), func(t *testing.T) {
			s := start(t)
			defer s.stop()
			url := ""
			if fifo {
				url = s.fifo("jobs")
			} else {
				url = s.queue("jobs")
			}
			const senders, each, receivers = 16, 40, 16
			var group sync.WaitGroup
			var left atomic.Int64
			left.Store(senders * each)
			var mu sync.Mutex
			seen := map[string]int{}
			last := map[string]string{} // group → latest body
			for n := range senders {
				group.Go(func() {
					for i := range each {
						body := fmt.Sprintf("%d-%03d", n, i)
						if fifo {
							s.sendTo(url, fmt.Sprint(n), body, body)
						} else {
							s.send(url, body)
						}
					}
				})
			}
			for range receivers {
				group.Go(func() {
					for left.Load() > 0 {
						for _, m := range s.receive(url, 3, 1) {
							mu.Lock()
							seen[m.GetBody()]++
							g := m.Attributes["MessageGroupId"]
							if fifo && m.GetBody() <= last[g] {
								t.Errorf("%s came after %s", m.GetBody(), last[g])
							}
							last[g] = m.GetBody()
							mu.Unlock()
							if err := s.delete(url, m); err != nil {
								t.Error(err)
							}
							left.Add(-1)
						}
					}
				})
			}
			group.Wait()
			if len(seen) != senders*each {
				t.Errorf("%d of %d messages were received", len(seen), senders*each)
			}
			for body, n := range seen {
				if n != 1 {
					t.Errorf("%s was received %d times", body, n)
				}
			}
			s.want(s.counts(url), "0/0/0")
		})
	}
}

// TestManyPolls has a thousand long polls wait at one queue: each message ends one of them.
func TestManyPolls(t *testing.T) {
	bubble(t, func(s *server) {
		url := s.queue("jobs")
		got := make(chan int, 1000)
		for range 1000 {
			go func() { got <- len(s.receive(url, 1, 20)) }()
		}
		time.Sleep(time.Second)
		for i := range 10 {
			s.send(url, fmt.Sprint(i))
		}
		sum := 0
		for range 1000 {
			sum += <-got
		}
		s.want(fmt.Sprint(sum), "10")
	})
}

// TestOnce sends again under the same once-only key, as a relay does after a crash.
func TestOnce(t *testing.T) {
	bubble(t, func(s *server) {
		call := *aws.CallFrom(s.ctx)
		call.OnceKey = "delivery-1"
		ctx := aws.WithCall(s.ctx, &call)
		for _, url := range []string{s.queue("jobs"), s.fifo("jobs", "ContentBasedDeduplication", "true")} {
			in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: "hello"}
			if isFIFO(url) {
				in.MessageGroupId, in.MessageDeduplicationId = new("g"), new("1")
			}
			first := must(s.SendMessage(ctx, in))
			time.Sleep(4 * time.Minute)
			s.restart()
			if isFIFO(url) {
				in.MessageDeduplicationId = new("2")
			}
			again := must(s.SendMessage(ctx, in))
			s.want(again.GetMessageId(), first.GetMessageId())
			s.want(again.GetSequenceNumber(), first.GetSequenceNumber())
			s.want(s.counts(url), "1/0/0")
			batch := &sqs.SendMessageBatchInput{QueueUrl: url}
			for _, id := range []string{"a", "b"} {
				batch.Entries = append(batch.Entries, sqs.SendMessageBatchRequestEntry{Id: id, MessageBody: id, MessageGroupId: in.MessageGroupId})
			}
			must(s.SendMessageBatch(ctx, batch))
			must(s.SendMessageBatch(ctx, batch))
			s.want(s.counts(url), "3/0/0")
			time.Sleep(10 * time.Minute)
			must(s.SendMessage(ctx, in))
			s.want(s.counts(url), "4/0/0")
		}
	})
}

// TestForgetting checks that nothing is left of queues that were deleted, messages that were purged and sends long ago.
func TestForgetting(t *testing.T) {
	bubble(t, func(s *server) {
		rows := func() (n int) {
			err := s.db.View(s.ctx, func(tx *store.Tx) error {
				for _, list := range [][]store.Key{
					rowsOf(tx, messages), rowsOf(tx, dues), rowsOf(tx, states), rowsOf(tx, fronts), rowsOf(tx, totals.Table), rowsOf(tx, traffics),
					rowsOf(tx, members), rowsOf(tx, groups), rowsOf(tx, turns), rowsOf(tx, sequences), rowsOf(tx, onces), rowsOf(tx, attempts),
					rowsOf(tx, queues), rowsOf(tx, tags), rowsOf(tx, sources), rowsOf(tx, tasks),
				} {
					n += len(list)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		plain, fifo := s.queue("jobs"), s.fifo("jobs")
		for i := range 30 {
			s.fill(plain, 100)
			s.sendTo(fifo, fmt.Sprint(i%3), fmt.Sprint(i), "x")
		}
		s.receive(plain, 10, 0)
		s.receive(fifo, 10, 0)
		must(s.PurgeQueue(s.ctx, &sqs.PurgeQueueInput{QueueUrl: plain}))
		time.Sleep(time.Second)
		for _, url := range []string{plain, fifo} {
			must(s.DeleteQueue(s.ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
		}
		time.Sleep(time.Second)
		s.want(fmt.Sprint(rows()), "0")
		time.Sleep(time.Minute)
		fifo = s.fifo("jobs")
		for i := range 300 {
			s.sendTo(fifo, "g", fmt.Sprint(i), "x")
			s.cycle(fifo)
		}
		time.Sleep(20 * time.Minute)
		s.want(s.counts(fifo), "0/0/0")
		s.receive(fifo, 1, 0)
		// The queue, its front, total, traffic and sequence number.
		s.want(fmt.Sprint(rows()), "5")
	})
}

func rowsOf[V any](tx *store.Tx, t *store.Table[V]) (list []store.Key) {
	for key := range t.Keys(tx, store.Range{}) {
		list = append(list, key)
	}
	return list
}

// TestInFlightLimit counts anew only near the limit.
func TestInFlightLimit(t *testing.T) {
	bubble(t, func(s *server) {
		url := s.queue("jobs")
		s.fill(url, 20)
		s.receive(url, 8, 0)
		for limit, want := range map[int]int{8: 0, 9: 1, 12: 4, 100: 10} {
			err := s.db.Update(s.ctx, func(tx *store.Tx) error {
				q, err := find(tx, url)
				if err != nil {
					return err
				}
				r := receiver{queue: q, tx: tx, now: s.world.Now().UnixNano(), most: 10}
				if _, got := r.room(limit); got != want {
					t.Errorf("with 8 in flight and a limit of %d, %d may be received, want %d", limit, got, want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAccess(t *testing.T) {
	bubble(t, func(s *server) {
		for _, c := range []struct {
			op   string
			in   any
			want string
		}{
			{"SendMessage", &sqs.SendMessageInput{QueueUrl: "http://h/111111111111/jobs"}, "[{ arn:aws:sqs:us-east-1:111111111111:jobs map[]}]"},
			{"SendMessageBatch", &sqs.SendMessageBatchInput{QueueUrl: "http://h/111111111111/jobs"}, "[{sqs:SendMessage arn:aws:sqs:us-east-1:111111111111:jobs map[]}]"},
			{"CreateQueue", &sqs.CreateQueueInput{QueueName: "jobs"}, "[{ arn:aws:sqs:us-east-1:123456789012:jobs map[]}]"},
			{"ListQueues", &sqs.ListQueuesInput{}, "[{ arn:aws:sqs:us-east-1:123456789012:* map[]}]"},
		} {
			got, err := s.Access(s.ctx, &wire.Operation{Name: c.op, Action: "sqs:" + c.op}, c.in)
			if err != nil || fmt.Sprint(got) != c.want {
				t.Errorf("%s touches %v, %v; want %s", c.op, got, err, c.want)
			}
		}
	})
}
