package apigateway

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"fogbank/api/apigatewayv2"
)

// routePattern is a parsed route key.
type routePattern struct {
	key      string
	method   string // "" for the $default route
	path     string // "/orders/{id}"
	segments []segment
}

// segment is one part of a route's path: a text, a parameter, or a parameter that takes the rest.
type segment struct {
	text   string // the literal, or the parameter's name
	param  bool
	greedy bool
}

const maxRouteKey = 1024

// parseRouteKey reads "$default" or a method and a path with parameters: "GET /orders/{id}", "ANY /{proxy+}".
func parseRouteKey(key string) (p routePattern, err error) {
	p.key = key
	if key == defaultRoute {
		return p, nil
	}
	bad := apigatewayv2.BadRequestException("The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	var ok bool
	if p.method, p.path, ok = strings.Cut(key, " "); !ok || !strings.HasPrefix(p.path, "/") || len(key) > maxRouteKey || strings.ContainsAny(p.path, " ?#") {
		return p, bad
	}
	switch p.method {
	case "ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT":
	default:
		return p, bad
	}
	if p.path == "/" {
		return p, nil
	}
	parts := strings.Split(p.path[1:], "/")
	for i, part := range parts {
		s := segment{text: part}
		if inner, ok := strings.CutPrefix(part, "{"); ok {
			if inner, ok = strings.CutSuffix(inner, "}"); !ok {
				return p, bad
			}
			s.text, s.greedy = strings.CutSuffix(inner, "+")
			s.param = true
			if s.greedy && i != len(parts)-1 {
				return p, apigatewayv2.BadRequestException("Greedy path variables can only be used at the end of a route")
			}
		}
		if s.text == "" || strings.ContainsAny(s.text, "{}") || s.param && slices.ContainsFunc(p.segments, func(o segment) bool { return o.param && o.text == s.text }) {
			return p, bad
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

// shape is the key with parameters' names left out: two routes of one shape match the same requests.
func (p *routePattern) shape() string {
	var b strings.Builder
	b.WriteString(p.method)
	for _, s := range p.segments {
		switch {
		case s.greedy:
			b.WriteString("/{+}")
		case s.param:
			b.WriteString("/{}")
		default:
			b.WriteString("/" + s.text)
		}
	}
	return b.String()
}

// rank orders segments: literals are more specific than parameters, those more than greedy ones.
func (s segment) rank() int {
	switch {
	case s.greedy:
		return 2
	case s.param:
		return 1
	}
	return 0
}

// before orders routes so that the first that matches is the one AWS chooses: full matches, then greedy
// ones, then $default; the more specific first, and a method before ANY.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
func (p *routePattern) before(q *routePattern) int {
	class := func(p *routePattern) int {
		switch {
		case p.method == "":
			return 2
		case len(p.segments) > 0 && p.segments[len(p.segments)-1].greedy:
			return 1
		}
		return 0
	}
	if c := cmp.Compare(class(p), class(q)); c != 0 {
		return c
	}
	for i := range min(len(p.segments), len(q.segments)) {
		if c := cmp.Compare(p.segments[i].rank(), q.segments[i].rank()); c != 0 {
			return c
		}
	}
	any := func(p *routePattern) int {
		if p.method == "ANY" {
			return 1
		}
		return 0
	}
	return cmp.Or(-cmp.Compare(len(p.segments), len(q.segments)), cmp.Compare(any(p), any(q)), strings.Compare(p.key, q.key))
}

// match reports whether the route takes a request, and its path parameters.
func (p *routePattern) match(method string, parts []string) (params map[string]string, ok bool) {
	if p.method == "" {
		return nil, true
	}
	if p.method != "ANY" && p.method != method || len(parts) < len(p.segments) {
		return nil, false
	}
	for i, s := range p.segments {
		value := parts[i]
		if s.greedy {
			value = strings.Join(parts[i:], "/")
		}
		switch {
		case value == "", !s.param && value != s.text:
			return nil, false
		case s.param:
			if params == nil {
				params = map[string]string{}
			}
			params[s.text] = value
		}
		if s.greedy {
			return params, true
		}
	}
	return params, len(parts) == len(p.segments)
}

// router is a deployment, ready to serve.
type router struct {
	cors    *cors
	targets []target
}

// target is a route and what it leads to.
type target struct {
	routePattern
	integration *integration // nil when the route has none
	function    string       // its ARN
}

func newRouter(d deployment) *router {
	r := &router{cors: d.Cors}
	for _, rt := range d.Routes {
		p, err := parseRouteKey(rt.Key)
		if err != nil {
			continue // was refused when the route was made
		}
		t := target{routePattern: p}
		if i, ok := d.Integrations[strings.TrimPrefix(rt.Target, targetPrefix)]; ok && rt.Target != "" {
			if t.function, err = functionOf(i.URI); err == nil {
				t.integration = &i
			}
		}
		r.targets = append(r.targets, t)
	}
	slices.SortFunc(r.targets, func(a, b target) int { return a.before(&b.routePattern) })
	return r
}

// find returns the route of a request, whose path is as it was sent.
func (r *router) find(method, escapedPath string) (*target, map[string]string) {
	var parts []string
	if escapedPath != "/" && escapedPath != "" {
		parts = strings.Split(strings.TrimPrefix(escapedPath, "/"), "/")
	}
	for i, p := range parts {
		if v, err := url.PathUnescape(p); err == nil {
			parts[i] = v
		}
	}
	for i := range r.targets {
		if params, ok := r.targets[i].match(method, parts); ok {
			return &r.targets[i], params
		}
	}
	return nil, nil
}
