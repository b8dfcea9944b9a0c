package sqs

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/world"
)

// TestCostOfWaiting: a thousand long polls that wait take little memory, and while nothing happens nothing is done.
func TestCostOfWaiting(t *testing.T) {
	bubble(t, func(s *server) {
		url := s.queue("jobs")
		s.receive(url, 1, 1)
		memory := func() (stats runtime.MemStats) {
			runtime.GC()
			runtime.ReadMemStats(&stats)
			return stats
		}
		before := memory()
		const polls = 1000
		done := make(chan int, polls)
		for range polls {
			go func() { done <- len(s.receive(url, 1, 20)) }()
		}
		synctest.Wait()
		waiting := memory()
		took := int64(waiting.HeapAlloc+waiting.StackInuse) - int64(before.HeapAlloc+before.StackInuse)
		if took > 20<<20 {
			t.Errorf("%d polls take %d bytes", polls, took)
		}
		time.Sleep(19 * time.Second)
		idle := memory()
		if n := idle.Mallocs - waiting.Mallocs; n > polls/2 {
			t.Errorf("%d allocations while nothing happened", n)
		}
		t.Logf("%d polls take %d KiB; %d allocations in 19 idle seconds", polls, took>>10, idle.Mallocs-waiting.Mallocs)
		for range polls {
			<-done
		}
	})
}

// TestCostOfBacklog: to send, receive and delete a message costs the same behind many that wait, are in flight or delayed.
func TestCostOfBacklog(t *testing.T) {
	cycle := func(prepare func(s *server, url string)) float64 {
		s := start(t)
		defer s.stop()
		url := s.queue("jobs")
		prepare(s, url)
		for range 200 {
			s.send(url, kibibyte)
			s.cycle(url)
		}
		least := math.Inf(1) // the store's own work in the background counts in some rounds, not in all
		for range 10 {
			least = min(least, testing.AllocsPerRun(30, func() {
				s.send(url, kibibyte)
				s.cycle(url)
			}))
		}
		return least
	}
	const many = 20_000
	empty := cycle(func(*server, string) {})
	for name, prepare := range map[string]func(*server, string){
		"waiting": func(s *server, url string) { s.fill(url, many) },
		"in flight": func(s *server, url string) {
			s.fill(url, many)
			for range many / 10 {
				s.receive(url, 10, 0)
			}
		},
		"delayed": func(s *server, url string) { s.delay(url, many, 900) },
	} {
		if n := cycle(prepare); n > 1.3*empty {
			t.Errorf("%.0f allocations with %d messages %s, %.0f with none", n, many, name, empty)
		}
	}
}

// delay sends n messages, a multiple of ten, that are delayed.
func (s *server) delay(url string, n int, seconds int32) {
	for ; n > 0; n -= 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: url}
		for i := range 10 {
			in.Entries = append(in.Entries, sqs.SendMessageBatchRequestEntry{Id: fmt.Sprint(i), MessageBody: "later", DelaySeconds: &seconds})
		}
		must(s.SendMessageBatch(s.ctx, in))
	}
}

// BenchmarkDelayed starts a server again on a disk with many delayed messages, and has one come due for a poll that waits.
// late-ms is how long after its time the poll has it.
func BenchmarkDelayed(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &server{t: b, ctx: aws.WithCall(context.Background(), &aws.Call{Account: account, Region: region, Endpoint: host,
				Principal: aws.Principal{Kind: aws.Root, Account: account, UserID: account}})}
			dir := b.TempDir()
			open := func() {
				s.world = world.New()
				s.db = must(store.Open(store.Options{Dir: dir, World: s.world, Log: slog.New(slog.DiscardHandler)}))
				s.Service = New(s.db, s.world)
				s.Start()
			}
			open()
			url := s.queue("jobs")
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() { s.delay(url, n/20, 900) })
			}
			group.Wait()
			var restart, late time.Duration
			for b.Loop() {
				s.stop()
				begin := time.Now()
				open()
				s.counts(s.queue("other"))
				restart += time.Since(begin)
				must(s.SendMessage(s.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: "soon", DelaySeconds: new(int32(1))}))
				due := time.Now().Add(time.Second)
				for _, m := range s.receive(url, 1, 20) {
					late += time.Since(due)
					must(0, s.delete(url, m))
				}
			}
			s.stop()
			b.ReportMetric(float64(restart.Microseconds())/1000/float64(b.N), "restart-ms")
			b.ReportMetric(float64(late.Microseconds())/1000/float64(b.N), "late-ms")
		})
	}
}
