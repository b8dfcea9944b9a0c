package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fogbank"
)

// demoOptions are the flags of "fogbank demo orders".
type demoOptions struct {
	json, keep bool
	data       string
	listen     string
	kills      int
	rate       float64
}

// demo runs the order system: see examples/orders for the system itself.
func demo(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "orders" {
		return errors.New("there is one demo: fogbank demo orders")
	}
	var o demoOptions
	flags := flag.NewFlagSet("fogbank demo orders", flag.ExitOnError)
	flags.BoolVar(&o.json, "json", false, "print JSON lines; the last is the verdict")
	flags.BoolVar(&o.keep, "keep", false, "leave the server running and print how to look around")
	flags.StringVar(&o.data, "data", "", "data directory (default: a new one, removed at the end)")
	flags.StringVar(&o.listen, "listen", "", "address to serve (default 127.0.0.1:4566, or a free port if that is taken)")
	flags.IntVar(&o.kills, "kills", 2, "how often to kill the server on the way")
	flags.Float64Var(&o.rate, "rate", 25, "requests a second")
	flags.Parse(args[1:])
	d, err := newDemo(&o)
	if err != nil {
		return err
	}
	err = d.run(ctx)
	d.clean(ctx, err)
	if err != nil {
		d.screen.failed(err)
	}
	return err
}

// demonstration is a running demo.
type demonstration struct {
	*demoOptions
	fogbank string // this program
	orders  string // the example, built
	source  string // the example's directory
	scratch string
	addr    string
	screen  *screen
	logFile *os.File

	mu     sync.Mutex
	server *exec.Cmd
	killed int
}

func newDemo(o *demoOptions) (*demonstration, error) {
	source, err := filepath.Abs(filepath.Join("examples", "orders"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(source, "go.mod")); err != nil {
		return nil, errors.New("run the demo in a checkout of fogbank: it builds examples/orders there")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "fogbank-demo-")
	if err != nil {
		return nil, err
	}
	d := &demonstration{demoOptions: o, fogbank: self, source: source, scratch: scratch, orders: filepath.Join(scratch, "orders"), screen: newScreen(o.json)}
	if d.data == "" {
		d.data = filepath.Join(scratch, "data")
	}
	if d.logFile, err = os.Create(filepath.Join(scratch, "server.log")); err != nil {
		return nil, err
	}
	if d.addr, err = freeAddress(o.listen); err != nil {
		return nil, err
	}
	if o.keep {
		// The server outlives this process, whose program file may be a temporary one.
		copied := filepath.Join(scratch, "fogbank")
		if err := copyFile(copied, self); err != nil {
			return nil, err
		}
		d.fogbank = copied
	}
	return d, nil
}

// freeAddress returns the address asked for, the usual one, or one with a free port.
func freeAddress(want string) (string, error) {
	if want != "" {
		return want, nil
	}
	for _, addr := range []string{fogbank.DefaultListen, "127.0.0.1:0"} {
		if l, err := net.Listen("tcp", addr); err == nil {
			addr = l.Addr().String()
			return addr, l.Close()
		}
	}
	return "", errors.New("no port to listen on")
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

func (d *demonstration) run(ctx context.Context) error {
	d.screen.say("building the order system (examples/orders)")
	if err := d.command(ctx, "go", "build", "-o", d.orders, ".").Run(); err != nil {
		return fmt.Errorf("go build in examples/orders: %w", err)
	}
	defer func() {
		if !d.keep || ctx.Err() != nil {
			d.stop()
		}
	}()
	if err := d.start(ctx); err != nil {
		return err
	}
	d.screen.say("fogbank runs at http://" + d.addr + ", data in " + d.data)
	d.screen.say("to talk to it:  eval \"$(fogbank env -listen " + d.addr + ")\"")
	state := filepath.Join(d.scratch, "state.json")
	deploy := d.command(ctx, d.orders, "deploy", "-state", state)
	deploy.Stdout = io.Discard
	if err := deploy.Run(); err != nil {
		return fmt.Errorf("deploy (server log: %s): %w", d.logFile.Name(), err)
	}
	verdict, err := d.send(ctx, state)
	if err != nil {
		return err
	}
	verdict["kills"] = d.killed
	d.screen.verdict(verdict)
	if d.keep {
		d.lookAround()
	}
	if verdict["ok"] != true {
		return errors.New("the verdict is no; the server's log is " + d.logFile.Name())
	}
	return nil
}

// command runs a program in the example's directory, as a client of our server.
func (d *demonstration) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = d.source
	c.Env = append(d.environ(), "AWS_ENDPOINT_URL=http://"+d.addr, "AWS_REGION="+fogbank.DefaultRegion, "AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=", "AWS_EC2_METADATA_DISABLED=true", "FUNCTION_GOOS="+runtime.GOOS)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	return c
}

// environ is the environment without what would point our programs at another cloud or configure another server.
func (d *demonstration) environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "FOGBANK_")
	})
}

