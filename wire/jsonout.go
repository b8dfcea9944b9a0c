package wire

import "strconv"

func appendString(b []byte, s string) []byte { return strconv.AppendQuote(b, s) }
