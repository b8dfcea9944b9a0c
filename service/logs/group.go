package logs

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"fogbank/api/logs"
	"fogbank/aws"
	"fogbank/store"
)

// group is the record of a log group.
type group struct {
	ID        uint64
	Created   int64 // milliseconds since 1970
	Retention int32 `json:",omitempty"` // days; 0 is for ever
	KmsKeyID  string
	Class     string
	Tags      map[string]string `json:",omitempty"`
}

var groups = store.NewTable[group]("logs/group", store.Regional)

const (
	maxPage      = 50 // groups or streams described at once
	maxTags      = 50
	standard     = "STANDARD"
	infrequent   = "INFREQUENT_ACCESS"
	noSuchGroup  = "The specified log group does not exist."
	noSuchStream = "The specified log stream does not exist."
	badToken     = "The specified nextToken is invalid."
)

// groupName is the name in a log group's identifier, which is the name itself or an ARN with or
// without ":*" at its end.
func groupName(identifier string) string {
	if p, ok := aws.ARN(identifier).Parse(); ok {
		return strings.TrimSuffix(strings.TrimPrefix(p.Resource, "log-group:"), ":*")
	}
	return identifier
}

// chosenGroup is the group named by exactly one of a name and an identifier.
func chosenGroup(name, identifier string) (string, error) {
	switch {
	case name != "" && identifier != "" && name != groupName(identifier):
		return "", logs.InvalidParameterException("LogGroup name and LogGroup identifier are mutually exclusive parameters.")
	case name != "":
		return name, nil
	case identifier != "":
		return groupName(identifier), nil
	}
	return "", logs.InvalidParameterException("Either LogGroup name or LogGroup identifier must be specified.")
}

func findGroup(tx *store.Tx, name string) (group, error) {
	g, ok := groups.Get(tx, store.K(name))
	if !ok {
		return g, logs.ResourceNotFoundException(noSuchGroup)
	}
	return g, nil
}

func groupARN(tx *store.Tx, name string) string {
	return string(aws.MakeARN("logs", tx.Region(), tx.Account(), "log-group:"+name))
}

// CreateLogGroup makes a group without streams, which keeps events for ever.
func (s *Service) CreateLogGroup(ctx context.Context, in *logs.CreateLogGroupInput) (*logs.CreateLogGroupOutput, error) {
	if len(in.Tags) > maxTags {
		return nil, logs.InvalidParameterException("The number of tags exceeds the limit of %d.", maxTags)
	}
	g := group{ID: s.world.Uint64(), Created: s.world.Now().UnixMilli(), KmsKeyID: in.GetKmsKeyId(), Class: in.GetLogGroupClass(), Tags: in.Tags}
	switch g.Class {
	case "":
		g.Class = standard
	case standard, infrequent:
	default:
		return nil, logs.InvalidParameterException("Log group class %s is not supported.", g.Class)
	}
	return &logs.CreateLogGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key := store.K(in.LogGroupName)
		if groups.Has(tx, key) {
			return logs.ResourceAlreadyExistsException("The specified log group already exists")
		}
		groups.Put(tx, key, g)
		return nil
	})
}

// DeleteLogGroup deletes a group with all it holds.
func (s *Service) DeleteLogGroup(ctx context.Context, in *logs.DeleteLogGroupInput) (*logs.DeleteLogGroupOutput, error) {
	now := s.world.Now()
	return &logs.DeleteLogGroupOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, in.LogGroupName)
		if err != nil {
			return err
		}
		groups.Delete(tx, store.K(in.LogGroupName))
		sweeps.Cancel(tx, retentionTimer(g.ID))
		sweeps.Set(tx, store.K("group", g.ID), now, task{Group: g.ID})
		return nil
	})
}

// DescribeLogGroups lists groups by name.
func (s *Service) DescribeLogGroups(ctx context.Context, in *logs.DescribeLogGroupsInput) (*logs.DescribeLogGroupsOutput, error) {
	prefix, pattern := in.GetLogGroupNamePrefix(), strings.ToLower(in.GetLogGroupNamePattern())
	if prefix != "" && pattern != "" {
		return nil, logs.InvalidParameterException("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	from, err := readToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	limit := pageSize(in.Limit)
	out := &logs.DescribeLogGroupsOutput{LogGroups: []logs.LogGroup{}}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		r := store.Range{From: store.K(max(prefix, from))}
		for key, g := range groups.Scan(tx, r) {
			name := keyName(key)
			if !strings.HasPrefix(name, prefix) {
				break
			}
			if pattern != "" && !strings.Contains(strings.ToLower(name), pattern) || in.GetLogGroupClass() != "" && in.GetLogGroupClass() != g.Class {
				continue
			}
			if len(out.LogGroups) == limit {
				out.NextToken = writeToken(name)
				break
			}
			out.LogGroups = append(out.LogGroups, describeGroup(tx, name, g))
		}
		return nil
	})
	return out, err
}

