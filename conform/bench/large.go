package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// large measures a table with many small items: loading it, reading it, its memory and its start.
func (b *bench) large(items int) error {
	s, err := b.server("large")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	if _, err := c.post("dynamodb", "DynamoDB_20120810.CreateTable", `{"TableName":"large","BillingMode":"PAY_PER_REQUEST",`+
		`"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`); err != nil {
		return err
	}
	begin := time.Now()
	if err := fillLarge(c, items); err != nil {
		return err
	}
	took := time.Since(begin)
	gets := make([]*signed, 20_000)
	for i := range gets {
		if gets[i], err = c.json("dynamodb", "DynamoDB_20120810.GetItem", fmt.Sprintf(`{"TableName":"large","Key":{"k":{"S":"k%09d"}}}`, rand.IntN(items))); err != nil {
			return err
		}
	}
	one, err := readLarge(c, gets, 1)
	if err != nil {
		return err
	}
	eight, err := readLarge(c, gets, 8)
	if err != nil {
		return err
	}
	resident, _, err := s.Memory()
	if err != nil {
		return err
	}
	s.Kill()
	begin = time.Now()
	if err := s.Restart(); err != nil {
		return err
	}
	b.add(fmt.Sprintf("%.1f million 200-byte items", float64(items)/1e6), "p99 GetItem ≤ 5 ms, memory ≤ 1 GB, restart ≤ 2 s (of 10 million)",
		fmt.Sprintf("loaded in %.0f s, p99 %.2f ms with one client, %.2f ms with 8, %.0f MiB, restart %.0f ms", took.Seconds(), at(one, 99), at(eight, 99),
			float64(resident)/(1<<20), float64(time.Since(begin).Milliseconds())),
		"read at once after the load; SIGKILL before the restart")
	return nil
}

// readLarge gets items with so many clients and returns how long each took, in ms and in order.
func readLarge(c *caller, gets []*signed, clients int) (all []float64, err error) {
	var mu sync.Mutex
	_, err = throughput(clients, func(w, n int) error {
		start := time.Now()
		out, err := c.send(gets[(w*len(gets)/clients+n)%len(gets)])
		if err == nil && !strings.Contains(string(out), `"Item"`) {
			err = fmt.Errorf("an item is missing: %s", out)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, float64(time.Since(start).Microseconds())/1000)
		return err
	})
	slices.Sort(all)
	return all, err
}

// fillLarge writes the items in batches of 25, with 16 clients.
func fillLarge(c *caller, items int) error {
	value := strings.Repeat("z", 180)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for failed.Load() == nil {
				first := int(next.Add(25)) - 25
				if first >= items {
					return
				}
				if err := putBatch(c, "large", min(25, items-first), func(i int) string {
					return fmt.Sprintf(`{"k":{"S":"k%09d"},"v":{"S":"%s"}}`, first+i, value)
				}); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
