package events

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/credential"
	"fogbank/egress"
	"fogbank/store"
)

// maxConnections is how many connections an account has in a region.
const maxConnections = 3000

// connection is the record of a connection: how requests to an HTTP endpoint are authorised.
type connection struct {
	Name        string
	ID          string // of this connection and no later one of its name
	Description *string
	State       string
	Reason      string
	Type        string // of authorization
	Sealed      []byte // the authorization parameters, JSON
	Created     time.Time
	Modified    time.Time
	Authorized  time.Time
}

// seal is the key secrets are sealed under.
type seal struct{ Key []byte }

var (
	connections = store.NewTable[connection]("events/connection", store.Regional)
	seals       = store.NewTable[seal]("events/seal", store.Global)
	sealers     = store.Derive(seals, func(_ store.Key, v seal) (*credential.Sealer, error) { return credential.NewSealer(v.Key) })
)

var sealKey = store.K("connection")

// authParameters are the parameters of a connection with its secrets.
type authParameters = events.CreateConnectionAuthRequestParameters

func connectionARN(account, region, name, id string) string {
	return string(aws.MakeARN("events", region, account, "connection/"+name+"/"+id))
}

func (c *connection) arn(tx *store.Tx) string {
	return connectionARN(tx.Account(), tx.Region(), c.Name, c.ID)
}

// use is what the connection's secrets are sealed for.
func (c *connection) use() string { return "connection " + c.ID }

// sealer returns what seals secrets, with a key made of fresh if there is none yet.
func sealer(tx *store.Tx, fresh []byte) (*credential.Sealer, error) {
	if !seals.Has(tx, sealKey) && fresh != nil {
		seals.Put(tx, sealKey, seal{fresh})
		return credential.NewSealer(fresh)
	}
	s, ok, err := sealers.Get(tx, sealKey)
	if err == nil && !ok {
		err = credential.ErrHidden
	}
	return s, err
}

// open returns the parameters.
func (c *connection) open(tx *store.Tx) (p authParameters, err error) {
	s, err := sealer(tx, nil)
	if err != nil {
		return p, err
	}
	b, err := s.Reveal(c.Sealed, c.use())
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(b, &p)
}

// chance is randomness drawn before a transaction that needs it.
type chance []byte

// Read implements io.Reader.
func (c chance) Read(p []byte) (int, error) { return copy(p, c), nil }

// randomness draws a key and a nonce.
func (s *Service) randomness() (key []byte, nonce chance) {
	key, nonce = make([]byte, credential.KeySize), make(chance, 16)
	s.world.Read(key)
	s.world.Read(nonce)
	return key, nonce
}

// keep seals the parameters and stores the connection.
func (c *connection) keep(tx *store.Tx, p *authParameters, key []byte, nonce chance) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	s, err := sealer(tx, key)
	if err != nil {
		return err
	}
	if c.Sealed, err = s.Hide(nonce, b, c.use()); err != nil {
		return err
	}
	connections.Put(tx, store.K(c.Name), *c)
	tokens.Delete(tx, store.K(c.Name))
	return nil
}

// settle sets the state of a connection whose parameters are new: OAuth has to be tried first.
func (c *connection) settle(s *Service, tx *store.Tx, now time.Time) {
	c.Reason, c.Modified = "", now
	if c.Type == events.ConnectionAuthorizationTypeOauthClientCredentials {
		c.State = events.ConnectionStateAuthorizing
		s.authorizing.Add(tx, c.Name, authorization{c.Name, c.ID})
		return
	}
	c.State, c.Authorized = events.ConnectionStateAuthorized, now
}

