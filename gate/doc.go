// Package gate is the only way in: it finds the operation, proves who calls,
// asks policy, runs the service, encodes the answer and keeps a record.
//
// Promises:
//   - Nothing is decoded before the caller's signature was verified, and nothing
//     runs before policy allowed it, in process and from outside alike.
//   - Every answer carries a request id; every request leaves one record, the last
//     of which Explain finds by that id. The log has refusals and other errors at Info,
//     our own failures at Error, and successes at Debug.
//   - A panic in a service is a 500 and a loud record, never a dead process.
//   - Secrets, session tokens and signatures are never logged and never part of an
//     error; they are compared in constant time.
//
// Limits: bodies of 10 MB (70 MB for Lambda), 512 MB of bodies at once, 1,024
// cached signing keys, 256 cached session policies, 1,000 records, 64 distinct
// error codes counted per operation. A lock is never held across a call.
//
// The signature rules are those of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
package gate
