package attribute

import (
	"strconv"
	"strings"
)

// The bounds of DynamoDB's Number: 38 significant digits, magnitudes from 1E-130 to 9.99…E+125.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	maxDigits   = 38
	maxExponent = 126  // of 0.d1d2… × 10^exponent
	minExponent = -129 // the same for 1E-130
)

// The messages of numbers refused.
const (
	notNumeric = "The parameter cannot be converted to a numeric value"
	tooPrecise = "Attempting to store more than 38 significant digits in a Number"
	overflow   = "Number overflow. Attempting to store a number with magnitude larger than supported range"
	underflow  = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
)

// decimal is ±0.d1d2…dn × 10^exp, d1 and dn not zero; n = 0 is zero.
type decimal struct {
	negative bool
	n        int
	exp      int
	digits   [2 * maxDigits]byte // values 0–9; sums may need more than 38 before they are judged
}

// parseDecimal reads [+-]digits[.digits][e[+-]digits]; the problem is "" or DynamoDB's message.
func parseDecimal(text string, d *decimal) (problem string) {
	s := text
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	seen, point, zeros := 0, -1, 0
	i := 0
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && point < 0 {
			point = seen
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen++
		if c == '0' {
			zeros++
			continue
		}
		if d.n == 0 {
			d.exp = -(seen - 1) // leading zeros dropped; corrected by the point below
			zeros = 0
		}
		for ; zeros > 0 && d.n < len(d.digits); zeros-- {
			d.digits[d.n] = 0
			d.n++
		}
		zeros = 0
		if d.n == len(d.digits) {
			return tooPrecise
		}
		d.digits[d.n] = c - '0'
		d.n++
	}
	if seen == 0 {
		return notNumeric + ": " + text
	}
	if point < 0 {
		point = seen
	}
	exponent, ok := parseExponent(s[i:])
	if !ok {
		return notNumeric + ": " + text
	}
	if d.n == 0 {
		d.negative, d.exp = false, 0
		return zeroRange(exponent)
	}
	d.exp += point + exponent
	return d.judge()
}

// zeroRange judges a zero by the exponent it is written with, as DynamoDB does.
func zeroRange(exponent int) string {
	switch {
	case exponent >= maxExponent:
		return overflow
	case exponent < minExponent-1:
		return underflow
	}
	return ""
}

// parseExponent reads an optional e[+-]digits to the end of s; far ones are cut to ±1,000,000, and one beyond
// 64 bits is no number.
func parseExponent(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return sign * int(min(n, 1_000_000)), err == nil
}

func (d *decimal) judge() string {
	switch {
	case d.n == 0:
		return ""
	case d.n > maxDigits:
		return tooPrecise
	case d.exp > maxExponent:
		return overflow
	case d.exp < minExponent:
		return underflow
	}
	return ""
}

// append writes the number as DynamoDB prints it: plain digits, no exponent, no superfluous zeros.
func (d *decimal) append(b []byte) []byte {
	if d.n == 0 {
		return append(b, '0')
	}
	if d.negative {
		b = append(b, '-')
	}
	if d.exp <= 0 {
		b = append(b, '0', '.')
		for range -d.exp {
			b = append(b, '0')
		}
	}
	for i := range d.n {
		if i == d.exp && i > 0 {
			b = append(b, '.')
		}
		b = append(b, '0'+d.digits[i])
	}
	for range d.exp - d.n {
		b = append(b, '0')
	}
	return b
}

func normalise(text string) (string, string) {
	if plain(text) {
		return text, ""
	}
	var d decimal
	if problem := parseDecimal(text, &d); problem != "" {
		return "", problem
	}
	var b [maxExponent - minExponent + maxDigits]byte
	return string(d.append(b[:0])), ""
}

