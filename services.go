package fogbank

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"fogbank/api/apigatewayv2"
	apidynamodb "fogbank/api/dynamodb"
	"fogbank/api/dynamodbstreams"
	apievents "fogbank/api/events"
	apiiam "fogbank/api/iam"
	apilambda "fogbank/api/lambda"
	apilogs "fogbank/api/logs"
	apipipes "fogbank/api/pipes"
	apischeduler "fogbank/api/scheduler"
	apisns "fogbank/api/sns"
	apisqs "fogbank/api/sqs"
	apists "fogbank/api/sts"
	"fogbank/compute"
	"fogbank/egress"
	"fogbank/gate"
	"fogbank/service/apigateway"
	"fogbank/service/dynamodb"
	"fogbank/service/events"
	"fogbank/service/iam"
	"fogbank/service/lambda"
	"fogbank/service/logs"
	"fogbank/service/pipes"
	"fogbank/service/scheduler"
	"fogbank/service/sns"
	"fogbank/service/sqs"
	"fogbank/service/sts"
	"fogbank/store"
	"fogbank/wire"
)

// services are what the cloud keeps hold of besides the gate.
type services struct {
	iam    *iam.Service
	lambda *lambda.Service
	topics *sns.Service
	buses  *events.Service
	runner compute.Runner
	pool   *compute.Pool
	code   lambda.Code
	// supported says why a runtime cannot run here; nil: all can.
	supported func(runtime string) error
	hot       *compute.Hot
	unsafe    func() string // what is to be said of functions that are not isolated; nil: nothing
	starts    []func() error
	stops     []func() error
}

// APIs lists the APIs there are, written or not.
func APIs() []*wire.API {
	return []*wire.API{apigatewayv2.API, apidynamodb.API, dynamodbstreams.API, apievents.API, apiiam.API, apilambda.API, apilogs.API,
		apipipes.API, apischeduler.API, apisns.API, apisqs.API, apists.API}
}

// build is THE list: every service, made, wired and put behind the gate, top to bottom.
func (c *Cloud) build() error {
	s := &c.services
	s.iam = iam.New(c.db, c.world, iam.Options{Account: c.config.Account})
	c.buildGate()
	if err := c.buildCompute(); err != nil {
		return err
	}
	as := c.gate.As

	tables := c.buildTables()
	queues := sqs.New(c.db, c.world)
	groups := logs.New(c.db, c.world)
	network, closeNetwork, err := c.config.network()
	if err != nil {
		return err
	}
	s.stops = append(s.stops, closeNetwork)
	topics := sns.New(c.db, c.world, sns.Options{
		Log:        c.log,
		Queues:     apisqs.Client{Invoke: as("sns.amazonaws.com")},
		Functions:  apilambda.Client{Invoker: as("sns.amazonaws.com")},
		Roles:      apists.Client{Invoke: as("sns.amazonaws.com")},
		Logs:       apilogs.Client{Invoke: c.gate.InProcess()},
		Network:    network,
		SMSGateway: c.config.SMSGateway, PushGateway: c.config.PushGateway,
	})
	s.topics = topics
	buses := events.New(c.db, c.world, c.log, events.Clients{
		Queues:    apisqs.Client{Invoke: as("events.amazonaws.com")},
		Topics:    apisns.Client{Invoke: as("events.amazonaws.com")},
		Functions: apilambda.Client{Invoker: as("events.amazonaws.com")},
		Logs:      apilogs.Client{Invoke: as("events.amazonaws.com")},
		APIs:      inside{c.gate},
		Roles:     apists.Client{Invoke: as("events.amazonaws.com")},
		Network:   network,
		AsRole:    c.gate.InProcess(), Permit: c.gate.Permit,
	})
	s.buses = buses
	s.lambda = lambda.New(c.db, c.world, lambda.Options{Code: s.code, Pool: s.pool, Service: as("lambda.amazonaws.com"), Role: c.gate.InProcess(),
		Endpoint: c.config.FunctionEndpoint, Supported: s.supported, Unsafe: s.unsafe, Hot: s.hot, Log: c.log})
	tubes := pipes.New(c.db, c.world, pipes.Options{Service: as("pipes.amazonaws.com"), Role: c.gate.InProcess(), Delivery: as("delivery.logs.amazonaws.com"), APIs: buses, Endpoint: c.config.Endpoint(), Log: c.log})
	schedules := scheduler.New(c.db, c.world, scheduler.Options{APIs: APIs(), Service: as("scheduler.amazonaws.com"), Role: c.gate.InProcess(), Endpoint: c.config.Endpoint(), Log: c.log})
	apis := apigateway.New(c.db, c.world, apilambda.Client{Invoker: as("apigateway.amazonaws.com")})

	c.mount(apiiam.API, s.iam)
	c.mount(apists.API, sts.New(c.world, s.iam))
	c.mount(apidynamodb.API, tables)
	c.mount(dynamodbstreams.API, tables.Streams())
	c.mount(apisqs.API, queues)
	c.mount(apisns.API, topics)
	c.mount(apievents.API, buses)
	c.mount(apilogs.API, groups)
	c.mount(apilambda.API, s.lambda)
	c.mount(apigatewayv2.API, apis)
	c.mount(apipipes.API, tubes)
	c.mount(apischeduler.API, schedules)
	c.gate.Data(apis.Match, apis)
	c.gate.Data(func(_, path string) bool { return sns.IsCertificate(path) }, http.HandlerFunc(c.serveCertificate))
	c.gate.Data(func(_, path string) bool { return strings.HasPrefix(path, lambda.DownloadPath) }, http.HandlerFunc(c.serveDownload))
	c.gate.Data(isFunctionURL, http.HandlerFunc(c.serveFunctionURL))

	s.onStart(queues.Start, topics.Start, buses.Start, schedules.Start, groups.Start, tables.Start, tubes.Start)
	s.starts = append(s.starts, s.lambda.Start)
	return nil
}

