package compute

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Fact is what Lambda itself tells of an environment, as an event of the Telemetry API. A log in JSON has it as it is,
// one of text as Lines.
// https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
type Fact struct {
	At     time.Time
	Type   string // "platform.start"
	Record Record
}

// Record is what a Fact tells. Each kind is a structure of its own.
type Record interface {
	// Level is how important it is: "DEBUG", "INFO" or "WARN".
	// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
	Level() string
	// Lines are how a log of text has it; most records are in none.
	Lines() []string
}

// The types of facts.
const (
	factInitStart       = "platform.initStart"
	factInitRuntimeDone = "platform.initRuntimeDone"
	factInitReport      = "platform.initReport"
	factStart           = "platform.start"
	factRuntimeDone     = "platform.runtimeDone"
	factReport          = "platform.report"
	factExtension       = "platform.extension"
	factSubscription    = "platform.telemetrySubscription"
	factDropped         = "platform.logsDropped"
)

// The phases in which a function is initialised: before its first invocation, and in it when that has failed.
const (
	phaseInit   = "init"
	phaseInvoke = "invoke"
)

const success = "success"

// InitStart is that a function begins to initialise.
type InitStart struct {
	Kind     string `json:"initializationType"`
	Phase    string `json:"phase"`
	Function string `json:"functionName"`
	Version  string `json:"functionVersion"`
}

// InitRuntimeDone is that the runtime has initialised, or cannot.
type InitRuntimeDone struct {
	Kind      string `json:"initializationType"`
	Phase     string `json:"phase"`
	Status    string `json:"status"`
	ErrorType string `json:"errorType,omitempty"`
}

// InitReport is how long the initialisation took.
type InitReport struct {
	Kind      string  `json:"initializationType"`
	Phase     string  `json:"phase"`
	Status    string  `json:"status"`
	ErrorType string  `json:"errorType,omitempty"`
	Metrics   Metrics `json:"metrics"`
}

// Start is that an invocation begins.
type Start struct {
	RequestID string   `json:"requestId"`
	Version   string   `json:"version"`
	Tracing   *Tracing `json:"tracing,omitempty"`
}

// RuntimeDone is that the runtime has done with an invocation.
type RuntimeDone struct {
	RequestID string   `json:"requestId"`
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType,omitempty"`
	Metrics   Metrics  `json:"metrics"`
	Tracing   *Tracing `json:"tracing,omitempty"`
}

// Report is what an invocation took.
type Report struct {
	RequestID string   `json:"requestId"`
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType,omitempty"`
	Metrics   Metrics  `json:"metrics"`
	Tracing   *Tracing `json:"tracing,omitempty"`
}

// Extension is that an extension has registered.
type Extension struct {
	Name      string   `json:"name"`
	State     string   `json:"state"`
	Events    []string `json:"events"`
	ErrorType string   `json:"errorType,omitempty"`
}

// TelemetrySubscription is that an extension has subscribed to the Telemetry API.
type TelemetrySubscription struct {
	Name  string   `json:"name"`
	State string   `json:"state"`
	Types []string `json:"types"`
}

// LogsDropped is that events could not be delivered.
type LogsDropped struct {
	Reason  string `json:"reason"`
	Records int    `json:"droppedRecords"`
	Bytes   int    `json:"droppedBytes"`
}

// Metrics are measures; those that do not apply are absent.
type Metrics struct {
	Duration      float64 `json:"durationMs"`
	Billed        int64   `json:"billedDurationMs,omitempty"`
	MemoryMB      int     `json:"memorySizeMB,omitempty"`
	MaxMemoryMB   int     `json:"maxMemoryUsedMB,omitempty"`
	Init          float64 `json:"initDurationMs,omitempty"`
	ProducedBytes *int    `json:"producedBytes,omitempty"`
}

// Tracing is the X-Ray header of an invocation.
type Tracing struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// sampled is the tracing of an invocation of which there is a trace.
func sampled(header string) *Tracing {
	if !strings.Contains(header, "Sampled=1") {
		return nil
	}
	return &Tracing{"X-Amzn-Trace-Id", header}
}

// milliseconds are d in ms, to a hundredth.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// warnUnless is the level of what should have succeeded.
func warnUnless(status, level string) string {
	if status != success {
		return "WARN"
	}
	return level
}

