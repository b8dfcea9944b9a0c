package apigateway

import (
	"context"
	"strings"

	"fogbank/api/apigatewayv2"
	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// Functions invokes Lambda functions as apigateway.amazonaws.com; the context's call names the
// API, stage and route as the source.
type Functions interface {
	Invoke(ctx context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error)
}

// Service implements API Gateway's HTTP APIs. It is also the http.Handler of their data plane.
type Service struct {
	apigatewayv2.Unimplemented
	db        *store.DB
	world     *world.World
	functions Functions
}

var _ apigatewayv2.Service = (*Service)(nil)

// New returns the service on db, invoking functions.
func New(db *store.DB, w *world.World, functions Functions) *Service {
	return &Service{db: db, world: w, functions: functions}
}

// Access names what an operation touches by its path, as AWS does:
// arn:aws:apigateway:us-east-1::/apis/abc/routes.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
func (s *Service) Access(ctx context.Context, op *wire.Operation, in any) ([]aws.Access, error) {
	path := strings.TrimPrefix(op.Path, "/v2")
	for {
		before, rest, ok := strings.Cut(path, "{")
		label, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			break
		}
		path = before + labelOf(in, label) + after
	}
	return aws.On(aws.ARN("arn:aws:apigateway:" + aws.CallFrom(ctx).Region + "::" + path)), nil
}

// labelOf returns the value of a path label. Braces, which no name has, are left out.
func labelOf(in any, label string) (v string) {
	switch label {
	case "apiId":
		if in, ok := in.(interface{ GetApiId() string }); ok {
			v = in.GetApiId()
		}
	case "routeId":
		if in, ok := in.(interface{ GetRouteId() string }); ok {
			v = in.GetRouteId()
		}
	case "integrationId":
		if in, ok := in.(interface{ GetIntegrationId() string }); ok {
			v = in.GetIntegrationId()
		}
	case "stageName":
		if in, ok := in.(interface{ GetStageName() string }); ok {
			v = in.GetStageName()
		}
	case "deploymentId":
		if in, ok := in.(interface{ GetDeploymentId() string }); ok {
			v = in.GetDeploymentId()
		}
	case "resource-arn":
		if in, ok := in.(interface{ GetResourceArn() string }); ok {
			v = in.GetResourceArn()
		}
	}
	return strings.NewReplacer("{", "", "}", "").Replace(v)
}

// notImplemented refuses what a client asks for and would wrongly believe to have.
func notImplemented(what string) error {
	return aws.Errorf("NotImplemented", 501, "Not implemented: %s.", what)
}

const idLetters = "abcdefghijklmnopqrstuvwxyz0123456789"

// newID draws an identifier of n letters and digits.
func (s *Service) newID(n int) string { return s.world.Text(n, idLetters) }
