package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"fogbank/store"
)

// event is the stored form of a log event; its time is in its key.
type event struct {
	ingested int64 // milliseconds since 1970
	message  string
}

var events = store.NewTable[event]("logs/event", store.Regional)

// AppendBinary implements encoding.BinaryAppender: when it was taken in, then the message.
func (e *event) AppendBinary(b []byte) ([]byte, error) {
	return append(binary.AppendVarint(b, e.ingested), e.message...), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (e *event) UnmarshalBinary(b []byte) error {
	at, n := binary.Varint(b)
	if n <= 0 {
		return errors.New("logs: a stored event without its time")
	}
	e.ingested, e.message = at, string(b[n:])
	return nil
}

// position is an event's place among all: its timestamp in milliseconds, and the store's
// number, which no two events share.
type position struct {
	at  int64
	seq uint64
}

func positionOf(key store.Key) (p position) {
	if err := key.Parse(nil, &p.at, &p.seq); err != nil {
		panic("logs: an event's key without a position: " + err.Error())
	}
	return p
}

// key is the place of p in a stream.
func (p position) key(stream uint64) store.Key { return store.K(stream, p.at, p.seq) }

// String writes p as the 56 digits of event ids and tokens.
func (p position) String() string { return fmt.Sprintf("3%019d%036d", p.at, p.seq) }

func parsePosition(s string) (p position, ok bool) {
	if len(s) != 56 || s[0] != '3' {
		return p, false
	}
	at, err := strconv.ParseUint(s[1:20], 10, 63)
	seq, err2 := strconv.ParseUint(s[20:], 10, 64)
	return position{int64(at), seq}, err == nil && err2 == nil
}

// less orders events by time, then by when they were stored.
func (p position) less(q position) bool {
	return p.at < q.at || p.at == q.at && p.seq < q.seq
}

const (
	maxEvents     = 10_000  // in a batch and on a page
	maxBytes      = 1 << 20 // in a batch and on a page
	eventOverhead = 26      // counted for each event on top of its text
)
