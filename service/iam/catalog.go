package iam

import (
	"crypto/sha256"
	"time"

	"fogbank/api/iam"
	"fogbank/policy"
)

// awsPolicy is one of the policies AWS manages: where it is and what it says, cut to the services
// there are here.
type awsPolicy struct {
	path, name  string
	version     int
	description string
	statements  string
}

func (a awsPolicy) arn() string { return "arn:aws:iam::aws:policy" + a.path + a.name }

// allow is one Allow statement on "*" of quoted actions.
func allow(actions string) string {
	return `{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}`
}

// Parts of the policies below.
const (
	administratorAccess = "arn:aws:iam::aws:policy/AdministratorAccess"

	writeLogs = `"logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"`
	readLogs  = `"logs:Describe*","logs:Get*","logs:List*","logs:StartQuery","logs:StopQuery","logs:TestMetricFilter","logs:FilterLogEvents"`
	readSQS   = `"sqs:GetQueueAttributes","sqs:GetQueueUrl","sqs:ListDeadLetterSourceQueues","sqs:ListQueues","sqs:ListMessageMoveTasks","sqs:ListQueueTags"`
	readSNS   = `"sns:Get*","sns:List*","sns:CheckIfPhoneNumberIsOptedOut"`
	readTable = `"dynamodb:BatchGetItem","dynamodb:Describe*","dynamodb:List*","dynamodb:GetAbacStatus","dynamodb:GetItem","dynamodb:GetResourcePolicy","dynamodb:Query","dynamodb:Scan","dynamodb:PartiQLSelect","dynamodb:ConditionCheckItem","dynamodb:GetRecords","dynamodb:GetShardIterator"`
	readBus   = `"events:Describe*","events:List*","events:TestEventPattern"`
	readCode  = `"lambda:Get*","lambda:List*"`
	readIAM   = `"iam:Get*","iam:List*","iam:Generate*","iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy"`
)

