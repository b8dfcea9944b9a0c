package apigateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fogbank/api/apigatewayv2"
)

// cors are an API's rules for requests of pages from elsewhere.
type cors struct {
	Credentials *bool    `json:",omitempty"`
	Headers     []string `json:",omitempty"`
	Methods     []string `json:",omitempty"`
	Origins     []string `json:",omitempty"`
	Expose      []string `json:",omitempty"`
	MaxAge      *int32   `json:",omitempty"`
}

func readCors(in *apigatewayv2.Cors) (*cors, error) {
	if in == nil {
		return nil, nil
	}
	c := &cors{Credentials: in.AllowCredentials, Headers: in.AllowHeaders, Methods: in.AllowMethods, Origins: in.AllowOrigins,
		Expose: in.ExposeHeaders, MaxAge: in.MaxAge}
	if in.GetAllowCredentials() && slices.Contains(c.Origins, "*") {
		return nil, apigatewayv2.BadRequestException("Cors configuration allow-credentials cannot be true while allow-origins is *")
	}
	for _, o := range c.Origins {
		if o != "*" && !strings.Contains(o, "://") {
			return nil, apigatewayv2.BadRequestException("Invalid format for origin %s", o)
		}
	}
	return c, nil
}

func (c *cors) describe() *apigatewayv2.Cors {
	if c == nil {
		return nil
	}
	return &apigatewayv2.Cors{AllowCredentials: c.Credentials, AllowHeaders: c.Headers, AllowMethods: c.Methods,
		AllowOrigins: c.Origins, ExposeHeaders: c.Expose, MaxAge: c.MaxAge}
}

// allows returns what access-control-allow-origin says to an origin, "" when it is not allowed.
func (c *cors) allows(origin string) string {
	for _, o := range c.Origins {
		switch {
		case o == "*":
			return "*"
		case strings.EqualFold(o, origin):
			return origin
		case strings.HasSuffix(o, "://*") && strings.HasPrefix(origin, strings.TrimSuffix(o, "*")):
			return origin
		}
	}
	return ""
}

// corsHeaders are those the gateway alone may set once rules are given.
var corsHeaders = [...]string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age"}

// mark replaces the function's CORS headers on an ordinary answer.
func (c *cors) mark(h http.Header, origin string) {
	if c == nil {
		return
	}
	for _, name := range corsHeaders {
		h.Del(name)
	}
	allowed := c.allows(origin)
	if origin == "" || allowed == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", allowed)
	if len(c.Expose) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.Expose, ","))
	}
	if c.Credentials != nil && *c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// preflight answers a browser's question itself, whatever routes there are, and reports whether
// the request was one.
func (c *cors) preflight(w http.ResponseWriter, r *http.Request) bool {
	if c == nil || r.Method != http.MethodOptions || r.Header.Get("Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	if allowed := c.allows(r.Header.Get("Origin")); allowed != "" {
		h.Set("Access-Control-Allow-Origin", allowed)
		if len(c.Methods) > 0 {
			h.Set("Access-Control-Allow-Methods", strings.Join(c.Methods, ","))
		}
		if len(c.Headers) > 0 {
			h.Set("Access-Control-Allow-Headers", strings.Join(c.Headers, ","))
		}
		if c.MaxAge != nil {
			h.Set("Access-Control-Max-Age", strconv.Itoa(int(*c.MaxAge)))
		}
		if c.Credentials != nil && *c.Credentials {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}
