package pipes

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"fogbank/api/lambda"
	"fogbank/api/logs"
	"fogbank/api/pipes"
	"fogbank/aws"
	"fogbank/wire"
)

// Limits of log records, in bytes. A record that is larger is cut, field by field.
const (
	maxRecord   = 256<<10 - recordExtra
	maxPut      = 1 << 20 // of the records of one PutLogEvents
	recordExtra = 26      // counted on top of each
)

// The stages of an execution. Their steps are named after them.
const (
	enrichmentStage = "ENRICHMENT"
	targetStage     = "TARGET"
)

// levelOf is at which level a step is logged: the steps that fail at every one, those that are not here at TRACE.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-logs.html
func levelOf(step string) string {
	switch {
	case strings.HasSuffix(step, "_FAILED"), step == "EXECUTION_THROTTLED":
		return pipes.LogLevelError
	case strings.HasPrefix(step, "EXECUTION_"), strings.Contains(step, "_STAGE_") && step != "TARGET_STAGE_SKIPPED":
		return pipes.LogLevelInfo
	}
	return pipes.LogLevelTrace
}

// levels are the log levels, from the one that logs least.
var levels = []string{pipes.LogLevelOff, pipes.LogLevelError, pipes.LogLevelInfo, pipes.LogLevelTrace}

// logRecord tells of a step.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-logs-schema.html
type logRecord struct {
	ResourceARN string     `json:"resourceArn"`
	Timestamp   int64      `json:"timestamp"` // milliseconds
	ExecutionID string     `json:"executionId"`
	MessageType string     `json:"messageType"`
	LogLevel    string     `json:"logLevel"`
	Error       *stepError `json:"error,omitempty"`
	Payload     string     `json:"payload,omitempty"`
	Request     string     `json:"awsRequest,omitempty"`
	Response    string     `json:"awsResponse,omitempty"`
	Truncated   []string   `json:"truncatedFields,omitempty"`
}

type stepError struct {
	Status  int    `json:"httpStatusCode"`
	Message string `json:"message"`
	Details string `json:"details"`
	Service string `json:"awsService,omitempty"`
}

// encode is the record as JSON, its data cut until it is no larger than maxRecord.
func (l *logRecord) encode() string {
	b := mustJSON(l)
	for _, f := range []struct {
		name string
		text *string
	}{{"payload", &l.Payload}, {"awsRequest", &l.Request}, {"awsResponse", &l.Response}} {
		if len(b) > maxRecord && *f.text != "" {
			l.Truncated = append(l.Truncated, f.name)
		}
		for len(b) > maxRecord && *f.text != "" {
			*f.text = strings.ToValidUTF8((*f.text)[:len(*f.text)/2], "")
			b = mustJSON(l)
		}
	}
	return string(b)
}

// mustJSON writes a value; what encoding/json escapes for HTML is left as it is.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("pipes: a value without a JSON form: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// execution is a batch on its way through a pipe that logs; nil when it does not. Only one goroutine uses it.
type execution struct {
	r       *runner
	id      string
	level   string
	data    bool // what is processed is logged too
	records []logs.InputLogEvent

	stage    string
	invoked  bool   // the enrichment or target of the stage
	service  string // which service that was
	request  string // the last request to it, and its answer
	response string
}

type executionKey struct{}

// begin starts an execution; what is done with its context is logged.
func (r *runner) begin(ctx context.Context, events [][]byte) (context.Context, *execution) {
	c := r.p.Logging
	if c == nil || c.Level == pipes.LogLevelOff {
		return ctx, nil
	}
	x := &execution{r: r, id: r.s.world.UUID(), level: c.Level, data: len(c.IncludeExecutionData) > 0}
	x.step("EXECUTION_STARTED", nil, x.payload(events))
	return context.WithValue(ctx, executionKey{}, x), x
}

// executionFrom is the execution of a context, or nil.
func executionFrom(ctx context.Context) *execution {
	x, _ := ctx.Value(executionKey{}).(*execution)
	return x
}

// payload is a batch as records show it, if they do.
func (x *execution) payload(events [][]byte) (l logRecord) {
	if x != nil && x.data && events != nil {
		l.Payload = string(array(events))
	}
	return l
}

// step logs a step, if the level is such.
func (x *execution) step(name string, err error, l logRecord) {
	if x == nil || slices.Index(levels, levelOf(name)) > slices.Index(levels, x.level) {
		return
	}
	now := x.r.s.world.Now().UnixMilli()
	l.ResourceARN, l.Timestamp, l.ExecutionID = string(pipeARN(x.r.account, x.r.region, x.r.p.Name)), now, x.id
	l.MessageType, l.LogLevel = name, x.level
	if err != nil {
		e := aws.AsError(err)
		l.Error = &stepError{Status: e.Status, Message: e.Message}
		if x.invoked {
			l.Error.Service = x.service
		}
	}
	x.records = append(x.records, logs.InputLogEvent{Timestamp: now, Message: l.encode()})
}

// enter begins a stage.
func (x *execution) enter(stage string, events [][]byte) {
	if x == nil {
		return
	}
	x.stage, x.invoked, x.service, x.request, x.response = stage, false, "", "", ""
	x.step(stage+"_STAGE_ENTERED", nil, x.payload(events))
}

// transform applies a template, which f does, to what a stage is given.
func (x *execution) transform(t *transform, events [][]byte, f func() ([][]byte, error)) ([][]byte, error) {
	if x == nil || t == nil {
		return f()
	}
	x.step(x.stage+"_TRANSFORMATION_STARTED", nil, x.payload(events))
	out, err := f()
	if err != nil {
		x.step(x.stage+"_TRANSFORMATION_FAILED", err, logRecord{})
	} else {
		x.step(x.stage+"_TRANSFORMATION_SUCCEEDED", nil, x.payload(out))
	}
	return out, err
}

