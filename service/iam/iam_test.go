package iam

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
	"fogbank/world"
)

const account = "111111111111"

// rootCtx is a call of the account's root.
func rootCtx() context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Account: account, Region: "us-east-1",
		Principal: aws.Principal{Kind: aws.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account}})
}

func open(t testing.TB) (*Service, context.Context) {
	t.Helper()
	w := world.Seeded(1)
	db := store.Memory(w)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		w.Stop()
	})
	s := New(db, w, Options{RootKeyID: "test", RootSecret: "test"})
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s, rootCtx()
}

// ok fails the test on an error.
func ok[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// fails checks an error's code, as the query protocol spells it, and message.
func fails(t testing.TB, err error, code, message string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	e := aws.AsError(err)
	got := e.Code
	if e.Query != "" {
		got = e.Query
	}
	if got != code || e.Message != message {
		t.Errorf("got  %s: %s\nwant %s: %s", got, e.Message, code, message)
	}
}

const (
	anyQueue    = `{"Version":"2012-10-17","Statement":[{"Sid":"q","Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`
	lambdaTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

func TestUsers(t *testing.T) {
	s, ctx := open(t)
	u := ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "ann", Path: new("/dept/"), Tags: []iam.Tag{{Key: "a", Value: "1"}}})).User
	if u.Arn != "arn:aws:iam::111111111111:user/dept/ann" || len(u.UserId) != 21 || !strings.HasPrefix(u.UserId, "AIDA") {
		t.Errorf("%+v", u)
	}
	_, err := s.CreateUser(ctx, &iam.CreateUserInput{UserName: "ANN"})
	fails(t, err, "EntityAlreadyExists", "User with name ANN already exists.")
	_, err = s.GetUser(ctx, &iam.GetUserInput{UserName: new("bob")})
	fails(t, err, "NoSuchEntity", "The user with name bob cannot be found.")
	_, err = s.TagUser(ctx, &iam.TagUserInput{UserName: "ann", Tags: []iam.Tag{{Key: "x", Value: "1"}, {Key: "X", Value: "2"}}})
	fails(t, err, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")

	var made []string
	for range 2 {
		made = append(made, ok[*iam.CreateAccessKeyOutput](t)(s.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})).AccessKey.AccessKeyId)
	}
	_, err = s.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	fails(t, err, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
	_, err = s.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("ann"), AccessKeyId: "AKIAAAAAAAAAAAAAAAAA"})
	fails(t, err, "NoSuchEntity", "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found")
	_, err = s.DeleteUser(ctx, &iam.DeleteUserInput{UserName: "ann"})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must delete access keys first.")

	ok[*iam.UpdateUserOutput](t)(s.UpdateUser(ctx, &iam.UpdateUserInput{UserName: "ann", NewUserName: new("anna"), NewPath: new("/")}))
	listed := ok[*iam.ListAccessKeysOutput](t)(s.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: new("anna")})).AccessKeyMetadata
	if len(listed) != 2 || *listed[0].UserName != "anna" {
		t.Errorf("keys after renaming: %+v", listed)
	}
	for _, id := range made {
		ok[*iam.DeleteAccessKeyOutput](t)(s.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: new("anna"), AccessKeyId: id}))
	}
	ok[*iam.PutUserPolicyOutput](t)(s.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: "anna", PolicyName: "p", PolicyDocument: anyQueue}))
	_, err = s.DeleteUser(ctx, &iam.DeleteUserInput{UserName: "anna"})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	ok[*iam.DeleteUserPolicyOutput](t)(s.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: "anna", PolicyName: "p"}))
	ok[*iam.DeleteUserOutput](t)(s.DeleteUser(ctx, &iam.DeleteUserInput{UserName: "anna"}))
	if n := ok[*iam.GetAccountSummaryOutput](t)(s.GetAccountSummary(ctx, nil)).SummaryMap["Users"]; n != 0 {
		t.Errorf("%d users counted, want none", n)
	}
}

