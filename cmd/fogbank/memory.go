package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	lookEvery  = 3 * time.Second
	idleBytes  = 256 << 10 // a server that allocates less between two looks has nothing to do
	worthBytes = 4 << 20   // what it must have allocated since memory was given back, to do so again
)

// idleness finds the moments at which a server that worked has nothing more to do.
type idleness struct{ last, given uint64 }

// begins reports whether it is such a moment, by how many bytes were ever allocated.
func (i *idleness) begins(allocated uint64) bool {
	idle := allocated-i.last < idleBytes
	i.last = allocated
	if !idle || allocated-i.given < worthBytes {
		return false
	}
	i.given = allocated
	return true
}

// giveBack returns memory to the system when the server falls idle. The garbage collector alone keeps
// twice of what is in use for what comes next, and runs only when there is garbage enough.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var server idleness
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(allocated)
		if server.begins(allocated[0].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}
