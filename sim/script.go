// Package sim runs the whole cloud in a bubble of virtual time, for scripts
// and for seeded simulations.
//
// Its functions are those of compute.Fake, and
//
//	call   logs its tracing header, makes the calls its variables CALL… are, as the root of its account and with the header,
//	       as an SDK does, and answers its event
//
// A script is a list of commands, each followed by the answer it must get,
// indented by one tab. Lines starting with # say what is being shown.
//
//	sqs SendMessage QueueUrl=$q MessageBody='hello you'   an operation: members are JSON when they
//	                                                      parse as JSON, else strings
//	sqs ReceiveMessage QueueUrl=$q WaitTimeSeconds=20 &   in the background
//	join                                                  its answer
//	sent                                                  what left for the outside since the last time
//	outside 503 [body]                                    what hosts outside answer with from now on; what was sent is forgotten
//	set q = .QueueUrl                                     keeps a part of the last answer
//	as user/alice                                         who calls: root, user/NAME, role/NAME, service names
//	account 111111111111, region eu-west-1                where
//	trace Root=1-…                                        with which tracing header; none when there is nothing behind it
//	advance 30s                                           lets time pass
//	restart                                               closes the cloud and opens it on the same state
//	audit on                                              the same, and from then on calls are audited: off, on
//	transitions 5s                                        the same, and from then on transitions of DynamoDB tables last that long
//
// Identifiers that chance made are shown by their kind and order of appearance, so that
// scripts do not depend on who drew first.
package sim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fogbank"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/egress"
	"fogbank/wire"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var update = flag.Bool("update", false, "rewrite the expected output in scripts")

// Scripts runs every script matching pattern as a subtest.
func Scripts(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts match %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = Run(t, string(want)) })
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s: run with -update and read the diff\n%s", file, difference(string(want), got))
		})
	}
}

// difference shows the first lines in which two scripts part.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d after %q\n got: %s\nwant: %s", i+1, g[max(i-1, 0)], g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// script is a running script.
type script struct {
	t          *testing.T
	disk       vfs.FS
	world      *world.World
	cloud      *fogbank.Cloud
	as         string
	account    string
	audit      string
	lasting    string // transitions of DynamoDB tables
	region     string
	trace      string
	last       any
	vars       map[string]string
	background chan string
	network    egress.Memory
	outside    atomic.Pointer[egress.Answer] // what hosts outside answer with
	names      map[string]string             // identifier → what is shown for it
	kinds      map[string]int
	short      []string // identifiers of API Gateway, each followed by what is shown for it
}

// Run plays a script in the current bubble and returns it with the answers it got.
func Run(t *testing.T, text string) string {
	s := &script{t: t, disk: vfs.NewMem(), world: world.Seeded(1), as: "root", account: fogbank.DefaultAccount, region: fogbank.DefaultRegion,
		vars: map[string]string{}, background: make(chan string, 100), names: map[string]string{}, kinds: map[string]int{}}
	s.outside.Store(&egress.Answer{Status: http.StatusOK})
	s.network.Respond = func(context.Context, *egress.Request) (*egress.Answer, error) { return s.outside.Load(), nil }
	s.open()
	defer func() { s.close() }()
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "\t") {
			continue // an old answer
		}
		out.WriteString(line)
		out.WriteString(s.step(strings.TrimSpace(line)))
		synctest.Wait() // let relays and waiters settle
	}
	return out.String()
}

