package pipes

import (
	"context"
	"strings"

	"fogbank/api/pipes"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/source"
)

// Limits and defaults of parameters.
// https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_CreatePipe.html
const (
	queueBatch  = 10
	streamBatch = 1
	plainBatch  = 10 // the largest batch of a queue without a window, and of a FIFO queue
	maxFilters  = 5
)

// check checks a pipe and fills defaults in.
func (p *pipe) check(ctx context.Context) error {
	if err := p.checkLogging(ctx); err != nil {
		return err
	}
	if err := p.checkSource(); err != nil {
		return err
	}
	if err := p.checkFilters(); err != nil {
		return err
	}
	if err := p.checkEnrichment(); err != nil {
		return err
	}
	return p.checkTarget()
}

// checkSource checks the source and its parameters.
func (p *pipe) checkSource() error {
	arn := aws.ARN(p.Source)
	from := &p.From
	switch {
	case from.KinesisStreamParameters != nil || from.ActiveMQBrokerParameters != nil || from.RabbitMQBrokerParameters != nil ||
		from.ManagedStreamingKafkaParameters != nil || from.SelfManagedKafkaParameters != nil:
		return notYet("a source other than an SQS queue or a DynamoDB stream")
	case arn.Service() == "sqs":
		return p.checkQueue()
	case arn.Service() == "dynamodb" && strings.Contains(arn.Resource(), "/stream/"):
		return p.checkStream()
	case arn.Service() == "":
		return invalid("The source %s is not the ARN of a supported source.", p.Source)
	}
	return notYet("a source in " + arn.Service())
}

// checkQueue checks the parameters of a queue.
func (p *pipe) checkQueue() error {
	if p.From.DynamoDBStreamParameters != nil {
		return invalid("DynamoDBStreamParameters is not supported for a source that is an SQS queue.")
	}
	if p.From.SqsQueueParameters == nil {
		p.From.SqsQueueParameters = &pipes.PipeSourceSqsQueueParameters{}
	}
	q := p.From.SqsQueueParameters
	if fill(&q.MaximumBatchingWindowInSeconds, 0); p.single() {
		fill(&q.BatchSize, 1)
	}
	fill(&q.BatchSize, queueBatch)
	fifo := strings.HasSuffix(p.Source, ".fifo")
	switch {
	case *q.BatchSize > plainBatch && fifo:
		return invalid("The batch size of a FIFO queue is at most %d.", plainBatch)
	case *q.MaximumBatchingWindowInSeconds > 0 && fifo:
		return invalid("A batching window is not supported for FIFO queues.")
	case *q.BatchSize > plainBatch && *q.MaximumBatchingWindowInSeconds == 0:
		return invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than %d", plainBatch)
	}
	return nil
}

// checkStream checks the parameters of a stream.
func (p *pipe) checkStream() error {
	d := p.From.DynamoDBStreamParameters
	if d == nil || d.StartingPosition == "" || p.From.SqsQueueParameters != nil {
		return invalid("DynamoDBStreamParameters with a StartingPosition must be given, and no others, for a source that is a DynamoDB stream.")
	}
	fill(&d.BatchSize, streamBatch)
	fill(&d.MaximumBatchingWindowInSeconds, 0)
	fill(&d.MaximumRecordAgeInSeconds, source.Forever)
	fill(&d.MaximumRetryAttempts, source.Forever)
	fill(&d.ParallelizationFactor, 1)
	if dead := aws.ARN(d.DeadLetterConfig.GetArn()); dead != "" && dead.Service() != "sqs" && dead.Service() != "sns" {
		return invalid("The dead-letter target %s must be the ARN of an SQS queue or an SNS topic.", dead)
	}
	return nil
}

// fill gives a parameter that is missing its default.
func fill(to **int32, v int32) {
	if *to == nil {
		*to = &v
	}
}

// checkFilters checks the filter patterns.
func (p *pipe) checkFilters() error {
	list := p.filters()
	if len(list) > maxFilters {
		return invalid("A pipe has at most %d filters.", maxFilters)
	}
	for _, f := range list {
		if _, err := pattern.Parse(pattern.Filter, []byte(f)); err != nil {
			return invalid("Invalid filter pattern definition. %v", err)
		}
	}
	return nil
}

// filters are the pipe's filter patterns.
func (p *pipe) filters() (list []string) {
	if p.From.FilterCriteria == nil {
		return nil
	}
	for i := range p.From.FilterCriteria.Filters {
		if f := p.From.FilterCriteria.Filters[i].GetPattern(); f != "" {
			list = append(list, f)
		}
	}
	return list
}

// checkEnrichment checks the enrichment.
func (p *pipe) checkEnrichment() error {
	if p.Enrichment == "" {
		return nil
	}
	switch kind := kindOf(p.Enrichment); kind {
	case overHTTP:
		return p.checkHTTP("enrichment", p.Enrichment)
	case "lambda":
	default:
		return notYet("an enrichment in " + kind)
	}
	if p.Through != nil && p.Through.HttpParameters != nil {
		return invalid("HttpParameters is not supported for an enrichment that is a function.")
	}
	return nil
}

// largest is how many records a target takes at once.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
var largest = map[string]int32{"sqs": 10, "sns": 10, "events": 10, "logs": 10000, "lambda": 10000, overHTTP: 1}

// checkTarget checks the target, its parameters and that it takes batches as large as the source's.
func (p *pipe) checkTarget() error {
	arn := aws.ARN(p.Target)
	kind, to := kindOf(p.Target), p.To
	if to == nil {
		to = &pipes.PipeTargetParameters{}
	}
	if kind == overHTTP {
		if err := p.checkHTTP("target", p.Target); err != nil {
			return err
		}
	}
	most, ok := largest[kind]
	switch {
	case kind == "":
		return invalid("The target %s is not the ARN of a supported target.", p.Target)
	case !ok || kind == "events" && !strings.HasPrefix(arn.Resource(), "event-bus/"):
		return notYet("a target in " + kind + " such as " + arn.Resource())
	case p.batch() > most:
		return invalid("The batch size of the source, %d, is larger than the target supports: %d.", p.batch(), most)
	case kind == "sqs" && strings.HasSuffix(p.Target, ".fifo") && (to.SqsQueueParameters == nil || to.SqsQueueParameters.GetMessageGroupId() == ""):
		return invalid("MessageGroupId must be given for a target that is a FIFO queue.")
	case kind == "sns" && strings.HasSuffix(p.Target, ".fifo"):
		return invalid("FIFO topics are not supported as targets.")
	case kind == "events" && to.EventBridgeEventBusParameters != nil && to.EventBridgeEventBusParameters.EndpointId != nil:
		return notYet("a global endpoint")
	}
	for name, given := range map[string]bool{"sqs": to.SqsQueueParameters != nil, "lambda": to.LambdaFunctionParameters != nil,
		"events": to.EventBridgeEventBusParameters != nil, "logs": to.CloudWatchLogsParameters != nil, overHTTP: to.HttpParameters != nil} {
		if given && name != kind {
			return invalid("The target parameters given are not those of the target %s.", p.Target)
		}
	}
	return nil
}

// batch is how many records are read at once at most.
func (p *pipe) batch() int32 {
	if q := p.From.SqsQueueParameters; q != nil {
		return q.GetBatchSize()
	}
	return p.From.DynamoDBStreamParameters.GetBatchSize()
}
