// Package apigateway is API Gateway's HTTP APIs (apigatewayv2): the control plane that
// describes APIs, and the data plane that serves them by invoking Lambda functions.
//
// Promises: a change acknowledged is on disk, and served at once by stages with
// automatic deployment; other stages serve the deployment they were given, whatever is
// changed later. A function is invoked only when its own policy lets
// apigateway.amazonaws.com call it for this API, stage and route. What cannot be
// honoured (authorizers, IAM authorisation, throttling, parameter mapping, WebSockets)
// is refused when it is asked for, never accepted and ignored.
//
// Stored; all but the first by region:
//
//	apigateway/place        api id                → account and region, to find an API by its host
//	apigateway/api          api id                → api
//	apigateway/route        api id, route id      → route
//	apigateway/integration  api id, integration   → integration
//	apigateway/stage        api id, stage name    → stage
//	apigateway/deployment   api id, deployment id → a copy of routes, integrations and CORS rules
//
// A deployment's router is derived from its row and kept until the row changes.
//
// Limits: bodies and answers of 10 MB (an answer through Lambda has 6 MB at most),
// integrations of 30 seconds, 300 routes and integrations, 10 stages and 100 deployments of an API,
// 600 APIs in a region, 50 tags.
//
// This package imports net/http, which services otherwise must not: its data plane is HTTP.
// Differences from AWS are in docs/divergences.md.
package apigateway
