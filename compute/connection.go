package compute

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	headRoom = 4 << 10   // of a request's head that is understood here
	leftover = 256 << 10 // of a refused body that is taken nevertheless
	oneWrite = 16 << 10  // the most bytes of a payload that are copied to be sent in one piece with their head
)

// connections serves the Runtime API of an environment. Every invocation costs two requests, for the invocation and for its
// response, so these are read and answered here, with no more work than they need, as long as they have the form in
// which runtimes send them. A connection with any other request on it, or one that is unusual in any way, is left to net/http
// from that request on.
type connections struct {
	e      *environment
	others *queueListener
	asking atomic.Bool // somebody waits here for an invocation; a second is left to net/http
}

// serveAPI serves the Runtime API until its listener is closed.
func (e *environment) serveAPI(l net.Listener) {
	s := &connections{e: e, others: &queueListener{l, make(chan net.Conn), e.dead}}
	go e.server().Serve(s.others)
	for {
		c, err := acceptFrom(l)
		if err != nil {
			return
		}
		go s.serve(c)
	}
}

// serve answers the requests of a connection until one is not understood here.
func (s *connections) serve(c net.Conn) {
	b := &begun{c, bufio.NewReaderSize(c, headRoom)}
	var out []byte
	for {
		head, err := peekHead(b.r)
		if err != nil {
			c.Close()
			return
		}
		q, ok := parseHead(head)
		answered := false
		switch {
		case !ok:
		case q.next:
			answered, out, err = s.next(b, len(head), out[:0])
		default:
			answered, out, err = s.response(b, len(head), q, out[:0])
		}
		if err != nil {
			c.Close()
			return
		}
		if !answered {
			s.others.hand(b)
			return
		}
	}
}

// next waits for an invocation and hands it over, unless somebody else waits already.
func (s *connections) next(b *begun, head int, out []byte) (answered bool, _ []byte, err error) {
	if !s.asking.CompareAndSwap(false, true) {
		return false, out, nil
	}
	defer s.asking.Store(false)
	b.r.Discard(head)
	w := s.e.nextWork(nil, b.gone)
	if w == nil {
		return true, out, net.ErrClosed
	}
	out = append(out, "HTTP/1.1 200 OK\r\n"...)
	w.eachHeader(s.e.spec.Timeout, func(name, value string) {
		out = append(append(out, name...), ": "...)
		out = append(append(out, oneLine.Replace(value)...), "\r\n"...)
	})
	out = append(out, "\r\n"...)
	if len(w.in.Payload) <= oneWrite {
		out = append(out, w.in.Payload...)
		_, err = b.Conn.Write(out)
		return true, out, err
	}
	_, err = (&net.Buffers{out, w.in.Payload}).WriteTo(b.Conn)
	return true, out, err
}

// oneLine keeps a header's value from being more than that.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// accepted is the answer to a response that ends its invocation.
const accepted = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + `{"status":"OK"}` + "\n"

// response ends an invocation, if it is the one under way and its response is not streamed.
func (s *connections) response(b *begun, head int, q parsedHead, out []byte) (answered bool, _ []byte, err error) {
	current := s.e.running(string(q.id))
	if q.length > MaxPayload || current == nil || current.in.Stream != nil || !s.e.respond(current) {
		return false, out, nil // to be refused, or passed on while it comes
	}
	b.r.Discard(head)
	var from io.Reader = b.r
	if q.length < 0 {
		from = &chunkedReader{r: b.r}
	}
	body, err := readBody(from, q.length)
	var trailer http.Header
	if q.length < 0 && err == nil {
		trailer, err = b.trailer()
	}
	if err != nil && err != errLarge {
		s.e.truncated(current)
		return true, out, err
	}
	if bad := s.e.conclude(current, body, err, trailer); bad != nil {
		b.refuse(bad)
		return true, out, net.ErrClosed
	}
	_, err = io.WriteString(b.Conn, accepted)
	return true, out, err
}

// begun is a connection of which something has been read.
type begun struct {
	net.Conn
	r *bufio.Reader
}

// Read implements io.Reader.
func (b *begun) Read(p []byte) (int, error) { return b.r.Read(p) }

