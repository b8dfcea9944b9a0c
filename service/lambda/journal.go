package lambda

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"fogbank/api/logs"
	"fogbank/aws"
	"fogbank/wire"
	"fogbank/world"
)

const (
	journalRoom  = 16384                  // lines waiting
	journalPause = 100 * time.Millisecond // between a line and the call that writes it
	// One PutLogEvents takes at most so many events and bytes, 26 bytes counted on top of each event.
	// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
	putEvents = 10000
	putBytes  = 1 << 20
	putExtra  = 26
)

// stream is where an environment's lines go, and who writes them: the execution role.
type stream struct {
	call        aws.Call
	group, name string
	made        bool // the stream exists; only the journal's own goroutine looks
}

type line struct {
	to   *stream
	at   time.Time
	text string
}

// journal carries functions' output to CloudWatch Logs. Nobody waits for it: with its room used up, lines
// are dropped and counted. What is in it when the process is killed is lost, as AWS promises no more.
type journal struct {
	world   *world.World
	logs    logs.Client
	lines   chan line
	dropped atomic.Int64
}

func newJournal(w *world.World, role wire.Invoker) *journal {
	return &journal{world: w, logs: logs.Client{Invoke: role}, lines: make(chan line, journalRoom)}
}

// write takes one line.
func (j *journal) write(to *stream, at time.Time, text string) {
	select {
	case j.lines <- line{to, at, text}:
	default:
		j.dropped.Add(1)
	}
}

// run writes lines until the world stops, and then what is left.
func (j *journal) run(ctx context.Context) {
	for {
		select {
		case first := <-j.lines:
			j.world.Wait(ctx, nil, journalPause)
			j.flush(first)
		case <-ctx.Done():
			select {
			case first := <-j.lines:
				j.flush(first)
			default:
			}
			return
		}
	}
}

// flush writes first and what came after it, a call for each stream.
func (j *journal) flush(first line) {
	batches := map[*stream][]logs.InputLogEvent{}
	var order []*stream
	add := func(l line) {
		if _, ok := batches[l.to]; !ok {
			order = append(order, l.to)
		}
		text := l.text
		if text == "" {
			text = " " // CloudWatch Logs takes no empty event
		}
		batches[l.to] = append(batches[l.to], logs.InputLogEvent{Timestamp: l.at.UnixMilli(), Message: strings.ToValidUTF8(text, "\ufffd")})
	}
	add(first)
	for range journalRoom {
		select {
		case l := <-j.lines:
			add(l)
			continue
		default:
		}
		break
	}
	for _, to := range order {
		for events := batches[to]; len(events) > 0; {
			n := fitting(events)
			j.put(to, events[:n])
			events = events[n:]
		}
	}
}

// fitting is how many of the events one call takes.
func fitting(events []logs.InputLogEvent) int {
	size := 0
	for i := range events {
		if size += len(events[i].Message) + putExtra; i > 0 && (size > putBytes || i == putEvents) {
			return i
		}
	}
	return len(events)
}

// put writes events, making the group and the stream when they are missing. What the role may not do,
// and what fails twice, is dropped and counted.
func (j *journal) put(to *stream, events []logs.InputLogEvent) {
	call := to.call
	ctx := aws.WithCall(context.Background(), &call)
	in := &logs.PutLogEventsInput{LogGroupName: to.group, LogStreamName: to.name, LogEvents: events}
	if !to.made {
		j.create(ctx, to)
	}
	_, err := j.logs.PutLogEvents(ctx, in)
	if aws.IsCode(err, "ResourceNotFoundException") {
		j.create(ctx, to)
		_, err = j.logs.PutLogEvents(ctx, in)
	}
	to.made = err == nil
	if err != nil {
		j.dropped.Add(int64(len(events)))
	}
}

// create makes the stream, and its group first when there is none.
func (j *journal) create(ctx context.Context, to *stream) {
	in := &logs.CreateLogStreamInput{LogGroupName: to.group, LogStreamName: to.name}
	_, err := j.logs.CreateLogStream(ctx, in)
	if aws.IsCode(err, "ResourceNotFoundException") {
		// Whether both exist now shows in the call that follows.
		j.logs.CreateLogGroup(ctx, &logs.CreateLogGroupInput{LogGroupName: to.group})
		j.logs.CreateLogStream(ctx, in)
	}
}
