// Package logs is CloudWatch Logs, as far as keeping and reading what programs
// print: groups, streams, events, retention and tags.
//
// Promises: an event acknowledged is on disk; events of a stream are read in the
// order of their timestamps and, within one, of their arrival; an event older than
// the group's retention is never shown, and its space is given back within a day.
//
// Writing is cheap: PutLogEvents reads the rows of the group and the stream and adds
// one row for each event, so writers are never in each other's way. What a stream's first and
// last event are is read off the events, not kept beside them.
//
// Stored, all by region:
//
//	logs/group   name                       → group
//	logs/stream  group id, name             → stream
//	logs/event   stream id, timestamp, seq  → event; seq is the store's, in order of commits
//
// Ids, not names, lead to events, so a group or stream that was deleted is empty when made
// again while a timer still clears away what it held.
//
// Limits: a batch of 10,000 events and 1 MiB, spanning 24 hours; pages of 10,000 events and
// 1 MiB; 100 streams named in a search, 100,000 events looked at for one page.
//
// Differences from AWS are in docs/divergences.md.
package logs
