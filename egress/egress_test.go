package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fogbank/world"
)

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		allow   string
		local   bool
		address string
		ok      bool
	}{
		{"", false, "93.184.216.34", true},
		{"", false, "2606:2800:220:1::1", true},
		{"", false, "64:ff9b::5db8:d822", true}, // NAT64 of a public one
		{"", false, "64:ff9b::a9fe:a9fe", false},
		{"", false, "2002:7f00:1::", false}, // 6to4 of 127.0.0.1
		{"", false, "127.0.0.1", false},
		{"", true, "127.0.0.1", true},
		{"", true, "::1", true},
		{"", true, "::ffff:127.0.0.1", true},
		{"", true, "169.254.169.254", false},
		{"", true, "10.0.0.1", false},
		{"10.0.0.0/16", true, "10.0.3.1", true},
		{"10.0.0.0/16", true, "10.1.3.1", false},
		{"10.0.0.0/16", true, "127.0.0.1", false}, // a list replaces the default
		{"loopback, 10.0.0.1", false, "127.8.0.1", true},
		{"loopback,10.0.0.1", false, "10.0.0.1", true},
		{"", false, "::ffff:10.0.0.1", false},
		{"", false, "::127.0.0.1", false},
		{"", false, "::", false},
		{"", false, "0.0.0.0", false},
		{"", false, "fd00:ec2::254", false},
		{"", false, "fe80::1%eth0", false},
		{"", false, "224.0.0.1", false},
		{"", false, "255.255.255.255", false},
		{"", false, "100.64.1.1", false},
		{"", false, "172.31.255.255", false},
		{"", false, "192.168.1.1", false},
	} {
		g, err := NewGuard(c.allow, c.local)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Check(netip.MustParseAddr(c.address)); (err == nil) != c.ok {
			t.Errorf("allow %q, local %t: %s: %v", c.allow, c.local, c.address, err)
		}
	}
	if err := (Guard{}).Check(netip.Addr{}); err == nil {
		t.Error("no address at all is allowed")
	}
	for _, bad := range []string{"nonsense", "10.0.0.0/99", "fe80::1%eth0"} {
		if _, err := NewGuard(bad, false); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	o.World = world.New()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); o.World.Stop() })
	return c
}

func TestDo(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer secret.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, secret.URL, http.StatusTemporaryRedirect)
		case "/huge":
			for range 1000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		default:
			user, password, _ := r.BasicAuth()
			w.WriteHeader(202)
			w.Write([]byte(r.Method + " " + r.Header.Get("X-Kind") + " " + string(b) + user + password))
		}
	}))
	defer server.Close()
	c := client(t, Options{Local: true})
	for _, k := range []struct {
		path   string
		status int
		body   string
	}{{"/", 202, "POST order hello"}, {"/redirect", 307, ""}, {"/huge", 200, strings.Repeat("\x00", MaxAnswer)}} {
		a, err := c.Do(t.Context(), &Request{URL: server.URL + k.path, Headers: []Header{{"X-Kind", "order"}}, Body: []byte("hello")})
		if err != nil || a.Status != k.status || k.path != "/redirect" && string(a.Body) != k.body {
			t.Errorf("%s: %+v, %v", k.path, a, err)
		}
	}
	withUser := strings.Replace(server.URL, "http://", "http://me:pw@", 1)
	if a, err := c.Do(t.Context(), &Request{Method: "PUT", URL: withUser}); err != nil || string(a.Body) != "PUT  mepw" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{"ftp://example.com", "http://", "::", "file:///etc/passwd"} {
		if _, err := c.Do(t.Context(), &Request{URL: bad}); !Refused(err) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	closed := client(t, Options{})
	name := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for _, url := range []string{server.URL, name} {
		if _, err := closed.Do(t.Context(), &Request{URL: url}); !Refused(err) {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := closed.Do(t.Context(), &Request{URL: url, Trusted: true}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestTLS: an https endpoint needs a certificate that somebody trusted vouches for.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	if a, err := client(t, Options{Local: true, Roots: pool}).Do(t.Context(), &Request{URL: server.URL}); err != nil || a.Status != 200 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := client(t, Options{Local: true}).Do(t.Context(), &Request{URL: server.URL}); err == nil || Refused(err) {
		t.Errorf("a stranger's certificate: %v", err)
	}
}

func TestHanging(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	c := client(t, Options{Local: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, &Request{URL: server.URL}); err == nil || Refused(err) {
		t.Errorf("%v", err)
	}
}

func TestMessage(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := Mail{ID: "m1", Name: "Orders, Inc.", To: "you@example.com", Subject: "größer " + strings.Repeat("ü", 90), Body: ".\r\nFrom me\n" + strings.Repeat("x", 5000), At: at}
	b, err := good.message("us@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if len(line) > 90 || !strings.HasSuffix(line, "\n") && len(line) > 76 {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(string(b)))
	if err != nil || m.Header.Get("From") != `"Orders, Inc." <us@example.com>` || m.Header.Get("Message-Id") != "<m1@example.com>" {
		t.Errorf("%v %v", m, err)
	}
	for name, change := range map[string]func(*Mail){
		"to":      func(m *Mail) { m.To = "you@example.com>\r\nBcc: <all@example.com" },
		"list":    func(m *Mail) { m.To = "you@example.com, me@example.com" },
		"subject": func(m *Mail) { m.Subject = "x\r\nBcc: all@example.com" },
		"name":    func(m *Mail) { m.Name = "x\nBcc: all@example.com" },
		"id":      func(m *Mail) { m.ID = "x>\r\nBcc: all@example.com" },
	} {
		bad := good
		change(&bad)
		if b, err := bad.message("us@example.com"); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("a@b.c", "hello", "name", "id", "body\r\n.\r\n")
	f.Fuzz(func(t *testing.T, to, subject, name, id, body string) {
		b, err := (&Mail{ID: id, Name: name, To: to, Subject: subject, Body: body}).message("us@example.com")
		if err != nil {
			return
		}
		m, err := mail.ReadMessage(strings.NewReader(string(b)))
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if len(m.Header) != 8 {
			t.Fatalf("%d headers\n%s", len(m.Header), b)
		}
	})
}

func FuzzCheckURL(f *testing.F) {
	f.Add("http://user:pw@example.com:80/path?q#f")
	f.Fuzz(func(t *testing.T, text string) {
		if CheckURL(text) != nil {
			return
		}
		if r, err := http.NewRequest("POST", text, nil); err == nil && (r.URL.Hostname() == "" || r.URL.Scheme != "http" && r.URL.Scheme != "https") {
			t.Fatalf("%q leads nowhere", text)
		}
	})
}

func TestMemory(t *testing.T) {
	n := &Memory{Respond: func(_ context.Context, r *Request) (*Answer, error) {
		if r.URL == "http://down/" {
			return nil, errors.New("down")
		}
		return &Answer{Status: 204}, nil
	}}
	if a, err := n.Do(t.Context(), &Request{URL: "http://up/"}); err != nil || a.Status != 204 {
		t.Error(a, err)
	}
	if _, err := n.Do(t.Context(), &Request{URL: "http://down/"}); err == nil || Refused(err) {
		t.Error(err)
	}
	if _, err := n.Do(t.Context(), &Request{URL: "http://169.254.169.254/"}); !Refused(err) {
		t.Error(err)
	}
	if err := n.Send(t.Context(), &Mail{ID: "1", To: "a@b.c"}); err != nil {
		t.Error(err)
	}
	if requests, mails := n.Take(); len(requests) != 2 || len(mails) != 1 {
		t.Error(requests, mails)
	}
}
