package aws

import (
	"errors"
	"fmt"
)

// Fault says who is to blame for an error.
type Fault uint8

// The two faults AWS models.
const (
	Sender   Fault = iota // the client's: 4xx
	Receiver              // ours: 5xx
)

// Error is the one error a client ever sees. Anything else becomes
// InternalFailure at the gate, with the cause in the log only.
type Error struct {
	Code    string // the shape's name in the model: "QueueDoesNotExist"
	Status  int
	Fault   Fault
	Message string
	// Query is the code of the query protocol where it differs
	// ("AWS.SimpleQueueService.NonExistentQueue"); also sent in x-amzn-query-error.
	Query string
	// Detail is the modelled error structure's other members, encoded after the message
	// (CancellationReasons, Item …): a pointer to a generated type, or nil.
	Detail any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf builds a Sender error; generated constructors call it or set the fields themselves.
func Errorf(code string, status int, format string, args ...any) *Error {
	e := &Error{Code: code, Status: status, Message: format}
	if len(args) > 0 {
		e.Message = fmt.Sprintf(format, args...)
	}
	if status >= 500 {
		e.Fault = Receiver
	}
	return e
}

// AsError returns what the client should see for err.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: "InternalFailure", Status: 500, Fault: Receiver,
		Message: "The request processing has failed because of an unknown error, exception or failure."}
}

// IsCode reports whether err is, or wraps, an Error with the code.
func IsCode(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
