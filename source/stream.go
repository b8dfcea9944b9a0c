package source

import (
	"context"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
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
	Parallel   int // lanes of a shard: batches at once
	Window     time.Duration
	Tumbling   time.Duration // the length of tumbling windows, whole seconds; 0: none
	MaxBytes   int           // of a batch's records
	Bisect     bool
	MaxRetries int32 // or Forever
	MaxAge     int32 // seconds, or Forever
	Filters    Filters

	// Role returns the session to read with: have, which may be nil, while it is good.
	Role func(ctx context.Context, have *Session) (*Session, error)
	// Deliver handles records in order and returns how many are done with; those after are tried again.
	Deliver func(ctx context.Context, records []Record) (done int, err error)
	// Aggregate is Deliver with tumbling windows: it also puts the consumer's new state into the window. Without
	// records it is the last call for the window, or the last with this state when the window is Early.
	Aggregate func(ctx context.Context, shard string, records []Record, w *Window) (done int, err error)
	// Counts tells the failures that use up retries from those that only delay.
	Counts func(err error) bool
	// GiveUp takes records that are not tried again. Count is of the attempts that failed, cause what the last failed with:
	// nil when the records were too old before that. With nil they are dropped.
	GiveUp func(ctx context.Context, shard string, records []Record, condition string, count int, cause error) error
	// Note is told what became of each batch or read.
	Note func(ctx context.Context, err error)
}

// laneReader reads a lane of a shard for a tail: the records of the items that chance put there. A lane has its own
// position, batches and failures; one that fails holds no other up.
type laneReader struct {
	*Stream
	shard string
	lane  int
	ends  chan<- string
	as    *Session

	cursor, iterator string // the iterator that goes on after cursor
	ended            bool

	busy  int // failures in a row, also those that do not count
	tried int // counted failures of the records at the front

	windows windows
}

// tail makes the tail of a lane. Its goroutine is the only one that uses the reader.
func (s *Stream) tail(shard string, lane int, first string, ends chan<- string) *relay.Tail[Record] {
	h := &laneReader{Stream: s, shard: shard, lane: lane, ends: ends}
	o := relay.TailOptions[Record]{
		Name: s.Name + "/" + shard + s.laneName(lane), Topic: string(s.ARN) + "/" + shard, First: first, Limit: s.Batch,
		Linger: s.Window,
		Read:   h.read, Deliver: h.deliver, Counts: s.Counts, Failed: h.failed,
	}
	if s.Aggregate != nil {
		o.Begin, o.Also, o.Urgent, o.Again = h.begin, h.saveWindow, h.urgent, h.again
	}
	return relay.NewTail(s.Account, s.Region, o)
}

// laneName is the end of the names under which a lane's state is stored; nothing when there is one lane only.
func (s *Stream) laneName(lane int) string {
	if s.Parallel <= 1 {
		return ""
	}
	return "/" + strconv.Itoa(lane) + "of" + strconv.Itoa(s.Parallel)
}

// read is relay.TailOptions.Read: records that pass the filters, and the cursor after the last one looked at.
func (h *laneReader) read(ctx context.Context, cursor string, limit int) (out []Record, next string, err error) {
	if cursor == cursorEnd {
		h.finish(ctx)
		return nil, cursor, nil
	}
	if h.Aggregate != nil {
		if err := h.loadWindows(ctx); err != nil {
			return nil, cursor, err
		}
		if h.overdue() {
			return endOfWindow, cursor, nil
		}
	}
	if h.as, err = h.Role(ctx, h.as); err == nil {
		source := aws.ARN(string(h.ARN))
		out, next, err = h.pages(h.as.In(ctx, source.Account(), source.Region()), cursor, limit)
	}
	if err != nil {
		if ctx.Err() == nil {
			h.iterator = ""
			h.Note(ctx, err)
		}
		return out, next, err
	}
	if len(out) == 0 && h.over(next == cursorEnd, next == cursor) {
		return endOfWindow, next, nil
	}
	h.windows.gathering = len(out) > 0 || h.windows.gathering
	return out, next, nil
}

// finish tells, once, that the shard is done with. It is called when that is stored, so never while records of the
// shard are still to be delivered.
func (h *laneReader) finish(ctx context.Context) {
	if !h.ended {
		h.ended = true
		select {
		case h.ends <- h.shard:
		case <-ctx.Done():
		}
	}
}

