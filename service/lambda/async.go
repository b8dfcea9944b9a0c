package lambda

import (
	"context"
	"errors"
	"strconv"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/relay"
	"fogbank/store"
)

// asyncConfig is the stored record of PutFunctionEventInvokeConfig.
type asyncConfig struct {
	MaxRetries *int32
	MaxAge     *int32 // seconds
	OnSuccess  string // ARN, or ""
	OnFailure  string
	Modified   time.Time
}

var asyncConfigs = store.NewTable[asyncConfig]("lambda/async", store.Regional)

// Defaults of asynchronous invocation.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
const (
	defaultRetries  = 2
	defaultEventAge = 6 * time.Hour
	retryStep       = time.Minute // after the first error; twice as long after the second
	firstThrottle   = time.Second // a throttled event waits so long, then twice, up to …
	lastThrottle    = 5 * time.Minute
)

// Bounds of the events in work. As one function gets half of the places, it may have as many as the account's concurrency;
// what is reserved for it, and for others, bounds it as it does every invocation.
const (
	eventLanes = 2 * compute.DefaultMax
	eventBytes = 256 << 20
)

// event is an accepted asynchronous invocation.
type event struct {
	Function      string
	Qualifier     string
	RequestID     string
	Payload       []byte
	ClientContext string
	Errors        int     `json:",omitempty"` // invocations in which the function failed
	Last          *letter `json:",omitempty"` // how the last attempt failed, as a dead letter tells it
	Trace         string  `json:",omitempty"` // tracing header of the request
}

// newEvents is the relay that carries accepted events to their functions.
func (s *Service) newEvents() *relay.Relay[event] {
	return relay.New(relay.Options[event]{
		Name: "lambda/event", Deliver: s.deliverEvent, Mark: markEvent, Retry: s.retryEvent, Dead: s.buryEvent, Lanes: eventLanes, Bytes: eventBytes,
	})
}

// accept makes an event durable, to be delivered.
func (s *Service) accept(ctx context.Context, r reference, inv compute.Invocation) error {
	trace := s.trace(aws.CallFrom(ctx).Trace).String()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		s.events.Add(tx, r.name, event{Function: r.name, Qualifier: r.qualifier, RequestID: inv.ID, Payload: inv.Payload, ClientContext: inv.ClientContext, Trace: trace})
		return nil
	})
}

// unsuccessful is an invocation in which the function failed.
type unsuccessful struct {
	result compute.Result
	f      *function
}

func (e *unsuccessful) Error() string { return "lambda: the function failed: " + e.result.Type }

// Why asynchronous events are given up.
const (
	retriesExhausted = "RetriesExhausted"
	eventTooOld      = "EventAgeExceeded"
	noConcurrency    = "ZeroReservedConcurrency"
	recursiveLoop    = "RecursiveInvocation" // AWS does not document what it says
)

// setback is an attempt at an event that did not succeed.
type setback struct {
	f      *function
	config asyncConfig
	given  string // why the event is given up without an invocation; "" when there was an attempt
	cause  error  // *unsuccessful when the function failed, else what kept it from running; nil with given
}

func (e *setback) Error() string {
	if e.cause == nil {
		return "lambda: the event was given up: " + e.given
	}
	return e.cause.Error()
}

func (e *setback) Unwrap() error { return e.cause }

// deliverEvent invokes the function with an event. A function that is gone takes its events along. Events that there is no
// room for because the function has others wait for these.
func (s *Service) deliverEvent(ctx context.Context, item relay.Item[event]) error {
	e := item.Value
	ctx = aws.Traced(ctx, e.Trace)
	c := aws.CallFrom(ctx)
	r := reference{c.Account, c.Region, e.Function, e.Qualifier}
	f, err := s.choose(ctx, r)
	back := &setback{f: f}
	if err == nil {
		back.config, err = s.loadAsync(ctx, r)
	}
	var most limits
	if err == nil {
		most, err = s.limits(ctx, r, f)
	}
	switch {
	case aws.IsCode(err, "ResourceNotFoundException"):
		return nil
	case err != nil:
		return err
	case most.reserved == 0:
		back.given = noConcurrency
		return back
	case s.world.Now().Sub(item.FirstAt) >= back.config.age():
		back.given = eventTooOld
		return back
	}
	res, err := s.run(ctx, r, f, compute.Invocation{ID: e.RequestID, ARN: string(r.arn()), Payload: e.Payload, ClientContext: e.ClientContext})
	if err == nil && res.Failed {
		err = &unsuccessful{res, f}
	}
	switch {
	case err == error(recursive):
		back.given = recursiveLoop
		return back
	case err != nil:
		back.cause = err
		if _, throttled := errors.AsType[compute.Throttled](err); throttled {
			return relay.Busy{Err: back}
		}
		return back
	}
	if back.config.OnSuccess == "" {
		return nil
	}
	return s.post(ctx, sending{Role: f.Role, Target: back.config.OnSuccess, Function: e.Function, Source: r.qualified(), Success: true, Trace: s.passedOn(r, e.Trace),
		Body: asyncRecord(s.world.Now(), r, f, "Success", e.Errors+1, e, res)})
}

