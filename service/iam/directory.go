package iam

import (
	"context"
	"crypto/subtle"
	"errors"
	"iter"
	"strings"
	"time"

	"fogbank/aws"
	"fogbank/credential"
	"fogbank/policy"
	"fogbank/store"
)

// seal is the key session tokens are sealed with.
type seal struct{ Key []byte }

var seals = store.NewTable[seal]("iam/seal", store.Global)

var sealKey = store.K("session")

// holder is what a request's principal needs of a user or role, computed once per change.
type holder struct {
	entity
	arn      aws.ARN
	tags     map[string]string
	trust    *policy.Document // of a role
	sessions string           // of a role: what its sessions' ARNs begin with
}

// What requests need, kept until the rows change, so that a request reads and parses nothing twice.
var (
	keyCache = store.Derive(keys, newKeyFacts)
	sealers  = store.Derive(seals, func(_ store.Key, v seal) (*credential.Sealer, error) { return credential.NewSealer(v.Key) })
	byID     = store.Derive(entities, newHolder)
	// managedDocs are the parsed default versions of customer managed policies.
	managedDocs = store.Derive(policies, func(_ store.Key, p managed) (*policy.Document, error) {
		return parseNamed(p.arn(), p.Document)
	})
	inlineDocs = store.DeriveAll(inlines, func(_ store.Key, rows iter.Seq2[store.Key, inline]) (docs []*policy.Document, err error) {
		for _, p := range rows {
			d, err := parseNamed(p.Name, p.Document)
			if err != nil {
				return nil, err
			}
			docs = append(docs, d)
		}
		return docs, nil
	})
	attachedARNs = store.DeriveAll(attachments, func(_ store.Key, rows iter.Seq2[store.Key, string]) (arns []string, err error) {
		for _, arn := range rows {
			arns = append(arns, arn)
		}
		return arns, nil
	})
	groupsOf = store.DeriveAll(memberships, func(_ store.Key, rows iter.Seq2[store.Key, mark]) (ids []string, err error) {
		for k := range rows {
			var user, group string
			if err := k.Parse(&user, &group); err != nil {
				return nil, err
			}
			ids = append(ids, group)
		}
		return ids, nil
	})
)

// keyFacts are an access key and, when it is a root key, who that makes the caller.
type keyFacts struct {
	accessKey
	root aws.Principal
}

func newKeyFacts(key store.Key, k accessKey) (*keyFacts, error) {
	var id string
	if err := key.Parse(&id); err != nil {
		return nil, err
	}
	return &keyFacts{k, rootOf(k.Account, id)}, nil
}

func parseNamed(name, text string) (*policy.Document, error) {
	d, err := policy.Parse(text)
	if err == nil {
		d.Name = name
	}
	return d, err
}

func newHolder(_ store.Key, e entity) (*holder, error) {
	h := &holder{entity: e, arn: e.arn()}
	if len(e.Tags) > 0 {
		h.tags = make(map[string]string, len(e.Tags))
		for _, t := range e.Tags {
			h.tags[t.Key] = t.Value
		}
	}
	var err error
	if e.Kind == roleKind {
		h.sessions = "arn:aws:sts::" + e.Account + ":assumed-role/" + e.Name + "/"
		h.trust, err = parseNamed(string(h.arn), e.Trust)
	}
	return h, err
}

// SeedRootKey makes keyID the only root key of an account, and ends the key that test suites use
// wherever it is: one of another account's would still make everybody root who knows it. It
// fails when a user has that key id.
func (s *Service) SeedRootKey(ctx context.Context, keyID, secret, account string) error {
	k := accessKey{Account: account, Secret: secret, Created: s.now()}
	return s.db.Update(withAccount(ctx, account), func(tx *store.Tx) error {
		if old, ok := keys.Get(tx, store.K(keyID)); ok && old.UserID != "" {
			return errors.New("iam: the root key's id is that of a user's access key")
		}
		for key, old := range keys.All(tx, "") {
			if old.UserID == "" && (old.Account == account || key == store.K(testKey)) {
				keys.Delete(tx, key)
			}
		}
		keys.Put(tx, store.K(keyID), k)
		return nil
	})
}

// testKey is the id and the secret of the root key that test suites use.
const testKey = "test"

// HasTestKey reports whether the root key test exists, so that everybody is root who can reach us.
func (s *Service) HasTestKey(ctx context.Context) (has bool, err error) {
	err = s.db.View(withAccount(ctx, s.options.Account), func(tx *store.Tx) error {
		has, err = testKeyExists(tx)
		return err
	})
	return has, err
}

