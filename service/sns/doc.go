// Package sns implements Amazon SNS: topics, subscriptions, and messages
// carried from the one to the other.
//
// Promises. Publish commits, in one transaction, one pending delivery for every subscription whose
// filter policy matches; a relay carries each to its endpoint at least once, with AWS's
// retries, and when they are used up, or the endpoint refuses for good, to the subscription's
// dead-letter queue. What has no dead-letter queue is logged as a failed delivery.
//
// Filter policies of a topic are compiled together (package pattern): a publish costs
// about as much as the subscriptions it matches.
//
// Signatures are real: RSA over the documented string, SHA1 for SignatureVersion 1 and SHA256 for 2, made once
// for each message, at the earliest while its publish is being synced. See signature.go for the keys.
//
// Tables, by account and region:
//
//	sns/topic         name             → topic
//	sns/subscription  topic, id        → subscription
//	sns/message       id, protocol     → message, when too many deliveries share a big one
//	sns/pending       id, delivery     → nothing: who still needs that message
//	sns/key           name             → signing key (one for the whole installation)
//
// Limits: 256 KiB for a message with its attributes, 10 messages in a batch, 10,000 subscriptions of a topic
// (AWS allows 12.5 million), 200 filter policies of a topic, 50 tags, 100 rows in a page.
//
// Not written, and refused by name: FIFO topics, encryption keys, delivery status logging, and
// every protocol but sqs and lambda.
package sns
