package fogbank

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fogbank/aws"
	"fogbank/wire"
)

// discard is an answer nobody reads; it keeps the status and the last bytes written.
type discard struct {
	h      http.Header
	status int
	body   []byte
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { d.body = append(d.body[:0], b...); return len(b), nil }

// signed returns a request of the JSON protocol as an SDK signs it.
func signed(service, target, body string) *http.Request {
	r := httptest.NewRequest("POST", "http://localhost:4566/", nil)
	r.ContentLength = int64(len(body))
	now := time.Now().UTC()
	stamp, scope := now.Format("20060102T150405Z"), now.Format("20060102")+"/us-east-1/"+service+"/aws4_request"
	kind := "application/x-amz-json-1.0"
	if service == "events" {
		kind = "application/x-amz-json-1.1"
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("X-Amz-Target", target)
	names := "content-type;host;x-amz-date;x-amz-target"
	sum := sha256.Sum256([]byte(body))
	canonical := "POST\n/\n\ncontent-type:" + kind + "\nhost:localhost:4566\nx-amz-date:" + stamp + "\nx-amz-target:" + target +
		"\n\n" + names + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4test")
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	sum = sha256.Sum256([]byte(canonical))
	signature := mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(signature))
	return r
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// ready is a signed request that can be sent again and again by one goroutine.
type ready struct {
	r    *http.Request
	text string
	body strings.Reader
	w    discard
}

func prepare(service, target, body string) *ready {
	x := &ready{r: signed(service, target, body), text: body, w: discard{h: http.Header{}}}
	x.r.Body = io.NopCloser(&x.body)
	return x
}

func (x *ready) send(c *Cloud) error {
	x.body.Reset(x.text)
	clear(x.w.h)
	x.w.status = 0
	c.ServeHTTP(&x.w, x.r)
	if x.w.status != http.StatusOK {
		return fmt.Errorf("%d %s", x.w.status, x.w.body)
	}
	return nil
}

const (
	dynamo = "DynamoDB_20120810."
	queues = "AmazonSQS."
)

// BenchmarkRequest is a whole request on a store on disk, from the HTTP handler to the last byte of the
// answer, 32 at once: what remains is what net/http costs. It holds the allocations promised for a
// request, see TestAllocations.
func BenchmarkRequest(b *testing.B) {
	for _, c := range requests {
		b.Run(c.name, func(b *testing.B) {
			cloud := benchCloud(b)
			lists := make([][]*ready, 16*runtime.GOMAXPROCS(0))
			for i := range lists {
				for j := range 16 {
					lists[i] = append(lists[i], prepare(c.service, c.target, c.body(int64(16*i+j))))
				}
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				list := lists[next.Add(1)-1]
				for i := 0; pb.Next(); i++ {
					if err := list[i%len(list)].send(cloud); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkMessages sends ten messages of 1 KiB in a request b.N times, then receives them all by tens, then deletes them, on a
// store on disk, 32 requests at once. For each it shows the time of the processor, what the engine does in the background included,
// and the allocations of a request.
func BenchmarkMessages(b *testing.B) {
	cloud := benchCloud(b)
	const url = `{"QueueUrl":"http://localhost:4566/000000000000/q",`
	batch := func(operation string, entry func(i int) string) *ready {
		var entries []string
		for i := range 10 {
			entries = append(entries, fmt.Sprintf(`{"Id":"%d",%s}`, i, entry(i)))
		}
		return prepare("sqs", queues+operation, url+`"Entries":[`+strings.Join(entries, ",")+`]}`)
	}
	var sends, receives, deletes []*ready
	for range b.N {
		sends = append(sends, batch("SendMessageBatch", func(int) string { return `"MessageBody":"` + strings.Repeat("x", 1024) + `"` }))
		receives = append(receives, prepare("sqs", queues+"ReceiveMessage", url+`"MaxNumberOfMessages":10}`))
	}
	allAtOnce(b, cloud, "send", sends)
	allAtOnce(b, cloud, "receive", receives)
	for _, x := range receives {
		var got struct {
			Messages []struct{ ReceiptHandle string }
		}
		if err := json.Unmarshal(x.w.body, &got); err != nil || len(got.Messages) != 10 {
			b.Fatalf("%v: %s", err, x.w.body)
		}
		deletes = append(deletes, batch("DeleteMessageBatch", func(i int) string { return `"ReceiptHandle":"` + got.Messages[i].ReceiptHandle + `"` }))
	}
	allAtOnce(b, cloud, "delete", deletes)
}

// allAtOnce sends requests, 32 at once, and reports what each cost.
func allAtOnce(b *testing.B, cloud *Cloud, name string, list []*ready) {
	var next atomic.Int64
	var group sync.WaitGroup
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := processorTime()
	for range 32 {
		group.Go(func() {
			for i := next.Add(1); i <= int64(len(list)); i = next.Add(1) {
				if err := list[i-1].send(cloud); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	took := processorTime() - begin
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(took.Microseconds())/float64(len(list)), name+"-cpu-µs")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(len(list)), name+"-allocs")
}

const filler = 900

var requests = []struct {
	name, service, target string
	body                  func(n int64) string
	allocs                float64 // at most, as TestAllocations counts
}{
	{"GetItem", "dynamodb", dynamo + "GetItem", func(n int64) string {
		return fmt.Sprintf(`{"TableName":"items","Key":{"k":{"S":"key-%d"}}}`, n%1000)
	}, 40},
	{"PutItem", "dynamodb", dynamo + "PutItem", func(n int64) string { return item(n % 1000) }, 60},
	{"UpdateItem", "dynamodb", dynamo + "UpdateItem", func(n int64) string {
		return fmt.Sprintf(`{"TableName":"counts","Key":{"k":{"S":"key-%d"}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`, n%1000)
	}, 70},
	{"SendMessage", "sqs", queues + "SendMessage", func(int64) string {
		return `{"QueueUrl":"http://localhost:4566/000000000000/q","MessageBody":"` + strings.Repeat("x", 256) + `"}`
	}, 80},
}

// TestAllocations: a request leaves no more for the collector than was promised.
func TestAllocations(t *testing.T) {
	cloud := benchCloud(t)
	for _, c := range requests {
		x := prepare(c.service, c.target, c.body(1))
		got := testing.AllocsPerRun(200, func() {
			if err := x.send(cloud); err != nil {
				t.Error(err)
			}
		})
		if got > c.allocs {
			t.Errorf("%s: %.0f allocations; at most %.0f", c.name, got, c.allocs)
		}
	}
}

func item(n int64) string {
	return fmt.Sprintf(`{"TableName":"items","Item":{"k":{"S":"key-%d"},"payload":{"S":"%s"},"n":{"N":"1234"},"tags":{"L":[{"S":"a"},{"S":"b"}]}}}`, n, strings.Repeat("x", filler))
}

// benchCloud is a cloud on disk with what the requests need.
func benchCloud(tb testing.TB) *Cloud {
	cloud, err := Open(Config{Data: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { cloud.Close() })
	table := `{"TableName":"%s","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`
	list := []*ready{prepare("dynamodb", dynamo+"CreateTable", fmt.Sprintf(table, "items")), prepare("dynamodb", dynamo+"CreateTable", fmt.Sprintf(table, "counts")),
		prepare("sqs", queues+"CreateQueue", `{"QueueName":"q"}`)}
	for i := range int64(1000) {
		list = append(list, prepare("dynamodb", dynamo+"PutItem", item(i)))
	}
	for _, x := range list {
		if err := x.send(cloud); err != nil {
			tb.Fatal(err)
		}
	}
	return cloud
}

// BenchmarkFanOut is a publish to a topic with many queues until all of them have the message. publish-ms is the call alone.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := crowd(b, n)
			sent := c.sent()
			round := func() time.Duration {
				begin := time.Now()
				c.publish(b)
				call := time.Since(begin)
				for sent += uint64(n); c.sent() < sent; {
					time.Sleep(100 * time.Microsecond)
				}
				return call
			}
			round() // what is derived from the subscriptions is made now
			calls := time.Duration(0)
			b.ReportAllocs()
			cpu := processorTime()
			for b.Loop() {
				calls += round()
			}
			b.ReportMetric((processorTime()-cpu).Seconds()*1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(calls.Seconds()*1e3/float64(b.N), "publish-ms")
		})
	}
}

// BenchmarkFanOutToPolls is a publish to a topic with queues a poll waits at each of, until all polls have their answers. publish-ms is the
// call alone, cpu-ms all that the processors did for it.
func BenchmarkFanOutToPolls(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { fanOutToPolls(b, n) })
	}
}

func fanOutToPolls(b *testing.B, n int) {
	c := crowd(b, n)
	polls := make([]*ready, n)
	for i := range polls {
		polls[i] = prepare("sqs", queues+"ReceiveMessage", `{"QueueUrl":"`+queueURL(i)+`","WaitTimeSeconds":20}`)
	}
	var group sync.WaitGroup
	poll := func() {
		for _, x := range polls {
			group.Go(func() {
				if err := x.send(c.Cloud); err != nil {
					b.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Millisecond) // now they wait
	}
	remove := func() {
		for i, x := range polls {
			var out struct {
				Messages []struct{ ReceiptHandle string }
			}
			if err := json.Unmarshal(x.w.body, &out); err != nil || len(out.Messages) != 1 {
				b.Fatalf("%v %s", err, x.w.body)
			}
			group.Go(func() {
				c.do(b, "sqs", "DeleteMessage", `{"QueueUrl":"`+queueURL(i)+`","ReceiptHandle":"`+out.Messages[0].ReceiptHandle+`"}`)
			})
		}
		group.Wait()
	}
	poll()
	c.publish(b)
	group.Wait()
	var calls, cpu time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		remove()
		poll()
		b.StartTimer()
		busy, begin := processorTime(), time.Now()
		c.publish(b)
		calls += time.Since(begin)
		group.Wait()
		cpu += processorTime() - busy
	}
	b.ReportMetric(cpu.Seconds()*1e3/float64(b.N), "cpu-ms/op")
	b.ReportMetric(calls.Seconds()*1e3/float64(b.N), "publish-ms")
}

// crowded is a cloud with a topic and many queues that are subscribed to it.
type crowded struct {
	*Cloud
}

const crowdTopic = "arn:aws:sns:us-east-1:" + DefaultAccount + ":t"

func queueURL(i int) string { return fmt.Sprintf("http://localhost:4566/%s/fan%d", DefaultAccount, i) }

func crowd(b *testing.B, n int) crowded {
	c := crowded{Cloud: benchCloud(b)}
	c.do(b, "sns", "CreateTopic", `{"Name":"t"}`)
	var next atomic.Int64
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				arn := fmt.Sprintf("arn:aws:sqs:us-east-1:%s:fan%d", DefaultAccount, i)
				policy := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"sns.amazonaws.com\"},\"Action\":\"sqs:SendMessage\",\"Resource\":\"` + arn + `\"}]}`
				c.do(b, "sqs", "CreateQueue", fmt.Sprintf(`{"QueueName":"fan%d","Attributes":{"Policy":"%s"}}`, i, policy))
				c.do(b, "sns", "Subscribe", `{"TopicArn":"`+crowdTopic+`","Protocol":"sqs","Endpoint":"`+arn+`"}`)
			}
		})
	}
	group.Wait()
	return c
}

// do makes a call in the process.
func (c crowded) do(b *testing.B, service, operation, in string) {
	ctx := c.call(b.Context())
	op := c.Operation(service, operation)
	v, err := wire.ParseInput(op, []byte(in))
	if err == nil {
		call := *aws.CallFrom(ctx)
		call.Principal = aws.Principal{Kind: aws.Root, Account: DefaultAccount, ARN: "arn:aws:iam::" + DefaultAccount + ":root"}
		_, err = c.Do(aws.WithCall(ctx, &call), op, v)
	}
	if err != nil {
		b.Error(operation, err)
	}
}

func (c crowded) publish(b *testing.B) {
	c.do(b, "sns", "Publish", `{"TopicArn":"`+crowdTopic+`","Message":"hello"}`)
}

// sent is how many messages were put into queues.
func (c crowded) sent() (n uint64) {
	for _, k := range c.gate.Counts() {
		if k.Operation == "SendMessage" && k.Code == "" {
			n += k.Requests
		}
	}
	return n
}