func describeGroup(tx *store.Tx, name string, g group) logs.LogGroup {
	arn := groupARN(tx, name)
	d := logs.LogGroup{
		LogGroupName: new(name), Arn: new(arn + ":*"), LogGroupArn: new(arn),
		MetricFilterCount: new(int32(0)), StoredBytes: new(int64(0)), LogGroupClass: new(g.Class),
	}
	d.CreationTime = new(g.Created)
	if g.Retention > 0 {
		d.RetentionInDays = new(g.Retention)
	}
	if g.KmsKeyID != "" {
		d.KmsKeyId = new(g.KmsKeyID)
	}
	return d
}

// keyName reads a key that ends in a name.
func keyName(key store.Key) (name string) {
	if err := key.Parse(&name); err != nil {
		panic("logs: a key without a name: " + err.Error())
	}
	return name
}

func pageSize(limit *int32) int {
	if limit == nil || *limit <= 0 {
		return maxPage
	}
	return min(int(*limit), maxPage)
}

// writeToken makes a page's token of the name the next one begins with.
func writeToken(name string) *string {
	return new(base64.URLEncoding.EncodeToString([]byte(name)))
}

func readToken(token string) (string, error) {
	b, err := base64.URLEncoding.DecodeString(token)
	if err != nil {
		return "", logs.InvalidParameterException(badToken)
	}
	return string(b), nil
}

// change rewrites the tags of a group.
func (s *Service) changeTags(ctx context.Context, name string, change func(tags map[string]string) error) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, name)
		if err != nil {
			return err
		}
		if g.Tags = maps.Clone(g.Tags); g.Tags == nil {
			g.Tags = map[string]string{}
		}
		if err := change(g.Tags); err != nil {
			return err
		}
		groups.Put(tx, store.K(name), g)
		return nil
	})
}

// tagged finds the group of a resource's ARN; only groups have tags here.
func tagged(arn string) (string, error) {
	p, ok := aws.ARN(arn).Parse()
	if !ok || p.Service != "logs" {
		return "", logs.InvalidParameterException("The specified ARN %s is not valid.", arn)
	}
	if !strings.HasPrefix(p.Resource, "log-group:") {
		return "", logs.ResourceNotFoundException("The specified resource does not exist.")
	}
	return groupName(arn), nil
}

// TagResource adds tags to a group, replacing those of the same key.
func (s *Service) TagResource(ctx context.Context, in *logs.TagResourceInput) (*logs.TagResourceOutput, error) {
	name, err := tagged(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &logs.TagResourceOutput{}, s.changeTags(ctx, name, func(tags map[string]string) error {
		if maps.Copy(tags, in.Tags); len(tags) > maxTags {
			return logs.TooManyTagsException("A resource can have no more than %d tags.", maxTags)
		}
		return nil
	})
}

// UntagResource removes tags from a group.
func (s *Service) UntagResource(ctx context.Context, in *logs.UntagResourceInput) (*logs.UntagResourceOutput, error) {
	name, err := tagged(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &logs.UntagResourceOutput{}, s.changeTags(ctx, name, without(in.TagKeys))
}

// ListTagsForResource returns a group's tags.
func (s *Service) ListTagsForResource(ctx context.Context, in *logs.ListTagsForResourceInput) (*logs.ListTagsForResourceOutput, error) {
	name, err := tagged(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := s.tags(ctx, name)
	return &logs.ListTagsForResourceOutput{Tags: tags}, err
}

// TagLogGroup is the older form of TagResource.
func (s *Service) TagLogGroup(ctx context.Context, in *logs.TagLogGroupInput) (*logs.TagLogGroupOutput, error) {
	return &logs.TagLogGroupOutput{}, s.changeTags(ctx, in.LogGroupName, func(tags map[string]string) error {
		if maps.Copy(tags, in.Tags); len(tags) > maxTags {
			return logs.InvalidParameterException("The number of tags exceeds the limit of %d.", maxTags)
		}
		return nil
	})
}

// UntagLogGroup is the older form of UntagResource.
func (s *Service) UntagLogGroup(ctx context.Context, in *logs.UntagLogGroupInput) (*logs.UntagLogGroupOutput, error) {
	return &logs.UntagLogGroupOutput{}, s.changeTags(ctx, in.LogGroupName, without(in.Tags))
}

// ListTagsLogGroup is the older form of ListTagsForResource.
func (s *Service) ListTagsLogGroup(ctx context.Context, in *logs.ListTagsLogGroupInput) (*logs.ListTagsLogGroupOutput, error) {
	tags, err := s.tags(ctx, in.LogGroupName)
	return &logs.ListTagsLogGroupOutput{Tags: tags}, err
}

func without(keys []string) func(map[string]string) error {
	return func(tags map[string]string) error {
		maps.DeleteFunc(tags, func(k, _ string) bool { return slices.Contains(keys, k) })
		return nil
	}
}

func (s *Service) tags(ctx context.Context, name string) (tags map[string]string, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		g, err := findGroup(tx, name)
		if tags = g.Tags; tags == nil {
			tags = map[string]string{}
		}
		return err
	})
	return tags, err
}
