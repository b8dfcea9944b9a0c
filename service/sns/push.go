package sns

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/store"
)

// platforms are the push services AWS knows.
var platforms = []string{"ADM", "APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX", "BAIDU", "GCM", "MACOS", "MACOS_SANDBOX", "MPNS", "WNS"}

// applicationName is what the name of an application is made of, at most maxApplicationName bytes.
var applicationName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

const maxApplicationName = 256

// application is the record of a platform application. Its credentials are not kept: nothing here uses them, and nobody
// can read them back on AWS either.
type application struct {
	Platform, Name string
	Attributes     map[string]string // those that were set
}

// endpoint is the record of a device.
type endpoint struct {
	ID, Token, UserData string
	Disabled            bool
}

// applications go by platform and name, endpoints by these and their id; devices find an endpoint's id by its token.
var (
	applications = store.NewTable[application]("sns/application", store.Regional)
	endpoints    = store.NewTable[endpoint]("sns/endpoint", store.Regional)
	devices      = store.NewTable[string]("sns/device", store.Regional)
)

// parsePush splits the ARN of an application, "app/PLATFORM/NAME", or of an endpoint, "endpoint/PLATFORM/NAME/ID".
func parsePush(arn, kind string) (platform, name, id string, ok bool) {
	p, ok := aws.ARN(arn).Parse()
	f := strings.Split(p.Resource, "/")
	if !ok || p.Service != "sns" || f[0] != kind {
		return "", "", "", false
	}
	switch {
	case kind == "app" && len(f) == 3:
		return f[1], f[2], "", true
	case kind == "endpoint" && len(f) == 4:
		return f[1], f[2], f[3], true
	}
	return "", "", "", false
}

// findApplication returns an application of the tenant.
func findApplication(tx *store.Tx, arn string) (store.Key, application, error) {
	platform, name, _, ok := parsePush(arn, "app")
	if !ok {
		return "", application{}, invalid("PlatformApplicationArn Reason: Wrong number of slashes in relative portion of the ARN.")
	}
	key := store.K(platform, name)
	a, ok := applications.Get(tx, key)
	if !ok || arn != string(aws.MakeARN("sns", tx.Region(), tx.Account(), "app/"+platform+"/"+name)) {
		return "", a, sns.NotFoundException("PlatformApplication does not exist")
	}
	return key, a, nil
}

// findEndpoint returns a device's endpoint of the tenant.
func findEndpoint(tx *store.Tx, arn string) (store.Key, endpoint, error) {
	platform, name, id, ok := parsePush(arn, "endpoint")
	if !ok {
		return "", endpoint{}, invalid("EndpointArn Reason: Wrong number of slashes in relative portion of the ARN.")
	}
	key := store.K(platform, name, id)
	e, ok := endpoints.Get(tx, key)
	if !ok || arn != string(aws.MakeARN("sns", tx.Region(), tx.Account(), "endpoint/"+platform+"/"+name+"/"+id)) {
		return "", e, sns.NotFoundException("Endpoint does not exist")
	}
	return key, e, nil
}

// applicationAttributes are those of an application that can be set and read; feedback attributes come on top.
var applicationAttributes = []string{"EventEndpointCreated", "EventEndpointDeleted", "EventEndpointUpdated", "EventDeliveryFailure",
	"SuccessFeedbackRoleArn", "FailureFeedbackRoleArn", "SuccessFeedbackSampleRate"}

// set takes attributes over; credentials are checked to be there and forgotten.
func (a *application) set(attributes map[string]string) error {
	kept := map[string]string{}
	maps.Copy(kept, a.Attributes)
	for name := range attributes {
		switch {
		case name == "PlatformCredential" || name == "PlatformPrincipal" || strings.HasPrefix(name, "ApplePlatform"):
		case !slices.Contains(applicationAttributes, name):
			return invalid("Attributes Reason: Invalid attribute name: %s", name)
		default:
			return notYet("the platform application attribute " + name)
		}
	}
	a.Attributes = kept
	return nil
}

// CreatePlatformApplication makes an application of a push service; making it again replaces its attributes.
func (s *Service) CreatePlatformApplication(ctx context.Context, in *sns.CreatePlatformApplicationInput) (*sns.CreatePlatformApplicationOutput, error) {
	platform := in.Platform
	if platform == "FCM" {
		platform = "GCM"
	}
	if !slices.Contains(platforms, platform) {
		return nil, invalid("Platform Reason: %s is not supported", in.Platform)
	}
	if len(in.Name) > maxApplicationName || !applicationName.MatchString(in.Name) {
		return nil, invalid("Name Reason: must contain only the characters [a-zA-Z0-9_.-] and be at most 256 long")
	}
	if in.Attributes["PlatformCredential"] == "" {
		return nil, invalid("Attributes Reason: Invalid value for attribute: PlatformCredential: cannot be empty")
	}
	a := application{Platform: platform, Name: in.Name}
	if err := a.set(in.Attributes); err != nil {
		return nil, err
	}
	out := &sns.CreatePlatformApplicationOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		out.PlatformApplicationArn = new(string(aws.MakeARN("sns", tx.Region(), tx.Account(), "app/"+platform+"/"+in.Name)))
		applications.Put(tx, store.K(platform, in.Name), a)
		return nil
	})
}