// checkAuth checks that the parameters are those of the type of authorization, and no others.
func checkAuth(kind string, p *authParameters) error {
	given := map[string]bool{events.ConnectionAuthorizationTypeBasic: p.BasicAuthParameters != nil, events.ConnectionAuthorizationTypeApiKey: p.ApiKeyAuthParameters != nil,
		events.ConnectionAuthorizationTypeOauthClientCredentials: p.OAuthParameters != nil}
	for name, is := range given {
		if is != (name == kind) {
			return invalid("The authorization parameters given are not those of authorization type %s.", kind)
		}
	}
	if o := p.OAuthParameters; o != nil {
		if !strings.HasPrefix(o.AuthorizationEndpoint, "https://") && !strings.HasPrefix(o.AuthorizationEndpoint, "http://") || egress.CheckURL(o.AuthorizationEndpoint) != nil {
			return invalid("The AuthorizationEndpoint is not a valid URL.")
		}
	}
	return nil
}

func errNoConnection(name string) error {
	return events.ResourceNotFoundException("Failed to describe the connection(s). Connection '%s' does not exist.", name)
}

func findConnection(tx *store.Tx, name string) (connection, error) {
	c, ok := connections.Get(tx, store.K(name))
	if !ok {
		return c, errNoConnection(name)
	}
	return c, nil
}

// CreateConnection stores how to authorise requests; its secrets are sealed and never shown.
func (s *Service) CreateConnection(ctx context.Context, in *events.CreateConnectionInput) (*events.CreateConnectionOutput, error) {
	if err := checkAuth(in.AuthorizationType, &in.AuthParameters); err != nil {
		return nil, err
	}
	now, id := s.world.Now(), s.world.UUID()
	key, nonce := s.randomness()
	out := &events.CreateConnectionOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		if connections.Has(tx, store.K(in.Name)) {
			return events.ResourceAlreadyExistsException("Connection '%s' already exists.", in.Name)
		}
		n := 0
		for range connections.Keys(tx, store.Range{Limit: maxConnections}) {
			n++
		}
		if n >= maxConnections {
			return errTooMany()
		}
		c := connection{Name: in.Name, ID: id, Description: in.Description, Type: in.AuthorizationType, Created: now}
		c.settle(s, tx, now)
		out.ConnectionArn, out.ConnectionState, out.CreationTime, out.LastModifiedTime = new(c.arn(tx)), new(c.State), &c.Created, &c.Modified
		return c.keep(tx, &in.AuthParameters, key, nonce)
	})
}

// UpdateConnection changes a connection; parameters that are not given stay.
func (s *Service) UpdateConnection(ctx context.Context, in *events.UpdateConnectionInput) (*events.UpdateConnectionOutput, error) {
	now := s.world.Now()
	key, nonce := s.randomness()
	out := &events.UpdateConnectionOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		c, err := findConnection(tx, in.Name)
		if err != nil {
			return err
		}
		p, err := c.open(tx)
		if err != nil {
			return err
		}
		if in.Description != nil {
			c.Description = in.Description
		}
		if in.AuthorizationType != nil {
			c.Type = *in.AuthorizationType
		}
		mergeAuth(&p, in.AuthParameters)
		only(c.Type, &p)
		if err := checkAuth(c.Type, &p); err != nil {
			return err
		}
		c.settle(s, tx, now)
		out.ConnectionArn, out.ConnectionState, out.CreationTime, out.LastModifiedTime = new(c.arn(tx)), new(c.State), &c.Created, &c.Modified
		if !c.Authorized.IsZero() {
			out.LastAuthorizedTime = &c.Authorized
		}
		return c.keep(tx, &p, key, nonce)
	})
}

// only drops the parameters of other types than kind.
func only(kind string, p *authParameters) {
	if kind != events.ConnectionAuthorizationTypeBasic {
		p.BasicAuthParameters = nil
	}
	if kind != events.ConnectionAuthorizationTypeApiKey {
		p.ApiKeyAuthParameters = nil
	}
	if kind != events.ConnectionAuthorizationTypeOauthClientCredentials {
		p.OAuthParameters = nil
	}
}

