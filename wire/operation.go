// Package wire turns HTTP into typed operation inputs and typed outputs back
// into HTTP, for each AWS protocol, from generated operation tables.
//
// The generated packages below api hold plain structs and, for each, a Shape: a
// table naming its members, where each travels, and what its values must satisfy.
// One hand-written codec per protocol follows these tables. A Shape knows its
// struct's field offsets and carries small generic functions for its lists and maps,
// so no codec uses reflection while it works; access.go is the only file that
// touches memory through unsafe pointers.
//
// Everything that comes from outside is bounded before work is done: nesting by
// maxDepth, elements by the size of the body (which the gate bounds), numbers by
// maxNumber digits. Unknown members are skipped, as AWS does.
package wire

import (
	"context"

	"fogbank/aws"
)

// Protocol is one of the wire forms AWS services speak.
type Protocol uint8

// The protocols written so far.
const (
	JSON10   Protocol = iota + 1 // X-Amz-Target, application/x-amz-json-1.0
	JSON11                       // X-Amz-Target, application/x-amz-json-1.1
	Query                        // form-encoded Action, XML answers
	RESTJSON                     // method and path, JSON bodies
)

// API describes one service: what is generated for it.
type API struct {
	Name         string     // package and IAM prefix: "sqs"
	ID           string     // "SQS"
	Endpoint     string     // host prefix: "sqs"; "apigateway" for apigatewayv2
	Signing      string     // service in the credential scope: "sqs"; "dynamodb" for dynamodbstreams
	Version      string     // "2012-11-05"
	Protocols    []Protocol // those it answers, the preferred first
	TargetPrefix string     // "AmazonSQS"; empty where there are no targets
	Namespace    string     // XML namespace of query answers
	Operations   []*Operation
	Errors       []*ErrorShape

	// ErrorPrefix and CommonPrefix stand before "#" in the __type of modelled and of all
	// other errors where the service sends a namespace: "com.amazonaws.sqs".
	ErrorPrefix, CommonPrefix string
	// Invalid is the code of a broken constraint, Missing that of an absent member where the
	// service words it as MissingText (%s is the member's path), Malformed that of bytes that
	// cannot be read.
	Invalid, Missing, MissingText, Malformed string
	// Checksum asks for x-amz-crc32 on answers.
	Checksum bool

	operations map[string]*Operation
	errors     map[string]*ErrorShape
}

// NewAPI completes a generated API: its operations learn whose they are.
func NewAPI(a API) *API {
	api := &a
	api.operations = make(map[string]*Operation, len(a.Operations))
	for _, op := range a.Operations {
		op.API = api
		api.operations[op.Name] = op
	}
	api.errors = make(map[string]*ErrorShape, len(a.Errors))
	for _, e := range a.Errors {
		api.errors[e.Code] = e
	}
	return api
}

// Operation returns the operation of that name, or nil.
func (a *API) Operation(name string) *Operation { return a.operations[name] }

// Operation is one row of a generated table.
type Operation struct {
	API    *API
	Name   string // "SendMessage"
	Action string // IAM action: "sqs:SendMessage"
	Method string // HTTP method
	Path   string // URI template for REST: "/v2/apis/{apiId}"; "/" otherwise
	Status int    // of a success
	Input  *Shape
	Output *Shape
	// Call runs the operation on impl, which implements the API's generated Service.
	Call func(impl any, ctx context.Context, in any) (any, error)
}

// Invoker runs an operation on someone's behalf.
type Invoker func(ctx context.Context, op *Operation, in any) (any, error)

// Invoke is what generated clients call.
func Invoke[Out any](ctx context.Context, run Invoker, op *Operation, in any) (Out, error) {
	out, err := run(ctx, op, in)
	if err != nil {
		var zero Out
		return zero, err
	}
	return out.(Out), nil
}

// NotImplemented is returned by generated stubs: an honest no.
func NotImplemented(service, op string) error {
	return aws.Errorf("NotImplemented", 501, "%s %s is not implemented", service, op)
}

// ErrorShape is one modelled error of a service.
type ErrorShape struct {
	Code    string // the shape's name: "QueueDoesNotExist"
	Query   string // the query protocol's code where it differs
	Status  int
	Message string // the member that carries the message in JSON: "message" or "Message"
}

// New builds the error, with its message filled in as by fmt.Sprintf when there are args.
func (s *ErrorShape) New(format string, args ...any) *aws.Error {
	e := aws.Errorf(s.Code, s.Status, format, args...)
	e.Query = s.Query
	return e
}
