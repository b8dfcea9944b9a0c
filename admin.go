package fogbank

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fogbank/aws"
	"fogbank/gate"
	"fogbank/parking"
	"fogbank/service/sns"
)

// AdminSocket is the name of the socket in the data directory at which the
// server's own commands reach it; only the user who runs the server may open it.
const AdminSocket = "admin.sock"

// localstackInit is where scripts written for LocalStack expect to be found.
const localstackInit = "/etc/localstack/init"

// Parking returns a lot for the connections of requests that wait for long, to be served by the server that serves
// the cloud: see parking.New. A cloud has one such server.
func (c *Cloud) Parking(ctx context.Context, idle time.Duration) *parking.Lot {
	lot := parking.New(ctx, idle)
	c.lot.Store(lot)
	return lot
}

// ServeHTTP serves our own endpoints below /_fogbank and /_localstack, and everything else through the gate.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	own, ok := strings.CutPrefix(r.URL.Path, "/_fogbank/")
	if !ok {
		own, ok = strings.CutPrefix(r.URL.Path, "/_localstack/")
	}
	if !ok {
		c.gate.ServeHTTP(w, r)
		return
	}
	switch strings.TrimSuffix(own, "/") {
	case "health":
		c.health(w)
	case "init":
		answer(w, c.hooks.report(true))
	case "init/ready":
		answer(w, c.hooks.report(false))
	case "reset", "state/reset":
		c.serveReset(w, r)
	case "outbox":
		if !c.wellKnown.Load() || r.Method != http.MethodGet || !gate.SameOrigin(r) {
			http.NotFound(w, r)
			return
		}
		c.outbox(w, r)
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil && !errors.Is(err, http.ErrHandlerTimeout) {
		return // the client went away
	}
}

// health says what runs: the members tools that wait for port 4566 look for, and our own.
func (c *Cloud) health(w http.ResponseWriter) {
	services := map[string]string{}
	for _, a := range c.apis {
		services[a.Name] = "available"
	}
	isolation := c.isolation.Load()
	if isolation == nil {
		isolation = new("being found out")
	}
	answer(w, map[string]any{"status": "ok", "services": services, "edition": "fogbank", "version": "0", "isolation": isolation})
}

// serveReset empties an account or everything. It exists only while the well-known root key does:
// whoever may sign as root with test/test may do all this anyway.
func (c *Cloud) serveReset(w http.ResponseWriter, r *http.Request) {
	switch {
	case !c.wellKnown.Load():
		http.NotFound(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST to reset", http.StatusMethodNotAllowed)
	case !gate.SameOrigin(r):
		http.Error(w, "requests from other origins are refused", http.StatusForbidden)
	default:
		c.reset(w, r)
	}
}

func (c *Cloud) reset(w http.ResponseWriter, r *http.Request) {
	account := r.URL.Query().Get("account")
	if account != "" && !accountForm.MatchString(account) {
		http.Error(w, "an account is twelve digits", http.StatusBadRequest)
		return
	}
	if err := c.Reset(r.Context(), account); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]string{"status": "reset"})
}

// maxLetters is how many letters of the outbox an answer has.
const maxLetters = 1000

// outbox answers with the letters of an account and region that come after a number: mail, text messages
// and pushes for which there is no relay or gateway. Their links confirm subscriptions, so on the listener it is
// there only while whoever may ask could sign as root anyway.
func (c *Cloud) outbox(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	call := aws.Call{Account: q.Get("account"), Region: q.Get("region")}
	if call.Account == "" {
		call.Account = c.config.Account
	}
	if call.Region == "" {
		call.Region = c.config.Region
	}
	after, err := strconv.ParseUint(q.Get("after"), 10, 64)
	if q.Get("after") == "" {
		err = nil
	}
	if err != nil || !accountForm.MatchString(call.Account) || !regionForm.MatchString(call.Region) {
		http.Error(w, "outbox?account=…&region=…&after=NUMBER", http.StatusBadRequest)
		return
	}
	letters, err := c.services.topics.Outbox(aws.WithCall(r.Context(), &call), after, maxLetters)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"letters": append([]sns.Letter{}, letters...)})
}

