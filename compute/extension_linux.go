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
	for range socketsEach * len(c.Programs) {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		fds = append(fds, fd)
	}
	if err := syscall.Sendmsg(int(in.Fd()), []byte{byte(len(fds))}, syscall.UnixRights(fds...), nil, 0); err != nil {
		return err
	}
	if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
		os.Exit(0) // the environment was given up
	}
	return nil
}

// dial connects to a port in the environment's network, with a socket that was made in it.
func (x *extensions) dial(port int) (net.Conn, error) {
	x.mu.Lock()
	n := len(x.sockets)
	if n == 0 {
		x.mu.Unlock()
		return nil, errNoSocket
	}
	fd := x.sockets[n-1]
	x.sockets = x.sockets[:n-1]
	x.mu.Unlock()
	f := os.NewFile(uintptr(fd), "telemetry")
	defer f.Close()
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// adopt follows the external extensions that the cell at the other end of the connection starts.
func (x *extensions) adopt(in *net.UnixConn) {
	x.begin = func() {
		in.Write([]byte{1}) // a cell that has ended is seen by its end
		in.Close()
	}
	x.abandon = func() {
		in.Close()
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, fd := range x.sockets {
			syscall.Close(fd)
		}
		x.sockets = nil
	}
	x.e.telemetry.dial = x.dial
	go func() {
		var one [1]byte
		control := make([]byte, syscall.CmsgSpace(4*maxExtensions*(1+socketsEach)))
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
			if i >= len(x.programs) {
				x.mu.Lock()
				x.sockets = append(x.sockets, fd)
				x.mu.Unlock()
				continue
			}
			syscall.SetNonblock(fd, true)
			read := os.NewFile(uintptr(fd), "extension")
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
