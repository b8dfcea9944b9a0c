package source

import (
	"context"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"fogbank/api/dynamodbstreams"
	"fogbank/aws"
	"fogbank/relay"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"
)

// Cursors in a shard: "" is its oldest record.
const (
	cursorLatest = "latest"
	cursorAfter  = "seq:"  // after this sequence number
	cursorAt     = "iter:" // an iterator of LATEST, until the first record
	cursorSince  = "since" // from the oldest, but nothing older than Since
	cursorEnd    = "end"   // the shard is done with
)

const (
	pagesPerRead  = 16   // of records a filter threw out, before the cursor is stored
	recordsAPage  = 1000 // GetRecords' limit
	firstDelay    = 100 * time.Millisecond
	longestDelay  = time.Minute
	discoverDelay = time.Second
	// Forever, as a number of retries or seconds, is no bound.
	Forever = -1
)

// Record is a record of a stream.
type Record struct {
	ID       string // eventID
	JSON     []byte // as consumers of streams get it
	Sequence string
	At       time.Time
	item     uint64 // a hash of the item's key: records of one item are delivered in order
}

// Why records are given up.
const (
	RetriesExhausted = "RetryAttemptsExhausted"
	TooOld           = "RecordAgeExceeded"
)

// Stream hands the records of a DynamoDB stream over, at least once and in order within a shard.
type Stream struct {
	DB    *store.DB
	World *world.World
	Log   *slog.Logger
	Calls wire.Invoker // acts as the principal in the context's call
	// Account and Region are whose consumer this is, Name what its positions are stored under.
	Account, Region, Name string

	ARN        aws.ARN
	Start      string    // TRIM_HORIZON or LATEST
	Since      time.Time // when the consumer was made: where LATEST was
	Batch      int
	Parallel   int // batches of a shard at once
	Window     time.Duration
	MaxBytes   int // of a batch's records
	Bisect     bool
	MaxRetries int32 // or Forever
	MaxAge     int32 // seconds, or Forever
	Filters    Filters

	// Role returns the session to read with: have, which may be nil, while it is good.
	Role func(ctx context.Context, have *Session) (*Session, error)
	// Deliver handles records in order and returns how many are done with; those after are tried again.
	Deliver func(ctx context.Context, records []Record) (done int, err error)
	// Counts tells the failures that use up retries from those that only delay.
	Counts func(err error) bool
	// GiveUp takes records that are not tried again; count is of attempts. With nil they are dropped.
	GiveUp func(ctx context.Context, shard string, records []Record, condition string, count int, cause error) error
	// Note is told what became of each batch or read.
	Note func(ctx context.Context, err error)
}

// shardReader reads one shard for a tail.
type shardReader struct {
	*Stream
	shard string
	ends  chan<- string
	as    *Session

	cursor, iterator string // the iterator that goes on after cursor
	ended            bool
}

// tail makes the tail of a shard. Its goroutine is the only one that uses the reader.
func (s *Stream) tail(shard, first string, ends chan<- string) *relay.Tail[Record] {
	h := &shardReader{Stream: s, shard: shard, ends: ends}
	return relay.NewTail(s.Account, s.Region, relay.TailOptions[Record]{
		Name: s.Name + "/" + shard, Topic: string(s.ARN) + "/" + shard, First: first, Limit: s.Batch * s.Parallel,
		Linger: s.Window,
		Read:   h.read, Deliver: h.deliver, Failed: h.failed,
	})
}

// read is relay.TailOptions.Read: records that pass the filters, and the cursor after the last one looked at.
func (h *shardReader) read(ctx context.Context, cursor string, limit int) (out []Record, next string, err error) {
	if cursor == cursorEnd {
		h.finish(ctx)
		return nil, cursor, nil
	}
	if h.as, err = h.Role(ctx, h.as); err == nil {
		source := aws.ARN(string(h.ARN))
		out, next, err = h.pages(h.as.In(ctx, source.Account(), source.Region()), cursor, limit)
	}
	if err != nil && ctx.Err() == nil {
		h.iterator = ""
		h.Note(ctx, err)
	}
	return out, next, err
}

// finish tells, once, that the shard is done with. It is called when that is stored, so never while records of the
// shard are still to be delivered.
func (h *shardReader) finish(ctx context.Context) {
	if !h.ended {
		h.ended = true
		select {
		case h.ends <- h.shard:
		case <-ctx.Done():
		}
	}
}