func (InitStart) Level() string         { return "DEBUG" }
func (f InitRuntimeDone) Level() string { return warnUnless(f.Status, "DEBUG") }
func (Start) Level() string             { return "INFO" }
func (f RuntimeDone) Level() string     { return warnUnless(f.Status, "DEBUG") }
func (f Report) Level() string          { return warnUnless(f.Status, "INFO") }

func (f InitReport) Level() string {
	if f.Kind == onDemand {
		return warnUnless(f.Status, "DEBUG")
	}
	return warnUnless(f.Status, "INFO")
}

func (TelemetrySubscription) Level() string { return "INFO" }
func (LogsDropped) Level() string           { return "WARN" }
func (LogsDropped) Lines() []string         { return nil }

func (f TelemetrySubscription) Lines() []string {
	return []string{"TELEMETRY\tName: " + f.Name + "\tState: " + f.State + "\tTypes: [" + strings.Join(f.Types, ", ") + "]"}
}

func (Extension) Level() string { return "INFO" }

func (f Extension) Lines() []string {
	return []string{"EXTENSION\tName: " + f.Name + "\tState: " + f.State + "\tEvents: [" + strings.Join(f.Events, ", ") + "]"}
}

func (InitStart) Lines() []string       { return nil }
func (InitRuntimeDone) Lines() []string { return nil }
func (RuntimeDone) Lines() []string     { return nil }

func (f Start) Lines() []string {
	return []string{"START RequestId: " + f.RequestID + " Version: " + f.Version}
}

// Lines of an INIT_REPORT are written when the initialisation failed, or was ahead of any invocation.
func (f InitReport) Lines() []string {
	line := fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms", f.Metrics.Duration)
	switch {
	case f.Status != success:
		line += "\tPhase: " + f.Phase + "\tStatus: " + f.Status
		if f.Status == "error" {
			line += "\tError Type: " + f.ErrorType
		}
	case f.Kind == onDemand:
		return nil
	}
	return []string{line}
}

func (f Report) Lines() []string {
	var b strings.Builder
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		f.RequestID, f.Metrics.Duration, f.Metrics.Billed, f.Metrics.MemoryMB, f.Metrics.MaxMemoryMB)
	if f.Metrics.Init > 0 {
		fmt.Fprintf(&b, "Init Duration: %.2f ms\t", f.Metrics.Init)
	}
	switch f.Status {
	case "timeout":
		b.WriteString("Status: timeout\t")
	case "error":
		fmt.Fprintf(&b, "Status: error\tError Type: %s\t", f.ErrorType)
	}
	return []string{"END RequestId: " + f.RequestID, b.String()}
}

// tell passes a fact on.
func (s *Spec) tell(at time.Time, kind string, r Record) {
	if s.Tell != nil {
		s.Tell(Fact{at, kind, r})
	}
}

// kind is how an environment is initialised.
func (s *Spec) kind() string { return cmp.Or(s.Initialization, onDemand) }

// onDemand is how an environment is initialised for an invocation.
const onDemand = "on-demand"

// report is what an invocation took: the billed duration is rounded up to a whole ms and, since the initialisation is
// billed too, includes it.
func (s *Spec) report(in Invocation, r Result) Report {
	billed := (r.Duration + r.Init + time.Millisecond - 1) / time.Millisecond
	return Report{RequestID: in.ID, Status: r.status(), ErrorType: r.errorType(), Tracing: sampled(in.Trace), Metrics: Metrics{Duration: milliseconds(r.Duration),
		Billed: max(int64(billed), 1), MemoryMB: s.MemoryMB, MaxMemoryMB: r.MemoryMB, Init: milliseconds(r.Init)}}
}

// runtimeDone is that the runtime has done with an invocation. An error in place of a response is one here.
func runtimeDone(in Invocation, r Result) RuntimeDone {
	f := RuntimeDone{RequestID: in.ID, Status: r.status(), ErrorType: r.errorType(), Tracing: sampled(in.Trace), Metrics: Metrics{Duration: milliseconds(r.Duration)}}
	if r.Failed && f.Status == success && !r.Midstream {
		f.Status, f.ErrorType = "error", r.Type
	}
	if f.Status == success {
		f.Metrics.ProducedBytes = &r.Produced
	}
	return f
}

// status is Status, "success" when there is none: an error that a function reported itself is one of its answers.
func (r *Result) status() string { return cmp.Or(r.Status, success) }

func (r *Result) errorType() string {
	if r.Status == "error" {
		return r.Type
	}
	return ""
}
