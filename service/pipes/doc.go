// Package pipes is Amazon EventBridge Pipes: point-to-point connections from a queue or a stream, through
// a filter and an enrichment, to a target.
//
// Promises. A record of a stream is handed to the target at least once, in order within its shard, from a
// durable position; a message of a queue is deleted only after the target took it. Reading, enriching and
// sending are done as the pipe's role, taken as pipes.amazonaws.com: what the role may not do does not
// happen. A pipe goes on after a restart where it was.
//
// A pipe's CurrentState follows its DesiredState in the background: CREATING, UPDATING, STARTING, STOPPING
// and DELETING end when what ran before has come to rest and, if it is to run, the role could read the
// source; else in CREATE_FAILED, UPDATE_FAILED or START_FAILED with the reason in StateReason.
//
// Tables (Regional unless noted):
//
//	pipes/pipe    name → pipe
//	pipes/reason  name → what is wrong with the batch last tried, "" when nothing is
//	pipes/known   Global: (account, region, name) → nothing; every pipe there is
//
// Limits: 1,000 pipes of an account and region, 5 filters, 8,192 characters of template, 50 tags, 1,250 batches
// of a queue at once, 6 MB of records in a batch.
//
// Not written, and refused by name: sources other than queues and DynamoDB streams, enrichments other than
// functions, API destinations and methods of API Gateway, targets other than those, SQS, SNS, event buses and CloudWatch
// Logs, and log destinations other than CloudWatch Logs. Log records of executions are written once an execution has
// ended, by delivery.logs.amazonaws.com; one that cannot be written is lost.
package pipes
