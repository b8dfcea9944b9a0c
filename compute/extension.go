package compute

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxExtensions is how many extensions may register in an environment.
	maxExtensions = 10
	// shutdownLimit is how long extensions have to end. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
	shutdownLimit = 2 * time.Second
	// maxRegistration is the most bytes of what an extension says of itself.
	maxRegistration = 64 << 10

	extensionPrefix = "/2020-01-01/extension/"
	extensionHeader = "Lambda-Extension-Identifier"
)

// Why an environment is shut down, as extensions are told.
const (
	spinDown = "SPINDOWN"
	timeout  = "TIMEOUT"
	failure  = "FAILURE"
)

// extensions are those of an environment. External ones are programs below /opt/extensions, started before the
// runtime, which begins when all of them have registered; internal ones register from within the runtime.
type extensions struct {
	e        *environment
	programs []string // the names of the external ones
	begin    func()   // starts the runtime
	abandon  func()   // lets go of what begin needs

	mu      sync.Mutex
	list    []*extension
	started bool // the runtime has
	closing bool // the environment is being shut down
	ended   int  // programs that have ended
	outs    []*output
	sockets []int         // in its network, not yet connected
	turn    chan struct{} // closed, and made anew, when an extension has changed
}

// extension is one that has registered.
type extension struct {
	name, id         string
	internal         bool
	invokes, closing bool    // what it has registered for
	events           []event // it has not taken yet
	waiting          bool    // it asks for its next event
	gone             string  // the error it reported
}

// findExtensions lists the programs of external extensions in a tree of layers.
func findExtensions(opt string) []string {
	if opt == "" {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(opt, "extensions"))
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

func newExtensions(e *environment, programs []string) *extensions {
	return &extensions{e: e, programs: programs, abandon: func() {}, turn: make(chan struct{})}
}

// changed wakes whoever waits for extensions; x.mu is held.
func (x *extensions) changed() {
	close(x.turn)
	x.turn = make(chan struct{})
}

// until waits for a condition, which is looked at with x.mu held, or for an end; it reports whether it came true.
func (x *extensions) until(is func() bool, ends ...<-chan struct{}) bool {
	for {
		x.mu.Lock()
		ok, turn := is(), x.turn
		x.mu.Unlock()
		if ok {
			return true
		}
		ends := append(ends, nil, nil)
		select {
		case <-turn:
		case <-ends[0]:
			return false
		case <-ends[1]:
			return false
		}
	}
}

// idle reports whether every extension waits for its next event; x.mu is held.
func (x *extensions) idle() bool {
	return x.registered() && !slices.ContainsFunc(x.list, func(n *extension) bool { return !n.waiting || len(n.events) > 0 })
}

// registered reports whether all external extensions are; x.mu is held.
func (x *extensions) registered() bool {
	n := 0
	for _, ext := range x.list {
		if !ext.internal {
			n++
		}
	}
	return n == len(x.programs)
}

// resting is idle for those who do not hold x.mu.
func (x *extensions) resting() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.idle()
}

// serve is the Extensions API. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
func (x *extensions) serve(w http.ResponseWriter, r *http.Request, path string) {
	switch {
	case path == "register" && r.Method == http.MethodPost:
		x.serveRegister(w, r)
	case path == "event/next" && r.Method == http.MethodGet:
		x.serveNext(w, r)
	case (path == "init/error" || path == "exit/error") && r.Method == http.MethodPost:
		x.serveError(w, r, path)
	default:
		refuse(w, 404, "NotFound", "There is no such resource.")
	}
}

// serveRegister takes an extension in.
func (x *extensions) serveRegister(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Events []string `json:"events"`
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRegistration))
	if err != nil || len(b) > 0 && json.Unmarshal(b, &in) != nil {
		refuse(w, 400, "InvalidRequestFormat", "The request's body is not the JSON of a registration.")
		return
	}
	ext := &extension{name: r.Header.Get("Lambda-Extension-Name"), id: x.e.p.o.World.UUID()}
	if status, kind, message := x.register(ext, in.Events); status != 0 {
		refuse(w, status, kind, message)
		return
	}
	x.e.tell(factExtension, Extension{ext.name, "Ready", in.Events, ""})
	answer := map[string]string{"functionName": x.e.spec.Name, "functionVersion": x.e.spec.Version, "handler": x.e.spec.Handler}
	if strings.Contains(r.Header.Get("Lambda-Extension-Accept-Feature"), "accountId") {
		answer["accountId"] = x.e.spec.Function.Account()
	}
	w.Header().Set(extensionHeader, ext.id)
	answerJSON(w, 200, answer)
}

