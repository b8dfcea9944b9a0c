package apigateway

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"fogbank/api/apigatewayv2"
	"fogbank/aws"
	"fogbank/store"
)

// api is the record of an HTTP API.
type api struct {
	Name        string
	Description string            `json:",omitempty"`
	Version     string            `json:",omitempty"`
	Created     int64             // milliseconds since 1970
	Disabled    bool              `json:",omitempty"` // has no execute-api host
	Addresses   string            // ipv4 or dualstack
	Cors        *cors             `json:",omitempty"`
	Tags        map[string]string `json:",omitempty"`
}

// place says whose an API is.
type place struct{ Account, Region string }

var (
	places = store.NewTable[place]("apigateway/place", store.Global)
	apis   = store.NewTable[api]("apigateway/api", store.Regional)
)

const (
	maxAPIs        = 600
	maxTags        = 50
	selection      = "${request.method} ${request.path}"
	keySelection   = "$request.header.x-api-key"
	lambdaTimeout  = 30_000 // milliseconds
	noAddressType  = "ipv4"
	websockets     = "WebSocket APIs"
	quickCreateFmt = "2.0"
)

func findAPI(tx *store.Tx, id string) (api, error) {
	a, ok := apis.Get(tx, store.K(id))
	if !ok {
		return a, apigatewayv2.NotFoundException("Invalid API identifier specified %s:%s", tx.Account(), id)
	}
	return a, nil
}

// CreateApi makes an HTTP API; with a target it makes an integration, a route and a $default stage as well.
func (s *Service) CreateApi(ctx context.Context, in *apigatewayv2.CreateApiInput) (*apigatewayv2.CreateApiOutput, error) {
	if err := checkAPI(in); err != nil {
		return nil, err
	}
	rules, err := readCors(in.CorsConfiguration)
	if err != nil {
		return nil, err
	}
	now := s.world.Now()
	id := s.newID(10)
	a := api{Name: in.Name, Description: in.GetDescription(), Version: in.GetVersion(), Created: now.UnixMilli(),
		Disabled: in.GetDisableExecuteApiEndpoint(), Addresses: noAddressType, Cors: rules, Tags: in.Tags}
	if t := in.GetIpAddressType(); t != "" {
		a.Addresses = t
	}
	var quick *quickCreate
	if in.Target != nil {
		if quick, err = s.newQuickCreate(in); err != nil {
			return nil, err
		}
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := room(tx, apis, "", maxAPIs, "APIs"); err != nil {
			return err
		}
		apis.Put(tx, store.K(id), a)
		places.Put(tx, store.K(id), place{tx.Account(), tx.Region()})
		if quick != nil {
			quick.apply(tx, id, a, now)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.CreateApiOutput(describeAPI(ctx, id, a))), nil
}

func checkAPI(in *apigatewayv2.CreateApiInput) error {
	switch {
	case in.ProtocolType == "WEBSOCKET":
		return notImplemented(websockets)
	case in.ProtocolType != "HTTP":
		return apigatewayv2.BadRequestException("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]")
	case in.RouteSelectionExpression != nil && *in.RouteSelectionExpression != selection:
		return apigatewayv2.BadRequestException("Invalid RouteSelectionExpression specified. For HTTP APIs it must be %s", selection)
	case in.Target == nil && (in.RouteKey != nil || in.CredentialsArn != nil):
		return apigatewayv2.BadRequestException("RouteKey and CredentialsArn can be given together with Target only")
	case len(in.Tags) > maxTags:
		return apigatewayv2.BadRequestException("An API can have no more than %d tags", maxTags)
	case in.CredentialsArn != nil:
		return notImplemented("credentials of an integration")
	}
	return nil
}

// quickCreate is what CreateApi makes besides when it has a target.
type quickCreate struct {
	integrationID, routeID, deploymentID string
	integration                          integration
	route                                route
}

func (s *Service) newQuickCreate(in *apigatewayv2.CreateApiInput) (*quickCreate, error) {
	key := in.GetRouteKey()
	if key == "" {
		key = defaultRoute
	}
	if _, err := parseRouteKey(key); err != nil {
		return nil, err
	}
	if strings.HasPrefix(*in.Target, "http") {
		return nil, notImplemented("HTTP_PROXY integrations")
	}
	if _, err := functionOf(*in.Target); err != nil {
		return nil, err
	}
	q := &quickCreate{integrationID: s.newID(7), routeID: s.newID(7), deploymentID: s.newID(6)}
	q.integration = integration{Type: awsProxy, URI: *in.Target, Method: "POST", Format: quickCreateFmt, Timeout: lambdaTimeout, Managed: true}
	q.route = route{Key: key, Target: targetPrefix + q.integrationID, Managed: true}
	return q, nil
}

func (q *quickCreate) apply(tx *store.Tx, id string, a api, now time.Time) {
	integrations.Put(tx, store.K(id, q.integrationID), q.integration)
	routes.Put(tx, store.K(id, q.routeID), q.route)
	stages.Put(tx, store.K(id, defaultStage), stage{Created: now.UnixMilli(), Updated: now.UnixMilli(), AutoDeploy: true, Managed: true})
	deployChanges(tx, id, a, q.deploymentID, now)
}

// GetApi describes an API.
func (s *Service) GetApi(ctx context.Context, in *apigatewayv2.GetApiInput) (*apigatewayv2.GetApiOutput, error) {
	var out apigatewayv2.GetApiOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		a, err := findAPI(tx, in.ApiId)
		out = describeAPI(ctx, in.ApiId, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// GetApis lists the APIs of a region.
func (s *Service) GetApis(ctx context.Context, in *apigatewayv2.GetApisInput) (*apigatewayv2.GetApisOutput, error) {
	out := &apigatewayv2.GetApisOutput{Items: []apigatewayv2.Api{}}
	return out, s.db.View(ctx, func(tx *store.Tx) (err error) {
		out.NextToken, err = page(tx, apis, "", in.GetMaxResults(), in.GetNextToken(), func(id string, a api) {
			d := describeAPI(ctx, id, a)
			out.Items = append(out.Items, apigatewayv2.Api{
				ApiEndpoint: d.ApiEndpoint, ApiId: d.ApiId, ApiKeySelectionExpression: d.ApiKeySelectionExpression,
				CorsConfiguration: d.CorsConfiguration, CreatedDate: d.CreatedDate, Description: d.Description,
				DisableExecuteApiEndpoint: d.DisableExecuteApiEndpoint, Name: a.Name, ProtocolType: "HTTP",
				RouteSelectionExpression: selection, Tags: d.Tags, Version: d.Version, IpAddressType: d.IpAddressType,
			})
		})
		return err
	})
}

// UpdateApi changes what is given of an API.
func (s *Service) UpdateApi(ctx context.Context, in *apigatewayv2.UpdateApiInput) (*apigatewayv2.UpdateApiOutput, error) {
	switch {
	case in.Target != nil || in.RouteKey != nil || in.CredentialsArn != nil:
		return nil, notImplemented("updates of a quick-create target")
	case in.RouteSelectionExpression != nil && *in.RouteSelectionExpression != selection:
		return nil, apigatewayv2.BadRequestException("Invalid RouteSelectionExpression specified. For HTTP APIs it must be %s", selection)
	}
	rules, err := readCors(in.CorsConfiguration)
	if err != nil {
		return nil, err
	}
	var a api
	err = s.change(ctx, in.ApiId, func(tx *store.Tx, now *api) error {
		set(&now.Name, in.Name)
		set(&now.Description, in.Description)
		set(&now.Version, in.Version)
		set(&now.Disabled, in.DisableExecuteApiEndpoint)
		set(&now.Addresses, in.IpAddressType)
		if rules != nil {
			now.Cors = rules
		}
		apis.Put(tx, store.K(in.ApiId), *now)
		a = *now
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.UpdateApiOutput(describeAPI(ctx, in.ApiId, a))), nil
}

// set changes a member when a new value is given.
func set[T any](member *T, value *T) {
	if value != nil {
		*member = *value
	}
}

// change runs a change of an API in a transaction and deploys the result to the stages that follow.
func (s *Service) change(ctx context.Context, id string, f func(tx *store.Tx, a *api) error) error {
	deployment, now := s.newID(6), s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(tx, id)
		if err != nil {
			return err
		}
		if err := f(tx, &a); err != nil {
			return err
		}
		deployChanges(tx, id, a, deployment, now)
		return nil
	})
}

// DeleteApi deletes an API with all it has.
func (s *Service) DeleteApi(ctx context.Context, in *apigatewayv2.DeleteApiInput) (*apigatewayv2.DeleteApiOutput, error) {
	return &apigatewayv2.DeleteApiOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := findAPI(tx, in.ApiId); err != nil {
			return err
		}
		key := store.K(in.ApiId)
		apis.Delete(tx, key)
		places.Delete(tx, key)
		clearBelow(tx, routes, key)
		clearBelow(tx, integrations, key)
		clearBelow(tx, stages, key)
		clearBelow(tx, deployments, key)
		return nil
	})
}

