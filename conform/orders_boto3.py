"""Deploys the order system with boto3, sends an order through it and looks where it arrived.

Endpoint and credentials come from the environment; ORDERS names the directory of examples/orders.
"""
import io
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import boto3

ORDERS = os.environ["ORDERS"]
sts, iam, ddb, sqs, sns = (boto3.client(s) for s in ("sts", "iam", "dynamodb", "sqs", "sns"))
events, lam, gateway, logs = (boto3.client(s) for s in ("events", "lambda", "apigatewayv2", "logs"))
account, region = sts.get_caller_identity()["Account"], sts.meta.region_name


def build(name):
    out = os.path.join(os.getcwd(), name)
    subprocess.run(["go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", out, "./" + name], cwd=ORDERS, check=True,
                   env={**os.environ, "CGO_ENABLED": "0"})
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as z:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o755 << 16
        with open(out, "rb") as f:
            z.writestr(info, f.read(), zipfile.ZIP_DEFLATED)
    return package.getvalue()


def allow(actions, *resources):
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def queue(name, service, source):
    arn = f"arn:aws:sqs:{region}:{account}:{name}"
    policy = document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": arn,
                       "Condition": {"ArnEquals": {"aws:SourceArn": source}}})
    return sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"], arn


def function(name, env, *statements):
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="least-privilege", PolicyDocument=document(
        allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "*"), *statements))
    made = lam.create_function(FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=role, Code={"ZipFile": build(name)},
                               Timeout=30, MemorySize=256, Environment={"Variables": env})
    lam.get_waiter("function_active_v2").wait(FunctionName=name)
    return made["FunctionArn"]


topic = sns.create_topic(Name="order-events")["TopicArn"]
bus = events.create_event_bus(Name="orders")["EventBusArn"]
rule = events.put_rule(Name="high-value-orders", EventBusName="orders",
                       EventPattern=json.dumps({"source": ["shop.orders"], "detail": {"total": [{"numeric": [">", 1000]}]}}))["RuleArn"]
urls = {}
for name, attributes in (("billing", {}), ("fulfilment", {"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps({"physical": [True]})}),
                         ("audit", {"RawMessageDelivery": "true"})):
    urls[name], arn = queue(name, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
urls["high-value"], arn = queue("high-value", "events.amazonaws.com", rule)
assert events.put_targets(Rule="high-value-orders", EventBusName="orders", Targets=[{"Id": "queue", "Arn": arn}])["FailedEntryCount"] == 0

ddb.create_table(TableName="orders", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
                 KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
                 StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
ddb.get_waiter("table_exists").wait(TableName="orders", WaiterConfig={"Delay": 1})
table = ddb.describe_table(TableName="orders")["Table"]
place = function("place-order", {"TABLE": "orders"}, allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem"], table["TableArn"]))
function("order-changed", {"TOPIC": topic, "BUS": bus}, allow(["sns:Publish"], topic), allow(["events:PutEvents"], bus),
         allow(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"], "*"))
lam.create_event_source_mapping(FunctionName="order-changed", EventSourceArn=table["LatestStreamArn"], StartingPosition="TRIM_HORIZON")

api = gateway.create_api(Name="orders", ProtocolType="HTTP")
integration = gateway.create_integration(ApiId=api["ApiId"], IntegrationType="AWS_PROXY", IntegrationUri=place, PayloadFormatVersion="2.0")
for key in ("POST /orders", "GET /orders/{id}"):
    gateway.create_route(ApiId=api["ApiId"], RouteKey=key, Target="integrations/" + integration["IntegrationId"])
gateway.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
lam.add_permission(FunctionName="place-order", StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com",
                   SourceArn=f"arn:aws:execute-api:{region}:{account}:{api['ApiId']}/*/*/orders*")


def post(body):
    # Names below localhost are the loopback address (RFC 6761, 6.3), whatever the resolver says.
    url = urllib.parse.urlsplit(api["ApiEndpoint"])
    address = f"127.0.0.1:{url.port}" if url.hostname.endswith(".localhost") else url.netloc
    request = urllib.request.Request(f"{url.scheme}://{address}{url.path}/orders", json.dumps(body).encode(),
                                     {"content-type": "application/json", "host": url.netloc})
    try:
        with urllib.request.urlopen(request, timeout=30) as r:
            return r.status, json.load(r)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


status, answer = post({"clientToken": "boto-1", "customer": {"name": "李小龍", "email": "li@example.com"}, "currency": "EUR",
                       "items": [{"sku": "LAPTOP", "title": "Laptop", "kind": "physical", "quantity": 1, "unitPrice": 1649.0}]})
assert status == 201, (status, answer)
print("placed", answer)
status, refused = post({"clientToken": "boto-2"})
assert status == 400 and refused["reason"], (status, refused)
for name, url in urls.items():
    got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"]).get("Messages", [])
    assert got and "1649" in got[0]["Body"], (name, got)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got[0]["ReceiptHandle"])
    print(name, "has it")
row = boto3.resource("dynamodb").Table("orders").get_item(Key={"orderId": answer["orderId"]}, ConsistentRead=True)["Item"]
assert row["totalCents"] == 164900 and row["customer"]["name"] == "李小龍", row
# What functions print reaches the log a moment later, as on AWS.
for _ in range(200):
    groups = [g["logGroupName"] for g in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]]
    if "/aws/lambda/place-order" in groups:
        break
    time.sleep(0.1)
else:
    raise AssertionError(f"no log group of place-order: {groups}")
print("ok")
