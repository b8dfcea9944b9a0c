#!/usr/bin/env bash
# A session of the aws command: DynamoDB, queues and topics, rules, schedules, pipes, archives, logs. Endpoint and credentials come
# from the environment.
set -euo pipefail
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" --output json "$@"; } # version 1 wants it said
get() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[int(k)] if k.isdigit() else v[k]
print(v if isinstance(v, str) else json.dumps(v))' "$1"; }
same() { [ "$1" = "$2" ] || { echo "got $1, want $2" >&2; exit 1; }; }
refused() { # code, command
  local code=$1 out
  shift
  if out=$("$@" 2>&1); then echo "not refused: $*" >&2; exit 1; fi
  [[ $out == *"($code)"* ]] || { echo "refused otherwise: $out" >&2; exit 1; }
}
account=$(aws sts get-caller-identity | get Account)
arn() { echo "arn:aws:$1:us-east-1:$account:$2"; }

# DynamoDB
aws dynamodb create-table --table-name music --billing-mode PAY_PER_REQUEST \
  --attribute-definitions AttributeName=artist,AttributeType=S AttributeName=song,AttributeType=S \
  --key-schema AttributeName=artist,KeyType=HASH AttributeName=song,KeyType=RANGE \
  --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES >/dev/null
aws dynamodb wait table-exists --table-name music
for song in one two three; do
  aws dynamodb put-item --table-name music --item '{"artist":{"S":"Björk"},"song":{"S":"'$song'"},"plays":{"N":"1"}}'
done
same "$(aws dynamodb update-item --table-name music --key '{"artist":{"S":"Björk"},"song":{"S":"one"}}' --update-expression 'ADD plays :n' \
  --expression-attribute-values '{":n":{"N":"41"}}' --return-values UPDATED_NEW | get Attributes.plays.N)" 42
same "$(aws dynamodb query --table-name music --key-condition-expression 'artist = :a AND begins_with(song, :t)' \
  --expression-attribute-values '{":a":{"S":"Björk"},":t":{"S":"t"}}' --page-size 1 | get Count)" 2
same "$(aws dynamodb execute-statement --statement "SELECT plays FROM music WHERE artist='Björk' AND song='one'" | get Items.0.plays.N)" 42
refused ConditionalCheckFailedException aws dynamodb put-item --table-name music --item '{"artist":{"S":"Björk"},"song":{"S":"one"}}' \
  --condition-expression 'attribute_not_exists(artist)'
refused ResourceNotFoundException aws dynamodb describe-table --table-name nope
stream=$(aws dynamodbstreams list-streams --table-name music | get Streams.0.StreamArn)
shard=$(aws dynamodbstreams describe-stream --stream-arn "$stream" | get StreamDescription.Shards.0.ShardId)
iterator=$(aws dynamodbstreams get-shard-iterator --stream-arn "$stream" --shard-id "$shard" --shard-iterator-type TRIM_HORIZON | get ShardIterator)
same "$(aws dynamodbstreams get-records --shard-iterator "$iterator" | get Records.3.eventName)" MODIFY
aws dynamodb create-backup --table-name music --backup-name first >/dev/null
aws dynamodb delete-table --table-name music >/dev/null
aws dynamodb wait table-not-exists --table-name music
echo "dynamodb: ok"

# Queues and topics
queue() { # name, service that may send: its URL
  aws sqs create-queue --queue-name "$1" --attributes '{"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"'"$2"'\"},\"Action\":\"sqs:SendMessage\",\"Resource\":\"'"$(arn sqs "$1")"'\"}]}"}' | get QueueUrl
}
take() { # queue's URL: the body of a message, which is deleted
  local got=
  for _ in 1 2 3 4 5; do
    got=$(aws sqs receive-message --queue-url "$1" --wait-time-seconds 20)
    [ -z "$got" ] || break
  done
  aws sqs delete-message --queue-url "$1" --receipt-handle "$(get Messages.0.ReceiptHandle <<<"$got")"
  get Messages.0.Body <<<"$got"
}
inbox=$(queue inbox sns.amazonaws.com)
topic=$(aws sns create-topic --name news | get TopicArn)
aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$(arn sqs inbox)" \
  --attributes '{"RawMessageDelivery":"true","FilterPolicy":"{\"kind\":[\"good\"]}"}' >/dev/null
