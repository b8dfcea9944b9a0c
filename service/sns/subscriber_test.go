package sns_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"fogbank"
	apisns "fogbank/api/sns"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/world"

	"github.com/emersion/go-smtp"
)

// cloud is a whole cloud behind a real listener, and SNS as its root calls it.
type cloud struct {
	t   *testing.T
	url string
	sns apisns.Client
	ctx context.Context
}

func newCloud(t *testing.T, config fogbank.Config) *cloud {
	t.Helper()
	config.World = world.New()
	config.Functions = &compute.Fake{World: config.World}
	c, err := fogbank.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c)
	t.Cleanup(func() {
		server.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	call := &aws.Call{Account: fogbank.DefaultAccount, Region: fogbank.DefaultRegion, Endpoint: server.URL,
		Principal: aws.Principal{Kind: aws.Root, Account: fogbank.DefaultAccount, ARN: "arn:aws:iam::000000000000:root"}}
	return &cloud{t, server.URL, apisns.Client{Invoke: c.Do}, aws.WithCall(t.Context(), call)}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (c *cloud) topic(name string, attributes map[string]string) string {
	return *must(c.sns.CreateTopic(c.ctx, &apisns.CreateTopicInput{Name: name, Attributes: attributes})).TopicArn
}

// get fetches a URL without a signature, as a browser does.
func (c *cloud) get(url string) (int, []byte) {
	res := must(http.Get(url))
	defer res.Body.Close()
	return res.StatusCode, must(io.ReadAll(res.Body))
}

// envelope is what AWS's documentation tells subscribers to read.
type envelope struct {
	Type, MessageId, Token, TopicArn, Message, SubscribeURL, Timestamp, SignatureVersion, Signature, SigningCertURL, UnsubscribeURL string
	Subject                                                                                                                         *string
}

// verify does what the documentation tells subscribers to do, with nothing but the standard library.
func (c *cloud) verify(e *envelope) {
	c.t.Helper()
	status, text := c.get(e.SigningCertURL)
	block, _ := pem.Decode(text)
	if status != 200 || block == nil || !strings.HasPrefix(e.SigningCertURL, c.url+"/SimpleNotificationService-") {
		c.t.Fatalf("%s: %d %s", e.SigningCertURL, status, text)
	}
	certificate := must(x509.ParseCertificate(block.Bytes))
	key := certificate.PublicKey.(*rsa.PublicKey)
	if now := time.Now(); key.N.BitLen() < 2048 || now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		c.t.Errorf("a key of %d bits, from %s to %s", key.N.BitLen(), certificate.NotBefore, certificate.NotAfter)
	}
	signed := "Message\n" + e.Message + "\nMessageId\n" + e.MessageId + "\n"
	if e.Type == "Notification" {
		if e.Subject != nil {
			signed += "Subject\n" + *e.Subject + "\n"
		}
		signed += "Timestamp\n" + e.Timestamp + "\nTopicArn\n" + e.TopicArn + "\nType\n" + e.Type + "\n"
	} else {
		signed += "SubscribeURL\n" + e.SubscribeURL + "\nTimestamp\n" + e.Timestamp + "\nToken\n" + e.Token + "\nTopicArn\n" + e.TopicArn + "\nType\n" + e.Type + "\n"
	}
	signature := must(base64.StdEncoding.DecodeString(e.Signature))
	one, two := sha1.Sum([]byte(signed)), sha256.Sum256([]byte(signed))
	err := rsa.VerifyPKCS1v15(key, crypto.SHA1, one[:], signature)
	if e.SignatureVersion == "2" {
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, two[:], signature)
	}
	if err != nil {
		c.t.Errorf("%v: %+v", err, e)
	}
}

