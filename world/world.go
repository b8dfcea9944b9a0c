// Package world is everything that is not deterministic: the time, chance,
// and background work. Nothing else may read a clock or a random source.
//
// World uses package time underneath, so tests run it inside a synctest
// bubble, where an hour passes as soon as everyone is idle.
package world

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// World is the outside. Call New or Seeded.
type World struct {
	mu     sync.Mutex
	chance *rand.Rand   // nil: cryptographic
	offset atomic.Int64 // nanoseconds; set by Travel
	work   sync.WaitGroup
	ctx    context.Context
	stop   context.CancelFunc
	moved  atomic.Pointer[chan struct{}] // closed by Travel
}

// New returns the real world: cryptographic chance and the wall clock.
func New() *World { return create(nil) }

// Seeded returns a world whose chances, and so its identifiers and secrets, follow from seed: for tests.
func Seeded(seed uint64) *World { return create(rand.New(rand.NewPCG(seed, seed))) }

func create(r *rand.Rand) *World {
	ctx, stop := context.WithCancel(context.Background())
	w := &World{chance: r, ctx: ctx, stop: stop}
	c := make(chan struct{})
	w.moved.Store(&c)
	return w
}

// Now returns the time in UTC, moved by Travel.
func (w *World) Now() time.Time {
	return time.Now().Add(time.Duration(w.offset.Load())).UTC()
}

// Wall returns the time in UTC as the machine has it, not moved by Travel: for judging the clocks of others.
func (w *World) Wall() time.Time { return time.Now().UTC() }

// Start returns a moment for Elapsed, unaffected by Travel.
func (w *World) Start() time.Time { return time.Now() }

// Elapsed returns how long ago start was, by the monotonic clock.
func (w *World) Elapsed(start time.Time) time.Duration { return time.Since(start) }

// Travel moves the clock forward for everyone and wakes whoever waits for a moment.
func (w *World) Travel(d time.Duration) {
	w.offset.Add(int64(d))
	c := make(chan struct{})
	close(*w.moved.Swap(&c))
}

// Read fills p with chance; it never fails.
func (w *World) Read(p []byte) (int, error) {
	if w.chance == nil {
		crand.Read(p)
		return len(p), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var b [8]byte
	for n := 0; n < len(p); {
		binary.LittleEndian.PutUint64(b[:], w.chance.Uint64())
		n += copy(p[n:], b[:])
	}
	return len(p), nil
}

// Uint64 returns chance.
func (w *World) Uint64() uint64 {
	var b [8]byte
	w.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// IntN returns chance in [0, n); n must be positive. The bias is below n/2^64.
func (w *World) IntN(n int) int { return int(w.Uint64() % uint64(n)) }

// Hex returns n random bytes as 2n hexadecimal digits.
func (w *World) Hex(n int) string {
	b := make([]byte, n)
	w.Read(b)
	return hex.EncodeToString(b)
}

// Text returns n letters drawn from alphabet, which has at most 256 single-byte letters.
func (w *World) Text(n int, alphabet string) string {
	b := make([]byte, n)
	w.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

// UUID returns a random UUID (RFC 9562, version 4).
func (w *World) UUID() string {
	var b [16]byte
	w.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Wait blocks until wake is closed or readable, d has passed on the moved clock, or ctx is done, and
// reports whether it was woken. A nil wake never wakes. When Travel moves the
// clock, the rest of d is measured anew.
func (w *World) Wait(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	return w.WaitUntil(ctx, wake, w.Now().Add(d))
}

// WaitUntil is Wait until the moment at.
func (w *World) WaitUntil(ctx context.Context, wake <-chan struct{}, at time.Time) bool {
	for {
		moved := *w.moved.Load()
		d := at.Sub(w.Now())
		if d <= 0 {
			select {
			case <-wake:
				return true
			default:
				return false
			}
		}
		t := time.NewTimer(d)
		select {
		case <-wake:
			t.Stop()
			return true
		case <-ctx.Done():
			t.Stop()
			return false
		case <-moved:
			t.Stop()
		case <-t.C:
			return false
		}
	}
}

// WithTimeout returns a context that ends after d of real (or bubble) time.
func (w *World) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// Go runs f in the background until Stop; its context ends then.
func (w *World) Go(f func(context.Context)) {
	w.work.Go(func() { f(w.ctx) })
}

// Done is closed when Stop begins.
func (w *World) Done() <-chan struct{} { return w.ctx.Done() }

// Stop ends the background work and waits for it.
func (w *World) Stop() { w.stop(); w.work.Wait() }
