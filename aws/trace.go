package aws

import (
	"context"
	"strings"
)

// maxTrace is how long a tracing header may be; EventBridge takes none that is longer.
const maxTrace = 500

// Trace is a tracing header of X-Ray, "Root=1-…;Parent=…;Sampled=1". The zero value is that there is none.
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
type Trace struct {
	Root    string // the trace: "1-", when it began, "-", a number
	Parent  string // the segment that made the call
	Sampled string // "1": it is recorded; "0": it is not
	Lineage string // how often functions were invoked on the way; Lambda's business
}

// ParseTrace reads a tracing header. It is the zero value when the header names no trace; of what is not as it should be
// it has the parts that are.
func ParseTrace(header string) (t Trace) {
	if len(header) > maxTrace || strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Trace{}
	}
	for field := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch {
		case name == "Root" && isRoot(value):
			t.Root = value
		case name == "Parent" && isHex(value, 16):
			t.Parent = value
		case name == "Sampled" && (value == "0" || value == "1"):
			t.Sampled = value
		case name == "Lineage":
			t.Lineage = value
		}
	}
	if t.Root == "" {
		return Trace{}
	}
	return t
}

// isRoot reports whether a text is the identifier of a trace.
func isRoot(s string) bool {
	return len(s) == 35 && s[:2] == "1-" && isHex(s[2:10], 8) && s[10] == '-' && isHex(s[11:], 24)
}

// isHex reports whether a text is so many hexadecimal digits.
func isHex(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

// String is the header; "" for the zero value.
func (t Trace) String() string {
	var b strings.Builder
	for _, f := range [...][2]string{{"Root=", t.Root}, {";Parent=", t.Parent}, {";Sampled=", t.Sampled}, {";Lineage=", t.Lineage}} {
		if f[1] != "" {
			b.WriteString(f[0])
			b.WriteString(f[1])
		}
	}
	return b.String()
}

// Traced is ctx with a call like the one in it, which bears a tracing header.
func Traced(ctx context.Context, header string) context.Context {
	c := *CallFrom(ctx)
	c.Trace = header
	return WithCall(ctx, &c)
}

// Tracing is the call's tracing header as services pass it on with what the call has brought them: as it came, "" when it
// names no trace.
func (c *Call) Tracing() string {
	if c.Trace == "" || ParseTrace(c.Trace).Root == "" {
		return ""
	}
	return c.Trace
}
