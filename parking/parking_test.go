package parking

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// visitor is a guest in a test's hands.
type visitor struct {
	until  time.Time
	wakes  chan func()          // what Notify is given
	answer chan string          // "" means not yet
	asked  chan context.Context // of Answer
	panics any
}

func newVisitor() *visitor {
	return &visitor{until: time.Now().Add(time.Hour), wakes: make(chan func(), 1), answer: make(chan string), asked: make(chan context.Context, 1)}
}

func (v *visitor) Until() time.Time { return v.until }

func (v *visitor) Notify(wake func()) func() {
	v.wakes <- wake
	return func() {}
}

func (v *visitor) Answer(ctx context.Context, w http.ResponseWriter) bool {
	v.asked <- ctx
	text := <-v.answer
	if text == "" {
		return false
	}
	if v.panics != nil {
		panic(v.panics)
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, text)
	return true
}

// house is a server whose path /park parks v, and which says of all others which they were.
type house struct {
	*httptest.Server
	lot    *Lot
	guests chan *visitor
	cut    context.CancelFunc
}

func open(t *testing.T, secure bool, idle time.Duration) *house {
	ctx, cut := context.WithCancel(t.Context())
	h := &house{lot: New(ctx, idle), guests: make(chan *visitor, 1), cut: cut}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path != "/park" || !For(r).Park(w, r, <-h.guests) {
			fmt.Fprintf(w, "%s from %s, TLS %v", r.URL.Path, r.RemoteAddr, r.TLS != nil)
		}
	}))
	h.Config.BaseContext = h.lot.Context
	if secure {
		h.StartTLS()
	} else {
		h.Start()
	}
	go h.Config.Serve(h.lot)
	t.Cleanup(func() {
		cut()
		h.lot.Close()
		h.lot.Drain(t.Context())
		h.Server.Close()
	})
	return h
}

// client is one connection.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (h *house) dial(t *testing.T) *client {
	conn, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if h.TLS != nil {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) ask(path string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear(want string) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(b), want) {
		c.t.Errorf("got %q, %v; want %q", b, err, want)
	}
	return res
}

func (c *client) hearNothing() {
	c.t.Helper()
	if _, err := c.in.ReadByte(); err != io.EOF {
		c.t.Errorf("the connection is not closed: %v", err)
	}
}

func TestPark(t *testing.T) {
	for _, secure := range []bool{false, true} {
		h := open(t, secure, time.Hour)
		c := h.dial(t)
		for range 3 {
			v := newVisitor()
			h.guests <- v
			c.ask("/park")
			(<-v.wakes)()
			<-v.asked
			v.answer <- "" // for nothing
			(<-v.wakes)()
			<-v.asked
			v.answer <- "here"
			if res := c.hear("here"); res.StatusCode != 200 || res.Close || res.Header.Get("Content-Type") != "text/plain" || res.Header.Get("Date") == "" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			c.ask("/next")
			c.hear(fmt.Sprintf("/next from %s, TLS %v", c.conn.LocalAddr(), secure))
		}
	}
}

// TestTime: the guest is asked when its time is over, and when Wake says so.
func TestTime(t *testing.T) {
	h := open(t, false, time.Hour)
	c := h.dial(t)
	v := newVisitor()
	v.until = time.Now().Add(time.Millisecond)
	h.guests <- v
	c.ask("/park")
	<-v.wakes
	<-v.asked
	v.until = time.Now().Add(time.Hour)
	v.answer <- ""
	<-v.wakes
	h.lot.Wake()
	<-v.asked
	v.answer <- "in time"
	c.hear("in time")
}

// TestGone: a client that goes away ends the wait.
func TestGone(t *testing.T) {
	for _, secure := range []bool{false, true} {
		h := open(t, secure, time.Hour)
		c := h.dial(t)
		v := newVisitor()
		h.guests <- v
		c.ask("/park")
		<-v.wakes
		c.conn.Close()
		if ctx := <-v.asked; ctx.Err() == nil {
			t.Errorf("TLS %v: the guest does not know that its client has gone", secure)
		}
		v.answer <- "to nobody"
		h.lot.Drain(t.Context())
	}
}

// TestAhead: a client that asks for more before it has its answer gets both, in order.
func TestAhead(t *testing.T) {
	h := open(t, false, time.Hour)
	c := h.dial(t)
	v := newVisitor()
	h.guests <- v
	c.ask("/park")
	<-v.wakes
	c.ask("/second")
	<-v.asked // it is asked once more, as its socket can no longer be watched
	v.answer <- ""
	(<-v.wakes)()
	<-v.asked
	v.answer <- "first"
	c.hear("first")
	c.hear("/second")
	// Two requests at once: the server may have read the second already, and then the connection ends.
	v = newVisitor()
	h.guests <- v
	fmt.Fprint(c.conn, strings.Repeat("GET /park HTTP/1.1\r\nHost: x\r\n\r\n", 2))
	(<-v.wakes)()
	<-v.asked
	v.answer <- "alone"
	if res := c.hear("alone"); !res.Close {
		t.Error("the connection goes on, but what was read of it is lost")
	}
	c.hearNothing()
}

// TestEnd: guests are asked for an answer when the context ends, and connections close.
func TestEnd(t *testing.T) {
	h := open(t, false, time.Hour)
	waits, rests := h.dial(t), h.dial(t)
	v := newVisitor()
	h.guests <- v
	rests.ask("/park")
	(<-v.wakes)()
	<-v.asked
	v.answer <- "here"
	rests.hear("here")
	v = newVisitor()
	h.guests <- v
	waits.ask("/park")
	<-v.wakes
	h.lot.Close()
	rests.hearNothing()
	h.cut()
	if ctx := <-v.asked; ctx.Err() == nil {
		t.Error("the guest does not know that this is the end")
	}
	v.answer <- "in the end"
	if res := waits.hear("in the end"); !res.Close {
		t.Error("the connection should end")
	}
	waits.hearNothing()
	h.lot.Drain(t.Context())
	if _, err := h.lot.Accept(); err != net.ErrClosed {
		t.Error(err)
	}
}

// TestIdle: an answered connection is closed when nothing is asked on it, and one that has no answer at once.
func TestIdle(t *testing.T) {
	h := open(t, false, time.Millisecond)
	for _, panics := range []any{nil, http.ErrAbortHandler} {
		c := h.dial(t)
		v := newVisitor()
		v.panics = panics
		h.guests <- v
		c.ask("/park")
		(<-v.wakes)()
		<-v.asked
		v.answer <- "here"
		if panics == nil {
			c.hear("here")
		}
		c.hearNothing()
	}
}

// TestFor: what cannot be parked is not.
func TestFor(t *testing.T) {
	l := New(t.Context(), time.Hour)
	r := httptest.NewRequest("GET", "/", nil).WithContext(l.Context(nil))
	if For(r) != l {
		t.Error("an ordinary request cannot be parked")
	}
	for _, edit := range []func(*http.Request){
		func(r *http.Request) { r.Close = true }, func(r *http.Request) { r.ProtoMinor = 0 }, func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 },
	} {
		other := r.Clone(r.Context())
		if edit(other); For(other) != nil {
			t.Errorf("%s, close %v, can be parked", other.Proto, other.Close)
		}
	}
	if l.Park(httptest.NewRecorder(), r, newVisitor()) || For(httptest.NewRequest("GET", "/", nil)).Park(nil, r, nil) {
		t.Error("parked without a connection or a lot")
	}
}
