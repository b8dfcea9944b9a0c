package wire

import (
	"net/http"
	"unsafe"

	"fogbank/aws"
)

// EncodeError writes a failure when no operation was found, p being the best guess.
func EncodeError(w http.ResponseWriter, p Protocol, e *aws.Error, requestID string) {
	encodeError(w, &API{}, p, e, requestID)
}

// EncodeError writes a failure of the operation, in the exact form of its service. The gate
// uses it in place of the function as soon as it knows the operation.
func (op *Operation) EncodeError(w http.ResponseWriter, p Protocol, e *aws.Error, requestID string) {
	encodeError(w, op.API, p, e, requestID)
}

// encodeError writes an error. A client that went away is nobody's failure, so the writer's
// own error is not looked at.
func encodeError(w http.ResponseWriter, api *API, p Protocol, e *aws.Error, requestID string) {
	buf := bufferPool.Get().(*buffer)
	defer buf.release()
	h := w.Header()
	h["X-Amzn-Requestid"] = []string{requestID}
	if p < JSON10 || p > RESTJSON {
		p = JSON10
	}
	h["Content-Type"] = contentTypes[p]
	known := api.errors[e.Code]
	query := e.Query
	if query == "" && known != nil {
		query = known.Query
	}
	switch p {
	case Query:
		buf.b = appendQueryError(buf.b, api, e, query, requestID)
	case RESTJSON:
		h["X-Amzn-Errortype"] = []string{e.Code}
		buf.b = appendJSONError(buf.b, h, api, e, "")
	default:
		if query != "" || api.speaks(Query) {
			h["X-Amzn-Query-Error"] = []string{first(query, e.Code) + ";" + faultName(e)}
		}
		buf.b = appendJSONError(buf.b, h, api, e, api.errorType(p, e.Code))
	}
	status := e.Status
	if status < 400 || status > 599 {
		status = http.StatusBadRequest
	}
	_ = buf.send(w, status, api.Checksum)
}

func (a *API) speaks(p Protocol) bool {
	for _, q := range a.Protocols {
		if q == p {
			return true
		}
	}
	return false
}

// errorType is the __type of an error. JSON 1.0 services send a namespace before it.
func (a *API) errorType(p Protocol, code string) string {
	if p != JSON10 {
		return code
	}
	switch {
	case code == "ValidationException":
		return "com.amazon.coral.validate#" + code
	case a.ErrorPrefix != "" && a.errors[code] != nil && code != "AccessDeniedException":
		return a.ErrorPrefix + "#" + code
	}
	return first(a.CommonPrefix, "com.amazon.coral.service") + "#" + code
}

// detailed is a generated structure with an error's members besides the message.
type detailed interface{ WireShape() *Shape }

// appendJSONError writes the body of an error in a JSON protocol; typ is empty where __type is
// not sent. Members of the detail that travel in headers go to h.
func appendJSONError(b []byte, h http.Header, api *API, e *aws.Error, typ string) []byte {
	b = append(b, '{')
	if typ != "" {
		b = append(b, `"__type":`...)
		b = append(appendString(b, typ), ',')
	}
	name := "message"
	if known := api.errors[e.Code]; known != nil {
		name = known.Message
	}
	s, p := detailOf(e)
	if s != nil && s.Message != "" {
		name = s.Message
	}
	b = append(appendString(b, name), ':')
	b = appendString(b, e.Message)
	if s != nil {
		b = jsonEncoder{}.members(b, s, p)
		encodeHeaders(h, s, p)
	}
	return append(b, '}')
}

// detailOf returns the shape and place of the error's detail, when it has one.
func detailOf(e *aws.Error) (*Shape, unsafe.Pointer) {
	d, ok := e.Detail.(detailed)
	if !ok {
		return nil, nil
	}
	s := d.WireShape()
	p := s.Type.hold(e.Detail)
	if p == nil {
		return nil, nil
	}
	return s, p
}

// AppendError appends an error in a form of its own, for scripts and records: its code as
// __type, the message, and the members of its detail as the model calls them.
func AppendError(b []byte, e *aws.Error) []byte {
	b = append(appendString(append(b, `{"__type":`...), e.Code), `,"message":`...)
	b = appendString(b, e.Message)
	if s, p := detailOf(e); s != nil {
		b = jsonEncoder{model: true}.members(b, s, p)
	}
	return append(b, '}')
}

func faultName(e *aws.Error) string {
	if e.Fault == aws.Receiver {
		return "Receiver"
	}
	return "Sender"
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
