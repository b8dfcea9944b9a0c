// Command bench measures the built binary on this machine, beside the machine's own limits in the
// same run, and writes the figures as a table.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"conform/server"
)

var ctx = context.Background()

// figure is a row of the table.
type figure struct{ what, target, got, limit string }

func main() {
	if len(os.Args) == 5 && os.Args[1] == floorArg {
		processes, err := strconv.Atoi(os.Args[4])
		if err == nil {
			err = serveFloor(os.Args[2], os.Args[3], processes)
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	out := flag.String("out", "", "file to write the table to, besides the standard output")
	only := flag.String("only", "", "run the measurements whose names contain this")
	gigabyte := flag.Bool("gigabyte", true, "measure the start on a directory of 1 GB, which it writes first")
	large := flag.Int("large", 0, "load a table with so many 200-byte items, and measure that too")
	flag.Parse()
	dir, err := os.MkdirTemp("", "fogbank-bench-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir}
	measurements := []struct {
		name string
		run  func() error
	}{
		{"limits", b.limits}, {"start", b.start}, {"sns", b.snsToSQS}, {"functions", b.functions}, {"orders", b.orders},
		{"dynamodb", b.dynamodb}, {"streams", b.streams}, {"messages", b.messages}, {"events", b.events},
		{"rules", b.rules}, {"crowds", b.crowds},
	}
	if *gigabyte {
		measurements = append(measurements, struct {
			name string
			run  func() error
		}{"gigabyte", b.gigabyte})
	}
	if *large > 0 {
		measurements = append(measurements, struct {
			name string
			run  func() error
		}{"large", func() error { return b.large(*large) }})
	}
	for _, m := range measurements {
		if !strings.Contains(m.name, *only) && m.name != "limits" {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		if err := m.run(); err != nil {
			os.RemoveAll(dir)
			log.Fatalf("%s: %v", m.name, err)
		}
	}
	table := b.table()
	fmt.Print(table)
	if *out != "" {
		if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(*out, []byte(table), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

type bench struct {
	dir     string
	handler []float64 // ms
	sync    []float64 // ms
	rate64  float64   // of the handler, calls a second with 64 clients,
	rate32  float64   // and with 32
	figures []figure
}

func (b *bench) add(what, target, got, limit string) {
	b.figures = append(b.figures, figure{what, target, got, limit})
}

func (b *bench) table() string {
	var t strings.Builder
	fmt.Fprintf(&t, "# Figures\n\nWritten by `make bench` on %s, %d CPUs (%s/%s), client and server sharing them. The limits were measured in the same run: "+
		"the *handler* is a bare `net/http` server that verifies SigV4, parses the JSON and writes it back, called by the same client (the SDK's: p50 %.2f ms; %.0f calls/s with 64 clients that do little more than send); a *sync* is an append of 1 KiB and fsync (p50 %.2f ms, p99 %.2f ms). "+
		"The *floor* is a server of its own process with `net/http`, SigV4, JSON, one file that is synced for all who wait, queues in memory and functions that are plain processes, and nothing else.\n\n"+
		"| what | target | measured | beside the limits |\n|---|---|---|---|\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, at(b.handler, 50), b.rate64, at(b.sync, 50), at(b.sync, 99))
	for _, f := range b.figures {
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", f.what, f.target, f.got, f.limit)
	}
	return t.String()
}

func at(sorted []float64, percentile int) float64 {
	return sorted[min(len(sorted)-1, len(sorted)*percentile/100)]
}

func (b *bench) limits() (err error) {
	if b.handler, err = handlerLimit(2000); err != nil {
		return err
	}
	if b.sync, err = syncLimit(b.dir, 1000); err != nil {
		return err
	}
	return b.handlerRates()
}

func (b *bench) server(name string) (*server.Server, error) {
	if _, err := server.Binary(); err != nil { // built before the clock starts
		return nil, err
	}
	return server.Start(filepath.Join(b.dir, name))
}

// start measures from exec to the first answer, on an empty directory, and the memory when idle.
func (b *bench) start() error {
	var times []float64
	for i := range 7 {
		if _, err := server.Binary(); err != nil {
			return err
		}
		begin := time.Now()
		s, err := b.server(fmt.Sprintf("empty%d", i))
		if err != nil {
			return err
		}
		times = append(times, float64(time.Since(begin).Microseconds())/1000)
		if i == 0 {
			time.Sleep(3 * time.Second)
			resident, private, err := s.Memory()
			if err != nil {
				return err
			}
			b.add("idle memory", "≤ 45 MB", fmt.Sprintf("%.1f MiB", float64(resident)/(1<<20)), fmt.Sprintf("%.1f MiB is private, the rest pages of the program's file", float64(private)/(1<<20)))
		}
		s.Stop()
	}
	times = sorted(times)
	b.add("start to first answer, empty directory", "≤ 60 ms", fmt.Sprintf("%.0f ms", at(times, 50)), fmt.Sprintf("%.0f syncs", at(times, 50)/at(b.sync, 50)))
	return nil
}

func (b *bench) snsToSQS() error {
	s, err := b.server("sns")
	if err != nil {
		return err
	}
	defer s.Stop()
	q, n := sqs.NewFromConfig(s.Root()), sns.NewFromConfig(s.Root())
	topic, err := n.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("t")})
	if err != nil {
		return err
	}
	arn := "arn:aws:sqs:us-east-1:000000000000:q"
	queue, err := q.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{
		"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + arn + `"}]}`}})
	if err != nil {
		return err
	}
	if _, err := n.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: &arn,
		Attributes: map[string]string{"RawMessageDelivery": "true"}}); err != nil {
		return err
	}
	var all []float64
	for i := range 1000 {
		d, err := oneHop(q, n, queue.QueueUrl, topic.TopicArn, fmt.Sprint(i))
		if err != nil {
			return err
		}
		if i >= 50 { // the rest is warm
			all = append(all, d)
		}
	}
	all = sorted(all)
	floor := 2*at(b.sync, 50) + at(b.handler, 50)
	b.add("SNS publish → SQS long poll returns, one at a time", "p50 ≤ 1 ms, p99 ≤ 8 ms", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", at(all, 50), at(all, 99)),
		fmt.Sprintf("p50 is %.1f × (two syncs and a handler call)", at(all, 50)/floor))
	return nil
}

// oneHop publishes to a waiting long poll and returns the milliseconds from the publish to its answer.
func oneHop(q *sqs.Client, n *sns.Client, queue, topic *string, text string) (float64, error) {
	type answer struct {
		at  time.Time
		out *sqs.ReceiveMessageOutput
		err error
	}
	got := make(chan answer, 1)
	go func() {
		out, err := q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20})
		got <- answer{time.Now(), out, err}
	}()
	time.Sleep(3 * time.Millisecond) // until the poll waits
	begin := time.Now()
	if _, err := n.Publish(ctx, &sns.PublishInput{TopicArn: topic, Message: &text}); err != nil {
		return 0, err
	}
	a := <-got
	if a.err != nil {
		return 0, a.err
	}
	if len(a.out.Messages) != 1 || *a.out.Messages[0].Body != text {
		return 0, fmt.Errorf("got %d messages", len(a.out.Messages))
	}
	_, err := q.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: a.out.Messages[0].ReceiptHandle})
	return float64(a.at.Sub(begin).Microseconds()) / 1000, err
}

// orders runs the order system: at ten orders a second for latency, then in a closed loop.
func (b *bench) orders() error {
	root, err := server.Root()
	if err != nil {
		return err
	}
	example := filepath.Join(root, "examples", "orders")
	program := filepath.Join(b.dir, "orders")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = example
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	s, err := b.server("orders-data")
	if err != nil {
		return err
	}
	defer s.Stop()
	state := filepath.Join(b.dir, "state.json")
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command(program, append(args, "-state", state)...)
		cmd.Dir, cmd.Env, cmd.Stderr = example, append(s.Env(), "FUNCTION_GOOS="+runtime.GOOS), os.Stderr
		return cmd.Output()
	}
	if _, err := run("deploy"); err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	verdict := func(args ...string) (v struct {
		OK              bool
		Accepted        int
		OrdersPerSecond float64
		P50             float64 `json:"lastQueueP50ms"`
		P99             float64 `json:"lastQueueP99ms"`
	}, err error) {
		out, err := run(append([]string{"send", "-json"}, args...)...)
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		if e := json.Unmarshal(lines[len(lines)-1], &v); e != nil || !v.OK {
			return v, fmt.Errorf("the verdict is %.2000s (%v, %v)", lines[len(lines)-1], err, e)
		}
		return v, nil
	}
	slow, err := verdict("-rate", "10")
	if err != nil {
		return err
	}
	b.add("order → last queue (5 durable hops, 2 function calls), 10 orders/s", "p50 ≤ 15 ms, p99 ≤ 60 ms", fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", slow.P50, slow.P99),
		fmt.Sprintf("p50 is %.0f syncs", slow.P50/at(b.sync, 50)))
	// A second file of tokens: the first one's orders are in the table already.
	fast, err := verdict("-rate", "0", "-count", "4000", "-skip", "200", "-workers", "16")
	if err != nil {
		return err
	}
	b.add("sustained, closed loop of 16, nothing lost", "≥ 200 orders/s", fmt.Sprintf("%.0f orders/s (%d orders)", fast.OrdersPerSecond, fast.Accepted), "")
	return nil
}

// gigabyte measures the start on a directory of 1 GB after SIGKILL.
func (b *bench) gigabyte() error {
	s, err := b.server("gigabyte-data")
	if err != nil {
		return err
	}
	db := dynamodb.NewFromConfig(s.Root())
	if _, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: aws.String("big"), BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("k"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("k"), KeyType: ddb.KeyTypeHash}}}); err != nil {
		return err
	}
	const item = 40_000
	noise := make([]byte, item) // incompressible, so that a gigabyte is one on disk
	seed := uint64(1)
	for n := 0; n < 1<<30/item; {
		var puts []ddb.WriteRequest
		for range 25 {
			for i := range noise {
				seed = seed*6364136223846793005 + 1442695040888963407
				noise[i] = byte(seed >> 56)
			}
			puts = append(puts, ddb.WriteRequest{PutRequest: &ddb.PutRequest{Item: map[string]ddb.AttributeValue{
				"k": &ddb.AttributeValueMemberS{Value: fmt.Sprintf("key-%08d", n)}, "v": &ddb.AttributeValueMemberB{Value: bytes.Clone(noise)}}}})
			n++
		}
		if _, err := db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]ddb.WriteRequest{"big": puts}}); err != nil {
			return err
		}
	}
	var times []float64
	for range 5 {
		s.Kill()
		begin := time.Now()
		if err := s.Restart(); err != nil {
			return err
		}
		times = append(times, float64(time.Since(begin).Microseconds())/1000)
		// Some writes, so that there is something to recover next time.
		for i := range 50 {
			if _, err := db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("big"), Item: map[string]ddb.AttributeValue{
				"k": &ddb.AttributeValueMemberS{Value: fmt.Sprintf("more-%d", i)}, "v": &ddb.AttributeValueMemberB{Value: noise}}}); err != nil {
				return err
			}
		}
	}
	s.Stop()
	times = sorted(times)
	b.add("start to first answer, 1 GB directory after SIGKILL", "≤ 600 ms", fmt.Sprintf("%.0f ms", at(times, 50)), "")
	return nil
}
