// Package fogbank is an AWS-compatible cloud in one process.
//
// It serves the AWS APIs over HTTP:
//
//	cloud, err := fogbank.Open(fogbank.Config{})
//	server := httptest.NewServer(cloud) // clients: root key test/test
//	defer cloud.Close()
//
// This package is the one that may know everything; others keep away from it.
package fogbank

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"fogbank/aws"
	"fogbank/gate"
	"fogbank/parking"
	"fogbank/store"
	"fogbank/wire"
	"fogbank/world"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Cloud is a running cloud.
type Cloud struct {
	config    Config
	log       *slog.Logger
	world     *world.World
	db        *store.DB
	gate      *gate.Gate
	apis      []*wire.API
	services  services
	wellKnown atomic.Bool // whether the root key test/test exists
	hooks     hooks
	lot       atomic.Pointer[parking.Lot] // of the server in front; nil when there is none
	isolation atomic.Pointer[string]      // what Isolation says, once it is known
	close     func() error
	resetting sync.Mutex
}

// Open starts a cloud. It refuses a listener others can reach while the
// well-known root key exists, and a data directory that another process uses.
func Open(config Config) (*Cloud, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	c := &Cloud{config: config, log: config.Log, world: config.World}
	c.close = sync.OnceValue(c.shut)
	if err := c.open(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *Cloud) open() (err error) {
	o := store.Options{Dir: filepath.Join(c.config.Data, "store"), FS: c.config.FS, World: c.world, Log: c.log}
	if c.config.Data == "" && o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if c.config.Data != "" {
		// Packages, and whatever else is below, are the user's alone.
		if err := os.MkdirAll(c.config.Data, 0o700); err != nil {
			return err
		}
	}
	if c.db, err = store.Open(o); err != nil {
		return err
	}
	if err := c.build(); err != nil {
		return err
	}
	ctx := context.Background()
	if err := c.seedRoot(ctx); err != nil {
		return err
	}
	if err := c.services.start(); err != nil {
		return err
	}
	c.world.Go(func(context.Context) { c.isolation.Store(new(c.Isolation())) })
	if c.config.Data != "" {
		return c.serveAdmin(c.config.Data)
	}
	return nil
}

// seedRoot prepares the root key: the file's, else the one there is, else test/test for a loopback
// listener. Once test/test was replaced it never comes back, whatever the account.
func (c *Cloud) seedRoot(ctx context.Context) error {
	iam := c.services.iam
	if err := iam.Start(ctx); err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	if err := c.seedRootKey(ctx); err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	wellKnown, err := iam.HasTestKey(ctx)
	if err != nil {
		return err
	}
	c.wellKnown.Store(wellKnown)
	if wellKnown && !c.config.Loopback() {
		return fmt.Errorf("%s can be reached by others, and the root key is the well-known test/test: give -root-key-file with a key of your own", c.config.Listen)
	}
	return nil
}

func (c *Cloud) seedRootKey(ctx context.Context) error {
	iam, account := c.services.iam, c.config.Account
	if c.config.RootKeyFile != "" {
		id, secret, err := c.config.rootKey()
		if err != nil {
			return err
		}
		return iam.SeedRootKey(ctx, id, secret, account)
	}
	own, any, err := iam.RootKeys(ctx, account)
	if err != nil || own {
		return err
	}
	test, err := iam.HasTestKey(ctx)
	switch {
	case err != nil:
		return err
	case any && !test:
		return fmt.Errorf("account %s has none, and test/test was replaced for good: give -root-key-file", account)
	}
	return iam.SeedRootKey(ctx, wellKnownKey, wellKnownKey, account)
}

// wellKnownKey is the id and the secret of the root key that existing test suites use.
const wellKnownKey = "test"

// Isolation says how functions are kept apart from this machine and each other. Soon after Open it waits for that to
// be found out.
func (c *Cloud) Isolation() string { return c.services.runner.Isolation() }

// APIs lists the APIs there are, written or not.
func (c *Cloud) APIs() []*wire.API { return c.apis }

// Operation finds an operation by service and name, or nil.
func (c *Cloud) Operation(service, name string) *wire.Operation {
	for _, a := range c.apis {
		if a.Name != service {
			continue
		}
		if i := slices.IndexFunc(a.Operations, func(op *wire.Operation) bool { return op.Name == name }); i >= 0 {
			return a.Operations[i]
		}
	}
	return nil
}

// Do runs an operation in process on behalf of the principal of the call in ctx, policy included.
func (c *Cloud) Do(ctx context.Context, op *wire.Operation, in any) (any, error) {
	return c.gate.Embedded()(ctx, op, in)
}

// As returns an invoker for calls in process by a service principal.
func (c *Cloud) As(service string) wire.Invoker { return c.gate.As(service) }

// Reset deletes everything in an account, or everything there is when account is empty.
func (c *Cloud) Reset(ctx context.Context, account string) error {
	c.resetting.Lock()
	defer c.resetting.Unlock()
	if err := c.db.Clear(ctx, account); err != nil {
		return err
	}
	c.log.Warn("reset", "account", account)
	return c.seedRoot(ctx)
}

// Backup writes a consistent copy of all state to the new directory dir, which a server can be started on.
func (c *Cloud) Backup(dir string) error {
	if c.config.Data == "" {
		return errors.New("there is no data directory to back up")
	}
	return c.services.backup(c.db, c.config.Data, dir)
}

// Close stops background work and closes the store. What was acknowledged is on disk already.
func (c *Cloud) Close() error { return c.close() }

func (c *Cloud) shut() error {
	c.world.Stop()
	err := c.services.stop()
	if c.db == nil {
		return err
	}
	return errors.Join(err, c.db.Close())
}

// call returns a context for work of our own in the default account.
func (c *Cloud) call(ctx context.Context) context.Context {
	return aws.WithCall(ctx, &aws.Call{Account: c.config.Account, Region: c.config.Region, Endpoint: c.config.Endpoint()})
}
