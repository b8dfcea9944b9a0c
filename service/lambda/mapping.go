package lambda

import (
	"context"
	"strings"
	"time"

	"fogbank/api/dynamodbstreams"
	"fogbank/api/lambda"
	"fogbank/api/sqs"
	"fogbank/aws"
	"fogbank/pattern"
	"fogbank/store"
)

// mapping is the stored record of an event-source mapping.
type mapping struct {
	UUID           string
	Source         string // ARN of a stream or queue
	Function       string // name
	Qualifier      string
	Enabled        bool   // it is to run
	State          string `json:",omitempty"` // on its way: stateCreating and so on; "" at rest
	BatchSize      int32
	WindowSeconds  int32
	Start          string // of a stream
	Bisect         bool
	MaxRetries     int32 // -1: for ever
	MaxAgeSeconds  int32 // -1: for ever
	Parallel       int32
	Tumbling       int32 `json:",omitempty"` // seconds, or 0
	Partial        bool  // ReportBatchItemFailures
	Filters        []string
	OnFailure      string // ARN, or ""
	MaxConcurrency int32  // 0: the default
	Created        time.Time
	Modified       time.Time
	Revision       string            // drawn anew at every change
	Tags           map[string]string `json:",omitempty"`
}

var (
	mappings = store.NewTable[mapping]("lambda/mapping", store.Regional)
	// known are all mappings of all tenants.
	known = store.NewTable[struct{}]("lambda/known", store.Global)
	// results are what became of the last batch of a mapping, as LastProcessingResult tells it.
	results = store.NewTable[string]("lambda/result", store.Regional)
)

// mappingsTopic is woken when a mapping is made, changed or deleted.
const mappingsTopic = "lambda/mappings"

// Limits and defaults of mappings.
// https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
const (
	maxBatch         = 10000
	plainBatch       = 10 // the largest batch of a queue without a window, and of a FIFO queue
	defaultStream    = 100
	maxFilters       = 5
	noResult         = "No records processed"
	resultOK         = "OK"
	transitionByUser = "USER_INITIATED"
)

// The states of a mapping. It is on its way until what ran before has come to rest.
const (
	stateCreating  = "Creating"
	stateEnabling  = "Enabling"
	stateEnabled   = "Enabled"
	stateDisabling = "Disabling"
	stateDisabled  = "Disabled"
	stateUpdating  = "Updating"
	stateDeleting  = "Deleting"
)

// isQueue tells a queue from a stream.
func (m *mapping) isQueue() bool { return aws.ARN(m.Source).Service() == "sqs" }

func (m *mapping) fifo() bool { return strings.HasSuffix(m.Source, ".fifo") }

// reference is the mapping's function.
func (m *mapping) reference(account, region string) reference {
	return reference{account, region, m.Function, m.Qualifier}
}

