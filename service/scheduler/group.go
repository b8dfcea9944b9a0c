package scheduler

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"fogbank/api/scheduler"
	"fogbank/aws"
	"fogbank/store"
)

const (
	defaultGroup = "default"
	maxGroups    = 500
	maxTags      = 50
	endBatch     = 200 // schedules removed in one transaction
)

// group is the record of a schedule group.
type group struct {
	Name     string
	Tags     map[string]string `json:",omitempty"`
	Created  time.Time         `json:",omitzero"`
	Modified time.Time         `json:",omitzero"`
	Deleting bool              `json:",omitempty"`
	Token    string            `json:",omitempty"` // of the call that made it
}

var (
	groups  = store.NewTable[group]("scheduler/group", store.Regional)
	endings = store.NewTimers[struct{}]("scheduler/group")
)

// findGroup returns a group; the default group always exists.
func findGroup(tx *store.Tx, name string) (group, error) {
	g, ok := groups.Get(tx, store.K(name))
	if !ok && name != defaultGroup {
		return g, scheduler.ResourceNotFoundException("Schedule group %s does not exist.", name)
	}
	g.Name = name
	return g, nil
}

func (g *group) state() string {
	if g.Deleting {
		return scheduler.ScheduleGroupStateDeleting
	}
	return scheduler.ScheduleGroupStateActive
}

func errTooMany(what string) error {
	return scheduler.ServiceQuotaExceededException("The maximum number of %s has been reached.", what)
}

// CreateScheduleGroup makes a group. The same call with the same token is no second group.
func (s *Service) CreateScheduleGroup(ctx context.Context, in *scheduler.CreateScheduleGroupInput) (*scheduler.CreateScheduleGroupOutput, error) {
	now := s.world.Now()
	g := group{Name: in.Name, Tags: map[string]string{}, Created: now, Modified: now, Token: in.GetClientToken()}
	for _, t := range in.Tags {
		g.Tags[t.Key] = t.Value
	}
	if len(g.Tags) > maxTags {
		return nil, errTooMany("tags")
	}
	out := &scheduler.CreateScheduleGroupOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		out.ScheduleGroupArn = string(groupARN(tx.Account(), tx.Region(), in.Name))
		had, err := findGroup(tx, in.Name)
		if err == nil {
			if g.Token != "" && had.Token == g.Token && !had.Deleting && maps.Equal(had.Tags, g.Tags) {
				return nil
			}
			return scheduler.ConflictException("Schedule group %s already exists.", in.Name)
		}
		n := 0
		for range groups.Keys(tx, store.Range{Limit: maxGroups}) {
			n++
		}
		if n >= maxGroups {
			return errTooMany("schedule groups")
		}
		groups.Put(tx, store.K(in.Name), g)
		return nil
	})
}

// DeleteScheduleGroup removes a group and, in the background, all its schedules.
func (s *Service) DeleteScheduleGroup(ctx context.Context, in *scheduler.DeleteScheduleGroupInput) (*scheduler.DeleteScheduleGroupOutput, error) {
	now := s.world.Now()
	return &scheduler.DeleteScheduleGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		if in.Name == defaultGroup {
			return invalid("The default schedule group cannot be deleted.")
		}
		g, err := findGroup(tx, in.Name)
		if err != nil || g.Deleting {
			return err
		}
		g.Deleting = true
		groups.Put(tx, store.K(g.Name), g)
		endings.Set(tx, store.K(g.Name), now, struct{}{})
		return nil
	})
}

