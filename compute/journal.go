package compute

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"fogbank/world"
)

// tailBytes is how much of the log an Invoke with LogType Tail returns.
const tailBytes = 4096

// quote is s as a JSON string.
func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("compute: a string that is not JSON: " + err.Error())
	}
	return b
}

// journal is an environment's log: every line goes to the sink, the last 4 KB of the current
// invocation are kept.
type journal struct {
	world *world.World
	sink  func(time.Time, string)

	mu   sync.Mutex
	tail []byte
}

// write logs one line.
func (j *journal) write(line string) {
	if j.sink != nil {
		j.sink(j.world.Now(), line)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tail = append(append(j.tail, line...), '\n')
	if len(j.tail) > 4*tailBytes {
		j.tail = append(j.tail[:0], j.tail[len(j.tail)-tailBytes:]...)
	}
}

// begin forgets the tail of the invocation before.
func (j *journal) begin(id, version string) {
	j.mu.Lock()
	j.tail = j.tail[:0]
	j.mu.Unlock()
	j.write("START RequestId: " + id + " Version: " + version)
}

// end writes the END and REPORT lines and returns the tail.
func (j *journal) end(id string, memoryMB int, r Result) []byte {
	j.write("END RequestId: " + id)
	j.write(reportLine(id, memoryMB, r))
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.tail[max(0, len(j.tail)-tailBytes):]
	return append([]byte(nil), t...)
}

// reportLine is the REPORT line: durations in ms, the billed one rounded up to a whole ms and, since
// the initialisation is billed too, including it.
func reportLine(id string, memoryMB int, r Result) string {
	var b strings.Builder
	billed := (r.Duration + r.Init + time.Millisecond - 1) / time.Millisecond
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %s ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		id, millis(r.Duration), max(billed, 1), memoryMB, r.MemoryMB)
	if r.Init > 0 {
		fmt.Fprintf(&b, "Init Duration: %s ms\t", millis(r.Init))
	}
	if r.Status != "" {
		fmt.Fprintf(&b, "Status: %s\t", r.Status)
		if r.Status == "error" {
			fmt.Fprintf(&b, "Error Type: %s\t", r.Type)
		}
	}
	return b.String()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}
