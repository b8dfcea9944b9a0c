package apigateway

import (
	"context"
	"strings"

	"fogbank/api/apigatewayv2"
	"fogbank/store"
)

// route is the record of a route.
type route struct {
	Key       string // "GET /orders/{id}", "ANY /{proxy+}", "$default"
	Target    string `json:",omitempty"` // "integrations/" and an id
	Operation string `json:",omitempty"` // its name, for people
	Managed   bool   `json:",omitempty"` // made by quick create
}

var routes = store.NewTable[route]("apigateway/route", store.Regional)

const (
	maxRoutes    = 300
	defaultRoute = "$default"
	targetPrefix = "integrations/"
)

func findRoute(tx *store.Tx, api, id string) (route, error) {
	r, ok := routes.Get(tx, store.K(api, id))
	if !ok {
		return r, apigatewayv2.NotFoundException("Invalid Route identifier specified")
	}
	return r, nil
}

// CreateRoute makes requests of a method and path lead to an integration.
func (s *Service) CreateRoute(ctx context.Context, in *apigatewayv2.CreateRouteInput) (*apigatewayv2.CreateRouteOutput, error) {
	asked := apigatewayv2.UpdateRouteInput{ApiId: in.ApiId, ApiKeyRequired: in.ApiKeyRequired, AuthorizationScopes: in.AuthorizationScopes,
		AuthorizationType: in.AuthorizationType, AuthorizerId: in.AuthorizerId, ModelSelectionExpression: in.ModelSelectionExpression,
		OperationName: in.OperationName, RequestModels: in.RequestModels, RequestParameters: in.RequestParameters,
		RouteKey: &in.RouteKey, RouteResponseSelectionExpression: in.RouteResponseSelectionExpression, Target: in.Target}
	id := s.newID(7)
	var r route
	err := s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		if err := room(tx, routes, store.K(in.ApiId), maxRoutes, "routes"); err != nil {
			return err
		}
		r = route{}
		return r.update(tx, id, &asked)
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.CreateRouteOutput(describeRoute(id, r))), nil
}

// update applies what is given of a route, checks the whole and stores it.
func (r *route) update(tx *store.Tx, id string, in *apigatewayv2.UpdateRouteInput) error {
	set(&r.Key, in.RouteKey)
	set(&r.Target, in.Target)
	set(&r.Operation, in.OperationName)
	switch {
	case in.GetAuthorizationType() != "" && *in.AuthorizationType != "NONE" || in.AuthorizerId != nil || len(in.AuthorizationScopes) > 0:
		return notImplemented("authorisation of routes other than NONE")
	case in.GetApiKeyRequired():
		return apigatewayv2.BadRequestException("ApiKeyRequired is not currently supported for HTTP APIs")
	case len(in.RequestModels) > 0 || len(in.RequestParameters) > 0 || in.ModelSelectionExpression != nil || in.RouteResponseSelectionExpression != nil:
		return apigatewayv2.BadRequestException("Models, request parameters and response selection are not supported for routes of HTTP APIs")
	}
	want, err := parseRouteKey(r.Key)
	if err != nil {
		return err
	}
	if r.Target != "" {
		integration, ok := strings.CutPrefix(r.Target, targetPrefix)
		if !ok || !integrations.Has(tx, store.K(in.ApiId, integration)) {
			return apigatewayv2.BadRequestException("Invalid target: %s", r.Target)
		}
	}
	for key, other := range routes.All(tx, store.K(in.ApiId)) {
		if p, err := parseRouteKey(other.Key); err == nil && p.shape() == want.shape() && key != store.K(in.ApiId, id) {
			return apigatewayv2.ConflictException("Route with key %s already exists for this API", r.Key)
		}
	}
	routes.Put(tx, store.K(in.ApiId, id), *r)
	return nil
}

// GetRoute describes a route.
func (s *Service) GetRoute(ctx context.Context, in *apigatewayv2.GetRouteInput) (*apigatewayv2.GetRouteOutput, error) {
	var out apigatewayv2.GetRouteOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := findAPI(tx, in.ApiId); err != nil {
			return err
		}
		r, err := findRoute(tx, in.ApiId, in.RouteId)
		out = describeRoute(in.RouteId, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// GetRoutes lists the routes of an API.
func (s *Service) GetRoutes(ctx context.Context, in *apigatewayv2.GetRoutesInput) (*apigatewayv2.GetRoutesOutput, error) {
	out := &apigatewayv2.GetRoutesOutput{Items: []apigatewayv2.Route{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		_, err := findAPI(tx, in.ApiId)
		if err == nil {
			out.NextToken, err = page(tx, routes, store.K(in.ApiId), in.GetMaxResults(), in.GetNextToken(), func(id string, r route) {
				d := describeRoute(id, r)
				out.Items = append(out.Items, apigatewayv2.Route{ApiGatewayManaged: d.ApiGatewayManaged, ApiKeyRequired: d.ApiKeyRequired,
					AuthorizationType: d.AuthorizationType, OperationName: d.OperationName, RouteId: d.RouteId, RouteKey: r.Key, Target: d.Target})
			})
		}
		return err
	})
}

// UpdateRoute changes what is given of a route.
func (s *Service) UpdateRoute(ctx context.Context, in *apigatewayv2.UpdateRouteInput) (*apigatewayv2.UpdateRouteOutput, error) {
	var r route
	err := s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) (err error) {
		if r, err = findRoute(tx, in.ApiId, in.RouteId); err != nil {
			return err
		}
		return r.update(tx, in.RouteId, in)
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.UpdateRouteOutput(describeRoute(in.RouteId, r))), nil
}

// DeleteRoute deletes a route.
func (s *Service) DeleteRoute(ctx context.Context, in *apigatewayv2.DeleteRouteInput) (*apigatewayv2.DeleteRouteOutput, error) {
	return &apigatewayv2.DeleteRouteOutput{}, s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		if _, err := findRoute(tx, in.ApiId, in.RouteId); err != nil {
			return err
		}
		routes.Delete(tx, store.K(in.ApiId, in.RouteId))
		return nil
	})
}

func describeRoute(id string, r route) apigatewayv2.GetRouteOutput {
	d := apigatewayv2.GetRouteOutput{ApiKeyRequired: new(false), AuthorizationType: new("NONE"), OperationName: optional(r.Operation),
		RouteId: new(id), RouteKey: new(r.Key), Target: optional(r.Target)}
	if r.Managed {
		d.ApiGatewayManaged = new(true)
	}
	return d
}
