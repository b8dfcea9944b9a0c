package events

import (
	"context"
	"time"

	"fogbank/api/events"
	"fogbank/schedule"
	"fogbank/store"
)

// clock is what a rule with a schedule waits for.
type clock struct {
	Schedule string
	Anchor   time.Time // what a rate counts from: when the rule was made or enabled
	Next     time.Time // the moment of its next event
}

// tick is the moment a timer is set for.
type tick struct{ At time.Time }

var (
	clocks = store.NewTable[clock]("events/schedule", store.Regional)
	ticks  = store.NewTimers[tick]("events/schedule")
)

// checkSchedule returns what is wrong with a rule's schedule expression, in AWS's words. Rules know rate() and cron(), in UTC.
func checkSchedule(text, bus string) error {
	e, err := schedule.Parse(text)
	if err != nil || e.Kind() == schedule.At {
		return invalid("Parameter ScheduleExpression is not valid.")
	}
	if bus != defaultBus {
		return invalid("ScheduleExpression is supported only on the default event bus.")
	}
	return nil
}

// wind sets or stops the clock of a rule of the default bus after the rule changed. A schedule that stays the same keeps its rhythm.
func wind(tx *store.Tx, r *rule, now time.Time) error {
	key := store.K(r.Name)
	if r.Schedule == "" || r.Disabled {
		unwind(tx, r.Name)
		return nil
	}
	if c, ok := clocks.Get(tx, key); ok && c.Schedule == r.Schedule {
		return nil
	}
	return (&clock{Schedule: r.Schedule, Anchor: now}).set(tx, key, now)
}

// unwind stops the clock of a rule.
func unwind(tx *store.Tx, rule string) {
	clocks.Delete(tx, store.K(rule))
	ticks.Cancel(tx, store.K(rule))
}

// set waits for the clock's first moment after now, if there is one.
func (c *clock) set(tx *store.Tx, key store.Key, now time.Time) error {
	e, err := schedule.Parse(c.Schedule)
	if err != nil {
		return err
	}
	if c.Next = e.Next(now, c.Anchor, time.UTC); !c.Next.IsZero() {
		ticks.Set(tx, key, c.Next, tick{c.Next})
	}
	clocks.Put(tx, key, *c)
	return nil
}

// strike sends the event of a moment to its rule's targets and waits for the next, in one transaction: a moment
// has one event however often its timer fires. Of the moments missed while nothing ran, the first gets its event.
func (s *Service) strike(ctx context.Context, key store.Key, t tick) error {
	var name string
	if err := key.Parse(&name); err != nil {
		return err
	}
	now, id := s.world.Now(), s.world.UUID()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		c, ok := clocks.Get(tx, key)
		r, exists := rules.Get(tx, store.K(defaultBus, name))
		if !ok || !exists || r.Disabled || !c.Next.Equal(t.At) {
			return nil
		}
		if err := s.carry(tx, nil, defaultBus, []string{name}, scheduledEvent(tx, name, id, t.At, now)); err != nil {
			return err
		}
		return c.set(tx, key, now)
	})
}

// scheduledEvent is the event of a rule's moment.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
func scheduledEvent(tx *store.Tx, name, id string, at, now time.Time) *event {
	b := append([]byte(`{"version":"0","id":`), appendJSON(nil, id)...)
	b = append(b, `,"detail-type":"Scheduled Event","source":"aws.events","account":`...)
	b = appendJSON(b, tx.Account())
	b = appendJSON(append(b, `,"time":`...), at.UTC().Format(time.RFC3339))
	b = appendJSON(append(b, `,"region":`...), tx.Region())
	b = appendJSON(append(b, `,"resources":[`...), string(ruleARN(tx.Account(), tx.Region(), defaultBus, name)))
	return &event{ID: id, JSON: append(b, `],"detail":{}}`...), Ingested: now.Format(time.RFC3339)}
}

// checkRule returns what is wrong with a rule that is to be put on a bus.
func checkRule(in *events.PutRuleInput, bus string) error {
	pattern, schedule := in.GetEventPattern(), in.GetScheduleExpression()
	switch {
	case pattern == "" && schedule == "":
		return invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if schedule != "" {
		if err := checkSchedule(schedule, bus); err != nil {
			return err
		}
	}
	if pattern != "" {
		return checkPattern(pattern)
	}
	return nil
}
