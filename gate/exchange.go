package gate

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"fogbank/aws"
	"fogbank/credential"
	"fogbank/wire"
)

const (
	maxBody       = 10 << 20  // of one request
	maxLambdaBody = 70 << 20  // a 50 MB archive in base64, and what goes with it
	smallBody     = 1 << 20   // buffers up to this size are kept for reuse
	maxInflight   = 512 << 20 // of large bodies held at once

	// A body must arrive within bodyGrace and the time it takes at bodyRate bytes a second, so that nobody can
	// hold a buffer by sending slowly. Data planes bound their bodies and their own time; theirs get dataTime.
	bodyGrace = 30 * time.Second
	bodyRate  = 256 << 10
	dataTime  = 2 * time.Minute
)

// exchange is one request on its way through the gate. Exchanges are reused, and with them
// their buffers, so nothing may keep a part of one; wire.Decode copies what it takes.
type exchange struct {
	gate     *Gate
	r        *http.Request
	answer   answer
	buf      []byte
	held     int64 // of the inflight budget
	canon    canonicaliser
	sig      signature
	rejected *rejection // why sig could not be read
	service  string     // signing name, from the signature or else the host
	hostArea string     // region in the host name

	body     []byte
	protocol wire.Protocol
	route    *route
	labels   map[string]string
	record   Record
	cause    error // what InternalFailure hides
	parked   bool  // another exchange ends this request
}

// answer remembers the status of a response.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController: event streams are flushed.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// admit starts the record of a request and reads what the signature claims.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request) *exchange {
	x := g.pool.Get().(*exchange)
	x.r, x.answer = r, answer{ResponseWriter: w}
	x.record = Record{ID: g.world.UUID(), At: g.world.Now(), start: g.world.Start()}
	x.route, x.protocol = &g.nowhere, guessProtocol(r)
	x.sig, x.rejected = parseSignature(r)
	endpoint, region := splitHost(r.Host)
	x.service, x.hostArea = x.sig.service, region
	if x.service == "" {
		x.service = g.endpoints[endpoint]
	}
	return x
}

// guessProtocol says in which form to fail before an operation is known.
func guessProtocol(r *http.Request) wire.Protocol {
	kind := r.Header.Get("Content-Type")
	switch {
	case r.Header.Get("X-Amz-Target") != "" && strings.HasPrefix(kind, "application/x-amz-json-1.0"):
		return wire.JSON10
	case r.Header.Get("X-Amz-Target") != "":
		return wire.JSON11
	case isForm(kind) || strings.Contains(r.URL.RawQuery, "Action="):
		return wire.Query
	}
	return wire.RESTJSON
}

func isForm(contentType string) bool {
	return strings.HasPrefix(contentType, "application/x-www-form-urlencoded")
}

// read takes the body in, up to the service's limit.
func (x *exchange) read() error {
	limit := int64(maxBody)
	if x.service == "lambda" {
		limit = maxLambdaBody
	}
	if x.r.ContentLength > limit {
		return tooLarge(x.service, limit)
	}
	if n := x.r.ContentLength; n != 0 {
		if n < 0 {
			n = limit
		}
		x.setDeadline(x.gate.world.Wall().Add(x.gate.bodyGrace + time.Duration(n)*time.Second/bodyRate))
	}
	b := x.buf[:0]
	for {
		if len(b) == cap(b) {
			more := max(4<<10, min(cap(b), int(limit)))
			if n := x.r.ContentLength; n > int64(len(b)) && n < smallBody {
				more = int(n) + 1 - len(b) // one byte more, so that the end is seen without growing
			}
			if err := x.hold(int64(len(b) + more)); err != nil {
				return err
			}
			b = slices.Grow(b, more)
		}
		n, err := x.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		x.buf = b
		if int64(len(b)) > limit {
			return tooLarge(x.service, limit)
		}
		if err == io.EOF {
			x.body = b
			if x.r.ContentLength != 0 {
				x.setDeadline(time.Time{}) // or it would end what the operation waits for
			}
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return aws.Errorf("RequestTimeoutException", 408, "The request's body did not arrive in time.")
		}
		if err != nil {
			return aws.Errorf("RequestAbortedException", 400, "The request was aborted before its body had arrived.")
		}
	}
}

// setDeadline bounds how long the body may take; where there is no connection, as in tests, there is no bound.
func (x *exchange) setDeadline(at time.Time) {
	if err := http.NewResponseController(x.answer.ResponseWriter).SetReadDeadline(at); err != nil {
		return
	}
}

// hold books a buffer of n bytes when it is a large one.
func (x *exchange) hold(n int64) error {
	if n <= smallBody || n <= x.held {
		return nil
	}
	if x.gate.inflight.Add(n-x.held) > maxInflight {
		x.gate.inflight.Add(x.held - n)
		return aws.Errorf("ServiceUnavailable", 503, "The service is currently holding too many large requests. Please try again.")
	}
	x.held = n
	return nil
}

func tooLarge(service string, limit int64) error {
	if service == "lambda" {
		return aws.Errorf("RequestTooLargeException", 413, "Request must be smaller than %d bytes.", limit)
	}
	return aws.Errorf("RequestEntityTooLargeException", 413, "Request must be smaller than %d bytes.", limit)
}

