package sqs

import (
	"fogbank/api/sqs"
	"fogbank/aws"
)

// invalidValue is the error for a request member with a value SQS does not take, in its usual sentence.
func invalidValue(value any, parameter, format string, args ...any) *aws.Error {
	e := aws.Errorf("InvalidParameterValue", 400, format, args...)
	e.Message = aws.Errorf("", 0, "Value %v for parameter %s is invalid. Reason: ", value, parameter).Message + e.Message
	return e
}

// invalidParameter is the error for a wrong request whose sentence is its own.
func invalidParameter(format string, args ...any) *aws.Error {
	return aws.Errorf("InvalidParameterValue", 400, format, args...)
}

// missing is the error for a request without a member it needs.
func missing(parameter string) *aws.Error {
	return aws.Errorf("MissingParameter", 400, "The request must contain the parameter %s.", parameter)
}

// noQueue is the error for a queue that is not there.
func noQueue() *aws.Error { return sqs.QueueDoesNotExist("The specified queue does not exist.") }