func clearBelow[V any](tx *store.Tx, t *store.Table[V], prefix store.Key) {
	for key := range t.Keys(tx, store.Range{Prefix: prefix}) {
		t.Delete(tx, key)
	}
}

// DeleteCorsConfiguration makes an API forget its CORS rules.
func (s *Service) DeleteCorsConfiguration(ctx context.Context, in *apigatewayv2.DeleteCorsConfigurationInput) (*apigatewayv2.DeleteCorsConfigurationOutput, error) {
	return &apigatewayv2.DeleteCorsConfigurationOutput{}, s.change(ctx, in.ApiId, func(tx *store.Tx, a *api) error {
		a.Cors = nil
		apis.Put(tx, store.K(in.ApiId), *a)
		return nil
	})
}

func describeAPI(ctx context.Context, id string, a api) apigatewayv2.GetApiOutput {
	d := apigatewayv2.GetApiOutput{
		ApiEndpoint: new(endpoint(aws.CallFrom(ctx), id)), ApiId: new(id), ApiKeySelectionExpression: new(keySelection),
		CorsConfiguration: a.Cors.describe(), CreatedDate: new(time.UnixMilli(a.Created).UTC().Truncate(time.Second)),
		DisableExecuteApiEndpoint: new(a.Disabled), Name: new(a.Name), ProtocolType: new("HTTP"),
		RouteSelectionExpression: new(selection), Tags: maps.Clone(a.Tags), IpAddressType: new(a.Addresses),
		Description: optional(a.Description), Version: optional(a.Version),
	}
	if d.Tags == nil {
		d.Tags = map[string]string{}
	}
	return d
}

// optional is nil for an empty text.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// endpoint is where a client that came by c.Endpoint finds an API. A client that used a name below one of
// our domains can resolve others there; one that used an address or a plain name is given a path.
func endpoint(c *aws.Call, id string) string {
	scheme, host, ok := strings.Cut(c.Endpoint, "://")
	if !ok {
		scheme, host = "http", "localhost"
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		name, port = host[:i], host[i:]
	}
	i := slices.IndexFunc(domains, func(d string) bool { return strings.HasSuffix("."+strings.ToLower(name), d) })
	if i < 0 || domains[i] == ".localhost" && strings.EqualFold(name, "localhost") {
		return scheme + "://" + host + pathPrefix + id
	}
	return scheme + "://" + id + ".execute-api." + c.Region + domains[i] + port
}
