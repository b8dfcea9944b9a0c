package compute

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// chunkedReader decodes a body sent in chunks (RFC 9112, section 7.1), up to and with the line of the last chunk; what
// comes behind is left. That of net/http/httputil would do, but for when its package is initialised: see becomeIfCell.
type chunkedReader struct {
	r    *bufio.Reader
	left uint64 // of the chunk begun
	end  bool   // its end of line is due
	err  error
}

var errChunk = errors.New("compute: malformed chunked encoding")

// Read implements io.Reader.
func (c *chunkedReader) Read(p []byte) (int, error) {
	for c.err == nil && c.left == 0 {
		c.next()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p[:min(uint64(len(p)), c.left)])
	c.left -= uint64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	c.err = err
	return n, err
}

// next reads the line before a chunk.
func (c *chunkedReader) next() {
	if c.end {
		if crlf, err := c.r.Peek(2); err != nil || string(crlf) != "\r\n" {
			c.fail(err)
			return
		}
		c.r.Discard(2)
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		c.fail(err)
		return
	}
	size, ok := chunkSize(line)
	if !ok {
		c.err = errChunk
		return
	}
	if size == 0 {
		c.err = io.EOF
	}
	c.left, c.end = size, true
}

// chunkSize reads the line before a chunk: digits, perhaps extensions, CRLF.
func chunkSize(line []byte) (size uint64, ok bool) {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return 0, false
	}
	text, _, _ = bytes.Cut(text, []byte(";"))
	text = bytes.TrimRight(text, " \t")
	if len(text) == 0 || len(text) > 15 {
		return 0, false
	}
	for _, b := range text {
		v := hexValue(b)
		if v < 0 {
			return 0, false
		}
		size = size<<4 | uint64(v)
	}
	return size, true
}

func (c *chunkedReader) fail(err error) {
	c.err = errChunk
	if err == io.EOF {
		c.err = io.ErrUnexpectedEOF
	}
}

func hexValue(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10
	}
	return -1
}
