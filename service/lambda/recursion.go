package lambda

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
)

// Bounds of a chain of requests: all that one event causes.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
const (
	maxChain   = 16      // invocations of a function in it
	maxLineage = 16      // functions that are counted
	maxCount   = 1 << 16 // of a function whose loops are allowed
)

// lineage says how often functions were invoked in a chain of requests, the Lineage of a tracing header:
// "a87bd80c:1|68fd508a:5".
type lineage []ancestor

// ancestor is a function of a chain.
type ancestor struct {
	hash   string // of its name, eight hexadecimal digits
	before int    // how often it was invoked before its last invocation
}

// readLineage leaves out what is not as it should be.
func readLineage(text string) (l lineage) {
	for text != "" && len(l) < maxLineage {
		var field string
		field, text, _ = strings.Cut(text, "|")
		hash, count, _ := strings.Cut(field, ":")
		n, err := strconv.ParseUint(count, 10, 16)
		if err == nil && len(hash) == 8 && strings.Trim(hash, "0123456789abcdef") == "" {
			l = append(l, ancestor{hash, int(n)})
		}
	}
	return l
}

func (l lineage) String() string {
	var b []byte
	for i, a := range l {
		if i > 0 {
			b = append(b, '|')
		}
		b = strconv.AppendInt(append(append(b, a.hash...), ':'), int64(a.before), 10)
	}
	return string(b)
}

// invocations is how often a function was invoked.
func (l lineage) invocations(hash string) int {
	for _, a := range l {
		if a.hash == hash {
			return a.before + 1
		}
	}
	return 0
}

// with is the lineage after another invocation of a function, of which there may be another copy. The function that came
// first is forgotten when there are too many.
func (l lineage) with(hash string) lineage {
	for i := range l {
		if l[i].hash == hash {
			l[i].before = min(l[i].before+1, maxCount-1)
			return l
		}
	}
	if len(l) == maxLineage {
		l = l[1:]
	}
	return append(l, ancestor{hash: hash})
}

// join is the lineage of a request with the events of two chains: of each function what it was invoked most often.
func (l lineage) join(other lineage) lineage {
next:
	for _, a := range other {
		for i := range l {
			if l[i].hash == a.hash {
				l[i].before = max(l[i].before, a.before)
				continue next
			}
		}
		if len(l) < maxLineage {
			l = append(l, a)
		}
	}
	return l
}

// hash stands for the function, whatever its version, in lineages.
func (r reference) hash() string {
	h := fnv.New32a()
	h.Write([]byte(r.poolName()))
	return fmt.Sprintf("%08x", h.Sum32())
}

// turns is how often the function was invoked in the chain of requests that a tracing header is of.
func (r reference) turns(header string) int {
	return readLineage(aws.ParseTrace(header).Lineage).invocations(r.hash())
}

// recursive is the error of an invocation that would be one too many of its chain.
var recursive = lambda.RecursiveInvocationException("Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services resources and stopped your function's invocation.")

// chained makes sure that a request for an invocation is not one too many of its chain.
func (s *Service) chained(r reference, header string, most limits) error {
	if most.recursive || r.turns(header) < maxChain {
		return nil
	}
	s.o.Log.Warn("a recursive loop was stopped", "function", r.unqualified())
	return recursive
}

// PutFunctionRecursionConfig says what is to happen when a function is invoked in a recursive loop.
func (s *Service) PutFunctionRecursionConfig(ctx context.Context, in *lambda.PutFunctionRecursionConfigInput) (*lambda.PutFunctionRecursionConfigOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, r, nil, func(_ *store.Tx, f *function) error {
		f.Recursive = in.RecursiveLoop == lambda.RecursiveLoopAllow
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.PutFunctionRecursionConfigOutput{RecursiveLoop: &in.RecursiveLoop}, nil
}

// GetFunctionRecursionConfig tells what happens when a function is invoked in a recursive loop.
func (s *Service) GetFunctionRecursionConfig(ctx context.Context, in *lambda.GetFunctionRecursionConfigInput) (*lambda.GetFunctionRecursionConfigOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	loops := lambda.RecursiveLoopTerminate
	if f.Recursive {
		loops = lambda.RecursiveLoopAllow
	}
	return &lambda.GetFunctionRecursionConfigOutput{RecursiveLoop: &loops}, nil
}
