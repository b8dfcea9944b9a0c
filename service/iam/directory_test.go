package iam

import (
	"context"
	"strings"
	"testing"
	"time"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
)

// may asks policy whether p may send to a queue.
func may(t testing.TB, s *Service, p aws.Principal) policy.Decision {
	t.Helper()
	id := ok[policy.Identity](t)(s.Identity(context.Background(), p))
	session := ok[[]*policy.Document](t)(policy.ParseAll(p.SessionPolicies))
	return policy.Evaluate(&policy.Request{Principal: p, Action: "sqs:SendMessage", Resource: "arn:aws:sqs:us-east-1:111111111111:q",
		ResourceAccount: account, Identity: id, Session: session})
}

// look asks for a credential.
func look(t testing.TB, s *Service, keyID, token string) (credential.Credential, bool) {
	t.Helper()
	c, found, err := s.Credential(credential.WithToken(context.Background(), token), keyID)
	if err != nil {
		t.Fatal(err)
	}
	return c, found
}

func TestRootKeys(t *testing.T) {
	s, _ := open(t)
	c, found := look(t, s, "test", "")
	if !found || c.Principal.Kind != aws.Root || c.Principal.Account != "000000000000" || c.Secret != "test" || !c.Active {
		t.Fatalf("%+v", c.Principal)
	}
	if c, found = look(t, s, "123456789012", ""); !found || c.Principal.ARN != "arn:aws:iam::123456789012:root" || c.Secret != "test" {
		t.Errorf("a 12-digit key is %+v", c.Principal)
	}
	if _, found = look(t, s, "12345678901x", ""); found {
		t.Error("12345678901x is a key")
	}
	if err := s.SeedRootKey(context.Background(), "AKIAROOTROOTROOTROOT", "secret", "000000000000"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"test", "123456789012"} {
		if _, found = look(t, s, id, ""); found {
			t.Errorf("%s still works", id)
		}
	}
	if has, err := s.HasTestKey(context.Background()); has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	if has, _, err := s.RootKeys(context.Background(), "000000000000"); !has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	if c, found = look(t, s, "AKIAROOTROOTROOTROOT", ""); !found || c.Principal.Kind != aws.Root {
		t.Errorf("the new root key is %+v", c.Principal)
	}
}

// TestUserKey follows what one key may do while its user's policies change.
func TestUserKey(t *testing.T) {
	s, ctx := open(t)
	ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u", Tags: []iam.Tag{{Key: "team", Value: "blue"}}}))
	k := ok[*iam.CreateAccessKeyOutput](t)(s.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("u")})).AccessKey
	c, found := look(t, s, k.AccessKeyId, "")
	if !found || c.Secret != k.SecretAccessKey || c.Principal.ARN != "arn:aws:iam::111111111111:user/u" || c.Principal.Tags["team"] != "blue" {
		t.Fatalf("%+v", c.Principal)
	}
	check := func(when string, want bool) {
		t.Helper()
		if d := may(t, s, c.Principal); d.Allowed != want {
			t.Errorf("%s: %+v", when, d)
		}
	}
	check("no policy", false)
	ok[*iam.CreateGroupOutput](t)(s.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: "g"}))
	ok[*iam.PutGroupPolicyOutput](t)(s.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: "g", PolicyName: "p", PolicyDocument: anyQueue}))
	check("outside the group", false)
	ok[*iam.AddUserToGroupOutput](t)(s.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: "g", UserName: "u"}))
	check("in the group", true)
	ok[*iam.RemoveUserFromGroupOutput](t)(s.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: "g", UserName: "u"}))
	check("out of the group", false)
	p := ok[*iam.CreatePolicyOutput](t)(s.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: "p", PolicyDocument: anyQueue})).Policy
	ok[*iam.AttachUserPolicyOutput](t)(s.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: "u", PolicyArn: *p.Arn}))
	check("attached", true)
	ok[*iam.CreatePolicyVersionOutput](t)(s.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: *p.Arn,
		PolicyDocument: strings.Replace(anyQueue, "sqs", "sns", 1), SetAsDefault: new(true)}))
	check("another version", false)
	ok[*iam.SetDefaultPolicyVersionOutput](t)(s.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: *p.Arn, VersionId: "v1"}))
	check("the first version again", true)
	ok[*iam.PutUserPermissionsBoundaryOutput](t)(s.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: "u",
		PermissionsBoundary: "arn:aws:iam::aws:policy/IAMFullAccess"}))
	check("bounded", false)
	ok[*iam.PutUserPermissionsBoundaryOutput](t)(s.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: "u",
		PermissionsBoundary: administratorAccess}))
	check("bounded widely", true)

	ok[*iam.UpdateAccessKeyOutput](t)(s.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: new("u"), AccessKeyId: k.AccessKeyId, Status: "Inactive"}))
	if c, _ := look(t, s, k.AccessKeyId, ""); c.Active {
		t.Error("the key is still active")
	}
	ok[*iam.DeleteAccessKeyOutput](t)(s.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("u"), AccessKeyId: k.AccessKeyId}))
	if _, found := look(t, s, k.AccessKeyId, ""); found {
		t.Error("the key is still there")
	}
}

