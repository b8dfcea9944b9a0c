package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// algorithm is the one signing algorithm accepted: Signature Version 4 with a shared secret.
const algorithm = "AWS4-HMAC-SHA256"

// canonicaliser builds canonical requests and strings to sign in buffers it keeps,
// so that a request which is verified leaves nothing for the collector.
type canonicaliser struct {
	buf   []byte // the canonical request, later the string to sign
	query []byte // the encoded query parameters, as they came
	pairs []pair // where in query they lie
	key   []byte // a header's name in Go's spelling
}

// pair is one encoded query parameter: query[name:equal] and query[equal:end].
type pair struct{ name, equal, end int }

// request returns the canonical request of r: method, path, query, headers, the
// list of signed headers and the payload's hash, one per line. It is valid until
// the next call.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html#create-canonical-request
func (c *canonicaliser) request(r *http.Request, signed string, payload []byte) []byte {
	b := append(c.buf[:0], r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.URL.EscapedPath())
	b = append(b, '\n')
	b = c.appendQuery(b, r.URL.RawQuery)
	b = append(b, '\n')
	for name := range strings.SplitSeq(signed, ";") {
		b = append(b, name...)
		b = append(b, ':')
		b = c.appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, signed...)
	b = append(b, '\n')
	b = append(b, payload...)
	c.buf = b
	return b
}

// stringToSign returns prefix (an HMAC's inner pad) followed by the string to sign
// of s for the canonical request whose hash is sum. It is valid until the next call.
func (c *canonicaliser) stringToSign(prefix []byte, s *signature, sum [sha256.Size]byte) []byte {
	b := append(c.buf[:0], prefix...)
	b = append(b, algorithm+"\n"...)
	b = append(b, s.stamp...)
	b = append(b, '\n')
	b = append(b, s.scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, sum[:])
	c.buf = b
	return b
}

// appendPath appends the canonical form of a path as it was sent: empty and dot
// segments resolved, and every segment, though encoded already, encoded once more.
func appendPath(b []byte, path string) []byte {
	start := len(b)
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			if i := bytes.LastIndexByte(b[start:], '/'); i >= 0 {
				b = b[:start+i]
			}
		default:
			b = append(b, '/')
			b = appendEncoded(b, segment)
		}
	}
	if len(b) == start || strings.HasSuffix(path, "/") {
		b = append(b, '/')
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// appendEncoded appends s with all but the unreserved characters of RFC 3986 percent-encoded.
func appendEncoded(b []byte, s string) []byte {
	for i := range len(s) {
		b = appendEncodedByte(b, s[i])
	}
	return b
}

func appendEncodedByte(b []byte, ch byte) []byte {
	switch {
	case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9',
		ch == '-', ch == '_', ch == '.', ch == '~':
		return append(b, ch)
	}
	return append(b, '%', upperHex[ch>>4], upperHex[ch&15])
}

// appendReencoded appends the encoding of what the query text s means: "+" is a space,
// a percent sign without two digits stands for itself.
func appendReencoded(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, "%20"...)
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = appendEncodedByte(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = appendEncodedByte(b, s[i])
		}
	}
	return b
}

func isHex(ch byte) bool {
	return '0' <= ch && ch <= '9' || 'a' <= ch && ch <= 'f' || 'A' <= ch && ch <= 'F'
}

func unhex(ch byte) byte {
	switch {
	case ch >= 'a':
		return ch - 'a' + 10
	case ch >= 'A':
		return ch - 'A' + 10
	}
	return ch - '0'
}

// appendQuery appends the canonical query: parameters encoded, then sorted by name and
// value; the signature of a presigned URL is left out.
func (c *canonicaliser) appendQuery(b []byte, raw string) []byte {
	if raw == "" {
		return b
	}
	c.query, c.pairs = c.query[:0], c.pairs[:0]
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		if part == "" || name == "X-Amz-Signature" {
			continue
		}
		p := pair{name: len(c.query)}
		c.query = appendReencoded(c.query, name)
		p.equal = len(c.query)
		c.query = appendReencoded(c.query, value)
		p.end = len(c.query)
		c.pairs = append(c.pairs, p)
	}
	slices.SortFunc(c.pairs, func(x, y pair) int {
		if n := bytes.Compare(c.query[x.name:x.equal], c.query[y.name:y.equal]); n != 0 {
			return n
		}
		return bytes.Compare(c.query[x.equal:x.end], c.query[y.equal:y.end])
	})
	for i, p := range c.pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, c.query[p.name:p.equal]...)
		b = append(b, '=')
		b = append(b, c.query[p.equal:p.end]...)
	}
	return b
}

// appendHeader appends the values of the lower-case header name, each trimmed and with runs
// of spaces folded, joined by commas. Package net/http keeps the host outside the headers.
func (c *canonicaliser) appendHeader(b []byte, r *http.Request, name string) []byte {
	values := c.header(r, name)
	switch {
	case name == "host":
		return appendFolded(b, r.Host)
	case name == "content-length" && len(values) == 0:
		return strconv.AppendInt(b, r.ContentLength, 10)
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFolded(b, v)
	}
	return b
}

// header finds the values of a lower-case header name without allocating its other spelling.
func (c *canonicaliser) header(r *http.Request, name string) []string {
	c.key = append(c.key[:0], name...)
	upper := true
	for i, ch := range c.key {
		if upper && 'a' <= ch && ch <= 'z' {
			c.key[i] = ch - 'a' + 'A'
		}
		upper = ch == '-'
	}
	return r.Header[string(c.key)]
}

// appendFolded appends v without spaces at its ends and with inner runs of spaces as one.
func appendFolded(b []byte, v string) []byte {
	v = textproto.TrimString(v)
	for i := range len(v) {
		if v[i] == ' ' && v[i-1] == ' ' {
			continue
		}
		b = append(b, v[i])
	}
	return b
}
