package pipes

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"time"

	"fogbank/api/pipes"
	"fogbank/aws"
	"fogbank/store"
)

// maxPipes is how many pipes an account has in a region.
const maxPipes = 1000

// pipe is the record of a pipe. Parameters are kept as AWS lays them out, with defaults filled in.
type pipe struct {
	Name        string
	ID          string // of this pipe and no later one of its name
	Description *string
	Desired     string
	State       string
	Reason      string // why it is in State
	Source      string
	From        pipes.PipeSourceParameters
	Enrichment  string                          `json:",omitempty"`
	Through     *pipes.PipeEnrichmentParameters `json:",omitempty"`
	Target      string
	To          *pipes.PipeTargetParameters `json:",omitempty"`
	Role        string
	Logging     *pipes.PipeLogConfigurationParameters `json:",omitempty"`
	Tags        map[string]string
	Created     time.Time
	Modified    time.Time
	Revision    string // drawn anew at every change that running depends on
}

var (
	table   = store.NewTable[pipe]("pipes/pipe", store.Regional)
	reasons = store.NewTable[string]("pipes/reason", store.Regional)
	// known are all pipes of all tenants.
	known = store.NewTable[struct{}]("pipes/known", store.Global)
)

// topic is woken when a pipe is made, changed or deleted.
const topic = "pipes/pipes"

// find returns a pipe.
func find(tx *store.Tx, name string) (pipe, error) {
	p, ok := table.Get(tx, store.K(name))
	if !ok {
		return p, pipes.NotFoundException("Pipe %s does not exist.", name)
	}
	return p, nil
}

// change is find for a pipe that is to be changed, which nothing may be happening to.
func change(tx *store.Tx, name string) (pipe, error) {
	p, err := find(tx, name)
	if err == nil && p.unsettled() {
		err = pipes.ConflictException("Pipe %s is in the %s state. Try again when the transition has ended.", name, p.State)
	}
	return p, err
}

// save stores p and tells the supervisor.
func (p *pipe) save(tx *store.Tx) {
	table.Put(tx, store.K(p.Name), *p)
	tx.Wake(topic)
}

// unsettled reports whether the pipe is on its way from one state to another.
func (p *pipe) unsettled() bool {
	return strings.HasSuffix(p.State, "ING") && p.State != pipes.PipeStateRunning
}

// CreatePipe makes a pipe, which begins to run unless it is to be stopped.
func (s *Service) CreatePipe(ctx context.Context, in *pipes.CreatePipeInput) (*pipes.CreatePipeOutput, error) {
	now := s.world.Now()
	p := pipe{Name: in.Name, ID: s.world.UUID(), Description: in.Description, Desired: in.GetDesiredState(), State: pipes.PipeStateCreating,
		Source: in.Source, Enrichment: in.GetEnrichment(), Through: in.EnrichmentParameters, Target: in.Target, To: in.TargetParameters,
		Role: in.RoleArn, Logging: in.LogConfiguration, Tags: in.Tags, Created: now, Modified: now, Revision: s.world.Hex(8)}
	if in.SourceParameters != nil {
		p.From = *in.SourceParameters
	}
	if p.Desired == "" {
		p.Desired = pipes.RequestedPipeStateRunning
	}
	if err := p.check(ctx); err != nil {
		return nil, err
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if table.Has(tx, store.K(p.Name)) {
			return pipes.ConflictException("Pipe %s already exists.", p.Name)
		}
		n := 0
		for range table.Keys(tx, store.Range{Limit: maxPipes}) {
			n++
		}
		if n >= maxPipes {
			return pipes.ServiceQuotaExceededException("The limit of %d pipes is reached.", maxPipes)
		}
		known.Put(tx, store.K(tx.Account(), tx.Region(), p.Name), struct{}{})
		p.save(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	o := p.outline(ctx)
	return &pipes.CreatePipeOutput{Arn: o.Arn, Name: o.Name, DesiredState: o.DesiredState, CurrentState: o.CurrentState,
		CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}, nil
}

// outline is the pipe as lists and answers to changes show it.
func (p *pipe) outline(ctx context.Context) pipes.Pipe {
	c := aws.CallFrom(ctx)
	o := pipes.Pipe{Name: &p.Name, Arn: new(string(pipeARN(c.Account, c.Region, p.Name))), DesiredState: &p.Desired, CurrentState: &p.State,
		CreationTime: &p.Created, LastModifiedTime: &p.Modified, Source: &p.Source, Target: &p.Target}
	if p.Enrichment != "" {
		o.Enrichment = &p.Enrichment
	}
	if p.Reason != "" {
		o.StateReason = &p.Reason
	}
	return o
}

// DescribePipe describes a pipe.
func (s *Service) DescribePipe(ctx context.Context, in *pipes.DescribePipeInput) (out *pipes.DescribePipeOutput, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p, err := find(tx, in.Name)
		if err != nil {
			return err
		}
		if reason, ok := reasons.Get(tx, store.K(p.Name)); ok && p.Reason == "" && p.State == pipes.PipeStateRunning {
			p.Reason = reason
		}
		o := p.outline(ctx)
		out = &pipes.DescribePipeOutput{Arn: o.Arn, Name: o.Name, Description: p.Description, DesiredState: o.DesiredState, CurrentState: o.CurrentState,
			StateReason: o.StateReason, Source: o.Source, SourceParameters: &p.From, Enrichment: o.Enrichment, EnrichmentParameters: p.Through,
			Target: o.Target, TargetParameters: p.To, RoleArn: &p.Role, LogConfiguration: p.describeLogging(), Tags: p.Tags, CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}
		return nil
	})
	return out, err
}