// pages reads until the batch is full, the shard has no more for now, or enough was looked at.
func (h *shardReader) pages(ctx context.Context, cursor string, limit int) (out []Record, next string, err error) {
	next = cursor
	iterator, fresh := h.iterator, false
	if h.cursor != cursor || iterator == "" {
		if iterator, next, err = h.open(ctx, cursor); err != nil || next != cursor {
			return nil, next, err
		}
		fresh = true
	}
	size := 0
	client := dynamodbstreams.Client{Invoke: h.Calls}
	for range pagesPerRead {
		page, err := client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator, Limit: new(int32(min(limit-len(out), recordsAPage)))})
		if err != nil && len(out) == 0 && !fresh && expired(err) {
			h.iterator = ""
			return h.pages(ctx, cursor, limit)
		}
		if expired(err) && strings.HasPrefix(cursor, cursorAt) {
			return nil, cursorSince, nil
		}
		if err != nil {
			return nil, cursor, err
		}
		for i := range page.Records {
			rec := h.convert(&page.Records[i])
			if size+len(rec.JSON) > h.MaxBytes && len(out) > 0 {
				h.iterator = ""
				return out, next, nil
			}
			next = cursorAfter + rec.Sequence
			if h.wants(cursor, &page.Records[i], rec) {
				out, size = append(out, rec), size+len(rec.JSON)+1
			}
		}
		if page.NextShardIterator == nil {
			if len(out) == 0 {
				next = cursorEnd
			}
			h.iterator = ""
			return out, next, nil
		}
		iterator = *page.NextShardIterator
		if len(page.Records) == 0 || len(out) >= limit {
			break
		}
	}
	h.cursor, h.iterator = next, iterator
	return out, next, nil
}

func expired(err error) bool { return aws.IsCode(err, "ExpiredIteratorException") }

// wants reports whether a record is for the consumer.
func (h *shardReader) wants(cursor string, raw *dynamodbstreams.Record, rec Record) bool {
	if cursor == cursorSince && rec.At.Before(h.Since.Truncate(time.Second)) {
		return false
	}
	return h.Filters.Match(rec.JSON)
}

// open gets an iterator for a cursor. When next differs from cursor, the position itself is to be stored first.
func (h *shardReader) open(ctx context.Context, cursor string) (iterator, next string, err error) {
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: string(h.ARN), ShardId: h.shard, ShardIteratorType: "TRIM_HORIZON"}
	if at, ok := strings.CutPrefix(cursor, cursorAt); ok {
		return at, cursor, nil
	}
	if after, ok := strings.CutPrefix(cursor, cursorAfter); ok {
		in.ShardIteratorType, in.SequenceNumber = "AFTER_SEQUENCE_NUMBER", &after
	}
	latest := cursor == cursorLatest
	if latest {
		in.ShardIteratorType = "LATEST"
	}
	client := dynamodbstreams.Client{Invoke: h.Calls}
	out, err := client.GetShardIterator(ctx, in)
	if aws.IsCode(err, "TrimmedDataAccessException") {
		in.ShardIteratorType, in.SequenceNumber = "TRIM_HORIZON", nil
		out, err = client.GetShardIterator(ctx, in)
	}
	if h.gone(err) {
		return "", cursorEnd, nil
	}
	if err != nil {
		return "", cursor, err
	}
	if out.ShardIterator == nil {
		return "", cursorEnd, nil
	}
	if latest {
		return "", cursorAt + *out.ShardIterator, nil
	}
	return *out.ShardIterator, cursor, nil
}

// gone reports whether err says that the shard, which was there, was trimmed with all its records.
func (h *shardReader) gone(err error) bool {
	return aws.IsCode(err, "ResourceNotFoundException") && strings.HasSuffix(err.Error(), "Shard does not exist")
}

// deliver is relay.TailOptions.Deliver: it hands the records over, in as many lanes at
// once as Parallel says. Records of one item are in one lane.
func (h *shardReader) deliver(ctx context.Context, records []Record) (n int, err error) {
	if h.Parallel > 1 && len(records) > 1 {
		n, err = h.deliverLanes(ctx, records)
	} else {
		n, err = h.deliverBatch(ctx, records)
	}
	h.Note(ctx, err)
	return n, err
}

// lane is a part of a batch, with the places its records had in it.
type lane struct {
	records []Record
	places  []int
	failed  int // place of the first record not delivered
	err     error
}

