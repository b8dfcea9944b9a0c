package sqs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// slot is where a message stands in its queue: the time it was sent, in nanoseconds since 1970, and a
// number that tells apart messages of the same time. In a FIFO queue that number is the sequence number.
type slot struct {
	At, Tie uint64
}

// receipt is what a receipt handle says: the receipt with that number of the message in that slot of the queue.
// Queue is the queue's identity, never used again after the queue is deleted.
type receipt struct {
	Queue  uint64
	Slot   slot
	Number uint32
}

const (
	receiptForm = 1
	receiptSize = 1 + 8 + 8 + 8 + 4
	sealSize    = 16
)

// sealer makes and checks receipt handles with a key kept in the store, so they outlive restarts and cannot be made up.
type sealer struct{ key []byte }

// handle returns the receipt in its opaque form: the fields and an authentication code over them, in base64.
func (s *sealer) handle(r receipt) string {
	b := make([]byte, 0, receiptSize+sha256.Size)
	b = append(b, receiptForm)
	b = binary.BigEndian.AppendUint64(b, r.Queue)
	b = binary.BigEndian.AppendUint64(b, r.Slot.At)
	b = binary.BigEndian.AppendUint64(b, r.Slot.Tie)
	b = binary.BigEndian.AppendUint32(b, r.Number)
	return base64.StdEncoding.EncodeToString(s.seal(b)[:receiptSize+sealSize])
}

// open returns the receipt a handle stands for; ok is false for anything handle did not make.
func (s *sealer) open(handle string) (r receipt, ok bool) {
	if len(handle) != base64.StdEncoding.EncodedLen(receiptSize+sealSize) {
		return receipt{}, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(handle)
	if err != nil || len(b) != receiptSize+sealSize || b[0] != receiptForm {
		return receipt{}, false
	}
	sealed := s.seal(b[:receiptSize:receiptSize])
	if !hmac.Equal(sealed[receiptSize:receiptSize+sealSize], b[receiptSize:]) {
		return receipt{}, false
	}
	return receipt{
		Queue:  binary.BigEndian.Uint64(b[1:]),
		Slot:   slot{binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])},
		Number: binary.BigEndian.Uint32(b[25:]),
	}, true
}

// seal appends b's authentication code to it.
func (s *sealer) seal(b []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(b)
	return mac.Sum(b)
}
