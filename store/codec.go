package store

import (
	"encoding"
	"encoding/json"
	"fmt"
)

// recordVersion is the first byte of every stored value. A changed form of a record gets a new one and a
// reader for the old.
const recordVersion = 1

// codec turns values into stored bytes and back.
type codec[V any] struct {
	name   string
	append func(b []byte, v *V) ([]byte, error)
	parse  func(b []byte, v *V) error
}

func newCodec[V any](name string) codec[V] {
	c := codec[V]{name: name}
	var zero V
	_, appends := any(&zero).(encoding.BinaryAppender)
	_, parses := any(&zero).(encoding.BinaryUnmarshaler)
	switch any(&zero).(type) {
	case *[]byte:
		c.append = func(b []byte, v *V) ([]byte, error) { return append(b, *any(v).(*[]byte)...), nil }
		c.parse = func(b []byte, v *V) error { *any(v).(*[]byte) = append([]byte{}, b...); return nil }
		return c
	case *string:
		c.append = func(b []byte, v *V) ([]byte, error) { return append(b, *any(v).(*string)...), nil }
		c.parse = func(b []byte, v *V) error { *any(v).(*string) = string(b); return nil }
		return c
	}
	if appends && parses {
		c.append = func(b []byte, v *V) ([]byte, error) { return any(v).(encoding.BinaryAppender).AppendBinary(b) }
		c.parse = func(b []byte, v *V) error { return any(v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b) }
		return c
	}
	c.append = func(b []byte, v *V) ([]byte, error) {
		j, err := json.Marshal(v)
		return append(b, j...), err
	}
	c.parse = func(b []byte, v *V) error { return json.Unmarshal(b, v) }
	return c
}

func (c *codec[V]) encode(v V) []byte {
	b, err := c.append([]byte{recordVersion}, &v)
	if err != nil {
		fail("store: encode a row of %s: %w", c.name, err)
	}
	return b
}

// encodeIn encodes v into the transaction's scratch space, where it stays until the end: a row costs no
// allocation for its value. See BenchmarkCommitCPU.
func (c *codec[V]) encodeIn(t *txn, v *V) []byte {
	if len(t.values) > keptBytes/2 {
		t.values = make([]byte, 0, keptBytes) // growing would copy what is there already
	}
	from := len(t.values)
	b, err := c.append(append(t.values, recordVersion), v)
	if err != nil {
		fail("store: encode a row of %s: %w", c.name, err)
	}
	t.values = b
	return b[from:len(b):len(b)]
}

// decode reads a stored value; the bytes are not kept.
func (c *codec[V]) decode(b []byte, v *V) {
	if err := c.check(b, v); err != nil {
		fail("store: decode a row of %s: %w", c.name, err)
	}
}

func (c *codec[V]) check(b []byte, v *V) error {
	if len(b) == 0 {
		return fmt.Errorf("it is empty")
	}
	if b[0] != recordVersion {
		return fmt.Errorf("it has version %d; this fogbank knows %d", b[0], recordVersion)
	}
	return c.parse(b[1:], v)
}
