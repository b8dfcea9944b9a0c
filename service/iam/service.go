package iam

import (
	"context"
	"strings"
	"time"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
	"fogbank/store"
	"fogbank/world"
)

// Service answers the IAM API and knows, for the gate and sts, who holds which key and may do what.
type Service struct {
	iam.Unimplemented
	db      *store.DB
	world   *world.World
	options Options
	catalog map[string]*awsManaged // by ARN
}

var _ iam.Service = (*Service)(nil)

// Options say what Start prepares.
type Options struct {
	// Account is the account of the key named below; 000000000000 by default.
	Account string
	// RootKeyID and RootSecret become the only root key of Account, unless empty. As long as the
	// root key test with the secret test exists, every 12-digit key id is the root key of
	// that account, also with the secret test.
	RootKeyID, RootSecret string
}

// New returns the service over db. Call Start before the first request.
func New(db *store.DB, w *world.World, o Options) *Service {
	if o.Account == "" {
		o.Account = "000000000000"
	}
	s := &Service{db: db, world: w, options: o, catalog: newCatalog()}
	db.OnClear(s.cleared)
	return s
}

// cleared follows the removal of an account's rows, or of everything: keys of users who are gone
// go as well, and an empty store gets its seal and root key back.
func (s *Service) cleared(ctx context.Context, account string) error {
	if account == "" {
		return s.Start(ctx)
	}
	return s.db.Update(withAccount(ctx, account), func(tx *store.Tx) error {
		for id, k := range keys.All(tx, "") {
			if k.Account == account && k.UserID != "" {
				keys.Delete(tx, id)
			}
		}
		return nil
	})
}

// Start makes the key that seals session tokens, if there is none, and seeds the root key of the
// options.
func (s *Service) Start(ctx context.Context) error {
	ctx = withAccount(ctx, s.options.Account)
	fresh := make([]byte, credential.KeySize)
	s.world.Read(fresh)
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if !seals.Has(tx, sealKey) {
			seals.Put(tx, sealKey, seal{Key: fresh})
		}
		return nil
	})
	if err != nil || s.options.RootKeyID == "" {
		return err
	}
	return s.SeedRootKey(ctx, s.options.RootKeyID, s.options.RootSecret, s.options.Account)
}

// withAccount returns ctx with a call in the account, for work no request is behind.
func withAccount(ctx context.Context, account string) context.Context {
	return aws.WithCall(ctx, &aws.Call{Account: account})
}

// now is the time as IAM keeps it: whole seconds.
func (s *Service) now() time.Time { return s.world.Now().Truncate(time.Second) }

// base32Letters are the letters of unique ids and access key ids.
const base32Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// uniqueID returns a 21-character id with the prefix of its kind: AIDA, AGPA, AROA, ANPA.
func (s *Service) uniqueID(prefix string) string { return prefix + s.world.Text(17, base32Letters) }

// checkPolicy parses a document and checks it for its use.
func checkPolicy(text string, use policy.Use) (*policy.Document, error) {
	d, err := policy.Parse(text)
	if err == nil {
		err = d.Check(use)
	}
	if err != nil {
		return nil, iam.MalformedPolicyDocumentException("%s", err.Error())
	}
	return d, nil
}

// orSlash returns a path, "/" when none is given.
func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// fold makes names that IAM does not tell apart equal.
func fold(name string) string { return strings.ToLower(name) }
