package sns

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
	"unicode/utf8"

	"fogbank/pattern"
)

// message is what a publish sends to subscriptions of one protocol.
type message struct {
	Kind       string // confirmation or endConfirmation; "" for a notification
	ID         string
	Topic      string // ARN
	Subject    string
	HasSubject bool
	Body       string
	At         int64  // milliseconds since 1970
	Version    string // of the signature
	Host       string // where clients reach this server: scheme and host
	Attributes []attribute

	Token         string // of a confirmation
	Group         string // "" for none
	Deduplication string // of a FIFO topic
	Sequence      uint64 // of a FIFO topic: 0 for none
	Replayed      bool   // it comes from the archive
	Trace         string // the publisher's tracing header, "" for none
}

// kind returns the message's type as envelopes name it.
func (m *message) kind() string {
	if m.Kind == "" {
		return notification
	}
	return m.Kind
}

// confirm is the URL that confirms a subscription.
func (m *message) confirm() string {
	return m.Host + "/?Action=ConfirmSubscription&TopicArn=" + m.Topic + "&Token=" + m.Token
}

// size is how many bytes count towards the limit.
func (m *message) size() int {
	n := len(m.Body) + len(m.Subject)
	for _, a := range m.Attributes {
		n += len(a.Name) + len(a.Type) + len(a.Value)
	}
	return n
}

// attribute is a message attribute; of a Binary one, Value is the bytes.
type attribute = pattern.Attribute

// timestamp is the form of times in envelopes.
const timestamp = "2006-01-02T15:04:05.000Z"

func (m *message) time() string { return time.UnixMilli(m.At).UTC().Format(timestamp) }

// signed returns the text AWS documents to be signed.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
func (m *message) signed() []byte {
	b := make([]byte, 0, len(m.Body)+len(m.Subject)+len(m.Topic)+150)
	line := func(name, v string) {
		b = append(append(b, name...), '\n')
		b = append(append(b, v...), '\n')
	}
	line("Message", m.Body)
	line("MessageId", m.ID)
	if m.HasSubject {
		line("Subject", m.Subject)
	}
	if m.Kind != "" {
		line("SubscribeURL", m.confirm())
	}
	line("Timestamp", m.time())
	if m.Kind != "" {
		line("Token", m.Token)
	}
	line("TopicArn", m.Topic)
	line("Type", m.kind())
	return b
}

// stamp is what a signer adds to a message.
type stamp struct {
	signature string // base64
	cert      string // path of the certificate: "/SimpleNotificationService-….pem"
}

// unsubscribe is the URL that ends a subscription.
func (m *message) unsubscribe(subscription string) string {
	return m.Host + "/?Action=Unsubscribe&SubscriptionArn=" + subscription
}

// envelope is a signed message as queues and endpoints outside get it: the same for all subscriptions of a topic, but for
// the place between its parts where their ids go.
type envelope struct{ head, tail string }

// to returns the envelope for the subscription with that id.
func (e *envelope) to(id string) string {
	if e.tail == "" {
		return e.head // a message of a kind that names none
	}
	return e.head + id + e.tail
}

// envelope lays out the envelope as AWS does.
func (m *message) envelope(s stamp) (e envelope) {
	b := make([]byte, 0, len(m.Body)+len(m.Body)/8+1024)
	field := func(name, v string) {
		b = append(append(append(b, "  \""...), name...), "\" : "...)
		b = append(appendJSON(b, v), ",\n"...)
	}
	b = append(b, "{\n"...)
	field("Type", m.kind())
	field("MessageId", m.ID)
	if m.Sequence != 0 {
		field("SequenceNumber", sequenceNumber(m.Sequence))
	}
	if m.Kind != "" {
		field("Token", m.Token)
	}
	field("TopicArn", m.Topic)
	if m.HasSubject {
		field("Subject", m.Subject)
	}
	field("Message", m.Body)
	if m.Kind != "" {
		field("SubscribeURL", m.confirm())
	}
	field("Timestamp", m.time())
	if m.Replayed {
		b = append(b, "  \"Replayed\" : true,\n"...)
	}
	field("SignatureVersion", m.Version)
	field("Signature", s.signature)
	field("SigningCertURL", m.Host+s.cert)
	if m.Kind == "" {
		field("UnsubscribeURL", m.unsubscribe(m.Topic+":"))
		const after = "\",\n"
		e.head = string(b[:len(b)-len(after)])
		b = append(b[:0], after...)
	}
	if len(m.Attributes) == 0 {
		return e.end(append(b[:len(b)-2], "\n}"...))
	}
	b = append(b, "  \"MessageAttributes\" : {\n"...)
	for i, a := range m.Attributes {
		if i > 0 {
			b = append(b, ",\n"...)
		}
		b = append(appendJSON(append(b, "    "...), a.Name), " : "...)
		b = appendAttribute(b, a)
	}
	return e.end(append(b, "\n  }\n}"...))
}

