// Package schedule reads AWS's schedule expressions and tells their moments: rate(5 minutes),
// cron(0 9 ? * MON-FRI *) with six fields, and at(2030-01-31T09:00:00). It is pure: it reads no clock.
//
// Daylight saving follows EventBridge Scheduler. A local time that does not exist on a day is passed over by cron;
// one that occurs twice counts the first time only. A rate's hours and days are spans of real time: a day is
// always 24 hours. at() with a local time that does not exist means the moment at which the clock was put forward.
//
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
package schedule
