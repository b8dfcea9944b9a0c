package apigateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// answer is what a function's result means.
type answer struct {
	status  int
	headers http.Header
	body    []byte
}

var errResult = errors.New("apigateway: a result that is no answer")

// result is the structure both payload formats have in common.
type result struct {
	StatusCode        *json.Number        `json:"statusCode"`
	Headers           map[string]scalar   `json:"headers"`
	MultiValueHeaders map[string][]scalar `json:"multiValueHeaders"` // format 1.0 only
	Cookies           []string            `json:"cookies"`           // format 2.0 only
	Body              *string             `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// scalar is a header's value: a text, a number or a truth value, as text.
type scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(s))
	}
	if bytes.ContainsAny(b, "[{") {
		return errResult
	}
	*s = scalar(b)
	return nil
}

// readAnswer2 reads a result in payload format 2.0: an object with a statusCode is the answer, any other
// JSON is its body.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
func readAnswer2(payload []byte) (*answer, error) {
	if !json.Valid(payload) {
		return nil, errResult
	}
	var probe struct {
		StatusCode json.RawMessage `json:"statusCode"`
	}
	if json.Unmarshal(payload, &probe) != nil || probe.StatusCode == nil {
		return inferred(payload), nil
	}
	var r result
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, err
	}
	r.MultiValueHeaders = nil
	a, err := r.answer()
	if err != nil {
		return nil, err
	}
	for _, c := range r.Cookies {
		if validHeader("Set-Cookie", c) {
			a.headers.Add("Set-Cookie", c)
		}
	}
	return a, nil
}

// inferred is the answer to a result without a statusCode. A JSON text is sent without its quotes.
func inferred(payload []byte) *answer {
	var text string
	if json.Unmarshal(payload, &text) == nil && bytes.HasPrefix(bytes.TrimSpace(payload), []byte(`"`)) {
		payload = []byte(text)
	}
	return &answer{status: http.StatusOK, headers: http.Header{"Content-Type": {"application/json"}}, body: payload}
}

// readAnswer1 reads a result in payload format 1.0, which must have a statusCode.
func readAnswer1(payload []byte) (*answer, error) {
	var r result
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, err
	}
	return r.answer()
}

func (r *result) answer() (*answer, error) {
	if r.StatusCode == nil {
		return nil, errResult
	}
	status, err := strconv.Atoi(r.StatusCode.String())
	if err != nil || status < 200 || status > 599 {
		return nil, errResult
	}
	a := &answer{status: status, headers: http.Header{}}
	for name, v := range r.Headers {
		if validHeader(name, string(v)) {
			a.headers.Set(name, string(v))
		}
	}
	for name, values := range r.MultiValueHeaders {
		a.headers.Del(name)
		for _, v := range values {
			if validHeader(name, string(v)) {
				a.headers.Add(name, string(v))
			}
		}
	}
	if r.Body != nil {
		a.body = []byte(*r.Body)
	}
	if r.IsBase64Encoded {
		if a.body, err = base64.StdEncoding.DecodeString(string(a.body)); err != nil {
			return nil, err
		}
	}
	if a.headers.Get("Content-Type") == "" {
		a.headers.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return a, nil
}

// write sends the answer.
func (a *answer) write(w http.ResponseWriter, q *request) {
	h := w.Header()
	for name, values := range a.headers {
		h[name] = values
	}
	q.router.cors.mark(h, q.Header.Get("Origin"))
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	} else {
		a.body = nil
	}
	w.WriteHeader(a.status)
	if q.Method != http.MethodHead {
		w.Write(a.body)
	}
}