// mergeAuth takes over what an update gives.
func mergeAuth(p *authParameters, in *events.UpdateConnectionAuthRequestParameters) {
	if in == nil {
		return
	}
	set := func(to *string, v *string) {
		if v != nil {
			*to = *v
		}
	}
	if b := in.BasicAuthParameters; b != nil {
		if p.BasicAuthParameters == nil {
			p.BasicAuthParameters = &events.CreateConnectionBasicAuthRequestParameters{}
		}
		set(&p.BasicAuthParameters.Username, b.Username)
		set(&p.BasicAuthParameters.Password, b.Password)
	}
	if k := in.ApiKeyAuthParameters; k != nil {
		if p.ApiKeyAuthParameters == nil {
			p.ApiKeyAuthParameters = &events.CreateConnectionApiKeyAuthRequestParameters{}
		}
		set(&p.ApiKeyAuthParameters.ApiKeyName, k.ApiKeyName)
		set(&p.ApiKeyAuthParameters.ApiKeyValue, k.ApiKeyValue)
	}
	if o := in.OAuthParameters; o != nil {
		if p.OAuthParameters == nil {
			p.OAuthParameters = &events.CreateConnectionOAuthRequestParameters{}
		}
		set(&p.OAuthParameters.AuthorizationEndpoint, o.AuthorizationEndpoint)
		set(&p.OAuthParameters.HttpMethod, o.HttpMethod)
		if o.ClientParameters != nil {
			set(&p.OAuthParameters.ClientParameters.ClientID, o.ClientParameters.ClientID)
			set(&p.OAuthParameters.ClientParameters.ClientSecret, o.ClientParameters.ClientSecret)
		}
		if o.OAuthHttpParameters != nil {
			p.OAuthParameters.OAuthHttpParameters = o.OAuthHttpParameters
		}
	}
	if in.InvocationHttpParameters != nil {
		p.InvocationHttpParameters = in.InvocationHttpParameters
	}
}

// shown are the parameters as the API shows them: without secrets.
func shown(p *authParameters) *events.ConnectionAuthResponseParameters {
	out := &events.ConnectionAuthResponseParameters{InvocationHttpParameters: withoutSecrets(p.InvocationHttpParameters)}
	if b := p.BasicAuthParameters; b != nil {
		out.BasicAuthParameters = &events.ConnectionBasicAuthResponseParameters{Username: &b.Username}
	}
	if k := p.ApiKeyAuthParameters; k != nil {
		out.ApiKeyAuthParameters = &events.ConnectionApiKeyAuthResponseParameters{ApiKeyName: &k.ApiKeyName}
	}
	if o := p.OAuthParameters; o != nil {
		out.OAuthParameters = &events.ConnectionOAuthResponseParameters{AuthorizationEndpoint: &o.AuthorizationEndpoint, HttpMethod: &o.HttpMethod,
			ClientParameters:    &events.ConnectionOAuthClientResponseParameters{ClientID: &o.ClientParameters.ClientID},
			OAuthHttpParameters: withoutSecrets(o.OAuthHttpParameters)}
	}
	return out
}

// withoutSecrets leaves out values that are secret; those not said to be are shown.
func withoutSecrets(p *events.ConnectionHttpParameters) *events.ConnectionHttpParameters {
	if p == nil {
		return nil
	}
	out := &events.ConnectionHttpParameters{}
	for _, h := range p.HeaderParameters {
		if h.IsValueSecret != nil && *h.IsValueSecret {
			h.Value = nil
		}
		out.HeaderParameters = append(out.HeaderParameters, h)
	}
	for _, q := range p.QueryStringParameters {
		if q.IsValueSecret != nil && *q.IsValueSecret {
			q.Value = nil
		}
		out.QueryStringParameters = append(out.QueryStringParameters, q)
	}
	for _, b := range p.BodyParameters {
		if b.IsValueSecret != nil && *b.IsValueSecret {
			b.Value = nil
		}
		out.BodyParameters = append(out.BodyParameters, b)
	}
	return out
}

// outline is the connection as lists show it.
func (c *connection) outline(tx *store.Tx) events.Connection {
	o := events.Connection{ConnectionArn: new(c.arn(tx)), Name: &c.Name, ConnectionState: &c.State, AuthorizationType: &c.Type,
		CreationTime: &c.Created, LastModifiedTime: &c.Modified}
	if c.Reason != "" {
		o.StateReason = &c.Reason
	}
	if !c.Authorized.IsZero() {
		o.LastAuthorizedTime = &c.Authorized
	}
	return o
}