func TestListing(t *testing.T) {
	s, ctx := open(t)
	for _, n := range []string{"e", "b", "D", "a", "c"} {
		ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: n, Path: new("/x/")}))
	}
	ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "aa"}))
	var got []string
	in := &iam.ListUsersInput{PathPrefix: new("/x/"), MaxItems: new(int32(2))}
	for {
		out := ok[*iam.ListUsersOutput](t)(s.ListUsers(ctx, in))
		for _, u := range out.Users {
			got = append(got, u.UserName)
		}
		if !*out.IsTruncated {
			break
		}
		in.Marker = out.Marker
	}
	if want := []string{"a", "b", "c", "D", "e"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	_, err := s.ListUsers(ctx, &iam.ListUsersInput{Marker: new("!")})
	fails(t, err, "ValidationError", "Invalid Marker.")
	other := aws.WithCall(context.Background(), &aws.Call{Account: "222222222222"})
	if n := len(ok[*iam.ListUsersOutput](t)(s.ListUsers(other, &iam.ListUsersInput{})).Users); n != 0 {
		t.Errorf("another account sees %d users", n)
	}
	aws1 := ok[*iam.ListPoliciesOutput](t)(s.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: new("AWS"), MaxItems: new(int32(3))}))
	if len(aws1.Policies) != 3 || !*aws1.IsTruncated {
		t.Errorf("%d policies", len(aws1.Policies))
	}
	rest := ok[*iam.ListPoliciesOutput](t)(s.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: new("AWS"), Marker: aws1.Marker}))
	if len(rest.Policies) != len(awsPolicies)-3 || *rest.IsTruncated {
		t.Errorf("%d policies", len(rest.Policies))
	}
}

func TestRoles(t *testing.T) {
	s, ctx := open(t)
	r := ok[*iam.CreateRoleOutput](t)(s.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: lambdaTrust, Description: new("d")})).Role
	if doc, err := url.QueryUnescape(*r.AssumeRolePolicyDocument); err != nil || doc != lambdaTrust || strings.ContainsAny(*r.AssumeRolePolicyDocument, `"+ *`) {
		t.Errorf("trust policy %s", *r.AssumeRolePolicyDocument)
	}
	got := ok[*iam.GetRoleOutput](t)(s.GetRole(ctx, &iam.GetRoleInput{RoleName: "r"})).Role
	if *got.MaxSessionDuration != 3600 || *got.Description != "d" || got.RoleId != r.RoleId {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct{ document, message string }{
		{"{", "This policy contains invalid Json"},
		{anyQueue, "Missing required field Principal"},
		{strings.Replace(lambdaTrust, `{"Service":"lambda.amazonaws.com"}`, `{"AWS":"arn:aws:iam::111111111111:user/nobody"}`, 1),
			`Invalid principal in policy: "AWS":"arn:aws:iam::111111111111:user/nobody"`},
	} {
		_, err := s.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "s", AssumeRolePolicyDocument: c.document})
		fails(t, err, "MalformedPolicyDocument", c.message)
	}
	_, err := s.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: "r", PolicyName: "p",
		PolicyDocument: strings.Replace(anyQueue, "sqs:*", "sqs:"+strings.Repeat("a", 10240), 1)})
	fails(t, err, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role r")
	_, err = s.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: "r", PolicyName: "p"})
	fails(t, err, "NoSuchEntity", "The role policy with name p cannot be found.")
	_, err = s.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: "r", PolicyArn: "arn:aws:iam::aws:policy/Nonesuch"})
	fails(t, err, "NoSuchEntity", "Policy arn:aws:iam::aws:policy/Nonesuch does not exist or is not attachable.")
	const basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
	ok[*iam.AttachRolePolicyOutput](t)(s.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: "r", PolicyArn: basic}))
	list := ok[*iam.ListAttachedRolePoliciesOutput](t)(s.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: "r", PathPrefix: new("/service-role/")})).AttachedPolicies
	if len(list) != 1 || *list[0].PolicyName != "AWSLambdaBasicExecutionRole" {
		t.Errorf("%+v", list)
	}
	who := ok[*iam.ListEntitiesForPolicyOutput](t)(s.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: basic}))
	if len(who.PolicyRoles) != 1 || *who.PolicyRoles[0].RoleName != "r" || len(who.PolicyUsers) != 0 {
		t.Errorf("%+v", who)
	}
	_, err = s.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: "r"})
	fails(t, err, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	ok[*iam.DetachRolePolicyOutput](t)(s.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: "r", PolicyArn: basic}))
	_, err = s.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: "r", PolicyArn: basic})
	fails(t, err, "NoSuchEntity", "Policy "+basic+" was not found.")
	ok[*iam.DeleteRoleOutput](t)(s.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: "r"}))
}