// loadAsync returns the configuration of a function's qualifier, the zero one when it has none.
func (s *Service) loadAsync(ctx context.Context, r reference) (config asyncConfig, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		config, _ = asyncConfigs.Get(tx, r.key())
		return nil
	})
	return config, err
}

func (c *asyncConfig) age() time.Duration {
	if c.MaxAge == nil {
		return defaultEventAge
	}
	return time.Duration(*c.MaxAge) * time.Second
}

func (c *asyncConfig) retries() int {
	if c.MaxRetries == nil {
		return defaultRetries
	}
	return int(*c.MaxRetries)
}

// markEvent notes in an event how the attempt failed.
func markEvent(e *event, err error) {
	back, ok := errors.AsType[*setback](err)
	if !ok || back.cause == nil {
		return
	}
	if failed, ok := errors.AsType[*unsuccessful](err); ok {
		e.Errors++
		e.Last = &letter{ErrorCode: "200", ErrorMessage: errorMessage(failed.result.Payload)}
		return
	}
	refused := aws.AsError(clientError(back.cause))
	e.Last = &letter{ErrorCode: strconv.Itoa(refused.Status), ErrorMessage: cut(refused.Message)}
}

// retryEvent tries an event again a minute after the function failed first, then after two. What is not the function's
// own fault, such as throttling, uses up no retries: it is tried after a second, then twice as long up to five minutes.
// Both last until the event is too old.
//
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
func (s *Service) retryEvent(item relay.Item[event], err error) (time.Duration, bool) {
	failures := item.Attempts - item.Value.Errors
	delay := min(firstThrottle<<min(max(failures-1, 0), 12), lastThrottle)
	back, ok := errors.AsType[*setback](err)
	if !ok {
		return delay, true // what the event is for could not be read
	}
	if _, ok := errors.AsType[*unsuccessful](err); ok {
		delay = time.Duration(item.Value.Errors) * retryStep
		if item.Value.Errors > back.config.retries() {
			return 0, false
		}
	}
	left := item.FirstAt.Add(back.config.age()).Sub(s.world.Now())
	return min(delay, max(left, 0)), back.given == ""
}

// buryEvent hands an event that is given up to the dead-letter queue and the failure destination. One that came from there
// to the function whose loop had been stopped goes nowhere: that is a loop, too.
func (s *Service) buryEvent(ctx context.Context, item relay.Item[event], err error) error {
	back, ok := errors.AsType[*setback](err)
	if !ok {
		return err // retryEvent gives up nothing else
	}
	e, c := item.Value, aws.CallFrom(ctx)
	r := reference{c.Account, c.Region, e.Function, e.Qualifier}
	condition, res := back.given, compute.Result{}
	if failed, ok := errors.AsType[*unsuccessful](err); ok {
		condition, res = retriesExhausted, failed.result
	}
	if condition == recursiveLoop && r.turns(e.Trace) > maxChain {
		return nil
	}
	about := e.letter(condition)
	one := sending{Role: back.f.Role, Function: e.Function, Source: r.qualified(), Trace: s.passedOn(r, e.Trace)}
	record, letter := one, one
	record.Target, letter.Target = back.config.OnFailure, back.f.DeadLetter
	if record.Target != "" {
		record.Body = asyncRecord(s.world.Now(), r, back.f, condition, e.Errors, e, res)
	}
	letter.Body, letter.Letter = e.Payload, about
	return s.post(ctx, record, letter)
}

// letter is what a dead letter says of the event: how its last attempt failed.
func (e *event) letter(condition string) *letter {
	l := letter{ErrorCode: "429", ErrorMessage: "Rate Exceeded."}
	switch {
	case condition == recursiveLoop:
		l = letter{ErrorCode: strconv.Itoa(recursive.Status), ErrorMessage: recursive.Message}
	case e.Last != nil && condition != noConcurrency:
		l = *e.Last
	}
	l.RequestID = e.RequestID
	return &l
}

// PutFunctionEventInvokeConfig replaces the configuration of asynchronous invocation.
func (s *Service) PutFunctionEventInvokeConfig(ctx context.Context, in *lambda.PutFunctionEventInvokeConfigInput) (*lambda.PutFunctionEventInvokeConfigOutput, error) {
	return s.putAsync(ctx, in.FunctionName, in.GetQualifier(), in.DestinationConfig, func(c *asyncConfig) {
		*c = asyncConfig{MaxRetries: in.MaximumRetryAttempts, MaxAge: in.MaximumEventAgeInSeconds}
	})
}

