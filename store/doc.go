// Package store keeps everything that must survive: typed tables, logs and timers, changed only in
// transactions that are strictly serializable and durable when Update returns.
//
// A service declares its tables as package variables (NewTable, NewLog, NewTimers, Derive) and uses them
// through the Tx of a View or an Update. The tenant — account and region — comes from the aws.Call in the
// context and stands before every key. Failures of the disk, and sizes over the limits, come out of the
// body by panic and back as the error of View or Update, so that code between need not pass them on.
//
// A body touches only its Tx: it may run again, and it must not begin another transaction. Time and
// identifiers are drawn before it.
//
// Stored keys: account 0x00 region 0x00 table 0x00 key, with what the scope leaves out empty. Stored values:
// a version byte, then the record. Limits: MaxKey, MaxValue, MaxTx, MaxAdded; ErrDiskFull below a
// reserve of free space.
//
// Order of locks: named locks by number, committer.mu, then any one of the other mutexes, which are held only
// for a few instructions. docs/design/store.md tells the whole story.
package store
