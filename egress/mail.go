package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"unicode"

	"fogbank/aws"
)

// relay is the server that takes mail.
type relay struct {
	host, address  string
	implicit       bool // TLS from the first byte
	user, password string
	from           string
	roots          *x509.CertPool
}

// newRelay reads the relay's URL; nil when there is none.
func newRelay(o *Options) (*relay, error) {
	if o.Relay == "" {
		return nil, nil
	}
	u, err := url.Parse(o.Relay)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("smtp-relay should look like smtp://user@host:587 or smtps://user@host:465")
	}
	r := &relay{host: u.Hostname(), implicit: u.Scheme == "smtps", user: u.User.Username(), password: o.Password, from: o.From, roots: o.Roots}
	if p, ok := u.User.Password(); ok {
		r.password = p
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "465", false: "25"}[r.implicit]
	}
	r.address = net.JoinHostPort(r.host, port)
	if r.from == "" {
		r.from = "no-reply@sns.amazonaws.com"
	}
	if err := CheckAddress(r.from); err != nil {
		return nil, fmt.Errorf("smtp-from: %w", err)
	}
	return r, nil
}

// CheckAddress reports what is wrong with a mail address: it must be local@domain and nothing else.
func CheckAddress(address string) error {
	a, err := mail.ParseAddress(address)
	if err != nil || a.Address != address || len(address) > 254 || strings.ContainsFunc(address, unicode.IsControl) || strings.ContainsAny(address, " <>") {
		return errors.New("not a mail address")
	}
	return nil
}

// message writes a mail as it goes over the wire, with lines of at most 76 characters. A line break or control
// character where a header is meant to be is an error.
func (m *Mail) message(from string) ([]byte, error) {
	if err := CheckAddress(m.To); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	if strings.ContainsFunc(m.Subject+m.Name+m.ID, unicode.IsControl) || strings.ContainsAny(m.ID, "<>@ ") {
		return nil, errors.New("a control character in a header")
	}
	var b bytes.Buffer
	header := func(name, v string) { fmt.Fprintf(&b, "%s: %s\r\n", name, v) }
	header("Date", m.At.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	header("From", (&mail.Address{Name: m.Name, Address: from}).String())
	header("To", "<"+m.To+">")
	header("Message-ID", "<"+m.ID+from[strings.LastIndexByte(from, '@'):]+">")
	header("Subject", fold(mime.QEncoding.Encode("utf-8", m.Subject)))
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=UTF-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(m.Body)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// fold puts each encoded word of a header on a line of its own.
func fold(v string) string { return strings.ReplaceAll(v, "?= =?", "?=\r\n =?") }

// Mails implements Network.
func (c *Client) Mails() bool { return c.relay != nil }

// Send implements Network.
func (c *Client) Send(ctx context.Context, m *Mail) error {
	if c.relay == nil {
		return &refusal{errors.New("there is no mail relay")}
	}
	text, err := m.message(c.relay.from)
	if err != nil {
		return &refusal{err}
	}
	if err := aws.Settle(ctx); err != nil {
		return err
	}
	ctx, cancel := c.world.WithTimeout(ctx, Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.relay.address)
	if err != nil {
		return fmt.Errorf("mail relay: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the end of the time ends whatever is under way
	defer stop()
	if err := c.relay.converse(conn, m.To, text); err != nil {
		return classify(err)
	}
	return nil
}

// converse hands one mail over. It closes conn.
func (r *relay) converse(conn net.Conn, to string, text []byte) error {
	secure := &tls.Config{ServerName: r.host, RootCAs: r.roots, MinVersion: tls.VersionTLS12}
	if r.implicit {
		conn = tls.Client(conn, secure)
	}
	client, err := smtp.NewClient(conn, r.host)
	if err != nil {
		conn.Close()
		return err
	}
	defer client.Close()
	if ok, _ := client.Extension("STARTTLS"); ok && !r.implicit {
		if err := client.StartTLS(secure); err != nil {
			return err
		}
	}
	if r.user != "" {
		// smtp.PlainAuth gives the password to nobody without TLS, but for this machine.
		if err := client.Auth(smtp.PlainAuth("", r.user, r.password, r.host)); err != nil {
			return err
		}
	}
	if err := client.Mail(r.from); err != nil {
		return err
	}
	if err := client.Rcpt(to); err != nil {
		return err
	}
	w, err := client.Data() // which doubles the dots lines begin with
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := client.Quit(); err != nil {
		return nil //nolint:nilerr // the mail is accepted; how the goodbye went is of no interest
	}
	return nil
}

// classify makes a refusal of what the relay says will not change: a reply in the five hundreds.
func classify(err error) error {
	err = fmt.Errorf("mail relay: %w", err)
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		return &refusal{err}
	}
	return err
}
