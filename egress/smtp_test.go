package egress

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

// relayServer is a mail server that takes what it is given, over TLS once asked, from whoever knows the password.
type relayServer struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config
	log      chan string // commands and lines of data, one string for each connection
}

func newRelayServer(t *testing.T) (*relayServer, *x509.CertPool) {
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &relayServer{t: t, listener: l, tls: &tls.Config{Certificates: web.TLS.Certificates}, log: make(chan string, 10)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c)
		}
	}()
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	return s, pool
}

func (s *relayServer) serve(c net.Conn) {
	defer func() { c.Close() }()
	r := bufio.NewReader(c)
	say := func(line string) { c.Write([]byte(line + "\r\n")) }
	say("220 mail.test")
	var log strings.Builder
	secure := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		log.WriteString(line)
		switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); verb {
		case "EHLO":
			if secure {
				say("250-mail.test")
				say("250 AUTH PLAIN")
			} else {
				say("250-mail.test")
				say("250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go on")
			c = tls.Server(c, s.tls)
			r, secure = bufio.NewReader(c), true
		case "DATA":
			say("354 go on")
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				log.WriteString(line)
			}
			say("250 taken")
		case "RCPT":
			if strings.Contains(line, "unknown") {
				say("550 nobody here")
			} else {
				say("250 ok")
			}
		case "AUTH":
			if strings.Contains(line, base64.StdEncoding.EncodeToString([]byte("\x00me\x00secret"))) {
				say("235 ok")
			} else {
				say("535 no")
			}
		case "QUIT":
			say("221 bye")
			s.log <- log.String()
			return
		default:
			say("250 ok")
		}
	}
	s.log <- log.String()
}

func TestSend(t *testing.T) {
	server, pool := newRelayServer(t)
	relay := "smtp://me@" + server.listener.Addr().String()
	c := client(t, Options{Relay: relay, Password: "secret", From: "us@example.com", Roots: pool})
	if !c.Mails() {
		t.Fatal("no relay")
	}
	if err := c.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com", Subject: "hi", Body: "one\r\n.\r\ntwo\r\n"}); err != nil {
		t.Fatal(err)
	}
	log := <-server.log
	for _, want := range []string{"STARTTLS\r\n", "AUTH PLAIN", "MAIL FROM:<us@example.com>", "RCPT TO:<you@example.com>\r\n", "Subject: hi\r\n", "\r\none\r\n..\r\ntwo\r\n.\r\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if err := c.Send(t.Context(), &Mail{ID: "m1", To: "unknown@example.com"}); !Refused(err) {
		t.Errorf("an unknown recipient: %v", err)
	}
	<-server.log
	wrong := client(t, Options{Relay: relay, Password: "wrong", Roots: pool})
	if err := wrong.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com"}); !Refused(err) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	<-server.log
	stranger := client(t, Options{Relay: relay, Password: "secret"})
	if err := stranger.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com"}); err == nil || Refused(err) {
		t.Errorf("a certificate nobody vouches for: %v", err)
	}
	for _, bad := range []string{"example.com", "http://example.com", "smtp://", "smtp://h/path"} {
		if _, err := New(Options{Relay: bad}); err == nil {
			t.Errorf("%s is taken for a relay", bad)
		}
	}
}
