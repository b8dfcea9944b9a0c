package lambda_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/sim"
	"fogbank/wire"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestScripts(t *testing.T) { sim.Scripts(t, "testdata/*.script") }

// site is a cloud in a bubble whose functions report what they get.
type site struct {
	t      *testing.T
	disk   vfs.FS
	world  *world.World
	starts uint64
	cloud  *fogbank.Cloud
	fake   *compute.Fake
	hot    string // Config.HotReload

	mu     sync.Mutex
	events []string
	refuse string // batches in which it occurs fail
}

func openSite(t *testing.T) *site {
	s := &site{t: t, disk: vfs.NewMem()}
	s.open()
	t.Cleanup(func() { s.close() })
	s.do("iam CreateRole", `{"RoleName":"fn","AssumeRolePolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"lambda.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"}`)
	s.do("iam PutRolePolicy", `{"RoleName":"fn","PolicyName":"p","PolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}"}`)
	s.do("lambda CreateFunction", `{"FunctionName":"f","Runtime":"provided.al2023","Handler":"spy","Role":"arn:aws:iam::000000000000:role/fn","Code":{"ZipFile":"emlw"}}`)
	return s
}

func (s *site) open() {
	s.starts++
	s.world = world.Seeded(s.starts)
	where := func(_ context.Context, spec compute.Spec, _ compute.Invocation, _ func(string)) ([]byte, error) {
		return json.Marshal(spec.Dir)
	}
	s.fake = &compute.Fake{World: s.world, Handlers: map[string]compute.Handler{"spy": s.spy, "told": told, "where": where, "gather": s.gather, "count": s.count}}
	cloud, err := fogbank.Open(fogbank.Config{FS: s.disk, World: s.world, Functions: s.fake, HotReload: s.hot, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		s.t.Fatal(err)
	}
	s.cloud = cloud
}

func (s *site) close() {
	if err := s.cloud.Close(); err != nil {
		s.t.Error(err)
	}
}

// spy notes the keys or bodies of a batch, "a,b", and "!a,b" when it fails.
func (s *site) spy(_ context.Context, _ compute.Spec, in compute.Invocation, log func(string)) ([]byte, error) {
	var batch struct {
		Records []struct {
			Body     string
			Dynamodb struct{ Keys map[string]map[string]string }
		}
	}
	if err := json.Unmarshal(in.Payload, &batch); err != nil {
		return nil, err
	}
	var names []string
	for _, r := range batch.Records {
		names = append(names, r.Body+r.Dynamodb.Keys["id"]["S"])
	}
	log(strings.Join(names, ","))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != "" && slices.Contains(names, s.refuse) {
		s.events = append(s.events, "!"+strings.Join(names, ","))
		return nil, compute.FakeError{Type: "Error", Message: "refused"}
	}
	s.events = append(s.events, strings.Join(names, ","))
	return []byte("null"), nil
}

// seen returns what functions got since the last time.
func (s *site) seen() string {
	time.Sleep(5 * time.Second)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.events, " ")
	s.events = nil
	return got
}

// do is try for what must succeed.
func (s *site) do(name, input string) map[string]any {
	s.t.Helper()
	answer, err := s.try(name, input)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return answer
}

// try runs an operation as root and returns its answer decoded.
func (s *site) try(name, input string) (map[string]any, error) {
	s.t.Helper()
	service, operation, _ := strings.Cut(name, " ")
	op := s.cloud.Operation(service, operation)
	in, err := wire.ParseJSON(op.Input, []byte(input))
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	ctx := aws.WithCall(context.Background(), &aws.Call{Account: fogbank.DefaultAccount, Region: fogbank.DefaultRegion,
		Principal: aws.Principal{Kind: aws.Root, Account: fogbank.DefaultAccount, ARN: "arn:aws:iam::000000000000:root"}})
	out, err := s.cloud.Do(ctx, op, in)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	return answer, json.Unmarshal(wire.AppendJSON(nil, op.Output, out), &answer)
}

