package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"conform/server"
)

const (
	functionRole  = "arn:aws:iam::000000000000:role/echo"
	functionsPath = "/2015-03-31/functions"
	coldStarts    = 100
	idleFunctions = 1000
)

// functions measures invocations of a program in Go that answers its event.
func (b *bench) functions() error {
	s, err := b.server("functions")
	if err != nil {
		return err
	}
	defer s.Stop()
	c := newCaller(s.URL())
	if err := makeRole(c); err != nil {
		return err
	}
	code, err := echoZip(b.dir)
	if err != nil {
		return err
	}
	for _, name := range []string{"echo", "cold"} {
		if err := makeFunction(c, name, code); err != nil {
			return err
		}
	}
	if err := b.warm(c); err != nil {
		return err
	}
	if err := b.cold(s, c); err != nil {
		return err
	}
	if err := b.follow(c); err != nil {
		return err
	}
	return b.manyFunctions(s, c)
}

// makeRole makes the role of the functions, which may read streams and write logs.
func makeRole(c *caller) error {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	const may = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:*","logs:*"],"Resource":"*"}]}`
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, body := range []string{"Action=CreateRole&RoleName=echo&AssumeRolePolicyDocument=" + url.QueryEscape(trust),
		"Action=PutRolePolicy&RoleName=echo&PolicyName=p&PolicyDocument=" + url.QueryEscape(may)} {
		if _, err := c.do("iam", "/", "Version=2010-05-08&"+body, form); err != nil {
			return err
		}
	}
	return nil
}

func makeFunction(c *caller, name string, code []byte) error {
	body := fmt.Sprintf(`{"FunctionName":%q,"Role":%q,"Runtime":"provided.al2023","Handler":"bootstrap","Timeout":10,"Code":{"ZipFile":%q}}`,
		name, functionRole, base64.StdEncoding.EncodeToString(code))
	_, err := c.do("lambda", functionsPath, body, nil)
	return err
}

// invocation prepares an invocation of a function.
func invocation(c *caller, name string) (*signed, error) {
	return c.sign("lambda", functionsPath+"/"+name+"/invocations", `{"n":1}`, http.Header{"Content-Type": {"application/json"}})
}

