package events

import (
	"context"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
)

const (
	// maxDestinations is how many API destinations an account has in a region.
	maxDestinations = 3000
	// defaultRate is how many requests a second a destination is sent when it does not say.
	defaultRate = 300
)

// destination is the record of an API destination: an HTTP endpoint events are sent to.
type destination struct {
	Name        string
	ID          string
	Description *string
	Connection  string // its ARN
	Endpoint    string
	Method      string
	Rate        *int32 // requests a second; nil: defaultRate
	Created     time.Time
	Modified    time.Time
}

var destinations = store.NewTable[destination]("events/destination", store.Regional)

func (d *destination) arn(tx *store.Tx) string {
	return string(aws.MakeARN("events", tx.Region(), tx.Account(), "api-destination/"+d.Name+"/"+d.ID))
}

func errNoDestination(name string) error {
	return events.ResourceNotFoundException("Failed to describe the api-destination(s). Api-destination '%s' does not exist.", name)
}

// check checks the endpoint and that the connection exists, and returns the destination's state.
func (d *destination) check(tx *store.Tx) error {
	if egress.CheckURL(strings.ReplaceAll(d.Endpoint, "*", "x")) != nil {
		return invalid("Parameter InvocationEndpoint is not valid.")
	}
	_, err := connectionOf(tx, d.Connection)
	return err
}

// connectionOf returns the connection of an ARN.
func connectionOf(tx *store.Tx, arn string) (connection, error) {
	name, id, _ := strings.Cut(strings.TrimPrefix(aws.ARN(arn).Resource(), "connection/"), "/")
	c, ok := connections.Get(tx, store.K(name))
	if !ok || c.ID != id || c.arn(tx) != arn {
		return c, events.ResourceNotFoundException("Connection '%s' does not exist.", arn)
	}
	return c, nil
}

// state is ACTIVE while the connection can be used.
func (d *destination) state(tx *store.Tx) string {
	c, err := connectionOf(tx, d.Connection)
	if err != nil || c.State == events.ConnectionStateDeauthorized {
		return events.ApiDestinationStateInactive
	}
	return events.ApiDestinationStateActive
}

// CreateApiDestination stores an HTTP endpoint to send events to.
func (s *Service) CreateApiDestination(ctx context.Context, in *events.CreateApiDestinationInput) (*events.CreateApiDestinationOutput, error) {
	now := s.world.Now()
	d := destination{Name: in.Name, ID: s.world.UUID(), Description: in.Description, Connection: in.ConnectionArn, Endpoint: in.InvocationEndpoint,
		Method: in.HttpMethod, Rate: in.InvocationRateLimitPerSecond, Created: now, Modified: now}
	out := &events.CreateApiDestinationOutput{CreationTime: &now, LastModifiedTime: &now}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		if destinations.Has(tx, store.K(d.Name)) {
			return events.ResourceAlreadyExistsException("An api-destination '%s' already exists.", d.Name)
		}
		n := 0
		for range destinations.Keys(tx, store.Range{Limit: maxDestinations}) {
			n++
		}
		if n >= maxDestinations {
			return errTooMany()
		}
		if err := d.check(tx); err != nil {
			return err
		}
		destinations.Put(tx, store.K(d.Name), d)
		out.ApiDestinationArn, out.ApiDestinationState = new(d.arn(tx)), new(d.state(tx))
		return nil
	})
}

// UpdateApiDestination changes a destination; what is not given stays.
func (s *Service) UpdateApiDestination(ctx context.Context, in *events.UpdateApiDestinationInput) (*events.UpdateApiDestinationOutput, error) {
	now := s.world.Now()
	out := &events.UpdateApiDestinationOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		d, ok := destinations.Get(tx, store.K(in.Name))
		if !ok {
			return errNoDestination(in.Name)
		}
		if in.Description != nil {
			d.Description = in.Description
		}
		if in.ConnectionArn != nil {
			d.Connection = *in.ConnectionArn
		}
		if in.InvocationEndpoint != nil {
			d.Endpoint = *in.InvocationEndpoint
		}
		if in.HttpMethod != nil {
			d.Method = *in.HttpMethod
		}
		if in.InvocationRateLimitPerSecond != nil {
			d.Rate = in.InvocationRateLimitPerSecond
		}
		if err := d.check(tx); err != nil {
			return err
		}
		d.Modified = now
		destinations.Put(tx, store.K(d.Name), d)
		*out = events.UpdateApiDestinationOutput{ApiDestinationArn: new(d.arn(tx)), ApiDestinationState: new(d.state(tx)), CreationTime: &d.Created, LastModifiedTime: &now}
		return nil
	})
}