// end adds the rest of an envelope.
func (e envelope) end(rest []byte) envelope {
	if e.head == "" {
		return envelope{head: string(rest)}
	}
	e.tail = string(rest)
	return e
}

func appendAttribute(b []byte, a attribute) []byte {
	b = appendJSON(append(b, `{"Type":`...), a.Type)
	b = append(b, `,"Value":`...)
	if a.Type == "Binary" {
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, []byte(a.Value))
		return append(b, `"}`...)
	}
	return append(appendJSON(b, a.Value), '}')
}

// record is the event a function is invoked with.
func (m *message) record(subscription string, s stamp) []byte {
	b := make([]byte, 0, len(m.Body)+len(m.Body)/8+1024)
	b = append(b, `{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","EventSubscriptionArn":`...)
	b = appendJSON(b, subscription)
	b = append(b, `,"Sns":{"Type":"Notification"`...)
	field := func(name, v string) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = appendJSON(b, v)
	}
	field("MessageId", m.ID)
	field("TopicArn", m.Topic)
	if m.HasSubject {
		field("Subject", m.Subject)
	} else {
		b = append(b, `,"Subject":null`...)
	}
	field("Message", m.Body)
	field("Timestamp", m.time())
	field("SignatureVersion", m.Version)
	field("Signature", s.signature)
	field("SigningCertUrl", m.Host+s.cert)
	field("UnsubscribeUrl", m.unsubscribe(subscription))
	b = append(b, `,"MessageAttributes":{`...)
	for i, a := range m.Attributes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, a.Name), ':')
		b = appendAttribute(b, a)
	}
	return append(b, `}}}]}`...)
}

// appendJSON writes a JSON string as AWS does: only what must be escaped is.
func appendJSON(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(append(b, s[start:i]...), '\\')
		switch c {
		case '"', '\\':
			b = append(b, c)
		case '\n':
			b = append(b, 'n')
		case '\r':
			b = append(b, 'r')
		case '\t':
			b = append(b, 't')
		case '\b':
			b = append(b, 'b')
		case '\f':
			b = append(b, 'f')
		default:
			b = append(b, 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// The stored form of a message is its fields in order, each text preceded by its length.

func appendText(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

var errRecord = errors.New("sns: a stored record is cut short")

// reader takes texts from the front of a record.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.err = nil, errRecord
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errRecord
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) bool() bool { return r.uint() != 0 }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendBinary implements encoding.BinaryAppender.
func (m *message) AppendBinary(b []byte) ([]byte, error) {
	b = appendText(b, m.ID, m.Topic, m.Subject)
	b = appendBool(b, m.HasSubject)
	b = appendText(b, m.Body, m.Version, m.Host)
	b = binary.AppendUvarint(b, uint64(m.At))
	b = binary.AppendUvarint(b, uint64(len(m.Attributes)))
	for _, a := range m.Attributes {
		b = appendText(b, a.Name, a.Type, a.Value)
	}
	b = appendText(b, m.Kind, m.Token, m.Group, m.Deduplication)
	b = binary.AppendUvarint(b, m.Sequence)
	if m.Replayed || m.Trace != "" {
		b = appendBool(b, m.Replayed)
	}
	if m.Trace != "" {
		b = appendText(b, m.Trace)
	}
	return b, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (m *message) UnmarshalBinary(b []byte) error {
	r := &reader{b: b}
	m.read(r)
	return r.err
}

func (m *message) read(r *reader) {
	m.ID, m.Topic, m.Subject = r.text(), r.text(), r.text()
	m.HasSubject = r.bool()
	m.Body, m.Version, m.Host = r.text(), r.text(), r.text()
	m.At = int64(r.uint())
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		m.Attributes = append(m.Attributes, attribute{Name: r.text(), Type: r.text(), Value: r.text()})
	}
	if len(r.b) == 0 {
		return // a record of before there were kinds
	}
	m.Kind, m.Token, m.Group, m.Deduplication = r.text(), r.text(), r.text(), r.text()
	m.Sequence = r.uint()
	if len(r.b) > 0 {
		m.Replayed = r.bool()
	}
	if len(r.b) > 0 {
		m.Trace = r.text()
	}
}
