package compute

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

const (
	askNext  = "GET " + apiPrefix + "invocation/next HTTP/1.1\r\nHost: api\r\n"
	respond1 = "POST " + apiPrefix + "invocation/id/response HTTP/1.1\r\nHost: api\r\n"
)

func TestParseHead(t *testing.T) {
	for _, test := range []struct {
		head string
		want string // "" when it is not understood
	}{
		{askNext + "\r\n", "next"},
		{askNext + "User-Agent: x\r\nAccept-Encoding: gzip\r\nConnection: Keep-Alive\r\n\r\n", "next"},
		{respond1 + "Content-Length: 0\r\n\r\n", "id 0"},
		{respond1 + "content-length:\t17 \r\nContent-Type: application/json\r\n\r\n", "id 17"},
		{respond1 + "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n\r\n", "id -1"},

		{askNext, ""},
		{"", ""},
		{"\r\n\r\n", ""},
		{askNext + "Connection: close\r\n\r\n", ""},
		{askNext + "Content-Length: 1\r\n\r\n", ""},
		{askNext + "Host: other\r\n\r\n", ""},
		{askNext + "Upgrade: h2c\r\n\r\n", ""},
		{askNext + " folded\r\n\r\n", ""},
		{askNext + "no colon\r\n\r\n", ""},
		{askNext + ": no name\r\n\r\n", ""},
		{askNext + "a b: c\r\n\r\n", ""},
		{askNext + "a: b\rc\r\n\r\n", ""},
		{askNext + "a: b\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{strings.Replace(askNext, "1.1", "1.0", 1) + "\r\n", ""},
		{strings.Replace(askNext, "Host: api\r\n", "", 1) + "\r\n", ""},
		{strings.Replace(askNext, "next", "next?a=b", 1) + "\r\n", ""},
		{strings.Replace(askNext, "GET", "HEAD", 1) + "\r\n", ""},
		{respond1 + "\r\n", ""},
		{respond1 + "Content-Length: +1\r\n\r\n", ""},
		{respond1 + "Content-Length: 1, 1\r\n\r\n", ""},
		{respond1 + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", ""},
		{respond1 + "Content-Length: 9999999999\r\n\r\n", ""},
		{respond1 + "Content-Length:\r\n\r\n", ""},
		{respond1 + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{respond1 + "Transfer-Encoding: gzip, chunked\r\n\r\n", ""},
		{respond1 + "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n", ""},
		{strings.Replace(respond1, "/id/", "/%69d/", 1) + "Content-Length: 1\r\n\r\n", ""},
		{strings.Replace(respond1, "/id/", "/\x0e/", 1) + "Content-Length: 1\r\n\r\n", ""},
		{strings.Replace(respond1, "/id/", "/a/b/", 1) + "Content-Length: 1\r\n\r\n", ""},
		{strings.Replace(respond1, "response", "error", 1) + "Content-Length: 1\r\n\r\n", ""},
	} {
		q, ok := parseHead([]byte(test.head))
		got := ""
		switch {
		case ok && q.next:
			got = "next"
		case ok:
			got = fmt.Sprintf("%s %d", q.id, q.length)
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.head, got, test.want)
		}
	}
}

// FuzzParseHead: what is understood, net/http understands in the same way.
func FuzzParseHead(f *testing.F) {
	f.Add([]byte(askNext + "A: b\r\n\r\n"))
	f.Add([]byte(respond1 + "Content-Length: 3\r\n\r\n"))
	f.Add([]byte(respond1 + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := peekHead(bufio.NewReaderSize(bytes.NewReader(b), headRoom))
		if err != nil {
			return
		}
		q, ok := parseHead(head)
		if !ok {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		method, path, length := "POST", apiPrefix+"invocation/"+string(q.id)+"/response", q.length
		if q.next {
			method, path = "GET", apiPrefix+"invocation/next"
		}
		if r.Method != method || r.URL.Path != path || r.ContentLength != length || r.Close || (length < 0) != (len(r.TransferEncoding) == 1) {
			t.Errorf("%q: %+v, want %s %s of %d", head, r, method, path, length)
		}
	})
}

// TestPeekHead: a head that comes in pieces is found, and what comes behind it stays.
func TestPeekHead(t *testing.T) {
	r := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(askNext+"\r\n"+respond1)), headRoom)
	head, err := peekHead(r)
	if err != nil || string(head) != askNext+"\r\n" {
		t.Fatalf("%q, %v", head, err)
	}
	r.Discard(len(head))
	if _, err := peekHead(r); err != io.EOF {
		t.Errorf("a head that breaks off: %v", err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != respond1 {
		t.Errorf("what was left: %q", rest)
	}
	long := bufio.NewReaderSize(strings.NewReader(strings.Repeat("x", 2*headRoom)), headRoom)
	if head, err := peekHead(long); err != nil || len(head) != headRoom {
		t.Errorf("a head without end: %d bytes, %v", len(head), err)
	}
}

// speaker is a runtime that speaks to the Runtime API byte by byte.
type speaker struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// speak begins a connection to the Runtime API of an environment whose process is only there.
func speak(t *testing.T, e *environment) *speaker {
	t.Helper()
	c, err := net.Dial("tcp", e.doors.api.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &speaker{t, c, bufio.NewReader(c)}
}

// says sends the texts, each by itself.
func (s *speaker) says(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if _, err := io.WriteString(s.Conn, text); err != nil {
			s.t.Fatal(err)
		}
	}
}

// hears reads an answer.
func (s *speaker) hears() (*http.Response, string) {
	s.t.Helper()
	r, err := http.ReadResponse(s.r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r, string(body)
}

// silent starts an environment whose process never asks for an invocation.
func silent(t *testing.T) *environment {
	t.Helper()
	b := newBench(t, true)
	s := b.spec(b.put(packed(file{"bootstrap", 0o755, "#!/bin/sh\nexec sleep 1000\n"})))
	started, err := b.process.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(started.Close)
	return started.(*retried).env.(*environment)
}

// offered is how an invocation ends that is offered to an environment.
func offered(t *testing.T, e *environment, in Invocation) <-chan Result {
	ended := make(chan Result, 1)
	go func() {
		r, err := e.Invoke(t.Context(), in)
		if err != nil {
			t.Error(err)
		}
		ended <- r
	}()
	return ended
}

func TestConnection(t *testing.T) {
	chunked := respond1 + "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
	large := strings.Repeat("x", MaxPayload+1)
	for _, test := range []struct {
		name   string
		says   []string
		status int
		want   string
	}{
		{"length", []string{respond1 + "Content-Length: 5\r\n\r\n", "a", "bcde"}, 202, "abcde"},
		{"empty", []string{respond1 + "Content-Length: 0\r\n\r\n"}, 202, ""},
		{"chunks", []string{chunked, "3\r\nabc\r\n", "2\r\nde\r\n", "0\r\n\r\n"}, 202, "abcde"},
		{"pieces", append(strings.Split(chunked, ""), "3\r", "\nab", "c\r\n0\r", "\n\r", "\n"), 202, "abc"},
		{"trailer", []string{chunked, "3\r\nabc\r\n0\r\n", "Lambda-Runtime-Function-Error-Type: Broken\r\nLambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n\r\n"}, 202, `Broken {"a":1}`},
		{"too large", []string{chunked, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(large), large)}, 413, "Function.ResponseSizeTooLarge"},
		{"too long", []string{respond1 + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large))}, 413, "Function.ResponseSizeTooLarge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := silent(t)
			ended := offered(t, e, Invocation{ID: "id", ARN: "arn", Trace: "Root=1", ClientContext: "{\r\n\"a\":\n1}", Payload: []byte("event")})
			s := speak(t, e)
			s.says(askNext + "\r\n")
			r, body := s.hears()
			if body != "event" || r.Header.Get("Lambda-Runtime-Aws-Request-Id") != "id" || r.Header.Get("Lambda-Runtime-Trace-Id") != "Root=1" {
				t.Fatalf("%v %q", r.Header, body)
			}
			if c := r.Header.Get("Lambda-Runtime-Client-Context"); c != `{  "a": 1}` {
				t.Errorf("client context %q", c)
			}
			s.says(test.says...)
			if r, _ := s.hears(); r.StatusCode != test.status {
				t.Errorf("status %d, want %d", r.StatusCode, test.status)
			}
			res := <-ended
			if got := strings.TrimPrefix(res.Type+" "+string(res.Payload), " "); got != test.want && res.Type != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// TestConnectionBreaksOff: half a response is an error of the function's.
func TestConnectionBreaksOff(t *testing.T) {
	e := silent(t)
	ended := offered(t, e, Invocation{ID: "id"})
	s := speak(t, e)
	s.says(askNext + "\r\n")
	s.hears()
	s.says(respond1+"Transfer-Encoding: chunked\r\n\r\n", "3\r\nab")
	s.Close()
	if r := <-ended; r.Type != "Runtime.TruncatedResponse" {
		t.Errorf("%+v", r)
	}
}

// TestConnectionGone: whoever has asked and gone is given nothing, and it is not lost.
func TestConnectionGone(t *testing.T) {
	e := silent(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	asks := &begun{ours, bufio.NewReader(ours)}
	if asks.gone() {
		t.Error("gone before it went")
	}
	theirs.Close()
	for !asks.gone() {
		runtime.Gosched()
	}
	ended := offered(t, e, Invocation{ID: "id", Payload: []byte("event")})
	if w := e.nextWork(nil, asks.gone); w != nil {
		t.Errorf("given to nobody: %+v", w.in)
	}
	s := speak(t, e)
	s.says(askNext + "\r\n")
	if _, body := s.hears(); body != "event" {
		t.Errorf("%q", body)
	}
	s.says(respond1 + "Content-Length: 2\r\n\r\nok")
	s.hears()
	if r := <-ended; string(r.Payload) != "ok" {
		t.Errorf("%+v", r)
	}
}

// TestConnectionOthers: requests that are not understood, and those behind them, go to net/http.
func TestConnectionOthers(t *testing.T) {
	e := silent(t)
	ended := offered(t, e, Invocation{ID: "id", Payload: []byte("event")})
	s := speak(t, e)
	s.says("POST "+apiPrefix+"invocation/gone/response HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\n\r\n", "{}")
	if r, body := s.hears(); r.StatusCode != 400 || !strings.Contains(body, "InvalidRequestID") {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	s.says(askNext + "\r\n")
	if _, body := s.hears(); body != "event" {
		t.Errorf("%q", body)
	}
	s.says("GET / HTTP/1.1\r\nHost: api\r\n\r\n")
	if r, _ := s.hears(); r.StatusCode != 404 {
		t.Errorf("%d", r.StatusCode)
	}
	s.says(respond1 + "Content-Length: 2\r\n\r\nok")
	s.hears()
	if r := <-ended; string(r.Payload) != "ok" {
		t.Errorf("%+v", r)
	}
}

// weary is a listener that first has no descriptors, then a connection, and is closed then.
type weary struct {
	net.Listener
	fails int
	c     net.Conn
}

func (l *weary) Accept() (net.Conn, error) {
	if l.fails--; l.fails >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	if l.c == nil {
		return nil, net.ErrClosed
	}
	c := l.c
	l.c = nil
	return c, nil
}

// TestAccept: a server that is out of descriptors for a while does not leave its environments deaf.
func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := net.Pipe()
		defer other.Close()
		l := &weary{fails: 10, c: one}
		begin := time.Now()
		if c, err := acceptFrom(l); c != one || err != nil {
			t.Errorf("%v, %v", c, err)
		}
		if took := time.Since(begin); took == 0 || took > time.Second {
			t.Errorf("after %v", took)
		}
		if _, err := acceptFrom(l); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
