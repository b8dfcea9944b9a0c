package store

// engine is all the store asks of an ordered key-value engine: snapshots, and batches that become
// visible in the order applied and durable in the same order. Keys compare bytewise. The store itself
// decides what may commit; it calls apply from one goroutine at a time, but for empty batches.
type engine interface {
	// snapshot is the state after every batch applied before the call.
	snapshot() snapshot
	batch() batch
	// checkpoint makes a copy of the durable state that can be opened by itself.
	checkpoint(dir string) error
	// space returns the bytes left on the disk, or an error when the file system cannot tell.
	space() (uint64, error)
	stats() Stats
	close() error
}

// snapshot is one state of the engine, for one goroutine.
type snapshot interface {
	// get calls with with the value, valid only during the call, if the key is present.
	get(key []byte, with func(value []byte)) (ok bool, err error)
	// scan begins at the first key of [low, high), or the last when reverse.
	scan(low, high []byte, reverse bool) (cursor, error)
	close() error
}

// cursor walks keys. The slices are valid until next.
type cursor interface {
	valid() bool
	key() []byte
	value() ([]byte, error)
	next()
	close() error // returns what went wrong while walking, too
}

// batch collects changes for one atomic apply.
type batch interface {
	set(key string, value []byte)
	// merge adds a Number to the one at key, if there is one.
	merge(key string, value []byte)
	delete(key string)
	deleteRange(low, high string)
	// apply makes the changes visible; with sync it also starts making them durable. Nothing is durable
	// before everything applied earlier is.
	apply(sync bool) error
	// wait returns when the changes applied with sync are durable.
	wait() error
	close()
}
