"""A session of boto3: the resource API of DynamoDB, a consumer of SQS by long polls, rules, schedules and pipes.

Endpoint and credentials come from the environment.
"""
import decimal
import json
import threading

import boto3
from boto3.dynamodb.conditions import Attr, Key

account = boto3.client("sts").get_caller_identity()["Account"]
region = boto3.session.Session().region_name


def table():
    db = boto3.resource("dynamodb")
    t = db.create_table(TableName="films", BillingMode="PAY_PER_REQUEST",
                        AttributeDefinitions=[{"AttributeName": "year", "AttributeType": "N"}, {"AttributeName": "title", "AttributeType": "S"},
                                              {"AttributeName": "genre", "AttributeType": "S"}],
                        KeySchema=[{"AttributeName": "year", "KeyType": "HASH"}, {"AttributeName": "title", "KeyType": "RANGE"}],
                        GlobalSecondaryIndexes=[{"IndexName": "by-genre", "Projection": {"ProjectionType": "ALL"},
                                                 "KeySchema": [{"AttributeName": "genre", "KeyType": "HASH"}, {"AttributeName": "title", "KeyType": "RANGE"}]}])
    t.wait_until_exists()
    with t.batch_writer(overwrite_by_pkeys=["year", "title"]) as batch:
        for i in range(120):
            batch.put_item(Item={"year": 1980 + i % 4, "title": f"film {i:03}", "genre": "noir" if i % 3 else "épopée",
                                 "score": decimal.Decimal(i) / 10, "tags": {"a", f"t{i}"}, "cast": [{"name": "Ada", "age": i}]})
    got = t.query(KeyConditionExpression=Key("year").eq(1981) & Key("title").between("film 010", "film 050"), ScanIndexForward=False)
    assert [i["title"] for i in got["Items"]] == [f"film {i:03}" for i in range(49, 9, -1) if i % 4 == 1], got
    got = t.query(IndexName="by-genre", KeyConditionExpression=Key("genre").eq("épopée") & Key("title").begins_with("film 0"),
                  FilterExpression=Attr("score").gte(decimal.Decimal("6")) & Attr("tags").contains("a"))
    assert got["Count"] == len([i for i in range(100) if i % 3 == 0 and i >= 60]), got["Count"]
    items, start = 0, {}
    while True:
        page = t.scan(Limit=50, FilterExpression=Attr("cast[0].age").lt(60), **start)
        items += page["Count"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert items == 60, items
    new = t.update_item(Key={"year": 1980, "title": "film 000"}, UpdateExpression="SET score = score + :d, #c[0].age = :a", ReturnValues="UPDATED_NEW",
                        ExpressionAttributeNames={"#c": "cast"}, ExpressionAttributeValues={":d": decimal.Decimal("0.25"), ":a": 33})["Attributes"]
    assert new["score"] == decimal.Decimal("0.25"), new
    try:
        t.put_item(Item={"year": 1980, "title": "film 000"}, ConditionExpression=Attr("year").not_exists())
        raise AssertionError("the condition held")
    except db.meta.client.exceptions.ConditionalCheckFailedException as e:
        assert e.response["Error"]["Message"] == "The conditional request failed", e.response
    pages = db.meta.client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
    assert "films" in [n for p in pages for n in p["TableNames"]]
    t.delete()
    t.wait_until_not_exists()
    print("dynamodb: ok")


def consumer():
    sqs = boto3.resource("sqs")
    queue = sqs.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "60"})
    seen = []

    def consume():
        while len(seen) < 100:
            for m in queue.receive_messages(WaitTimeSeconds=20, MaxNumberOfMessages=10, AttributeNames=["All"]):
                seen.append((m.attributes["MessageGroupId"], int(m.body)))
                m.delete()

    thread = threading.Thread(target=consume)
    thread.start()
    for i in range(0, 100, 10):
        out = queue.send_messages(Entries=[{"Id": str(n), "MessageBody": str(n), "MessageGroupId": f"g{n % 3}"} for n in range(i, i + 10)])
        assert len(out["Successful"]) == 10, out
    thread.join(timeout=120)
    assert not thread.is_alive(), seen
    for group in range(3):
        assert [n for g, n in seen if g == f"g{group}"] == [n for n in range(100) if n % 3 == group], seen
    print("sqs: ok")


def role(name, service, *actions):
    iam = boto3.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}))
    return arn


def routing():
    sqs, events, pipes, schedules = (boto3.client(s) for s in ("sqs", "events", "pipes", "scheduler"))

    def queue(name, policy=None):
        url = sqs.create_queue(QueueName=name, Attributes={"Policy": json.dumps(policy)} if policy else {})["QueueUrl"]
        return url, f"arn:aws:sqs:{region}:{account}:{name}"

    def receive(url):
        got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [])
        assert got, url
        sqs.delete_message(QueueUrl=url, ReceiptHandle=got[0]["ReceiptHandle"])
        return got[0]["Body"]

    arn = f"arn:aws:sqs:{region}:{account}:routed"
    url, _ = queue("routed", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}]})
    events.create_event_bus(Name="b")
    events.put_rule(Name="r", EventBusName="b", EventPattern=json.dumps({"detail": {"n": [{"numeric": [">", 5]}]}}))
    assert events.put_targets(Rule="r", EventBusName="b", Targets=[{"Id": "q", "Arn": arn, "InputPath": "$.detail"}])["FailedEntryCount"] == 0
    out = events.put_events(Entries=[{"EventBusName": "b", "Source": "s", "DetailType": "d", "Detail": json.dumps({"n": n})} for n in (1, 9)])
    assert out["FailedEntryCount"] == 0, out
    assert json.loads(receive(url)) == {"n": 9}

    source, source_arn = queue("source")
    target, target_arn = queue("target")
    pipes.create_pipe(Name="p", Source=source_arn, Target=target_arn, RoleArn=role("pipe", "pipes.amazonaws.com", "sqs:*"),
                      SourceParameters={"FilterCriteria": {"Filters": [{"Pattern": json.dumps({"body": {"ok": [True]}})}]}},
                      TargetParameters={"InputTemplate": "<$.body.text>"})
    for ok in (False, True):
        sqs.send_message(QueueUrl=source, MessageBody=json.dumps({"ok": ok, "text": f"was {ok}"}))
    assert "was True" in receive(target)

    schedules.create_schedule(Name="s", ScheduleExpression="rate(1 minute)", FlexibleTimeWindow={"Mode": "OFF"},
                              Target={"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": role("schedule", "scheduler.amazonaws.com", "sqs:*"),
                                      "Input": json.dumps({"QueueUrl": target, "MessageBody": "tick"})})
    assert schedules.get_schedule(Name="s")["State"] == "ENABLED"
    names = [s["Name"] for p in schedules.get_paginator("list_schedules").paginate() for s in p["Schedules"]]
    assert names == ["s"], names
    schedules.delete_schedule(Name="s")
    print("events, pipes, scheduler: ok")


table()
consumer()
routing()