func (s *script) open() {
	l := &life{t: s.t, opened: make(chan struct{})}
	cloud, err := fogbank.Open(fogbank.Config{FS: s.disk, World: s.world, Network: &s.network, Functions: l.functions(s.world), Audit: s.audit, Transitions: s.lasting, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.cloud, l.cloud = cloud, cloud
	close(l.opened)
}

// life is a cloud until it is closed, as its functions see it: they may run before it is opened.
type life struct {
	t      *testing.T
	opened chan struct{}
	cloud  *fogbank.Cloud // once it is
}

// functions are the functions of scripts.
func (l *life) functions(w *world.World) *compute.Fake {
	return &compute.Fake{World: w, Handlers: map[string]compute.Handler{"call": l.callFrom}}
}

// callFrom is the function that makes calls.
func (l *life) callFrom(_ context.Context, spec compute.Spec, in compute.Invocation, log func(string)) ([]byte, error) {
	log(in.Trace)
	<-l.opened
	account := spec.Function.Account()
	root := aws.Principal{Kind: aws.Root, Account: account, ARN: aws.MakeARN("iam", "", account, "root"), UserID: account}
	ctx := aws.WithCall(context.Background(), &aws.Call{Principal: root, Account: account, Region: spec.Region, Endpoint: "http://fogbank", Trace: in.Trace})
	for _, name := range slices.Sorted(maps.Keys(spec.Variables)) {
		if !strings.HasPrefix(name, "CALL") {
			continue
		}
		f := cut(spec.Variables[name])
		if answer := call(ctx, l.t, l.cloud, f[0], f[1], f[2:]); strings.HasPrefix(answer, "!") {
			return nil, compute.FakeError{Type: "Error", Message: answer}
		}
	}
	return in.Payload, nil
}

func (s *script) close() {
	if err := s.cloud.Close(); err != nil {
		s.t.Error(err)
	}
}

// step runs one line and returns the answer to show below it, if any.
func (s *script) step(line string) string {
	line, background := strings.CutSuffix(line, " &")
	f := s.split(line)
	if len(f) == 0 || strings.HasPrefix(f[0], "#") {
		return ""
	}
	switch f[0] {
	case "as":
		s.as = f[1]
	case "account":
		s.account = f[1]
	case "region":
		s.region = f[1]
	case "trace":
		s.trace = strings.Join(f[1:], " ")
	case "advance":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d)
	case "restart", "audit", "transitions":
		switch f[0] {
		case "audit":
			s.audit = f[1]
		case "transitions":
			s.lasting = f[1]
		}
		s.close()
		s.world = world.Seeded(s.world.Uint64())
		s.open()
	case "set":
		s.vars[f[1]] = pick(s.t, s.last, f[3])
	case "sent":
		return s.show(s.sent())
	case "outside":
		status, err := strconv.Atoi(f[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.outside.Store(&egress.Answer{Status: status, Body: []byte(strings.Join(f[2:], " "))})
		s.network.Take()
	case "join":
		return s.show(<-s.background)
	default:
		if len(f) < 2 {
			s.t.Fatalf("not a command: %s", line)
		}
		ctx := s.context()
		do := func() string {
			if f[0] == "http" {
				return s.http(f[1], f[2:])
			}
			return call(ctx, s.t, s.cloud, f[0], f[1], f[2:])
		}
		if background {
			go func() { s.background <- do() }()
			return ""
		}
		return s.show(do())
	}
	return ""
}

// show turns an answer into what the script shows of it, and remembers it for set.
func (s *script) show(answer string) string {
	s.last = nil
	if err := json.Unmarshal([]byte(strings.TrimPrefix(answer, "!")), &s.last); err != nil {
		s.last = answer
	}
	return "\t" + s.stable(answer) + "\n"
}

// cut cuts a line into words; '…' holds spaces together.
func cut(line string) (words []string) {
	var word strings.Builder
	quoted, any := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, any = !quoted, true
		case r == ' ' && !quoted:
			if any {
				words = append(words, word.String())
				word.Reset()
				any = false
			}
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if any {
		words = append(words, word.String())
	}
	return words
}

// split is cut, and replaces $name.
func (s *script) split(line string) []string {
	words := cut(line)
	if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
		for i, w := range words {
			words[i] = variable.ReplaceAllStringFunc(w, func(v string) string {
				if value, ok := s.vars[v[1:]]; ok {
					return value
				}
				return v
			})
		}
	}
	return words
}

var variable = regexp.MustCompile(`\$[a-z][a-zA-Z0-9]*`)

// context returns the context of a call by whoever calls now.
func (s *script) context() context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Principal: s.principal(), Account: s.account, Region: s.region,
		Endpoint: "http://fogbank", UserAgent: "script", Trace: s.trace})
}

func (s *script) principal() aws.Principal {
	kind, name, _ := strings.Cut(s.as, "/")
	p := aws.Principal{Account: s.account}
	switch {
	case s.as == "root":
		p.Kind, p.ARN, p.UserID = aws.Root, aws.MakeARN("iam", "", s.account, "root"), s.account
	case kind == "user":
		p.Kind, p.ARN, p.UserID = aws.User, aws.MakeARN("iam", "", s.account, "user/"+name), "AIDA"+name
	case kind == "role":
		p.Kind, p.ARN, p.Role = aws.AssumedRole, aws.MakeARN("sts", "", s.account, "assumed-role/"+name+"/script"), aws.MakeARN("iam", "", s.account, "role/"+name)
		p.UserID = "AROA" + name + ":script"
	case strings.Contains(s.as, "."):
		p.Kind, p.ARN, p.Account = aws.ServicePrincipal, aws.ARN(s.as), ""
	case s.as == "anonymous":
		p = aws.Principal{}
	default:
		s.t.Fatalf("as %s: who is that?", s.as)
	}
	return p
}

// call runs an operation and returns its answer, an error with a "!" before it.
func call(ctx context.Context, t *testing.T, cloud *fogbank.Cloud, service, name string, args []string) string {
	op := cloud.Operation(service, name)
	if op == nil {
		t.Errorf("no operation %s %s", service, name)
		return "!"
	}
	in, err := input(op, args)
	if err == nil {
		var out any
		if out, err = cloud.Do(ctx, op, in); err == nil {
			return string(wire.AppendJSON(nil, op.Output, out))
		}
	}
	return failure(err)
}

func failure(err error) string {
	if e, ok := errors.AsType[*aws.Error](err); ok {
		return "!" + string(wire.AppendError(nil, e))
	}
	return "!" + err.Error()
}

