package wire

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"sync"
	"unsafe"

	"fogbank/aws"
)

// Decode reads a request into the operation's typed input, a *XInput, and checks its
// constraints. The body is already read and bounded, and nothing returned refers to it; labels
// are those Paths found. The error is an *aws.Error in the service's own words.
func Decode(op *Operation, p Protocol, r *http.Request, body []byte, labels map[string]string) (in any, err error) {
	t := trailPool.Get().(*trail)
	defer t.release()
	s := op.Input
	v := s.Type.make()
	var seen uint64
	switch p {
	case JSON10, JSON11:
		seen, err = decodeJSON(s, v, body, t)
	case Query:
		seen, err = decodeQuery(s, v, r, body, t)
	case RESTJSON:
		seen, err = decodeREST(s, v, r, body, labels, t)
	default:
		return nil, fmt.Errorf("wire: no protocol %d", p)
	}
	if err != nil {
		return nil, op.API.unreadable(p, err)
	}
	t.require(s, seen)
	t.check(s, v)
	if err := t.err(op.API); err != nil {
		return nil, err
	}
	return s.Type.box(v), nil
}

// decodeJSON reads a JSON body; none at all counts as an empty object.
func decodeJSON(s *Shape, v unsafe.Pointer, body []byte, t *trail) (seen uint64, err error) {
	if len(body) == 0 {
		return 0, nil
	}
	d := jsonDecoder{data: body, trail: t}
	return d.document(s, v)
}

var trailPool = sync.Pool{New: func() any { return &trail{decoded: true} }}

// release empties the trail for the next request.
func (t *trail) release() {
	clear(t.steps)
	*t = trail{steps: t.steps[:0], decoded: true}
	trailPool.Put(t)
}

// unreadable is the service's error for bytes that cannot be read. An error a hand-written
// type found keeps its own words.
func (a *API) unreadable(p Protocol, err error) error {
	if _, ok := errors.AsType[*aws.Error](err); ok {
		return err
	}
	code := "SerializationException"
	switch {
	case p == Query:
		code = "MalformedInput"
	case a.Malformed != "":
		code = a.Malformed
	}
	return a.newError(code, err.Error())
}

// Encode writes a success: out is the operation's *XOutput, nil counting as empty.
func Encode(w http.ResponseWriter, op *Operation, p Protocol, out any, requestID string) error {
	v := op.Output.Type.hold(out)
	if v == nil {
		v = op.Output.Type.make()
	}
	buf := bufferPool.Get().(*buffer)
	defer buf.release()
	h := w.Header()
	h["X-Amzn-Requestid"] = []string{requestID}
	status := op.Status
	switch p {
	case JSON10, JSON11:
		h["Content-Type"] = contentTypes[p]
		buf.b = jsonEncoder{}.structure(buf.b, op.Output, v)
	case Query:
		h["Content-Type"] = contentTypes[p]
		buf.b = appendQueryAnswer(buf.b, op, v, requestID)
	case RESTJSON:
		if m := op.Output.stream(); m != nil && m.at(v) != nil {
			encodeHeaders(h, op.Output, v)
			return sendEvents(w, op.Output.status(op, v), m, m.at(v))
		}
		status = encodeREST(h, buf, op, v)
	default:
		return fmt.Errorf("wire: no protocol %d", p)
	}
	return buf.send(w, status, op.API.Checksum)
}

var contentTypes = map[Protocol][]string{
	JSON10: {"application/x-amz-json-1.0"}, JSON11: {"application/x-amz-json-1.1"},
	Query: {"text/xml"}, RESTJSON: {"application/json"},
}

// buffer is where an answer is put together.
type buffer struct{ b []byte }

var bufferPool = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 1024)} }}

// maxKept is the size of the largest buffer kept for the next answer.
const maxKept = 256 << 10

func (buf *buffer) release() {
	if cap(buf.b) <= maxKept {
		buf.b = buf.b[:0]
		bufferPool.Put(buf)
	}
}

// send writes the answer, with its checksum where the service sends one.
func (buf *buffer) send(w http.ResponseWriter, status int, checksum bool) error {
	h := w.Header()
	// Both numbers share a text and both headers an array, for one allocation each.
	var digits [40]byte
	numbers := strconv.AppendInt(digits[:0], int64(len(buf.b)), 10)
	length := len(numbers)
	if checksum {
		numbers = strconv.AppendUint(numbers, uint64(crc32.ChecksumIEEE(buf.b)), 10)
	}
	text := string(numbers)
	values := &[2]string{text[:length], text[length:]}
	if checksum {
		h["X-Amz-Crc32"] = values[1:2:2]
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h["Content-Length"] = values[0:1:1]
	}
	w.WriteHeader(status)
	if len(buf.b) == 0 {
		return nil
	}
	_, err := w.Write(buf.b)
	return err
}
