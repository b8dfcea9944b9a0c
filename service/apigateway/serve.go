package apigateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
)

const (
	maxBody    = 10 << 20
	pathPrefix = "/_aws/execute-api/"
)

// domains are the suffixes of hosts that lead here: "abc.execute-api.us-east-1.localhost".
var domains = []string{".localhost.localstack.cloud", ".localhost", ".amazonaws.com"}

// Match reports whether a request is for the data plane. host is in lower case and without a port.
func (s *Service) Match(host, path string) bool {
	_, ok := hostAPI(host)
	return ok || strings.HasPrefix(path, pathPrefix)
}

// hostAPI is the API a host names: {id}.execute-api.{region} and one of the domains.
func hostAPI(host string) (id string, ok bool) {
	id, rest, ok := strings.Cut(host, ".execute-api.")
	if !ok || id == "" || strings.Contains(id, ".") {
		return "", false
	}
	for _, d := range domains {
		if region, ok := strings.CutSuffix(rest, d); ok && region != "" && !strings.Contains(region, ".") {
			return id, true
		}
	}
	return "", false
}

// What every request needs is kept decoded until its row changes.
var (
	keptPlaces = store.Derive(places, same[place])
	keptAPIs   = store.Derive(apis, same[api])
	keptStages = store.Derive(stages, same[stage])
)

func same[V any](_ store.Key, v V) (V, error) { return v, nil }

// request is one request to an API on its way to a function.
type request struct {
	*http.Request
	id       string // of the request
	host     string // without port
	api      string
	place    place
	stage    string
	vars     map[string]string
	router   *router
	path     string // below the stage, as sent
	rawPath  string // with the stage, if it is a named one
	target   *target
	params   map[string]string
	body     []byte
	now      time.Time
	sourceIP string
	trace    string // X-Amzn-Trace-Id, when the client sent none
}

// ServeHTTP serves the APIs: it finds API, stage and route, invokes the function, and turns what
// that returns into the answer.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, id: s.world.Text(15, idLetters) + "=", now: s.world.Now(), host: strings.ToLower(r.Host)}
	w.Header().Set("Apigw-Requestid", q.id)
	if i := strings.LastIndexByte(q.host, ':'); i >= 0 && !strings.Contains(q.host[i:], "]") {
		q.host = q.host[:i]
	}
	q.trace = fmt.Sprintf("Root=1-%08x-%s", q.now.Unix(), s.world.Hex(12))
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		q.sourceIP = a.Addr().Unmap().String()
	}
	found, err := s.locate(q)
	if err != nil {
		say(w, q, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	if found && q.router.cors.preflight(w, r) {
		return
	}
	if found {
		q.target, q.params = q.router.find(r.Method, q.path)
	}
	if q.target == nil {
		say(w, q, http.StatusNotFound, "Not Found")
		return
	}
	if q.target.integration == nil {
		say(w, q, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	if q.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			say(w, q, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		}
		return
	}
	status, answer := s.invoke(q)
	if answer == nil {
		say(w, q, status, http.StatusText(status))
		return
	}
	answer.write(w, q)
}

// say answers in the gateway's own words.
func say(w http.ResponseWriter, q *request, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	if q.router != nil {
		q.router.cors.mark(w.Header(), q.Header.Get("Origin"))
	}
	w.WriteHeader(status)
	io.WriteString(w, `{"message":"`+message+`"}`)
}

// locate finds the API and the stage; found is false when there is none that is deployed.
func (s *Service) locate(q *request) (found bool, err error) {
	path := q.URL.EscapedPath()
	id, byHost := hostAPI(q.host)
	if !byHost {
		id, path, _ = strings.Cut(strings.TrimPrefix(path, pathPrefix), "/")
		path = "/" + path
	}
	q.api = id
	err = s.db.View(q.Context(), func(tx *store.Tx) error {
		found = false
		var ok bool
		if q.place, ok, err = keptPlaces.Get(tx, store.K(id)); !ok || err != nil {
			return err
		}
		tx = tx.In(q.place.Account, q.place.Region)
		if a, ok, err := keptAPIs.Get(tx, store.K(id)); !ok || err != nil || a.Disabled {
			return err
		}
		st, ok, err := q.chooseStage(tx, path)
		if !ok || err != nil {
			return err
		}
		q.vars = st.Variables
		q.router, found, err = routers.Get(tx, store.K(id, st.Deployment))
		return err
	})
	if !byHost {
		q.host = id + ".execute-api." + q.place.Region + ".localhost"
	}
	return found, err
}

// chooseStage takes a stage's name off the front of the path, or else the $default stage.
func (q *request) chooseStage(tx *store.Tx, path string) (stage, bool, error) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if name = strings.ReplaceAll(name, "%24", "$"); name == defaultStage {
		q.stage, q.path, q.rawPath = defaultStage, "/"+rest, "/"+rest
		return keptStages.Get(tx, store.K(q.api, defaultStage))
	}
	if name != "" {
		if st, ok, err := keptStages.Get(tx, store.K(q.api, name)); ok || err != nil {
			q.stage, q.path, q.rawPath = name, "/"+rest, path
			return st, ok, err
		}
	}
	q.stage, q.path, q.rawPath = defaultStage, path, path
	return keptStages.Get(tx, store.K(q.api, defaultStage))
}

// source is the ARN a function's permission names: arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH.
func (q *request) source() aws.ARN {
	resource := q.api + "/" + q.stage + "/" + defaultRoute
	if q.target.method != "" {
		resource = q.api + "/" + q.stage + "/" + q.Method + q.target.path
	}
	return aws.MakeARN("execute-api", q.place.Region, q.place.Account, resource)
}

// outcome is how an invocation ended.
type outcome struct {
	out *lambda.InvokeOutput
	err error
}

// invoke runs the function and reads its result; without an answer the status says what went wrong.
func (s *Service) invoke(q *request) (status int, a *answer) {
	event, read := q.event2, readAnswer2
	if q.target.integration.Format == "1.0" {
		event, read = q.event1, readAnswer1
	}
	ctx, cancel := s.world.WithTimeout(q.Context(), time.Duration(q.target.integration.Timeout)*time.Millisecond)
	defer cancel()
	var o outcome
	select {
	case o = <-s.run(ctx, q, event()):
	case <-ctx.Done():
		return http.StatusServiceUnavailable, nil
	}
	switch {
	case o.err != nil && aws.AsError(o.err).Status == http.StatusTooManyRequests:
		return http.StatusServiceUnavailable, nil
	case o.err != nil || o.out.GetFunctionError() != "":
		return http.StatusInternalServerError, nil
	}
	a, err := read(o.out.Payload)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return a.status, a
}

// run invokes the function in the background: it goes on to its own end when the client has gone or the
// integration's time has run out, as functions behind API Gateway do.
func (s *Service) run(ctx context.Context, q *request, payload []byte) <-chan outcome {
	done := make(chan outcome, 1)
	in := &lambda.InvokeInput{FunctionName: q.target.function, Payload: payload}
	call := &aws.Call{Account: q.place.Account, Region: q.place.Region, SourceARN: q.source(), SourceAccount: q.place.Account}
	s.world.Go(func(life context.Context) {
		ctx, cancel := context.WithCancel(aws.WithCall(context.WithoutCancel(ctx), call))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		out, err := s.functions.Invoke(ctx, in)
		done <- outcome{out, err}
	})
	return done
}
