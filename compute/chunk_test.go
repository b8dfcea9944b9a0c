package compute

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/iotest"
)

// TestChunked: bodies in chunks, however they come in, and what is none.
func TestChunked(t *testing.T) {
	for _, test := range []struct{ in, body, left string }{
		{"0\r\n\r\nnext", "", "\r\nnext"},
		{"3\r\nabc\r\n0\r\nX: y\r\n\r\n", "abc", "X: y\r\n\r\n"},
		{"1;a=b\r\na\r\nA \t\r\n0123456789\r\n000\r\n", "a0123456789", ""},
		{"", "!", ""}, {"\r\n", "!", ""}, {"x\r\n", "!", ""}, {"-1\r\n", "!", ""}, {"1\na\r\n0\r\n", "!", ""}, {"1\r\nab\r\n0\r\n", "!", ""},
		{"3\r\nab", "!", ""}, {"1\r\na", "!", ""}, {"1000000000000000\r\na", "!", ""}, {strings.Repeat("0", 5000) + "\r\n", "!", ""},
	} {
		for _, slow := range []bool{false, true} {
			var from io.Reader = strings.NewReader(test.in)
			if slow {
				from = iotest.OneByteReader(from)
			}
			r := bufio.NewReader(from)
			body, err := io.ReadAll(&chunkedReader{r: r})
			if test.body == "!" {
				if err == nil {
					t.Errorf("%.40q is taken for %q", test.in, body)
				}
				continue
			}
			left, _ := io.ReadAll(r)
			if err != nil || string(body) != test.body || string(left) != test.left {
				t.Errorf("%q: %q, %q left, %v", test.in, body, left, err)
			}
		}
	}
}

// FuzzChunked: what is taken, httputil takes in the same way, and the other way round.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\nX: y\r\n\r\n"))
	f.Add([]byte("1;a=b\r\na\r\n0a \r\n0123456789\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := bufio.NewReader(bytes.NewReader(b)), bufio.NewReader(bytes.NewReader(b))
		got, err := io.ReadAll(&chunkedReader{r: ours})
		want, wrong := io.ReadAll(httputil.NewChunkedReader(theirs))
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%q: %v, httputil %v", b, err, wrong)
		}
		left, _ := io.ReadAll(ours)
		theirLeft, _ := io.ReadAll(theirs)
		if err == nil && (!bytes.Equal(got, want) || !bytes.Equal(left, theirLeft)) {
			t.Errorf("%q: %q and %q, httputil %q and %q", b, got, left, want, theirLeft)
		}
	})
}
