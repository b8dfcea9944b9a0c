package lambda

import (
	"fmt"

	"fogbank/aws"
	"fogbank/source"
)

// trace is what a tracing header says, and what it does not say made up. Nothing is traced unless the caller does.
func (s *Service) trace(header string) aws.Trace {
	t := aws.ParseTrace(header)
	if t.Root == "" {
		t.Root = fmt.Sprintf("1-%08x-%s", uint32(s.world.Now().Unix()), s.world.Hex(12))
	}
	if t.Parent == "" {
		t.Parent = s.world.Hex(8)
	}
	if t.Sampled == "" {
		t.Sampled = "0"
	}
	return t
}

// passedOn is the tracing header of an invocation, which is what the function passes on, given that of the request for it.
func (s *Service) passedOn(r reference, header string) string {
	t := s.trace(header)
	t.Lineage = readLineage(t.Lineage).with(r.hash()).String()
	return t.String()
}

// gathered is the tracing header of the request with messages of a queue: a trace of its own, which is linked to those of
// the messages, in their chains of requests. It is "" when no message has one.
//
// https://docs.aws.amazon.com/xray/latest/devguide/xray-tracelinking.html
func (s *Service) gathered(messages []*source.Message) string {
	var all aws.Trace
	var chain lineage
	for _, m := range messages {
		if one := aws.ParseTrace(m.Trace); one.Root != "" {
			all.Root, all.Sampled = one.Root, max(all.Sampled, one.Sampled)
			chain = chain.join(readLineage(one.Lineage))
		}
	}
	if all.Root == "" {
		return ""
	}
	own := s.trace("")
	own.Sampled, own.Lineage = max(own.Sampled, all.Sampled), chain.String()
	return own.String()
}