// DescribeConnection describes a connection, without its secrets.
func (s *Service) DescribeConnection(ctx context.Context, in *events.DescribeConnectionInput) (out *events.DescribeConnectionOutput, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		c, err := findConnection(tx, in.Name)
		if err != nil {
			return err
		}
		p, err := c.open(tx)
		if err != nil {
			return err
		}
		o := c.outline(tx)
		out = &events.DescribeConnectionOutput{ConnectionArn: o.ConnectionArn, Name: o.Name, Description: c.Description, ConnectionState: o.ConnectionState,
			StateReason: o.StateReason, AuthorizationType: o.AuthorizationType, AuthParameters: shown(&p), CreationTime: o.CreationTime,
			LastModifiedTime: o.LastModifiedTime, LastAuthorizedTime: o.LastAuthorizedTime}
		return nil
	})
	return out, err
}

// ListConnections lists connections by name.
func (s *Service) ListConnections(ctx context.Context, in *events.ListConnectionsInput) (*events.ListConnectionsOutput, error) {
	out := &events.ListConnectionsOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		out.Connections = []events.Connection{}
		for _, c := range connections.All(tx, "") {
			if strings.HasPrefix(c.Name, in.GetNamePrefix()) && (in.ConnectionState == nil || *in.ConnectionState == c.State) {
				out.Connections = append(out.Connections, c.outline(tx))
			}
		}
		from, to, next, err := page(len(out.Connections), in.GetNextToken(), in.Limit)
		out.Connections, out.NextToken = out.Connections[from:to], next
		return err
	})
}

// DeleteConnection removes a connection and its secrets.
func (s *Service) DeleteConnection(ctx context.Context, in *events.DeleteConnectionInput) (*events.DeleteConnectionOutput, error) {
	out := &events.DeleteConnectionOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		c, err := findConnection(tx, in.Name)
		if err != nil {
			return err
		}
		connections.Delete(tx, store.K(in.Name))
		tokens.Delete(tx, store.K(in.Name))
		o := c.outline(tx)
		*out = events.DeleteConnectionOutput{ConnectionArn: o.ConnectionArn, ConnectionState: new(events.ConnectionStateDeleting), CreationTime: o.CreationTime,
			LastModifiedTime: o.LastModifiedTime, LastAuthorizedTime: o.LastAuthorizedTime}
		return nil
	})
}

// DeauthorizeConnection forgets a connection's secrets; what is not secret stays.
func (s *Service) DeauthorizeConnection(ctx context.Context, in *events.DeauthorizeConnectionInput) (*events.DeauthorizeConnectionOutput, error) {
	now := s.world.Now()
	key, nonce := s.randomness()
	out := &events.DeauthorizeConnectionOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		c, err := findConnection(tx, in.Name)
		if err != nil {
			return err
		}
		p, err := c.open(tx)
		if err != nil {
			return err
		}
		p.InvocationHttpParameters = withoutSecrets(p.InvocationHttpParameters)
		if p.BasicAuthParameters != nil {
			p.BasicAuthParameters.Password = ""
		}
		if p.ApiKeyAuthParameters != nil {
			p.ApiKeyAuthParameters.ApiKeyValue = ""
		}
		if p.OAuthParameters != nil {
			p.OAuthParameters.ClientParameters.ClientSecret = ""
			p.OAuthParameters.OAuthHttpParameters = withoutSecrets(p.OAuthParameters.OAuthHttpParameters)
		}
		c.State, c.Reason, c.Modified = events.ConnectionStateDeauthorized, "", now
		o := c.outline(tx)
		*out = events.DeauthorizeConnectionOutput{ConnectionArn: o.ConnectionArn, ConnectionState: o.ConnectionState, CreationTime: o.CreationTime,
			LastModifiedTime: o.LastModifiedTime, LastAuthorizedTime: o.LastAuthorizedTime}
		return c.keep(tx, &p, key, nonce)
	})
}
