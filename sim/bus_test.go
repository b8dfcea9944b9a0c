package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fogbank"
	"fogbank/api/events"
	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestBuses plays seeded histories in which events go from a bus of one account to one of another and on to a host
// outside, which fails before and after it took them, while the power is cut: what was acknowledged arrives.
func TestBuses(t *testing.T) {
	arrived, again, cuts := 0, 0, 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			h := &busHistory{t: t, chance: rand.New(rand.NewPCG(seed, 1)), faults: rand.New(rand.NewPCG(seed, 2)), disk: vfs.NewCrashableMem(), flaky: true,
				acked: map[int]bool{}, seen: map[int]int{}}
			h.play(seed)
			for n := range h.acked {
				if h.seen[n] == 0 {
					t.Errorf("seed %d: event %d was acknowledged and never arrived", seed, n)
				}
			}
			for _, n := range h.seen {
				arrived, again = arrived+1, again+n-1
			}
			cuts += h.epoch
		})
	}
	if arrived == 0 || again == 0 || cuts == 0 {
		t.Errorf("%d events arrived, %d again, %d cuts: nothing was shown", arrived, again, cuts)
	}
}

// busHistory is one run.
type busHistory struct {
	t      *testing.T
	chance *rand.Rand
	disk   *vfs.MemFS
	cloud  *fogbank.Cloud

	mu     sync.Mutex
	faults *rand.Rand
	flaky  bool
	epoch  int
	acked  map[int]bool
	seen   map[int]int
}

// Where the events go.
const (
	farAccount = "111111111111"
	farRegion  = "eu-west-1"
	farBus     = "arn:aws:events:eu-west-1:111111111111:event-bus/far"
	busRole    = "arn:aws:iam::000000000000:role/sender"
	farRole    = "arn:aws:iam::111111111111:role/sender"
)

func (h *busHistory) play(seed uint64) {
	h.open(seed)
	h.deploy()
	for step := range 30 {
		switch h.chance.IntN(8) {
		case 0:
			h.powerCut(seed*1000 + uint64(step))
		case 1:
			time.Sleep(time.Duration(h.chance.IntN(5000)) * time.Millisecond)
		default:
			h.put(step)
		}
	}
	h.mu.Lock()
	h.flaky = false
	h.mu.Unlock()
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	if err := h.cloud.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *busHistory) open(seed uint64) {
	cloud, err := fogbank.Open(fogbank.Config{FS: h.disk, World: world.Seeded(seed), Log: slog.New(slog.DiscardHandler), Network: &egress.Memory{Respond: h.take}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.cloud = cloud
}

// powerCut replaces the disk by what a power cut at this moment leaves of it, and starts again.
func (h *busHistory) powerCut(seed uint64) {
	h.mu.Lock()
	disk := h.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: h.chance.IntN(101), RNG: rand.New(rand.NewPCG(seed, 3))})
	h.epoch++
	h.mu.Unlock()
	if err := h.cloud.Close(); err != nil {
		h.t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	h.disk = disk
	h.open(seed)
}

// take is the host outside.
func (h *busHistory) take(_ context.Context, r *egress.Request) (*egress.Answer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flaky && h.faults.IntN(4) == 0 {
		return nil, errors.New("lost on the way there")
	}
	var n int
	if err := json.Unmarshal(r.Body, &n); err != nil {
		h.t.Errorf("the host was sent %s", r.Body)
	}
	h.seen[n]++
	if h.flaky && h.faults.IntN(4) == 0 {
		return &egress.Answer{Status: 503}, nil
	}
	return &egress.Answer{Status: 200}, nil
}

func (h *busHistory) context(account, region string) context.Context {
	return aws.WithCall(context.Background(), &aws.Call{Account: account, Region: region, Endpoint: "http://fogbank",
		Principal: aws.Principal{Kind: aws.Root, Account: account, ARN: aws.MakeARN("iam", "", account, "root")}})
}

// put puts an event, whose cut may come before the answer.
func (h *busHistory) put(n int) {
	cloud, epoch, done := h.cloud, h.epoch, make(chan struct{})
	go func() {
		defer close(done)
		out, err := events.Client{Invoke: cloud.Do}.PutEvents(h.context(fogbank.DefaultAccount, fogbank.DefaultRegion), &events.PutEventsInput{
			Entries: []events.PutEventsRequestEntry{{Source: new("shop"), DetailType: new("d"), Detail: new(fmt.Sprintf(`{"n":%d}`, n))}}})
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil && *out.FailedEntryCount == 0 && h.epoch == epoch {
			h.acked[n] = true
		}
	}()
	if h.chance.IntN(3) > 0 {
		<-done
	}
}

// deploy makes two buses, the rules that forward, and the roles that may.
func (h *busHistory) deploy() {
	must := func(_ any, err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	near, far := h.context(fogbank.DefaultAccount, fogbank.DefaultRegion), h.context(farAccount, farRegion)
	identity, bus := iam.Client{Invoke: h.cloud.Do}, events.Client{Invoke: h.cloud.Do}
	for _, ctx := range []context.Context{near, far} {
		must(identity.CreateRole(ctx, &iam.CreateRoleInput{RoleName: "sender",
			AssumeRolePolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}))
		must(identity.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: "sender", PolicyName: "p",
			PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["events:PutEvents","events:InvokeApiDestination"],"Resource":"*"}]}`}))
	}
	must(bus.CreateEventBus(far, &events.CreateEventBusInput{Name: "far"}))
	must(bus.PutPermission(far, &events.PutPermissionInput{EventBusName: new("far"), Action: new("events:PutEvents"), Principal: new(fogbank.DefaultAccount), StatementId: new("in")}))
	c, err := bus.CreateConnection(far, &events.CreateConnectionInput{Name: "c", AuthorizationType: "API_KEY", AuthParameters: events.CreateConnectionAuthRequestParameters{
		ApiKeyAuthParameters: &events.CreateConnectionApiKeyAuthRequestParameters{ApiKeyName: "k", ApiKeyValue: "v"}}})
	must(c, err)
	d, err := bus.CreateApiDestination(far, &events.CreateApiDestinationInput{Name: "d", ConnectionArn: *c.ConnectionArn, InvocationEndpoint: "https://there.example.com/", HttpMethod: "POST"})
	must(d, err)
	must(bus.PutRule(far, &events.PutRuleInput{Name: "r", EventBusName: new("far"), EventPattern: new(`{"source":["shop"]}`)}))
	must(bus.PutTargets(far, &events.PutTargetsInput{Rule: "r", EventBusName: new("far"), Targets: []events.Target{{Id: "1", Arn: *d.ApiDestinationArn, RoleArn: new(farRole), InputPath: new("$.detail.n")}}}))
	must(bus.PutRule(near, &events.PutRuleInput{Name: "r", EventPattern: new(`{"source":["shop"]}`)}))
	must(bus.PutTargets(near, &events.PutTargetsInput{Rule: "r", Targets: []events.Target{{Id: "1", Arn: farBus, RoleArn: new(busRole)}}}))
}
