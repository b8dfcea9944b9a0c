package apigateway

import (
	"context"
	"strings"

	"fogbank/api/apigatewayv2"
	"fogbank/aws"
	"fogbank/store"
)

// integration is the record of what a route leads to.
type integration struct {
	Type        string
	URI         string
	Method      string
	Format      string // of the payload: "1.0" or "2.0"
	Timeout     int32  // milliseconds
	Description string `json:",omitempty"`
	Managed     bool   `json:",omitempty"` // made by quick create
}

var integrations = store.NewTable[integration]("apigateway/integration", store.Regional)

const (
	awsProxy        = "AWS_PROXY"
	maxIntegrations = 300
)

func findIntegration(tx *store.Tx, api, id string) (integration, error) {
	i, ok := integrations.Get(tx, store.K(api, id))
	if !ok {
		return i, apigatewayv2.NotFoundException("Invalid Integration identifier specified")
	}
	return i, nil
}

// CreateIntegration describes a Lambda function an API's routes may lead to.
func (s *Service) CreateIntegration(ctx context.Context, in *apigatewayv2.CreateIntegrationInput) (*apigatewayv2.CreateIntegrationOutput, error) {
	asked := apigatewayv2.UpdateIntegrationInput{ApiId: in.ApiId, ConnectionId: in.ConnectionId, ConnectionType: in.ConnectionType,
		ContentHandlingStrategy: in.ContentHandlingStrategy, CredentialsArn: in.CredentialsArn, Description: in.Description,
		IntegrationMethod: in.IntegrationMethod, IntegrationSubtype: in.IntegrationSubtype, IntegrationType: &in.IntegrationType,
		IntegrationUri: in.IntegrationUri, PassthroughBehavior: in.PassthroughBehavior, PayloadFormatVersion: in.PayloadFormatVersion,
		RequestParameters: in.RequestParameters, ResponseParameters: in.ResponseParameters, RequestTemplates: in.RequestTemplates,
		TemplateSelectionExpression: in.TemplateSelectionExpression, TimeoutInMillis: in.TimeoutInMillis, TlsConfig: in.TlsConfig}
	i := integration{Method: "POST", Timeout: lambdaTimeout}
	if err := i.update(&asked); err != nil {
		return nil, err
	}
	id := s.newID(7)
	err := s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		if err := room(tx, integrations, store.K(in.ApiId), maxIntegrations, "integrations"); err != nil {
			return err
		}
		integrations.Put(tx, store.K(in.ApiId, id), i)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.CreateIntegrationOutput(describeIntegration(id, i))), nil
}

// update applies what is given of an integration and checks the whole.
func (i *integration) update(in *apigatewayv2.UpdateIntegrationInput) error {
	set(&i.Type, in.IntegrationType)
	set(&i.URI, in.IntegrationUri)
	set(&i.Method, in.IntegrationMethod)
	set(&i.Format, in.PayloadFormatVersion)
	set(&i.Timeout, in.TimeoutInMillis)
	set(&i.Description, in.Description)
	switch {
	case i.Type == "HTTP_PROXY":
		return notImplemented("HTTP_PROXY integrations")
	case i.Type != awsProxy:
		return apigatewayv2.BadRequestException("HTTP APIs support only HTTP_PROXY and AWS_PROXY integration types")
	case in.IntegrationSubtype != nil:
		return notImplemented("integrations with AWS services")
	case in.GetConnectionType() == "VPC_LINK" || in.ConnectionId != nil:
		return notImplemented("VPC links")
	case in.CredentialsArn != nil:
		return notImplemented("credentials of an integration")
	case len(in.RequestParameters) > 0 || len(in.ResponseParameters) > 0:
		return notImplemented("parameter mapping")
	case len(in.RequestTemplates) > 0 || in.TemplateSelectionExpression != nil || in.ContentHandlingStrategy != nil || in.PassthroughBehavior != nil || in.TlsConfig != nil:
		return apigatewayv2.BadRequestException("Templates, content handling and TLS settings are not supported for Lambda proxy integrations of HTTP APIs")
	case i.Format != "1.0" && i.Format != "2.0":
		return apigatewayv2.BadRequestException("PayloadFormatVersion must be 1.0 or 2.0 for integration type AWS_PROXY")
	case i.Timeout < 50 || i.Timeout > lambdaTimeout:
		return apigatewayv2.BadRequestException("Timeout should be between 50 ms and 30000 ms")
	}
	_, err := functionOf(i.URI)
	return err
}

