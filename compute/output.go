package compute

import (
	"bytes"
	"io"
	"os"
	"sync"
	"syscall"
)

// maxLine is CloudWatch Logs' limit of one event, in bytes; longer lines are split.
const maxLine = 256 << 10

// output reads what an environment prints, standard output and error in the order written, and passes
// it on by lines.
type output struct {
	read *os.File
	line func(string)

	mu   sync.Mutex
	rest []byte // an unfinished line
	buf  []byte
}

func newOutput(read *os.File, line func(string)) *output {
	return &output{read: read, line: line, buf: make([]byte, 8<<10)}
}

// follow passes lines on until everything that may print has ended.
func (o *output) follow() {
	raw, err := o.read.SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool { return o.collect(fd) == io.EOF })
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rest) > 0 {
		o.line(string(o.rest))
		o.rest = nil
	}
}

// drain passes on what has been printed by now.
func (o *output) drain() {
	if raw, err := o.read.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { o.collect(fd) })
	}
}

// collect reads from fd, which does not block, until there is no more; it returns io.EOF at the end.
func (o *output) collect(fd uintptr) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		n, err := syscall.Read(int(fd), o.buf)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return nil
		}
		if n <= 0 || err != nil {
			return io.EOF
		}
		o.split(o.buf[:n])
	}
}

// split cuts b, after what is left from before, into lines.
func (o *output) split(b []byte) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		o.rest = append(o.rest, b[:i]...)
		o.line(string(bytes.TrimSuffix(o.rest, []byte("\r"))))
		o.rest, b = o.rest[:0], b[i+1:]
	}
	o.rest = append(o.rest, b...)
	for len(o.rest) >= maxLine {
		o.line(string(o.rest[:maxLine]))
		o.rest = append(o.rest[:0], o.rest[maxLine:]...)
	}
}
