package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// postOffice is what a mail server does with mail: it takes it over TLS from whoever knows the password, but not for everybody.
type postOffice struct {
	mu    sync.Mutex
	mails []string // sender, recipient, text
	busy  bool
}

func (o *postOffice) taken() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mails
}

// close makes the office answer that it is busy.
func (o *postOffice) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = true
}

// session is one client's.
type session struct {
	office *postOffice
	known  bool
	mail   string
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "me" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	s.mail = from + "\n"
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	switch {
	case strings.HasPrefix(to, "unknown@"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody here"}
	case s.office.busy:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "come back later"}
	}
	s.mail += to + "\n"
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	s.office.mails = append(s.office.mails, s.mail+string(text))
	return err
}

func (s *session) Reset()        { s.mail = "" }
func (s *session) Logout() error { return nil }

// newPostOffice opens a server, with TLS from the first byte or once asked, and returns its address and who vouches for it.
func newPostOffice(t *testing.T, implicit bool) (office *postOffice, address string, roots *x509.CertPool) {
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	office = &postOffice{}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{office: office}, nil }))
	server.Domain = "mail.test"
	server.TLSConfig = &tls.Config{Certificates: web.TLS.Certificates}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, server.TLSConfig)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	roots = x509.NewCertPool()
	roots.AddCert(web.Certificate())
	return office, address, roots
}

// TestSend hands mail to a real server, which understands what it was given, and tells a refusal from a bad moment.
func TestSend(t *testing.T) {
	for _, scheme := range []string{"smtp", "smtps"} {
		office, address, roots := newPostOffice(t, scheme == "smtps")
		relay := scheme + "://me@" + address
		c := client(t, Options{Relay: relay, Password: "secret", From: "us@example.com", Roots: roots})
		if !c.Mails() {
			t.Fatal("no relay")
		}
		if err := c.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com", Subject: "hi", Body: "one\r\n.\r\ntwo\r\n"}); err != nil {
			t.Fatal(err)
		}
		mail := strings.Join(office.taken(), "and")
		if !strings.HasPrefix(mail, "us@example.com\nyou@example.com\n") || !strings.Contains(mail, "Subject: hi\r\n") || !strings.HasSuffix(mail, "\r\n\r\none\r\n.\r\ntwo\r\n") {
			t.Errorf("%s: %q", scheme, mail)
		}
		if err := c.Send(t.Context(), &Mail{ID: "m1", To: "unknown@example.com"}); !Refused(err) {
			t.Errorf("%s: an unknown recipient: %v", scheme, err)
		}
		office.close()
		if err := c.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com"}); err == nil || Refused(err) {
			t.Errorf("%s: a server that is busy: %v", scheme, err)
		}
		wrong := client(t, Options{Relay: relay, Password: "wrong", Roots: roots})
		if err := wrong.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com"}); !Refused(err) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: a wrong password: %v", scheme, err)
		}
		stranger := client(t, Options{Relay: relay, Password: "secret"})
		if err := stranger.Send(t.Context(), &Mail{ID: "m1", To: "you@example.com"}); err == nil || Refused(err) {
			t.Errorf("%s: a certificate nobody vouches for: %v", scheme, err)
		}
		if n := len(office.taken()); n != 1 {
			t.Errorf("%s: %d mails", scheme, n)
		}
	}
}

func TestRelayURL(t *testing.T) {
	for _, bad := range []string{"example.com", "http://example.com", "smtp://", "smtp://h/path"} {
		if _, err := New(Options{Relay: bad}); err == nil {
			t.Errorf("%s is taken for a relay", bad)
		}
	}
}