// UpdateFunctionEventInvokeConfig changes what the request names.
func (s *Service) UpdateFunctionEventInvokeConfig(ctx context.Context, in *lambda.UpdateFunctionEventInvokeConfigInput) (*lambda.UpdateFunctionEventInvokeConfigOutput, error) {
	return s.putAsync(ctx, in.FunctionName, in.GetQualifier(), in.DestinationConfig, func(c *asyncConfig) {
		if in.MaximumRetryAttempts != nil {
			c.MaxRetries = in.MaximumRetryAttempts
		}
		if in.MaximumEventAgeInSeconds != nil {
			c.MaxAge = in.MaximumEventAgeInSeconds
		}
	})
}

func (s *Service) putAsync(ctx context.Context, name, qualifier string, to *lambda.DestinationConfig, change func(*asyncConfig)) (*lambda.FunctionEventInvokeConfig, error) {
	r, err := refer(ctx, name, qualifier)
	if err != nil {
		return nil, err
	}
	if to != nil {
		for _, target := range []string{to.OnSuccess.GetDestination(), to.OnFailure.GetDestination()} {
			if err := checkDestination(target); err != nil {
				return nil, err
			}
		}
	}
	now := s.world.Now()
	var c asyncConfig
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		c, _ = asyncConfigs.Get(tx, r.key())
		change(&c)
		c.Modified = now
		if to != nil && to.OnSuccess != nil {
			c.OnSuccess = to.OnSuccess.GetDestination()
		}
		if to != nil && to.OnFailure != nil {
			c.OnFailure = to.OnFailure.GetDestination()
		}
		asyncConfigs.Put(tx, r.key(), c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.describe(r), nil
}

// describe is the configuration as the API shows it.
func (c *asyncConfig) describe(r reference) *lambda.FunctionEventInvokeConfig {
	d := &lambda.DestinationConfig{OnSuccess: &lambda.OnSuccess{}, OnFailure: &lambda.OnFailure{}}
	if c.OnSuccess != "" {
		d.OnSuccess.Destination = &c.OnSuccess
	}
	if c.OnFailure != "" {
		d.OnFailure.Destination = &c.OnFailure
	}
	return &lambda.FunctionEventInvokeConfig{LastModified: &c.Modified, FunctionArn: new(string(r.qualified())),
		MaximumRetryAttempts: c.MaxRetries, MaximumEventAgeInSeconds: c.MaxAge, DestinationConfig: d}
}

// GetFunctionEventInvokeConfig returns the configuration of asynchronous invocation.
func (s *Service) GetFunctionEventInvokeConfig(ctx context.Context, in *lambda.GetFunctionEventInvokeConfigInput) (*lambda.GetFunctionEventInvokeConfigOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	var c asyncConfig
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		c, err = findAsync(tx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.describe(r), nil
}

func findAsync(tx *store.Tx, r reference) (asyncConfig, error) {
	c, ok := asyncConfigs.Get(tx, r.key())
	if !ok {
		return c, lambda.ResourceNotFoundException("The function %s doesn't have an EventInvokeConfig", r.qualified())
	}
	return c, nil
}

// DeleteFunctionEventInvokeConfig goes back to the defaults.
func (s *Service) DeleteFunctionEventInvokeConfig(ctx context.Context, in *lambda.DeleteFunctionEventInvokeConfigInput) (*lambda.DeleteFunctionEventInvokeConfigOutput, error) {
	r, err := refer(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := findAsync(tx, r); err != nil {
			return err
		}
		asyncConfigs.Delete(tx, r.key())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteFunctionEventInvokeConfigOutput{}, nil
}

// ListFunctionEventInvokeConfigs lists the configurations of a function's qualifiers.
func (s *Service) ListFunctionEventInvokeConfigs(ctx context.Context, in *lambda.ListFunctionEventInvokeConfigsInput) (*lambda.ListFunctionEventInvokeConfigsOutput, error) {
	out := &lambda.ListFunctionEventInvokeConfigsOutput{}
	err := s.list(ctx, in.FunctionName, in.GetMarker(), in.GetMaxItems(), func(tx *store.Tx, r reference, after store.Key, limit int) (err error) {
		out.FunctionEventInvokeConfigs, out.NextMarker = []lambda.FunctionEventInvokeConfig{}, nil
		last := ""
		for key, c := range asyncConfigs.Scan(tx, store.Range{Prefix: store.K(r.name), After: r.after(after)}) {
			if len(out.FunctionEventInvokeConfigs) == limit {
				out.NextMarker = new(writeMarker(last))
				break
			}
			if last, err = qualifierOf(key); err != nil {
				return err
			}
			out.FunctionEventInvokeConfigs = append(out.FunctionEventInvokeConfigs, *c.describe(r.at(last)))
		}
		return nil
	})
	return out, err
}
