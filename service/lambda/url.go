package lambda

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
)

// urlConfig is the stored record of a function URL.
type urlConfig struct {
	ID       string
	Auth     string
	Mode     string `json:",omitempty"` // "" for BUFFERED
	Cors     *cors  `json:",omitempty"`
	Created  time.Time
	Modified time.Time
}

// urlPlace says whose a function URL is.
type urlPlace struct{ Account, Region, Function, Qualifier string }

var (
	urls      = store.NewTable[urlConfig]("lambda/url", store.Regional)
	urlPlaces = store.NewTable[urlPlace]("lambda/urlplace", store.Global)
)

const (
	urlLetters = "abcdefghijklmnopqrstuvwxyz234567"
	urlStamp   = "2006-01-02T15:04:05.000Z07:00"
)

// URLDomains are the suffixes of hosts that function URLs have: "id.lambda-url.us-east-1.localhost".
var URLDomains = []string{".localhost.localstack.cloud", ".localhost", ".on.aws"}

// URLHost reads the identifier of a function URL off a host: {id}.lambda-url.{region} and one of the domains.
func URLHost(host string) (id string, ok bool) {
	id, rest, ok := strings.Cut(host, ".lambda-url.")
	if !ok || id == "" || strings.Contains(id, ".") {
		return "", false
	}
	for _, d := range URLDomains {
		if region, ok := strings.CutSuffix(rest, d); ok && region != "" && !strings.Contains(region, ".") {
			return id, true
		}
	}
	return "", false
}

// urlEndpoint is the address of a function URL, below the name the client knows us by.
func urlEndpoint(c *aws.Call, id, region string) string {
	scheme, rest, _ := strings.Cut(c.Endpoint, "://")
	domain, port := URLDomains[1], ""
	host := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "]") {
		host, port = rest[:i], rest[i:]
	}
	if strings.HasSuffix("."+host, URLDomains[0]) {
		domain = URLDomains[0]
	}
	if scheme == "" {
		scheme = "http"
	}
	return scheme + "://" + id + ".lambda-url." + region + domain + port + "/"
}

// referURL is the function or alias a URL belongs to; versions have none.
func referURL(ctx context.Context, name, qualifier string) (reference, error) {
	r, err := refer(ctx, name, qualifier)
	if _, number := versionNumber(r.qualifier); err == nil && (number || r.qualifier == latest) {
		err = lambda.ValidationException("1 validation error detected: Value '%s' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)", r.qualifier)
	}
	return r, err
}

// describe is the configuration as the API shows it.
func (u *urlConfig) describe(ctx context.Context, r reference) *lambda.FunctionUrlConfig {
	return &lambda.FunctionUrlConfig{FunctionUrl: urlEndpoint(aws.CallFrom(ctx), u.ID, r.region), FunctionArn: string(r.arn()), AuthType: u.Auth,
		CreationTime: u.Created.Format(urlStamp), LastModifiedTime: u.Modified.Format(urlStamp), Cors: u.Cors.describe(),
		InvokeMode: new(u.mode())}
}

// mode is how the function is invoked.
func (u *urlConfig) mode() string { return cmp.Or(u.Mode, lambda.InvokeModeBuffered) }

// findURL returns the URL of a function or alias.
func findURL(tx *store.Tx, r reference) (urlConfig, error) {
	u, ok := urls.Get(tx, r.key())
	if !ok {
		return u, lambda.ResourceNotFoundException("The resource you requested does not exist.")
	}
	return u, nil
}

// deleteURL removes the URL of a function or alias, if it has one.
func deleteURL(tx *store.Tx, r reference) {
	if u, ok := urls.Get(tx, r.key()); ok {
		urls.Delete(tx, r.key())
		urlPlaces.Delete(tx, store.K(u.ID))
	}
}

// deleteURLs removes the URLs of a function and its aliases.
func deleteURLs(tx *store.Tx, name string) {
	for key, u := range urls.All(tx, store.K(name)) {
		urls.Delete(tx, key)
		urlPlaces.Delete(tx, store.K(u.ID))
	}
}

// CreateFunctionUrlConfig gives a function or alias an HTTP address.
func (s *Service) CreateFunctionUrlConfig(ctx context.Context, in *lambda.CreateFunctionUrlConfigInput) (*lambda.CreateFunctionUrlConfigOutput, error) {
	r, err := referURL(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	rules, err := readCors(in.Cors)
	if err != nil {
		return nil, err
	}
	now := s.world.Now()
	u := urlConfig{ID: s.world.Text(32, urlLetters), Auth: in.AuthType, Mode: in.GetInvokeMode(), Cors: rules, Created: now, Modified: now}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := find(tx, r); err != nil {
			return err
		}
		if urls.Has(tx, r.key()) {
			return lambda.ResourceConflictException("Failed to create function url config for [functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function", r.arn())
		}
		urls.Put(tx, r.key(), u)
		urlPlaces.Put(tx, store.K(u.ID), urlPlace{tx.Account(), tx.Region(), r.name, r.qualifier})
		return nil
	})
	if err != nil {
		return nil, err
	}
	d := u.describe(ctx, r)
	return &lambda.CreateFunctionUrlConfigOutput{FunctionUrl: d.FunctionUrl, FunctionArn: d.FunctionArn, AuthType: d.AuthType, Cors: d.Cors,
		CreationTime: d.CreationTime, InvokeMode: d.InvokeMode}, nil
}

