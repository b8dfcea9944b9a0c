package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"orders/order"
)

// options of "orders send".
type options struct {
	file     string
	rate     float64
	workers  int
	count    int
	skip     int
	surges   int
	json     bool
	patience time.Duration
}

func sendFlags(f *flag.FlagSet) *options {
	o := new(options)
	f.StringVar(&o.file, "orders", "orders.jsonl", "file with one request a line")
	f.Float64Var(&o.rate, "rate", 20, "requests a second; 0: as fast as they are answered")
	f.IntVar(&o.workers, "workers", 8, "requests under way at once")
	f.IntVar(&o.count, "count", 0, "requests to send: the file over and over, with fresh tokens; 0: the file once")
	f.IntVar(&o.skip, "skip", 0, "requests to leave out first: those an earlier run sent")
	f.IntVar(&o.surges, "surges", 0, "how often, evenly spread, to send a surge of requests at once")
	f.BoolVar(&o.json, "json", false, "print progress and verdict as JSON lines")
	f.DurationVar(&o.patience, "patience", 90*time.Second, "how long one request, or the last message, may take")
	return o
}

// send sends the requests, reads every queue meanwhile, waits until all arrived, and judges.
func send(ctx context.Context, c *clients, s *State, o options) error {
	requests, err := readRequests(o.file, o.skip, o.count)
	if err != nil {
		return err
	}
	l := newLedger(len(requests))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var readers sync.WaitGroup
	for _, q := range queueNames {
		readers.Go(func() { c.read(ctx, l, q, s.Queues[q]) })
	}
	show := &printer{json: o.json, ledger: l}
	readers.Go(func() { show.run(ctx) })

	d := &driver{ledger: l, api: s.API, patience: o.patience, done: map[string]chan struct{}{}, http: &http.Client{Timeout: 35 * time.Second,
		Transport: &http.Transport{DialContext: dialLocalhost, MaxIdleConnsPerHost: o.workers}}}
	d.sendAll(ctx, requests, o, show)
	l.settle(ctx, o.patience)
	v := l.verdict()
	v.checkTable(ctx, c, s, l)
	stop()
	readers.Wait()
	show.final(v)
	if !v.OK {
		return errors.New("the verdict is: not everything arrived as it should")
	}
	return nil
}

// request is one line of the file, parsed as far as the sender cares.
type request struct {
	body  []byte
	token string
	after string // the token this one must follow: the refunded order's, or its own when repeated
	order order.Request
	valid bool // whether the fields below make an order
}

// readRequests reads count requests of the file after the first skip; more than it has makes rounds with tokens of their own.
func readRequests(file string, skip, count int) ([]*request, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if count == 0 {
		count = len(lines)
	}
	list := make([]*request, 0, count)
	for i := skip; i < skip+count; i++ {
		line := lines[i%len(lines)]
		if round := i / len(lines); round > 0 {
			mark := fmt.Sprintf("-r%d\"", round)
			for _, key := range []string{`"clientToken":"`, `"refundOf":"`} {
				if at := bytes.Index(line, []byte(key)); at >= 0 {
					end := at + len(key) + bytes.IndexByte(line[at+len(key):], '"')
					if end > at+len(key) { // an empty token stays empty
						line = append(append(bytes.Clone(line[:end]), mark...), line[end+1:]...)
					}
				}
			}
		}
		r := &request{body: line}
		var head struct{ ClientToken, RefundOf string }
		if err := json.Unmarshal(line, &head); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		r.token, r.after = head.ClientToken, head.RefundOf
		if o, err := order.ParseRequest(string(line)); err == nil {
			r.order, r.valid = *o, true
		}
		list = append(list, r)
	}
	return list, nil
}

// driver sends requests to the API.
type driver struct {
	ledger   *ledger
	api      string
	http     *http.Client
	patience time.Duration

	mu   sync.Mutex
	done map[string]chan struct{} // token → closed when its first request is answered
}

// surge is how many requests of a surge are sent at once.
const surge = 24

func (d *driver) sendAll(ctx context.Context, requests []*request, o options, show *printer) {
	work := make(chan *request)
	var workers sync.WaitGroup
	for range o.workers {
		workers.Go(func() {
			for r := range work {
				d.send(ctx, r)
			}
		})
	}
	begin, surges := time.Now(), 0
	calm := 0 // the first request after the last surge
	for i, r := range requests {
		if surges < o.surges && i >= len(requests)*(surges+1)/(o.surges+1) {
			surges++
			calm = i + surge
			show.print(d.ledger.progress())
		}
		if o.rate > 0 && i >= calm {
			wait(ctx, time.Until(begin.Add(time.Duration(float64(i)/o.rate*float64(time.Second)))))
		}
		if ctx.Err() != nil {
			break
		}
		d.depend(r)
		work <- r
	}
	close(work)
	workers.Wait()
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// depend notes which earlier request r must wait for: a refund follows its order, a repetition its original.
func (d *driver) depend(r *request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.after == "" && d.done[r.token] != nil {
		r.after = r.token
	} else if d.done[r.token] == nil {
		d.done[r.token] = make(chan struct{})
	}
}

func (d *driver) send(ctx context.Context, r *request) {
	d.mu.Lock()
	before, own := d.done[r.after], d.done[r.token]
	d.mu.Unlock()
	if r.after != "" && before != nil {
		select {
		case <-before:
		case <-ctx.Done():
			return
		}
	}
	begin := time.Now()
	d.ledger.sent(begin)
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		status, answer, err := d.post(ctx, r.body)
		if err == nil && status < 500 && status != http.StatusTooManyRequests {
			d.ledger.answered(r, begin, status, answer)
			break
		}
		if ctx.Err() != nil || time.Since(begin) > d.patience {
			d.ledger.failed(r, fmt.Sprintf("status %d, %v: %s", status, err, answer))
			break
		}
		d.ledger.retried()
		wait(ctx, delay)
	}
	if r.after != r.token {
		close(own)
	}
}

func (d *driver) post(ctx context.Context, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", d.api+"/orders", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := d.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, answer, err
}

// dialLocalhost connects names below "localhost" to the loopback address, as RFC 6761 (6.3) asks;
// resolvers do not all do so.
func dialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// printer shows progress: JSON lines for programs, plain lines for people.
type printer struct {
	json   bool
	ledger *ledger
	mu     sync.Mutex // held while lines are written
}

func (p *printer) run(ctx context.Context) {
	every := 250 * time.Millisecond
	if !p.json {
		every = 2 * time.Second
	}
	for ctx.Err() == nil {
		p.print(p.ledger.progress())
		wait(ctx, every)
	}
}

func (p *printer) print(s Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		printJSON(s)
		return
	}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	fmt.Fprintf(w, "sent %d/%d  accepted %d  refused %d  retries %d\n", s.Sent, s.Requests, s.Accepted, s.Refused, s.Retries)
	for _, h := range s.Hops {
		fmt.Fprintf(w, "  %-34s %6d  in flight %5d  p50 %8.1f ms  p99 %8.1f ms\n", h.Name, h.Count, h.InFlight, h.P50, h.P99)
	}
}

func (p *printer) final(v *Verdict) {
	p.print(p.ledger.progress())
	if p.json {
		printJSON(v)
		return
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", b)
}

func printJSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", b)
}