// UpdatePipe changes a pipe; what the request leaves out stays, but for parameters of the parts it names.
func (s *Service) UpdatePipe(ctx context.Context, in *pipes.UpdatePipeInput) (*pipes.UpdatePipeOutput, error) {
	now, revision := s.world.Now(), s.world.Hex(8)
	var p pipe
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if p, err = change(tx, in.Name); err != nil {
			return err
		}
		p.apply(in)
		if err := p.check(ctx); err != nil {
			return err
		}
		p.State, p.Reason, p.Modified, p.Revision = pipes.PipeStateUpdating, "", now, revision
		p.save(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	o := p.outline(ctx)
	return &pipes.UpdatePipeOutput{Arn: o.Arn, Name: o.Name, DesiredState: o.DesiredState, CurrentState: o.CurrentState,
		CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}, nil
}

// apply takes over what an update says.
func (p *pipe) apply(in *pipes.UpdatePipeInput) {
	p.Role = in.RoleArn
	if in.Description != nil {
		p.Description = in.Description
	}
	if in.LogConfiguration != nil {
		p.Logging = in.LogConfiguration
	}
	if in.DesiredState != nil {
		p.Desired = *in.DesiredState
	}
	if in.Enrichment != nil {
		p.Enrichment, p.Through = *in.Enrichment, nil
	}
	if in.EnrichmentParameters != nil {
		p.Through = in.EnrichmentParameters
	}
	if in.Target != nil && *in.Target != p.Target {
		p.Target, p.To = *in.Target, nil
	}
	if in.TargetParameters != nil {
		p.To = in.TargetParameters
	}
	if in.SourceParameters != nil {
		p.applySource(in.SourceParameters)
	}
}

// applySource takes over what an update says of the source.
func (p *pipe) applySource(in *pipes.UpdatePipeSourceParameters) {
	if in.FilterCriteria != nil {
		p.From.FilterCriteria = in.FilterCriteria
	}
	if q := in.SqsQueueParameters; q != nil {
		p.From.SqsQueueParameters = &pipes.PipeSourceSqsQueueParameters{BatchSize: q.BatchSize, MaximumBatchingWindowInSeconds: q.MaximumBatchingWindowInSeconds}
	}
	if d := in.DynamoDBStreamParameters; d != nil && p.From.DynamoDBStreamParameters != nil {
		p.From.DynamoDBStreamParameters = &pipes.PipeSourceDynamoDBStreamParameters{BatchSize: d.BatchSize, DeadLetterConfig: d.DeadLetterConfig,
			OnPartialBatchItemFailure: d.OnPartialBatchItemFailure, MaximumBatchingWindowInSeconds: d.MaximumBatchingWindowInSeconds,
			MaximumRecordAgeInSeconds: d.MaximumRecordAgeInSeconds, MaximumRetryAttempts: d.MaximumRetryAttempts,
			ParallelizationFactor: d.ParallelizationFactor, StartingPosition: p.From.DynamoDBStreamParameters.StartingPosition}
	}
}

// DeletePipe ends a pipe; it is gone when what it was doing is done.
func (s *Service) DeletePipe(ctx context.Context, in *pipes.DeletePipeInput) (*pipes.DeletePipeOutput, error) {
	p, err := s.steer(ctx, in.Name, pipes.PipeStateDeleting, pipes.RequestedPipeStateDescribeResponseDeleted)
	if err != nil {
		return nil, err
	}
	o := p.outline(ctx)
	return &pipes.DeletePipeOutput{Arn: o.Arn, Name: o.Name, DesiredState: o.DesiredState, CurrentState: o.CurrentState,
		CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}, nil
}

// StartPipe makes a pipe run.
func (s *Service) StartPipe(ctx context.Context, in *pipes.StartPipeInput) (*pipes.StartPipeOutput, error) {
	p, err := s.steer(ctx, in.Name, pipes.PipeStateStarting, pipes.RequestedPipeStateRunning)
	if err != nil {
		return nil, err
	}
	o := p.outline(ctx)
	return &pipes.StartPipeOutput{Arn: o.Arn, Name: o.Name, DesiredState: o.DesiredState, CurrentState: o.CurrentState,
		CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}, nil
}

// StopPipe stops a pipe. Its position in a stream is kept.
func (s *Service) StopPipe(ctx context.Context, in *pipes.StopPipeInput) (*pipes.StopPipeOutput, error) {
	p, err := s.steer(ctx, in.Name, pipes.PipeStateStopping, pipes.RequestedPipeStateStopped)
	if err != nil {
		return nil, err
	}
	o := p.outline(ctx)
	return &pipes.StopPipeOutput{Arn: o.Arn, Name: o.Name, DesiredState: o.DesiredState, CurrentState: o.CurrentState,
		CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}, nil
}

// steer puts a pipe on its way to a desired state.
func (s *Service) steer(ctx context.Context, name, state, desired string) (p pipe, err error) {
	now, revision := s.world.Now(), s.world.Hex(8)
	err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if p, err = change(tx, name); err != nil {
			return err
		}
		p.State, p.Desired, p.Reason, p.Modified, p.Revision = state, desired, "", now, revision
		p.save(tx)
		return nil
	})
	return p, err
}

