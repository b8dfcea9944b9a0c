package compute

import (
	"encoding/json"
	"sync"
	"time"
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

// journal is an environment's log: lines and facts go on to who asked for them, the last 4 KB of the current
// invocation are kept as text.
type journal struct {
	line func(time.Time, string)
	fact func(Fact)

	mu   sync.Mutex
	tail []byte
}

// newJournal puts a journal before where the specification sends lines and facts. Facts that are sent nowhere become
// lines.
func newJournal(s *Spec) *journal {
	j := &journal{line: s.Log, fact: s.Tell}
	s.Log, s.Tell = j.write, j.tell
	return j
}

// write logs one line.
func (j *journal) write(at time.Time, line string) {
	if j.line != nil {
		j.line(at, line)
	}
	j.keep(line)
}

// tell logs a fact.
func (j *journal) tell(f Fact) {
	lines := f.Record.Lines()
	if j.fact != nil {
		j.fact(f)
	} else if j.line != nil {
		for _, line := range lines {
			j.line(f.At, line)
		}
	}
	for _, line := range lines {
		j.keep(line)
	}
}

// keep adds a line to the tail.
func (j *journal) keep(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tail = append(append(j.tail, line...), '\n')
	if len(j.tail) > 4*tailBytes {
		j.tail = append(j.tail[:0], j.tail[len(j.tail)-tailBytes:]...)
	}
}

// begin forgets the tail of the invocation before.
func (j *journal) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tail = j.tail[:0]
}

// end returns the tail.
func (j *journal) end() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]byte(nil), j.tail[max(0, len(j.tail)-tailBytes):]...)
}