// CreateEventSourceMapping makes a stream or queue feed a function.
func (s *Service) CreateEventSourceMapping(ctx context.Context, in *lambda.CreateEventSourceMappingInput) (*lambda.CreateEventSourceMappingOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	m, err := newMapping(r, in)
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.checkSource(ctx, r, f, m); err != nil {
		return nil, err
	}
	m.UUID, m.Revision = s.world.UUID(), s.world.Hex(8)
	m.Created = s.world.Now()
	m.Modified = m.Created
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		for _, other := range mappings.All(tx, "") {
			if other.Source == m.Source && other.Function == m.Function && other.Qualifier == m.Qualifier {
				return m.conflict(other.UUID)
			}
		}
		known.Put(tx, store.K(tx.Account(), tx.Region(), m.UUID), struct{}{})
		m.save(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m.describe(r, noResult), nil
}

// conflict is that there is such a mapping already.
func (m *mapping) conflict(uuid string) error {
	form := "The event source arn (\" %s \") and function (\" %s \") provided mapping already exists."
	if m.isQueue() {
		form = "An event source mapping with SQS arn (\" %s \") and function (\" %s \") already exists."
	}
	return lambda.ResourceConflictException(form+" Please update or delete the existing mapping with UUID %s", m.Source, m.Function, uuid)
}

// save stores m and tells the supervisor.
func (m *mapping) save(tx *store.Tx) {
	mappings.Put(tx, store.K(m.UUID), *m)
	tx.Wake(mappingsTopic)
}

// newMapping checks a request and returns the mapping it asks for.
func newMapping(r reference, in *lambda.CreateEventSourceMappingInput) (*mapping, error) {
	source := aws.ARN(in.GetEventSourceArn())
	m := &mapping{Source: string(source), Function: r.name, Qualifier: r.qualifier, Enabled: in.Enabled == nil || *in.Enabled, State: stateCreating,
		MaxRetries: -1, MaxAgeSeconds: -1, Parallel: 1, Start: in.GetStartingPosition(), Tags: in.Tags}
	if len(in.Tags) > maxTags {
		return nil, tooManyTags()
	}
	if err := checkMappingExtras(in.ProvisionedPollerConfig, in.MetricsConfig, in.KMSKeyArn); err != nil {
		return nil, err
	}
	switch {
	case in.StartingPositionTimestamp != nil:
		return nil, lambda.InvalidParameterValueException("StartingPositionTimestamp is not supported for event sources other than Kinesis streams.")
	case in.EventSourceArn == nil || in.DocumentDBEventSourceConfig != nil || in.AmazonManagedKafkaEventSourceConfig != nil ||
		in.SelfManagedKafkaEventSourceConfig != nil || len(in.SourceAccessConfigurations) > 0 || in.SelfManagedEventSource != nil || len(in.Topics) > 0 || len(in.Queues) > 0:
		return nil, unwritten("event sources other than DynamoDB streams and SQS queues")
	case source.Service() == "sqs":
		m.BatchSize = plainBatch
		if m.Start != "" {
			return nil, lambda.InvalidParameterValueException("Unsupported starting position for arn type: %s", source)
		}
	case source.Service() == "dynamodb" && strings.Contains(source.Resource(), "/stream/"):
		m.BatchSize = defaultStream
		if m.Start == "" {
			return nil, lambda.InvalidParameterValueException("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.")
		}
		if m.Start == lambda.EventSourcePositionAtTimestamp {
			return nil, lambda.InvalidParameterValueException("Unsupported starting position for arn type: %s", source)
		}
	case source.Service() == "kinesis" || source.Service() == "kafka" || source.Service() == "mq" || source.Service() == "rds":
		return nil, unwritten("event sources other than DynamoDB streams and SQS queues")
	default:
		return nil, lambda.InvalidParameterValueException("Unrecognized event source.")
	}
	return m, m.change(mappingSettings{
		batch: in.BatchSize, window: in.MaximumBatchingWindowInSeconds, filters: in.FilterCriteria, destination: in.DestinationConfig,
		age: in.MaximumRecordAgeInSeconds, bisect: in.BisectBatchOnFunctionError, retries: in.MaximumRetryAttempts,
		parallel: in.ParallelizationFactor, tumbling: in.TumblingWindowInSeconds, responses: in.FunctionResponseTypes, scaling: in.ScalingConfig,
	})
}

// checkMappingExtras refuses what is not written.
func checkMappingExtras(pollers *lambda.ProvisionedPollerConfig, metrics *lambda.EventSourceMappingMetricsConfig, key *string) error {
	switch {
	case pollers != nil:
		return unwritten("provisioned pollers")
	case metrics != nil && len(metrics.Metrics) > 0:
		return unwritten("metrics of event-source mappings")
	case key != nil && *key != "":
		return unwritten("encryption of filters with a customer's key")
	}
	return nil
}

// mappingSettings are what creating and updating a mapping share; nil means unchanged.
type mappingSettings struct {
	batch, window, age, retries, parallel, tumbling *int32
	bisect                                          *bool
	filters                                         *lambda.FilterCriteria
	destination                                     *lambda.DestinationConfig
	responses                                       []string
	scaling                                         *lambda.ScalingConfig
}

// change puts settings into m and checks the whole.
func (m *mapping) change(set mappingSettings) error {
	if m.isQueue() && (set.age != nil || set.bisect != nil || set.retries != nil || set.parallel != nil || set.tumbling != nil) {
		return lambda.InvalidParameterValueException("The parameters MaximumRecordAgeInSeconds, BisectBatchOnFunctionError, MaximumRetryAttempts, ParallelizationFactor and TumblingWindowInSeconds are not supported for SQS event sources.")
	}
	if set.scaling != nil && !m.isQueue() {
		return lambda.InvalidParameterValueException("ScalingConfig is only supported for SQS event sources.")
	}
	put(&m.BatchSize, set.batch)
	put(&m.WindowSeconds, set.window)
	put(&m.MaxAgeSeconds, set.age)
	put(&m.MaxRetries, set.retries)
	put(&m.Parallel, set.parallel)
	put(&m.Tumbling, set.tumbling)
	put(&m.Bisect, set.bisect)
	if set.responses != nil {
		m.Partial = len(set.responses) > 0
	}
	if set.scaling != nil {
		m.MaxConcurrency = set.scaling.GetMaximumConcurrency()
	}
	if set.destination != nil {
		m.OnFailure = set.destination.OnFailure.GetDestination()
		if err := checkStreamDestination(m.OnFailure); err != nil {
			return err
		}
		if m.OnFailure != "" && m.isQueue() {
			return lambda.InvalidParameterValueException("DestinationConfig is not supported for SQS event sources; use the queue's redrive policy.")
		}
	}
	if set.filters != nil {
		if err := m.setFilters(set.filters.Filters); err != nil {
			return err
		}
	}
	return m.checkBatch()
}

// checkStreamDestination takes a standard queue or topic or nothing.
func checkStreamDestination(target string) error {
	if service := aws.ARN(target).Service(); service == "lambda" || service == "events" {
		return lambda.InvalidParameterValueException("The destination ARN %s is invalid.", target)
	}
	return checkDestination(target)
}

// checkBatch checks how batches are made.
func (m *mapping) checkBatch() error {
	switch {
	case m.BatchSize < 1 || m.BatchSize > maxBatch:
		return lambda.InvalidParameterValueException("Batch size must be between 1 and %d.", maxBatch)
	case m.isQueue() && m.fifo() && m.BatchSize > plainBatch:
		return lambda.InvalidParameterValueException("Maximum batch size for FIFO queues is %d.", plainBatch)
	case m.isQueue() && m.fifo() && m.WindowSeconds > 0:
		return lambda.InvalidParameterValueException("Batching window is not supported for FIFO queues.")
	case m.isQueue() && m.BatchSize > plainBatch && m.WindowSeconds == 0:
		return lambda.InvalidParameterValueException("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
	}
	return nil
}

// setFilters checks filter patterns and takes them.
func (m *mapping) setFilters(filters []lambda.Filter) error {
	if len(filters) > maxFilters {
		return lambda.InvalidParameterValueException("Number of filters must be between 0 and %d.", maxFilters)
	}
	m.Filters = nil
	for i := range filters {
		p := filters[i].GetPattern()
		if p == "" {
			continue
		}
		if _, err := pattern.Parse(pattern.Filter, []byte(p)); err != nil {
			return lambda.InvalidParameterValueException("Invalid filter pattern definition. %v", err)
		}
		m.Filters = append(m.Filters, p)
	}
	return nil
}

// checkSource makes sure that the function's role may read the source.
func (s *Service) checkSource(ctx context.Context, r reference, f *function, m *mapping) error {
	as, err := s.enact(ctx, f.Role, f.Name)
	if err != nil {
		return err
	}
	source := aws.ARN(m.Source)
	ctx = as.In(ctx, source.Account(), source.Region())
	if !m.isQueue() {
		_, err := dynamodbstreams.Client{Invoke: s.o.Role}.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: m.Source})
		if aws.IsCode(err, "ResourceNotFoundException") {
			return lambda.InvalidParameterValueException("Stream not found: %s", m.Source)
		}
		if err != nil {
			return lambda.InvalidParameterValueException("Cannot access stream %s. Please ensure the role can perform the GetRecords, GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM.", m.Source)
		}
		return nil
	}
	out, err := sqs.Client{Invoke: s.o.Role}.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: s.queueURL(source), AttributeNames: []string{sqs.QueueAttributeNameVisibilityTimeout}})
	if e := aws.AsError(err); err != nil && strings.Contains(e.Code, "AccessDenied") {
		return lambda.InvalidParameterValueException("The provided execution role does not have permissions to call ReceiveMessage on SQS")
	}
	if err != nil {
		return lambda.InvalidParameterValueException("Error occurred while ReceiveMessage. SQS Error Code: %s. SQS Error Message: %s", aws.AsError(err).Code, aws.AsError(err).Message)
	}
	visibility, err := time.ParseDuration(out.Attributes[sqs.QueueAttributeNameVisibilityTimeout] + "s")
	if seconds := time.Duration(f.Timeout) * time.Second; err == nil && visibility < seconds {
		return lambda.InvalidParameterValueException("Queue visibility timeout: %d seconds is less than Function timeout: %d seconds", int(visibility.Seconds()), f.Timeout)
	}
	return nil
}

