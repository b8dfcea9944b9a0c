package attribute

import (
	"crypto/sha256"
	"unsafe"
)

// AppendKey appends bytes of an S, N or B that order as DynamoDB orders the values of one type: text and
// binaries as they are (the caller delimits them), numbers as AppendOrdered writes them.
func (v Value) AppendKey(b []byte) []byte {
	if v.typ != TypeN {
		return append(b, v.Text()...)
	}
	var d decimal
	parseDecimal(v.Text(), &d)
	return d.appendOrdered(b)
}

// Marks of sign, ordered: negative, zero, positive.
const (
	markNegative = 0x40
	markZero     = 0x80
	markPositive = 0xC0
)

// appendOrdered writes the sign, the exponent and the digits, two to a byte, ended by a zero byte so that
// 0.12 sorts before 0.123; all but the sign complemented for negative numbers.
func (d *decimal) appendOrdered(b []byte) []byte {
	if d.n == 0 {
		return append(b, markZero)
	}
	flip := byte(0)
	mark := byte(markPositive)
	if d.negative {
		flip, mark = 0xFF, markNegative
	}
	b = append(b, mark, byte(d.exp-minExponent)^flip)
	for i := 0; i < d.n; i += 2 {
		pair := d.digits[i] * 10
		if i+1 < d.n {
			pair += d.digits[i+1]
		}
		b = append(b, (pair+1)^flip)
	}
	return append(b, flip)
}

// Hash returns 128 bits that tell the value from every other of its type: of SHA-256, so that nobody can
// make two values meet.
func (v Value) Hash() (h [16]byte) {
	s := v.Text()
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(s), len(s)))
	copy(h[:], sum[:])
	return h
}
