// Package iam is AWS Identity and Access Management: users, groups, roles,
// their keys and their policies. It also answers the gate's two questions for
// every request: what does this access key stand for, and what may its holder do.
//
// Promises: a change is in force for every request that begins after its
// answer. A key, a user or a role that was deleted stops working at once, and
// so do the sessions of a deleted role; one made anew under the old name has
// another unique id and inherits nothing. Deciding costs no write, and no
// parsing of anything that did not change.
//
// Stored tables, per account: iam/name and iam/entity (users, groups, roles by
// unique id), iam/inline, iam/attachment and its reverse iam/attached,
// iam/bounded (who has a policy as boundary), iam/member and iam/membership,
// iam/policy, iam/policy-version, iam/user-key, iam/count. Global: iam/key
// (access key id to account, user and secret; the secret is kept as it is,
// since SigV4 needs it) and iam/seal (the key session tokens are sealed with).
//
// Limits are AWS's defaults: 5,000 users, 300 groups, 1,000 roles, 1,500
// customer managed policies of 5 versions and 6,144 characters; 2 access keys
// and 10 groups per user; 10 attached policies; inline policies of 2,048
// (user), 5,120 (group) and 10,240 (role) characters together; trust policies
// of 2,048; 50 tags. Names do not differ by case alone.
//
// How it differs from AWS is listed in docs/divergences.md.
package iam
