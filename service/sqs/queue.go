package sqs

import (
	"context"
	"encoding/base64"
	"strings"

	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/policy"
	"fogbank/store"
)

var (
	// queues is keyed by name.
	queues = store.NewTable[queue]("sqs/queue", store.Regional)
	// lives holds what every call needs of a queue, taken apart once.
	lives = store.Derive(queues, derive)
	// deletions is keyed by name: when a queue of that name was deleted last, in milliseconds since 1970.
	deletions = store.NewTable[int64]("sqs/deletion", store.Regional)
	// tags is keyed by the queue's name.
	tags = store.NewTable[map[string]string]("sqs/tag", store.Regional)
)

// live is a queue's record with what follows from it.
type live struct {
	queue
	arn     aws.ARN
	space   store.Key // of queue.Space
	topic   string    // arn, where those who wait for messages watch
	policy  *policy.Document
	redrive *redrive // nil without a redrive policy
}

func derive(_ store.Key, q queue) (*live, error) {
	l := &live{queue: q, arn: aws.MakeARN("sqs", q.Region, q.Account, q.Name), space: store.K(q.Space)}
	l.topic = string(l.arn)
	if q.Policy != "" {
		d, err := policy.Parse(q.Policy)
		if err != nil {
			return nil, err
		}
		l.policy = d
	}
	if q.Redrive != "" {
		r, err := parseRedrive(q.Redrive)
		if err != nil {
			return nil, err
		}
		l.redrive = r
	}
	return l, nil
}

// find returns the queue a URL names, or QueueDoesNotExist.
func find(tx *store.Tx, url string) (*live, error) {
	account, name, err := address(url)
	if err != nil {
		return nil, err
	}
	return owned(tx, account, name)
}

// owned is named for a queue whose URL says it belongs to account. The gate has made that the transaction's.
func owned(tx *store.Tx, account, name string) (*live, error) {
	if account != tx.Account() {
		return nil, noQueue()
	}
	return named(tx, name)
}

// named returns the queue of that name, or QueueDoesNotExist.
func named(tx *store.Tx, name string) (*live, error) {
	q, ok, err := lives.Get(tx, store.K(name))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, noQueue()
	}
	return q, nil
}

// address returns the account and the name in a queue URL: the last two parts of its path. Scheme, host and
// what stands before do not matter, since clients reach one server by many names.
func address(url string) (account, name string, err error) {
	path := url
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	path = strings.TrimSuffix(path, "/")
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		path, name = path[:i], path[i+1:]
		account = path[strings.LastIndexByte(path, '/')+1:]
	}
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" || name == "" {
		return "", "", sqs.InvalidAddress("The address %s is not valid for this endpoint.", clip(url))
	}
	return account, name, nil
}

// clip shortens what a client sent for use in an error message.
func clip(s string) string {
	const most = 1024
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// urlOf returns the URL of a queue at the endpoint the client used.
func urlOf(c *aws.Call, account, name string) *string {
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = "https://sqs." + c.Region + ".amazonaws.com"
	}
	return new(endpoint + "/" + account + "/" + name)
}

// checkName applies the rules for names of new queues.
func checkName(name string, fifo bool) error {
	plain, suffixed := strings.CutSuffix(name, ".fifo")
	if !fifo {
		plain = name
	}
	good := plain != "" && len(name) <= 80 && suffixed == (fifo || suffixed)
	for i := 0; i < len(plain); i++ {
		good = good && isNameByte(plain[i])
	}
	switch {
	case fifo && (!good || !suffixed):
		return invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length")
	case !good:
		return invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// CreateQueue makes a queue, or returns the URL of the one of that name when it has the attributes asked for.
func (s *Service) CreateQueue(ctx context.Context, in *sqs.CreateQueueInput) (*sqs.CreateQueueOutput, error) {
	fifo := in.Attributes[sqs.QueueAttributeNameFifoQueue] == "true"
	if err := checkName(in.QueueName, fifo); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	call := aws.CallFrom(ctx)
	q := newQueue(in.QueueName, fifo)
	q.Account, q.Region = call.Account, call.Region
	now := s.world.Now()
	q.Created, q.Modified = now.Unix(), now.Unix()
	q.ID, q.Space = s.world.Uint64(), s.world.Uint64()
	if err := setAttributes(&q, in.Attributes); err != nil {
		return nil, err
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		return create(tx, q, in, now.UnixMilli())
	})
	if err != nil {
		return nil, err
	}
	return &sqs.CreateQueueOutput{QueueUrl: urlOf(call, call.Account, in.QueueName)}, nil
}

// create stores q unless there is such a queue; now is in milliseconds since 1970.
func create(tx *store.Tx, q queue, in *sqs.CreateQueueInput, now int64) error {
	key := store.K(q.Name)
	if have, ok := queues.Get(tx, key); ok {
		name, err := differing(&have, in.Attributes)
		if err == nil && name != "" {
			err = sqs.QueueNameExists("A queue already exists with the same name and a different value for attribute %s", name)
		}
		return err
	}
	if at, ok := deletions.Get(tx, key); ok {
		if now < at+deletedMilliseconds {
			return sqs.QueueDeletedRecently("You must wait 60 seconds after deleting a queue before you can create another with the same name.")
		}
		deletions.Delete(tx, key)
	}
	if err := linkRedrive(tx, &queue{}, &q); err != nil {
		return err
	}
	queues.Put(tx, key, q)
	if len(in.Tags) > 0 {
		tags.Put(tx, key, in.Tags)
	}
	return nil
}

// GetQueueUrl returns the URL of a queue by its name and, for another account's queue, its owner.
func (s *Service) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput) (*sqs.GetQueueUrlOutput, error) {
	call := aws.CallFrom(ctx)
	account := call.Account
	if owner := in.GetQueueOwnerAWSAccountId(); owner != "" {
		account = owner
	}
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return nil, noQueue()
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		_, err := named(tx.In(account, call.Region), in.QueueName)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &sqs.GetQueueUrlOutput{QueueUrl: urlOf(call, account, in.QueueName)}, nil
}