// invoke notes that the stage's enrichment or target is called.
func (x *execution) invoke(service string, request func() []byte) {
	if x == nil {
		return
	}
	x.invoked, x.service, x.response = true, service, ""
	if x.data {
		x.request = string(request())
	}
	x.step(x.stage+"_INVOCATION_STARTED", nil, logRecord{Request: x.request})
}

// answer notes what the enrichment or target answered.
func (x *execution) answer(response func() []byte) {
	if x != nil && x.data {
		x.response = string(response())
	}
}

// leave ends a stage. With an error and partly, only a part of the batch failed.
func (x *execution) leave(err error, partly bool, events [][]byte) {
	if x == nil {
		return
	}
	outcome := "_SUCCEEDED"
	switch {
	case err != nil && partly:
		outcome = "_PARTIALLY_FAILED"
	case err != nil:
		outcome = "_FAILED"
	}
	if x.invoked {
		x.step(x.stage+"_INVOCATION"+outcome, err, logRecord{Request: x.request, Response: x.response})
	}
	x.step(x.stage+"_STAGE"+outcome, err, x.payload(events))
}

// end ends the execution and writes its records.
func (x *execution) end(ctx context.Context, err error, partly bool) {
	if x == nil {
		return
	}
	switch {
	case err == nil:
		x.step("EXECUTION_SUCCEEDED", nil, logRecord{})
	case partly:
		x.step("EXECUTION_PARTIALLY_FAILED", err, logRecord{})
	case busy(aws.AsError(err)):
		x.step("EXECUTION_THROTTLED", err, logRecord{})
	default:
		x.step("EXECUTION_FAILED", err, logRecord{})
	}
	x.r.write(ctx, x.records)
}

// write puts records into the pipe's log group. Those that cannot be written are lost, as AWS promises no more.
func (r *runner) write(ctx context.Context, records []logs.InputLogEvent) {
	group := logGroup(r.p.Logging.CloudwatchLogsLogDestination.LogGroupArn)
	ctx = r.tenant(context.WithoutCancel(ctx))
	var err error
	for len(records) > 0 && err == nil {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+len(records[n].Message)+recordExtra <= maxPut) {
			size += len(records[n].Message) + recordExtra
			n++
		}
		err = putLogs(ctx, r.s.o.Delivery, &logs.PutLogEventsInput{LogGroupName: group, LogStreamName: r.p.Name, LogEvents: records[:n]})
		records = records[n:]
	}
	r.mu.Lock()
	news := (err != nil) != r.mute
	r.mute = err != nil
	r.mu.Unlock()
	if news {
		r.s.o.Log.Info("a pipe's log changed state", "pipe", r.p.Name, "failing", err != nil, "error", err)
	}
}

// logGroup is the name of a log group.
func logGroup(arn string) string {
	return strings.TrimSuffix(strings.TrimPrefix(aws.ARN(arn).Resource(), "log-group:"), ":*")
}

// logged is an invoker whose calls are told to the execution of their context.
func logged(call wire.Invoker) wire.Invoker {
	return func(ctx context.Context, op *wire.Operation, in any) (any, error) {
		x := executionFrom(ctx)
		if x == nil {
			return call(ctx, op, in)
		}
		x.invoke(op.API.Name, func() []byte { return shown(op.Input, in) })
		out, err := call(ctx, op, in)
		if err == nil {
			x.answer(func() []byte { return shown(op.Output, out) })
		}
		return out, err
	}
}

// shown is a request or answer as JSON; what a function is given or answers is text.
func shown(shape *wire.Shape, v any) []byte {
	b := wire.AppendJSON(nil, shape, v)
	var payload []byte
	switch v := v.(type) {
	case *lambda.InvokeInput:
		payload = v.Payload
	case *lambda.InvokeOutput:
		payload = v.Payload
	default:
		return b
	}
	var fields map[string]any
	if json.Unmarshal(b, &fields) != nil {
		return b
	}
	fields["Payload"] = string(payload)
	return mustJSON(fields)
}

// checkLogging checks a log configuration.
func (p *pipe) checkLogging(ctx context.Context) error {
	c := p.Logging
	switch {
	case c == nil:
		return nil
	case c.FirehoseLogDestination != nil:
		return notYet("a log destination in Firehose")
	case c.S3LogDestination != nil:
		return notYet("a log destination in S3")
	case c.CloudwatchLogsLogDestination == nil:
		if c.Level == pipes.LogLevelOff {
			return nil
		}
		return invalid("A log destination must be given for the log level %s.", c.Level)
	}
	group, call := aws.ARN(c.CloudwatchLogsLogDestination.LogGroupArn), aws.CallFrom(ctx)
	if group.Account() != call.Account || group.Region() != call.Region {
		return invalid("The log group %s must be in the account and region of the pipe.", group)
	}
	return nil
}

// describeLogging is the log configuration as the API shows it.
func (p *pipe) describeLogging() *pipes.PipeLogConfiguration {
	c := p.Logging
	if c == nil {
		return nil
	}
	out := &pipes.PipeLogConfiguration{Level: &c.Level, IncludeExecutionData: c.IncludeExecutionData}
	if to := c.CloudwatchLogsLogDestination; to != nil {
		out.CloudwatchLogsLogDestination = &pipes.CloudwatchLogsLogDestination{LogGroupArn: &to.LogGroupArn}
	}
	return out
}
