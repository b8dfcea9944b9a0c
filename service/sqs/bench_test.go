package sqs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"fogbank/api/sqs"
	"fogbank/aws"
)

// The store is in memory: these measure the work of a call, not the disk.

var kibibyte = strings.Repeat("x", 1024)

func benchmark(b *testing.B) (*server, string) {
	s := start(b)
	b.Cleanup(s.stop)
	return s, s.queue("jobs")
}

func BenchmarkSend(b *testing.B) {
	s, url := benchmark(b)
	b.ReportAllocs()
	for b.Loop() {
		s.send(url, kibibyte)
	}
}

func BenchmarkSend64(b *testing.B) {
	s, url := benchmark(b)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.send(url, kibibyte)
		}
	})
}

func BenchmarkSendBatch(b *testing.B) {
	s, url := benchmark(b)
	b.ReportAllocs()
	for b.Loop() {
		s.fill(url, 10)
	}
}

// fill sends n messages, a multiple of ten.
func (s *server) fill(url string, n int) {
	for ; n > 0; n -= 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: url}
		for i := range 10 {
			in.Entries = append(in.Entries, sqs.SendMessageBatchRequestEntry{Id: fmt.Sprint(i), MessageBody: kibibyte})
		}
		must(s.SendMessageBatch(s.ctx, in))
	}
}

// BenchmarkCycle sends, receives and deletes a message while others wait.
func BenchmarkCycle(b *testing.B) {
	for _, waiting := range []int{0, 1_000, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			s, url := benchmark(b)
			s.fill(url, waiting)
			b.ReportAllocs()
			for b.Loop() {
				s.send(url, kibibyte)
				s.cycle(url)
			}
		})
	}
}

func (s *server) cycle(url string) {
	for _, m := range s.receive(url, 1, 0) {
		if err := s.delete(url, m); err != nil {
			panic(err)
		}
	}
}

// BenchmarkCycle64 does so from 64 clients of one queue.
func BenchmarkCycle64(b *testing.B) {
	for _, waiting := range []int{0, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			s, url := benchmark(b)
			s.fill(url, waiting)
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					s.send(url, kibibyte)
					s.cycle(url)
				}
			})
		})
	}
}

// BenchmarkInFlight receives and deletes while many messages are in flight.
func BenchmarkInFlight(b *testing.B) {
	s, url := benchmark(b)
	s.fill(url, 100_000)
	for range 10_000 {
		s.receive(url, 10, 0)
	}
	for b.Loop() {
		s.send(url, kibibyte)
		s.cycle(url)
	}
}

func BenchmarkFIFO(b *testing.B) {
	s := start(b)
	b.Cleanup(s.stop)
	url := s.fifo("jobs")
	for i := 0; b.Loop(); i++ {
		s.sendTo(url, fmt.Sprint(i%100), fmt.Sprint(i), kibibyte)
		s.cycle(url)
	}
}

func BenchmarkCount(b *testing.B) {
	s, url := benchmark(b)
	s.fill(url, 100_000)
	b.ResetTimer()
	for b.Loop() {
		s.counts(url)
	}
}

// BenchmarkWake sends a message to a queue at which long polls wait, and waits until one has it.
func BenchmarkWake(b *testing.B) {
	for _, polls := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(polls), func(b *testing.B) {
			s, url := benchmark(b)
			got := make(chan sqs.Message)
			for range polls {
				s.world.Go(func(ctx context.Context) {
					ctx = aws.WithCall(ctx, aws.CallFrom(s.ctx))
					for ctx.Err() == nil {
						in := &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: new(int32(20))}
						out, err := s.poll(ctx, in)
						if err != nil {
							return
						}
						for _, m := range out.Messages {
							got <- m
						}
					}
				})
			}
			for b.Loop() {
				s.send(url, kibibyte)
				m := <-got
				if err := s.delete(url, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFair sends, receives and deletes for a quiet group behind the backlog of a noisy one.
func BenchmarkFair(b *testing.B) {
	s, url := benchmark(b)
	s.sendGroup(url, "noisy", numbered("n", 20_000)...)
	for range 10 {
		s.receive(url, 10, 0)
	}
	for b.Loop() {
		s.sendGroup(url, "quiet", kibibyte)
		s.cycle(url)
	}
}
