package scheduler

import (
	"context"
	"strings"
	"time"

	"fogbank/api/scheduler"
	"fogbank/schedule"
	"fogbank/store"
)

const (
	maxWindow  = 1440 // minutes
	startGrace = 5 * time.Minute
)

// record is a schedule as stored.
type record struct {
	Group, Name string
	Expression  string
	Zone        string    `json:",omitempty"`
	Start       time.Time `json:",omitzero"`
	End         time.Time `json:",omitzero"`
	Window      int32     `json:",omitempty"` // minutes; 0 when the time window is not flexible
	Disabled    bool      `json:",omitempty"`
	DeleteAfter bool      `json:",omitempty"`
	Description string    `json:",omitempty"`
	Target      target
	Token       string    `json:",omitempty"` // of the call that made it
	Anchor      time.Time // what a rate counts from
	Next        time.Time `json:",omitzero"` // its next moment, zero when there is none
	Created     time.Time
	Modified    time.Time
}

var schedules = store.NewTable[record]("scheduler/schedule", store.Regional)

func (r *record) key() store.Key { return store.K(r.Group, r.Name) }

// upcoming returns the schedule's first moment after the given one, zero when there is none.
func (r *record) upcoming(after time.Time) (time.Time, error) {
	e, err := schedule.Parse(r.Expression)
	if err != nil {
		return time.Time{}, invalid("Invalid Schedule Expression %s.", r.Expression)
	}
	zone, err := schedule.Zone(r.Zone)
	if err != nil {
		return time.Time{}, invalid("Invalid Schedule Expression Timezone %s.", r.Zone)
	}
	if e.Kind() == schedule.At {
		return e.Next(after, r.Anchor, zone), nil
	}
	if after.Before(r.Start) {
		after = r.Start.Add(-1)
	}
	at := e.Next(after, r.Anchor, zone)
	if !r.End.IsZero() && at.After(r.End) {
		return time.Time{}, nil
	}
	return at, nil
}

// newRecord checks what CreateSchedule and UpdateSchedule are given; they have the same members.
func (s *Service) newRecord(in *scheduler.UpdateScheduleInput, now time.Time) (*record, error) {
	r := &record{Group: groupOf(in.GroupName), Name: in.Name, Expression: in.ScheduleExpression, Zone: in.GetScheduleExpressionTimezone(),
		Start: in.GetStartDate(), End: in.GetEndDate(), Window: in.FlexibleTimeWindow.GetMaximumWindowInMinutes(),
		Disabled: in.GetState() == scheduler.ScheduleStateDisabled, DeleteAfter: in.GetActionAfterCompletion() == scheduler.ActionAfterCompletionDelete,
		Description: in.GetDescription(), Token: in.GetClientToken(), Created: now, Modified: now, Anchor: now.Truncate(time.Second)}
	flexible := in.FlexibleTimeWindow.Mode == scheduler.FlexibleTimeWindowModeFlexible
	switch {
	case in.KmsKeyArn != nil:
		return nil, notYet("a schedule encrypted with a key of its own")
	case flexible && r.Window == 0:
		return nil, invalid("MaximumWindowInMinutes must be specified when the flexible time window mode is FLEXIBLE.")
	case !flexible && r.Window != 0:
		return nil, invalid("MaximumWindowInMinutes must not be specified when the flexible time window mode is OFF.")
	case r.Window > maxWindow:
		return nil, invalid("MaximumWindowInMinutes must not exceed %d.", maxWindow)
	case !r.Start.IsZero() && r.Start.Before(now.Add(-startGrace)):
		return nil, invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
	case !r.End.IsZero() && !r.End.After(now):
		return nil, invalid("The EndDate you specify cannot be in the past.")
	case !r.End.IsZero() && !r.End.After(r.Start):
		return nil, invalid("The EndDate you specify must come after the StartDate.")
	}
	if !r.Start.IsZero() {
		r.Anchor = r.Start
	}
	var err error
	r.Target, err = s.newTarget(&in.Target)
	return r, err
}

