// Package pattern decides whether a JSON event matches: event patterns
// (EventBridge), subscription filter policies (SNS) and filter criteria
// (Lambda, Pipes) are one language, parsed by Parse.
//
// A pattern is an object shaped like the events it wants. Its leaves are arrays
// of alternatives: plain values, or one-key objects naming an operator. All
// fields of a pattern must match; one alternative of a field suffices; an array
// in the event offers each of its elements. Fields below the same array of
// objects must match within one element ("array consistency").
//
// A Set holds many patterns in one tree of shared constraints, indexed by value,
// so that an event costs about as much as the patterns it nearly matches.
//
// Events are flattened once: Flatten for JSON, FromAttributes for SNS message
// attributes. Sizes and nesting are bounded by MaxSize and MaxDepth.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
package pattern

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Limits on what is parsed.
const (
	MaxSize  = 16 << 20 // bytes of an event
	MaxDepth = 1000     // levels of nesting of an event or a pattern
	// MaxAlternatives is the most conjunctions the $or fields of one pattern may multiply to.
	MaxAlternatives = 1000
	// MaxPolicySize, MaxPolicyKeys and MaxPolicyCombinations bound an SNS filter policy.
	// https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
	MaxPolicySize         = 256 << 10
	MaxPolicyKeys         = 5
	MaxPolicyCombinations = 150
)

// Kind is the dialect of a pattern.
type Kind uint8

// The dialects.
const (
	Rule       Kind = iota // an EventBridge event pattern
	Attributes             // an SNS filter policy over message attributes
	Body                   // an SNS filter policy over the message body
	Filter                 // a Lambda or Pipes filter pattern
)

// ErrNested is returned for a nested filter policy of kind Attributes.
var ErrNested = errors.New("filter policy scope MessageAttributes does not support nested filter policy")

// ErrTooManyKeys and ErrTooComplex are the limits of a filter policy, in AWS's words.
var (
	//lint:ignore ST1005 AWS's words
	ErrTooManyKeys = errors.New("Filter policy can not have more than 5 keys")
	//lint:ignore ST1005 AWS's words
	ErrTooComplex = errors.New("Filter policy is too complex")
)

// SyntaxError tells what is wrong with a pattern and where, in the words AWS answers with.
type SyntaxError struct {
	Reason string // "Empty arrays are not allowed"
	Source string // the pattern
	Offset int    // byte offset in Source the parser had reached
}

// maxQuoted is how much of the source AWS quotes in an error.
const maxQuoted = 500

// Error returns the reason followed by the quoted source, line and column.
func (e *SyntaxError) Error() string {
	before := e.Source[:min(e.Offset, len(e.Source))]
	line := 1 + strings.Count(before, "\n")
	column := len(before) - strings.LastIndexByte(before, '\n')
	quoted, more := e.Source, ""
	if len(quoted) > maxQuoted {
		quoted, more = quoted[:maxQuoted], fmt.Sprintf("[truncated %d chars]", len(e.Source)-maxQuoted)
	}
	return fmt.Sprintf("%s\n at [Source: (String)\"%s\"%s; line: %d, column: %d]", e.Reason, quoted, more, line, column)
}

// Pattern is a parsed pattern. It is immutable and safe for concurrent use.
type Pattern struct {
	any   []conjunction // one of these must match
	once  sync.Once
	alone *Set // holding only this pattern
}

// conjunction is a list of constraints on different paths, all of which must hold.
type conjunction []constraint

// constraint says what the leaves at a path must be: absent, when that is allowed, or
// at least one leaf that one of the terms accepts.
type constraint struct {
	path   string // steps joined by "."
	terms  []term
	absent bool // {"exists": false} is among the alternatives
}

// Match reports whether the event, a JSON object, matches. The error tells
// why the event is not one that can be matched.
func (p *Pattern) Match(event []byte) (bool, error) {
	ev, err := Flatten(event)
	if err != nil {
		return false, err
	}
	return p.MatchEvent(ev), nil
}

// MatchEvent is Match for an event flattened before.
func (p *Pattern) MatchEvent(ev *Event) bool {
	p.once.Do(func() {
		p.alone = NewSet()
		p.alone.Add(0, p)
	})
	matched := false
	p.alone.Match(ev, func(int) { matched = true })
	return matched
}
