package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	api "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bus "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	fn "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	table     = "orders"
	topic     = "order-events"
	busName   = "orders"
	rule      = "high-value-orders"
	placeFn   = "place-order"
	changedFn = "order-changed"
)

// queueNames lists the queues in the order they are shown.
var queueNames = []string{"billing", "fulfilment", "audit", "high-value"}

type clients struct {
	iam     *iam.Client
	sts     *sts.Client
	ddb     *dynamodb.Client
	sqs     *sqs.Client
	sns     *sns.Client
	bus     *eventbridge.Client
	lambda  *lambda.Client
	gateway *apigatewayv2.Client
}

func newClients(cfg aws.Config) *clients {
	return &clients{iam.NewFromConfig(cfg), sts.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg),
		sns.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg), lambda.NewFromConfig(cfg), apigatewayv2.NewFromConfig(cfg)}
}

// deployment carries what later steps need of earlier ones.
type deployment struct {
	*clients
	region, account   string
	state             State
	tableARN, stream  string
	ruleARN           string
	placeARN          string
	placeZip, changed []byte
}

// deploy creates the whole system, the far end first, so that nothing is sent where nobody listens.
func (c *clients) deploy(ctx context.Context, region string) (*State, error) {
	who, err := c.sts.GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("who am I: %w", err)
	}
	d := &deployment{clients: c, region: region, account: *who.Account, state: State{Table: table, Queues: map[string]string{}}}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"build", d.build}, {"topic", d.makeTopic}, {"bus", d.makeBus}, {"queues", d.makeQueues}, {"table", d.makeTable},
		{"functions", d.makeFunctions}, {"stream mapping", d.mapStream}, {"API", d.makeAPI},
	} {
		begin := time.Now()
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "deployed %-15s %6d ms\n", step.name, time.Since(begin).Milliseconds())
	}
	return &d.state, nil
}

func (d *deployment) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + d.region + ":" + d.account + ":" + resource
}

// build compiles both functions and zips them as provided.al2023 wants them.
func (d *deployment) build(ctx context.Context) (err error) {
	if d.placeZip, err = buildZip(ctx, "./place-order"); err != nil {
		return err
	}
	d.changed, err = buildZip(ctx, "./order-changed")
	return err
}

func buildZip(ctx context.Context, pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "bootstrap")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", file, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+functionOS())
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s (run this in examples/orders): %w\n%s", pkg, err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// functionOS is linux on AWS; a server that runs functions on another system says so with FUNCTION_GOOS.
func functionOS() string {
	if v := os.Getenv("FUNCTION_GOOS"); v != "" {
		return v
	}
	return "linux"
}

func (d *deployment) makeTopic(ctx context.Context) error {
	out, err := d.sns.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(topic)})
	if err != nil {
		return err
	}
	d.state.TopicARN = *out.TopicArn
	return nil
}

func (d *deployment) makeBus(ctx context.Context) error {
	out, err := d.bus.CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String(busName)})
	if err != nil {
		return err
	}
	d.state.BusARN = *out.EventBusArn
	put, err := d.bus.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String(rule), EventBusName: aws.String(busName),
		EventPattern: aws.String(`{"source":["shop.orders"],"detail":{"total":[{"numeric":[">",1000]}]}}`)})
	if err != nil {
		return err
	}
	d.ruleARN = *put.RuleArn
	return nil
}

// makeQueues creates the queues, lets topic and rule send to them, and connects them.
func (d *deployment) makeQueues(ctx context.Context) error {
	subscription := map[string]map[string]string{
		"billing":    nil, // reads the envelope of SNS
		"fulfilment": {"FilterPolicyScope": "MessageBody", "FilterPolicy": `{"physical":[true]}`},
		"audit":      {"RawMessageDelivery": "true"},
	}
	for _, name := range queueNames {
		queueARN, sender, source := d.arn("sqs", name), "sns.amazonaws.com", d.state.TopicARN
		if name == "high-value" {
			sender, source = "events.amazonaws.com", d.ruleARN
		}
		policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, sender, queueARN, source)
		out, err := d.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name),
			Attributes: map[string]string{"Policy": policy, "VisibilityTimeout": "15"}})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		d.state.Queues[name] = *out.QueueUrl
		if name == "high-value" {
			err = d.targetRule(ctx, queueARN)
		} else {
			_, err = d.sns.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &d.state.TopicARN, Protocol: aws.String("sqs"),
				Endpoint: &queueARN, Attributes: subscription[name], ReturnSubscriptionArn: true})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (d *deployment) targetRule(ctx context.Context, queueARN string) error {
	out, err := d.bus.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(rule), EventBusName: aws.String(busName),
		Targets: []bus.Target{{Id: aws.String("queue"), Arn: &queueARN}}})
	if err == nil && out.FailedEntryCount > 0 {
		err = errors.New(aws.ToString(out.FailedEntries[0].ErrorMessage))
	}
	return err
}