// buildTables makes DynamoDB as the configuration has it.
func (c *Cloud) buildTables() *dynamodb.Service {
	tables := dynamodb.New(c.db, c.world)
	tables.Retain(c.config.recoveryDays())
	tables.Linger(c.config.transitions())
	if c.config.Throughput == throughputUnlimited {
		tables.Unlimited()
	}
	if c.config.Conflicts == conflictsWait {
		tables.Wait()
	}
	return tables
}

// buildGate makes the gate, with nothing behind it.
func (c *Cloud) buildGate() {
	o := gate.Options{World: c.world, Log: c.log, Directory: c.services.iam, Account: c.config.Account, Region: c.config.Region, Endpoint: c.config.Endpoint()}
	if c.config.Audit == "on" {
		o.Audit = c.audit
	}
	c.gate = gate.New(o)
}

func (c *Cloud) mount(api *wire.API, impl gate.Service) {
	c.gate.Mount(api, impl)
	c.apis = append(c.apis, api)
}

// buildCompute prepares where code is kept and what runs it.
func (c *Cloud) buildCompute() error {
	s := &c.services
	var err error
	if s.hot, err = compute.NewHot(c.config.HotReload, c.config.Data); err != nil {
		return fmt.Errorf("hot-reload: %w", err)
	}
	s.runner = c.config.Functions
	if s.runner != nil {
		s.code = new(compute.MemoryCode)
	} else if err := c.buildProcess(); err != nil {
		return err
	}
	s.pool = compute.NewPool(compute.PoolOptions{World: c.world, Runner: s.runner, Log: c.log})
	s.stops = append([]func() error{func() error { s.pool.Close(); return nil }}, s.stops...)
	return nil
}

// buildProcess makes functions run as processes of this machine.
func (c *Cloud) buildProcess() error {
	s, dir := &c.services, c.config.Data
	if dir == "" {
		scratch, err := os.MkdirTemp("", "fogbank-")
		if err != nil {
			return err
		}
		s.stops = append(s.stops, func() error { return os.RemoveAll(scratch) })
		dir = scratch
	}
	code, err := compute.OpenCode(filepath.Join(dir, "code"))
	if err != nil {
		return err
	}
	o := compute.ProcessOptions{World: c.world, Code: code, Dir: filepath.Join(dir, "run"), Log: c.log, Unsafe: c.config.UnsafeFunctions}
	if network := c.config.FunctionNetwork; network != "none" {
		guard, err := egress.NewGuard(strings.TrimPrefix(network, "public"), false)
		if err != nil {
			return fmt.Errorf("function-network: %w", err)
		}
		o.Outbound = guard.Check
	}
	p, err := compute.NewProcess(o)
	if err != nil {
		return err
	}
	s.code, s.runner, s.supported, s.unsafe = code, p, p.Supported, p.Unsafe
	s.stops = append([]func() error{func() error { p.Close(); return nil }}, s.stops...)
	return nil
}

func (s *services) onStart(list ...func()) {
	for _, f := range list {
		s.starts = append(s.starts, func() error { f(); return nil })
	}
}

// start begins all background work.
func (s *services) start() error {
	for _, f := range s.starts {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// stop ends what the world's end does not.
func (s *services) stop() error {
	var all error
	for _, f := range s.stops {
		all = errors.Join(all, f())
	}
	return all
}

// serveDownload serves deployment packages at the URLs GetFunction gives out.
func (c *Cloud) serveDownload(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	zip, err := c.services.lambda.Download(c.call(r.Context()), r.URL.Path, q.Get("expires"), q.Get("signature"))
	if err != nil {
		http.Error(w, "the URL has expired or is not one of ours", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	if _, err := io.Copy(w, strings.NewReader(string(zip))); err != nil {
		return // the client went away
	}
}

// serveCertificate serves the certificates that SNS's messages name.
func (c *Cloud) serveCertificate(w http.ResponseWriter, r *http.Request) {
	pem, found, err := c.services.topics.Certificate(c.call(r.Context()), r.URL.Path)
	switch {
	case err != nil:
		http.Error(w, "the certificate could not be read", http.StatusInternalServerError)
		return
	case !found:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	if _, err := w.Write(pem); err != nil {
		return // the client went away
	}
}

// backup copies the store, then the packages: every package a row names was there before the row.
func (s *services) backup(db *store.DB, data, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := db.Checkpoint(filepath.Join(dir, "store")); err != nil {
		return err
	}
	packages := filepath.Join("code", "packages")
	if err := os.MkdirAll(filepath.Join(dir, packages), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, packages), os.DirFS(filepath.Join(data, packages))); err != nil {
		return err
	}
	return syncTree(dir)
}

// syncTree makes everything below dir durable: a backup that was reported written is on disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
