package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fogbank/api/dynamodb"
	streamsapi "fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/store"
)

// Streams is the API of the streams of a Service's tables.
type Streams struct {
	streamsapi.Unimplemented
	s *Service
}

var _ streamsapi.Service = (*Streams)(nil)

// Streams returns the API of the service's streams.
func (s *Service) Streams() *Streams { return &Streams{s: s} }

// Limits of GetRecords, and the life of a shard iterator.
const (
	maxRecords     = 1000
	maxRecordBytes = 1 << 20
	iteratorLife   = 15 * time.Minute
)

// sequence prints a record's number as a sequence number, which has at least 21 digits.
func sequence(n uint64) string { return fmt.Sprintf("1%020d", n) }

func parseSequence(s string) (uint64, bool) {
	if len(s) != 21 || s[0] != '1' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:], 10, 64)
	return n, err == nil
}

// streamIn returns the stream with the ARN.
func streamIn(tx *store.Tx, arn string) (*stream, error) {
	if p, ok := aws.ARN(arn).Parse(); ok {
		if table, label, ok := strings.Cut(strings.TrimPrefix(p.Resource, "table/"), "/stream/"); ok {
			st, ok, err := decoded.Get(tx, store.Key("").Str(table).Str(label))
			if err != nil || ok && string(st.ARN) == arn {
				return st, err
			}
			return nil, streamsapi.ResourceNotFoundException("Requested resource not found: Stream: %s not found", arn)
		}
	}
	return nil, dynamodb.ValidationException("Invalid StreamArn: %s", arn)
}

func (s *stream) shard(id string) *shard {
	for i := range s.Shards {
		if s.Shards[i].id(s) == id {
			return &s.Shards[i]
		}
	}
	return nil
}

// numbered returns the shard of that number, nil when it was forgotten.
func (s *stream) numbered(number uint64) *shard {
	for i := range s.Shards {
		if s.Shards[i].Number == number {
			return &s.Shards[i]
		}
	}
	return nil
}

// ListStreams lists streams by table and time, those of a day ago and less included.
func (a *Streams) ListStreams(ctx context.Context, in *streamsapi.ListStreamsInput) (*streamsapi.ListStreamsOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	r := store.Range{Limit: limit + 1}
	if in.TableName != nil {
		r.Prefix = store.K(tableName(*in.TableName))
	}
	if in.ExclusiveStartStreamArn != nil {
		table, label, ok := strings.Cut(strings.TrimPrefix(aws.ARN(*in.ExclusiveStartStreamArn).Resource(), "table/"), "/stream/")
		if !ok {
			return nil, dynamodb.ValidationException("Invalid StreamArn: %s", *in.ExclusiveStartStreamArn)
		}
		r.After = store.K(table, label)
	}
	var out *streamsapi.ListStreamsOutput
	err := a.s.db.View(ctx, func(tx *store.Tx) error {
		out = &streamsapi.ListStreamsOutput{Streams: []streamsapi.Stream{}}
		for _, st := range streams.Scan(tx, r) {
			if len(out.Streams) == limit {
				out.LastEvaluatedStreamArn = out.Streams[limit-1].StreamArn
				break
			}
			out.Streams = append(out.Streams, streamsapi.Stream{StreamArn: new(string(st.ARN)), TableName: new(st.Table), StreamLabel: new(st.Label)})
		}
		return nil
	})
	return out, err
}

