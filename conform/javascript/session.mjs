// A session of the AWS SDK for JavaScript v3, its DynamoDBDocumentClient, and the library sqs-consumer, all unmodified.
// Endpoint and credentials come from the environment.
import assert from "node:assert/strict";
import {
  BatchWriteItemCommand, CreateTableCommand, DeleteTableCommand, DynamoDBClient, waitUntilTableExists, waitUntilTableNotExists,
} from "@aws-sdk/client-dynamodb";
import {
  BatchGetCommand, DeleteCommand, DynamoDBDocumentClient, GetCommand, PutCommand, TransactWriteCommand, UpdateCommand,
  paginateQuery, paginateScan,
} from "@aws-sdk/lib-dynamodb";
import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient, SendMessageBatchCommand } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

async function documents() {
  const client = new DynamoDBClient({});
  const db = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
  await client.send(new CreateTableCommand({
    TableName: "notes", BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [{ AttributeName: "who", AttributeType: "S" }, { AttributeName: "at", AttributeType: "N" }],
    KeySchema: [{ AttributeName: "who", KeyType: "HASH" }, { AttributeName: "at", KeyType: "RANGE" }],
  }));
  await waitUntilTableExists({ client, maxWaitTime: 60 }, { TableName: "notes" });

  const item = {
    who: "zoë", at: 1, text: "ключ", done: false, nothing: null, list: [1, "two", [3]], map: { a: { b: 1.5 } },
    tags: new Set(["x", "y"]), bytes: new Uint8Array([0, 255]), left: undefined,
  };
  await db.send(new PutCommand({ TableName: "notes", Item: item }));
  const got = (await db.send(new GetCommand({ TableName: "notes", Key: { who: "zoë", at: 1 } }))).Item;
  delete item.left;
  assert.deepEqual({ ...got, bytes: [...got.bytes] }, { ...item, bytes: [0, 255] });

  const updated = await db.send(new UpdateCommand({
    TableName: "notes", Key: { who: "zoë", at: 1 }, ReturnValues: "ALL_NEW",
    UpdateExpression: "SET #l[0] = :n, #m.a.c = :s ADD #t :t REMOVE nothing", ConditionExpression: "attribute_exists(who) AND #t <> :empty",
    ExpressionAttributeNames: { "#l": "list", "#m": "map", "#t": "tags" },
    ExpressionAttributeValues: { ":n": 10, ":s": "new", ":t": new Set(["z"]), ":empty": "" },
  }));
  assert.deepEqual(updated.Attributes.list, [10, "two", [3]]);
  assert.deepEqual(updated.Attributes.map, { a: { b: 1.5, c: "new" } });
  assert.deepEqual(updated.Attributes.tags, new Set(["x", "y", "z"]));

  await assert.rejects(
    db.send(new PutCommand({ TableName: "notes", Item: { who: "zoë", at: 1 }, ConditionExpression: "attribute_not_exists(who)" })),
    { name: "ConditionalCheckFailedException" });
  await assert.rejects(db.send(new TransactWriteCommand({
    TransactItems: [
      { Put: { TableName: "notes", Item: { who: "max", at: 0 } } },
      { ConditionCheck: { TableName: "notes", Key: { who: "zoë", at: 9 }, ConditionExpression: "attribute_exists(who)" } },
    ],
  })), (e) => e.name === "TransactionCanceledException" && e.CancellationReasons[1].Code === "ConditionalCheckFailed");

  for (let from = 0; from < 100; from += 25) {
    const puts = Array.from({ length: 25 }, (_, i) => ({ PutRequest: { Item: { who: { S: "max" }, at: { N: String(from + i) } } } }));
    await client.send(new BatchWriteItemCommand({ RequestItems: { notes: puts } }));
  }
  let pages = 0;
  const seen = [];
  for await (const page of paginateQuery({ client: db, pageSize: 30 }, {
    TableName: "notes", KeyConditionExpression: "who = :w AND #at BETWEEN :a AND :b", ScanIndexForward: false,
    ExpressionAttributeNames: { "#at": "at" }, ExpressionAttributeValues: { ":w": "max", ":a": 5, ":b": 94 },
  })) {
    pages++;
    seen.push(...page.Items.map((i) => i.at));
  }
  assert.deepEqual(seen, Array.from({ length: 90 }, (_, i) => 94 - i));
  assert.ok(pages >= 3);
  let count = 0;
  for await (const page of paginateScan({ client: db }, { TableName: "notes", Limit: 7 })) count += page.Items.length;
  assert.equal(count, 101);
  const batch = await db.send(new BatchGetCommand({ RequestItems: { notes: { Keys: [{ who: "max", at: 3 }, { who: "max", at: 4 }, { who: "none", at: 0 }] } } }));
  assert.equal(batch.Responses.notes.length, 2);
  await db.send(new DeleteCommand({ TableName: "notes", Key: { who: "zoë", at: 1 } }));
  await client.send(new DeleteTableCommand({ TableName: "notes" }));
  await waitUntilTableNotExists({ client, maxWaitTime: 60 }, { TableName: "notes" });
  console.log("DynamoDBDocumentClient: ok");
}

// consume takes 50 messages with sqs-consumer; those whose handler throws once come again.
async function consume() {
  const sqs = new SQSClient({});
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "work", Attributes: { VisibilityTimeout: "30" } }));
  for (let from = 0; from < 50; from += 10) {
    await sqs.send(new SendMessageBatchCommand({
      QueueUrl, Entries: Array.from({ length: 10 }, (_, i) => ({ Id: String(i), MessageBody: String(from + i) })),
    }));
  }
  const failed = new Set();
  const done = new Set();
  await new Promise((resolve, reject) => {
    const consumer = Consumer.create({
      sqs, queueUrl: QueueUrl, batchSize: 10, waitTimeSeconds: 20, terminateVisibilityTimeout: true,
      handleMessage: async (message) => {
        const body = message.Body;
        if (Number(body) % 10 === 0 && !failed.has(body)) {
          failed.add(body);
          throw new Error("not yet");
        }
        done.add(body);
        return message;
      },
    });
    consumer.on("error", (e) => reject(e));
    consumer.on("processing_error", () => {});
    consumer.on("response_processed", () => {
      if (done.size === 50) consumer.stop();
    });
    consumer.on("stopped", resolve);
    consumer.start();
  });
  assert.equal(failed.size, 5);
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({
    QueueUrl, AttributeNames: ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
  }));
  assert.deepEqual(Attributes, { ApproximateNumberOfMessages: "0", ApproximateNumberOfMessagesNotVisible: "0" });
  console.log("sqs-consumer: ok");
}

await documents();
await consume();