// DeletePlatformApplication removes an application and its endpoints; removing one that is missing succeeds.
func (s *Service) DeletePlatformApplication(ctx context.Context, in *sns.DeletePlatformApplicationInput) (*sns.DeletePlatformApplicationOutput, error) {
	return &sns.DeletePlatformApplicationOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key, _, err := findApplication(tx, in.PlatformApplicationArn)
		if aws.IsCode(err, "NotFoundException") {
			return nil
		}
		if err != nil {
			return err
		}
		for k := range endpoints.Keys(tx, store.Range{Prefix: key}) {
			endpoints.Delete(tx, k)
		}
		for k := range devices.Keys(tx, store.Range{Prefix: key}) {
			devices.Delete(tx, k)
		}
		applications.Delete(tx, key)
		return nil
	})
}

func (a *application) attributes() map[string]string {
	shown := map[string]string{"Enabled": "true"}
	maps.Copy(shown, a.Attributes)
	return shown
}

// GetPlatformApplicationAttributes returns an application's attributes, without its credentials.
func (s *Service) GetPlatformApplicationAttributes(ctx context.Context, in *sns.GetPlatformApplicationAttributesInput) (*sns.GetPlatformApplicationAttributesOutput, error) {
	out := &sns.GetPlatformApplicationAttributesOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		_, a, err := findApplication(tx, in.PlatformApplicationArn)
		out.Attributes = a.attributes()
		return err
	})
}

// SetPlatformApplicationAttributes changes an application's attributes.
func (s *Service) SetPlatformApplicationAttributes(ctx context.Context, in *sns.SetPlatformApplicationAttributesInput) (*sns.SetPlatformApplicationAttributesOutput, error) {
	return &sns.SetPlatformApplicationAttributesOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key, a, err := findApplication(tx, in.PlatformApplicationArn)
		if err != nil {
			return err
		}
		if err := a.set(in.Attributes); err != nil {
			return err
		}
		applications.Put(tx, key, a)
		return nil
	})
}

// ListPlatformApplications returns the applications of the account and region, 100 at a time.
func (s *Service) ListPlatformApplications(ctx context.Context, in *sns.ListPlatformApplicationsInput) (*sns.ListPlatformApplicationsOutput, error) {
	after, err := readToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	out := &sns.ListPlatformApplicationsOutput{PlatformApplications: []sns.PlatformApplication{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		var last store.Key
		for key, a := range applications.Scan(tx, store.Range{After: after, Limit: pageSize + 1}) {
			if len(out.PlatformApplications) == pageSize {
				out.NextToken = new(token(last))
				break
			}
			arn := string(aws.MakeARN("sns", tx.Region(), tx.Account(), "app/"+a.Platform+"/"+a.Name))
			out.PlatformApplications = append(out.PlatformApplications, sns.PlatformApplication{PlatformApplicationArn: &arn, Attributes: a.attributes()})
			last = key
		}
		return nil
	})
}

// set takes attributes of an endpoint over. A new token re-enables nothing: that is for its owner to say.
func (e *endpoint) set(attributes map[string]string) error {
	for name, v := range attributes {
		switch name {
		case "Token":
			if v == "" || len(v) > 4096 {
				return invalid("Token Reason: must be at most 4096 characters and not empty")
			}
			e.Token = v
		case "CustomUserData":
			if len(v) > 2048 {
				return invalid("CustomUserData Reason: must be at most 2048 bytes long in UTF-8 encoding")
			}
			e.UserData = v
		case "Enabled":
			if v = strings.ToLower(v); v != "true" && v != "false" {
				return invalid("Attributes Reason: Invalid value for attribute: Enabled")
			}
			e.Disabled = v == "false"
		default:
			return invalid("Attributes Reason: Invalid attribute name: %s", name)
		}
	}
	return nil
}

func (e *endpoint) attributes() map[string]string {
	shown := map[string]string{"Enabled": "true", "Token": e.Token}
	if e.Disabled {
		shown["Enabled"] = "false"
	}
	if e.UserData != "" {
		shown["CustomUserData"] = e.UserData
	}
	return shown
}