func (b *bench) warm(c *caller) error {
	invoke, err := invocation(c, "echo")
	if err != nil {
		return err
	}
	call := func() error {
		out, err := c.send(invoke)
		if err == nil && string(out) != `{"n":1}` {
			err = fmt.Errorf("the function answered %s", out)
		}
		return err
	}
	if _, err := measure(50, call); err != nil {
		return err
	}
	all, err := measure(2000, call)
	if err != nil {
		return err
	}
	b.add("warm Invoke, Go function", "p50 ≤ 0.6 ms, p99 ≤ 3 ms", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", at(all, 50), at(all, 99)), fmt.Sprintf("p50 is %.1f × the handler", at(all, 50)/at(b.handler, 50)))
	if err := b.handlerRates(); err != nil {
		return err
	}
	if _, err := c.cycle(fewer, []*signed{invoke}); err != nil { // until as many environments are warm
		return err
	}
	rate, err := c.cycle(fewer, []*signed{invoke})
	if err != nil {
		return err
	}
	floor, err := startFloor(b.dir, filepath.Join(b.dir, "bootstrap"), fewer)
	if err != nil {
		return err
	}
	defer floor.stop()
	plain, err := floor.json("lambda", "Floor.Invoke", `{"n":1}`)
	if err != nil {
		return err
	}
	if _, err := floor.cycle(fewer, []*signed{plain}); err != nil {
		return err
	}
	bare, err := floor.cycle(fewer, []*signed{plain})
	if err != nil {
		return err
	}
	b.rate("warm Invoke, 32 clients", "≥ 25 % of the handler", rate, b.rate32, fmt.Sprintf("the handler with 32 clients, %.2f × the floor (%.0f/s)", rate/bare, bare))
	return nil
}

// cold invokes a function as often at once as there is no environment for it, and looks at what the environments cost
// the server when they are idle.
func (b *bench) cold(s *server.Server, c *caller) error {
	invoke, err := invocation(c, "cold")
	if err != nil {
		return err
	}
	_, before, err := s.Memory()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failed := make(chan error, coldStarts)
	begin := time.Now()
	for range coldStarts {
		wg.Go(func() {
			if _, err := c.send(invoke); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	close(failed)
	if err := <-failed; err != nil {
		return err
	}
	time.Sleep(time.Second)
	_, after, err := s.Memory()
	if err != nil {
		return err
	}
	b.add("100 cold starts at once, Go function", "all answered ≤ 1.5 s", fmt.Sprintf("%.2f s", took.Seconds()), "")
	b.add("private memory of the server for each idle environment", "≤ 3 MB", fmt.Sprintf("%.2f MiB", float64(after-before)/coldStarts/(1<<20)), "at most 100 of them, since an environment that falls idle serves those that wait")
	return nil
}

// follow measures from sending a write until the function that follows the table's stream has it.
func (b *bench) follow(c *caller) error {
	made, err := c.post("dynamodb", "DynamoDB_20120810.CreateTable", `{"TableName":"followed","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],`+
		`"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	if err != nil {
		return err
	}
	var table struct {
		TableDescription struct{ LatestStreamArn string }
	}
	if err := json.Unmarshal(made, &table); err != nil {
		return err
	}
	if _, err := c.do("lambda", "/2015-03-31/event-source-mappings", fmt.Sprintf(`{"FunctionName":"echo","EventSourceArn":%q,"StartingPosition":"TRIM_HORIZON"}`, table.TableDescription.LatestStreamArn), nil); err != nil {
		return err
	}
	const warmUp, writes = 20, 300
	sent := make([]time.Time, writes)
	for i := range sent {
		put, err := c.json("dynamodb", "DynamoDB_20120810.PutItem", fmt.Sprintf(`{"TableName":"followed","Item":{"k":{"S":"%d"}}}`, i))
		if err != nil {
			return err
		}
		sent[i] = time.Now()
		if _, err := c.send(put); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond) // one at a time
	}
	got, err := stamps(c, writes)
	if err != nil {
		return err
	}
	var all []float64
	for i := warmUp; i < writes; i++ {
		all = append(all, float64(got[strconv.Itoa(i)].Sub(sent[i]).Microseconds())/1000)
	}
	all = sorted(all)
	b.add("write sent → function that follows the stream is called", "p50 ≤ 2 ms", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", at(all, 50), at(all, 99)),
		fmt.Sprintf("p50 is %.1f × (a sync and a handler call)", at(all, 50)/(at(b.sync, 50)+at(b.handler, 50))))
	return nil
}

// stamps reads from the function's log when it got each of so many records.
func stamps(c *caller, records int) (map[string]time.Time, error) {
	got := map[string]time.Time{}
	for deadline := time.Now().Add(time.Minute); len(got) < records; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the function was called for %d of %d records", len(got), records)
		}
		for token := ""; ; {
			out, err := c.post("logs", "Logs_20140328.FilterLogEvents", fmt.Sprintf(`{"logGroupName":"/aws/lambda/echo","filterPattern":"got"%s}`, token))
			if err != nil {
				return nil, err
			}
			var page struct {
				Events    []struct{ Message string }
				NextToken string
			}
			if err := json.Unmarshal(out, &page); err != nil {
				return nil, err
			}
			for _, e := range page.Events {
				var key string
				var ns int64
				if _, err := fmt.Sscanf(e.Message, "got %s %d", &key, &ns); err == nil {
					got[key] = time.Unix(0, ns)
				}
			}
			if page.NextToken == "" {
				break
			}
			token = fmt.Sprintf(`,"nextToken":%q`, page.NextToken)
		}
	}
	return got, nil
}

// manyFunctions looks at what functions cost that are not called.
func (b *bench) manyFunctions(s *server.Server, c *caller) error {
	code, err := packed([]byte("#!/bin/sh\n"))
	if err != nil {
		return err
	}
	_, before, err := s.Memory()
	if err != nil {
		return err
	}
	for i := range idleFunctions {
		if err := makeFunction(c, fmt.Sprintf("idle%d", i), code); err != nil {
			return err
		}
	}
	time.Sleep(3 * time.Second)
	_, after, err := s.Memory()
	if err != nil {
		return err
	}
	b.add("private memory of the server for 1,000 functions that are not called", "≤ 30 MB", fmt.Sprintf("%.1f MiB", float64(after-before)/(1<<20)), "")
	return nil
}

// echoZip builds the program and packs it.
func echoZip(dir string) ([]byte, error) {
	root, err := server.Root()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bootstrap")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", file, "./bench/echo")
	cmd.Dir, cmd.Env = filepath.Join(root, "conform"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return packed(program)
}

// packed is a package whose bootstrap is a program.
func packed(program []byte) ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(program)
	}
	if err == nil {
		err = z.Close()
	}
	return buf.Bytes(), err
}