// ListPipes lists pipes by name.
func (s *Service) ListPipes(ctx context.Context, in *pipes.ListPipesInput) (*pipes.ListPipesOutput, error) {
	limit := 100
	if n := int(in.GetLimit()); n > 0 {
		limit = min(limit, n)
	}
	after := store.Key("")
	if t := in.GetNextToken(); t != "" {
		name, err := base64.RawURLEncoding.DecodeString(t)
		if err != nil {
			return nil, invalid("The NextToken is not valid.")
		}
		after = store.K(string(name))
	}
	out := &pipes.ListPipesOutput{Pipes: []pipes.Pipe{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		out.Pipes, out.NextToken = out.Pipes[:0], nil
		for _, p := range table.Scan(tx, store.Range{After: after}) {
			if !strings.HasPrefix(p.Name, in.GetNamePrefix()) || !strings.HasPrefix(p.Source, in.GetSourcePrefix()) || !strings.HasPrefix(p.Target, in.GetTargetPrefix()) ||
				in.DesiredState != nil && *in.DesiredState != p.Desired || in.CurrentState != nil && *in.CurrentState != p.State {
				continue
			}
			if len(out.Pipes) == limit {
				out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte(*out.Pipes[limit-1].Name)))
				break
			}
			out.Pipes = append(out.Pipes, p.outline(ctx))
		}
		return nil
	})
}

// maxTags is how many tags a pipe has.
const maxTags = 50

// TagResource adds tags to a pipe, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *pipes.TagResourceInput) (*pipes.TagResourceOutput, error) {
	return &pipes.TagResourceOutput{}, s.retag(ctx, in.ResourceArn, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

// UntagResource removes tags from a pipe.
func (s *Service) UntagResource(ctx context.Context, in *pipes.UntagResourceInput) (*pipes.UntagResourceOutput, error) {
	return &pipes.UntagResourceOutput{}, s.retag(ctx, in.ResourceArn, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

// retag changes the tags of a pipe.
func (s *Service) retag(ctx context.Context, arn string, f func(tags map[string]string)) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := find(tx, aws.ARN(arn).Name())
		if err != nil {
			return err
		}
		tags := maps.Clone(p.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		f(tags)
		if len(tags) > maxTags {
			return invalid("A resource has at most %d tags.", maxTags)
		}
		p.Tags = tags
		table.Put(tx, store.K(p.Name), p)
		return nil
	})
}

// ListTagsForResource returns the tags of a pipe.
func (s *Service) ListTagsForResource(ctx context.Context, in *pipes.ListTagsForResourceInput) (*pipes.ListTagsForResourceOutput, error) {
	out := &pipes.ListTagsForResourceOutput{Tags: map[string]string{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		p, err := find(tx, aws.ARN(in.ResourceArn).Name())
		if err == nil && p.Tags != nil {
			out.Tags = p.Tags
		}
		return err
	})
}