// DescribeStream describes a stream and its shards.
func (a *Streams) DescribeStream(ctx context.Context, in *streamsapi.DescribeStreamInput) (*streamsapi.DescribeStreamOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	var d *streamsapi.StreamDescription
	err := a.s.db.View(ctx, func(tx *store.Tx) error {
		st, err := streamIn(tx, in.StreamArn)
		if err != nil {
			return err
		}
		d = &streamsapi.StreamDescription{StreamArn: new(string(st.ARN)), StreamLabel: new(st.Label), TableName: new(st.Table), StreamViewType: new(st.View),
			CreationRequestDateTime: new(st.Created), StreamStatus: new(streamsapi.StreamStatusEnabled), Shards: []streamsapi.Shard{}}
		if !st.Ended.IsZero() {
			d.StreamStatus = new(streamsapi.StreamStatusDisabled)
		}
		for _, k := range st.Keys {
			d.KeySchema = append(d.KeySchema, streamsapi.KeySchemaElement{AttributeName: k.AttributeName, KeyType: k.KeyType})
		}
		skip := in.ExclusiveStartShardId != nil
		for i := range st.Shards {
			sh := &st.Shards[i]
			if skip {
				skip = sh.id(st) != *in.ExclusiveStartShardId
				continue
			}
			if len(d.Shards) == limit {
				d.LastEvaluatedShardId = d.Shards[limit-1].ShardId
				break
			}
			d.Shards = append(d.Shards, st.describe(tx, sh))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &streamsapi.DescribeStreamOutput{StreamDescription: d}, nil
}

func (s *stream) describe(tx *store.Tx, sh *shard) streamsapi.Shard {
	part := s.part(sh.Number)
	out := streamsapi.Shard{ShardId: new(sh.id(s)), SequenceNumberRange: &streamsapi.SequenceNumberRange{StartingSequenceNumber: new(sh.sequence(records.First(tx, part)))}}
	if sh.Older != "" {
		out.ParentShardId = new(sh.Older)
	}
	if s.closed(sh) {
		first, last := records.First(tx, part), max(records.Last(tx, part), 1) // the last may be trimmed, or there was none
		out.SequenceNumberRange = &streamsapi.SequenceNumberRange{StartingSequenceNumber: new(sh.sequence(min(first, last))), EndingSequenceNumber: new(sh.sequence(last))}
	}
	return out
}

// iterator is a place in a shard: before record number after+1.
type iterator struct {
	stream string // ARN
	shard  uint64
	after  uint64
	made   time.Time
}

// String seals the iterator: ARN|1|base64 of its numbers and a checksum. The ARN can be read by whoever decides whether
// the caller may read the stream, so an iterator grants nothing and needs no secret.
func (it iterator) String() string {
	var room [36]byte
	b := binary.BigEndian.AppendUint64(room[:0], it.shard)
	b = binary.BigEndian.AppendUint64(b, it.after)
	b = binary.BigEndian.AppendUint64(b, uint64(it.made.UnixMilli()))
	sum := checksum(it.stream, b)
	text := append(make([]byte, 0, len(it.stream)+len("|1|")+sealedLength), it.stream...)
	return string(base64.StdEncoding.AppendEncode(append(text, "|1|"...), append(b, sum[:]...)))
}

// checksum is that of an iterator's ARN and numbers.
func checksum(arn string, numbers []byte) [12]byte {
	var room [256]byte
	sum := sha256.Sum256(append(append(room[:0], arn...), numbers...))
	return [12]byte(sum[:12])
}

// sealedLength is that of 36 bytes in base64, whose decoder would pass over line breaks.
const sealedLength = 48

func parseIterator(text string) (it iterator, ok bool) {
	arn, sealed, ok := strings.Cut(text, "|1|")
	b, err := base64.StdEncoding.DecodeString(sealed)
	if !ok || err != nil || len(b) != 36 || len(sealed) != sealedLength {
		return it, false
	}
	if checksum(arn, b[:24]) != [12]byte(b[24:]) {
		return it, false
	}
	return iterator{arn, binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:])))}, true
}

var errTrimmed = streamsapi.TrimmedDataAccessException("The operation attempted to read past the oldest stream record in a shard.")

