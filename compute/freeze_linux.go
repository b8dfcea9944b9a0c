package compute

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// treeLimit is how many processes of an environment are looked at.
const treeLimit = 4096

// tree lists a process and all below it.
func tree(pid int) []int {
	list := []int{pid}
	for i := 0; i < len(list) && len(list) < treeLimit; i++ {
		dir := "/proc/" + strconv.Itoa(list[i]) + "/task"
		threads, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, t := range threads {
			b, err := os.ReadFile(dir + "/" + t.Name() + "/children")
			if err != nil {
				continue
			}
			for _, f := range strings.Fields(string(b)) {
				if n, err := strconv.Atoi(f); err == nil {
					list = append(list, n)
				}
			}
		}
	}
	return list
}

// stopTree stops a process and all below it. A process may start others while they are being counted: that is looked
// for again until there are none that run.
func stopTree(pid int) {
	stopped := map[int]bool{}
	for more := true; more && len(stopped) < treeLimit; {
		more = false
		for _, p := range tree(pid) {
			if !stopped[p] {
				syscall.Kill(p, syscall.SIGSTOP)
				stopped[p], more = true, true
			}
		}
	}
}

// continueTree lets a process and all below it go on.
func continueTree(pid int) {
	for _, p := range tree(pid) {
		syscall.Kill(p, syscall.SIGCONT)
	}
}

// freeze stops everything in the environment, or lets it go on.
func (c *child) freeze(on bool) {
	if c.group.freeze(on) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.reaped:
	case on:
		stopTree(c.process.Pid)
	default:
		continueTree(c.process.Pid)
	}
}

// memoryMB is the memory in use by the environment's processes, in MB.
func (c *child) memoryMB() int {
	if mb, ok := c.group.anonymousMB(); ok {
		return mb
	}
	return residentMB(c.process.Pid)
}

// share gives the environment, which is initialised, its share of the processors.
func (c *child) share(memoryMB int) error { return c.group.weigh(memoryMB) }