// TestSubscriber takes a subscriber through its life over real sockets, and checks every signature.
func TestSubscriber(t *testing.T) {
	got := make(chan *envelope, 10)
	subscriber := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		e := &envelope{}
		if err := json.NewDecoder(r.Body).Decode(e); err != nil || r.Header.Get("x-amz-sns-message-type") != e.Type {
			t.Errorf("%v: %v", err, r.Header)
		}
		got <- e
	}))
	defer subscriber.Close()
	c := newCloud(t, fogbank.Config{})
	for _, version := range []string{"1", "2"} {
		if version == "2" { // a link without a signature must find the region by itself
			there := *aws.CallFrom(c.ctx)
			there.Region = "eu-west-1"
			c.ctx = aws.WithCall(c.ctx, &there)
		}
		topic := c.topic("orders"+version, map[string]string{"SignatureVersion": version})
		must(c.sns.Subscribe(c.ctx, &apisns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: &subscriber.URL}))
		asked := <-got
		c.verify(asked)
		if status, body := c.get(asked.SubscribeURL); status != 200 || !bytes.Contains(body, []byte("<ConfirmSubscriptionResult><SubscriptionArn>"+topic+":")) {
			t.Fatalf("%d %s", status, body)
		}
		must(c.sns.Publish(c.ctx, &apisns.PublishInput{TopicArn: &topic, Message: "größe\n\"1\"", Subject: new("order")}))
		told := <-got
		c.verify(told)
		if told.Message != "größe\n\"1\"" || *told.Subject != "order" || told.SignatureVersion != version {
			t.Errorf("%+v", told)
		}
		if status, body := c.get(told.UnsubscribeURL); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		ended := <-got
		c.verify(ended)
		if left := must(c.sns.ListSubscriptionsByTopic(c.ctx, &apisns.ListSubscriptionsByTopicInput{TopicArn: topic})); len(left.Subscriptions) != 0 || ended.Type != "UnsubscribeConfirmation" {
			t.Errorf("%+v, %+v", ended, left.Subscriptions)
		}
		if status, _ := c.get(ended.SubscribeURL); status != 200 {
			t.Error(status)
		}
	}
	for _, url := range []string{"/?Action=ListTopics", "/?Action=Publish&TopicArn=x&Message=y", "/SimpleNotificationService-0.pem"} {
		if status, _ := c.get(c.url + url); status < 400 {
			t.Errorf("%s: %d", url, status)
		}
	}
}

