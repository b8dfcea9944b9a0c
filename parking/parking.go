// Package parking keeps the connections of HTTP requests that wait for long, at a fraction of what they cost in
// net/http, whose goroutines' stacks and buffers are most of what such a request holds. A parked request is a
// goroutine that waits for its socket; answered, its connection goes back to the server.
package parking

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// answerTime bounds how long a client may take to read an answer it waited for.
const answerTime = 30 * time.Second

// Guest is a request that waits.
type Guest interface {
	// Until is when there is an answer in any case, by the machine's clock.
	Until() time.Time
	// Notify has wake called when there may be an answer, at once when that is so already, until undo was called.
	Notify(wake func()) (undo func())
	// Answer writes the answer and reports whether the wait is over. When ctx has ended it must be. It may panic with
	// http.ErrAbortHandler.
	Answer(ctx context.Context, w http.ResponseWriter) (over bool)
}

// Lot is where requests are parked. For the server it is a listener whose connections have been there before.
type Lot struct {
	ctx  context.Context
	idle time.Duration
	back chan net.Conn

	mu      sync.Mutex
	closed  chan struct{}
	places  map[*place]struct{}
	waiting sync.WaitGroup // requests without an answer
}

// New returns an empty lot. When ctx ends guests are asked for their answers; a connection on which nothing is
// asked for idle after an answer is closed. The server must have Context as its BaseContext and serve the lot too.
func New(ctx context.Context, idle time.Duration) *Lot {
	l := &Lot{idle: idle, back: make(chan net.Conn), closed: make(chan struct{}), places: map[*place]struct{}{}}
	l.ctx = context.WithValue(ctx, lotKey{}, l)
	context.AfterFunc(ctx, l.Wake)
	return l
}

type lotKey struct{}

// Context is for http.Server.BaseContext.
func (l *Lot) Context(net.Listener) context.Context { return l.ctx }

// For returns the lot in which a request can be parked, or nil.
func For(r *http.Request) *Lot {
	l, _ := r.Context().Value(lotKey{}).(*Lot)
	if !canWatch || r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.Close {
		return nil
	}
	return l
}

// Accept implements net.Listener: it returns a connection whose client asks for more.
func (l *Lot) Accept() (net.Conn, error) {
	select {
	case c := <-l.back:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (l *Lot) Addr() net.Addr { return &net.UnixAddr{Name: "parking", Net: "unix"} }

// Close implements net.Listener. Answered connections are closed, the others after their answer.
func (l *Lot) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return nil
	}
	close(l.closed)
	for p := range l.places {
		p.rouse(resting)
	}
	return nil
}

func (l *Lot) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Wake lets every guest look whether there is an answer, and measure anew how long it has to wait.
func (l *Lot) Wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.places {
		p.rouse(waiting)
	}
}

// Drain returns when every guest has its answer or ctx ends.
func (l *Lot) Drain(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		l.waiting.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Park takes a request from the server's hands and reports whether that could be done; then the handler must return
// and the guest answers. The request's body must have been read.
func (l *Lot) Park(w http.ResponseWriter, r *http.Request, g Guest) bool {
	if l == nil {
		return false
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	p := &place{lot: l, conn: conn}
	if rw.Reader.Buffered() > 0 || socketOf(conn) == nil { // what was read cannot be put back
		p.hurry()
		p.last = true
	}
	l.mu.Lock()
	l.places[p] = struct{}{}
	l.mu.Unlock()
	l.waiting.Add(1)
	go p.stay(g)
	return true
}

// state is what a place does with its socket.
type state uint8

const (
	busy    state = iota // nothing
	waiting              // for the guest's answer or the end of the client
	resting              // after an answer, for the next request
)

// place is a parked connection.
type place struct {
	lot  *Lot
	conn net.Conn
	last bool // the connection ends with the answer

	mu    sync.Mutex
	state state
	bell  chan struct{} // where the socket cannot be waited for, since the client is ahead of its answer
}

// stay is the life of a place.
func (p *place) stay(g Guest) {
	goesOn := p.answer(g)
	p.lot.waiting.Done()
	goesOn = goesOn && p.rest()
	l := p.lot
	l.mu.Lock()
	delete(l.places, p)
	l.mu.Unlock()
	if !goesOn {
		p.conn.Close()
		return
	}
	select {
	case l.back <- p.conn:
	case <-l.closed:
		p.conn.Close()
	}
}

// answer waits for the answer, sends it, and reports whether the connection can be used further.
func (p *place) answer(g Guest) bool {
	for {
		if !p.pause(g) {
			gone, cancel := context.WithCancel(p.lot.ctx)
			cancel()
			attempt(gone, g, &page{})
			return false
		}
		answer := &page{}
		if !attempt(p.lot.ctx, g, answer) {
			continue
		}
		p.last = p.last || p.lot.isClosed()
		p.conn.SetWriteDeadline(time.Now().Add(answerTime))
		if answer.status == 0 || answer.send(p.conn, p.last) != nil || p.last {
			return false
		}
		p.conn.SetWriteDeadline(time.Time{})
		return true
	}
}

// attempt is Answer; a page without a status means that there is none to be had.
func attempt(ctx context.Context, g Guest, answer *page) (over bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			*answer, over = page{}, true
		}
	}()
	return g.Answer(ctx, answer)
}

// pause waits until there may be an answer, and reports whether the client is still there.
func (p *place) pause(g Guest) bool {
	until := g.Until()
	if p.bell != nil {
		p.listen(g, until)
		return true
	}
	p.enter(waiting, until)
	undo := g.Notify(func() { p.rouse(waiting) })
	if p.lot.ctx.Err() != nil {
		p.rouse(waiting) // Wake may have come too early
	}
	err := readable(p.conn)
	if _, secure := p.conn.(*tls.Conn); secure && err == nil {
		err = p.taste()
	}
	undo()
	p.enter(busy, time.Time{})
	if err == nil {
		p.hurry()
	}
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// taste finds out whether what came of a TLS connection is more than the protocol's own, or its end. What is taken
// cannot be put back.
func (p *place) taste() error {
	n, err := p.conn.Read(make([]byte, 1))
	if n > 0 {
		p.last = true
		return nil
	}
	return err
}

// hurry is called when the client has sent more before its answer.
func (p *place) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bell = make(chan struct{}, 1)
}

// listen is pause without the socket.
func (p *place) listen(g Guest, until time.Time) {
	undo := g.Notify(func() { p.rouse(waiting) })
	defer undo()
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	select {
	case <-p.bell:
	case <-end.C:
	case <-p.lot.ctx.Done():
	}
}

// rest waits for the next request and reports whether it came.
func (p *place) rest() bool {
	if p.bell != nil {
		return true
	}
	p.enter(resting, time.Now().Add(p.lot.idle))
	if p.lot.isClosed() {
		return false
	}
	err := readable(p.conn)
	p.enter(busy, time.Time{})
	return err == nil
}

// enter begins a state; the socket is waited for until a moment, the zero one being never.
func (p *place) enter(s state, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	p.conn.SetReadDeadline(until)
}

var past = time.Unix(1, 0)

// rouse ends a state.
func (p *place) rouse(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bell != nil && s == waiting {
		select {
		case p.bell <- struct{}{}:
		default:
		}
		return
	}
	if p.state == s {
		p.conn.SetReadDeadline(past)
	}
}