// page is one page of a list of names: at most limit of them, after a token.
type page struct {
	after string
	limit int
	paged bool // a token is returned when there is more
}

// pageOf reads the paging members of a list request.
func pageOf(token *string, most *int32) (page, error) {
	p := page{limit: maxListed, paged: most != nil}
	if most != nil {
		if *most < 1 || *most > maxListed {
			return p, invalidValue(*most, "MaxResults", "MaxResults must be an integer between 1 and %d.", maxListed)
		}
		p.limit = int(*most)
	}
	if token != nil {
		after, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil || len(after) == 0 || len(after) > 80 {
			return p, invalidParameter("Invalid or expired next token.")
		}
		p.after = string(after)
	}
	return p, nil
}

func (p page) token(last string) *string {
	return new(base64.RawURLEncoding.EncodeToString([]byte(last)))
}

// ListQueues returns the URLs of the account's queues, in the order of their names. Without MaxResults it
// returns the first 1,000 and no token.
func (s *Service) ListQueues(ctx context.Context, in *sqs.ListQueuesInput) (*sqs.ListQueuesOutput, error) {
	p, err := pageOf(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	call := aws.CallFrom(ctx)
	prefix := in.GetQueueNamePrefix()
	out := &sqs.ListQueuesOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		r := store.Range{From: store.K(prefix)}
		if p.after >= prefix && p.after != "" {
			r = store.Range{After: store.K(p.after)}
		}
		last := ""
		for _, q := range queues.Scan(tx, r) {
			if !strings.HasPrefix(q.Name, prefix) {
				break
			}
			if len(out.QueueUrls) == p.limit {
				if p.paged {
					out.NextToken = p.token(last)
				}
				break
			}
			out.QueueUrls = append(out.QueueUrls, *urlOf(call, call.Account, q.Name))
			last = q.Name
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteQueue removes a queue at once; its messages follow in the background.
func (s *Service) DeleteQueue(ctx context.Context, in *sqs.DeleteQueueInput) (*sqs.DeleteQueueOutput, error) {
	now := s.world.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := find(tx, in.QueueUrl)
		if err != nil {
			return err
		}
		if err := linkRedrive(tx, &q.queue, &queue{}); err != nil {
			return err
		}
		key := store.K(q.Name)
		queues.Delete(tx, key)
		tags.Delete(tx, key)
		deletions.Put(tx, key, now.UnixMilli())
		clearSpace(tx, q.Space, now)
		clearSpace(tx, q.ID, now)
		tx.Wake(q.topic)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.DeleteQueueOutput{}, nil
}

// PurgeQueue removes all messages of a queue, at most once a minute.
func (s *Service) PurgeQueue(ctx context.Context, in *sqs.PurgeQueueInput) (*sqs.PurgeQueueOutput, error) {
	now := s.world.Now()
	space := s.world.Uint64()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		q, err := find(tx, in.QueueUrl)
		if err != nil {
			return err
		}
		if q.Purged != 0 && now.UnixMilli() < q.Purged+purgedMilliseconds {
			return sqs.PurgeQueueInProgress("Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.Name)
		}
		emptied := q.queue
		emptied.Space, emptied.Purged = space, now.UnixMilli()
		queues.Put(tx, store.K(q.Name), emptied)
		clearSpace(tx, q.Space, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sqs.PurgeQueueOutput{}, nil
}
