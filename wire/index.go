package wire

import "net/http"

// Index finds the operation a request means, over all mounted services.
type Index struct {
	targets map[string]targetRow
	actions map[string][]*Operation
	paths   map[string]Paths
	rest    map[string][]*Operation // what paths were made of
}

type targetRow struct {
	op       *Operation
	protocol Protocol
}

// NewIndex indexes the operations of the APIs.
func NewIndex(apis ...*API) *Index {
	x := &Index{targets: map[string]targetRow{}, actions: map[string][]*Operation{}, paths: map[string]Paths{}, rest: map[string][]*Operation{}}
	for _, a := range apis {
		x.Add(a)
	}
	return x
}

// Add indexes one more API.
func (x *Index) Add(a *API) {
	for _, p := range a.Protocols {
		for _, op := range a.Operations {
			switch p {
			case JSON10, JSON11:
				x.targets[a.TargetPrefix+"."+op.Name] = targetRow{op, p}
			case Query:
				x.actions[op.Name] = append(x.actions[op.Name], op)
			case RESTJSON:
				x.rest[a.Signing] = append(x.rest[a.Signing], op)
			}
		}
		if p == RESTJSON {
			x.paths[a.Signing] = NewPaths(x.rest[a.Signing]...)
		}
	}
}

// Target finds the operation of an X-Amz-Target header and the JSON version its service speaks.
func (x *Index) Target(target string) (*Operation, Protocol, bool) {
	row, ok := x.targets[target]
	return row.op, row.protocol, ok
}

// Action finds the operation of a query request. The service is the one signed for; when the
// request is not signed it is told by the version, and an action only one service has needs neither.
func (x *Index) Action(action, version, signing string) (*Operation, bool) {
	var found []*Operation
	for _, op := range x.actions[action] {
		if signing != "" && op.API.Signing != signing {
			continue
		}
		if signing == "" && version != "" && op.API.Version != version {
			continue
		}
		found = append(found, op)
	}
	if len(found) != 1 {
		return nil, false
	}
	return found[0], true
}

// Path finds the REST operation of a request to the service signed for, and its path labels,
// percent-decoded. With no service signed for, all are tried.
func (x *Index) Path(signing string, r *http.Request) (*Operation, map[string]string, bool) {
	if signing != "" {
		return x.paths[signing].Match(r.Method, r.URL.EscapedPath(), r.URL.Query())
	}
	for _, p := range x.paths {
		if op, labels, ok := p.Match(r.Method, r.URL.EscapedPath(), r.URL.Query()); ok {
			return op, labels, true
		}
	}
	return nil, nil, false
}