// awsPolicies are the policies AWS manages, by name within their path.
var awsPolicies = []awsPolicy{
	{"/", "AdministratorAccess", 1, "Everything on everything.", allow(`"*"`)},
	{"/", "PowerUserAccess", 5, "Everything but users, roles and organizations.",
		`{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},` +
			allow(`"iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles","organizations:DescribeOrganization","account:ListRegions"`)},
	{"/", "ReadOnlyAccess", 1, "Reading everything.",
		allow(readLogs + "," + readSQS + "," + readSNS + "," + readTable + "," + readBus + "," + readCode + "," + readIAM + `,"apigateway:GET","sts:GetAccessKeyInfo","sts:GetCallerIdentity","sts:GetSessionToken"`)},
	{"/", "IAMFullAccess", 2, "Everything in IAM.", allow(`"iam:*","organizations:DescribeOrganization","organizations:ListPolicies"`)},
	{"/", "IAMReadOnlyAccess", 4, "Reading IAM.", allow(readIAM)},
	{"/", "AmazonSQSFullAccess", 1, "Everything on queues.", allow(`"sqs:*"`)},
	{"/", "AmazonSQSReadOnlyAccess", 3, "Reading about queues.", allow(readSQS)},
	{"/", "AmazonSNSFullAccess", 1, "Everything on topics.", allow(`"sns:*"`)},
	{"/", "AmazonSNSReadOnlyAccess", 1, "Reading about topics.", allow(readSNS)},
	{"/", "AmazonDynamoDBFullAccess", 15, "Everything on tables and their streams.", allow(`"dynamodb:*","cloudwatch:GetMetricStatistics","lambda:CreateFunction","lambda:ListFunctions","lambda:ListEventSourceMappings","lambda:CreateEventSourceMapping","lambda:DeleteEventSourceMapping","lambda:GetFunctionConfiguration","lambda:DeleteFunction","sns:CreateTopic","sns:DeleteTopic","sns:ListSubscriptions","sns:ListSubscriptionsByTopic","sns:ListTopics","sns:Subscribe","sns:Unsubscribe","sns:SetTopicAttributes","iam:GetRole","iam:ListRoles"`) +
		`,{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringLike":{"iam:PassedToService":["application-autoscaling.amazonaws.com","dax.amazonaws.com"]}}}`},
	{"/", "AmazonDynamoDBReadOnlyAccess", 14, "Reading tables and their streams.", allow(readTable)},
	{"/", "AmazonEventBridgeFullAccess", 4, "Everything on event buses, schedules and pipes.", allow(`"events:*","schemas:*","scheduler:*","pipes:*"`) +
		`,{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::*:role/*","Condition":{"StringLike":{"iam:PassedToService":["events.amazonaws.com","scheduler.amazonaws.com","pipes.amazonaws.com"]}}}`},
	{"/", "AmazonEventBridgeReadOnlyAccess", 7, "Reading about event buses.", allow(readBus)},
	{"/", "CloudWatchLogsFullAccess", 2, "Everything on logs.", allow(`"logs:*","cloudwatch:GenerateQuery"`)},
	{"/", "CloudWatchLogsReadOnlyAccess", 5, "Reading logs.", allow(readLogs)},
	{"/", "AWSLambda_FullAccess", 2, "Everything on functions and reading what feeds them.",
		allow(`"lambda:*","logs:DescribeLogGroups","iam:GetPolicy","iam:GetPolicyVersion","iam:GetRole","iam:GetRolePolicy","iam:ListAttachedRolePolicies","iam:ListRolePolicies","iam:ListRoles"`) +
			`,{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}}` +
			`,{"Effect":"Allow","Action":["logs:DescribeLogStreams","logs:GetLogEvents","logs:FilterLogEvents"],"Resource":"arn:aws:logs:*:*:log-group:/aws/lambda/*"}`},
	{"/", "AWSLambda_ReadOnlyAccess", 1, "Reading about functions and their logs.",
		allow(readCode+`,"logs:DescribeLogGroups","iam:GetPolicy","iam:GetPolicyVersion","iam:GetRole","iam:GetRolePolicy","iam:ListAttachedRolePolicies","iam:ListRolePolicies","iam:ListRoles"`) +
			`,{"Effect":"Allow","Action":["logs:DescribeLogStreams","logs:GetLogEvents","logs:FilterLogEvents"],"Resource":"arn:aws:logs:*:*:log-group:/aws/lambda/*"}`},
	{"/", "AWSLambdaExecute", 2, "Running a function that uses S3.",
		`{"Effect":"Allow","Action":"logs:*","Resource":"arn:aws:logs:*:*:*"},{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::*"}`},
	{"/", "AWSLambdaInvocation-DynamoDB", 1, "Reading table streams and invoking functions.",
		allow(`"lambda:InvokeFunction","dynamodb:DescribeStream","dynamodb:GetRecords","dynamodb:GetShardIterator","dynamodb:ListStreams"`)},
	{"/", "AmazonAPIGatewayInvokeFullAccess", 1, "Invoking APIs.", `{"Effect":"Allow","Action":["execute-api:Invoke","execute-api:ManageConnections"],"Resource":"arn:aws:execute-api:*:*:*"}`},
	{"/", "AmazonAPIGatewayAdministrator", 1, "Managing APIs.", `{"Effect":"Allow","Action":"apigateway:*","Resource":"arn:aws:apigateway:*::/*"}`},
	{"/service-role/", "AWSLambdaBasicExecutionRole", 1, "Writing a function's log.", allow(writeLogs)},
	{"/service-role/", "AWSLambdaSQSQueueExecutionRole", 1, "Receiving from a queue and writing a function's log.",
		allow(`"sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes",` + writeLogs)},
	{"/service-role/", "AWSLambdaDynamoDBExecutionRole", 1, "Reading table streams and writing a function's log.",
		allow(`"dynamodb:DescribeStream","dynamodb:GetRecords","dynamodb:GetShardIterator","dynamodb:ListStreams",` + writeLogs)},
	{"/service-role/", "AWSLambdaKinesisExecutionRole", 1, "Reading data streams and writing a function's log.",
		allow(`"kinesis:DescribeStream","kinesis:DescribeStreamSummary","kinesis:GetRecords","kinesis:GetShardIterator","kinesis:ListShards","kinesis:ListStreams","kinesis:SubscribeToShard",` + writeLogs)},
	{"/service-role/", "AWSLambdaVPCAccessExecutionRole", 3, "Joining a network and writing a function's log.",
		allow(writeLogs + `,"ec2:CreateNetworkInterface","ec2:DescribeNetworkInterfaces","ec2:DescribeSubnets","ec2:DeleteNetworkInterface","ec2:AssignPrivateIpAddresses","ec2:UnassignPrivateIpAddresses"`)},
	{"/service-role/", "AWSLambdaRole", 1, "Invoking functions.", allow(`"lambda:InvokeFunction"`)},
	{"/service-role/", "AmazonSNSRole", 1, "Logging deliveries.", allow(writeLogs + `,"logs:PutMetricFilter","logs:PutRetentionPolicy"`)},
	{"/service-role/", "AmazonAPIGatewayPushToCloudWatchLogs", 1, "Logging API calls.",
		allow(`"logs:CreateLogGroup","logs:CreateLogStream","logs:DescribeLogGroups","logs:DescribeLogStreams","logs:PutLogEvents","logs:GetLogEvents","logs:FilterLogEvents"`)},
}

// awsManaged is an AWS managed policy ready for use.
type awsManaged struct {
	awsPolicy
	id       string
	document string
	parsed   *policy.Document
}

// newCatalog parses the policies AWS manages.
func newCatalog() map[string]*awsManaged {
	all := make(map[string]*awsManaged, len(awsPolicies))
	for _, a := range awsPolicies {
		all[a.arn()] = &awsManaged{a, awsID(a.name), `{"Version":"2012-10-17","Statement":[` + a.statements + `]}`, builtin(a.arn(), a.statements)}
	}
	return all
}

// awsID is an id of the right form that is always the same for a name.
func awsID(name string) string {
	sum := sha256.Sum256([]byte(name))
	id := []byte("ANPA")
	for _, b := range sum[:17] {
		id = append(id, base32Letters[b%32])
	}
	return string(id)
}

// awsCreated is when AWS began to manage policies.
var awsCreated = time.Date(2015, 2, 6, 18, 40, 0, 0, time.UTC)

// policy is a as the API shows it.
func (a *awsManaged) policy(attachments, boundaries int) *iam.Policy {
	return &iam.Policy{PolicyName: &a.name, PolicyId: &a.id, Arn: new(a.arn()), Path: &a.path, DefaultVersionId: new(versionID(a.awsPolicy.version)),
		AttachmentCount: new(int32(attachments)), PermissionsBoundaryUsageCount: new(int32(boundaries)), IsAttachable: new(true),
		Description: &a.description, CreateDate: &awsCreated, UpdateDate: &awsCreated}
}

// version is the one version of a there is.
func (a *awsManaged) version() iam.PolicyVersion {
	return iam.PolicyVersion{Document: new(escape(a.document)), VersionId: new(versionID(a.awsPolicy.version)), IsDefaultVersion: new(true), CreateDate: &awsCreated}
}
