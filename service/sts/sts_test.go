package sts

import (
	"context"
	"strings"
	"testing"
	"time"

	"fogbank/api/sts"
	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
	"fogbank/world"
)

const (
	account = "111111111111"
	roleARN = "arn:aws:iam::" + account + ":role/app/r"
)

// directory is IAM with one role.
type directory struct {
	sealer *credential.Sealer
	world  *world.World
}

func (d *directory) Role(_ context.Context, arn aws.ARN) (credential.Role, bool, error) {
	return credential.Role{ARN: roleARN, ID: "AROAEXAMPLEEXAMPLE001", MaxSession: 2 * time.Hour}, arn == roleARN, nil
}

func (d *directory) TrustPolicy(_ context.Context, arn aws.ARN) (*policy.Document, error) {
	if arn != roleARN {
		return nil, nil
	}
	return policy.Parse(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`)
}

func (d *directory) ManagedPolicy(_ context.Context, arn string) (bool, error) {
	return arn == "arn:aws:iam::aws:policy/A", nil
}

func (d *directory) KeyAccount(_ context.Context, id string) (string, bool, error) {
	return account, id == "AKIAAAAAAAAAAAAAAAAA", nil
}

func (d *directory) Issue(_ context.Context, x *credential.Session) (credential.Temporary, error) {
	return d.sealer.Seal(d.world, x)
}

func open(t *testing.T) (*Service, *directory) {
	t.Helper()
	w := world.Seeded(1)
	sealer, err := credential.NewSealer(make([]byte, credential.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	d := &directory{sealer, w}
	return New(w, d), d
}

var (
	user = aws.Principal{Kind: aws.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/u", UserID: "AIDAEXAMPLEEXAMPLE001", Key: "AKIAAAAAAAAAAAAAAAAA"}
	root = aws.Principal{Kind: aws.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account, Key: "AKIAROOT"}
	role = aws.Principal{Kind: aws.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/x/s", Key: "ASIAX"}
)

func as(p aws.Principal) context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Principal: p, Account: account, Region: "us-east-1"})
}

func TestAssumeRole(t *testing.T) {
	const narrow = `{ "Version": "2012-10-17", "Statement": [{"Effect":"Allow","Action":"sqs:*","Resource":"*"}] }`
	tested := root
	tested.Key = "test"
	for _, c := range []struct {
		name  string
		who   aws.Principal
		in    sts.AssumeRoleInput
		error string
	}{
		{"plain", user, sts.AssumeRoleInput{}, ""},
		{"by a service", aws.Principal{Kind: aws.ServicePrincipal, ARN: "lambda.amazonaws.com"}, sts.AssumeRoleInput{}, ""},
		{"narrowed and tagged", user, sts.AssumeRoleInput{Policy: new(narrow), PolicyArns: []sts.PolicyDescriptorType{{Arn: new("arn:aws:iam::aws:policy/A")}},
			Tags: []sts.Tag{{Key: "k", Value: "v"}}}, ""},
		{"as long as the role allows", user, sts.AssumeRoleInput{DurationSeconds: new(int32(7200))}, ""},
		{"longer", user, sts.AssumeRoleInput{DurationSeconds: new(int32(7201))}, "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"chained", role, sts.AssumeRoleInput{}, ""},
		{"chained too long", role, sts.AssumeRoleInput{DurationSeconds: new(int32(3601))},
			"ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"},
		{"root", root, sts.AssumeRoleInput{}, "AccessDenied: Roles may not be assumed by root accounts."},
		{"root of test suites", tested, sts.AssumeRoleInput{}, ""},
		{"no such role", user, sts.AssumeRoleInput{RoleArn: roleARN + "x"},
			"AccessDenied: User: arn:aws:iam::111111111111:user/u is not authorized to perform: sts:AssumeRole on resource: " + roleARN + "x"},
		{"bad policy", user, sts.AssumeRoleInput{Policy: new("{")}, "MalformedPolicyDocument: This policy contains invalid Json"},
		{"unknown policy", user, sts.AssumeRoleInput{PolicyArns: []sts.PolicyDescriptorType{{Arn: new("arn:aws:iam::aws:policy/B")}}},
			"ValidationError: Policy arn:aws:iam::aws:policy/B does not exist or is not attachable."},
		{"tags alike", user, sts.AssumeRoleInput{Tags: []sts.Tag{{Key: "k"}, {Key: "K"}}},
			"InvalidParameterValue: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"too much", user, sts.AssumeRoleInput{Tags: []sts.Tag{{Key: "k", Value: strings.Repeat("v", 5000)}}},
			"PackedPolicyTooLarge: Packed policy consumes 123% of allotted space, please use smaller policy."},
		{"MFA", user, sts.AssumeRoleInput{TokenCode: new("123456")},
			"AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."},
		{"source identity", user, sts.AssumeRoleInput{SourceIdentity: new("x")},
			"NotImplemented: sts AssumeRole with SourceIdentity, TransitiveTagKeys or ProvidedContexts is not implemented"},
	} {
		s, d := open(t)
		c.in.RoleSessionName = "s"
		if c.in.RoleArn == "" {
			c.in.RoleArn = roleARN
		}
		out, err := s.AssumeRole(as(c.who), &c.in)
		if got := text(err); got != c.error {
			t.Errorf("%s: %q, want %q", c.name, got, c.error)
		}
		if err != nil {
			continue
		}
		if out.AssumedRoleUser.Arn != "arn:aws:sts::111111111111:assumed-role/r/s" || out.AssumedRoleUser.AssumedRoleId != "AROAEXAMPLEEXAMPLE001:s" {
			t.Errorf("%s: %+v", c.name, out.AssumedRoleUser)
		}
		x, secret, err := d.sealer.Open(out.Credentials.AccessKeyId, out.Credentials.SessionToken)
		if err != nil || secret != out.Credentials.SecretAccessKey || x.Kind != aws.AssumedRole || x.ID != "AROAEXAMPLEEXAMPLE001" || x.Name != "s" ||
			!x.Expires.Equal(out.Credentials.Expiration) || len(x.Tags) != len(c.in.Tags) || len(x.PolicyARNs) != len(c.in.PolicyArns) || x.Chained != (c.who.Kind == aws.AssumedRole) {
			t.Errorf("%s: %+v, %v", c.name, x, err)
		}
	}
}

// text is an error as the query protocol spells it.
func text(err error) string {
	if err == nil {
		return ""
	}
	e := aws.AsError(err)
	if e.Query != "" {
		return e.Query + ": " + e.Message
	}
	return e.Error()
}

func TestOwnSessions(t *testing.T) {
	s, d := open(t)
	temporary := user
	temporary.Key = "ASIAX"
	for _, p := range []aws.Principal{temporary, role} {
		_, err := s.GetSessionToken(as(p), &sts.GetSessionTokenInput{})
		if got, want := text(err), "AccessDenied: Cannot call GetSessionToken with session credentials"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		_, err = s.GetFederationToken(as(p), &sts.GetFederationTokenInput{Name: "f"})
		if got, want := text(err), "AccessDenied: Cannot call GetFederationToken with session credentials"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		who aws.Principal
		in  *int32
		d   time.Duration
	}{{user, nil, 12 * time.Hour}, {user, new(int32(900)), 15 * time.Minute}, {root, nil, time.Hour}, {root, new(int32(7200)), time.Hour}} {
		out, err := s.GetSessionToken(as(c.who), &sts.GetSessionTokenInput{DurationSeconds: c.in})
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := d.sealer.Open(out.Credentials.AccessKeyId, out.Credentials.SessionToken)
		if err != nil || x.Kind != c.who.Kind || x.ID != c.who.UserID || x.Expires.Sub(x.Issued) != c.d {
			t.Errorf("%+v, %v; want %v", x, err, c.d)
		}
	}
	out, err := s.GetFederationToken(as(user), &sts.GetFederationTokenInput{Name: "f"})
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := d.sealer.Open(out.Credentials.AccessKeyId, out.Credentials.SessionToken)
	if err != nil || x.Kind != aws.FederatedUser || x.Name != "f" || x.Policy == "" || out.FederatedUser.FederatedUserId != account+":f" {
		t.Errorf("%+v, %v", x, err)
	}
	info, err := s.GetAccessKeyInfo(as(user), &sts.GetAccessKeyInfoInput{AccessKeyId: out.Credentials.AccessKeyId})
	if err != nil || *info.Account != account {
		t.Errorf("%+v, %v", info, err)
	}
	me, err := s.GetCallerIdentity(as(user), nil)
	if err != nil || *me.Arn != string(user.ARN) || *me.UserId != user.UserID || *me.Account != account {
		t.Errorf("%+v, %v", me, err)
	}
}

func TestAccess(t *testing.T) {
	s, _ := open(t)
	list, err := s.Access(as(user), nil, &sts.AssumeRoleInput{RoleArn: roleARN, RoleSessionName: "s", ExternalId: new("e"), Tags: []sts.Tag{{Key: "k", Value: "v"}}})
	if err != nil || len(list) != 2 || list[0].Resource != roleARN || list[1].Action != "sts:TagSession" || list[0].Context["sts:ExternalId"][0] != "e" ||
		list[1].Context["aws:RequestTag/k"][0] != "v" {
		t.Errorf("%+v, %v", list, err)
	}
	_, err = s.Access(as(user), nil, &sts.AssumeRoleInput{RoleArn: "arn:aws:iam::111111111111:user/u"})
	if got, want := text(err), "ValidationError: arn:aws:iam::111111111111:user/u is invalid"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if d, err := s.ResourcePolicy(as(user), roleARN); d == nil || err != nil {
		t.Errorf("no trust policy: %v", err)
	}
	if d, err := s.ResourcePolicy(as(user), "arn:aws:sqs:us-east-1:111111111111:q"); d != nil || err != nil {
		t.Errorf("%v, %v", d, err)
	}
}
