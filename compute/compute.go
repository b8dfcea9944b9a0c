// Package compute runs functions in execution environments.
//
// A Runner starts environments: Process starts real operating system processes that speak
// Lambda's Runtime API over loopback, isolated as far as the host allows; Fake runs Go functions
// in memory, also inside a synctest bubble. A Pool above either keeps environments warm, bounds
// them and writes the START, END and REPORT lines.
//
// An environment of Process on Linux is one process tree of its own: new mount, PID, IPC, UTS and network
// namespaces, a read-only root made of the host's libraries, its own /tmp, an unprivileged user
// that no other environment has, no capabilities, no new privileges, a filter of system calls, and Landlock
// and control groups where there are any. As root the namespaces are made directly; otherwise inside an
// unprivileged user namespace. In its network there is nothing but listeners of this process: the Runtime API, the
// server, and an HTTP proxy to the addresses the operator allows. Between invocations it is frozen. Where namespaces
// cannot be made, and on other systems, nothing is run, unless ProcessOptions.Unsafe says to run a plain process in its
// own process group. Isolation says which of all this holds. The environment's variables are built from nothing.
//
// External extensions, programs of the layers below /opt/extensions, are started before the runtime and are its
// children; see extensions.
//
// Limits: 6 MB a payload, 200 MB a streamed response, of which 32 KB are held, 256 KB a log line, 10 s to initialise
// before that becomes a part of the first invocation, 10 extensions, 2 s to shut them down, 1 MB of telemetry waiting for
// each, 1,024 processes and open files, 128 connections at once to the server and as many out, /tmp of TmpMB with 256
// files for each MB, MemorySize (see Process), Options of Pool.
//
// Locks: an environment's ice may be taken while its mu is held. Pool.mu is never held while an environment's lock is taken, nor the other way round.
package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fogbank/aws"
)

// MaxStream is the most bytes a response may have that is streamed.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
const MaxStream = 200 << 20

// MaxPayload is the most bytes a request or response may have: 6 MiB, and the 100 bytes AWS adds.
const MaxPayload = 6<<20 + 100

// Runner starts environments. Process and Fake are the two forms.
type Runner interface {
	// Start makes an environment for the function and returns before it is initialised.
	Start(ctx context.Context, s Spec) (Env, error)
	// Isolation says in one line how far environments are kept from the host and each other.
	Isolation() string
}

// Env is one execution environment: it runs one invocation at a time.
type Env interface {
	// Invoke runs one invocation. A function that fails, crashes or runs out of time is a Result;
	// an error means the function was not run, or not to its end, through no fault of its own. It calls
	// aws.Settle first: what a function is told is on disk.
	Invoke(ctx context.Context, in Invocation) (Result, error)
	// Ready waits until the environment is initialised. It returns a Result when it cannot be, through the function's
	// fault, and an error when something else is wrong.
	Ready(ctx context.Context) (failed *Result, err error)
	// Alive reports whether the environment can take another invocation.
	Alive() bool
	// Close kills everything in the environment and waits for it.
	Close()
}

// Spec is what an environment is made from.
type Spec struct {
	Function    aws.ARN // unqualified
	Name        string
	Version     string // "$LATEST"
	Runtime     string // "provided.al2023"
	Handler     string
	Code        string   // the name Code.Put gave the deployment package
	Dir         string   // where the code lies, instead of in a package; "" for Code
	Layers      []string // packages of the layers, merged at /opt in this order
	MemoryMB    int
	TmpMB       int
	Timeout     time.Duration
	Variables   map[string]string // the user's
	Region      string
	Endpoint    string // where the function's SDK finds us: "http://127.0.0.1:4566"
	Credentials Credentials
	Expires     time.Time // not used for an invocation beginning later; zero: never
	LogGroup    string
	LogStream   string
	// Initialization is AWS_LAMBDA_INITIALIZATION_TYPE: "" for "on-demand", or ProvisionedConcurrency.
	Initialization string
	// Log takes one line that was printed, without its line end. It must not block.
	Log func(at time.Time, line string)
	// Tell takes what Lambda itself tells; nil: its lines go to Log. It must not block.
	Tell func(f Fact)
}

// ProvisionedConcurrency is how an environment is initialised that is kept ready before there is an invocation for it.
const ProvisionedConcurrency = "provisioned-concurrency"

// Credentials are the execution role's.
type Credentials struct{ KeyID, Secret, Token string }

// Invocation is one event for a function.
type Invocation struct {
	ID            string // request id
	ARN           string // as invoked, with its qualifier
	Payload       []byte
	Trace         string // X-Ray header, "Root=1-…"
	ClientContext string // JSON, not base64
	Identity      string // Cognito identity, JSON
	// Stream is given the response as the function writes it, in place of Result.Payload; nil: it is not streamed.
	Stream Stream
}

// Stream takes a response that a function has only begun to write. When Env.Invoke returns before the response has
// ended, because of a timeout, a call may be waiting, or come still: it is of no effect.
type Stream interface {
	// Begin comes first, with the media type of what will follow.
	Begin(contentType string)
	// Write takes a chunk, which is the function's again when it returns; as long as it waits the function does.
	// Its error is not looked at: functions run to their end when nobody listens any more.
	io.Writer
}

// Result is how an invocation ended.
type Result struct {
	Payload []byte
	// Failed is set when Payload describes an error: X-Amz-Function-Error: Unhandled.
	Failed bool
	Status string // "", "error" or "timeout", as in REPORT
	Type   string // the error's type: "Runtime.ExitError"
	// Midstream is set when the function itself reported the error behind a response it had begun.
	Midstream bool
	Duration  time.Duration
	Init      time.Duration // of the initialisation this invocation waited for; 0 when warm
	MemoryMB  int           // most used so far
	Produced  int           // bytes of the response
	Tail      []byte        // the last 4 KB of log, set by Pool

	uninitialised bool // the function could not be initialised
}

// Failure makes the Result of an error that Lambda, not the function, describes.
func Failure(status, kind, format string, args ...any) Result {
	msg := fmt.Sprintf(format, args...)
	b := append([]byte(`{"errorType":`), quote(kind)...)
	b = append(append(append(b, `,"errorMessage":`...), quote(msg)...), '}')
	return Result{Payload: b, Failed: true, Status: status, Type: kind}
}

// ErrNotTaken is returned by Env.Invoke when the runtime never asked for the invocation: it may
// safely be given to another environment.
var ErrNotTaken = errors.New("compute: the environment did not take the invocation")

// ErrClosed is returned when an environment was closed under an invocation.
var ErrClosed = errors.New("compute: the environment was closed")

// Throttled is the error of Pool.Invoke when no environment may be started.
type Throttled struct{ Reason string }

func (t Throttled) Error() string { return "compute: throttled: " + t.Reason }

// The reasons of Throttled, as Lambda names them.
const (
	AccountLimit  = "ConcurrentInvocationLimitExceeded"
	FunctionLimit = "ReservedFunctionConcurrentInvocationLimitExceeded"
)
