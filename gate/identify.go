package gate

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"

	"fogbank/aws"
	"fogbank/wire"
)

// identify finds the operation: by X-Amz-Target, by Action, or by path.
func (x *exchange) identify() error {
	g := x.gate
	var op *wire.Operation
	var ok bool
	if target := x.r.Header.Get("X-Amz-Target"); target != "" {
		var p wire.Protocol
		if op, p, ok = g.index.Target(target); ok {
			x.protocol = p
		}
		if ok {
			return x.found(op)
		}
		return x.lost(aws.Errorf("UnknownOperationException", 400, "The operation %s is not known.", printable(target)))
	}
	if !g.rest[x.service] {
		action, version, form := x.action()
		if action != "" {
			x.protocol = wire.Query
			if op, ok = g.index.Action(action, version, x.service); ok {
				return x.found(op)
			}
			return x.lost(aws.Errorf("InvalidAction", 400, "Could not find operation %s for version %s", printable(action), printable(version)))
		}
		if form {
			return x.lost(aws.Errorf("MissingAction", 400, "The request must contain the parameter Action."))
		}
	}
	if op, x.labels, ok = g.index.Path(x.service, x.r); ok {
		x.protocol = wire.RESTJSON
		return x.found(op)
	}
	return x.lost(aws.Errorf("UnknownOperationException", 404, "There is no operation %s %s.", printable(x.r.Method), printable(x.r.URL.Path)))
}

// found sets the route.
func (x *exchange) found(op *wire.Operation) error {
	x.route = x.gate.routes[op]
	return nil
}

// lost says why there is no route: no signature, no such service, no such operation.
func (x *exchange) lost(unknown *aws.Error) error {
	if x.rejected != nil {
		return x.rejected
	}
	if _, known := x.gate.endpoints[x.service]; !known && x.service != "" {
		return aws.Errorf("NotImplemented", 501, "The service %s is not implemented.", printable(x.service))
	}
	return unknown
}

// action returns the Action and Version of a query request, from its URL or its form; form
// tells whether there was one.
func (x *exchange) action() (action, version string, form bool) {
	if raw := x.r.URL.RawQuery; strings.Contains(raw, "Action=") {
		query := []byte(raw)
		if action = formValue(query, "Action"); action != "" {
			return action, formValue(query, "Version"), false
		}
	}
	if !isForm(x.r.Header.Get("Content-Type")) {
		return "", "", false
	}
	return formValue(x.body, "Action"), formValue(x.body, "Version"), true
}

// formValue returns the first value of a form's field without decoding the others.
func formValue(form []byte, name string) string {
	for len(form) > 0 {
		part, rest, _ := bytes.Cut(form, []byte("&"))
		form = rest
		if len(part) <= len(name) || part[len(name)] != '=' || string(part[:len(name)]) != name {
			continue
		}
		v, err := url.QueryUnescape(string(part[len(name)+1:]))
		if err != nil {
			return ""
		}
		return v
	}
	return ""
}

// domains are the suffixes below which hosts are read as AWS's: "sqs.us-east-1.localhost".
var domains = [...]string{".localhost", ".localhost.localstack.cloud", ".amazonaws.com", ".amazonaws.com.cn", ".api.aws"}

// splitHost reads the service and region off a host name, both "" where it has none.
func splitHost(host string) (endpoint, region string) {
	host = hostname(host)
	for _, d := range domains {
		name, ok := strings.CutSuffix(host, d)
		if !ok {
			continue
		}
		if i := strings.LastIndexByte(name, '.'); i >= 0 && isRegion(name[i+1:]) {
			name, region = name[:i], name[i+1:]
		}
		return strings.TrimSuffix(name, "-fips"), region
	}
	return "", ""
}

// hostname is a Host header in lower case and without its port.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	return strings.ToLower(host)
}

// isRegion reports whether s has the form of a region: "us-east-1", "us-gov-west-1". Regions
// become part of every stored key, so nothing else may pass for one.
func isRegion(s string) bool {
	if len(s) > 32 {
		return false
	}
	words := 0
	for word := range strings.SplitSeq(s, "-") {
		if word == "" {
			return false
		}
		for _, ch := range []byte(word) {
			if (ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') {
				return false
			}
		}
		words++
	}
	last := s[strings.LastIndexByte(s, '-')+1:]
	return words >= 3 && strings.Trim(last, "0123456789") == ""
}

// KnownHost reports whether a Host header is a name a loopback listener goes by: an address,
// localhost, or a name below one of the domains that lead here. Any other name was
// pointed here by somebody else's DNS.
func KnownHost(host string) bool {
	name := hostname(host)
	if name == "localhost" || name == "localhost.localstack.cloud" {
		return true
	}
	for _, d := range domains {
		if strings.HasSuffix(name, d) {
			return true
		}
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil
}
