//go:build !unix

package parking

import (
	"net"
	"net/http"
	"syscall"
)

// canWatch tells whether readable works here.
const canWatch = false

func socketOf(net.Conn) syscall.Conn { return nil }

func readable(net.Conn) error { return http.ErrNotSupported }
