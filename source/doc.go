// Package source reads the event sources that feed functions and pipes: SQS queues and DynamoDB streams.
// It long-polls or follows, batches, filters, writes records in the form AWS gives them to consumers, and
// hands them over; the consumer says what became of them.
//
// Promises. A record of a stream is handed over at least once, in order within its shard, from a durable
// position (a relay.Tail); what failed too often or is too old is given up as the consumer wishes. With several lanes
// each has a position and failures of its own, and the order is that of each item's records. The state of a tumbling
// window is stored with the position. A message of a queue is deleted only after it was taken, or when no filter wants
// it. All reading is done in a Session: with the credentials of the consumer's role.
//
// Table (Regional): source/window (consumer, shard, lane) → the open window and its state.
//
// Bounds: 1,250 batches of a queue in work unless Workers says otherwise, 5 at first; a batch ends at MaxBytes, a window early when
// its state is larger than 1 MB.
package source
