//go:build !linux

package compute

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// blank is a process ready to become an environment; there are none on this system.
type blank struct{}

func (b *blank) discard() {}

func (p *Process) prepare() {}

func (e *environment) startCell(program, string, places) (*os.File, error) {
	return nil, errors.New("compute: no sandbox on " + runtime.GOOS)
}

func (p *Process) findIsolation() isolation {
	return isolation{mode: modePlain, reason: "there is no sandbox for " + runtime.GOOS}
}

func plainAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// reap waits until the process has ended and kills what is left of its group.
func (c *child) reap() (*os.ProcessState, error) {
	state, err := c.process.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	syscall.Kill(-c.process.Pid, syscall.SIGKILL)
	c.reaped = true
	return state, err
}

// group is the control groups of an environment; there are none on this system.
type group struct{}

func (g *group) remove() {}

// hierarchies are control groups; there are none on this system.
type hierarchies struct{}

func prepareHierarchies() hierarchies { return hierarchies{} }

func (hierarchies) remove() {}

func (hierarchies) describe() string { return "no control groups" }

// freeze does nothing: functions are not frozen on this system.
func (c *child) freeze(bool) {}

// share does nothing: processors are not shared out on this system.
func (c *child) share(int) error { return nil }

func (c *child) memoryMB() int { return residentMB(c.process.Pid) }

// residentMB is not known on this system.
func residentMB(int) int { return 0 }

// peakMB is not known on this system.
func peakMB(int) int { return 0 }