// end removes a deleted group's schedules, some in each transaction, and then the group.
func (s *Service) end(ctx context.Context, key store.Key, _ struct{}) error {
	for more := true; more; {
		err := s.db.Update(ctx, func(tx *store.Tx) error {
			n := 0
			for id := range schedules.Keys(tx, store.Range{Prefix: key, Limit: endBatch}) {
				remove(tx, id)
				n++
			}
			if more = n == endBatch; !more {
				groups.Delete(tx, key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// GetScheduleGroup returns a group.
func (s *Service) GetScheduleGroup(ctx context.Context, in *scheduler.GetScheduleGroupInput) (*scheduler.GetScheduleGroupOutput, error) {
	out := &scheduler.GetScheduleGroupOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, in.Name)
		if err != nil {
			return err
		}
		*out = scheduler.GetScheduleGroupOutput(g.entry(tx))
		return nil
	})
}

// entry is the group as lists show it.
func (g *group) entry(tx *store.Tx) scheduler.ScheduleGroupSummary {
	e := scheduler.ScheduleGroupSummary{Arn: new(string(groupARN(tx.Account(), tx.Region(), g.Name))), Name: new(g.Name), State: new(g.state())}
	if !g.Created.IsZero() {
		e.CreationDate, e.LastModificationDate = new(g.Created), new(g.Modified)
	}
	return e
}

// ListScheduleGroups returns the groups by name, the default group in its place among them.
func (s *Service) ListScheduleGroups(ctx context.Context, in *scheduler.ListScheduleGroupsInput) (*scheduler.ListScheduleGroupsOutput, error) {
	after, err := parseToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	out := &scheduler.ListScheduleGroupsOutput{ScheduleGroups: []scheduler.ScheduleGroupSummary{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		all := map[string]group{defaultGroup: {Name: defaultGroup}}
		for _, g := range groups.All(tx, "") {
			all[g.Name] = g
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if name <= after[0] || !strings.HasPrefix(name, in.GetNamePrefix()) {
				continue
			}
			if n := len(out.ScheduleGroups); n == pageLimit(in.MaxResults) {
				out.NextToken = pageToken(*out.ScheduleGroups[n-1].Name, "")
				return nil
			}
			g := all[name]
			out.ScheduleGroups = append(out.ScheduleGroups, g.entry(tx))
		}
		return nil
	})
}

// retag changes a group's tags.
func (s *Service) retag(ctx context.Context, arn string, change func(map[string]string)) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := groupByARN(tx, arn)
		if err != nil {
			return err
		}
		if g.Tags = maps.Clone(g.Tags); g.Tags == nil {
			g.Tags = map[string]string{}
		}
		change(g.Tags)
		if len(g.Tags) > maxTags {
			return errTooMany("tags")
		}
		if g.Modified = now; g.Created.IsZero() {
			g.Created = now
		}
		groups.Put(tx, store.K(g.Name), g)
		return nil
	})
}

func groupByARN(tx *store.Tx, arn string) (group, error) {
	name := strings.TrimPrefix(aws.ARN(arn).Resource(), "schedule-group/")
	if arn != string(groupARN(tx.Account(), tx.Region(), name)) {
		return group{}, scheduler.ResourceNotFoundException("Schedule group %s does not exist.", name)
	}
	return findGroup(tx, name)
}

// TagResource adds tags to a group, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *scheduler.TagResourceInput) (*scheduler.TagResourceOutput, error) {
	return &scheduler.TagResourceOutput{}, s.retag(ctx, in.ResourceArn, func(tags map[string]string) {
		for _, t := range in.Tags {
			tags[t.Key] = t.Value
		}
	})
}

// UntagResource removes tags from a group.
func (s *Service) UntagResource(ctx context.Context, in *scheduler.UntagResourceInput) (*scheduler.UntagResourceOutput, error) {
	return &scheduler.UntagResourceOutput{}, s.retag(ctx, in.ResourceArn, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

// ListTagsForResource returns a group's tags by key.
func (s *Service) ListTagsForResource(ctx context.Context, in *scheduler.ListTagsForResourceInput) (*scheduler.ListTagsForResourceOutput, error) {
	out := &scheduler.ListTagsForResourceOutput{Tags: []scheduler.Tag{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		g, err := groupByARN(tx, in.ResourceArn)
		for _, key := range slices.Sorted(maps.Keys(g.Tags)) {
			out.Tags = append(out.Tags, scheduler.Tag{Key: key, Value: g.Tags[key]})
		}
		return err
	})
}
