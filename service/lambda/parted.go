package lambda

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// parted is the first byte of a record stored in two parts. Records of before are JSON.
const parted = 1

var errParted = errors.New("lambda: a stored record is cut short")

// appendParted appends a record in two parts: JSON, preceded by its length, and bytes that are as large as they are, which
// in JSON they would not be.
func appendParted(b []byte, head any, body []byte) ([]byte, error) {
	text, err := json.Marshal(head)
	b = binary.AppendUvarint(append(b, parted), uint64(len(text)))
	return append(append(b, text...), body...), err
}

// readParted reads what appendParted wrote; ok is false when it is a record of before, which is read whole.
func readParted(b []byte, head any) (body []byte, ok bool, err error) {
	if len(b) == 0 || b[0] != parted {
		return nil, false, json.Unmarshal(b, head)
	}
	size, n := binary.Uvarint(b[1:])
	if n <= 0 || size > uint64(len(b)-1-n) {
		return nil, false, errParted
	}
	b = b[1+n:]
	return bytes.Clone(b[size:]), true, json.Unmarshal(b[:size], head)
}

// AppendBinary implements encoding.BinaryAppender.
func (e *event) AppendBinary(b []byte) ([]byte, error) {
	head := *e
	head.Payload = nil
	return appendParted(b, &head, e.Payload)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (e *event) UnmarshalBinary(b []byte) error {
	body, ok, err := readParted(b, e)
	if ok {
		e.Payload = body
	}
	return err
}

// AppendBinary implements encoding.BinaryAppender.
func (x *sending) AppendBinary(b []byte) ([]byte, error) {
	head := *x
	head.Body = nil
	return appendParted(b, &head, x.Body)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (x *sending) UnmarshalBinary(b []byte) error {
	body, ok, err := readParted(b, x)
	if ok {
		x.Body = body
	}
	return err
}
