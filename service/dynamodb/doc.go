// Package dynamodb is Amazon DynamoDB and DynamoDB Streams.
//
// # Promises
//
// Every read is consistent and every write durable when it is acknowledged. A write, its entries in all
// secondary indexes and its stream record are one transaction: indexes are never behind, and a stream holds
// each change once, in the order of the commits, none for writes that change nothing. Conditions are
// checked in the same transaction. TransactWriteItems and TransactGetItems are serializable with everything else; those that
// meet an ongoing transaction are cancelled.
//
// # Stored
//
//	dynamodb/table   name → definition (JSON), made ready for use by store.Derive
//	dynamodb/item    key.go → item, in attribute's stored form
//	dynamodb/entry   key.go → the projection of an item in an index
//	dynamodb/collection (table's ID, hash) → size of an item collection, for tables with local indexes
//	dynamodb/stream  (table, label) → stream, until a day after its end
//	dynamodb/record  log; part (stream's ID, shard) → change; shards are split by load and renewed by age (shard.go)
//	dynamodb/ttl     (table's ID, minute, item's key): what expires when
//	dynamodb/token   ClientRequestToken → digest of its transaction, ten minutes
//	dynamodb/history (table's ID, item's key, moment) → the item before that change, for recovery and copying
//	dynamodb/backup  (table, label) → backup; dynamodb/saved (backup's ID, item's key) → item
//	dynamodb/copy    job's ID → how far the copying of a table or backup is
//
// Timers: dynamodb/expiry sweeps a minute's expired items, dynamodb/trim forgets records of a day ago, dynamodb/fill
// enters a table's items into a new index, dynamodb/transition ends CREATING, UPDATING and DELETING of tables and indexes, dynamodb/purge removes what deleted tables and indexes held,
// dynamodb/token forgets tokens, dynamodb/copy makes backups and restored tables, dynamodb/forget trims history,
// dynamodb/backup removes expired backups.
//
// # Limits
//
// AWS's: items of 400 KB, keys of 2,048 and 1,024 bytes, numbers of 38 digits, 32 levels of nesting, pages of
// 1 MB, 100 items in a transaction of 4 MB, 25 and 100 in batches, 5 local and 20 global indexes, 50 tags, item
// collections of 10 GB, records of a day, iterators of 15 minutes. Provisioned tables are held to their throughput (throughput.go).
//
// # Differences from AWS
//
// See docs/divergences.md.
package dynamodb