// input builds an operation's input from NAME=VALUE words.
func input(op *wire.Operation, args []string) (any, error) {
	m := map[string]json.RawMessage{}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		text := false
		if i := op.Input.Member(k); i != nil && i.Shape.Kind == wire.String {
			text = true // a string that happens to look like JSON stays a string
		}
		if !text && json.Valid([]byte(v)) {
			m[k] = json.RawMessage(v)
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		m[k] = b
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return wire.ParseInput(op, b)
}

// sent shows requests and mail to hosts outside.
func (s *script) sent() string {
	type request struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	requests, mails := s.network.Take()
	shown := map[string]any{}
	var posted []request
	for _, r := range requests {
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Name] = h.Value
		}
		posted = append(posted, request{r.URL, headers, string(r.Body)})
	}
	if posted != nil {
		shown["requests"] = posted
	}
	if mails != nil {
		shown["mails"] = mails
	}
	b, err := json.Marshal(shown)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// http sends a plain request, as a browser would, to a data plane: http METHOD URL [body].
func (s *script) http(method string, args []string) string {
	r := httptest.NewRequest(method, args[0], strings.NewReader(strings.Join(args[1:], " ")))
	if len(args) > 1 {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.cloud.ServeHTTP(w, r)
	b, err := json.Marshal(map[string]any{"status": w.Code, "body": w.Body.String(), "type": w.Header().Get("Content-Type")})
	if err != nil {
		return err.Error()
	}
	if w.Code >= http.StatusBadRequest {
		return "!" + string(b)
	}
	return string(b)
}

// identifiers are what chance makes; each match is shown as its kind and number.
var identifiers = []struct {
	kind string
	re   *regexp.Regexp
}{
	{"uuid", regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)},
	{"id", regexp.MustCompile(`\b(A[A-Z]{3}[A-Z0-9]{16,17})\b`)},
	{"stream", regexp.MustCompile(`\[(?:\$LATEST|[0-9]+)\][0-9a-f]{32}\b`)},
	{"trace", regexp.MustCompile(`\b1-[0-9a-f]{8}-[0-9a-f]{24}\b`)},
	{"segment", regexp.MustCompile(`\bParent=[0-9a-f]{16}\b`)},
	{"sequence", regexp.MustCompile(`\b[0-9]{56}\b`)},
	{"url", regexp.MustCompile(`\b[a-z2-7]{32}\.lambda-url\b`)},
	{"hex", regexp.MustCompile(`\b[0-9a-f]{40,}\b`)},
	{"token", regexp.MustCompile(`\b[A-Za-z0-9+/_-]{56,}={0,2}`)},
}

// digested is a message as SQS shows it: the digest of a body that holds identifiers depends on chance too.
var digested = regexp.MustCompile(`"MD5OfBody":"[0-9a-f]{32}","Body":"(?:[^"\\]|\\.)*"`)

// stable replaces identifiers by names that do not depend on chance.
func (s *script) stable(text string) string {
	named := s.named(text)
	before := digested.FindAllString(text, -1)
	n := 0
	return digested.ReplaceAllStringFunc(named, func(m string) string {
		const skip = len(`"MD5OfBody":"`)
		if n++; m != before[n-1] {
			return m[:skip] + "<md5>" + m[skip+32:]
		}
		return m
	})
}

// short finds API Gateway's identifiers, which only their members' names give away; shown once,
// they are known wherever they stand.
var short = regexp.MustCompile(`"(Api|Integration|Route|Deployment)Id":"([a-z0-9]{6,10})"`)

// named replaces each identifier by its kind and number.
func (s *script) named(text string) string {
	for _, m := range short.FindAllStringSubmatch(text, -1) {
		if kind := strings.ToLower(m[1]); s.names[m[2]] == "" {
			s.kinds[kind]++
			s.names[m[2]] = "<" + kind + ":" + strconv.Itoa(s.kinds[kind]) + ">"
			s.short = append(s.short, m[2], s.names[m[2]])
		}
	}
	text = strings.NewReplacer(s.short...).Replace(text)
	for _, id := range identifiers {
		text = id.re.ReplaceAllStringFunc(text, func(v string) string {
			if strings.HasPrefix(v, "arn:") || id.kind != "sequence" && strings.Trim(v, "0123456789") == "" {
				return v
			}
			if s.names[v] == "" {
				s.kinds[id.kind]++
				s.names[v] = "<" + id.kind + ":" + strconv.Itoa(s.kinds[id.kind]) + ">"
			}
			return s.names[v]
		})
	}
	return text
}

// pick returns the part of a decoded answer at a path such as .Messages[0].Body.
func pick(t *testing.T, v any, path string) string {
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		switch c := v.(type) {
		case map[string]any:
			v = c[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(c) {
				t.Fatalf("set: no %s in %v", part, c)
			}
			v = c[i]
		}
	}
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