// deliverLanes delivers lanes at once. What follows the first record that failed is delivered again, also
// in lanes that did not fail.
func (h *shardReader) deliverLanes(ctx context.Context, records []Record) (int, error) {
	lanes := make([]lane, h.Parallel)
	for i := range records {
		l := &lanes[records[i].item%uint64(len(lanes))]
		l.records, l.places = append(l.records, records[i]), append(l.places, i)
	}
	var busy sync.WaitGroup
	for i := range lanes {
		l := &lanes[i]
		if len(l.records) == 0 {
			continue
		}
		busy.Add(1)
		h.World.Go(func(context.Context) {
			defer busy.Done()
			h.deliverLane(ctx, l)
		})
	}
	busy.Wait()
	n, err := len(records), error(nil)
	for i := range lanes {
		if l := &lanes[i]; l.err != nil && (err == nil || l.failed < n) {
			n, err = l.failed, l.err
		}
	}
	return n, err
}

// deliverLane delivers a lane by batches of size Batch.
func (h *shardReader) deliverLane(ctx context.Context, l *lane) {
	for at := 0; at < len(l.records); at += h.Batch {
		n, err := h.deliverBatch(ctx, l.records[at:min(at+h.Batch, len(l.records))])
		if err != nil {
			l.failed, l.err = l.places[min(at+n, len(l.places)-1)], err
			return
		}
	}
}

// deliverBatch hands the records over, and halves of them while that fails, if Bisect says so.
func (h *shardReader) deliverBatch(ctx context.Context, records []Record) (int, error) {
	n, err := h.Deliver(ctx, records)
	switch {
	case err == nil:
		return len(records), nil
	case n > 0 || !h.Bisect || len(records) == 1 || !h.Counts(err):
		return n, err
	}
	half := len(records) / 2
	if n, err = h.deliverBatch(ctx, records[:half]); err != nil {
		return n, err
	}
	n, err = h.deliverBatch(ctx, records[half:])
	return half + n, err
}

// failed is relay.TailOptions.Failed: it gives records up that failed too often or are too old.
func (h *shardReader) failed(ctx context.Context, records []Record, failures int, err error) (skip int, delay time.Duration) {
	delay = min(firstDelay<<min(failures-1, 20), longestDelay)
	if !h.Counts(err) {
		return 0, delay
	}
	condition := ""
	if h.MaxRetries >= 0 && failures > int(h.MaxRetries) {
		condition = RetriesExhausted
	}
	if age := h.World.Now().Sub(records[0].At); h.MaxAge >= 0 && age > time.Duration(h.MaxAge)*time.Second {
		condition = TooOld
	}
	if condition == "" {
		return 0, delay
	}
	skip = len(records)
	if h.Bisect || h.Parallel > 1 {
		skip = 1 // what follows has not failed, or not alone
	}
	if h.GiveUp != nil {
		if err := h.GiveUp(ctx, h.shard, records[:skip], condition, failures, err); err != nil {
			return 0, delay
		}
	}
	return skip, 0
}

// convert writes a record as consumers get it.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
func (h *shardReader) convert(in *dynamodbstreams.Record) Record {
	d := in.Dynamodb
	out := Record{ID: in.GetEventID(), Sequence: d.GetSequenceNumber(), At: d.GetApproximateCreationDateTime()}
	b := make([]byte, 0, 1024)
	field := func(name, value string) {
		b = append(append(append(b, '"'), name...), `":`...)
		b = append(append(b, quoted(value)...), ',')
	}
	b = append(b, '{')
	field("eventID", in.GetEventID())
	field("eventName", in.GetEventName())
	field("eventVersion", "1.1")
	field("eventSource", "aws:dynamodb")
	field("awsRegion", in.GetAwsRegion())
	if in.UserIdentity != nil {
		b = append(b, `"userIdentity":{`...)
		field("principalId", in.UserIdentity.GetPrincipalId())
		b = append(append(b, `"type":`...), quoted(in.UserIdentity.GetType())...)
		b = append(b, `},`...)
	}
	b = append(b, `"dynamodb":{"ApproximateCreationDateTime":`...)
	b = strconv.AppendInt(b, out.At.Unix(), 10)
	b = append(b, `,"Keys":`...)
	keys := len(b)
	b = d.Keys.AppendJSON(b)
	hash := fnv.New64a()
	hash.Write(b[keys:])
	out.item = hash.Sum64()
	if d.NewImage != nil {
		b = d.NewImage.AppendJSON(append(b, `,"NewImage":`...))
	}
	if d.OldImage != nil {
		b = d.OldImage.AppendJSON(append(b, `,"OldImage":`...))
	}
	b = append(b, ',')
	field("SequenceNumber", out.Sequence)
	b = strconv.AppendInt(append(b, `"SizeBytes":`...), d.GetSizeBytes(), 10)
	b = append(append(b, `,"StreamViewType":`...), quoted(d.GetStreamViewType())...)
	b = append(b, `},"eventSourceARN":`...)
	b = append(append(b, quoted(string(h.ARN))...), '}')
	out.JSON = b
	return out
}
