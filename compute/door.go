package compute

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

const (
	// doorLimit is how many connections an environment may have through one door; more wait to be accepted.
	doorLimit = 128
	// acceptAgain is how long it takes until it is tried again to accept one.
	acceptAgain = 10 * time.Millisecond
	// dialLimit is how long a connection to the other side may take.
	dialLimit = 10 * time.Second
	// proxyHead is the most bytes of a request's head the proxy reads.
	proxyHead = 64 << 10
)

// Ports inside an environment's own network. The first is AWS's.
const (
	apiPort   = 9001
	proxyPort = 9002
	spare     = 9003 // taken instead when the endpoint's port is one of them
)

// doors are all an environment can reach: listeners in its network, served by the server.
type doors struct {
	api      net.Listener // the Runtime API
	endpoint *door        // this server; nil when the network is shared
	proxy    *door        // the way out; nil when there is none
}

// door is a listener whose connections are handed to serve. Close ends them too.
type door struct {
	listener net.Listener
	serve    func(*door, net.Conn)

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func newDoor(l net.Listener, serve func(*door, net.Conn)) *door {
	return &door{listener: l, serve: serve, conns: map[net.Conn]struct{}{}}
}

// run accepts until the door is closed.
func (d *door) run() {
	places := make(chan struct{}, doorLimit)
	for {
		places <- struct{}{}
		c, err := acceptFrom(d.listener)
		if err != nil {
			return
		}
		go func() {
			defer func() { <-places }()
			if d.hold(c) {
				d.serve(d, c)
			}
			d.drop(c)
		}()
	}
}

// acceptFrom accepts a connection. It fails when the listener is closed only: a want of descriptors passes.
func acceptFrom(l net.Listener) (net.Conn, error) {
	for {
		c, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		time.Sleep(acceptAgain)
	}
}

// hold remembers a connection so that Close ends it; it reports whether the door is still open.
func (d *door) hold(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.conns[c] = struct{}{}
	}
	return !d.closed
}

// drop closes a connection and forgets it.
func (d *door) drop(c net.Conn) {
	c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// close ends the door and all connections through it.
func (d *door) close() {
	if d == nil {
		return
	}
	d.listener.Close()
	d.mu.Lock()
	d.closed = true
	for c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
}

// open starts serving the doors that are not the Runtime API.
func (ds *doors) open() {
	for _, d := range []*door{ds.endpoint, ds.proxy} {
		if d != nil {
			go d.run()
		}
	}
}

func (ds *doors) close() {
	if ds.api != nil {
		ds.api.Close()
	}
	ds.endpoint.close()
	ds.proxy.close()
}

// join copies between two connections until both directions have ended.
func (d *door) join(a, b net.Conn) {
	if !d.hold(b) {
		b.Close()
		return
	}
	defer d.drop(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(b, a)
	}()
	pass(a, b)
	<-done
}

// pass copies from one connection to the other and then ends that direction; how it ended matters to neither.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}

// site is where an environment finds this server.
type site struct {
	url  string // as the environment is told
	dial string // host and port, as the server reaches it
	host string // a name to be known inside, or ""
	ip   string // an IPv4 address that is to be the environment's own, or ""
	port int    // 0: there is no endpoint
}

// locate reads the URL of the endpoint. Inside, the same host and port lead to it; an IPv6 address is replaced by 127.0.0.1.
func locate(endpoint string) (site, error) {
	s := site{url: endpoint}
	if endpoint == "" {
		return s, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return s, err
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	if s.port, err = net.LookupPort("tcp", port); err != nil {
		return s, err
	}
	s.dial = net.JoinHostPort(u.Hostname(), port)
	switch ip, err := netip.ParseAddr(u.Hostname()); {
	case err != nil && u.Hostname() != "localhost":
		s.host = u.Hostname()
	case err == nil && !ip.Is4():
		u.Host = net.JoinHostPort("127.0.0.1", port)
		s.url = u.String()
	case err == nil && !ip.IsLoopback():
		s.ip = ip.String()
	}
	return s, nil
}

// ports are where the Runtime API and the proxy are inside, beside the endpoint.
func (s site) ports() (api, proxy int) {
	api, proxy = apiPort, proxyPort
	if s.port == api {
		api = spare
	}
	if s.port == proxy {
		proxy = spare
	}
	return api, proxy
}

// forward passes a connection on to the server.
func (s site) forward(d *door, c net.Conn) {
	out, err := (&net.Dialer{Timeout: dialLimit}).Dial("tcp", s.dial)
	if err != nil {
		return
	}
	d.join(c, out)
}

// errOwn is why the proxy does not connect to this machine.
var errOwn = errors.New("compute: an address of this machine")

// refused is an address that functions may not connect to.
type refused struct{ err error }

func (r *refused) Error() string { return r.err.Error() }

// dialOut connects to where an environment may go. The address is checked after names were resolved.
func (p *Process) dialOut(addr string) (net.Conn, error) {
	check := func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if err := p.o.Outbound(to.Addr()); err != nil {
			return &refused{err}
		}
		own, err := net.InterfaceAddrs()
		if err != nil {
			return err
		}
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(to.Addr().Unmap().AsSlice()) && !n.IP.IsLoopback() {
				return &refused{errOwn}
			}
		}
		return nil
	}
	return (&net.Dialer{Timeout: dialLimit, ControlContext: check}).Dial("tcp", addr)
}

// serveProxy is an HTTP proxy for one request or one CONNECT.
func (p *Process) serveProxy(d *door, c net.Conn) {
	head := &io.LimitedReader{R: c, N: proxyHead}
	in := bufio.NewReader(head)
	r, err := http.ReadRequest(in)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	head.N = 1 << 62 // what follows the head is not ours to bound
	addr := r.Host
	if r.Method != http.MethodConnect {
		if r.URL.Scheme != "http" || r.URL.Host == "" {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			return
		}
		addr = net.JoinHostPort(r.URL.Hostname(), cmp.Or(r.URL.Port(), "80"))
	}
	out, err := p.dialOut(addr)
	if err != nil {
		status := "502 Bad Gateway"
		if _, ok := errors.AsType[*refused](err); ok {
			status = "403 Forbidden"
		}
		io.WriteString(c, "HTTP/1.1 "+status+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if r.Method == http.MethodConnect {
		io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	} else {
		r.Header.Del("Proxy-Connection")
		r.Header.Del("Proxy-Authorization")
		r.Close = true // one request a connection
		if err := r.Write(out); err != nil {
			out.Close()
			return
		}
	}
	d.join(&unread{c, in}, out)
}

// unread is a connection of which some has been read already.
type unread struct {
	net.Conn
	in *bufio.Reader
}

func (u *unread) Read(b []byte) (int, error) { return u.in.Read(b) }

func (u *unread) CloseWrite() error {
	if t, ok := u.Conn.(*net.TCPConn); ok {
		return t.CloseWrite()
	}
	return u.Conn.Close()
}