// authenticate proves who calls, and returns the context with the call.
func (x *exchange) authenticate() (context.Context, error) {
	g, op := x.gate, x.route.op
	call := &aws.Call{
		Account: g.options.Account, Region: g.options.Region, RequestID: x.record.ID,
		SourceIP: sourceIP(x.r), UserAgent: x.r.UserAgent(), Secure: x.r.TLS != nil, Trace: x.r.Header.Get("X-Amzn-Trace-Id"),
	}
	call.Endpoint = g.endpoint(x.r)
	ctx := aws.WithCall(x.r.Context(), call)
	if x.rejected != nil {
		if x.rejected.why == missing && (unsigned[op.Action] || bearer[op.Action]) {
			return ctx, nil
		}
		return nil, x.rejected
	}
	if rej := x.checkScope(); rej != nil {
		return nil, rej
	}
	credential, err := x.credential()
	if err != nil {
		return nil, err
	}
	call.Principal, call.Account, call.Region = credential.Principal, credential.Principal.Account, x.sig.region
	x.record.Principal, x.record.Account, x.record.Region = call.Principal.ARN, call.Account, call.Region
	return ctx, nil
}

// endpoint is the URL at which the client found us.
func (g *Gate) endpoint(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if host, ok := strings.CutPrefix(g.options.Endpoint, scheme); ok && host == r.Host {
		return g.options.Endpoint // the usual one, which needs no new string
	}
	return scheme + r.Host
}

// checkScope compares what the signature is for with what is asked.
func (x *exchange) checkScope() *rejection {
	s, api := &x.sig, x.route.op.API
	if s.service != api.Signing {
		return reject(mismatch, "Credential should be scoped to correct service: '"+api.Signing+"'. ")
	}
	if !isRegion(s.region) || x.hostArea != "" && x.hostArea != s.region {
		return reject(mismatch, "Credential should be scoped to a valid region, not '"+printable(s.region)+"'. ")
	}
	if strings.HasPrefix(s.payload, streamedBody) {
		return reject(incomplete, "The payload form "+printable(s.payload)+" is not supported by "+api.Signing+".")
	}
	if len(s.token) > maxTokenBytes {
		return reject(unknownKey, invalidToken)
	}
	if rej := s.checkTime(x.gate.world.Wall()); rej != nil {
		return rej
	}
	return s.checkHeaders(x.r)
}

const (
	invalidToken = "The security token included in the request is invalid."
	expiredToken = "The security token included in the request is expired"
)

// credential finds the key the request was signed with and verifies the signature.
func (x *exchange) credential() (Credential, error) {
	g, s := x.gate, &x.sig
	ctx := g.lookup
	if s.token != "" {
		ctx = credential.WithToken(ctx, s.token)
	}
	c, ok, err := g.directory.Credential(ctx, s.keyID)
	switch {
	case err != nil:
		return c, err
	case !ok || !c.Active || !sameSecret(c.Token, s.token):
		return c, reject(unknownKey, invalidToken)
	}
	key, cached := g.keys.get(s.keyID, c.Secret, s.date, s.region, s.service)
	if rej := s.verify(&x.canon, x.r, x.body, key); rej != nil {
		return c, rej
	}
	if !cached {
		g.keys.put(key, s.keyID, s.date, s.region, s.service)
	}
	if !c.Expires.IsZero() && !x.record.At.Before(c.Expires) {
		return c, reject(expired, expiredToken)
	}
	return c, nil
}

// sourceIP is where the connection comes from. X-Forwarded-For is anybody's word and not asked.
func sourceIP(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// reply answers with what the operation returned.
func (x *exchange) reply(out any, err error) {
	if err == nil {
		err = wire.Encode(&x.answer, x.route.op, x.protocol, out, x.record.ID)
	}
	if err != nil {
		x.fail(err)
	}
}

// fail answers with an error in the client's protocol.
func (x *exchange) fail(err error) {
	if x.r != nil && errors.Is(err, context.Canceled) && x.r.Context().Err() != nil {
		err = errEnded
	}
	e := x.gate.asError(err, x.route.op, x.protocol)
	if e.Code == internalFailure {
		x.cause = err
	}
	x.record.Code, x.record.Message = e.Code, e.Message
	if x.answer.status != 0 {
		x.cause = err // the answer is half written; the client sees it cut off
		return
	}
	if x.route.op == nil {
		wire.EncodeError(&x.answer, x.protocol, e, x.record.ID)
		return
	}
	x.route.op.EncodeError(&x.answer, x.protocol, e, x.record.ID)
}

// errEnded is the answer when the client went away, which reads it no more, or the server stops.
var errEnded = aws.Errorf("ServiceUnavailable", 503, "The request ended before it was answered. Please try again.")

const internalFailure = "InternalFailure"

// asError is what a client sees of err; op is nil before one is found.
func (g *Gate) asError(err error, op *wire.Operation, p wire.Protocol) *aws.Error {
	var rej *rejection
	if errors.As(err, &rej) {
		var api *wire.API
		if op != nil {
			api = op.API
		}
		return rej.in(p, api)
	}
	return aws.AsError(err)
}

// finish ends an exchange: a panic becomes a 500, the record is kept, the buffers go back.
func (x *exchange) finish() {
	aborted := false
	if p := recover(); p != nil {
		if aborted = p == http.ErrAbortHandler; !aborted {
			x.gate.logPanic(p, slog.String("id", x.record.ID), slog.String("operation", x.route.name()))
			x.fail(errPanic)
		}
	}
	if !x.parked {
		x.record.Status = x.answer.status
		x.gate.keep(&x.record, x.route, x.cause)
	}
	x.gate.inflight.Add(-x.held)
	if cap(x.buf) > smallBody {
		x.buf = nil
	}
	*x = exchange{gate: x.gate, buf: x.buf[:0], canon: x.canon}
	x.gate.pool.Put(x)
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

var errPanic = errors.New("the operation panicked")

func (g *Gate) logPanic(p any, where ...slog.Attr) {
	where = append(where, slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	g.log.LogAttrs(context.Background(), slog.LevelError, "panic", where...)
}
