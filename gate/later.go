package gate

import (
	"context"
	"net/http"
	"time"

	"fogbank/aws"
	"fogbank/parking"
	"fogbank/wire"
)

// shortWait is how long a request that waits is held like any other. Nearly all answers of a busy queue come
// within it; parking costs more than it saves on those.
const shortWait = time.Second

// unfinished is an operation that waits, with whose it is.
type unfinished struct {
	aws.Later
	call  *aws.Call
	audit func(ctx context.Context, out any, err error) // told how it ended, if it is not nil
}

// Resume implements aws.Later.
func (u *unfinished) Resume(ctx context.Context) (any, error) {
	out, err := u.Later.Resume(aws.WithCall(ctx, u.call))
	if _, ok := err.(aws.Later); ok {
		return nil, u
	}
	if u.audit != nil {
		u.audit(ctx, out, err)
	}
	return out, err
}

// await waits for what an operation returns in the end; only for shortWait when the rest may be waited for elsewhere.
func (g *Gate) await(ctx context.Context, later aws.Later, short bool) (any, error) {
	end := g.world.Now().Add(g.shortWait)
	for {
		until := later.Until()
		if short && until.After(end) {
			until = end
		}
		g.world.WaitUntil(ctx, later.Changed(), until)
		out, err := later.Resume(ctx)
		again, ok := err.(aws.Later)
		if !ok || short && !g.world.Now().Before(end) {
			return out, err
		}
		later = again
	}
}

// await waits for what a request's operation returns in the end, or leaves the request in the parking lot.
func (x *exchange) await(later aws.Later) (any, error) {
	lot := parking.For(x.r)
	out, err := x.gate.await(x.r.Context(), later, lot != nil)
	later, ok := err.(aws.Later)
	if !ok {
		return out, err
	}
	if x.parked = lot.Park(x.answer.ResponseWriter, x.r, &guest{x.gate, x.route, x.protocol, x.record, later}); x.parked {
		return nil, later
	}
	return x.gate.await(x.r.Context(), later, false)
}

// guest is a parked request. It implements parking.Guest.
type guest struct {
	gate     *Gate
	route    *route
	protocol wire.Protocol
	record   Record
	later    aws.Later
}

// Until implements parking.Guest.
func (u *guest) Until() time.Time {
	w := u.gate.world
	return w.Wall().Add(u.later.Until().Sub(w.Now()))
}

// Notify implements parking.Guest.
func (u *guest) Notify(wake func()) (undo func()) { return u.later.Notify(wake) }

// Answer implements parking.Guest.
func (u *guest) Answer(ctx context.Context, w http.ResponseWriter) (over bool) {
	x := u.gate.pool.Get().(*exchange)
	x.answer, x.route, x.protocol, x.record = answer{ResponseWriter: w}, u.route, u.protocol, u.record
	defer x.finish()
	over = true // after a panic as well
	out, err := u.later.Resume(ctx)
	if later, ok := err.(aws.Later); ok {
		u.later, x.parked = later, true
		return false
	}
	x.reply(out, err)
	return over
}