// CreatePlatformEndpoint makes an endpoint for a device. The same token with the same attributes is the same endpoint.
func (s *Service) CreatePlatformEndpoint(ctx context.Context, in *sns.CreatePlatformEndpointInput) (*sns.CreatePlatformEndpointOutput, error) {
	e := endpoint{ID: s.world.UUID()}
	err := e.set(map[string]string{"Token": in.Token, "CustomUserData": in.GetCustomUserData()})
	if err == nil {
		err = e.set(in.Attributes)
	}
	if err != nil {
		return nil, err
	}
	out := &sns.CreatePlatformEndpointOutput{}
	return out, s.db.Update(ctx, func(tx *store.Tx) error {
		key, a, err := findApplication(tx, in.PlatformApplicationArn)
		if err != nil {
			return err
		}
		arn := func(id string) string {
			return string(aws.MakeARN("sns", tx.Region(), tx.Account(), "endpoint/"+a.Platform+"/"+a.Name+"/"+id))
		}
		if id, ok := devices.Get(tx, key.Str(e.Token)); ok {
			have, _ := endpoints.Get(tx, key.Str(id))
			if have.UserData != e.UserData || have.Disabled != e.Disabled {
				return invalid("Token Reason: Endpoint %s already exists with the same Token, but different attributes.", arn(id))
			}
			out.EndpointArn = new(arn(id))
			return nil
		}
		endpoints.Put(tx, key.Str(e.ID), e)
		devices.Put(tx, key.Str(e.Token), e.ID)
		out.EndpointArn = new(arn(e.ID))
		return nil
	})
}

// DeleteEndpoint removes a device's endpoint; removing one that is missing succeeds.
func (s *Service) DeleteEndpoint(ctx context.Context, in *sns.DeleteEndpointInput) (*sns.DeleteEndpointOutput, error) {
	return &sns.DeleteEndpointOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key, e, err := findEndpoint(tx, in.EndpointArn)
		if aws.IsCode(err, "NotFoundException") {
			return nil
		}
		if err != nil {
			return err
		}
		platform, name, _, _ := parsePush(in.EndpointArn, "endpoint")
		devices.Delete(tx, store.K(platform, name, e.Token))
		endpoints.Delete(tx, key)
		return nil
	})
}

// GetEndpointAttributes returns an endpoint's attributes.
func (s *Service) GetEndpointAttributes(ctx context.Context, in *sns.GetEndpointAttributesInput) (*sns.GetEndpointAttributesOutput, error) {
	out := &sns.GetEndpointAttributesOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		_, e, err := findEndpoint(tx, in.EndpointArn)
		out.Attributes = e.attributes()
		return err
	})
}

// SetEndpointAttributes changes an endpoint's attributes.
func (s *Service) SetEndpointAttributes(ctx context.Context, in *sns.SetEndpointAttributesInput) (*sns.SetEndpointAttributesOutput, error) {
	return &sns.SetEndpointAttributesOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key, e, err := findEndpoint(tx, in.EndpointArn)
		if err != nil {
			return err
		}
		before := e.Token
		if err := e.set(in.Attributes); err != nil {
			return err
		}
		platform, name, _, _ := parsePush(in.EndpointArn, "endpoint")
		if before != e.Token {
			if devices.Has(tx, store.K(platform, name, e.Token)) {
				return invalid("Token Reason: Another endpoint already exists with the same Token.")
			}
			devices.Delete(tx, store.K(platform, name, before))
			devices.Put(tx, store.K(platform, name, e.Token), e.ID)
		}
		endpoints.Put(tx, key, e)
		return nil
	})
}

// ListEndpointsByPlatformApplication returns the endpoints of an application, 100 at a time.
func (s *Service) ListEndpointsByPlatformApplication(ctx context.Context, in *sns.ListEndpointsByPlatformApplicationInput) (*sns.ListEndpointsByPlatformApplicationOutput, error) {
	after, err := readToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	out := &sns.ListEndpointsByPlatformApplicationOutput{Endpoints: []sns.Endpoint{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		prefix, a, err := findApplication(tx, in.PlatformApplicationArn)
		if err != nil {
			return err
		}
		var last store.Key
		for key, e := range endpoints.Scan(tx, store.Range{Prefix: prefix, After: after, Limit: pageSize + 1}) {
			if len(out.Endpoints) == pageSize {
				out.NextToken = new(token(last))
				break
			}
			arn := string(aws.MakeARN("sns", tx.Region(), tx.Account(), "endpoint/"+a.Platform+"/"+a.Name+"/"+e.ID))
			out.Endpoints = append(out.Endpoints, sns.Endpoint{EndpointArn: &arn, Attributes: e.attributes()})
			last = key
		}
		return nil
	})
}

// push delivers to a device: through the gateway when there is one, else to the outbox. A gateway that answers 410 says that
// the device is gone, and its endpoint is disabled.
func (s *Service) push(ctx context.Context, d *delivery) (status int, err error) {
	letter := d.letter(s.world.Now())
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		_, e, err := findEndpoint(tx, d.Endpoint)
		switch {
		case err != nil:
			return &setback{cause: err, final: true}
		case e.Disabled:
			return &setback{cause: sns.EndpointDisabledException("Endpoint is disabled"), final: true}
		}
		if letter.Device = e.Token; s.pushGateway == "" {
			drop(tx, letter)
		}
		return nil
	})
	if err != nil || s.pushGateway == "" {
		return 0, err
	}
	status, err = s.gateway(ctx, s.pushGateway, letter)
	if status == gone {
		return status, s.gone(ctx, err, func(tx *store.Tx) {
			if key, e, err := findEndpoint(tx, d.Endpoint); err == nil {
				e.Disabled = true
				endpoints.Put(tx, key, e)
			}
		})
	}
	return status, err
}
