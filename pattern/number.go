package pattern

// Numbers compare as AWS compares them: those from -5e9 to 5e9 with at most six
// decimals compare by value, as whole millionths; any other number equals only
// the same text.
const (
	millionth  = 6             // decimals kept
	maxNumber  = 5_000_000_000 // the largest magnitude that compares by value
	maxScaled  = maxNumber * 1_000_000
	maxMantiss = maxScaled * 100 // digits beyond this cannot be of a comparable number
)

// comparable returns the number in millionths, and whether it compares by value. The
// text is a valid JSON number.
func comparable(text []byte) (int64, bool) {
	i, negative := 0, false
	if i < len(text) && text[i] == '-' {
		negative = true
		i++
	}
	var mantissa int64
	exponent, zeros := 0, 0 // zeros are trailing ones not yet multiplied in
	point := false
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if point {
			exponent--
		}
		if c == '0' {
			zeros++
			continue
		}
		for ; zeros >= 0; zeros-- {
			if mantissa > maxMantiss {
				return 0, false
			}
			mantissa *= 10
		}
		zeros = 0
		mantissa += int64(c - '0')
	}
	if mantissa == 0 {
		return 0, true
	}
	shift := exponent + zeros + millionth
	if i < len(text) { // at 'e' or 'E'
		shift += smallExponent(text[i+1:])
	}
	scaled, ok := scale(mantissa, shift)
	if negative {
		scaled = -scaled
	}
	return scaled, ok
}

// smallExponent parses a JSON exponent, holding it to a magnitude that no comparable number exceeds.
func smallExponent(text []byte) int {
	const most = 1 << 20
	n, negative := 0, false
	for _, c := range text {
		switch {
		case c == '-':
			negative = true
		case c >= '0' && c <= '9' && n < most:
			n = n*10 + int(c-'0')
		}
	}
	if negative {
		return -n
	}
	return n
}

// scale returns mantissa × 10^shift when it is whole and at most maxScaled.
func scale(mantissa int64, shift int) (int64, bool) {
	for ; shift < 0; shift++ {
		if mantissa%10 != 0 {
			return 0, false
		}
		mantissa /= 10
	}
	for ; shift > 0; shift-- {
		if mantissa > maxScaled {
			return 0, false
		}
		mantissa *= 10
	}
	return mantissa, mantissa <= maxScaled
}