// describe is m as the API shows it.
func (m *mapping) describe(r reference, result string) *lambda.EventSourceMappingConfiguration {
	r.name, r.qualifier = m.Function, m.Qualifier
	c := &lambda.EventSourceMappingConfiguration{
		UUID: &m.UUID, BatchSize: &m.BatchSize, MaximumBatchingWindowInSeconds: &m.WindowSeconds, EventSourceArn: &m.Source,
		EventSourceMappingArn: new(string(mappingARN(r.account, r.region, m.UUID))),
		FunctionArn:           new(string(r.arn())), LastModified: &m.Modified, LastProcessingResult: &result, State: new(m.state()),
		StateTransitionReason: new(transitionByUser), FunctionResponseTypes: []string{},
	}
	if m.Partial {
		c.FunctionResponseTypes = []string{lambda.FunctionResponseTypeReportBatchItemFailures}
	}
	if len(m.Filters) > 0 {
		c.FilterCriteria = &lambda.FilterCriteria{}
		for i := range m.Filters {
			c.FilterCriteria.Filters = append(c.FilterCriteria.Filters, lambda.Filter{Pattern: &m.Filters[i]})
		}
	}
	if m.MaxConcurrency > 0 {
		c.ScalingConfig = &lambda.ScalingConfig{MaximumConcurrency: &m.MaxConcurrency}
	}
	if m.isQueue() {
		return c
	}
	c.StartingPosition, c.ParallelizationFactor = &m.Start, &m.Parallel
	c.MaximumRecordAgeInSeconds, c.MaximumRetryAttempts, c.BisectBatchOnFunctionError = &m.MaxAgeSeconds, &m.MaxRetries, &m.Bisect
	c.TumblingWindowInSeconds = &m.Tumbling
	c.DestinationConfig = &lambda.DestinationConfig{OnFailure: &lambda.OnFailure{}}
	if m.OnFailure != "" {
		c.DestinationConfig.OnFailure.Destination = &m.OnFailure
	}
	return c
}

