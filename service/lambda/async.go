package lambda

import (
	"context"
	"errors"
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

// event is an accepted asynchronous invocation.
type event struct {
	Function      string
	Qualifier     string
	RequestID     string
	Payload       []byte
	ClientContext string
}

// newEvents is the relay that carries accepted events to their functions.
func (s *Service) newEvents() *relay.Relay[event] {
	return relay.New(relay.Options[event]{
		Name: "lambda/event", Deliver: s.deliverEvent, Retry: s.retryEvent, Dead: s.buryEvent,
	})
}

// accept makes an event durable, to be delivered.
func (s *Service) accept(ctx context.Context, r reference, inv compute.Invocation) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		s.events.Add(tx, r.name, event{Function: r.name, Qualifier: r.qualifier, RequestID: inv.ID, Payload: inv.Payload, ClientContext: inv.ClientContext})
		return nil
	})
}

// unsuccessful is an invocation in which the function failed.
type unsuccessful struct {
	result compute.Result
	config asyncConfig
	f      *function
}

func (e *unsuccessful) Error() string { return "lambda: the function failed: " + e.result.Type }

// deliverEvent invokes the function with an event. A function that is gone takes its events along.
func (s *Service) deliverEvent(ctx context.Context, item relay.Item[event]) error {
	e := item.Value
	c := aws.CallFrom(ctx)
	r := reference{c.Account, c.Region, e.Function, e.Qualifier}
	f, err := s.choose(ctx, r)
	var config asyncConfig
	if err == nil {
		config, err = s.loadAsync(ctx, r)
	}
	if aws.IsCode(err, "ResourceNotFoundException") {
		return nil
	}
	if err != nil {
		return err
	}
	if s.world.Now().Sub(item.FirstAt) > config.age() {
		return &unsuccessful{config: config, f: f}
	}
	res, err := s.run(ctx, r, f, compute.Invocation{ID: e.RequestID, ARN: string(r.arn()), Payload: e.Payload, ClientContext: e.ClientContext})
	if err != nil {
		return err
	}
	if res.Failed {
		return &unsuccessful{res, config, f}
	}
	if config.OnSuccess == "" {
		return nil
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		s.sendings.Add(tx, e.Function, sending{Role: f.Role, Target: config.OnSuccess, Function: e.Function, Source: r.qualified(), Success: true,
			Body: asyncRecord(s.world.Now(), r, f, "Success", item.Attempts+1, e, res)})
		return nil
	})
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

// retryEvent tries a failed event again after a minute, then after two; what is not the function's own
// fault is tried until the event is too old.
func (s *Service) retryEvent(item relay.Item[event], err error) (time.Duration, bool) {
	if failed, ok := errors.AsType[*unsuccessful](err); ok {
		tooOld := failed.result.Payload == nil
		delay := time.Duration(item.Attempts) * retryStep
		late := s.world.Now().Add(delay).Sub(item.FirstAt) > failed.config.age()
		return delay, !tooOld && !late && item.Attempts <= failed.config.retries()
	}
	return min(firstThrottle<<min(item.Attempts, 12), lastThrottle), s.world.Now().Sub(item.FirstAt) < defaultEventAge
}

// buryEvent hands an event that failed for good to the dead-letter queue and the failure destination.
func (s *Service) buryEvent(ctx context.Context, item relay.Item[event], err error) error {
	e, c := item.Value, aws.CallFrom(ctx)
	r := reference{c.Account, c.Region, e.Function, e.Qualifier}
	failed, ok := errors.AsType[*unsuccessful](err)
	if !ok {
		f, err := s.load(ctx, r)
		if err != nil {
			return nil // it is gone, and its events with it
		}
		config, err := s.loadAsync(ctx, r)
		if err != nil {
			return err
		}
		failed = &unsuccessful{config: config, f: f}
	}
	condition := "RetriesExhausted"
	if failed.result.Payload == nil {
		condition = "EventAgeExceeded"
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		one := sending{Role: failed.f.Role, Function: e.Function, Source: r.qualified()}
		if target := failed.config.OnFailure; target != "" {
			one.Target, one.Body = target, asyncRecord(s.world.Now(), r, failed.f, condition, item.Attempts, e, failed.result)
			s.sendings.Add(tx, e.Function, one)
		}
		if target := failed.f.DeadLetter; target != "" {
			one.Target, one.Body = target, e.Payload
			one.Letter = &letter{e.RequestID, "200", errorMessage(failed.result.Payload)}
			s.sendings.Add(tx, e.Function, one)
		}
		return nil
	})
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
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	after, err := readMarker(in.GetMarker())
	if err != nil {
		return nil, err
	}
	limit := pageSize(in.GetMaxItems())
	r.qualifier = ""
	out := &lambda.ListFunctionEventInvokeConfigsOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
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
