package compute

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// child is the process an environment consists of, with those it started.
type child struct {
	process *os.Process
	group   *group   // its control groups; nil without
	status  *os.File // what the cell complains of, empty once the runtime has started

	mu     sync.Mutex
	reaped bool
	said   string
}

func (c *child) pid() int { return c.process.Pid }

// kill kills the whole process group, as long as its number is ours.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		syscall.Kill(-c.process.Pid, syscall.SIGKILL)
	}
}

// halt stops the process, and leaves what it has started alone.
func (c *child) halt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		syscall.Kill(c.process.Pid, syscall.SIGSTOP)
	}
}

// wait waits for the process, kills what it leaves behind, and says how it ended.
func (c *child) wait() string {
	state, err := c.reap()
	c.group.remove()
	if c.status != nil {
		b, _ := io.ReadAll(io.LimitReader(c.status, 4096)) // the writer has ended: all it said is there
		c.status.Close()
		c.said = string(b)
	}
	if err != nil {
		return err.Error()
	}
	return state.String()
}

// complaint is why the process did not become the runtime; "" if it did. Only after wait.
func (c *child) complaint() string { return c.said }

// launch starts the environment's process and what listens to it.
func (e *environment) launch(task string) error {
	p := e.p
	mode := p.probe().mode
	at := places{task: taskRoot, runtime: runtimeDir, opt: optDir, tmp: "/tmp"}
	var own string // a directory of this environment's own
	if mode == modePlain {
		own = filepath.Join(p.dir, "env-"+strconv.Itoa(int(p.serial.Add(1))))
		if err := os.MkdirAll(own, 0o700); err != nil {
			return err
		}
		at = places{task: task, runtime: p.runtime, opt: cmp.Or(e.opt, optDir), tmp: own}
	}
	g, err := p.program(e.spec.Runtime, at.task, at.runtime)
	if err != nil {
		return err
	}
	if e.fromLayer {
		g.argv = []string{at.opt + "/bootstrap"}
	}
	g.argv = slices.Insert(g.argv, 1, heapFlags(e.spec)...)
	var read *os.File
	if mode == modePlain {
		e.ext.programs = nil // there is nothing to start them in
		read, err = e.startPlain(g, at)
	} else {
		read, err = e.startCell(g, task, at)
	}
	if err != nil {
		os.RemoveAll(own)
		return fmt.Errorf("compute: starting %s: %w", e.spec.Function, err)
	}
	e.out = newOutput(read, func(line string) { e.print("function", line) })
	e.announce(mode, g.notice)
	e.follow(own)
	return nil
}

// heapFlags keep the heap of Java and Node.js within the memory of the function, so that they collect garbage in time. V8
// heeds this flag at the start only, and then compiles the libraries it comes with again, which takes as long as the rest of
// the start. So functions with little memory go without: there the bootstrap makes the heap grow by small steps.
func heapFlags(s Spec) []string {
	switch {
	case strings.HasPrefix(s.Runtime, "java"):
		return []string{"-Xmx" + strconv.Itoa(max(s.MemoryMB*4/5-32, 64)) + "m"} // what is not heap is some 30 MB
	case strings.HasPrefix(s.Runtime, "nodejs") && s.MemoryMB > smallHeap:
		return []string{"--max-old-space-size=" + strconv.Itoa(s.MemoryMB*9/10)}
	}
	return nil
}

// smallHeap is the MemorySize up to which it costs little to look often for garbage.
const smallHeap = 512

// announce writes into the log what a reader must know about this environment.
func (e *environment) announce(mode, notice string) {
	if mode == modePlain {
		e.out.line("fogbank: WARNING: this function is not isolated: " + e.p.Isolation())
	}
	if notice != "" {
		e.out.line(notice)
	}
}

// follow serves the environment until its process ends, then removes its directory.
func (e *environment) follow(own string) {
	go e.serveAPI(e.doors.api)
	e.doors.open()
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		e.out.follow()
	}()
	go func() {
		status := e.child.wait()
		e.exited(status)
		if own != "" {
			os.RemoveAll(own)
		}
		<-printed
		e.out.read.Close()
	}()
}

// entryError is a program that cannot be executed, which is the function's fault.
type entryError struct{ err error }

func (e *entryError) Error() string { return e.err.Error() }

// startPlain starts the process without isolation.
func (e *environment) startPlain(g program, at places) (*os.File, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c, read, err := spawnPlain(g.argv, environ(e.spec, l.Addr().String(), at), at.task)
	if err != nil {
		l.Close()
		return nil, err
	}
	e.child, e.doors = c, &doors{api: l}
	return read, nil
}

// spawnPlain starts a process without isolation.
func spawnPlain(argv, env []string, dir string) (*child, *os.File, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	read, out, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	process, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: dir, Env: env, Files: []*os.File{null, out, out}, Sys: plainAttr(),
	})
	if err != nil {
		read.Close()
		return nil, nil, &entryError{err}
	}
	return &child{process: process}, read, nil
}