// findMapping returns a mapping and the result of its last batch.
func findMapping(tx *store.Tx, uuid string) (mapping, string, error) {
	m, ok := mappings.Get(tx, store.K(uuid))
	if !ok {
		return m, "", lambda.ResourceNotFoundException("The resource you requested does not exist.")
	}
	result, ok := results.Get(tx, store.K(uuid))
	if !ok {
		result = noResult
	}
	return m, result, nil
}

// here is the tenant of a call, as a reference without a function.
func here(ctx context.Context) reference {
	c := aws.CallFrom(ctx)
	return reference{account: c.Account, region: c.Region}
}

// state is the mapping's state as the API shows it.
func (m *mapping) state() string {
	switch {
	case m.State != "":
		return m.State
	case m.Enabled:
		return stateEnabled
	}
	return stateDisabled
}

// steady is findMapping for a mapping that is to be changed, which nothing may be happening to.
func steady(tx *store.Tx, uuid, verb string) (mapping, string, error) {
	m, result, err := findMapping(tx, uuid)
	if err == nil && m.State != "" {
		err = lambda.ResourceInUseException("Cannot %s the event source mapping because it is in use.", verb)
	}
	return m, result, err
}

// GetEventSourceMapping describes a mapping.
func (s *Service) GetEventSourceMapping(ctx context.Context, in *lambda.GetEventSourceMappingInput) (out *lambda.GetEventSourceMappingOutput, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		m, result, err := findMapping(tx, in.UUID)
		if err == nil {
			out = m.describe(here(ctx), result)
		}
		return err
	})
	return out, err
}

