package dynamodb

import (
	"context"
	"time"

	"fogbank/api/dynamodb"
	"fogbank/store"
	"fogbank/world"
)

// Service is DynamoDB. Streams gives the API of its streams.
type Service struct {
	dynamodb.Unimplemented
	db      *store.DB
	world   *world.World
	retain  int32 // longest recovery period in days; 0 for AWS's
	meters  meters
	ongoing ongoing
	// strains are shards that may have to be split; splitAfter is the constant, but for tests.
	strains       chan strain
	splitAfter    uint64
	maxCollection int64         // the constant, but for tests
	linger        time.Duration // how long tables stay CREATING, UPDATING and DELETING after the operation
}

var _ dynamodb.Service = (*Service)(nil)

// New returns the service on db.
func New(db *store.DB, w *world.World) *Service {
	return &Service{db: db, world: w, meters: meters{world: w}, strains: make(chan strain, 64), splitAfter: splitAfter, maxCollection: maxCollection}
}

// Start begins the background work: expiry of items, trimming and splitting of streams, filling of new indexes,
// removal of what deleted tables held.
func (s *Service) Start() {
	expiries.Run(s.db, s.sweep)
	trims.Run(s.db, s.trim)
	fills.Run(s.db, s.fill)
	purges.Run(s.db, s.purge)
	transitions.Run(s.db, s.endTransitions)
	tokenEnd.Run(s.db, s.forget)
	copying.Run(s.db, s.copyTable)
	forgets.Run(s.db, s.trimHistory)
	backupEnds.Run(s.db, s.endBackup)
	s.world.Go(s.divide)
}

// DescribeEndpoints returns the endpoint the client is using: there is no other to be discovered.
func (s *Service) DescribeEndpoints(ctx context.Context, _ *dynamodb.DescribeEndpointsInput) (*dynamodb.DescribeEndpointsOutput, error) {
	return &dynamodb.DescribeEndpointsOutput{Endpoints: []dynamodb.Endpoint{{Address: host(ctx), CachePeriodInMinutes: 1440}}}, nil
}

// DescribeLimits returns AWS's initial quotas. Nothing enforces them; tables are held to their own throughput.
func (s *Service) DescribeLimits(context.Context, *dynamodb.DescribeLimitsInput) (*dynamodb.DescribeLimitsOutput, error) {
	return &dynamodb.DescribeLimitsOutput{
		AccountMaxReadCapacityUnits: new(int64(80_000)), AccountMaxWriteCapacityUnits: new(int64(80_000)),
		TableMaxReadCapacityUnits: new(int64(40_000)), TableMaxWriteCapacityUnits: new(int64(40_000)),
	}, nil
}
