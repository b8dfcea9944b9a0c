// Package events implements Amazon EventBridge: buses, rules and the targets
// events are routed to.
//
// Promises. PutEvents commits, in one transaction, one pending delivery for every target of every
// enabled rule that matches an event; a relay carries each at least once, with the target's
// retry policy, and hands what cannot be delivered to the target's dead-letter queue with AWS's
// attributes. What has none is logged. Standard queues get their events in the transaction itself, where nothing waits before them
// (decision 0036). A target with a role is called as that role, another as EventBridge, which the
// target's own policy must allow. An event for another bus is matched there in the
// same way, at most five buses on.
//
// All rules of a bus are compiled into one pattern.Set, derived from their rows.
//
// Tables, by account and region:
//
//	events/bus      name             → bus; the default bus has a row once something about it was set
//	events/rule     bus, name        → rule
//	events/rules    bus              → how many there are
//	events/target   bus, rule, id    → target
//	events/schedule rule             → what a rule with a schedule waits for, beside a timer of the same name
//	events/archive  name             → archive
//	events/archived archive's id, ingestion, stamp → event
//	events/replay   name             → replay and how far it is, beside a timer of the same name
//	events/connection  name      → connection, its parameters sealed
//	events/token    connection   → its sealed OAuth token
//	events/destination name      → API destination
//	events/pace     destination  → when the next request may be sent
//	events/seal     Global: the key secrets are sealed under
//	events/event    event, bus       → event, when too many deliveries share a big one
//	events/pending  event, bus, rule, target → nothing: who still needs that event
//
// Limits: 10 entries and 1 MiB in a PutEvents, 100 buses, 20,000 rules of a bus (AWS: 300, adjustable), 5 targets of a
// rule, 50 tags, 1,000 archives, 10 replays at once, 3,000 connections, 3,000 API destinations, 4,096 characters of pattern, 100 rows in a page.
//
// Not written, and refused by name: endpoints, partner sources,
// encryption keys, and targets other than SQS, SNS, Lambda, CloudWatch Logs, API Gateway, API destinations and buses.
package events