// CloseWrite says that nothing more is sent.
func (b *begun) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// refuse answers with an objection, after which the connection is to be closed. Something of what is still coming is taken, since
// the answer could be lost otherwise.
func (b *begun) refuse(o *objection) {
	text := o.body()
	fmt.Fprintf(b.Conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", o.status, http.StatusText(o.status), len(text), text)
	b.CloseWrite()
	b.Conn.SetReadDeadline(time.Now().Add(handover))
	io.CopyN(io.Discard, b.r, leftover)
}

// trailer reads what follows the last chunk of a body, which must have room in the buffer, as for net/http.
func (b *begun) trailer() (http.Header, error) {
	if two, err := b.r.Peek(2); err != nil || string(two) == "\r\n" {
		b.r.Discard(2)
		return nil, err
	}
	lines, err := peekHead(b.r)
	if err != nil {
		return nil, err
	}
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	b.r.Discard(len(lines))
	return http.Header(h), err
}

// gone reports whether the other side has closed the connection.
func (b *begun) gone() bool {
	conn, ok := b.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return gone || err != nil
}

// queueListener is a listener for connections that have been accepted.
type queueListener struct {
	net.Listener
	conns chan net.Conn
	dead  <-chan struct{}
}

// Accept implements net.Listener.
func (l *queueListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.dead:
		return nil, net.ErrClosed
	}
}

// hand passes a connection to whoever accepts.
func (l *queueListener) hand(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.dead:
		c.Close()
	}
}

// peekHead returns the head of the next request with the empty line after it, or as much of it as there is room for, without
// taking it from r.
func peekHead(r *bufio.Reader) ([]byte, error) {
	for n := 1; ; n = r.Buffered() + 1 {
		if _, err := r.Peek(min(n, r.Size())); err != nil {
			return nil, err
		}
		all, _ := r.Peek(r.Buffered())
		if i := bytes.Index(all, []byte("\r\n\r\n")); i >= 0 {
			return all[:i+4], nil
		}
		if len(all) == r.Size() {
			return all, nil
		}
	}
}

// parsedHead is what is looked at of a request's head.
type parsedHead struct {
	next   bool   // it asks for the next invocation;
	id     []byte // otherwise it is the response to this invocation,
	length int64  // of so many bytes, negative for one in chunks
}

// parseHead reads a request's head; ok is false unless it is one of the two that are understood, without anything that
// changes how it is to be read or answered.
func parseHead(head []byte) (q parsedHead, ok bool) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	line, ok = bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	if !ok || !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		return q, false
	}
	if string(line) == "GET "+apiPrefix+"invocation/next" {
		q.next = true
	} else {
		if line, ok = bytes.CutPrefix(line, []byte("POST "+apiPrefix+"invocation/")); !ok {
			return q, false
		}
		if q.id, ok = bytes.CutSuffix(line, []byte("/response")); !ok || !token(q.id) {
			return q, false
		}
	}
	lengths, hosts, chunks := 0, 0, 0
	for {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !token(name) || bytes.ContainsFunc(value, control) {
			return q, false
		}
		value = bytes.Trim(value, " \t")
		switch {
		case is(name, "content-length"):
			lengths++
			if q.length, ok = number(value); !ok {
				return q, false
			}
		case is(name, "transfer-encoding"):
			if string(value) != "chunked" {
				return q, false
			}
			chunks++
			q.length = -1
		case is(name, "host"):
			hosts++
		case is(name, "connection"):
			if !bytes.EqualFold(value, []byte("keep-alive")) {
				return q, false
			}
		case is(name, "expect"), is(name, "upgrade"):
			return q, false
		}
	}
	if q.next {
		return q, hosts == 1 && lengths == 0 && chunks == 0
	}
	return q, hosts == 1 && lengths+chunks == 1
}

// control reports whether a character may not be in a header's value.
func control(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// number reads a length of digits only.
func number(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, 0 < len(b) && len(b) < 10
}

// is reports whether a header has a name, which is given in lower case.
func is(name []byte, lower string) bool {
	return len(name) == len(lower) && bytes.EqualFold(name, []byte(lower))
}

// token reports whether a header's name, or the id of an invocation, consists of letters, digits, hyphens and underscores only.
func token(name []byte) bool {
	if len(name) == 0 {
		return false
	}
	for _, c := range name {
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
