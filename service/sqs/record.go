package sqs

import (
	"encoding/binary"
	"errors"
	"slices"
)

// message is a stored message. Nothing in it changes while the message is in its queue: when it is
// visible and how often it was received is kept beside it (see visible.go), so that receiving does not rewrite the body.
type message struct {
	ID       string
	Sent     int64  // milliseconds since 1970: the SentTimestamp attribute
	Sender   string // the SenderId attribute
	Body     string
	Digest   [16]byte // MD5 of Body
	Group    string   // MessageGroupId, or ""
	Dedup    string   // MessageDeduplicationId, or ""
	Sequence uint64   // 0 in a standard queue
	Origin   string   // ARN of the queue it was dead-lettered from, or ""
	Due      int64    // nanoseconds since 1970: its row in dues until it is first received; 0 in a FIFO queue
	User     []attribute
	System   []attribute
}

// AppendBinary writes the fields in their order. Texts and counts are preceded by their length as a uvarint.
func (m *message) AppendBinary(b []byte) ([]byte, error) {
	b = slices.Grow(b, 256+len(m.Body)+attributesSize(m.User))
	b = appendText(b, m.ID)
	b = binary.AppendVarint(b, m.Sent)
	b = appendText(b, m.Sender)
	b = appendText(b, m.Body)
	b = append(b, m.Digest[:]...)
	b = appendText(b, m.Group)
	b = appendText(b, m.Dedup)
	b = binary.AppendUvarint(b, m.Sequence)
	b = appendText(b, m.Origin)
	b = binary.AppendVarint(b, m.Due)
	b = appendAttributes(b, m.User)
	return appendAttributes(b, m.System), nil
}

// UnmarshalBinary reads what AppendBinary wrote. It copies data once; the texts are parts of that copy.
func (m *message) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	m.ID = r.text()
	m.Sent = r.int()
	m.Sender = r.text()
	m.Body = r.text()
	copy(m.Digest[:], r.take(len(m.Digest)))
	m.Group = r.text()
	m.Dedup = r.text()
	m.Sequence = r.uint()
	m.Origin = r.text()
	m.Due = r.int()
	m.User = r.attributes()
	m.System = r.attributes()
	return r.end()
}

// state is what changes in a message's life in a standard queue.
type state struct {
	Due      int64  // nanoseconds since 1970 when it becomes or became visible
	Received uint32 // times received in any queue: ApproximateReceiveCount
	Here     uint32 // times received in this queue, which its redrive policy counts
	First    int64  // milliseconds since 1970 of the first receipt, 0 before
	Taken    int64  // nanoseconds since 1970 of the last receipt, 0 before
	Group    string // the message's group, in a standard queue
}

// AppendBinary writes the fields as varints.
func (s *state) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendVarint(b, s.Due)
	b = binary.AppendUvarint(b, uint64(s.Received))
	b = binary.AppendUvarint(b, uint64(s.Here))
	b = binary.AppendVarint(b, s.First)
	b = binary.AppendVarint(b, s.Taken)
	return appendText(b, s.Group), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (s *state) UnmarshalBinary(data []byte) error {
	r := reader{rest: string(data)}
	s.Due = r.int()
	s.Received = uint32(r.uint())
	s.Here = uint32(r.uint())
	s.First = r.int()
	s.Taken = r.int()
	s.Group = r.text()
	return r.end()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendAttributes(b []byte, list []attribute) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, a := range list {
		b = appendText(appendText(b, a.Name), a.Type)
		if a.Binary {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		b = appendText(b, a.Value)
	}
	return b
}

var errRecord = errors.New("sqs: a stored record is cut short or too long")

// reader takes a record apart; after a fault everything it returns is zero and end reports it.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, ""
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) uint() uint64 {
	var x uint64
	for i := 0; i < len(r.rest) && i < binary.MaxVarintLen64; i++ {
		c := r.rest[i]
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.rest = r.rest[i+1:]
			return x
		}
	}
	r.bad, r.rest = true, ""
	return 0
}

func (r *reader) int() int64 {
	u := r.uint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, ""
		return ""
	}
	return r.take(int(n))
}

func (r *reader) attributes() []attribute {
	n := r.uint()
	if n == 0 || n > uint64(len(r.rest)) { // each takes more than one byte
		r.bad = r.bad || n != 0
		return nil
	}
	list := make([]attribute, 0, min(n, 16))
	for ; n > 0 && !r.bad; n-- {
		a := attribute{Name: r.text(), Type: r.text()}
		a.Binary = r.take(1) == "\x01"
		a.Value = r.text()
		list = append(list, a)
	}
	return list
}

func (r *reader) end() error {
	if r.bad || r.rest != "" {
		return errRecord
	}
	return nil
}