// start starts the server and waits until it answers.
func (d *demonstration) start(ctx context.Context) error {
	c := exec.Command(d.fogbank, "up", "-data", d.data, "-listen", d.addr, "-log-level", "warn", "-unsafe-functions")
	c.Env, c.Stdout, c.Stderr = d.environ(), d.logFile, d.logFile
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for the demo, which then stops the server
	if err := c.Start(); err != nil {
		return err
	}
	d.mu.Lock()
	d.server = c
	d.mu.Unlock()
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		res, err := http.Get("http://" + d.addr + "/_fogbank/health")
		if err == nil {
			res.Body.Close()
			return nil
		}
		select {
		case err := <-exited:
			return fmt.Errorf("the server ended at once: %v; see %s", err, d.logFile.Name())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("the server does not answer")
}

// crash kills the server as a power cut would and starts it on the same directory.
func (d *demonstration) crash(ctx context.Context) error {
	d.mu.Lock()
	c := d.server
	d.killed++
	d.mu.Unlock()
	if err := c.Process.Kill(); err != nil {
		return err
	}
	begin := time.Now()
	// The port is free once the process is gone; start waits for it by trying.
	for {
		l, err := net.Listen("tcp", d.addr)
		if err == nil {
			l.Close()
			break
		}
		if time.Since(begin) > 10*time.Second {
			return fmt.Errorf("after SIGKILL: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	d.screen.say(fmt.Sprintf("SIGKILL no. %d: the server is back on the same directory after %d ms", d.killed, time.Since(begin).Milliseconds()))
	return nil
}

// send runs the sender, shows its progress and kills the server at its milestones.
func (d *demonstration) send(ctx context.Context, state string) (map[string]any, error) {
	c := d.command(ctx, d.orders, "send", "-json", "-state", state, "-rate", fmt.Sprint(d.rate), "-surges", fmt.Sprint(d.kills))
	c.Stdout = nil
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return d.follow(ctx, c, pipe)
}

func (d *demonstration) follow(ctx context.Context, c *exec.Cmd, pipe io.Reader) (map[string]any, error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	defer c.Process.Kill() // unless it has ended, which is the rule
	crashed := make(chan error, max(d.kills, 1))
	begun := 0
	var verdict map[string]any
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var head struct{ Type string }
		var p progress
		err := json.Unmarshal(lines.Bytes(), &head)
		if err == nil && head.Type == "verdict" {
			err = json.Unmarshal(lines.Bytes(), &verdict)
		} else if err == nil {
			err = json.Unmarshal(lines.Bytes(), &p)
		}
		if err != nil {
			return nil, fmt.Errorf("the sender said %.100q: %w", lines.Text(), err)
		}
		if head.Type == "verdict" {
			continue
		}
		d.screen.progress(lines.Bytes(), &p)
		// A surge of requests begins where the server is to be killed: many are on their way then.
		if begun < d.kills && p.Sent >= p.Requests*(begun+1)/(d.kills+1) {
			begun++
			go func() { crashed <- d.crash(ctx) }()
		}
	}
	err := c.Wait()
	for range begun {
		if e := <-crashed; e != nil {
			return nil, fmt.Errorf("restart: %w", e)
		}
	}
	if verdict == nil {
		return nil, fmt.Errorf("the sender gave no verdict: %w", errors.Join(err, lines.Err()))
	}
	return verdict, nil
}

// stop ends the server politely, then less so.
func (d *demonstration) stop() {
	d.mu.Lock()
	c := d.server
	d.mu.Unlock()
	if c == nil || c.Process.Signal(syscall.SIGTERM) != nil {
		return
	}
	for deadline := time.Now().Add(25 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c.Process.Signal(syscall.Signal(0)) != nil {
			return
		}
	}
	c.Process.Kill()
}

// clean removes what the demo made, unless somebody still wants to look at it.
func (d *demonstration) clean(ctx context.Context, err error) {
	d.logFile.Close()
	if ctx.Err() == nil && (d.keep || err != nil) {
		return
	}
	os.RemoveAll(d.scratch)
}

func (d *demonstration) lookAround() {
	d.screen.say(strings.Join([]string{"the server goes on (process " + fmt.Sprint(d.server.Process.Pid) + "). To look around:",
		"  eval \"$(go run ./cmd/fogbank env -listen " + d.addr + ")\"",
		"  aws dynamodb scan --table-name orders --max-items 3",
		"  aws logs tail /aws/lambda/place-order",
		"  aws sqs get-queue-attributes --queue-url http://" + d.addr + "/" + fogbank.DefaultAccount + "/billing --attribute-names All",
		"  aws lambda list-event-source-mappings",
		"  aws sns list-subscriptions",
		"  kill " + fmt.Sprint(d.server.Process.Pid) + "; rm -r " + d.scratch}, "\n"))
}
