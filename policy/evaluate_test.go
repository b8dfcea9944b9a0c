package policy

import (
	"net/netip"
	"testing"
	"time"

	"fogbank/aws"
)

const (
	own   = "111111111111"
	other = "222222222222"
	queue = "arn:aws:sqs:us-east-1:" + own + ":q"
	role  = "arn:aws:iam::" + own + ":role/r"
)

var (
	user = aws.Principal{Kind: aws.User, Account: own, ARN: "arn:aws:iam::" + own + ":user/ann", UserID: "AIDAEXAMPLEEXAMPLE001", Key: "AKIAX"}
	root = aws.Principal{Kind: aws.Root, Account: own, ARN: "arn:aws:iam::" + own + ":root", UserID: own}
	sess = aws.Principal{Kind: aws.AssumedRole, Account: own, ARN: "arn:aws:sts::" + own + ":assumed-role/r/s", Role: role, UserID: "AROAEXAMPLEEXAMPLE001:s"}
	fed  = aws.Principal{Kind: aws.FederatedUser, Account: own, ARN: "arn:aws:sts::" + own + ":federated-user/f", UserID: own + ":f"}
	topi = aws.Principal{Kind: aws.ServicePrincipal, ARN: "sns.amazonaws.com"}
)

func must(t testing.TB, statements string) *Document {
	t.Helper()
	d, err := Parse(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	if err != nil {
		t.Fatal(statements, err)
	}
	return d
}

func docs(t testing.TB, statements string) []*Document {
	t.Helper()
	if statements == "" {
		return nil
	}
	if statements == "empty" {
		return []*Document{}
	}
	return []*Document{must(t, statements)}
}

const (
	allow     = `{"Sid":"grant","Effect":"Allow","Action":"sqs:*","Resource":"*"}`
	deny      = `{"Sid":"refuse","Effect":"Deny","Action":"sqs:SendMessage","Resource":"*"}`
	elsewhere = `{"Effect":"Allow","Action":"sns:*","Resource":"*"}`
)

func to(principal string) string {
	return `{"Sid":"to","Effect":"Allow","Principal":` + principal + `,"Action":"sqs:SendMessage","Resource":"` + queue + `"}`
}

func not(principal string) string {
	return `{"Sid":"not","Effect":"Deny","NotPrincipal":` + principal + `,"Action":"sqs:SendMessage","Resource":"` + queue + `"}`
}

func TestEvaluate(t *testing.T) {
	const (
		toAccount = `{"AWS":"` + own + `"}`
		toRoot    = `{"AWS":"arn:aws:iam::` + own + `:root"}`
		toUser    = `{"AWS":"arn:aws:iam::` + own + `:user/ann"}`
		toRole    = `{"AWS":"` + role + `"}`
		toSession = `{"AWS":"arn:aws:sts::` + own + `:assumed-role/r/s"}`
		toService = `{"Service":"sns.amazonaws.com"}`
	)
	type decision struct {
		allowed, explicit bool
		layer             Layer
		statement         string
	}
	yes := func(l Layer, s string) decision { return decision{true, false, l, s} }
	no := func(l Layer) decision { return decision{false, false, l, ""} }
	never := func(l Layer, s string) decision { return decision{false, true, l, s} }
	for _, c := range []struct {
		name                                  string
		who                                   aws.Principal
		owner                                 string
		identity, boundary, session, resource string
		want                                  decision
	}{
		{"nothing", user, own, "", "", "", "", no(IdentityLayer)},
		{"identity", user, own, allow, "", "", "", yes(IdentityLayer, "grant")},
		{"identity elsewhere", user, own, elsewhere, "", "", "", no(IdentityLayer)},
		{"owner unsaid", user, "", allow, "", "", "", yes(IdentityLayer, "grant")},
		{"owned by AWS", user, "aws", allow, "", "", "", yes(IdentityLayer, "grant")},
		{"owned by AWS, root", root, "aws", "", "", "", "", yes(RootLayer, "")},
		{"deny wins", user, own, allow + "," + deny, "", "", "", never(IdentityLayer, "refuse")},
		{"deny first", user, own, deny + "," + allow, "", "", "", never(IdentityLayer, "refuse")},
		{"boundary without", user, own, allow, elsewhere, "", "", no(BoundaryLayer)},
		{"boundary empty", user, own, allow, "empty", "", "", no(BoundaryLayer)},
		{"boundary with", user, own, allow, allow, "", "", yes(IdentityLayer, "grant")},
		{"boundary alone", user, own, "", allow, "", "", no(IdentityLayer)},
		{"boundary denies", user, own, allow, deny, "", to(toUser), never(BoundaryLayer, "refuse")},
		{"resource names user", user, own, "", "", "", to(toUser), yes(ResourceLayer, "to")},
		{"resource names user, boundary without", user, own, "", elsewhere, "", to(toUser), yes(ResourceLayer, "to")},
		{"resource names user, identity denies", user, own, deny, "", "", to(toUser), never(IdentityLayer, "refuse")},
		{"resource names user by id", user, own, "", "", "", to(`{"AWS":"AIDAEXAMPLEEXAMPLE001"}`), yes(ResourceLayer, "to")},
		{"resource names everyone", user, own, "", "", "", to(`"*"`), yes(ResourceLayer, "to")},
		{"resource names account", user, own, "", "", "", to(toAccount), no(IdentityLayer)},
		{"resource names account, identity too", user, own, allow, "", "", to(toRoot), yes(IdentityLayer, "grant")},
		{"resource denies account", user, own, allow, "", "", `{"Sid":"no","Effect":"Deny","Principal":` + toRoot + `,"Action":"*","Resource":"*"}`, never(ResourceLayer, "no")},
		{"root", root, own, "", "", "", "", yes(RootLayer, "")},
		{"root denied by resource", root, own, "", "", "", `{"Sid":"no","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`, never(ResourceLayer, "no")},
		{"root elsewhere", root, other, "", "", "", "", no(ResourceLayer)},
		{"root elsewhere, granted", root, other, "", "", "", to(toAccount), yes(ResourceLayer, "to")},
		{"cross account, identity only", user, other, allow, "", "", "", no(ResourceLayer)},
		{"cross account, resource only", user, other, "", "", "", to(toUser), no(IdentityLayer)},
		{"cross account, both", user, other, allow, "", "", to(toUser), yes(IdentityLayer, "grant")},
		{"cross account, account and identity", user, other, allow, "", "", to(toAccount), yes(IdentityLayer, "grant")},
		{"cross account, both, boundary without", user, other, allow, elsewhere, "", to(toUser), no(BoundaryLayer)},
		{"cross account, session named, session without", sess, other, allow, "", elsewhere, to(toSession), no(SessionLayer)},
		{"session", sess, own, allow, "", "", "", yes(IdentityLayer, "grant")},
		{"session narrowed", sess, own, allow, "", elsewhere, "", no(SessionLayer)},
		{"session within", sess, own, allow, "", allow, "", yes(IdentityLayer, "grant")},
		{"session policy grants nothing alone", sess, own, "", "", allow, "", no(IdentityLayer)},
		{"session denies", sess, own, allow, "", deny, to(toSession), never(SessionLayer, "refuse")},
		{"resource names role", sess, own, "", "", "", to(toRole), yes(ResourceLayer, "to")},
		{"resource names role, boundary without", sess, own, "", elsewhere, "", to(toRole), no(BoundaryLayer)},
		{"resource names role, session without", sess, own, "", "", elsewhere, to(toRole), no(SessionLayer)},
		{"resource names role by id", sess, own, "", "", "", to(`{"AWS":"AROAEXAMPLEEXAMPLE001"}`), yes(ResourceLayer, "to")},
		{"resource names session, boundary and session without", sess, own, "", elsewhere, elsewhere, to(toSession), yes(ResourceLayer, "to")},
		{"resource names role and session, session without", sess, own, "", "", elsewhere, to(toRole) + `,` +
			`{"Sid":"direct","Effect":"Allow","Principal":` + toSession + `,"Action":"sqs:*","Resource":"*"}`, yes(ResourceLayer, "direct")},
		{"resource names everyone, session without", sess, own, "", "", elsewhere, to(`"*"`), no(SessionLayer)},
		{"resource names account, session role without", sess, own, "", "", "", to(toAccount), no(IdentityLayer)},
		{"federated user within", fed, own, allow, "", allow, "", yes(IdentityLayer, "grant")},
		{"federated user named", fed, own, "", "", elsewhere, to(`{"AWS":"arn:aws:sts::` + own + `:federated-user/f"}`), yes(ResourceLayer, "to")},
		{"service", topi, own, "", "", "", "", no(ResourceLayer)},
		{"service named", topi, own, "", "", "", to(toService), yes(ResourceLayer, "to")},
		{"service by everyone", topi, own, "", "", "", to(`{"AWS":"*"}`), yes(ResourceLayer, "to")},
		{"service other", topi, own, "", "", "", to(`{"Service":"events.amazonaws.com"}`), no(ResourceLayer)},
		{"anonymous", aws.Principal{}, own, "", "", "", to(toUser), no(ResourceLayer)},
		{"anonymous with everyone", aws.Principal{}, own, "", "", "", to(`"*"`), yes(ResourceLayer, "to")},
		{"anonymous is no empty account", aws.Principal{}, "", "", "", "", to(toAccount), no(ResourceLayer)},
		{"NotPrincipal spares user and account", user, own, allow, "", "", not(`{"AWS":["` + own + `","arn:aws:iam::` + own + `:user/ann"]}`), yes(IdentityLayer, "grant")},
		{"NotPrincipal without account", user, own, allow, "", "", not(toUser), never(ResourceLayer, "not")},
		{"NotPrincipal with account only", user, own, allow, "", "", not(toAccount), never(ResourceLayer, "not")},
		{"NotPrincipal session complete", sess, own, allow, "", "", not(`{"AWS":["` + own + `","` + role + `","arn:aws:sts::` + own + `:assumed-role/r/s"]}`), yes(IdentityLayer, "grant")},
		{"NotPrincipal session without itself", sess, own, allow, "", "", not(`{"AWS":["` + own + `","` + role + `"]}`), never(ResourceLayer, "not")},
		{"NotPrincipal root", root, own, "", "", "", not(toRoot), yes(RootLayer, "")},
		{"NotPrincipal service", topi, own, "", "", "", to(`"*"`) + "," + not(toService), yes(ResourceLayer, "to")},
		{"NotPrincipal anonymous", aws.Principal{}, own, "", "", "", to(`"*"`) + "," + not(toUser), never(ResourceLayer, "not")},
		{"Allow NotPrincipal", user, own, "", "", "", `{"Effect":"Allow","NotPrincipal":{"AWS":"` + other + `"},"Action":"*"}`, yes(ResourceLayer, "Statement[0]")},
		{"Allow NotPrincipal listed", user, own, "", "", "", `{"Effect":"Allow","NotPrincipal":` + toAccount + `,"Action":"*"}`, no(IdentityLayer)},
		{"NotAction", user, own, `{"Effect":"Allow","NotAction":"sns:*","Resource":"*"}`, "", "", "", yes(IdentityLayer, "Statement[0]")},
		{"NotAction excludes", user, own, `{"Effect":"Allow","NotAction":"SQS:*","Resource":"*"}`, "", "", "", no(IdentityLayer)},
		{"NotResource", user, own, `{"Effect":"Allow","Action":"*","NotResource":"arn:aws:sqs:*:*:p"}`, "", "", "", yes(IdentityLayer, "Statement[0]")},
		{"NotResource excludes", user, own, `{"Effect":"Allow","Action":"*","NotResource":"arn:aws:sqs:*:*:q"}`, "", "", "", no(IdentityLayer)},
		{"identity without resource", user, own, `{"Effect":"Allow","Action":"*"}`, "", "", "", no(IdentityLayer)},
		{"resource without resource", user, own, "", "", "", `{"Effect":"Allow","Principal":` + toUser + `,"Action":"sqs:*"}`, yes(ResourceLayer, "Statement[0]")},
		{"resource without principal", user, own, "", "", "", allow, no(IdentityLayer)},
	} {
		r := Request{Principal: c.who, Action: "sqs:SendMessage", Resource: queue, ResourceAccount: c.owner,
			Identity: Identity{docs(t, c.identity), docs(t, c.boundary)}, Session: docs(t, c.session)}
		if c.resource != "" {
			r.ResourcePolicy = must(t, c.resource)
		}
		d := Evaluate(&r)
		if got := (decision{d.Allowed, d.Explicit, d.Reason, d.Statement}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestEvaluateTrust(t *testing.T) {
	assume := `{"Sid":"mine","Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + role + `"}`
	trust := func(p string) string {
		return `{"Sid":"trust","Effect":"Allow","Principal":` + p + `,"Action":"sts:AssumeRole"}`
	}
	stranger := aws.Principal{Kind: aws.User, Account: other, ARN: "arn:aws:iam::" + other + ":user/eve"}
	lambda := aws.Principal{Kind: aws.ServicePrincipal, ARN: "lambda.amazonaws.com"}
	for _, c := range []struct {
		name            string
		who             aws.Principal
		identity, trust string
		allowed         bool
		layer           Layer
	}{
		{"identity alone", user, assume, trust(`{"Service":"lambda.amazonaws.com"}`), false, TrustLayer},
		{"account trusted, no identity", user, "", trust(`{"AWS":"` + own + `"}`), false, IdentityLayer},
		{"account trusted, identity", user, assume, trust(`{"AWS":"` + own + `"}`), true, IdentityLayer},
		{"user trusted", user, "", trust(`{"AWS":"arn:aws:iam::` + own + `:user/ann"}`), true, TrustLayer},
		{"user trusted, denied", user, `{"Effect":"Deny","Action":"sts:*","Resource":"*"}`, trust(`{"AWS":"arn:aws:iam::` + own + `:user/ann"}`), false, IdentityLayer},
		{"stranger trusted, no identity", stranger, "", trust(`{"AWS":"arn:aws:iam::` + other + `:user/eve"}`), false, IdentityLayer},
		{"stranger trusted, identity", stranger, assume, trust(`{"AWS":"` + other + `"}`), true, IdentityLayer},
		{"service trusted", lambda, "", trust(`{"Service":"lambda.amazonaws.com"}`), true, TrustLayer},
		{"service not trusted", lambda, "", trust(`{"Service":"ecs.amazonaws.com"}`), false, TrustLayer},
		{"role trusts itself", sess, "", trust(`{"AWS":"` + role + `"}`), true, TrustLayer},
		{"root not trusted", root, "", trust(`{"Service":"lambda.amazonaws.com"}`), false, TrustLayer},
	} {
		r := Request{Principal: c.who, Action: "sts:AssumeRole", Resource: role, ResourceAccount: own,
			Identity: Identity{Policies: docs(t, c.identity)}, ResourcePolicy: must(t, c.trust)}
		if d := Evaluate(&r); d.Allowed != c.allowed || d.Reason != c.layer {
			t.Errorf("%s: %+v, want %v by %s", c.name, d, c.allowed, c.layer)
		}
	}
	// A trust policy says nothing about other actions on the role.
	r := Request{Principal: user, Action: "iam:PassRole", Resource: role, ResourceAccount: own,
		Identity:       Identity{Policies: docs(t, `{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}`)},
		ResourcePolicy: must(t, trust(`{"Service":"lambda.amazonaws.com"}`))}
	if d := Evaluate(&r); !d.Allowed {
		t.Errorf("PassRole: %+v", d)
	}
}

func TestMessage(t *testing.T) {
	r := Request{Principal: user, Action: "sqs:SendMessage", Resource: queue, ResourceAccount: own}
	if got, want := Evaluate(&r).Message(&r), "User: arn:aws:iam::111111111111:user/ann is not authorized to perform: sqs:SendMessage on resource: "+
		"arn:aws:sqs:us-east-1:111111111111:q because no identity-based policy allows the sqs:SendMessage action"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	r.Identity.Policies = docs(t, deny)
	r.Resource = "*"
	if got, want := Evaluate(&r).Message(&r), "User: arn:aws:iam::111111111111:user/ann is not authorized to perform: sqs:SendMessage "+
		"with an explicit deny in an identity-based policy"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// typical is a function's role writing to one table among several statements.
func typical(t testing.TB) *Request {
	identity := must(t, `{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"},
		{"Effect":"Allow","Action":["sqs:ReceiveMessage","sqs:DeleteMessage"],"Resource":"arn:aws:sqs:us-east-1:111111111111:orders-*"},
		{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:PutItem","dynamodb:Query"],"Resource":["arn:aws:dynamodb:*:111111111111:table/customers","arn:aws:dynamodb:*:111111111111:table/orders"],
		 "Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}},
		{"Effect":"Deny","Action":"dynamodb:Delete*","Resource":"*"}`)
	return &Request{Principal: sess, Action: "dynamodb:PutItem", Resource: "arn:aws:dynamodb:us-east-1:111111111111:table/orders", ResourceAccount: own,
		Call: &aws.Call{Region: "us-east-1", SourceIP: netip.MustParseAddr("10.1.2.3")}, Now: time.Unix(1777636800, 0),
		Identity: Identity{Policies: []*Document{identity}}}
}

func BenchmarkEvaluate(b *testing.B) {
	r := typical(b)
	if d := Evaluate(r); !d.Allowed {
		b.Fatalf("%+v", d)
	}
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(r)
	}
}

// BenchmarkEvaluateService is a delivery from a topic to a queue.
func BenchmarkEvaluateService(b *testing.B) {
	r := &Request{Principal: topi, Action: "sqs:SendMessage", Resource: queue, ResourceAccount: own,
		Call: &aws.Call{Region: "us-east-1", SourceARN: "arn:aws:sns:us-east-1:111111111111:t", SourceAccount: own},
		ResourcePolicy: must(b, `{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"`+queue+
			`","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:*:111111111111:t"}}}`)}
	if d := Evaluate(r); !d.Allowed {
		b.Fatalf("%+v", d)
	}
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(r)
	}
}

func BenchmarkParse(b *testing.B) {
	text := `{"Version":"2012-10-17","Statement":[` + allow + `,` + deny + `,` + to(`{"AWS":"111111111111"}`) + `]}`
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