// functionOf returns the ARN of the function an integration's URI names, directly or in the form
// arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/ARN/invocations.
func functionOf(uri string) (string, error) {
	if strings.Contains(uri, "${stageVariables") {
		return "", notImplemented("stage variables in the URI of an integration")
	}
	if p, ok := aws.ARN(uri).Parse(); ok && p.Service == "apigateway" {
		arn, ok := strings.CutPrefix(p.Resource, "path/2015-03-31/functions/")
		arn, ok2 := strings.CutSuffix(arn, "/invocations")
		if !ok || !ok2 || p.Account != "lambda" {
			return "", apigatewayv2.BadRequestException("Invalid Integration URI specified")
		}
		uri = arn
	}
	if p, ok := aws.ARN(uri).Parse(); !ok || p.Service != "lambda" || !strings.HasPrefix(p.Resource, "function:") {
		return "", apigatewayv2.BadRequestException("Invalid Integration URI specified")
	}
	return uri, nil
}

// GetIntegration describes an integration.
func (s *Service) GetIntegration(ctx context.Context, in *apigatewayv2.GetIntegrationInput) (*apigatewayv2.GetIntegrationOutput, error) {
	var out apigatewayv2.GetIntegrationOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := findAPI(tx, in.ApiId); err != nil {
			return err
		}
		i, err := findIntegration(tx, in.ApiId, in.IntegrationId)
		out = apigatewayv2.GetIntegrationOutput(describeIntegration(in.IntegrationId, i))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// GetIntegrations lists the integrations of an API.
func (s *Service) GetIntegrations(ctx context.Context, in *apigatewayv2.GetIntegrationsInput) (*apigatewayv2.GetIntegrationsOutput, error) {
	out := &apigatewayv2.GetIntegrationsOutput{Items: []apigatewayv2.Integration{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		_, err := findAPI(tx, in.ApiId)
		if err == nil {
			out.NextToken, err = page(tx, integrations, store.K(in.ApiId), in.GetMaxResults(), in.GetNextToken(), func(id string, i integration) {
				out.Items = append(out.Items, describeIntegration(id, i))
			})
		}
		return err
	})
}

// UpdateIntegration changes what is given of an integration.
func (s *Service) UpdateIntegration(ctx context.Context, in *apigatewayv2.UpdateIntegrationInput) (*apigatewayv2.UpdateIntegrationOutput, error) {
	var i integration
	err := s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) (err error) {
		if i, err = findIntegration(tx, in.ApiId, in.IntegrationId); err != nil {
			return err
		}
		if err = i.update(in); err != nil {
			return err
		}
		integrations.Put(tx, store.K(in.ApiId, in.IntegrationId), i)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.UpdateIntegrationOutput(describeIntegration(in.IntegrationId, i))), nil
}

// DeleteIntegration deletes an integration no route leads to.
func (s *Service) DeleteIntegration(ctx context.Context, in *apigatewayv2.DeleteIntegrationInput) (*apigatewayv2.DeleteIntegrationOutput, error) {
	return &apigatewayv2.DeleteIntegrationOutput{}, s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		if _, err := findIntegration(tx, in.ApiId, in.IntegrationId); err != nil {
			return err
		}
		for _, r := range routes.All(tx, store.K(in.ApiId)) {
			if r.Target == targetPrefix+in.IntegrationId {
				return apigatewayv2.ConflictException("Cannot delete Integration '%s' because it is referenced by a Route.", in.IntegrationId)
			}
		}
		integrations.Delete(tx, store.K(in.ApiId, in.IntegrationId))
		return nil
	})
}

func describeIntegration(id string, i integration) apigatewayv2.Integration {
	d := apigatewayv2.Integration{ConnectionType: new("INTERNET"), Description: optional(i.Description), IntegrationId: new(id),
		IntegrationMethod: new(i.Method), IntegrationType: new(i.Type), IntegrationUri: new(i.URI),
		PayloadFormatVersion: new(i.Format), TimeoutInMillis: new(i.Timeout)}
	if i.Managed {
		d.ApiGatewayManaged = new(true)
	}
	return d
}