// GetShardIterator returns an iterator, good for 15 minutes.
func (a *Streams) GetShardIterator(ctx context.Context, in *streamsapi.GetShardIteratorInput) (*streamsapi.GetShardIteratorOutput, error) {
	it := iterator{stream: in.StreamArn, made: a.s.world.Now()}
	numbered := in.ShardIteratorType == streamsapi.ShardIteratorTypeAtSequenceNumber || in.ShardIteratorType == streamsapi.ShardIteratorTypeAfterSequenceNumber
	if numbered != (in.SequenceNumber != nil) {
		return nil, dynamodb.ValidationException("The SequenceNumber parameter is required for, and only allowed with, the iterator types AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER")
	}
	err := a.s.db.View(ctx, func(tx *store.Tx) error {
		st, err := streamIn(tx, in.StreamArn)
		if err != nil {
			return err
		}
		sh := st.shard(in.ShardId)
		if sh == nil {
			return streamsapi.ResourceNotFoundException("Requested resource not found: Shard does not exist")
		}
		it.shard = sh.Number
		it.after, err = a.position(tx, st, sh, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &streamsapi.GetShardIteratorOutput{ShardIterator: new(it.String())}, nil
}

// position returns the number of the last record before the place asked for.
func (a *Streams) position(tx *store.Tx, st *stream, sh *shard, in *streamsapi.GetShardIteratorInput) (uint64, error) {
	part := st.part(sh.Number)
	oldest := a.oldest(tx, part)
	last := records.Last(tx, part)
	switch in.ShardIteratorType {
	case streamsapi.ShardIteratorTypeTrimHorizon:
		return oldest - 1, nil
	case streamsapi.ShardIteratorTypeLatest:
		return last, nil
	}
	n, ok := parseSequence(*in.SequenceNumber)
	if !ok || n <= sh.Base || n-sh.Base > last+1 {
		return 0, dynamodb.ValidationException("Invalid SequenceNumber in ShardIterator request: %s", *in.SequenceNumber)
	}
	n -= sh.Base
	if in.ShardIteratorType == streamsapi.ShardIteratorTypeAtSequenceNumber {
		n--
	}
	if n+1 < oldest {
		return 0, errTrimmed
	}
	return n, nil
}

// oldest returns the number of the oldest record that may still be read.
func (a *Streams) oldest(tx *store.Tx, part store.Key) uint64 {
	if old := horizon(tx, part, a.s.world.Now()); old > 0 {
		return old + 1
	}
	return records.First(tx, part)
}

// readAtOnce is how many records are read from the store together: few, since each may hold two images of 400 KB.
const readAtOnce = 16

// GetRecords returns up to 1,000 records or 1 MB of them. NextShardIterator is absent when the shard has ended and all is read.
func (a *Streams) GetRecords(ctx context.Context, in *streamsapi.GetRecordsInput) (*streamsapi.GetRecordsOutput, error) {
	it, ok := parseIterator(in.ShardIterator)
	if !ok {
		return nil, dynamodb.ValidationException("Invalid ShardIterator")
	}
	now := a.s.world.Now()
	if now.Sub(it.made) > iteratorLife {
		return nil, streamsapi.ExpiredIteratorException("Iterator expired. The iterator was created at time %s while right now it is %s. Shard Iterators expire after 15 minutes.",
			it.made.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	limit := maxRecords
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	var out *streamsapi.GetRecordsOutput
	err := a.s.db.View(ctx, func(tx *store.Tx) error {
		out = &streamsapi.GetRecordsOutput{Records: []streamsapi.Record{}}
		st, err := streamIn(tx, it.stream)
		if err != nil {
			return err
		}
		sh := st.numbered(it.shard)
		if sh == nil {
			return errTrimmed
		}
		next, err := a.collect(tx, st, sh, it, limit, out)
		if err != nil {
			return err
		}
		if !st.closed(sh) || next < records.Last(tx, st.part(it.shard)) {
			out.NextShardIterator = new(iterator{it.stream, it.shard, next, now}.String())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// collect appends records to out and returns the number of the last.
func (a *Streams) collect(tx *store.Tx, st *stream, sh *shard, it iterator, limit int, out *streamsapi.GetRecordsOutput) (last uint64, err error) {
	part, size := st.part(it.shard), 0
	last = it.after
	for len(out.Records) < limit {
		ask := min(readAtOnce, limit-len(out.Records))
		got := records.Read(tx, part, last, ask)
		if len(out.Records) == 0 && len(got) > 0 {
			old := a.s.world.Now().Sub(got[0].Value.at) >= retention
			if got[0].Seq != it.after+1 || old {
				return 0, errTrimmed
			}
		}
		for i := range got {
			r := got[i].Value.describe(st, sh, got[i].Seq)
			if size += int(*r.Dynamodb.SizeBytes); size > maxRecordBytes && len(out.Records) > 0 {
				return last, nil
			}
			out.Records = append(out.Records, r)
			last = got[i].Seq
		}
		if len(got) < ask {
			break
		}
	}
	return last, nil
}

// describe returns the record as clients see it. Its event id follows from its place, so it is the same each time it is read.
func (r *record) describe(st *stream, sh *shard, n uint64) streamsapi.Record {
	place := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, st.ID), sh.Number), n)
	id := sha256.Sum256(place)
	out := streamsapi.Record{
		EventID: new(hex.EncodeToString(id[:16])), EventName: new(r.kind.String()), EventVersion: new("1.1"), EventSource: new("aws:dynamodb"),
		AwsRegion: new(st.ARN.Region()),
		Dynamodb: &streamsapi.StreamRecord{
			ApproximateCreationDateTime: new(r.at.Truncate(time.Second)), Keys: r.keys, NewImage: r.new, OldImage: r.old,
			SequenceNumber: new(sh.sequence(n)), SizeBytes: new(int64(r.keys.Size() + r.new.Size() + r.old.Size())), StreamViewType: new(st.View),
		},
	}
	if r.expired {
		out.UserIdentity = &streamsapi.Identity{PrincipalId: new(byTTL.principal), Type: new("Service")}
	}
	return out
}