// pages reads until the batch is full, the shard has no more for now, or enough was looked at.
func (h *laneReader) pages(ctx context.Context, cursor string, limit int) (out []Record, next string, err error) {
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
			seq := cursorAfter + page.Records[i].Dynamodb.GetSequenceNumber()
			rec, ok := h.take(cursor, &page.Records[i])
			if !ok {
				next = seq
				continue
			}
			if size+len(rec.JSON) > h.MaxBytes && len(out) > 0 || h.later(rec.At) {
				h.iterator = ""
				if len(out) == 0 && !h.windows.gathering {
					return endOfWindow, cursor, nil
				}
				return out, next, nil
			}
			next = seq
			out, size = append(out, rec), size+len(rec.JSON)+1
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

// take converts a record, if it is of this lane and for the consumer.
func (h *laneReader) take(cursor string, raw *dynamodbstreams.Record) (rec Record, ok bool) {
	if cursor == cursorSince && raw.Dynamodb.GetApproximateCreationDateTime().Before(h.Since.Truncate(time.Second)) {
		return rec, false
	}
	keys := raw.Dynamodb.Keys.AppendJSON(nil)
	if h.Parallel > 1 {
		hash := fnv.New64a()
		hash.Write(keys)
		if hash.Sum64()%uint64(h.Parallel) != uint64(h.lane) {
			return rec, false
		}
	}
	rec = h.convert(raw, keys)
	return rec, h.Filters.Match(rec.JSON)
}

// open gets an iterator for a cursor. When next differs from cursor, the position itself is to be stored first.
func (h *laneReader) open(ctx context.Context, cursor string) (iterator, next string, err error) {
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
func (h *laneReader) gone(err error) bool {
	return aws.IsCode(err, "ResourceNotFoundException") && strings.HasSuffix(err.Error(), "Shard does not exist")
}

// deliver is relay.TailOptions.Deliver: it hands the records over, but for those at the front that are too old.
func (h *laneReader) deliver(ctx context.Context, records []Record) (n int, err error) {
	h.windows.changed = false
	if isEndOfWindow(records) {
		err = h.endWindow(ctx)
		n = len(records)
		if err != nil {
			n = 0
		}
	} else {
		old := h.tooOld(records)
		if old > 0 && h.GiveUp != nil {
			if err := h.GiveUp(ctx, h.shard, records[:old], TooOld, h.tried, nil); err != nil {
				return 0, err
			}
		}
		if old == len(records) {
			h.busy, h.tried = 0, 0
			return old, nil
		}
		n, err = h.deliverBatch(ctx, records[old:])
		n += old
	}
	if err == nil || n > 0 {
		h.busy, h.tried = 0, 0
	}
	h.Note(ctx, err)
	return n, err
}

// tooOld is how many records at the front are older than they may be.
func (h *laneReader) tooOld(records []Record) (n int) {
	if h.MaxAge < 0 {
		return 0
	}
	since := h.World.Now().Add(-time.Duration(h.MaxAge) * time.Second)
	for n < len(records) && records[n].At.Before(since) {
		n++
	}
	return n
}

// deliverBatch hands the records over, and halves of them while that fails, if Bisect says so.
func (h *laneReader) deliverBatch(ctx context.Context, records []Record) (int, error) {
	n, err := h.hand(ctx, records)
	switch {
	case err == nil:
		return len(records), nil
	case n > 0 || !h.Bisect || len(records) == 1 || !h.Counts(err):
		return n, err
	}
	half := len(records) / 2
	if n, halved := h.deliverBatch(ctx, records[:half]); halved != nil {
		return n, halved
	}
	if h.windows.ending() {
		return half, err
	}
	n, err = h.deliverBatch(ctx, records[half:])
	return half + n, err
}

// failed is relay.TailOptions.Failed: it gives records up that failed too often or are too old.
func (h *laneReader) failed(ctx context.Context, records []Record, failures int, err error) (skip int, delay time.Duration) {
	delay = min(firstDelay<<min(max(h.busy, failures-1), 20), longestDelay)
	h.busy, h.tried = h.busy+1, failures
	if isEndOfWindow(records) {
		return 0, delay
	}
	if age := h.World.Now().Sub(records[0].At); h.MaxAge >= 0 {
		delay = min(delay, max(time.Duration(h.MaxAge)*time.Second-age, 0)+time.Millisecond)
	}
	condition := TooOld
	skip = h.tooOld(records)
	if skip == 0 {
		if !h.Counts(err) || h.MaxRetries < 0 || failures <= int(h.MaxRetries) {
			return 0, delay
		}
		condition, skip = RetriesExhausted, len(records)
		if h.Bisect {
			skip = 1 // what follows has not failed, or not alone
		}
	}
	if h.GiveUp != nil {
		if err := h.GiveUp(ctx, h.shard, records[:skip], condition, failures, err); err != nil {
			return 0, delay
		}
	}
	h.busy, h.tried = 0, 0
	return skip, 0
}

// convert writes a record as consumers get it; keys are its item's.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
func (h *laneReader) convert(in *dynamodbstreams.Record, keys []byte) Record {
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
	b = append(append(b, `,"Keys":`...), keys...)
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
