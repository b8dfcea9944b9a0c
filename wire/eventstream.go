package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"unsafe"
)

// Events is the sequence of an event stream, which may still be coming about: the next event is waited for. Each
// has one member set. It is run through once.
type Events[T any] func(yield func(*T) bool)

// Limits of a message, in bytes.
// https://smithy.io/2.0/aws/amazon-eventstream.html
const (
	maxEventHeaders = 128 << 10
	maxEventPayload = 24 << 20

	eventPrelude = 12 // both lengths, and their checksum
	eventFrame   = eventPrelude + 4
	eventString  = 7 // the type of a header that is text
)

// EventType is the media type of an event stream.
const EventType = "application/vnd.amazon.eventstream"

// Event is one message of an event stream.
type Event struct {
	Headers []EventHeader
	Payload []byte
}

// EventHeader is a header of a message. Values that are not text are kept as they came, behind the type's number.
type EventHeader struct {
	Name, Value string
	Type        byte // 7 for text
}

// Header returns the text of a header, "" without it.
func (e *Event) Header(name string) string {
	for i := range e.Headers {
		if h := &e.Headers[i]; h.Name == name && h.Type == eventString {
			return h.Value
		}
	}
	return ""
}

var (
	errEventSize     = errors.New("wire: a message of an event stream that is too large")
	errEventChecksum = errors.New("wire: a message of an event stream with a wrong checksum")
	errEventHeaders  = errors.New("wire: a message of an event stream with headers that cannot be read")
)

// AppendEvent appends a message whose headers are text, given as names and values by turns:
//
//	length of all, 4 bytes | length of the headers, 4 | CRC-32 of these, 4 | headers | payload | CRC-32 of all before, 4
//
// A header is its name, behind a byte of length; the type, a byte; and for text two bytes of length and the value.
// It fails when the limits are exceeded.
func AppendEvent(b, payload []byte, headers ...string) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, eventPrelude)...)
	for i := 0; i < len(headers); i += 2 {
		name, value := headers[i], headers[i+1]
		if name == "" || len(name) > 255 || len(value) > 0x7fff {
			return nil, errEventHeaders
		}
		b = append(append(b, byte(len(name))), name...)
		b = append(binary.BigEndian.AppendUint16(append(b, eventString), uint16(len(value))), value...)
	}
	length := len(b) - start - eventPrelude
	if length > maxEventHeaders || len(payload) > maxEventPayload {
		return nil, errEventSize
	}
	head := b[start:]
	binary.BigEndian.PutUint32(head, uint32(eventFrame+length+len(payload)))
	binary.BigEndian.PutUint32(head[4:], uint32(length))
	binary.BigEndian.PutUint32(head[8:], crc32.ChecksumIEEE(head[:8]))
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:])), nil
}

// ReadEvent reads the next message; the error is io.EOF when there is none. Memory is taken as bytes arrive, and for
// no more than the limits.
func ReadEvent(r io.Reader) (*Event, error) {
	var head [eventPrelude]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(head[:8]) != binary.BigEndian.Uint32(head[8:]) {
		return nil, errEventChecksum
	}
	total, headers := int64(binary.BigEndian.Uint32(head[:])), int64(binary.BigEndian.Uint32(head[4:]))
	if headers > maxEventHeaders || total < eventFrame+headers || total-eventFrame-headers > maxEventPayload {
		return nil, errEventSize
	}
	rest, err := io.ReadAll(io.LimitReader(r, total-eventPrelude))
	if err != nil {
		return nil, err
	}
	if int64(len(rest)) < total-eventPrelude {
		return nil, io.ErrUnexpectedEOF
	}
	body, sum := rest[:len(rest)-4], rest[len(rest)-4:]
	if crc32.Update(crc32.ChecksumIEEE(head[:]), crc32.IEEETable, body) != binary.BigEndian.Uint32(sum) {
		return nil, errEventChecksum
	}
	e := &Event{Payload: body[headers:]}
	e.Headers, err = readEventHeaders(body[:headers])
	return e, err
}

// eventSizes are the bytes of a header's value by its type; -1: behind two bytes of length.
var eventSizes = [...]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: -1, eventString: -1, 8: 8, 9: 16}

func readEventHeaders(b []byte) (list []EventHeader, err error) {
	take := func(n int) (part []byte) {
		if n > len(b) {
			err, b = errEventHeaders, nil
			return nil
		}
		part, b = b[:n], b[n:]
		return part
	}
	for len(b) > 0 {
		var h EventHeader
		h.Name = string(take(int(take(1)[0])))
		if t := take(1); err == nil {
			h.Type = t[0]
		}
		if h.Name == "" || int(h.Type) >= len(eventSizes) {
			return nil, errEventHeaders
		}
		size := eventSizes[h.Type]
		if size < 0 {
			if n := take(2); err == nil {
				size = int(binary.BigEndian.Uint16(n))
			}
		}
		if h.Value = string(take(max(size, 0))); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

// stream is the member that is an event stream, if there is one.
func (s *Shape) stream() *Member {
	if s.Payload != "" {
		if m := s.Member(s.Payload); m.Events {
			return m
		}
	}
	return nil
}

// sendEvents writes the events at p as they come, each on its way before the next is waited for. A client that went
// away is nobody's failure: the events end with it.
func sendEvents(w http.ResponseWriter, status int, m *Member, p unsafe.Pointer) (err error) {
	w.Header()["Content-Type"] = []string{EventType}
	w.WriteHeader(status)
	control := http.NewResponseController(w)
	var buf []byte
	m.Shape.Type.each(p, func(e unsafe.Pointer) bool {
		if buf, err = appendModelled(buf[:0], m.Shape, e); err != nil {
			return false
		}
		if _, gone := w.Write(buf); gone != nil {
			return false
		}
		gone := control.Flush()
		return gone == nil || errors.Is(gone, http.ErrNotSupported)
	})
	return err
}

// appendModelled appends the message of the event at p: its type is the member that is set, its payload that
// member's structure as JSON or, where the model says so, one of its blobs.
func appendModelled(b []byte, s *Shape, p unsafe.Pointer) ([]byte, error) {
	for i := range s.Members {
		m := &s.Members[i]
		v := m.at(p)
		if v == nil {
			continue
		}
		payload, kind := []byte(nil), "application/json"
		if whole := m.Shape.whole(); whole == nil {
			payload = jsonEncoder{}.structure(nil, m.Shape, v)
		} else {
			kind = "application/octet-stream"
			if f := whole.at(v); f != nil {
				payload = *(*[]byte)(f)
			}
		}
		return AppendEvent(b, payload, ":event-type", m.wireName(), ":content-type", kind, ":message-type", "event")
	}
	return nil, fmt.Errorf("wire: an event of %s without a member", s.Name)
}

// whole is the member that is the payload of an event, if there is one.
func (s *Shape) whole() *Member {
	for i := range s.Members {
		if m := &s.Members[i]; m.Whole && m.Shape.Kind == Blob {
			return m
		}
	}
	return nil
}