func TestSessions(t *testing.T) {
	s, ctx := open(t)
	r := ok[*iam.CreateRoleOutput](t)(s.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "r", Path: new("/app/"), AssumeRolePolicyDocument: lambdaTrust})).Role
	ok[*iam.PutRolePolicyOutput](t)(s.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: "r", PolicyName: "p", PolicyDocument: anyQueue}))
	issue := func(x credential.Session) credential.Temporary {
		x.Account, x.Expires = account, s.now().Add(time.Hour)
		return ok[credential.Temporary](t)(s.Issue(ctx, &x))
	}
	c := issue(credential.Session{Kind: aws.AssumedRole, ID: r.RoleId, Name: "s", Tags: map[string]string{"k": "v"}})
	got, found := look(t, s, c.AccessKeyID, c.SessionToken)
	if p := got.Principal; !found || got.Secret != c.SecretAccessKey || got.Token != c.SessionToken || !got.Expires.Equal(c.Expires) || p.Kind != aws.AssumedRole ||
		p.ARN != "arn:aws:sts::111111111111:assumed-role/r/s" || p.Role != "arn:aws:iam::111111111111:role/app/r" || p.UserID != r.RoleId+":s" || p.Tags["k"] != "v" {
		t.Fatalf("%+v", got)
	}
	if d := may(t, s, got.Principal); !d.Allowed {
		t.Errorf("%+v", d)
	}
	for _, token := range []string{"", c.SessionToken + "A", "Fog1AAAA"} {
		if _, found := look(t, s, c.AccessKeyID, token); found {
			t.Errorf("token %q opens the session", token)
		}
	}
	narrow := issue(credential.Session{Kind: aws.AssumedRole, ID: r.RoleId, Name: "s", PolicyARNs: []string{"arn:aws:iam::aws:policy/AmazonSNSFullAccess"}})
	if got, _ := look(t, s, narrow.AccessKeyID, narrow.SessionToken); may(t, s, got.Principal).Reason != policy.SessionLayer {
		t.Errorf("a session policy does not narrow: %+v", got.Principal)
	}
	gone := issue(credential.Session{Kind: aws.AssumedRole, ID: r.RoleId, Name: "s", PolicyARNs: []string{"arn:aws:iam::111111111111:policy/gone"}})
	if got, _ := look(t, s, gone.AccessKeyID, gone.SessionToken); may(t, s, got.Principal).Allowed {
		t.Error("a deleted session policy does not narrow")
	}

	u := ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u"})).User
	ok[*iam.AttachUserPolicyOutput](t)(s.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: "u", PolicyArn: administratorAccess}))
	own := issue(credential.Session{Kind: aws.User, ID: u.UserId})
	got, found = look(t, s, own.AccessKeyID, own.SessionToken)
	if !found || string(got.Principal.ARN) != u.Arn || !may(t, s, got.Principal).Allowed {
		t.Errorf("%+v", got.Principal)
	}
	id := ok[policy.Identity](t)(s.Identity(ctx, got.Principal))
	if d := policy.Evaluate(&policy.Request{Principal: got.Principal, Action: "iam:ListUsers", Resource: "*", Identity: id}); !d.Explicit {
		t.Errorf("a user's session may call IAM: %+v", d)
	}
	fed := issue(credential.Session{Kind: aws.FederatedUser, ID: u.UserId, Name: "f", Policy: anyQueue})
	got, found = look(t, s, fed.AccessKeyID, fed.SessionToken)
	if !found || got.Principal.ARN != "arn:aws:sts::111111111111:federated-user/f" || !may(t, s, got.Principal).Allowed {
		t.Errorf("%+v %+v", got.Principal, may(t, s, got.Principal))
	}

	ok[*iam.DeleteRolePolicyOutput](t)(s.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: "r", PolicyName: "p"}))
	ok[*iam.DeleteRoleOutput](t)(s.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: "r"}))
	ok[*iam.CreateRoleOutput](t)(s.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "r", Path: new("/app/"), AssumeRolePolicyDocument: lambdaTrust}))
	if _, found := look(t, s, c.AccessKeyID, c.SessionToken); found {
		t.Error("the session outlives its role")
	}
}