// serveAdmin serves the commands of the socket until the world stops.
func (c *Cloud) serveAdmin(dir string) error {
	l, err := listenAdmin(dir)
	if err != nil {
		return fmt.Errorf("the socket for commands: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) {
		record, ok := c.gate.Explain(r.URL.Query().Get("id"))
		if !ok {
			http.Error(w, "no such request among the last ones", http.StatusNotFound)
			return
		}
		answer(w, record)
	})
	mux.HandleFunc("GET /outbox", c.outbox)
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		if !c.wellKnown.Load() {
			http.Error(w, "reset ended with the key test/test", http.StatusForbidden)
			return
		}
		c.reset(w, r)
	})
	mux.HandleFunc("POST /travel", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.URL.Query().Get("by"))
		if err != nil || by <= 0 || !c.wellKnown.Load() {
			http.Error(w, "a positive duration such as 90m, while the key test/test exists", http.StatusBadRequest)
			return
		}
		c.world.Travel(by)
		if lot := c.lot.Load(); lot != nil {
			lot.Wake() // to measure anew how long there is to wait
		}
		answer(w, map[string]time.Time{"now": c.world.Now()})
	})
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		if err := c.Backup(r.URL.Query().Get("to")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, map[string]string{"status": "written"})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	c.world.Go(func(ctx context.Context) {
		stop := context.AfterFunc(ctx, func() { server.Close() })
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("the socket for commands closed", "err", err)
		}
	})
	return nil
}

// listenAdmin makes the socket in dir, which only the user may open.
func listenAdmin(dir string) (net.Listener, error) {
	path := filepath.Join(dir, AdminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	short, done, err := shortDir(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.Listen("unix", filepath.Join(short, AdminSocket))
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// DialAdmin connects to the socket of the server that runs on a data directory.
func DialAdmin(ctx context.Context, dir string) (net.Conn, error) {
	short, done, err := shortDir(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join(short, AdminSocket))
}

// maxSocketPath is the length of the longest path all systems take for a socket: macOS has 104 bytes, with a zero.
const maxSocketPath = 103

// shortDir returns a name of dir that is short enough for a socket's path, and what removes it again.
func shortDir(dir string) (short string, done func(), err error) {
	if len(filepath.Join(dir, AdminSocket)) <= maxSocketPath {
		return dir, func() {}, nil
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	scratch, err := os.MkdirTemp("/tmp", "fogbank-")
	if err != nil {
		return "", nil, err
	}
	short = filepath.Join(scratch, "d")
	if err := os.Symlink(dir, short); err != nil {
		os.RemoveAll(scratch)
		return "", nil, err
	}
	return short, func() { os.RemoveAll(scratch) }, nil
}

// hooks are the scripts run when the server was ready.
type hooks struct {
	mu        sync.Mutex
	completed bool
	scripts   []hook
}

func (h *hooks) add(s hook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scripts = append(h.scripts, s)
}

func (h *hooks) complete() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.completed = true
}

// report is the form tools look for: completed is one truth for a stage, and one by one for all.
func (h *hooks) report(all bool) any {
	h.mu.Lock()
	defer h.mu.Unlock()
	var completed any = h.completed
	if all {
		completed = map[string]bool{"BOOT": true, "START": true, "READY": h.completed, "SHUTDOWN": false}
	}
	return map[string]any{"completed": completed, "scripts": append([]hook{}, h.scripts...)}
}

type hook struct {
	Stage string `json:"stage"`
	Name  string `json:"name"`
	State string `json:"state"` // SUCCESSFUL or ERROR
}

// scripts lists the ready scripts in name order, LocalStack's directory first.
func (c *Cloud) scripts() (list []string) {
	dirs := []string{localstackInit}
	if c.config.InitDir != "" {
		dirs = append(dirs, c.config.InitDir)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "ready.d", "*"))
		if err != nil {
			continue // the pattern has no meta characters of ours; a directory named with some has no scripts
		}
		slices.Sort(files)
		list = append(list, files...)
	}
	return list
}

// Ready runs the init scripts: *.sh with sh, *.py with python3, each with an environment that points AWS clients here.
func (c *Cloud) Ready(ctx context.Context) error {
	var all error
	for _, file := range c.scripts() {
		interpreter := map[string]string{".sh": "sh", ".py": "python3"}[filepath.Ext(file)]
		if interpreter == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, interpreter, file)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+c.config.Endpoint(), "AWS_REGION="+c.config.Region, "AWS_DEFAULT_REGION="+c.config.Region)
		if c.wellKnown.Load() {
			cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
		}
		out, err := cmd.CombinedOutput()
		state := "SUCCESSFUL"
		if err != nil {
			state = "ERROR"
			all = errors.Join(all, fmt.Errorf("%s: %w: %s", file, err, out[max(0, len(out)-1000):]))
		}
		c.hooks.add(hook{"READY", filepath.Base(file), state})
		c.log.Info("init script", "file", file, "state", state)
	}
	c.hooks.complete()
	return all
}
