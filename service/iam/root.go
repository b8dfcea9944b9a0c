package iam

import (
	"context"

	"fogbank/store"
)

// HasRootKey reports whether an account has a root key of any kind.
func (s *Service) HasRootKey(ctx context.Context, account string) (has bool, err error) {
	err = s.db.View(withAccount(ctx, account), func(tx *store.Tx) error {
		has = false
		for _, k := range keys.All(tx, "") {
			has = has || k.UserID == "" && k.Account == account
		}
		return nil
	})
	return has, err
}
