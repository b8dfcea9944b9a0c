package wire

import (
	"fmt"
	"net/http"

	"fogbank/aws"
)

// Decode reads a request into the operation's typed input, a *XInput, and checks its
// constraints. The body is already read and bounded; labels are those Paths found.
func Decode(op *Operation, p Protocol, r *http.Request, body []byte, labels map[string]string) (in any, err error) {
	return nil, fmt.Errorf("wire: protocol %d is not written", p)
}

// Encode writes a success: out is the operation's *XOutput.
func Encode(w http.ResponseWriter, op *Operation, p Protocol, out any, requestID string) error {
	return fmt.Errorf("wire: protocol %d is not written", p)
}

// EncodeError writes a failure when no operation was found, p being the best guess.
func EncodeError(w http.ResponseWriter, p Protocol, e *aws.Error, requestID string) {
	encodeError(w, nil, p, e, requestID)
}

// EncodeError writes a failure of the operation, in the exact form of its service. The gate
// uses it in place of the function as soon as it knows the operation.
func (op *Operation) EncodeError(w http.ResponseWriter, p Protocol, e *aws.Error, requestID string) {
	encodeError(w, op.API, p, e, requestID)
}

func encodeError(w http.ResponseWriter, api *API, p Protocol, e *aws.Error, requestID string) {
	w.WriteHeader(e.Status)
}
