// Package server builds the fogbank binary and runs it as a user would, for
// conformance tests and benchmarks.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Binary builds ../cmd/fogbank once and returns its path; FOGBANK_BINARY names one to use instead.
var Binary = sync.OnceValues(func() (string, error) {
	if b := os.Getenv("FOGBANK_BINARY"); b != "" {
		return b, nil
	}
	dir, err := os.MkdirTemp("", "fogbank-conform-")
	if err != nil {
		return "", err
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "fogbank")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "./cmd/fogbank")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/fogbank: %w\n%s", err, out)
	}
	return file, nil
})

// Root returns the repository's root: the nearest directory above with a cmd/fogbank.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "fogbank")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("not inside a checkout of fogbank")
}

// Server is a running fogbank.
type Server struct {
	Addr string
	Data string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
	log  *os.File
}

// Start runs "fogbank up" on a free port with its state in data.
func Start(data string, args ...string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String(), Data: data, args: args}
	l.Close()
	if s.log, err = os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	return s, s.Restart()
}

// Restart starts the server again on the same address and directory.
func (s *Server) Restart() error {
	bin, err := Binary()
	if err != nil {
		return err
	}
	s.cmd = exec.Command(bin, append([]string{"up", "-data", s.Data, "-listen", s.Addr, "-log-level", "warn", "-unsafe-functions"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.done = make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func(c *exec.Cmd, done chan struct{}) { c.Wait(); close(done) }(s.cmd, s.done)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		res, err := http.Get(s.URL() + "/_fogbank/health")
		if err == nil {
			res.Body.Close()
			return nil
		}
		select {
		case <-s.done:
			b, _ := os.ReadFile(s.log.Name())
			return fmt.Errorf("the server ended: %s", b[max(0, len(b)-2000):])
		case <-time.After(time.Millisecond):
		}
	}
	return errors.New("the server does not answer")
}

// URL is the endpoint.
func (s *Server) URL() string { return "http://" + s.Addr }

// PID is the number of the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// Stop ends the server with SIGTERM and waits.
func (s *Server) Stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.done
	s.log.Close()
}

// Command runs one of the commands that talk to the running server, such as "travel 1h".
func (s *Server) Command(ctx context.Context, name string, args ...string) error {
	bin, err := Binary()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, bin, append([]string{name, "-data", s.Data}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Log returns what the server wrote so far.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.log.Name())
	return string(b)
}

// Memory returns the server's resident memory and the private part of it in bytes, its functions left out.
// The rest is pages of the program's file, of which the kernel maps more or fewer at its discretion.
func (s *Server) Memory() (resident, private int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		kb, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		switch f[0] {
		case "VmRSS:":
			resident = kb << 10
		case "RssAnon:":
			private = kb << 10
		}
	}
	if resident == 0 {
		return 0, 0, errors.New("this system does not tell")
	}
	return resident, private, nil
}

// CPU returns the processor time used so far, in steps of ten milliseconds.
func (s *Server) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces; fields 14 and 15 of the line, user and system time, are 12 and 13 after it.
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("this system does not tell")
	}
	user, err := strconv.ParseInt(f[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

// Config returns an SDK configuration for the server with the given key.
func (s *Server) Config(key, secret, token string) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(s.URL()), Credentials: credentials.NewStaticCredentialsProvider(key, secret, token),
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: DialLocalhost, MaxIdleConnsPerHost: 64}},
		Retryer:    func() aws.Retryer { return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 1 }) }}
}

// Root returns a configuration with the root key test/test.
func (s *Server) Root() aws.Config { return s.Config("test", "test", "") }

// Env returns the environment that points an AWS client at the server.
func (s *Server) Env() []string {
	return append(os.Environ(), "AWS_ENDPOINT_URL="+s.URL(), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
}

// DialLocalhost connects names below "localhost" to the loopback address (RFC 6761, 6.3).
func DialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
