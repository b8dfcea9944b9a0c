package sqs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/store"
)

// moveTask is a StartMessageMoveTask: messages go from a dead-letter queue to a queue named, or back to where they
// came from.
type moveTask struct {
	ID      string
	Source  aws.ARN
	Target  aws.ARN // empty: each message goes back to its Origin
	Rate    int32   // messages a second, 0 for as many as go
	Status  string
	Reason  string // of a failure
	Started int64  // milliseconds since 1970
	Moved   int64
	ToMove  int64 // when it started
}

var (
	// tasks is keyed source queue/start in milliseconds, counted down from the end of time so that the newest is first.
	tasks = store.NewTable[moveTask]("sqs/task", store.Regional)
	// moves carry the running tasks forward, by source queue: there is one at a time.
	moves = store.NewTimers[int64]("sqs/move")
)

// The states of a task.
const (
	taskRunning   = "RUNNING"
	taskCompleted = "COMPLETED"
	taskCancelled = "CANCELLED"
	taskFailed    = "FAILED"
)

const (
	maxRate    = 500 // messages a second
	moveBatch  = 50  // messages in one transaction
	movesKept  = 10  // finished tasks of a queue that are remembered
	movesShown = 10
	// maxMoveTime is how long a task runs.
	//
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
	maxMoveTime = 36 * time.Hour
)

func taskKey(source string, started int64) store.Key { return store.K(source, 1<<62-started) }

// taskHandle is what a task handle says.
type taskHandle struct {
	ID      string  `json:"taskId"`
	Source  aws.ARN `json:"sourceArn"`
	Started int64   `json:"started"`
}

type openedTask struct {
	taskHandle
	source aws.ARN
}

func (t *moveTask) handle() string {
	b, err := json.Marshal(taskHandle{t.ID, t.Source, t.Started})
	if err != nil {
		panic("sqs: a task handle cannot be written: " + err.Error())
	}
	return base64.StdEncoding.EncodeToString(b)
}

// openTask reads a task handle. It is checked against the stored task, so it need not be sealed.
func openTask(handle string) (t openedTask, ok bool) {
	if len(handle) > 2048 {
		return t, false
	}
	b, err := base64.StdEncoding.DecodeString(handle)
	if err != nil || json.Unmarshal(b, &t.taskHandle) != nil {
		return t, false
	}
	p, ok := t.Source.Parse()
	t.source = t.Source
	return t, ok && p.Service == "sqs"
}

func noTask() error {
	return sqs.ResourceNotFoundException("The specified task does not exist.")
}

// accessOfMove is what moving messages takes: to receive and delete in the source, to send to the target.
func accessOfMove(in *sqs.StartMessageMoveTaskInput) []aws.Access {
	list := accessOfTask(aws.ARN(in.SourceArn), "sqs:StartMessageMoveTask")
	if target := in.GetDestinationArn(); target != "" {
		list = append(list, aws.Access{Action: "sqs:SendMessage", Resource: aws.ARN(target)})
	}
	return list
}

func accessOfTask(source aws.ARN, action string) []aws.Access {
	return []aws.Access{
		{Action: action, Resource: source},
		{Action: "sqs:ReceiveMessage", Resource: source},
		{Action: "sqs:DeleteMessage", Resource: source},
		{Action: "sqs:GetQueueAttributes", Resource: source},
	}
}

// queueAt returns the queue an ARN given for a parameter names, which must be in the caller's account and region.
func queueAt(tx *store.Tx, arn aws.ARN, parameter string) (*live, error) {
	missing := sqs.ResourceNotFoundException("The resource that you specified for the %s parameter doesn't exist.", parameter)
	p, ok := arn.Parse()
	if !ok || p.Service != "sqs" || p.Account != tx.Account() || p.Region != tx.Region() {
		return nil, missing
	}
	q, ok, err := lives.Get(tx, store.K(p.Resource))
	if err == nil && !ok {
		err = missing
	}
	return q, err
}