// CreateSchedule makes a schedule. The same call with the same token is no second schedule.
func (s *Service) CreateSchedule(ctx context.Context, in *scheduler.CreateScheduleInput) (*scheduler.CreateScheduleOutput, error) {
	now := s.world.Now()
	both := scheduler.UpdateScheduleInput(*in)
	r, err := s.newRecord(&both, now)
	if err != nil {
		return nil, err
	}
	if r.Next, err = r.upcoming(now.Add(-time.Second)); err != nil {
		return nil, err
	}
	if r.Next.IsZero() {
		return nil, invalid("Invalid Schedule Expression %s.", r.Expression)
	}
	if err := s.checkRole(ctx, r); err != nil {
		return nil, err
	}
	out := &scheduler.CreateScheduleOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		out.ScheduleArn = string(scheduleARN(tx.Account(), tx.Region(), r.Group, r.Name))
		if err := usable(tx, r.Group); err != nil {
			return err
		}
		if had, ok := schedules.Get(tx, r.key()); ok {
			if r.Token != "" && had.Token == r.Token {
				if had.same(r) {
					return nil
				}
				return scheduler.ConflictException("The client token %s was used with other parameters.", r.Token)
			}
			return scheduler.ConflictException("Schedule %s already exists.", r.Name)
		}
		r.put(tx)
		return nil
	})
}

// same reports whether two records were asked for in the same words.
func (r *record) same(o *record) bool {
	return r.Expression == o.Expression && r.Zone == o.Zone && r.Start.Equal(o.Start) && r.End.Equal(o.End) && r.Window == o.Window &&
		r.Disabled == o.Disabled && r.DeleteAfter == o.DeleteAfter && r.Description == o.Description && r.Target == o.Target
}

// usable returns why there can be no new schedule in a group.
func usable(tx *store.Tx, name string) error {
	g, err := findGroup(tx, name)
	if err == nil && g.Deleting {
		return scheduler.ConflictException("Schedule group %s is being deleted.", name)
	}
	return err
}

// put stores the schedule and sets its timer.
func (r *record) put(tx *store.Tx) {
	schedules.Put(tx, r.key(), *r)
	if r.Disabled || r.Next.IsZero() {
		dues.Cancel(tx, r.key())
		return
	}
	dues.Set(tx, r.key(), r.Next, moment{r.Next})
}

// remove deletes a schedule and its timer. Invocations on their way go on.
func remove(tx *store.Tx, key store.Key) {
	schedules.Delete(tx, key)
	dues.Cancel(tx, key)
}

// UpdateSchedule replaces all of a schedule: what is not given is as when it was never given.
func (s *Service) UpdateSchedule(ctx context.Context, in *scheduler.UpdateScheduleInput) (*scheduler.UpdateScheduleOutput, error) {
	now := s.world.Now()
	r, err := s.newRecord(in, now)
	if err != nil {
		return nil, err
	}
	if err := s.checkRole(ctx, r); err != nil {
		return nil, err
	}
	out := &scheduler.UpdateScheduleOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		r := *r
		had, ok := schedules.Get(tx, r.key())
		if !ok {
			return errNoSchedule(r.Name)
		}
		if err := usable(tx, r.Group); err != nil {
			return err
		}
		r.Created, r.Token = had.Created, had.Token
		unchanged := had.Expression == r.Expression && had.Zone == r.Zone && had.Start.Equal(r.Start)
		if unchanged {
			r.Anchor = had.Anchor
		}
		if r.Next, err = r.upcoming(now); err != nil {
			return err
		}
		if r.Next.IsZero() && !unchanged {
			return invalid("Invalid Schedule Expression %s.", r.Expression)
		}
		r.put(tx)
		out.ScheduleArn = string(scheduleARN(tx.Account(), tx.Region(), r.Group, r.Name))
		return nil
	})
}

func errNoSchedule(name string) error {
	return scheduler.ResourceNotFoundException("Schedule %s does not exist.", name)
}

