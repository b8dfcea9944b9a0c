package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attempt tries what a function must not be able to do; nil means that it was able to.
func attempt(name, arg string) (any, error) {
	if f, ok := escapes[name]; ok {
		return "done", f(arg)
	}
	if f, ok := escapesHere[name]; ok {
		return "done", f()
	}
	switch name {
	case "get":
		r, err := http.Get(arg)
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil && r.StatusCode != 200 {
			err = fmt.Errorf("status %d", r.StatusCode)
		}
		return string(b), err
	case "lookup":
		return net.LookupHost(arg)
	case "interfaces":
		return net.InterfaceAddrs()
	case "kill":
		pid, err := strconv.Atoi(arg)
		if err != nil {
			return nil, err
		}
		return "killed", syscall.Kill(pid, syscall.SIGKILL)
	case "fill":
		return fill(arg)
	case "forks":
		return forks(arg)
	case "descriptors":
		return descriptors()
	case "inotify":
		return watchers()
	case "fork bomb":
		return "survived", exec.Command("/bin/sh", "-c", "bomb() { bomb | bomb & }; bomb; sleep 60").Run()
	case "memory bomb":
		return memoryBomb()
	case "hold":
		return hold(arg)
	case "background":
		go count(arg)
		return "started", nil
	case "run":
		f := strings.Fields(arg)
		out, err := exec.Command(f[0], f[1:]...).CombinedOutput()
		return string(out), err
	}
	return nil, fmt.Errorf("no such attempt: %s", name)
}

// fill writes a file until it fails and answers how many MB there were; 64 at most.
func fill(name string) (any, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer os.Remove(name)
	defer f.Close()
	block := make([]byte, 1<<20)
	for n := range 64 {
		if _, err := f.Write(block); err != nil {
			return n, nil
		}
	}
	return 64, nil
}

// forks starts processes until that fails, ends them and answers how many there were.
func forks(limit string) (any, error) {
	most, err := strconv.Atoi(limit)
	if err != nil {
		return nil, err
	}
	var list []*exec.Cmd
	for len(list) < most {
		c := exec.Command("/bin/sleep", "60")
		if c.Start() != nil {
			break
		}
		list = append(list, c)
	}
	for _, c := range list {
		c.Process.Kill()
	}
	for _, c := range list {
		c.Wait()
	}
	return len(list), nil
}

// descriptors opens files until that fails and answers how many there were.
func descriptors() (any, error) {
	var list []*os.File
	for len(list) < 1<<17 {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		list = append(list, f)
	}
	for _, f := range list {
		f.Close()
	}
	return len(list), nil
}

// memoryBomb lets eight processes take half a gigabyte each, and keeps them.
func memoryBomb() (any, error) {
	var list []*exec.Cmd
	for range 8 {
		c := exec.Command("/proc/self/exe", "try", "hold:512 60s")
		if err := c.Start(); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	for _, c := range list {
		c.Wait()
	}
	return "survived", nil
}

// hold takes memory until it has so many MB, keeps them for a time, and answers how many it has: "MB TIME".
func hold(arg string) (any, error) {
	var want int
	var text string
	if _, err := fmt.Sscan(arg, &want, &text); err != nil {
		return nil, err
	}
	keep, err := time.ParseDuration(text)
	if err != nil {
		return nil, err
	}
	for {
		have, err := anonymousKB()
		if err != nil {
			return nil, err
		}
		more := min(want<<10-have, 8<<10) // KB
		if more < 4 {
			time.Sleep(keep)
			return have >> 10, nil
		}
		b, err := unix.Mmap(-1, 0, more<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
}

// anonymousKB is the memory this process has, in KB, without files.
func anonymousKB() (int, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	var kb int
	_, err = fmt.Sscan(rest, &kb)
	return kb, err
}

// watchers makes instances of inotify until that fails, keeps them, and answers how many there were.
func watchers() (any, error) {
	for n := range 1 << 12 {
		if _, err := unix.InotifyInit1(0); err != nil {
			return n, nil
		}
	}
	return 1 << 12, nil
}

// count writes a growing number into a file, on and on.
func count(name string) {
	for n := 0; ; n++ {
		os.WriteFile(name+".new", []byte(strconv.Itoa(n)), 0o644)
		os.Rename(name+".new", name)
		time.Sleep(time.Millisecond)
	}
}
