package compute

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// startPrograms starts the external extensions, hands out where their output can be read, in their order, and waits for
// leave to become the runtime. They are the runtime's children: nothing of ours stays between.
func (c *cell) startPrograms(in *os.File) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	fds := make([]int, 0, len(c.Programs))
	for _, name := range c.Programs {
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		defer read.Close()
		path := optDir + "/extensions/" + name
		_, err = os.StartProcess(path, []string{path}, &os.ProcAttr{Dir: "/", Env: c.ProgramEnv, Files: []*os.File{null, write, write}})
		write.Close()
		if err != nil {
			return fmt.Errorf("extension: %s: %w", name, err)
		}
		fds = append(fds, int(read.Fd()))
	}
	if err := syscall.Sendmsg(int(in.Fd()), []byte{byte(len(fds))}, syscall.UnixRights(fds...), nil, 0); err != nil {
		return err
	}
	if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
		os.Exit(0) // the environment was given up
	}
	return nil
}

// adopt follows the external extensions that the cell at the other end of the connection starts.
func (x *extensions) adopt(in *net.UnixConn) {
	x.begin = func() {
		in.Write([]byte{1}) // a cell that has ended is seen by its end
		in.Close()
	}
	x.abandon = func() { in.Close() }
	go func() {
		var one [1]byte
		control := make([]byte, syscall.CmsgSpace(4*maxExtensions))
		_, n, _, _, err := in.ReadMsgUnix(one[:], control)
		if err != nil {
			return
		}
		messages, err := syscall.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) != 1 {
			return
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil {
			return
		}
		for i, fd := range fds {
			syscall.CloseOnExec(fd)
			syscall.SetNonblock(fd, true)
			read := os.NewFile(uintptr(fd), "extension")
			if i >= len(x.programs) {
				read.Close()
				continue
			}
			out := newOutput(read, x.line)
			x.mu.Lock()
			x.outs = append(x.outs, out)
			x.mu.Unlock()
			go func() {
				out.follow()
				read.Close()
				x.exited(x.programs[i])
			}()
		}
	}()
}