// TestHotReload runs a function from a directory, which it finds changed at its next invocation.
func TestHotReload(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.js"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		s.close()
		s.hot = dir
		s.open()
		if _, err := s.try("lambda CreateFunction", `{"FunctionName":"no","Runtime":"nodejs22.x","Handler":"where","Role":"arn:aws:iam::000000000000:role/fn","Code":{"S3Bucket":"hot-reload","S3Key":"/"}}`); !aws.IsCode(err, "InvalidParameterValueException") {
			t.Errorf("a directory that is not allowed: %v", err)
		}
		if _, err := s.try("lambda CreateFunction", `{"FunctionName":"no","Runtime":"nodejs22.x","Handler":"where","Role":"arn:aws:iam::000000000000:role/fn","Code":{"S3Bucket":"mine","S3Key":"x.zip"}}`); !aws.IsCode(err, "NotImplemented") {
			t.Errorf("a bucket: %v", err)
		}
		s.do("lambda CreateFunction", `{"FunctionName":"hot","Runtime":"nodejs22.x","Handler":"where","Role":"arn:aws:iam::000000000000:role/fn","Code":{"S3Bucket":"hot-reload","S3Key":"`+dir+`"}}`)
		before := s.fake.Started.Load()
		for i, body := range []string{"1", "1", "22", "22"} {
			if err := os.WriteFile(filepath.Join(dir, "main.js"), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(filepath.Join(dir, "main.js"), time.Time{}, time.Unix(int64(len(body)), 0)); err != nil {
				t.Fatal(err)
			}
			out := s.do("lambda Invoke", `{"FunctionName":"hot"}`)
			if out["Payload"] != dir || out["FunctionError"] != nil {
				t.Errorf("invocation %d: %v", i, out)
			}
		}
		if n := s.fake.Started.Load() - before; n != 2 {
			t.Errorf("%d environments for two forms of the code", n)
		}
		if out := s.do("lambda GetFunction", `{"FunctionName":"hot"}`); out["Code"].(map[string]any)["Location"] != nil {
			t.Errorf("code that was not uploaded can be had at %v", out["Code"])
		}
		s.close()
		s.hot = "" // the setting is gone: the function does not run
		s.open()
		if _, err := s.try("lambda Invoke", `{"FunctionName":"hot"}`); !aws.IsCode(err, "InvalidParameterValueException") {
			t.Errorf("without the setting: %v", err)
		}
		s.do("lambda UpdateFunctionCode", `{"FunctionName":"hot","ZipFile":"emlw"}`)
		if out := s.do("lambda Invoke", `{"FunctionName":"hot"}`); out["Payload"] != "" {
			t.Errorf("from a package again: %v", out)
		}
	})
}

// table makes a table with a stream and returns the stream's ARN.
func (s *site) table() string {
	out := s.do("dynamodb CreateTable", `{"TableName":"orders","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	return out["TableDescription"].(map[string]any)["LatestStreamArn"].(string)
}

func (s *site) put(ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		// A number makes every write a change, also of an item that is there.
		s.do("dynamodb PutItem", fmt.Sprintf(`{"TableName":"orders","Item":{"id":{"S":"%s"},"n":{"S":"%s"}}}`, id, s.world.UUID()))
	}
}

func (s *site) refuseAll(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = what
}

func (s *site) want(what, want string) {
	s.t.Helper()
	if got := s.seen(); got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestStreamMapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		s.put("before")
		m := s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"LATEST","MaximumBatchingWindowInSeconds":1}`)["UUID"].(string)
		synctest.Wait()
		s.put("a", "b", "a")
		s.want("in order, from LATEST", "a,b,a")
		s.close()
		s.open()
		s.put("c")
		s.want("once, after a restart", "c")
		time.Sleep(20 * time.Minute) // the position is older than an iterator lives
		s.put("d")
		s.want("after a long rest", "d")
		s.do("lambda UpdateEventSourceMapping", `{"UUID":"`+m+`","Enabled":false}`)
		s.put("e")
		s.want("disabled", "")
		s.do("lambda UpdateEventSourceMapping", `{"UUID":"`+m+`","Enabled":true}`)
		s.want("enabled again", "e")
		s.do("lambda DeleteEventSourceMapping", `{"UUID":"`+m+`"}`)
		s.put("f")
		s.want("deleted", "")
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"TRIM_HORIZON","BatchSize":3,
			"FilterCriteria":{"Filters":[{"Pattern":"{\"dynamodb\":{\"Keys\":{\"id\":{\"S\":[{\"anything-but\":\"a\"}]}}}}"}]}}`)
		s.want("from the oldest, filtered", "before,b,c d,e,f")
	})
}

// TestLatestBeforeAnyRecord stops the server before a mapping has seen its first record.
func TestLatestBeforeAnyRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		s.put("before")
		time.Sleep(time.Minute)
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"LATEST"}`)
		synctest.Wait()
		s.close()
		time.Sleep(time.Hour)
		s.open()
		s.put("after")
		s.want("nothing lost, nothing too old", "after")
	})
}

func TestStreamFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		m := s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"TRIM_HORIZON","MaximumRetryAttempts":1,"MaximumBatchingWindowInSeconds":1}`)["UUID"].(string)
		s.refuseAll("x")
		s.put("a", "x", "b")
		s.want("given up after one retry", "!a,x,b !a,x,b")
		s.put("c")
		s.want("and on", "c")
		s.do("lambda UpdateEventSourceMapping", `{"UUID":"`+m+`","BisectBatchOnFunctionError":true,"MaximumRetryAttempts":0}`)
		s.put("d", "x", "e", "f")
		s.want("bisected", "!d,x,e,f !d,x d !x e,f")
		s.do("lambda UpdateEventSourceMapping", `{"UUID":"`+m+`","BisectBatchOnFunctionError":false,"MaximumRetryAttempts":-1,"MaximumRecordAgeInSeconds":60}`)
		s.put("x")
		time.Sleep(2 * time.Minute)
		if got := s.seen(); !strings.HasPrefix(got, "!x !x !x") || strings.Count(got, "!x") > 20 {
			t.Errorf("until it is too old: %q", got)
		}
		s.put("g")
		s.want("and on", "g")
	})
}

func TestParallelStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		stream := s.table()
		s.put("a", "b", "c", "a", "b", "c", "a", "b", "c")
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"`+stream+`","StartingPosition":"TRIM_HORIZON","ParallelizationFactor":3,"BatchSize":2}`)
		got := strings.FieldsFunc(s.seen(), func(r rune) bool { return r == ' ' || r == ',' })
		slices.Sort(got)
		if strings.Join(got, "") != "aaabbbccc" {
			t.Errorf("got %q", got)
		}
	})
}

func TestQueueMapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		q := s.do("sqs CreateQueue", `{"QueueName":"jobs.fifo","Attributes":{"FifoQueue":"true","ContentBasedDeduplication":"true"}}`)["QueueUrl"].(string)
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"arn:aws:sqs:us-east-1:000000000000:jobs.fifo","BatchSize":1}`)
		s.refuseAll("b")
		for _, body := range []string{"a", "b", "c"} {
			s.do("sqs SendMessage", `{"QueueUrl":"`+q+`","MessageGroupId":"g","MessageBody":"`+body+`"}`)
		}
		s.want("b holds its group up", "a !b")
		s.refuseAll("")
		time.Sleep(30 * time.Second)
		s.want("until it is taken", "b c")
	})
}

// count notes how many records a batch has.
func (s *site) count(_ context.Context, _ compute.Spec, in compute.Invocation, _ func(string)) ([]byte, error) {
	var batch struct{ Records []json.RawMessage }
	if err := json.Unmarshal(in.Payload, &batch); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprint(len(batch.Records)))
	return []byte("null"), nil
}

// TestLargeBatch shows that messages that are too much for one invocation are given to several.
func TestLargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		s.do("lambda UpdateFunctionConfiguration", `{"FunctionName":"f","Handler":"count"}`)
		q := s.do("sqs CreateQueue", `{"QueueName":"jobs"}`)["QueueUrl"].(string)
		for range 8 {
			s.do("sqs SendMessage", `{"QueueUrl":"`+q+`","MessageBody":"`+strings.Repeat("x", 1000000)+`"}`)
		}
		s.do("lambda CreateEventSourceMapping", `{"FunctionName":"f","EventSourceArn":"arn:aws:sqs:us-east-1:000000000000:jobs"}`)
		s.want("in parts", "6 2")
	})
}

// TestLogs shows that what functions print, and Lambda says about them, is in CloudWatch Logs.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t)
		s.do("lambda Invoke", `{"FunctionName":"f","Payload":"eyJSZWNvcmRzIjpbeyJib2R5IjoiaGVsbG8ifV19"}`)
		time.Sleep(time.Second)
		var lines []string
		for _, e := range s.do("logs FilterLogEvents", `{"logGroupName":"/aws/lambda/f"}`)["events"].([]any) {
			line, _, _ := strings.Cut(e.(map[string]any)["message"].(string), " ")
			lines = append(lines, line)
		}
		if got := strings.Join(lines, " "); got != "START hello END REPORT" {
			t.Errorf("logged %q", got)
		}
	})
}