func testKeyExists(tx *store.Tx) (bool, error) {
	k, ok, err := keyCache.Get(tx, store.K(testKey))
	return ok && err == nil && k.UserID == "" && subtle.ConstantTimeCompare([]byte(k.Secret), []byte(testKey)) == 1, err
}

// Credential finds what an access key id stands for in any account. Temporary ones are opened with the
// session token in ctx; without the right token they do not exist.
func (s *Service) Credential(ctx context.Context, keyID string) (c credential.Credential, ok bool, err error) {
	if _, called := aws.LookupCall(ctx); !called {
		ctx = withAccount(ctx, s.options.Account)
	}
	err = s.db.Glance(ctx, func(tx *store.Tx) error {
		c, ok = credential.Credential{}, false
		if strings.HasPrefix(keyID, "ASIA") {
			c, ok, err = s.temporary(tx, keyID, credential.TokenFrom(ctx))
			return err
		}
		k, found, err := keyCache.Get(tx, store.K(keyID))
		switch {
		case err != nil:
			return err
		case found && k.UserID == "":
			c, ok = credential.Credential{Secret: k.Secret, Principal: k.root, Active: true}, true
		case found:
			c, ok, err = userCredential(tx, keyID, &k.accessKey)
		case isAccount(keyID):
			if ok, err = testKeyExists(tx); ok {
				c = credential.Credential{Secret: testKey, Principal: rootOf(keyID, keyID), Active: true}
			}
		}
		return err
	})
	return c, ok, err
}

func isAccount(id string) bool { return len(id) == 12 && strings.Trim(id, "0123456789") == "" }

func rootOf(account, keyID string) aws.Principal {
	return aws.Principal{Kind: aws.Root, Account: account, ARN: rootARN(account), UserID: account, Key: keyID}
}

func rootARN(account string) aws.ARN { return aws.ARN("arn:aws:iam::" + account + ":root") }

// userCredential is a user's long-term key; it is gone with the user.
func userCredential(tx *store.Tx, keyID string, k *accessKey) (c credential.Credential, ok bool, err error) {
	h, ok, err := byID.Get(tx.In(k.Account, ""), store.K(k.UserID))
	if !ok || err != nil {
		return c, false, err
	}
	c = credential.Credential{Secret: k.Secret, Principal: h.principal(keyID), Active: !k.Inactive}
	return c, true, nil
}

// principal is the holder, a user, as a caller.
func (h *holder) principal(keyID string) aws.Principal {
	return aws.Principal{Kind: aws.User, Account: h.Account, ARN: h.arn, UserID: h.ID, Key: keyID, Tags: h.tags}
}

// temporary opens a session token and checks that the role or user behind it is still the same.
func (s *Service) temporary(tx *store.Tx, keyID, token string) (c credential.Credential, ok bool, err error) {
	sealer, ok, err := sealers.Get(tx, sealKey)
	if !ok || err != nil || token == "" {
		return c, false, err
	}
	x, secret, err := sealer.Open(keyID, token)
	if errors.Is(err, credential.ErrToken) {
		return c, false, nil
	}
	c = credential.Credential{Secret: secret, Token: token, Expires: x.Expires, Active: true}
	tx = tx.In(x.Account, "")
	h := &holder{arn: rootARN(x.Account)}
	if x.ID != x.Account {
		if h, ok, err = byID.Get(tx, store.K(x.ID)); !ok || err != nil {
			return c, false, err
		}
	}
	switch {
	case x.Kind == aws.AssumedRole:
		c.Principal = h.session(keyID, &x)
	case x.Kind == aws.FederatedUser:
		c.Principal = h.federated(keyID, &x)
	case x.ID == x.Account:
		c.Principal = rootOf(x.Account, keyID)
	default:
		c.Principal = h.principal(keyID)
	}
	if x.Policy != "" || len(x.PolicyARNs) > 0 {
		c.Principal.SessionPolicies = s.sessionPolicies(tx, &x)
	}
	return c, true, nil
}

// session is a session of the holder, a role. Session tags come before the role's own.
func (h *holder) session(keyID string, x *credential.Session) aws.Principal {
	p := aws.Principal{Kind: aws.AssumedRole, Account: x.Account, ARN: aws.ARN(h.sessions + x.Name), Role: h.arn,
		UserID: x.ID + ":" + x.Name, Key: keyID, Tags: h.tags}
	if len(x.Tags) > 0 {
		p.Tags = make(map[string]string, len(h.tags)+len(x.Tags))
		for k, v := range h.tags {
			p.Tags[strings.ToLower(k)] = v // keys ignore case
		}
		for k, v := range x.Tags {
			p.Tags[strings.ToLower(k)] = v
		}
	}
	return p
}