// TestHostileSubscribers: whatever some endpoints do, a good one gets its messages, and nothing reaches a
// place that is not public.
func TestHostileSubscribers(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody got inside") }))
	defer inside.Close()
	good := make(chan string, 100)
	var mu sync.Mutex
	attempts := map[string]int{}
	hanging, cancel := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := must(io.ReadAll(r.Body))
		var e envelope
		if r.Header.Get("x-amz-sns-message-type") == "SubscriptionConfirmation" {
			if err := json.Unmarshal(body, &e); err != nil {
				t.Error(err)
			}
			must(http.Get(e.SubscribeURL)).Body.Close()
			return
		}
		mu.Lock()
		attempts[r.URL.Path]++
		mu.Unlock()
		switch r.URL.Path {
		case "/broken":
			w.WriteHeader(500)
		case "/redirect":
			http.Redirect(w, r, inside.URL, http.StatusFound)
		case "/hang":
			<-hanging.Done()
		case "/drip":
			for hanging.Err() == nil {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				select {
				case <-hanging.Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		case "/huge":
			for range 10_000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/lie":
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Write([]byte("HTTP/1.1 two hundred\r\n\r\n"))
				conn.Close()
			}
		case "/good":
			good <- string(body)
		}
	})
	subscriber := httptest.NewServer(handler)
	defer subscriber.Close()
	defer cancel()
	c := newCloud(t, fogbank.Config{})
	topic := c.topic("orders", nil)
	for _, path := range []string{"/broken", "/redirect", "/hang", "/drip", "/huge", "/lie", "/good"} {
		must(c.sns.Subscribe(c.ctx, &apisns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: new(subscriber.URL + path),
			Attributes: map[string]string{"RawMessageDelivery": "true"}}))
	}
	for must(c.sns.GetTopicAttributes(c.ctx, &apisns.GetTopicAttributesInput{TopicArn: topic})).Attributes["SubscriptionsConfirmed"] != "7" {
		select {
		case <-t.Context().Done():
			t.Fatal("not all confirmed")
		default:
		}
	}
	const messages = 30
	for range messages {
		must(c.sns.Publish(c.ctx, &apisns.PublishInput{TopicArn: &topic, Message: "hello"}))
	}
	for range messages {
		if body := <-good; body != "hello" {
			t.Errorf("%q", body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if attempts["/hang"] == 0 || attempts["/hang"] > messages {
		t.Errorf("%v", attempts)
	}
}

// TestGuarded: a server that others can reach does not lead them to the machine it runs on.
func TestGuarded(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody got inside") }))
	defer inside.Close()
	c := newCloud(t, fogbank.Config{EgressAllow: "192.0.2.1"})
	topic := c.topic("orders", nil)
	for _, url := range []string{inside.URL, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), "http://169.254.169.254/latest/meta-data/"} {
		must(c.sns.Subscribe(c.ctx, &apisns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: &url}))
	}
	must(c.sns.Subscribe(c.ctx, &apisns.SubscribeInput{TopicArn: topic, Protocol: "email", Endpoint: new("you@example.com")}))
	for i := 0; ; i++ { // deliveries are done once the last one is in the outbox
		if _, box := c.get(c.url + "/_fogbank/outbox"); bytes.Contains(box, []byte("you@example.com")) {
			break
		}
	}
}

// mailbox is a mail server's session, which hands on what it takes.
type mailbox chan<- string

func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }

func (m mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	m <- string(text)
	return err
}

// mailServer takes mail over SMTP and hands it on.
func mailServer(t *testing.T) (address string, mails chan string) {
	mails = make(chan string, 10)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox(mails), nil }))
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String(), mails
}

// TestMailRelay: a subscriber confirms by the link in the mail, and gets its messages from the relay.
func TestMailRelay(t *testing.T) {
	relay, mails := mailServer(t)
	c := newCloud(t, fogbank.Config{SMTPRelay: "smtp://" + relay, SMTPFrom: "news@shop.test"})
	topic := c.topic("orders", map[string]string{"DisplayName": "Shöp"})
	must(c.sns.Subscribe(c.ctx, &apisns.SubscribeInput{TopicArn: topic, Protocol: "email", Endpoint: new("you@example.com")}))
	read := func() (*mail.Message, string) {
		m := must(mail.ReadMessage(strings.NewReader(<-mails)))
		return m, string(must(io.ReadAll(quotedprintable.NewReader(m.Body))))
	}
	_, body := read()
	link := regexp.MustCompile(`http://\S+`).FindString(body)
	if status, answer := c.get(link); status != 200 {
		t.Fatalf("%s: %d %s", link, status, answer)
	}
	text := ".\na line that begins with a dot: \n." + strings.Repeat("long ", 1000)
	must(c.sns.Publish(c.ctx, &apisns.PublishInput{TopicArn: &topic, Message: text, Subject: new("news for you")}))
	m, body := read()
	if !strings.HasPrefix(strings.ReplaceAll(body, "\r\n", "\n"), text+"\n") || m.Header.Get("Subject") != "news for you" ||
		!strings.HasSuffix(m.Header.Get("From"), "<news@shop.test>") || m.Header.Get("To") != "<you@example.com>" {
		t.Errorf("%v\n%s", m.Header, body)
	}
	if link = regexp.MustCompile(`http://\S+Unsubscribe\S+`).FindString(body); link == "" {
		t.Fatal(body)
	}
	if status, answer := c.get(link); status != 200 {
		t.Fatalf("%s: %d %s", link, status, answer)
	}
}