// plain reports whether text is an integer already in its normal form, as most numbers are.
func plain(text string) bool {
	s := strings.TrimPrefix(text, "-")
	if s == "" || len(s) > maxDigits {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s[0] != '0' || text == "0"
}

// compareNumbers orders two numbers in normal form.
func compareNumbers(a, b string) int {
	if a == b {
		return 0
	}
	na, nb := a[0] == '-', b[0] == '-'
	if na != nb {
		if na {
			return -1
		}
		return 1
	}
	if na {
		a, b = b[1:], a[1:]
	}
	wholeA, fractionA, _ := strings.Cut(a, ".")
	wholeB, fractionB, _ := strings.Cut(b, ".")
	if len(wholeA) != len(wholeB) {
		if len(wholeA) < len(wholeB) {
			return -1
		}
		return 1
	}
	if c := strings.Compare(wholeA, wholeB); c != 0 {
		return c
	}
	return strings.Compare(fractionA, fractionB)
}

// Add returns the exact sum of two numbers; Check tells when it left DynamoDB's range or precision.
func (v Value) Add(o Value) Value { return sum(v, o, false) }

// Subtract returns the exact difference of two numbers, judged as in Add.
func (v Value) Subtract(o Value) Value { return sum(v, o, true) }

func sum(x, y Value, subtract bool) Value {
	if x.typ != TypeN || y.typ != TypeN {
		return Value{}
	}
	var a, b decimal
	parseDecimal(x.Text(), &a)
	parseDecimal(y.Text(), &b)
	if subtract && b.n > 0 {
		b.negative = !b.negative
	}
	switch {
	case a.n == 0:
		a = b
	case b.n == 0:
	default:
		if problem := a.plus(&b); problem != "" {
			return invalid(problem)
		}
	}
	if problem := a.judge(); problem != "" {
		return invalid(problem)
	}
	var buf [maxExponent - minExponent + maxDigits]byte
	return textual(TypeN, string(a.append(buf[:0])))
}

// plus adds b to a, neither being zero. The two are laid on one line of digits, the widest the precision
// allows; further apart than that the sum cannot be exact.
func (d *decimal) plus(b *decimal) (problem string) {
	top := max(d.exp, b.exp)
	low := min(d.exp-d.n, b.exp-b.n)
	width := top - low
	const line = 2*maxDigits - 2
	if width > line {
		return tooPrecise
	}
	// positions 1..width hold the digits from 10^(top-1) down, position 0 a carry
	var x, y [line + 1]byte
	copy(x[1+top-d.exp:], d.digits[:d.n])
	copy(y[1+top-b.exp:], b.digits[:b.n])
	negative := d.negative
	if d.negative == b.negative {
		carry := byte(0)
		for i := width; i >= 0; i-- {
			s := x[i] + y[i] + carry
			carry = s / 10
			x[i] = s % 10
		}
	} else {
		if string(x[:width+1]) < string(y[:width+1]) {
			x, y = y, x
			negative = !negative
		}
		borrow := byte(0)
		for i := width; i >= 0; i-- {
			s := x[i] + 10 - y[i] - borrow
			borrow = 1 - s/10
			x[i] = s % 10
		}
	}
	*d = decimal{negative: negative, exp: top + 1}
	first, last := 0, width
	for first <= width && x[first] == 0 {
		first++
	}
	if first > width {
		*d = decimal{}
		return ""
	}
	for x[last] == 0 {
		last--
	}
	d.exp -= first
	d.n = copy(d.digits[:], x[first:last+1])
	return ""
}

// numberSize is what DynamoDB counts: one byte, one for each two significant digits before the point and
// for each two after it, and one for a minus.
func numberSize(text string) int {
	digits, size := strings.TrimPrefix(text, "-"), 1
	size += len(text) - len(digits)
	whole, fraction, broken := strings.Cut(digits, ".")
	if !broken {
		whole = strings.TrimRight(whole, "0")
	}
	if whole == "0" || whole == "" {
		whole, fraction = "", strings.TrimLeft(fraction, "0")
	}
	return size + (len(whole)+1)/2 + (len(fraction)+1)/2
}
