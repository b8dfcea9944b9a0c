#!/usr/bin/env bash
# Deploys the order system with the aws command line, sends an order through it, and looks where it
# arrived. It takes the endpoint and credentials from the environment, as the aws command does, and
# ORDERS from there too: the directory of examples/orders.
set -euo pipefail
say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# Version 1 of the aws command does not heed AWS_ENDPOINT_URL for sqs, only --endpoint-url.
aws() { command aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"; }
region=${AWS_REGION:-us-east-1}
account=$(aws sts get-caller-identity --query Account --output text)
work=$PWD

say "build the functions"
for f in place-order order-changed; do
  (cd "$ORDERS" && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -tags lambda.norpc -o "$work/$f/bootstrap" "./$f")
  python3 - "$work/$f" <<'PY'
import os, sys, zipfile
folder = sys.argv[1]
with zipfile.ZipFile(folder + ".zip", "w", zipfile.ZIP_DEFLATED) as z:
    info = zipfile.ZipInfo("bootstrap")
    info.external_attr = 0o755 << 16
    z.writestr(info, open(os.path.join(folder, "bootstrap"), "rb").read(), zipfile.ZIP_DEFLATED)
PY
done

say "topic, bus, queues"
topic=$(aws sns create-topic --name order-events --query TopicArn --output text)
bus=$(aws events create-event-bus --name orders --query EventBusArn --output text)
rule=$(aws events put-rule --name high-value-orders --event-bus-name orders \
  --event-pattern '{"source":["shop.orders"],"detail":{"total":[{"numeric":[">",1000]}]}}' --query RuleArn --output text)
queue() { # name, service that may send, source
  local arn="arn:aws:sqs:$region:$account:$1"
  local policy="{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"$2\"},\"Action\":\"sqs:SendMessage\",\"Resource\":\"$arn\",\"Condition\":{\"ArnEquals\":{\"aws:SourceArn\":\"$3\"}}}]}"
  python3 -c 'import json,sys; print(json.dumps({"Policy": sys.argv[1]}))' "$policy" > "$1.json"
  aws sqs create-queue --queue-name "$1" --attributes "file://$1.json" --query QueueUrl --output text
}
billing=$(queue billing sns.amazonaws.com "$topic")
fulfilment=$(queue fulfilment sns.amazonaws.com "$topic")
audit=$(queue audit sns.amazonaws.com "$topic")
high=$(queue high-value events.amazonaws.com "$rule")
arn="arn:aws:sqs:$region:$account"
aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$arn:billing" > /dev/null
aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$arn:fulfilment" \
  --attributes '{"FilterPolicyScope":"MessageBody","FilterPolicy":"{\"physical\":[true]}"}' > /dev/null
aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$arn:audit" --attributes RawMessageDelivery=true > /dev/null
[ "$(aws events put-targets --rule high-value-orders --event-bus-name orders --targets "Id=queue,Arn=$arn:high-value" --query FailedEntryCount)" = 0 ] || fail "put-targets"

say "table"
aws dynamodb create-table --table-name orders --billing-mode PAY_PER_REQUEST --attribute-definitions AttributeName=orderId,AttributeType=S \
  --key-schema AttributeName=orderId,KeyType=HASH --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES > /dev/null
aws dynamodb wait table-exists --table-name orders
table=$(aws dynamodb describe-table --table-name orders --query Table.TableArn --output text)
stream=$(aws dynamodb describe-table --table-name orders --query Table.LatestStreamArn --output text)

say "functions and their roles"
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
logs='{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}'
make_function() { # name, statement, environment
  aws iam create-role --role-name "$1" --assume-role-policy-document "$trust" > /dev/null
  aws iam put-role-policy --role-name "$1" --policy-name least-privilege --policy-document "{\"Version\":\"2012-10-17\",\"Statement\":[$2,$logs]}"
  aws lambda create-function --function-name "$1" --runtime provided.al2023 --handler bootstrap --zip-file "fileb://$1.zip" --timeout 30 --memory-size 256 \
    --role "arn:aws:iam::$account:role/$1" --environment "$3" --query FunctionArn --output text
  aws lambda wait function-active-v2 --function-name "$1"
}
place=$(make_function place-order "{\"Effect\":\"Allow\",\"Action\":[\"dynamodb:PutItem\",\"dynamodb:UpdateItem\",\"dynamodb:GetItem\"],\"Resource\":\"$table\"}" 'Variables={TABLE=orders}')
make_function order-changed "{\"Effect\":\"Allow\",\"Action\":\"sns:Publish\",\"Resource\":\"$topic\"},{\"Effect\":\"Allow\",\"Action\":\"events:PutEvents\",\"Resource\":\"$bus\"},{\"Effect\":\"Allow\",\"Action\":[\"dynamodb:DescribeStream\",\"dynamodb:GetRecords\",\"dynamodb:GetShardIterator\",\"dynamodb:ListStreams\"],\"Resource\":\"*\"}" \
  "Variables={TOPIC=$topic,BUS=$bus}" > /dev/null
aws lambda create-event-source-mapping --function-name order-changed --event-source-arn "$stream" --starting-position TRIM_HORIZON --batch-size 25 \
  --function-response-types ReportBatchItemFailures > /dev/null

say "API"
api=$(aws apigatewayv2 create-api --name orders --protocol-type HTTP --query ApiId --output text)
url=$(aws apigatewayv2 get-api --api-id "$api" --query ApiEndpoint --output text)
integration=$(aws apigatewayv2 create-integration --api-id "$api" --integration-type AWS_PROXY --integration-uri "${place%%$'\n'*}" --payload-format-version 2.0 --query IntegrationId --output text)
for route in 'POST /orders' 'GET /orders/{id}'; do
  aws apigatewayv2 create-route --api-id "$api" --route-key "$route" --target "integrations/$integration" > /dev/null
done
aws apigatewayv2 create-stage --api-id "$api" --stage-name '$default' --auto-deploy > /dev/null
aws lambda add-permission --function-name place-order --statement-id api --action lambda:InvokeFunction --principal apigateway.amazonaws.com \
  --source-arn "arn:aws:execute-api:$region:$account:$api/*/*/orders*" > /dev/null

say "an order, and a wrong one"
host=${url#*://}; host=${host%%/*}
post() { curl -sS --max-time 30 --connect-to "$host:127.0.0.1:${host##*:}" -w '\n%{http_code}' -H 'content-type: application/json' -d "$1" "$url/orders"; }
good='{"clientToken":"cli-1","customer":{"name":"Zoë","email":"zoe@example.com"},"currency":"EUR","items":[{"sku":"LAPTOP","title":"Laptop","kind":"physical","quantity":1,"unitPrice":1649.0}]}'
answer=$(post "$good"); echo "$answer"
[ "${answer##*$'\n'}" = 201 ] || fail "the order was not accepted"
answer=$(post '{"clientToken":"cli-2"}'); echo "$answer"
[ "${answer##*$'\n'}" = 400 ] || fail "the wrong order was not refused"

say "where it arrived"
for q in "$billing" "$fulfilment" "$audit" "$high"; do
  body=$(aws sqs receive-message --queue-url "$q" --wait-time-seconds 20 --query 'Messages[0].Body' --output text)
  echo "${q##*/}: ${body:0:120}"
  [[ $body == *1649* ]] || fail "nothing in $q"
done
[ "$(aws dynamodb scan --table-name orders --select COUNT --query Count)" = 1 ] || fail "the table does not hold one order"

say "what the functions logged"
# Version 1 of the aws command has no "logs tail"; version 2's asks the server the same thing.
tail_logs() {
  if [[ $(aws --version 2>&1) == aws-cli/1.* ]]; then
    aws logs filter-log-events --log-group-name "$1" --query 'events[].[logStreamName,message]' --output text
  else
    aws logs tail "$1" --since 10m
  fi
}
for _ in $(seq 20); do
  tail=$(tail_logs /aws/lambda/place-order 2>&1 || true) # the group may not be there yet
  [[ $tail == *'refused with 400'* ]] && break
done
echo "$tail" | head -5
[[ $tail == *'refused with 400'* ]] || fail "the log does not show what place-order printed"
say "ok"