// federated is a federated user the holder, a user or root, asked a token for. Role keeps the holder:
// resource policies that name him grant to the session as far as its policies allow.
func (h *holder) federated(keyID string, x *credential.Session) aws.Principal {
	return aws.Principal{Kind: aws.FederatedUser, Account: x.Account, ARN: aws.ARN("arn:aws:sts::" + x.Account + ":federated-user/" + x.Name),
		Role: h.arn, UserID: x.Account + ":" + x.Name, Key: keyID, Tags: x.Tags}
}

// nothing is a policy that allows nothing; it stands for a session policy deleted since.
const nothing = `{"Version":"2012-10-17","Statement":[]}`

// sessionPolicies returns the texts of the policies a session is narrowed by.
func (s *Service) sessionPolicies(tx *store.Tx, x *credential.Session) []string {
	texts := make([]string, 0, 1+len(x.PolicyARNs))
	if x.Policy != "" {
		texts = append(texts, x.Policy)
	}
	for _, arn := range x.PolicyARNs {
		if a := s.catalog[arn]; a != nil {
			texts = append(texts, a.document)
			continue
		}
		text := nothing
		if p, ok := customerManaged(tx, arn); ok {
			text = p.Document
		}
		texts = append(texts, text)
	}
	return texts
}

// Identity returns the policies of a user, a role session or a federated user, and the boundary. Who is
// not there any more has none.
func (s *Service) Identity(ctx context.Context, p aws.Principal) (id policy.Identity, err error) {
	if _, called := aws.LookupCall(ctx); !called {
		ctx = withAccount(ctx, s.options.Account)
	}
	err = s.db.Glance(ctx, func(tx *store.Tx) error {
		tx, id = tx.In(p.Account, ""), policy.Identity{}
		switch p.Kind {
		case aws.User:
			id, err = s.identity(tx, holderID(tx, userKind, p.UserID, p.ARN))
		case aws.AssumedRole:
			role, _, _ := strings.Cut(p.UserID, ":")
			id, err = s.identity(tx, holderID(tx, roleKind, role, p.Role))
		case aws.FederatedUser:
			id, err = s.federated(tx, &p)
		}
		switch temporary := strings.HasPrefix(p.Key, "ASIA"); {
		case temporary && p.Kind == aws.User:
			id.Policies = append(id.Policies, sessionLimits)
		case temporary && p.Kind == aws.FederatedUser:
			id.Policies = append(id.Policies, federatedLimits)
		}
		return err
	})
	return id, err
}

// uniqueIDLength is the length of every AIDA…, AROA… and the like.
const uniqueIDLength = 21

// holderID returns the unique id of a principal. One made in process may not have any and goes by name.
func holderID(tx *store.Tx, k kind, id string, arn aws.ARN) string {
	if len(id) != uniqueIDLength {
		id, _ = names.Get(tx, nameKey(k, arn.Name()))
	}
	return id
}

// What credentials of GetSessionToken and GetFederationToken can never do.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
var (
	sessionLimits   = builtin("GetSessionToken", `{"Effect":"Deny","Action":["iam:*","sts:GetFederationToken","sts:GetSessionToken"],"Resource":"*"}`)
	federatedLimits = builtin("GetFederationToken", `{"Effect":"Deny","Action":["iam:*","sts:*"],"Resource":"*"}`)
)

// builtin parses a policy of our own.
func builtin(name, statements string) *policy.Document {
	d, err := parseNamed(name, `{"Version":"2012-10-17","Statement":[`+statements+`]}`)
	if err != nil {
		panic("iam: " + name + ": " + err.Error())
	}
	return d
}

// federated returns the policies of who asked for the federation token.
func (s *Service) federated(tx *store.Tx, p *aws.Principal) (policy.Identity, error) {
	if p.Role == rootARN(p.Account) {
		return policy.Identity{Policies: []*policy.Document{s.catalog[administratorAccess].parsed}}, nil
	}
	return s.identity(tx, holderID(tx, userKind, "", p.Role))
}

