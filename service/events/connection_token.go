package events

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"fogbank/api/events"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/relay"
	"fogbank/store"
)

// Of tokens.
const (
	renewToken    = 30 * time.Second // before its end a token is taken anew
	defaultToken  = time.Hour        // how long a token is good when its issuer does not say
	maxToken      = 24 * time.Hour
	authorizeMost = 3 // attempts before a new connection counts as deauthorised
)

// token is a sealed access token of an OAuth connection.
type token struct {
	Of      string // the connection's ID
	Sealed  []byte
	Expires time.Time
}

var tokens = store.NewTable[token]("events/token", store.Regional)

// authorization is a connection to be authorised.
type authorization struct{ Name, ID string }

// newAuthorizing is the relay that authorises new connections.
func (s *Service) newAuthorizing() *relay.Relay[authorization] {
	return relay.New(relay.Options[authorization]{Name: "events/authorizing", Lanes: 16,
		Deliver: func(ctx context.Context, item relay.Item[authorization]) error {
			_, err := s.accessToken(ctx, item.Value.Name, item.Value.ID, "")
			if aws.IsCode(err, "ResourceNotFoundException") {
				return nil // deleted meanwhile
			}
			if err != nil {
				return err
			}
			return s.authorized(ctx, item.Value, events.ConnectionStateAuthorized, "")
		},
		Retry: func(item relay.Item[authorization], err error) (time.Duration, bool) {
			return firstDelay << item.Attempts, item.Attempts < authorizeMost && !permanent(err)
		},
		Dead: func(ctx context.Context, item relay.Item[authorization], err error) error {
			return s.authorized(ctx, item.Value, events.ConnectionStateDeauthorized, aws.AsError(err).Message)
		}})
}

// authorized stores the state of a connection.
func (s *Service) authorized(ctx context.Context, a authorization, state, reason string) error {
	now := s.world.Now()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		c, ok := connections.Get(tx, store.K(a.Name))
		if !ok || c.ID != a.ID || c.State != events.ConnectionStateAuthorizing {
			return nil
		}
		c.State, c.Reason = state, reason
		if state == events.ConnectionStateAuthorized {
			c.Authorized = now
		}
		connections.Put(tx, store.K(c.Name), c)
		return nil
	})
}

// accessToken returns the token of an OAuth connection: the one that is stored, unless it ends soon or is the one
// that was refused.
func (s *Service) accessToken(ctx context.Context, name, id, refused string) (string, error) {
	var c connection
	var p authParameters
	var have string
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if c, err = findConnection(tx, name); err != nil {
			return err
		}
		if c.ID != id {
			return errNoConnection(name)
		}
		if p, err = c.open(tx); err != nil {
			return err
		}
		t, ok := tokens.Get(tx, store.K(name))
		if !ok || t.Of != id || !s.world.Now().Before(t.Expires.Add(-renewToken)) {
			return nil
		}
		sealer, err := sealer(tx, nil)
		if err != nil {
			return err
		}
		b, err := sealer.Reveal(t.Sealed, c.use()+" token")
		have = string(b)
		return err
	})
	if err != nil || have != "" && have != refused {
		return have, err
	}
	fresh, life, err := s.fetchToken(ctx, p.OAuthParameters)
	if err != nil {
		return "", err
	}
	expires := s.world.Now().Add(life)
	_, nonce := s.randomness()
	return fresh, s.db.Update(ctx, func(tx *store.Tx) error {
		now, ok := connections.Get(tx, store.K(name))
		if !ok || now.ID != id || string(now.Sealed) != string(c.Sealed) {
			return nil // changed meanwhile
		}
		sealer, err := sealer(tx, nil)
		if err != nil {
			return err
		}
		sealed, err := sealer.Hide(nonce, []byte(fresh), c.use()+" token")
		if err == nil {
			tokens.Put(tx, store.K(name), token{id, sealed, expires})
		}
		return err
	})
}

// fetchToken asks the authorization endpoint for a token, with the client's credentials.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-target-connection-auth.html
func (s *Service) fetchToken(ctx context.Context, p *events.CreateConnectionOAuthRequestParameters) (string, time.Duration, error) {
	if p == nil {
		return "", 0, aws.Errorf("SDK_CLIENT_ERROR", 400, "The connection has no OAuth parameters.")
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.ClientParameters.ClientID}, "client_secret": {p.ClientParameters.ClientSecret}}
	r := &request{url: p.AuthorizationEndpoint, method: p.HttpMethod, query: url.Values{}}
	extra := p.OAuthHttpParameters
	if extra != nil {
		for _, b := range extra.BodyParameters {
			form.Set(text(b.Key), text(b.Value))
		}
	}
	r.header("Content-Type", "application/x-www-form-urlencoded")
	r.add(extra)
	if p.HttpMethod == events.ConnectionOAuthHttpMethodGet {
		for k, v := range form {
			r.query[k] = v
		}
	} else {
		r.body = []byte(form.Encode())
	}
	answer, err := s.do(ctx, r)
	if err != nil {
		return "", 0, err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return "", 0, refusal("The authorization endpoint", answer.Status)
	}
	return readToken(answer.Body)
}

// readToken reads the answer of an authorization endpoint.
func readToken(body []byte) (string, time.Duration, error) {
	var doc struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"`
	}
	if json.Unmarshal(body, &doc) != nil || doc.Token == "" || len(doc.Token) > egress.MaxAnswer {
		return "", 0, aws.Errorf("SDK_CLIENT_ERROR", 400, "The authorization endpoint did not answer with an access token.")
	}
	life := defaultToken
	if n, err := doc.Expires.Float64(); err == nil && n > 0 {
		life = min(time.Duration(min(n, maxToken.Seconds())*float64(time.Second)), maxToken)
	}
	return doc.Token, life, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
