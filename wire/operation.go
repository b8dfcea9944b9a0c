// Package wire turns HTTP into typed operation inputs and typed outputs back
// into HTTP, for each AWS protocol, from generated operation tables.
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
}

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
