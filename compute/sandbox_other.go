//go:build !linux

package compute

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// Main must be called at the very start of main, or of TestMain; on this system it does nothing.
func Main() {}

// cell describes a sandbox; there is none on this system.
type cell struct{}

func (e *environment) cell(program, string, []string) *cell { return nil }

// blank is a process ready to become an environment; there are none on this system.
type blank struct{}

func (b *blank) discard() {}

func (p *Process) prepare() {}

func (p *Process) startCell(string, *cell) (*child, *os.File, error) {
	return nil, nil, errors.New("compute: no sandbox on " + runtime.GOOS)
}

func (p *Process) findIsolation() isolation {
	return isolation{modePlain, "there is no sandbox for " + runtime.GOOS}
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

// residentMB is not known on this system.
func residentMB(int) int { return 0 }

// peakMB is not known on this system.
func peakMB(int) int { return 0 }
