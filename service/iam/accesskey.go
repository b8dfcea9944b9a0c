package iam

import (
	"context"
	"encoding/base64"
	"time"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
)

// maxAccessKeys is how many access keys a user may have, active or not.
const maxAccessKeys = 2

// accessKey is a long-term key. The secret is kept as it is, since checking a signature takes
// the secret itself; it never leaves the store but in the answer of CreateAccessKey.
type accessKey struct {
	Account  string
	UserID   string `json:",omitempty"` // empty for a root key
	Secret   string
	Inactive bool `json:",omitempty"`
	Created  time.Time
}

var (
	keys     = store.NewTable[accessKey]("iam/key", store.Global)  // access key id
	userKeys = store.NewTable[mark]("iam/user-key", store.Account) // user id, access key id
)

func (k *accessKey) status() string {
	if k.Inactive {
		return "Inactive"
	}
	return "Active"
}

// CreateAccessKey makes a key for a user, the caller by default. Only this answer has the secret.
func (s *Service) CreateAccessKey(ctx context.Context, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	id := "AKIA" + s.world.Text(16, base32Letters)
	var secret [30]byte
	s.world.Read(secret[:])
	k := accessKey{Account: aws.CallFrom(ctx).Account, Secret: base64.StdEncoding.EncodeToString(secret[:]), Created: s.now()}
	var out iam.CreateAccessKeyOutput
	return &out, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, name)
		if err != nil {
			return err
		}
		if size(tx, userKeys, store.K(e.ID)) >= maxAccessKeys {
			return iam.LimitExceededException("Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
		}
		k.UserID = e.ID
		keys.Put(tx, store.K(id), k)
		userKeys.Put(tx, store.K(e.ID, id), mark{})
		out.AccessKey = iam.AccessKey{UserName: e.Name, AccessKeyId: id, Status: k.status(), SecretAccessKey: k.Secret, CreateDate: &k.Created}
		return nil
	})
}

// ownKey returns a key of the user.
func ownKey(tx *store.Tx, e *entity, id string) (accessKey, error) {
	k, ok := keys.Get(tx, store.K(id))
	if !ok || k.UserID != e.ID {
		return k, iam.NoSuchEntityException("The Access Key with id %s cannot be found", id)
	}
	return k, nil
}

// UpdateAccessKey makes a key active or inactive.
func (s *Service) UpdateAccessKey(ctx context.Context, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.UpdateAccessKeyOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, name)
		if err != nil {
			return err
		}
		k, err := ownKey(tx, &e, in.AccessKeyId)
		if err != nil {
			return err
		}
		k.Inactive = in.Status == "Inactive"
		keys.Put(tx, store.K(in.AccessKeyId), k)
		return nil
	})
}

// DeleteAccessKey removes a key; it stops working at once.
func (s *Service) DeleteAccessKey(ctx context.Context, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.DeleteAccessKeyOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, name)
		if err != nil {
			return err
		}
		if _, err := ownKey(tx, &e, in.AccessKeyId); err != nil {
			return err
		}
		keys.Delete(tx, store.K(in.AccessKeyId))
		userKeys.Delete(tx, store.K(e.ID, in.AccessKeyId))
		return nil
	})
}

// ListAccessKeys lists a user's keys, the caller's by default.
func (s *Service) ListAccessKeys(ctx context.Context, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	p, err := newPager(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	var out iam.ListAccessKeysOutput
	return &out, s.db.View(ctx, func(tx *store.Tx) error {
		e, err := find(tx, userKind, name)
		if err != nil {
			return err
		}
		out.AccessKeyMetadata, out.IsTruncated, out.Marker = list(tx, userKeys, store.K(e.ID), p, func(key store.Key, _ mark) (iam.AccessKeyMetadata, bool) {
			var owner, id string
			if key.Parse(&owner, &id) != nil {
				panic("iam: a user's key without an id")
			}
			k, _ := keys.Get(tx, store.K(id))
			return iam.AccessKeyMetadata{UserName: &e.Name, AccessKeyId: &id, Status: new(k.status()), CreateDate: &k.Created}, true
		})
		return nil
	})
}