func (d *deployment) makeTable(ctx context.Context) error {
	_, err := d.ddb.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: aws.String(table), BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("orderId"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("orderId"), KeyType: ddb.KeyTypeHash}},
		StreamSpecification:  &ddb.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddb.StreamViewTypeNewAndOldImages}})
	if err != nil {
		return err
	}
	waiter := dynamodb.NewTableExistsWaiter(d.ddb, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	out, err := waiter.WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(table)}, time.Minute)
	if err != nil {
		return err
	}
	d.tableARN, d.stream = *out.Table.TableArn, *out.Table.LatestStreamArn
	return nil
}

type statement struct {
	Effect   string
	Action   []string
	Resource []string
}

// makeFunctions creates each function with a role that may do what it does and no more.
func (d *deployment) makeFunctions(ctx context.Context) error {
	var err error
	d.placeARN, err = d.makeFunction(ctx, placeFn, d.placeZip, map[string]string{"TABLE": table},
		statement{"Allow", []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem"}, []string{d.tableARN}})
	if err != nil {
		return err
	}
	_, err = d.makeFunction(ctx, changedFn, d.changed, map[string]string{"TOPIC": d.state.TopicARN, "BUS": d.state.BusARN},
		statement{"Allow", []string{"sns:Publish"}, []string{d.state.TopicARN}},
		statement{"Allow", []string{"events:PutEvents"}, []string{d.state.BusARN}},
		statement{"Allow", []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}, []string{d.stream}},
		statement{"Allow", []string{"dynamodb:ListStreams"}, []string{"*"}})
	return err
}

func (d *deployment) makeFunction(ctx context.Context, name string, code []byte, env map[string]string, may ...statement) (string, error) {
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	role, err := d.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: &trust})
	if err != nil {
		return "", fmt.Errorf("%s: role: %w", name, err)
	}
	logs := d.arn("logs", "log-group:/aws/lambda/"+name)
	may = append(may, statement{"Allow", []string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}, []string{logs, logs + ":*"}})
	doc, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": may})
	if err != nil {
		return "", err
	}
	if _, err := d.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(name), PolicyName: aws.String("least-privilege"),
		PolicyDocument: aws.String(string(doc))}); err != nil {
		return "", fmt.Errorf("%s: role policy: %w", name, err)
	}
	arch := fn.ArchitectureX8664
	if runtime.GOARCH == "arm64" {
		arch = fn.ArchitectureArm64
	}
	in := &lambda.CreateFunctionInput{FunctionName: aws.String(name), Role: role.Role.Arn, Runtime: fn.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Architectures: []fn.Architecture{arch}, MemorySize: aws.Int32(256), Timeout: aws.Int32(30),
		Code: &fn.FunctionCode{ZipFile: code}, Environment: &fn.Environment{Variables: env}}
	// On AWS a new role takes some seconds until Lambda may assume it.
	for attempt := 0; ; attempt++ {
		out, err := d.lambda.CreateFunction(ctx, in)
		var early *fn.InvalidParameterValueException
		switch {
		case err == nil:
			waiter := lambda.NewFunctionActiveV2Waiter(d.lambda, func(o *lambda.FunctionActiveV2WaiterOptions) { o.MinDelay = 100 * time.Millisecond })
			return *out.FunctionArn, waiter.Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(name)}, time.Minute)
		case !errors.As(err, &early) || attempt == 20:
			return "", fmt.Errorf("%s: %w", name, err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (d *deployment) mapStream(ctx context.Context) error {
	out, err := d.lambda.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: aws.String(changedFn),
		EventSourceArn: &d.stream, StartingPosition: fn.EventSourcePositionTrimHorizon, BatchSize: aws.Int32(25),
		FunctionResponseTypes: []fn.FunctionResponseType{fn.FunctionResponseTypeReportBatchItemFailures}})
	if err != nil {
		return err
	}
	d.state.Mapping = *out.UUID
	return nil
}

func (d *deployment) makeAPI(ctx context.Context) error {
	a, err := d.gateway.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String("orders"), ProtocolType: api.ProtocolTypeHttp})
	if err != nil {
		return err
	}
	d.state.API, d.state.APIID = *a.ApiEndpoint, *a.ApiId
	integration, err := d.gateway.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: a.ApiId, IntegrationType: api.IntegrationTypeAwsProxy,
		IntegrationUri: &d.placeARN, PayloadFormatVersion: aws.String("2.0")})
	if err != nil {
		return err
	}
	for _, key := range []string{"POST /orders", "GET /orders/{id}"} {
		if _, err := d.gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: a.ApiId, RouteKey: aws.String(key),
			Target: aws.String("integrations/" + *integration.IntegrationId)}); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if _, err := d.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: a.ApiId, StageName: aws.String("$default"), AutoDeploy: aws.Bool(true)}); err != nil {
		return err
	}
	_, err = d.lambda.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: aws.String(placeFn), StatementId: aws.String("api"),
		Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
		SourceArn: aws.String(d.arn("execute-api", *a.ApiId+"/*/*/orders*"))})
	return err
}