// ListEventSourceMappings lists mappings, those of one function or source when asked to.
func (s *Service) ListEventSourceMappings(ctx context.Context, in *lambda.ListEventSourceMappingsInput) (*lambda.ListEventSourceMappingsOutput, error) {
	limit := int(in.GetMaxItems())
	if limit == 0 || limit > 100 {
		limit = 100
	}
	after, err := readMarker(in.GetMarker())
	if err != nil {
		return nil, err
	}
	var r reference
	if in.FunctionName != nil {
		if r, err = refer(ctx, *in.FunctionName, ""); err != nil {
			return nil, err
		}
	}
	out := &lambda.ListEventSourceMappingsOutput{EventSourceMappings: []lambda.EventSourceMappingConfiguration{}}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		for _, m := range mappings.Scan(tx, store.Range{After: after}) {
			if r.name != "" && m.Function != r.name || in.EventSourceArn != nil && *in.EventSourceArn != m.Source {
				continue
			}
			if len(out.EventSourceMappings) == limit {
				out.NextMarker = new(writeMarker(*out.EventSourceMappings[limit-1].UUID))
				break
			}
			_, result, err := findMapping(tx, m.UUID)
			if err != nil {
				return err
			}
			out.EventSourceMappings = append(out.EventSourceMappings, *m.describe(here(ctx), result))
		}
		return nil
	})
	return out, err
}

// UpdateEventSourceMapping changes what the request names.
func (s *Service) UpdateEventSourceMapping(ctx context.Context, in *lambda.UpdateEventSourceMappingInput) (out *lambda.UpdateEventSourceMappingOutput, err error) {
	if err := checkMappingExtras(in.ProvisionedPollerConfig, in.MetricsConfig, in.KMSKeyArn); err != nil {
		return nil, err
	}
	now, revision := s.world.Now(), s.world.Hex(8)
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		m, result, err := steady(tx, in.UUID, "update")
		if err != nil {
			return err
		}
		if in.FunctionName != nil {
			r, err := refer(ctx, *in.FunctionName, "")
			if err != nil {
				return err
			}
			if _, err := find(tx, r); err != nil {
				return err
			}
			m.Function, m.Qualifier = r.name, r.qualifier
		}
		err = m.change(mappingSettings{
			batch: in.BatchSize, window: in.MaximumBatchingWindowInSeconds, filters: in.FilterCriteria, destination: in.DestinationConfig,
			age: in.MaximumRecordAgeInSeconds, bisect: in.BisectBatchOnFunctionError, retries: in.MaximumRetryAttempts,
			parallel: in.ParallelizationFactor, tumbling: in.TumblingWindowInSeconds, responses: in.FunctionResponseTypes, scaling: in.ScalingConfig,
		})
		if err != nil {
			return err
		}
		m.State = stateUpdating
		if in.Enabled != nil && *in.Enabled != m.Enabled {
			m.Enabled, m.State = *in.Enabled, stateDisabling
			if m.Enabled {
				m.State = stateEnabling
			}
		}
		m.Modified, m.Revision = now, revision
		m.save(tx)
		out = m.describe(here(ctx), result)
		return nil
	})
	return out, err
}

// DeleteEventSourceMapping ends a mapping; it is gone when what it was doing is done.
func (s *Service) DeleteEventSourceMapping(ctx context.Context, in *lambda.DeleteEventSourceMappingInput) (out *lambda.DeleteEventSourceMappingOutput, err error) {
	revision := s.world.Hex(8)
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		m, result, err := steady(tx, in.UUID, "delete")
		if err != nil {
			return err
		}
		m.State, m.Revision = stateDeleting, revision
		m.save(tx)
		out = m.describe(here(ctx), result)
		return nil
	})
	return out, err
}