func TestClear(t *testing.T) {
	s, ctx := open(t)
	ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u"}))
	k := ok[*iam.CreateAccessKeyOutput](t)(s.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("u")})).AccessKey
	if err := s.db.Clear(ctx, account); err != nil {
		t.Fatal(err)
	}
	if _, found := look(t, s, k.AccessKeyId, ""); found {
		t.Error("the key outlives its account's state")
	}
	if err := s.db.Clear(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if _, found := look(t, s, "test", ""); !found {
		t.Error("an empty store has no root key")
	}
	ok[credential.Temporary](t)(s.Issue(ctx, &credential.Session{Kind: aws.Root, Account: account, ID: account}))
}

func TestAccess(t *testing.T) {
	s, ctx := open(t)
	ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u", Path: new("/x/"), Tags: []iam.Tag{{Key: "a", Value: "1"}}}))
	ops := map[string]int{}
	for i, op := range iam.API.Operations {
		ops[op.Name] = i
	}
	for _, c := range []struct {
		op   string
		in   any
		want string
		key  string
	}{
		{"GetUser", &iam.GetUserInput{UserName: new("u")}, "arn:aws:iam::111111111111:user/x/u", "aws:ResourceTag/a"},
		{"CreateUser", &iam.CreateUserInput{UserName: "v", Path: new("/y/"), Tags: []iam.Tag{{Key: "b", Value: "2"}}}, "arn:aws:iam::111111111111:user/y/v", "aws:RequestTag/b"},
		{"ListUsers", &iam.ListUsersInput{}, "arn:aws:iam::111111111111:user/", ""},
		{"ListRoles", &iam.ListRolesInput{PathPrefix: new("/x/")}, "arn:aws:iam::111111111111:role/x/", ""},
		{"ListPolicies", &iam.ListPoliciesInput{}, "*", ""},
		{"GetAccountSummary", &iam.GetAccountSummaryInput{}, "*", ""},
		{"AttachUserPolicy", &iam.AttachUserPolicyInput{UserName: "u", PolicyArn: administratorAccess}, "arn:aws:iam::111111111111:user/x/u", "iam:PolicyARN"},
		{"AddUserToGroup", &iam.AddUserToGroupInput{UserName: "u", GroupName: "g"}, "arn:aws:iam::111111111111:group/g", ""},
		{"CreateRole", &iam.CreateRoleInput{RoleName: "r", PermissionsBoundary: new(administratorAccess)}, "arn:aws:iam::111111111111:role/r", "iam:PermissionsBoundary"},
		{"GetPolicy", &iam.GetPolicyInput{PolicyArn: administratorAccess}, administratorAccess, ""},
		{"CreatePolicy", &iam.CreatePolicyInput{PolicyName: "p"}, "arn:aws:iam::111111111111:policy/p", ""},
	} {
		list := ok[[]aws.Access](t)(s.Access(ctx, iam.API.Operations[ops[c.op]], c.in))
		if len(list) != 1 || string(list[0].Resource) != c.want || c.key != "" && list[0].Context[c.key] == nil {
			t.Errorf("%s: %+v, want %s with %s", c.op, list, c.want, c.key)
		}
	}
}

// BenchmarkCredential is what every signed request costs here: finding its key and its policies.
func BenchmarkCredential(b *testing.B) {
	s, ctx := open(b)
	r := ok[*iam.CreateRoleOutput](b)(s.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: lambdaTrust})).Role
	ok[*iam.PutRolePolicyOutput](b)(s.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: "r", PolicyName: "p", PolicyDocument: anyQueue}))
	ok[*iam.AttachRolePolicyOutput](b)(s.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: "r", PolicyArn: administratorAccess}))
	ok[*iam.CreateUserOutput](b)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u"}))
	k := ok[*iam.CreateAccessKeyOutput](b)(s.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("u")})).AccessKey
	x := ok[credential.Temporary](b)(s.Issue(ctx, &credential.Session{Kind: aws.AssumedRole, Account: account, ID: r.RoleId, Name: "s", Expires: s.now().Add(time.Hour)}))
	for _, of := range []struct{ name, id, token string }{{"root", "test", ""}, {"user", k.AccessKeyId, ""}, {"session", x.AccessKeyID, x.SessionToken}} {
		b.Run(of.name, func(b *testing.B) {
			ctx := credential.WithToken(ctx, of.token)
			b.ReportAllocs()
			for b.Loop() {
				c, _, err := s.Credential(ctx, of.id)
				if err != nil {
					b.Fatal(err)
				}
				if c.Principal.Kind == aws.Root {
					continue
				}
				if _, err := s.Identity(ctx, c.Principal); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
