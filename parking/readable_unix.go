//go:build unix

package parking

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
)

// canWatch tells whether readable works here.
const canWatch = true

// socketOf returns the socket below c, or nil.
func socketOf(c net.Conn) syscall.Conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	s, _ := c.(syscall.Conn)
	return s
}

// readable returns nil when there is something to read on c, which it leaves there, and an error when the other
// side has closed it, it was closed here or its read deadline has passed.
func readable(c net.Conn) error {
	socket := socketOf(c)
	if socket == nil {
		return http.ErrNotSupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var fault error
	var b [1]byte
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, fault = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
			if fault != syscall.EINTR {
				return fault != syscall.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return err
	case fault != nil:
		return fault
	case n == 0:
		return io.EOF
	}
	return nil
}
