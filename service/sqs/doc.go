// Package sqs implements Amazon SQS: standard and FIFO queues that lose nothing.
//
// # Promises
//
// A message is on disk before its sender is answered, and a receipt before its receiver is. A message is handed out
// again when its visibility timeout passes, to the moment: nothing polls, neither here nor below. In a FIFO
// queue the messages of a group are handed out in the order of their sequence numbers, none while an
// earlier receipt of the group is open, and a message sent twice within five minutes is stored once.
// Receipt handles are sealed with a key in the store: they survive restarts and cannot be made up.
//
// # Tables
//
// A queue's record has an id and a space, both drawn by chance. Messages and all about them are below the space, so
// that DeleteQueue and PurgeQueue are one small transaction; what is left below the old space is cleared in the background.
//
//	sqs/queue     name                      the queue and its attributes
//	sqs/tag       name                      its tags
//	sqs/deletion  name                      when a queue of that name was deleted
//	sqs/source    dead-letter queue/source  which queues have it for their dead letters
//	sqs/message   space/slot                the message as sent; never changed
//	sqs/due       space/due/slot            standard queues: when it becomes visible, and its state
//	sqs/state     space/slot                standard queues: the state again, once it was received
//	sqs/member    space/group/sequence      FIFO queues: the messages of a group, and their state
//	sqs/group     space/group               FIFO queues: which are in flight
//	sqs/turn      space/time/group          FIFO queues: when a group's next messages become visible
//	sqs/lane      space/group/due/slot      fair queues: visible messages of noisy groups, instead of in sqs/due
//	sqs/tenant    space/group               fair queues: number of messages of a group in flight
//	sqs/flown     space/part                fair queues: number of all messages in flight
//	sqs/front     space                     see below
//	sqs/total     space/part                number of messages, spread over 32 parts
//	sqs/traffic   space                     what receivers tell each other: a bound of the number in flight
//	sqs/sequence  id                        FIFO queues: the last sequence number
//	sqs/once      id/period/…               what was sent in the last minutes, for deduplication
//	sqs/attempt   id/period/attempt         what receive requests with an attempt id took
//	sqs/task      source/start              message move tasks
//	sqs/key       –                         the key of receipt handles
//
// # Cost
//
// There is one index by time. Visible messages are at its beginning, delayed ones and those in flight behind now, so a
// receiver finds the next message with one seek however many there are of either, and a timeout passes by
// itself. Sending is one transaction of three rows. Senders of a standard queue share no row
// that is written often and so never wait for each other or for receivers; receivers of one queue take turns in memory
// (the store lets them go before the disk has answered), since all want the first row.
//
// Removed rows leave traces that a scan from the beginning would have to walk over. Receivers therefore start at
// front.Cursor, before which nothing is. To keep that true, senders read the cursor and put nothing
// before it; receivers move it once for 64 messages, so this read hardly ever makes a sender run again.
//
// Counts: the total is kept per part of the space, and what is not visible is counted when asked for, which costs
// time proportional to the messages in flight or delayed. Nothing is kept in memory.
//
// # Limits
//
// Those of AWS, in service.go: messages and batches of 1 MiB, 10 messages a batch, 120,000 messages in flight in a queue,
// standard or FIFO, 14 days of retention, 15 minutes of delay, 12 hours of invisibility, 20 seconds of waiting.
// How this differs from AWS is in docs/divergences.md.
package sqs
