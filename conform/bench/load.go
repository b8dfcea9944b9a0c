package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	crowd    = 64 // clients of the throughput cases, and
	fewer    = 32 // those of functions
	warmUp   = 300 * time.Millisecond
	loadTime = 2 * time.Second
)

// caller sends signed requests over connections it keeps, at little cost of its own: the SDK's client would use
// more of the machine than the server.
type caller struct {
	url    string
	client *http.Client
}

func newCaller(url string) *caller {
	t := &http.Transport{MaxIdleConnsPerHost: 2 * crowd, DialContext: (&net.Dialer{}).DialContext, DisableCompression: true}
	return &caller{url, &http.Client{Transport: t}}
}

// signed is a request that can be sent many times while its signature is valid.
type signed struct {
	url    string
	header http.Header
	body   []byte
}

// json prepares a request of one of the JSON protocols: target is "DynamoDB_20120810.GetItem".
func (c *caller) json(service, target, body string) (*signed, error) {
	return c.sign(service, "/", body, http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {target}})
}

func (c *caller) sign(service, path, body string, header http.Header) (*signed, error) {
	r, err := http.NewRequest("POST", c.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	sum := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now())
	return &signed{c.url + path, r.Header, []byte(body)}, err
}

// send sends a request and returns the answer's body; a status that is not 2xx is an error.
func (c *caller) send(s *signed) ([]byte, error) { return c.sendIn(ctx, s) }

func (c *caller) sendIn(ctx context.Context, s *signed) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", s.url, bytes.NewReader(s.body))
	if err != nil {
		return nil, err
	}
	r.Header = s.header
	res, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.300s", res.Status, b)
	}
	return b, err
}

// post signs and sends.
func (c *caller) post(service, target, body string) ([]byte, error) {
	s, err := c.json(service, target, body)
	if err != nil {
		return nil, err
	}
	return c.send(s)
}

// do signs and sends a request that its path names.
func (c *caller) do(service, path, body string, header http.Header) ([]byte, error) {
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	s, err := c.sign(service, path, body, header)
	if err != nil {
		return nil, err
	}
	return c.send(s)
}

// throughput runs f in a closed loop of so many workers and returns how often it ended a second; f is told which worker
// calls and how often that did before.
func throughput(workers int, f func(worker, n int) error) (float64, error) {
	var counted atomic.Int64
	var counting, stopped atomic.Bool
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for n := 0; !stopped.Load(); n++ {
				if err := f(w, n); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				if counting.Load() {
					counted.Add(1)
				}
			}
		})
	}
	time.Sleep(warmUp)
	counting.Store(true)
	begin := time.Now()
	time.Sleep(loadTime)
	done, took := counted.Load(), time.Since(begin)
	stopped.Store(true)
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done) / took.Seconds(), nil
}

// cycle sends prepared requests over and over, each worker those of a part of its own, where there are enough for all.
func (c *caller) cycle(workers int, list []*signed) (float64, error) {
	return throughput(workers, func(w, n int) error {
		part := max(1, len(list)/workers)
		_, err := c.send(list[(w*part+n%part)%len(list)])
		return err
	})
}

// handlerRates measures the bare handler under the throughput cases' client, anew for each group of cases.
func (b *bench) handlerRates() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.HandlerFunc(bare), ReadHeaderTimeout: time.Second}
	go s.Serve(l)
	defer s.Close()
	c := newCaller("http://" + l.Addr().String())
	put, err := c.json("dynamodb", "DynamoDB_20120810.PutItem", `{"TableName":"t","Item":{"k":{"S":"key"},"v":{"S":"`+strings.Repeat("x", 1000)+`"}}}`)
	if err != nil {
		return err
	}
	if b.rate64, err = c.cycle(crowd, []*signed{put}); err != nil {
		return err
	}
	b.rate32, err = c.cycle(fewer, []*signed{put})
	return err
}

// rate adds a figure of calls a second with its share of a limit.
func (b *bench) rate(what, target string, got, limit float64, of string) {
	b.add(what, target, fmt.Sprintf("%.0f/s", got), fmt.Sprintf("%.0f %% of %s", 100*got/limit, of))
}
