// Package sts is the AWS Security Token Service: who am I, and temporary
// credentials for roles, users and federated users.
//
// Promises: credentials work everywhere from the moment they are answered and
// end at their expiry, or at once when the role or user behind them is
// deleted. Whether a role may be assumed is decided before AssumeRole runs, by
// the role's trust policy together with the caller's own policies.
//
// Nothing is stored: a session token carries its session, sealed (package credential).
//
// Limits: sessions of 15 minutes to the role's MaxSessionDuration, one hour
// for a role assumed by a role; 36 hours for users, one hour for root; 10
// session policies by ARN; session policies and tags of 4,096 bytes together.
//
// How it differs from AWS is listed in docs/divergences.md.
package sts
