package dynamodb

import (
	"encoding/binary"
	"errors"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// stream is the record of a table's stream, in the table's record while it is enabled and in streams until a
// day after its end. ID is never used again.
type stream struct {
	ID      uint64
	ARN     aws.ARN
	Table   string
	Label   string
	View    string
	Created time.Time
	Keys    []dynamodb.KeySchemaElement
	Ended   time.Time `json:",omitzero"`
	Shards  []shard
}

var (
	// streams holds them by table name and label.
	streams = store.NewTable[stream]("dynamodb/stream", store.Regional)
	// decoded are the same, shared and never changed, for GetRecords, which is called again and again.
	decoded = store.Derive(streams, func(_ store.Key, st stream) (*stream, error) { return &st, nil })
	// records are the changes: one part for each shard, (stream's ID, shard's number).
	records = store.NewLog[record]("dynamodb/record", store.Regional)
)

// retention is how long records are kept.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
const retention = 24 * time.Hour

type eventKind uint8

const (
	inserted eventKind = iota + 1
	modified
	removed
)

func (k eventKind) String() string { return [...]string{"", "INSERT", "MODIFY", "REMOVE"}[k] }

// identity is who made a change, when it was not the user.
type identity struct{ principal string }

var byTTL = &identity{"dynamodb.amazonaws.com"}

// record is one change of one item. Images the view leaves out are nil.
type record struct {
	kind     eventKind
	expired  bool // by Time to Live
	at       time.Time
	keys     attribute.Item
	new, old attribute.Item
}

const (
	recordExpired = 1 << iota
	recordNew
	recordOld
)

// AppendBinary appends kind, flags, milliseconds since 1970, keys, and the images the flags tell of.
func (r *record) AppendBinary(b []byte) ([]byte, error) {
	flags := byte(0)
	if r.expired {
		flags |= recordExpired
	}
	if r.new != nil {
		flags |= recordNew
	}
	if r.old != nil {
		flags |= recordOld
	}
	b = binary.AppendVarint(append(b, byte(r.kind), flags), r.at.UnixMilli())
	b, _ = r.keys.AppendBinary(b)
	if r.new != nil {
		b, _ = r.new.AppendBinary(b)
	}
	if r.old != nil {
		b, _ = r.old.AppendBinary(b)
	}
	return b, nil
}

var errRecord = errors.New("dynamodb: malformed stream record")

// UnmarshalBinary reads AppendBinary's form.
func (r *record) UnmarshalBinary(b []byte) error {
	if len(b) < 3 || b[0] < byte(inserted) || b[0] > byte(removed) {
		return errRecord
	}
	flags := b[1]
	ms, n := binary.Varint(b[2:])
	if n <= 0 {
		return errRecord
	}
	*r = record{kind: eventKind(b[0]), expired: flags&recordExpired != 0, at: time.UnixMilli(ms).UTC()}
	rest, err := r.keys.ReadStored(string(b[2+n:]))
	if err == nil && flags&recordNew != 0 {
		rest, err = r.new.ReadStored(rest)
	}
	if err == nil && flags&recordOld != 0 {
		rest, err = r.old.ReadStored(rest)
	}
	if err == nil && rest != "" {
		err = errRecord
	}
	return err
}

func (t *schema) streaming() bool { return t.Stream != nil }

// part returns the place of a shard's records.
func (s *stream) part(number uint64) store.Key { return store.K(s.ID, number) }

// newStream returns a stream of the table beginning now. Its label is the time, or the next millisecond that is free.
func newStream(tx *store.Tx, t *table, id uint64, view string, now time.Time) *stream {
	label := ""
	for at := now.UTC(); label == "" || streams.Has(tx, store.K(t.Name, label)); at = at.Add(time.Millisecond) {
		label = at.Format("2006-01-02T15:04:05.000")
	}
	return &stream{ID: id, ARN: t.ARN + aws.ARN("/stream/"+label), Table: t.Name, Label: label, View: view, Created: now, Keys: t.Keys,
		Shards: []shard{{Number: 1, Opened: now}}}
}

// openStream stores a new stream of the table and puts it into the record.
func openStream(tx *store.Tx, t *table, st *stream) {
	t.Stream = st
	streams.Put(tx, store.K(t.Name, st.Label), *st)
	trims.Set(tx, store.K(t.Name, st.Label), st.Created.Add(time.Hour), st.ID)
}

// endStream ends the table's stream; its records can be read for a day more.
func endStream(tx *store.Tx, t *table, now time.Time) {
	if t.Stream == nil {
		return
	}
	ended := *t.Stream
	ended.Ended = now
	streams.Put(tx, store.K(t.Name, ended.Label), ended)
	t.Stream = nil
	for i := range ended.Shards {
		tx.Wake(ended.topic(&ended.Shards[i]))
	}
}
