package iam

import (
	"context"

	"fogbank/store"
)

// RootKeys reports whether an account has a root key of any kind, and whether any account has one.
func (s *Service) RootKeys(ctx context.Context, account string) (own, any bool, err error) {
	err = s.db.View(withAccount(ctx, account), func(tx *store.Tx) error {
		own, any = false, false
		for _, k := range keys.All(tx, "") {
			own = own || k.UserID == "" && k.Account == account
			any = any || k.UserID == ""
		}
		return nil
	})
	return own, any, err
}