// register takes an extension in, unless something is wrong with it: then status is not 0.
func (x *extensions) register(ext *extension, events []string) (status int, kind, message string) {
	for _, event := range events {
		switch event {
		case "INVOKE":
			ext.invokes = true
		case "SHUTDOWN":
			ext.closing = true
		default:
			return 400, "Extension.InvalidEventType", "The event " + event + " is neither INVOKE nor SHUTDOWN."
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	ext.internal = !slices.Contains(x.programs, ext.name)
	switch {
	case ext.name == "":
		return 400, "Extension.InvalidExtensionName", "The header Lambda-Extension-Name is missing."
	case slices.ContainsFunc(x.list, func(n *extension) bool { return n.name == ext.name }):
		return 403, "Extension.AlreadyRegistered", "An extension of the name " + ext.name + " has registered."
	case ext.internal && ext.closing:
		return 400, "Extension.InvalidEventType", "Internal extensions cannot register for SHUTDOWN; an external one must use its full file name."
	case ext.internal && x.e.ready():
		return 403, "Extension.RegistrationClosed", "The initialisation is over."
	case len(x.list) == maxExtensions:
		return 403, "Extension.TooManyExtensions", "An environment has at most 10 extensions."
	}
	x.list = append(x.list, ext)
	x.changed()
	if len(x.programs) > 0 && !x.started && x.registered() {
		x.started = true
		x.begin()
	}
	return 0, "", ""
}

// caller is the extension a request comes from; nil when it is none, which the answer then says.
func (x *extensions) caller(w http.ResponseWriter, r *http.Request) *extension {
	id := r.Header.Get(extensionHeader)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ext := range x.list {
		if ext.id == id && ext.gone == "" {
			return ext
		}
	}
	refuse(w, 403, "Extension.UnknownExtensionIdentifier", "There is no extension of this identifier.")
	return nil
}

// serveNext waits for the extension's next event.
func (x *extensions) serveNext(w http.ResponseWriter, r *http.Request) {
	ext := x.caller(w, r)
	if ext == nil {
		return
	}
	x.mu.Lock()
	ext.waiting = true
	x.changed()
	x.mu.Unlock()
	if !x.until(func() bool { return len(ext.events) > 0 }, x.e.dead, r.Context().Done()) {
		return
	}
	x.mu.Lock()
	event := ext.events[0]
	ext.events, ext.waiting = ext.events[1:], false
	x.mu.Unlock()
	w.Header().Set(extensionHeader, ext.id)
	answerJSON(w, 200, event)
}

// serveError takes the error of an extension, which ends the environment.
func (x *extensions) serveError(w http.ResponseWriter, r *http.Request, path string) {
	ext := x.caller(w, r)
	if ext == nil {
		return
	}
	kind := r.Header.Get("Lambda-Extension-Function-Error-Type")
	if kind == "" {
		refuse(w, 400, "Extension.MissingHeader", "The header Lambda-Extension-Function-Error-Type is missing.")
		return
	}
	io.Copy(io.Discard, io.LimitReader(r.Body, maxRegistration)) // it is the extension's to log
	x.mu.Lock()
	ext.gone = kind
	x.changed()
	x.mu.Unlock()
	w.Header().Set(extensionHeader, ext.id)
	answerJSON(w, 202, map[string]string{"status": "OK"})
	what := map[string]string{"init/error": "Extension.InitError", "exit/error": "Extension.ExitError"}[path]
	x.e.failExtension(what, ext.name+": "+kind)
}

// event is what an extension is told next.
type event struct {
	Type     string   `json:"eventType"`
	Deadline int64    `json:"deadlineMs"`
	ID       string   `json:"requestId,omitempty"`
	ARN      string   `json:"invokedFunctionArn,omitempty"`
	Tracing  *Tracing `json:"tracing,omitempty"`
	Reason   string   `json:"shutdownReason,omitempty"`
}

// tell gives an event to the extensions that have registered for it.
func (x *extensions) tell(e event, wants func(*extension) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ext := range x.list {
		if wants(ext) && ext.gone == "" {
			ext.events = append(ext.events, e)
		}
	}
	x.changed()
}

// invoke tells of an invocation.
func (x *extensions) invoke(in Invocation, deadline time.Time) {
	x.tell(event{Type: "INVOKE", Deadline: deadline.UnixMilli(), ID: in.ID, ARN: in.ARN, Tracing: &Tracing{"X-Amzn-Trace-Id", in.Trace}}, func(ext *extension) bool { return ext.invokes })
}

// close tells that the environment is shut down, and waits until the programs have ended, for two seconds at most.
func (x *extensions) close(reason string) {
	if len(x.programs) == 0 {
		return
	}
	x.mu.Lock()
	x.closing = true
	x.mu.Unlock()
	world := x.e.p.o.World
	over := make(chan struct{})
	timer := time.AfterFunc(shutdownLimit, func() { close(over) })
	defer timer.Stop()
	flushed := make(chan struct{})
	go func() {
		x.e.telemetry.flush()
		close(flushed)
	}()
	select {
	case <-flushed:
	case <-over:
	}
	x.tell(event{Type: "SHUTDOWN", Deadline: world.Now().Add(shutdownLimit).UnixMilli(), Reason: reason}, func(ext *extension) bool { return ext.closing })
	x.until(func() bool { return x.ended == len(x.programs) }, x.e.dead, over)
}

// exited is that the output of a program has ended, and so, as far as can be seen, has the program.
func (x *extensions) exited(name string) {
	x.mu.Lock()
	x.ended++
	closing := x.closing
	x.changed()
	x.mu.Unlock()
	if !closing {
		x.e.failExtension("Extension.Crash", name+" has ended")
	}
}

// drain passes on what the programs have printed by now.
func (x *extensions) drain() {
	x.mu.Lock()
	outs := x.outs
	x.mu.Unlock()
	for _, out := range outs {
		out.drain()
	}
}

// line takes a line that an extension printed.
func (x *extensions) line(text string) {
	x.e.print("extension", text)
}

// runtimeOnly are the variables that only the runtime's process has.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
var runtimeOnly = []string{"AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_HANDLER"}

// programEnv is the environment of an extension, made of the runtime's.
func programEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(runtimeOnly, name)
	})
}