func TestManagedPolicies(t *testing.T) {
	s, ctx := open(t)
	p := ok[*iam.CreatePolicyOutput](t)(s.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: "p", Path: new("/team/"), PolicyDocument: anyQueue})).Policy
	arn := *p.Arn
	if arn != "arn:aws:iam::111111111111:policy/team/p" || *p.DefaultVersionId != "v1" {
		t.Errorf("%+v", p)
	}
	_, err := s.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: "P", PolicyDocument: anyQueue})
	fails(t, err, "EntityAlreadyExists", "A policy called P already exists. Duplicate names are not allowed.")
	_, err = s.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: "arn:aws:iam::111111111111:policy/p"})
	fails(t, err, "NoSuchEntity", "Policy arn:aws:iam::111111111111:policy/p was not found.")
	for range 4 {
		ok[*iam.CreatePolicyVersionOutput](t)(s.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: anyQueue, SetAsDefault: new(true)}))
	}
	_, err = s.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: anyQueue})
	fails(t, err, "LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	_, err = s.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: "v5"})
	fails(t, err, "DeleteConflict", "Cannot delete the default version of a policy.")
	_, err = s.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	fails(t, err, "DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	for _, v := range []string{"v1", "v2", "v3", "v4"} {
		ok[*iam.DeletePolicyVersionOutput](t)(s.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: v}))
	}
	ok[*iam.CreateGroupOutput](t)(s.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: "g"}))
	ok[*iam.AttachGroupPolicyOutput](t)(s.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: "g", PolicyArn: arn}))
	_, err = s.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	fails(t, err, "DeleteConflict", "Cannot delete a policy attached to entities.")
	ok[*iam.DetachGroupPolicyOutput](t)(s.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: "g", PolicyArn: arn}))
	_, err = s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u", PermissionsBoundary: new("arn:aws:iam::111111111111:policy/no")})
	fails(t, err, "NoSuchEntity", "Scope ARN: arn:aws:iam::111111111111:policy/no does not exist or is not attachable.")
	ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u", PermissionsBoundary: &arn}))
	_, err = s.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	fails(t, err, "DeleteConflict", "Cannot delete a policy attached to entities.")
	ok[*iam.DeleteUserPermissionsBoundaryOutput](t)(s.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: "u"}))
	ok[*iam.DeletePolicyOutput](t)(s.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))
	_, err = s.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: administratorAccess})
	fails(t, err, "AccessDenied", "The policy "+administratorAccess+" is managed by AWS and cannot be changed.")
}

// TestCatalog checks that every AWS managed policy passes IAM's own grammar and quota.
func TestCatalog(t *testing.T) {
	for arn, a := range newCatalog() {
		if err := a.parsed.Check(policy.IdentityPolicy); err != nil {
			t.Errorf("%s: %v", arn, err)
		}
		if n := characters(a.document); n > maxManagedPolicy {
			t.Errorf("%s has %d characters", arn, n)
		}
	}
}

func TestSimulate(t *testing.T) {
	s, ctx := open(t)
	u := ok[*iam.CreateUserOutput](t)(s.CreateUser(ctx, &iam.CreateUserInput{UserName: "u"})).User
	ok[*iam.PutUserPolicyOutput](t)(s.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: "u", PolicyName: "p", PolicyDocument: anyQueue}))
	out := ok[*iam.SimulatePolicyResponse](t)(s.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: u.Arn,
		ActionNames:     []string{"sqs:SendMessage", "sns:Publish", "sqs:DeleteQueue"},
		PolicyInputList: []string{`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"sqs:DeleteQueue","Resource":"*"}}`}}))
	var got []string
	for _, r := range out.EvaluationResults {
		got = append(got, r.EvalActionName+" "+r.EvalDecision)
	}
	if want := []string{"sqs:SendMessage allowed", "sns:Publish implicitDeny", "sqs:DeleteQueue explicitDeny"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
