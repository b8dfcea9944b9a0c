package compute

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// An environment's network is a namespace with nothing in it but a loopback interface. The cell makes sockets in it
// and hands them to the server, which listens on them: a socket stays in the network it was made in. So whatever the
// function connects to is the server, and there is neither an interface nor a route to anything else.

// cellSockets is how many sockets a cell hands out: for the Runtime API, the endpoint and the proxy.
const cellSockets = 3

// handOut brings the loopback interface up and sends new sockets over the description's descriptor.
func handOut(to int) error {
	fds := make([]int, 0, cellSockets)
	defer func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}()
	for range cellSockets {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		fds = append(fds, fd)
	}
	up := interfaceRequest("lo")
	*(*uint16)(unsafe.Pointer(&up[16])) = syscall.IFF_UP | syscall.IFF_RUNNING
	if err := interfaceIoctl(fds[0], syscall.SIOCSIFFLAGS, &up); err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	return syscall.Sendmsg(to, []byte{cellSockets}, syscall.UnixRights(fds...), nil, 0)
}

// interfaceRequest is the kernel's struct ifreq for the interface.
func interfaceRequest(name string) (r [40]byte) {
	copy(r[:15], name)
	return r
}

func interfaceIoctl(fd int, request uintptr, r *[40]byte) error {
	if _, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(r))); e != 0 {
		return e
	}
	return nil
}

// ownAddress makes an IPv4 address the environment's own, for an endpoint that is not on loopback.
func ownAddress(ip string) error {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	r := interfaceRequest("lo:0")
	*(*uint16)(unsafe.Pointer(&r[16])) = syscall.AF_INET
	four := a.As4()
	copy(r[20:], four[:])
	return interfaceIoctl(fd, syscall.SIOCSIFADDR, &r)
}

// take receives the sockets the cell hands out.
func (b *blank) take() (fds []int, err error) {
	var one [1]byte
	control := make([]byte, syscall.CmsgSpace(4*cellSockets))
	_, n, _, _, err := b.in.ReadMsgUnix(one[:], control)
	if err != nil {
		return nil, fmt.Errorf("compute: the network of a cell: %w", err)
	}
	messages, err := syscall.ParseSocketControlMessage(control[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) == 1 {
		fds, err = syscall.ParseUnixRights(&messages[0])
	}
	if err == nil && len(fds) != cellSockets {
		err = errors.New("compute: a cell ended before it had a network")
	}
	return fds, err
}

// doors opens the doors in the cell's network.
func (b *blank) doors(p *Process, s site) (*doors, error) {
	ds := new(doors)
	if !b.isolation.network {
		var err error
		ds.api, err = net.Listen("tcp4", "127.0.0.1:0")
		return ds, err
	}
	fds, err := b.take()
	if err != nil {
		return nil, err
	}
	api, proxy := s.ports()
	listen := func(i int, address [4]byte, port int) (l net.Listener) {
		fd := fds[i]
		fds[i] = -1
		if err == nil {
			l, err = listenOn(fd, address, port)
		} else {
			syscall.Close(fd)
		}
		return l
	}
	loopback := [4]byte{127, 0, 0, 1}
	ds.api = listen(0, loopback, api)
	if s.port != 0 {
		if l := listen(1, [4]byte{}, s.port); err == nil {
			ds.endpoint = newDoor(l, s.forward)
		}
	}
	if p.o.Outbound != nil {
		if l := listen(2, loopback, proxy); err == nil {
			ds.proxy = newDoor(l, p.serveProxy)
		}
	}
	for _, fd := range fds {
		if fd >= 0 {
			syscall.Close(fd)
		}
	}
	if err != nil {
		ds.close()
		return nil, err
	}
	return ds, nil
}

// listenOn makes the socket a listener and takes it over.
func listenOn(fd int, address [4]byte, port int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "door")
	defer f.Close()
	err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: address, Port: port})
	if err == nil {
		err = syscall.Listen(fd, doorLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("compute: port %d of an environment: %w", port, err)
	}
	return net.FileListener(f)
}

// hosts is the environment's /etc/hosts.
func (c *cell) hosts() string {
	text := "127.0.0.1 localhost localhost.localdomain\n"
	if c.Host != "" {
		text += "127.0.0.1 " + c.Host + "\n"
	}
	return text
}

// proxyURL is where the environment finds its way out; "" when there is none.
func (ds *doors) proxyURL() string {
	if ds.proxy == nil {
		return ""
	}
	return "http://127.0.0.1:" + strconv.Itoa(ds.proxy.listener.Addr().(*net.TCPAddr).Port)
}
