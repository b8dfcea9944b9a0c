// Package sns implements Amazon SNS: topics, subscriptions, and messages
// carried from the one to the other.
//
// Promises. Publish commits, in one transaction, one pending delivery for every subscription whose
// filter policy matches; a relay carries each to its endpoint at least once, with AWS's
// retries, and when they are used up, or the endpoint refuses for good, to the subscription's
// dead-letter queue. Raw messages for standard queues are put there in the transaction itself, where nothing waits before
// them (decision 0036). What has no dead-letter queue is logged as a failed delivery. Queues and functions get messages in the
// order of publishing (relay sns/delivery); endpoints outside do not wait for each other (relay sns/outside). A message for
// more than 8 queues or 256 subscriptions is stored once with their list, and spread in the background in the same order (relay
// sns/spread), to 64 queues in each transaction.
//
// FIFO topics number their messages in the order of commits, take doubles within five minutes for the same message, and
// keep the order of each group to each queue. With an archive policy they keep their messages for replays: a replay hands a
// hundred at a time to relay sns/delivery, and leaves the archive for the publishers in the transaction that finds its end.
//
// Endpoints outside, by http, https and mail, must confirm first. The links in their messages work without a signature
// and lead here: the gate lets ConfirmSubscription and Unsubscribe through, and this package judges the token. Whoever
// leaves by a link can come back by another.
//
// Filter policies of a topic are compiled together (package pattern): a publish costs
// about as much as the subscriptions it matches.
//
// Signatures are real: RSA over the documented string, SHA1 for SignatureVersion 1 and SHA256 for 2, made once
// for each message, at the earliest while its publish is being synced. See signature.go for the keys.
//
// Mail, text messages and pushes for which no relay or gateway is configured go to the outbox: see outbox.go.
//
// Tables, by account and region:
//
//	sns/topic         name                   → topic
//	sns/subscription  topic, id              → subscription
//	sns/subscriber    topic, protocol, endpoint → id of its subscription
//	sns/census        topic, "" for all      → how many subscriptions and filter policies there are
//	sns/expiry        topic, id              → timer: ends the wait for a confirmation
//	sns/pace          topic, id              → when a throttled endpoint may get its next message
//	sns/message       id, protocol           → message, when too many deliveries share a big one
//	sns/pending       id, protocol, delivery → nothing: who still needs that message
//	sns/progress      topic, chunk           → item of sns/spread of which that part of the list is done
//	sns/sequence      topic                  → last number of a FIFO topic
//	sns/accepted      topic, group, id       → message lately taken by a FIFO topic
//	sns/fading        topic, number          → key in sns/accepted, in the order of forgetting
//	sns/archive       archive, stamp, number → message a FIFO topic keeps for replays
//	sns/archive/sweep archive                → timer: removes what was kept for long enough
//	sns/replay        topic, id              → timer: sends the next messages of a replay
//	sns/outbox        log                    → letters
//	sns/account       –                      → attributes of text messages, and what they cost this month
//	sns/optout        number                 → when its owner asked for no more
//	sns/sandbox       number                 → one-time password, or that it was verified
//	sns/application   platform, name         → platform application
//	sns/endpoint      platform, name, id     → endpoint of a device
//	sns/device        platform, name, token  → id of its endpoint
//	sns/key           name                   → signing key (two for the whole installation)
//
// Limits: 256 KiB for a message with its attributes, 10 messages in a batch, 10,000 subscriptions of a topic
// (AWS allows 12.5 million), 100 of a FIFO topic, 10,000 filter policies of an account, 365 days of an archive, 50 tags, 100 rows in a page, 10,000 letters in the outbox,
// 100 retries and an hour for them over HTTP, 1,600 characters of a text message.
//
// Not written, and refused by name: encryption keys, tracing, data protection policies, events
// of platform applications, and protocol firehose.
package sns