// outline is the destination as lists show it.
func (d *destination) outline(tx *store.Tx) events.ApiDestination {
	return events.ApiDestination{ApiDestinationArn: new(d.arn(tx)), Name: &d.Name, ApiDestinationState: new(d.state(tx)), ConnectionArn: &d.Connection,
		InvocationEndpoint: &d.Endpoint, HttpMethod: &d.Method, InvocationRateLimitPerSecond: d.Rate, CreationTime: &d.Created, LastModifiedTime: &d.Modified}
}

// DescribeApiDestination describes a destination.
func (s *Service) DescribeApiDestination(ctx context.Context, in *events.DescribeApiDestinationInput) (out *events.DescribeApiDestinationOutput, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		d, ok := destinations.Get(tx, store.K(in.Name))
		if !ok {
			return errNoDestination(in.Name)
		}
		o := d.outline(tx)
		out = &events.DescribeApiDestinationOutput{ApiDestinationArn: o.ApiDestinationArn, Name: o.Name, Description: d.Description, ApiDestinationState: o.ApiDestinationState,
			ConnectionArn: o.ConnectionArn, InvocationEndpoint: o.InvocationEndpoint, HttpMethod: o.HttpMethod,
			InvocationRateLimitPerSecond: o.InvocationRateLimitPerSecond, CreationTime: o.CreationTime, LastModifiedTime: o.LastModifiedTime}
		return nil
	})
	return out, err
}

// ListApiDestinations lists destinations by name.
func (s *Service) ListApiDestinations(ctx context.Context, in *events.ListApiDestinationsInput) (*events.ListApiDestinationsOutput, error) {
	out := &events.ListApiDestinationsOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		out.ApiDestinations = []events.ApiDestination{}
		for _, d := range destinations.All(tx, "") {
			if strings.HasPrefix(d.Name, in.GetNamePrefix()) && (in.ConnectionArn == nil || *in.ConnectionArn == d.Connection) {
				out.ApiDestinations = append(out.ApiDestinations, d.outline(tx))
			}
		}
		from, to, next, err := page(len(out.ApiDestinations), in.GetNextToken(), in.Limit)
		out.ApiDestinations, out.NextToken = out.ApiDestinations[from:to], next
		return err
	})
}

// DeleteApiDestination removes a destination.
func (s *Service) DeleteApiDestination(ctx context.Context, in *events.DeleteApiDestinationInput) (*events.DeleteApiDestinationOutput, error) {
	return &events.DeleteApiDestinationOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		if !destinations.Has(tx, store.K(in.Name)) {
			return errNoDestination(in.Name)
		}
		destinations.Delete(tx, store.K(in.Name))
		paces.Delete(tx, store.K(in.Name))
		return nil
	})
}

// reaching names the connection or destination an operation is about; nil when it is about neither.
func reaching(c *aws.Call, in any) []aws.Access {
	on := func(kind, name string) []aws.Access {
		return aws.On(aws.MakeARN("events", c.Region, c.Account, kind+"/"+name))
	}
	switch in := in.(type) {
	case *events.CreateConnectionInput:
		return on("connection", in.Name)
	case *events.UpdateConnectionInput:
		return on("connection", in.Name)
	case *events.DescribeConnectionInput:
		return on("connection", in.Name)
	case *events.DeleteConnectionInput:
		return on("connection", in.Name)
	case *events.DeauthorizeConnectionInput:
		return on("connection", in.Name)
	case *events.CreateApiDestinationInput:
		return on("api-destination", in.Name)
	case *events.UpdateApiDestinationInput:
		return on("api-destination", in.Name)
	case *events.DescribeApiDestinationInput:
		return on("api-destination", in.Name)
	case *events.DeleteApiDestinationInput:
		return on("api-destination", in.Name)
	case *events.ListConnectionsInput, *events.ListApiDestinationsInput:
		return aws.On("*")
	}
	return nil
}