// GetFunctionUrlConfig describes the URL of a function or alias.
func (s *Service) GetFunctionUrlConfig(ctx context.Context, in *lambda.GetFunctionUrlConfigInput) (*lambda.GetFunctionUrlConfigOutput, error) {
	r, err := referURL(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	var u urlConfig
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		u, err = findURL(tx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	d := u.describe(ctx, r)
	return &lambda.GetFunctionUrlConfigOutput{FunctionUrl: d.FunctionUrl, FunctionArn: d.FunctionArn, AuthType: d.AuthType, Cors: d.Cors,
		CreationTime: d.CreationTime, LastModifiedTime: d.LastModifiedTime, InvokeMode: d.InvokeMode}, nil
}

// UpdateFunctionUrlConfig changes what the request names.
func (s *Service) UpdateFunctionUrlConfig(ctx context.Context, in *lambda.UpdateFunctionUrlConfigInput) (*lambda.UpdateFunctionUrlConfigOutput, error) {
	r, err := referURL(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	rules, err := readCors(in.Cors)
	if err != nil {
		return nil, err
	}
	now := s.world.Now()
	var u urlConfig
	err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if u, err = findURL(tx, r); err != nil {
			return err
		}
		put(&u.Auth, in.AuthType)
		put(&u.Mode, in.InvokeMode)
		if in.Cors != nil {
			u.Cors = rules
		}
		u.Modified = now
		urls.Put(tx, r.key(), u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	d := u.describe(ctx, r)
	return &lambda.UpdateFunctionUrlConfigOutput{FunctionUrl: d.FunctionUrl, FunctionArn: d.FunctionArn, AuthType: d.AuthType, Cors: d.Cors,
		CreationTime: d.CreationTime, LastModifiedTime: d.LastModifiedTime, InvokeMode: d.InvokeMode}, nil
}

// DeleteFunctionUrlConfig takes the URL of a function or alias away.
func (s *Service) DeleteFunctionUrlConfig(ctx context.Context, in *lambda.DeleteFunctionUrlConfigInput) (*lambda.DeleteFunctionUrlConfigOutput, error) {
	r, err := referURL(ctx, in.FunctionName, in.GetQualifier())
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := findURL(tx, r); err != nil {
			return err
		}
		deleteURL(tx, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteFunctionUrlConfigOutput{}, nil
}

// ListFunctionUrlConfigs lists the URLs of a function and its aliases.
func (s *Service) ListFunctionUrlConfigs(ctx context.Context, in *lambda.ListFunctionUrlConfigsInput) (*lambda.ListFunctionUrlConfigsOutput, error) {
	out := &lambda.ListFunctionUrlConfigsOutput{}
	err := s.list(ctx, in.FunctionName, in.GetMarker(), in.GetMaxItems(), func(tx *store.Tx, r reference, after store.Key, limit int) (err error) {
		out.FunctionUrlConfigs, out.NextMarker = []lambda.FunctionUrlConfig{}, nil
		last := ""
		for key, u := range urls.Scan(tx, store.Range{Prefix: store.K(r.name), After: r.after(after)}) {
			if len(out.FunctionUrlConfigs) == limit {
				out.NextMarker = new(writeMarker(last))
				break
			}
			if last, err = qualifierOf(key); err != nil {
				return err
			}
			of := r.at(last)
			if last == latest {
				of = r
			}
			out.FunctionUrlConfigs = append(out.FunctionUrlConfigs, *u.describe(ctx, of))
		}
		return nil
	})
	return out, err
}

// cors are a URL's rules for requests of pages from elsewhere.
type cors struct {
	Credentials bool     `json:",omitempty"`
	Headers     []string `json:",omitempty"`
	Methods     []string `json:",omitempty"`
	Origins     []string `json:",omitempty"`
	Expose      []string `json:",omitempty"`
	MaxAge      *int32   `json:",omitempty"` // seconds
}

func readCors(in *lambda.Cors) (*cors, error) {
	if in == nil {
		return nil, nil
	}
	c := &cors{Credentials: in.GetAllowCredentials(), Headers: in.AllowHeaders, Methods: in.AllowMethods, Origins: in.AllowOrigins,
		Expose: in.ExposeHeaders, MaxAge: in.MaxAge}
	if c.Credentials && slices.Contains(c.Origins, "*") {
		return nil, lambda.InvalidParameterValueException("AllowCredentials cannot be true when AllowOrigins contains *.")
	}
	return c, nil
}

func (c *cors) describe() *lambda.Cors {
	if c == nil {
		return nil
	}
	d := &lambda.Cors{AllowHeaders: c.Headers, AllowMethods: c.Methods, AllowOrigins: c.Origins, ExposeHeaders: c.Expose, MaxAge: c.MaxAge}
	if c.Credentials {
		d.AllowCredentials = &c.Credentials
	}
	return d
}