// identity collects the policies of a user or role by unique id.
func (s *Service) identity(tx *store.Tx, id string) (policy.Identity, error) {
	var out policy.Identity
	key := store.K(id)
	h, ok, err := byID.Get(tx, key)
	if !ok || err != nil {
		return out, err
	}
	if out.Policies, err = s.collect(tx, nil, key); err != nil {
		return out, err
	}
	if h.Kind == userKind {
		groups, err := groupsOf.Get(tx, key)
		if err != nil {
			return out, err
		}
		for _, g := range groups {
			if out.Policies, err = s.collect(tx, out.Policies, store.K(g)); err != nil {
				return out, err
			}
		}
	}
	if h.Boundary != "" {
		out.Boundary = []*policy.Document{}
		d, err := s.document(tx, h.Boundary)
		if err != nil {
			return out, err
		}
		if d != nil {
			out.Boundary = append(out.Boundary, d)
		}
	}
	return out, nil
}

// collect appends the inline and attached policies of an owner.
func (s *Service) collect(tx *store.Tx, docs []*policy.Document, owner store.Key) ([]*policy.Document, error) {
	own, err := inlineDocs.Get(tx, owner)
	if err != nil {
		return nil, err
	}
	arns, err := attachedARNs.Get(tx, owner)
	if err != nil {
		return nil, err
	}
	if docs == nil {
		docs = make([]*policy.Document, 0, len(own)+len(arns)+1)
	}
	docs = append(docs, own...)
	for _, arn := range arns {
		d, err := s.document(tx, arn)
		if err != nil {
			return nil, err
		}
		if d != nil {
			docs = append(docs, d)
		}
	}
	return docs, nil
}

// document returns the default version of a managed policy, nil when there is none.
func (s *Service) document(tx *store.Tx, arn string) (*policy.Document, error) {
	if a := s.catalog[arn]; a != nil {
		return a.parsed, nil
	}
	d, ok, err := managedDocs.Get(tx, store.K(fold(aws.ARN(arn).Name())))
	if !ok || err != nil || d.Name != arn {
		return nil, err
	}
	return d, nil
}

// roleOf returns the role of an ARN, nil when there is none.
func roleOf(tx *store.Tx, arn aws.ARN) (*holder, error) {
	p, ok := arn.Parse()
	if !ok || p.Service != "iam" || !strings.HasPrefix(p.Resource, "role/") || !isAccount(p.Account) {
		return nil, nil
	}
	tx = tx.In(p.Account, "")
	id, ok := names.Get(tx, nameKey(roleKind, arn.Name()))
	if !ok {
		return nil, nil
	}
	h, ok, err := byID.Get(tx, store.K(id))
	if !ok || err != nil || h.arn != arn {
		return nil, err
	}
	return h, nil
}

// TrustPolicy returns a role's trust policy, nil when there is no such role.
func (s *Service) TrustPolicy(ctx context.Context, role aws.ARN) (d *policy.Document, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		h, err := roleOf(tx, role)
		if h != nil {
			d = h.trust
		}
		return err
	})
	return d, err
}

// Role returns what sts needs of a role; ok is false when there is no such role.
func (s *Service) Role(ctx context.Context, arn aws.ARN) (r credential.Role, ok bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		h, err := roleOf(tx, arn)
		if h != nil {
			r, ok = credential.Role{ARN: h.arn, ID: h.ID, MaxSession: time.Duration(h.MaxSession) * time.Second}, true
		}
		return err
	})
	return r, ok, err
}

// ManagedPolicy reports whether arn names a managed policy of the account in ctx or of AWS.
func (s *Service) ManagedPolicy(ctx context.Context, arn string) (ok bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		ok = s.exists(tx, arn)
		return nil
	})
	return ok, err
}

// KeyAccount returns the account a long-term access key belongs to.
func (s *Service) KeyAccount(ctx context.Context, keyID string) (account string, ok bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		k, found, err := keyCache.Get(tx, store.K(keyID))
		if err == nil && found {
			account, ok = k.Account, true
		}
		if err == nil && !found && isAccount(keyID) {
			account = keyID
			ok, err = testKeyExists(tx)
		}
		return err
	})
	return account, ok, err
}

// Issue seals a session into temporary credentials; nothing is stored. The error is
// credential.ErrTooLarge when its policies and tags do not fit.
func (s *Service) Issue(ctx context.Context, x *credential.Session) (c credential.Temporary, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		sealer, ok, err := sealers.Get(tx, sealKey)
		if err == nil && !ok {
			err = errors.New("iam: there is no key to seal session tokens with; Start makes it")
		}
		if err == nil {
			c, err = sealer.Seal(s.world, x)
		}
		return err
	})
	return c, err
}