// DeleteSchedule removes a schedule.
func (s *Service) DeleteSchedule(ctx context.Context, in *scheduler.DeleteScheduleInput) (*scheduler.DeleteScheduleOutput, error) {
	return &scheduler.DeleteScheduleOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key := store.K(groupOf(in.GroupName), in.Name)
		if !schedules.Has(tx, key) {
			return errNoSchedule(in.Name)
		}
		remove(tx, key)
		return nil
	})
}

func (r *record) state() string {
	if r.Disabled {
		return scheduler.ScheduleStateDisabled
	}
	return scheduler.ScheduleStateEnabled
}

// GetSchedule returns a schedule.
func (s *Service) GetSchedule(ctx context.Context, in *scheduler.GetScheduleInput) (*scheduler.GetScheduleOutput, error) {
	out := &scheduler.GetScheduleOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		r, ok := schedules.Get(tx, store.K(groupOf(in.GroupName), in.Name))
		if !ok {
			return errNoSchedule(in.Name)
		}
		*out = scheduler.GetScheduleOutput{ActionAfterCompletion: new(scheduler.ActionAfterCompletionNone),
			Arn: new(string(scheduleARN(tx.Account(), tx.Region(), r.Group, r.Name))), CreationDate: new(r.Created), LastModificationDate: new(r.Modified),
			FlexibleTimeWindow: &scheduler.FlexibleTimeWindow{Mode: scheduler.FlexibleTimeWindowModeOff}, GroupName: new(r.Group), Name: new(r.Name),
			ScheduleExpression: new(r.Expression), ScheduleExpressionTimezone: new("UTC"), State: new(r.state()), Target: r.Target.entry()}
		if r.DeleteAfter {
			out.ActionAfterCompletion = new(scheduler.ActionAfterCompletionDelete)
		}
		if r.Window > 0 {
			out.FlexibleTimeWindow = &scheduler.FlexibleTimeWindow{Mode: scheduler.FlexibleTimeWindowModeFlexible, MaximumWindowInMinutes: new(r.Window)}
		}
		if r.Zone != "" {
			out.ScheduleExpressionTimezone = new(r.Zone)
		}
		if r.Description != "" {
			out.Description = new(r.Description)
		}
		if !r.Start.IsZero() {
			out.StartDate = new(r.Start)
		}
		if !r.End.IsZero() {
			out.EndDate = new(r.End)
		}
		return nil
	})
}

// ListSchedules returns schedules by group and name.
func (s *Service) ListSchedules(ctx context.Context, in *scheduler.ListSchedulesInput) (*scheduler.ListSchedulesOutput, error) {
	after, err := parseToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	out := &scheduler.ListSchedulesOutput{Schedules: []scheduler.ScheduleSummary{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		var from store.Range
		if in.GroupName != nil {
			if _, err := findGroup(tx, *in.GroupName); err != nil {
				return err
			}
			from.Prefix = store.K(*in.GroupName)
		}
		if after[0] != "" {
			from.After = store.K(after[0], after[1])
		}
		seen, last := 0, (*record)(nil)
		for _, r := range schedules.Scan(tx, from) {
			if len(out.Schedules) == pageLimit(in.MaxResults) || seen == pageScan {
				out.NextToken = pageToken(last.Group, last.Name)
				return nil
			}
			seen, last = seen+1, &r
			if strings.HasPrefix(r.Name, in.GetNamePrefix()) && (in.State == nil || *in.State == r.state()) {
				out.Schedules = append(out.Schedules, scheduler.ScheduleSummary{Arn: new(string(scheduleARN(tx.Account(), tx.Region(), r.Group, r.Name))),
					CreationDate: new(r.Created), GroupName: new(r.Group), LastModificationDate: new(r.Modified), Name: new(r.Name), State: new(r.state()),
					Target: &scheduler.TargetSummary{Arn: r.Target.ARN}})
			}
		}
		return nil
	})
}