// StartMessageMoveTask begins to move the messages of a dead-letter queue away, in the background.
func (s *Service) StartMessageMoveTask(ctx context.Context, in *sqs.StartMessageMoveTaskInput) (*sqs.StartMessageMoveTaskOutput, error) {
	if n := in.MaxNumberOfMessagesPerSecond; n != nil && (*n < 1 || *n > maxRate) {
		return nil, invalidValue(*n, "MaxNumberOfMessagesPerSecond", "Must be between 1 and %d, if provided.", maxRate)
	}
	now := s.world.Now()
	t := moveTask{ID: s.world.UUID(), Source: aws.ARN(in.SourceArn), Target: aws.ARN(in.GetDestinationArn()),
		Rate: in.GetMaxNumberOfMessagesPerSecond(), Status: taskRunning, Started: now.UnixMilli()}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := queueAt(tx, t.Source, "SourceArn")
		if err != nil {
			return err
		}
		if err := t.check(tx, q); err != nil {
			return err
		}
		t.ToMove = q.count(tx, now.UnixNano()).visible
		kept := 0
		for key, old := range tasks.All(tx, store.K(q.Name)) {
			if old.Status == taskRunning {
				return sqs.UnsupportedOperation("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
			}
			if kept++; kept >= movesKept {
				tasks.Delete(tx, key)
			}
		}
		tasks.Put(tx, taskKey(q.Name, t.Started), t)
		moves.Set(tx, store.K(q.Name), now, t.Started)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.StartMessageMoveTaskOutput{TaskHandle: new(t.handle())}, nil
}

// check applies the rules for what a task may move from and to.
func (t *moveTask) check(tx *store.Tx, q *live) error {
	isDead := false
	for range sources.Keys(tx, store.Range{Prefix: store.K(q.Name), Limit: 1}) {
		isDead = true
	}
	if !isDead {
		return invalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	if t.Target == "" {
		return nil
	}
	target, err := queueAt(tx, t.Target, "DestinationArn")
	if err != nil {
		return err
	}
	if target.Name == q.Name {
		return invalidParameter("Source queue arn and destination queue arn can't be the same.")
	}
	if target.FIFO != q.FIFO {
		return sqs.UnsupportedOperation("The destination of a message move task must be a queue of the same type as its source.")
	}
	return nil
}

// moveSome moves one batch of the task of a queue and sets the timer for the next.
func (s *Service) moveSome(ctx context.Context, id store.Key, started int64) error {
	var name string
	if err := id.Parse(&name); err != nil {
		return err
	}
	now := s.world.Now()
	var ids [moveBatch]string
	for i := range ids {
		ids[i] = s.world.UUID()
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		t, ok := tasks.Get(tx, taskKey(name, started))
		if !ok || t.Status != taskRunning {
			return nil
		}
		q, ok, err := lives.Get(tx, store.K(name))
		if err != nil {
			return err
		}
		batch := moveBatch
		pause := time.Duration(0)
		if t.Rate > 0 {
			batch = min(batch, int(t.Rate))
			pause = time.Duration(batch) * time.Second / time.Duration(t.Rate)
		}
		if !ok {
			t.Status, t.Reason = taskFailed, "AWS.SimpleQueueService.NonExistentQueue"
		} else if now.UnixMilli()-t.Started > maxMoveTime.Milliseconds() {
			t.Status, t.Reason = taskFailed, "The task ran for longer than 36 hours."
		} else if n, reason := q.drain(tx, t.Target, ids[:batch], now.UnixNano()); reason != "" {
			t.Moved += int64(n)
			t.Status, t.Reason = taskFailed, reason
		} else if t.Moved += int64(n); n < batch {
			t.Status = taskCompleted
		}
		tasks.Put(tx, taskKey(name, started), t)
		if t.Status == taskRunning {
			moves.Set(tx, id, now.Add(pause), started)
		}
		return nil
	}, string(aws.MakeARN("sqs", aws.CallFrom(ctx).Region, aws.CallFrom(ctx).Account, name)))
}

// drain moves up to as many visible messages as there are ids, to the target or where they came from, the oldest first. They
// are new messages there: with an id, a time of sending and a count of receipts of their own.
func (q *live) drain(tx *store.Tx, target aws.ARN, ids []string, now int64) (moved int, reason string) {
	if q.FIFO {
		return q.drainFIFO(tx, target, ids, now)
	}
	r := receiver{queue: q, tx: tx, now: now}
	at := store.Range{Prefix: store.K(q.Space), To: store.K(q.Space, now+1), Limit: len(ids)}
	rows := r.rows(at)
	rows = append(rows, r.asideRows(len(ids)-len(rows))...)
	for _, w := range rows {
		m, _ := messages.Get(tx, slotKey(q.Space, w.at))
		if !q.moveOne(tx, target, ids[moved], &m, slot{uint64(now) + uint64(moved), w.at.Tie}, now) {
			return moved, moveFailed
		}
		q.remove(tx, w.at, w.state)
		moved++
	}
	return moved, ""
}

// moveFailed is AWS's reason when a message cannot go where it came from.
const moveFailed = "CouldNotDetermineMessageSource"

// moveOne puts a message, with a new id, at a slot of the target or the queue it came from; the caller removes it from q.
func (q *live) moveOne(tx *store.Tx, target aws.ARN, id string, m *message, at slot, now int64) bool {
	if target == "" {
		target = aws.ARN(m.Origin)
	}
	into, err := queueAt(tx, target, "DestinationArn")
	if err != nil || into.FIFO != q.FIFO {
		return false
	}
	m.ID, m.Origin, m.Sent = id, "", now/int64(time.Millisecond)
	into.admit(tx, at, m, state{}, now)
	return true
}

// drainFIFO moves messages of the groups whose turn it is, each group's in their order.
func (q *live) drainFIFO(tx *store.Tx, target aws.ARN, ids []string, now int64) (moved int, reason string) {
	r := receiver{queue: q, tx: tx, now: now}
	horizon := max(now, q.front(tx).Cursor)
	at := store.Range{Prefix: store.K(q.Space), To: store.K(q.Space, horizon+1), Limit: maxBatch}
	for {
		names := r.groupsAt(at)
		for _, n := range names {
			if moved == len(ids) {
				return moved, ""
			}
			more, reason := q.drainGroup(tx, target, n.name, ids[moved:], now, horizon)
			if moved += more; reason != "" {
				return moved, reason
			}
			at.After = n.key
		}
		if len(names) < at.Limit {
			return moved, ""
		}
	}
}

func (q *live) drainGroup(tx *store.Tx, target aws.ARN, name string, ids []string, now, horizon int64) (moved int, reason string) {
	g, _ := groups.Get(tx, store.K(q.Space, name))
	g.Flights = nil // visible again, else it were not the group's turn
	var places []slot
	all := store.Range{Prefix: store.K(q.Space, name), From: memberKey(q.Space, name, g.Head), Limit: len(ids)}
	for key, m := range members.Scan(tx, all) {
		at := slot{At: m.At}
		if err := key.Parse(nil, nil, &at.Tie); err != nil {
			panic("sqs: a row of sqs/member has a key of another form")
		}
		if q.ready(m.At) > horizon {
			break
		}
		places = append(places, at)
	}
	for _, at := range places {
		m, _ := messages.Get(tx, slotKey(q.Space, at))
		if !q.moveOne(tx, target, ids[moved], &m, slot{}, now) {
			reason = moveFailed
			break
		}
		q.removeFIFO(tx, name, at)
		moved++
	}
	q.settle(tx, name, &g, now, horizon)
	return moved, reason
}

// CancelMessageMoveTask stops a task; what it has moved stays moved.
func (s *Service) CancelMessageMoveTask(ctx context.Context, in *sqs.CancelMessageMoveTaskInput) (*sqs.CancelMessageMoveTaskOutput, error) {
	h, ok := openTask(in.TaskHandle)
	if !ok {
		return nil, noTask()
	}
	var moved int64
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := queueAt(tx, h.source, "SourceArn")
		if err != nil {
			return err
		}
		t, ok := tasks.Get(tx, taskKey(q.Name, h.Started))
		if !ok || t.ID != h.ID {
			return noTask()
		}
		if t.Status != taskRunning {
			return sqs.UnsupportedOperation("Only active message movement task can be cancelled.")
		}
		t.Status = taskCancelled
		moved = t.Moved
		tasks.Put(tx, taskKey(q.Name, h.Started), t)
		moves.Cancel(tx, store.K(q.Name))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.CancelMessageMoveTaskOutput{ApproximateNumberOfMessagesMoved: new(moved)}, nil
}

// ListMessageMoveTasks returns the latest tasks of a queue, the newest first: one, unless MaxResults says more.
func (s *Service) ListMessageMoveTasks(ctx context.Context, in *sqs.ListMessageMoveTasksInput) (*sqs.ListMessageMoveTasksOutput, error) {
	limit := 1
	if n := in.MaxResults; n != nil {
		if *n < 1 || *n > movesShown {
			return nil, invalidValue(*n, "MaxResults", "Must be between 1 and %d, if provided.", movesShown)
		}
		limit = int(*n)
	}
	out := &sqs.ListMessageMoveTasksOutput{Results: []sqs.ListMessageMoveTasksResultEntry{}}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		q, err := queueAt(tx, aws.ARN(in.SourceArn), "SourceArn")
		if err != nil {
			return err
		}
		for _, t := range tasks.Scan(tx, store.Range{Prefix: store.K(q.Name), Limit: limit}) {
			out.Results = append(out.Results, t.entry())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *moveTask) entry() sqs.ListMessageMoveTasksResultEntry {
	e := sqs.ListMessageMoveTasksResultEntry{
		Status:                            &t.Status,
		SourceArn:                         new(string(t.Source)),
		DestinationArn:                    optional(string(t.Target)),
		FailureReason:                     optional(t.Reason),
		StartedTimestamp:                  &t.Started,
		ApproximateNumberOfMessagesMoved:  &t.Moved,
		ApproximateNumberOfMessagesToMove: &t.ToMove,
	}
	if t.Status == taskRunning {
		e.TaskHandle = new(t.handle())
	}
	if t.Rate > 0 {
		e.MaxNumberOfMessagesPerSecond = &t.Rate
	}
	return e
}
