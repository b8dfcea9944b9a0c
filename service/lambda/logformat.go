package lambda

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/compute"
)

// levels are the log levels, the most talkative first.
var levels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

// logging is how a function's log is written.
type logging struct {
	Format string `json:",omitempty"` // "" for Text
	App    string `json:",omitempty"` // level, of JSON only
	System string `json:",omitempty"`
}

// set changes the format and levels as a request asks.
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
func (l *logging) set(in *lambda.LoggingConfig) error {
	if in.LogFormat != nil {
		l.Format = *in.LogFormat
	}
	if l.Format != lambda.LogFormatJson {
		if in.ApplicationLogLevel != nil || in.SystemLogLevel != nil {
			return lambda.InvalidParameterValueException("LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from your request or change the LogFormat to \"JSON\" and try again.")
		}
		*l = logging{}
		return nil
	}
	put(&l.App, in.ApplicationLogLevel)
	put(&l.System, in.SystemLogLevel)
	for _, level := range []*string{&l.App, &l.System} {
		if *level == "" {
			*level = "INFO"
		}
	}
	return nil
}

// describe is the configuration as the API shows it.
func (l logging) describe(group string) *lambda.LoggingConfig {
	if l.Format == "" {
		return &lambda.LoggingConfig{LogFormat: new(lambda.LogFormatText), LogGroup: &group}
	}
	return &lambda.LoggingConfig{LogFormat: &l.Format, ApplicationLogLevel: &l.App, SystemLogLevel: &l.System, LogGroup: &group}
}

// variables are what the runtime is told of it.
func (l logging) variables() map[string]string {
	if l.Format == "" {
		return nil
	}
	return map[string]string{"AWS_LAMBDA_LOG_FORMAT": l.Format, "AWS_LAMBDA_LOG_LEVEL": l.App}
}

// passes reports whether a line of a level is written where at least another is asked for. What has no
// level we know is.
func passes(level, least string) bool {
	i := slices.Index(levels, strings.ToUpper(level))
	return i < 0 || i >= slices.Index(levels, least)
}

// line is a line that was printed in the function's format; ok is false when it is not to be written.
func (l logging) line(text string) (out string, ok bool) {
	if l.Format == "" {
		return text, true
	}
	if strings.HasPrefix(text, "{") {
		var own struct {
			Level string `json:"level"`
		}
		if json.Unmarshal([]byte(text), &own) == nil {
			return text, passes(own.Level, l.App)
		}
	}
	if structured, ok := structure(text); ok {
		return string(mustJSON(structured)), passes(structured.Level, l.App)
	}
	return text, true
}

// facts are the lines of what Lambda itself tells, in the function's format.
func (l logging) facts(f compute.Fact) []string {
	if l.Format == "" {
		return f.Record.Lines()
	}
	if !passes(f.Record.Level(), l.System) {
		return nil
	}
	return []string{string(mustJSON(platformLine{f.At.Format(stampForm), f.Type, f.Record}))}
}

// platformLine is a line Lambda itself writes.
type platformLine struct {
	Time   string         `json:"time"`
	Type   string         `json:"type"`
	Record compute.Record `json:"record"`
}

// ownLine is a line of a runtime's logger as JSON.
type ownLine struct {
	Timestamp string `json:"timestamp"`
	Level     string `json:"level"`
	Message   string `json:"message"`
	RequestID string `json:"requestId,omitempty"`
}

// structure reads the lines of the loggers of Node.js, "TIME\tID\tLEVEL\ttext", and Python,
// "[LEVEL]\tTIME\tID\ttext". ok is false for any other.
func structure(text string) (l ownLine, ok bool) {
	f := strings.SplitN(text, "\t", 4)
	if len(f) != 4 {
		return l, false
	}
	l = ownLine{Timestamp: f[0], RequestID: f[1], Level: f[2], Message: f[3]}
	if strings.HasPrefix(f[0], "[") {
		l = ownLine{Timestamp: f[1], RequestID: f[2], Level: strings.Trim(f[0], "[]"), Message: f[3]}
	}
	if l.RequestID == "undefined" {
		l.RequestID = ""
	}
	if l.Level == "WARNING" {
		l.Level = "WARN"
	}
	_, err := time.Parse(time.RFC3339, l.Timestamp)
	return l, err == nil && slices.Contains(levels, l.Level)
}
