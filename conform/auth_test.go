// Package conform drives the built binary with real, unmodified clients.
package conform

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"conform/server"
)

func start(t *testing.T, args ...string) *server.Server {
	t.Helper()
	s, err := server.Start(filepath.Join(t.TempDir(), "data"), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			log := s.Log()
			t.Logf("the server's log ends:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return s
}

// code returns the API error code in err.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestRefusals shows AWS's codes for each way a caller fails to prove itself, in a JSON and in a query service.
func TestRefusals(t *testing.T) {
	ctx, s := t.Context(), start(t)
	list := func(cfg aws.Config) string {
		_, err := dynamodb.NewFromConfig(cfg).ListTables(ctx, nil)
		return code(err)
	}
	who := func(cfg aws.Config) string {
		_, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
		return code(err)
	}
	unsigned := s.Root()
	unsigned.Credentials = aws.AnonymousCredentials{}
	skewed := s.Root()
	skewed.HTTPClient = &resigner{at: time.Now().Add(-20 * time.Minute)}
	for _, c := range []struct {
		what        string
		cfg         aws.Config
		json, query string
	}{
		{"the root key", s.Root(), "", ""},
		{"no signature", unsigned, "MissingAuthenticationTokenException", "MissingAuthenticationToken"},
		{"an unknown key", s.Config("AKIAIOSFODNN7EXAMPLE", "x", ""), "UnrecognizedClientException", "InvalidClientTokenId"},
		{"a wrong secret", s.Config("test", "wrong", ""), "InvalidSignatureException", "SignatureDoesNotMatch"},
		{"a skewed clock", skewed, "InvalidSignatureException", "SignatureDoesNotMatch"},
	} {
		if got := list(c.cfg); got != c.json {
			t.Errorf("dynamodb with %s: got %q, want %q", c.what, got, c.json)
		}
		if got := who(c.cfg); got != c.query {
			t.Errorf("sts with %s: got %q, want %q", c.what, got, c.query)
		}
	}
}

// resigner signs every request again as of another time: a client whose clock is wrong.
type resigner struct{ at time.Time }

func (r *resigner) Do(req *http.Request) (*http.Response, error) {
	scope, _, _ := strings.Cut(strings.TrimPrefix(req.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), ",")
	parts := strings.Split(scope, "/")
	if len(parts) == 5 {
		hash := req.Header.Get("X-Amz-Content-Sha256")
		if hash == "" {
			hash = v4.GetPayloadHash(req.Context())
		}
		err := v4.NewSigner().SignHTTP(req.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, req, hash, parts[3], parts[2], r.at)
		if err != nil {
			return nil, err
		}
	}
	return http.DefaultClient.Do(req)
}

// TestSessions shows temporary credentials: they work, do what their role may, and end.
func TestSessions(t *testing.T) {
	ctx, s := context.Background(), start(t)
	i, q := iam.NewFromConfig(s.Root()), sqs.NewFromConfig(s.Root())
	made, err := q.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
	if err != nil {
		t.Fatal(err)
	}
	role, err := i.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("sender"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("sender"), PolicyName: aws.String("send"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	// Root may not assume roles; a user may.
	if _, err := i.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("assume"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)}); err != nil {
		t.Fatal(err)
	}
	key, err := i.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	alice := sts.NewFromConfig(s.Config(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
	session, err := alice.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("test"), DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	c := session.Credentials
	asRole := s.Config(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	sender := sqs.NewFromConfig(asRole)
	if _, err := sender.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("hello")}); err != nil {
		t.Errorf("the role may send: %v", err)
	}
	if _, err := sender.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl}); code(err) != "AccessDenied" {
		t.Errorf("the role may not receive: got %v", err)
	}
	who, err := sts.NewFromConfig(asRole).GetCallerIdentity(ctx, nil)
	if err != nil || *who.Arn != "arn:aws:sts::000000000000:assumed-role/sender/test" {
		t.Errorf("who am I: %v, %v", who, err)
	}
	_, err = dynamodb.NewFromConfig(s.Config(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken+"x")).ListTables(ctx, nil)
	if code(err) != "UnrecognizedClientException" {
		t.Errorf("a forged token: got %v", err)
	}
	_, err = dynamodb.NewFromConfig(asRole).ListTables(ctx, nil)
	if code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "is not authorized to perform: dynamodb:ListTables") {
		t.Errorf("a denied action: got %v", err)
	}
	// Sixteen minutes later the session of fifteen is over.
	if err := s.Command(ctx, "travel", "16m"); err != nil {
		t.Fatal(err)
	}
	if _, err = dynamodb.NewFromConfig(asRole).ListTables(ctx, nil); code(err) != "ExpiredTokenException" {
		t.Errorf("an expired session: got %v", err)
	}
	if _, err = sts.NewFromConfig(asRole).GetCallerIdentity(ctx, nil); code(err) != "ExpiredToken" {
		t.Errorf("an expired session: got %v", err)
	}
}