for kind in bad good; do
  aws sns publish --topic-arn "$topic" --message "$kind news" --message-attributes '{"kind":{"DataType":"String","StringValue":"'$kind'"}}' >/dev/null
done
same "$(take "$inbox")" "good news"
echo "sns, sqs: ok"

# Rules, with an archive and its replay
routed=$(queue routed events.amazonaws.com)
aws events create-event-bus --name orders >/dev/null
aws events create-archive --archive-name all --event-source-arn "$(arn events event-bus/orders)" >/dev/null
aws events put-rule --name big --event-bus-name orders --event-pattern '{"detail":{"total":[{"numeric":[">",1000]}]}}' >/dev/null
same "$(aws events put-targets --rule big --event-bus-name orders --targets "Id=q,Arn=$(arn sqs routed),InputPath=$.detail" | get FailedEntryCount)" 0
start=$(date -u -d '-1 minute' +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v-1M +%Y-%m-%dT%H:%M:%SZ)
aws events put-events --entries '[{"EventBusName":"orders","Source":"shop","DetailType":"order","Detail":"{\"total\":5}"},{"EventBusName":"orders","Source":"shop","DetailType":"order","Detail":"{\"total\":5000}"}]' >/dev/null
same "$(take "$routed")" '{"total":5000}'
end=$(date -u -d '+1 minute' +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v+1M +%Y-%m-%dT%H:%M:%SZ)
same "$(aws events test-event-pattern --event-pattern '{"source":["shop"]}' --event '{"id":"1","source":"shop","detail-type":"d","account":"1","time":"2020-01-01T00:00:00Z","region":"r","resources":[],"detail":{}}' | get Result)" true
aws events start-replay --replay-name again --event-source-arn "$(arn events archive/all)" --event-start-time "$start" --event-end-time "$end" \
  --destination "{\"Arn\":\"$(arn events event-bus/orders)\"}" >/dev/null
same "$(aws events describe-replay --replay-name again | get ReplayName)" again
echo "events: ok"

# Schedules and pipes
role() { # name, service
  aws iam create-role --role-name "$1" --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"'"$2"'"},"Action":"sts:AssumeRole"}]}' >/dev/null
  aws iam put-role-policy --role-name "$1" --policy-name p --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}'
  aws iam get-role --role-name "$1" | get Role.Arn
}
there=$(aws sqs create-queue --queue-name there | get QueueUrl)
may=$(role schedule scheduler.amazonaws.com)
at=$(date -u -d '+20 seconds' +%Y-%m-%dT%H:%M:%S 2>/dev/null || date -u -v+20S +%Y-%m-%dT%H:%M:%S)
aws scheduler create-schedule --name once --schedule-expression "at($at)" --flexible-time-window Mode=OFF --action-after-completion DELETE \
  --target "{\"Arn\":\"$(arn sqs there)\",\"RoleArn\":\"$may\",\"Input\":\"tick\"}" >/dev/null
same "$(take "$there")" tick
from=$(aws sqs create-queue --queue-name from | get QueueUrl)
aws pipes create-pipe --name pipe --source "$(arn sqs from)" --target "$(arn sqs there)" --role-arn "$(role pipe pipes.amazonaws.com)" \
  --target-parameters '{"InputTemplate":"<$.body.text>"}' >/dev/null
aws sqs send-message --queue-url "$from" --message-body '{"text":"through"}' >/dev/null
same "$(take "$there")" through
same "$(aws pipes list-pipes | get Pipes.0.Name)" pipe
echo "scheduler, pipes: ok"

# Logs
aws logs create-log-group --log-group-name g
aws logs create-log-stream --log-group-name g --log-stream-name s
aws logs put-log-events --log-group-name g --log-stream-name s --log-events "timestamp=$(date +%s)000,message=hello there" >/dev/null
same "$(aws logs filter-log-events --log-group-name g --filter-pattern hello | get events.0.message)" "hello there"
echo "logs: ok"
