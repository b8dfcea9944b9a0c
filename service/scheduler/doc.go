// Package scheduler implements Amazon EventBridge Scheduler: schedules in groups, and what they invoke.
//
// Promises. A schedule is a row and a timer: waiting costs nothing but disk. When its moment comes, one transaction
// hands an invocation to a relay and sets the next timer, so a moment is invoked for once, across restarts. The
// relay calls the target as the schedule's role, at least once, with the schedule's retry policy, and hands what
// cannot be delivered to its dead-letter queue with AWS's attributes. What has none is logged. Moments missed while
// nothing ran are made up for by one invocation, that of the oldest.
//
// Targets: SQS, SNS, Lambda, event buses, and as universal targets (aws-sdk:service:operation) every operation that
// changes something of every service there is. Others are refused when the schedule is put.
//
// Tables, by account and region:
//
//	scheduler/group     name         → group; the default group has a row once it has tags
//	scheduler/schedule  group, name  → schedule, beside a timer of the same key, scheduler/due
//
// and the timers scheduler/window (group, name, moment), for invocations inside a flexible window, and
// scheduler/group (name), for groups being deleted.
//
// Limits: 500 groups, 256 KiB of input, 50 tags of a group, 100 rows in a page. Schedules are not counted.
package scheduler
