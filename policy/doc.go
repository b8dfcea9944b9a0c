// Package policy is the IAM policy language: it parses policy documents,
// checks their grammar, and decides requests. It is pure: the same request
// always gets the same decision, and nothing is read but the request.
//
// A Document is compiled once by Parse: wildcards become tokens, condition
// values become numbers, moments and networks. Deciding then costs a walk over
// the statements and, as a rule, no allocation, so documents should be kept and
// shared; they are never changed after Parse and safe for concurrent use.
//
// Evaluate combines the layers as AWS documents them: an explicit deny in any
// layer wins; within one account an identity-based or a resource-based policy
// may grant; across accounts both must; permissions boundaries and session
// policies only narrow; a role's trust policy must always agree.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
//
// # Limits
//
// A document has at most MaxDocumentBytes bytes and nests at most six levels
// deep (the grammar needs five). Deciding takes time proportional to the size
// of the documents times the length of the names they are compared with.
//
// # Where AWS leaves room
//
//   - A policy variable without a value and without a default matches nothing, so a negated
//     operator compared with it holds. A substituted value is compared literally: wildcards in it mean nothing.
//   - A resource policy that grants to everyone ("*") is treated for a role session like one that
//     names the role: boundary and session policies still narrow it.
//   - A key with several values under an operator without ForAllValues or ForAnyValue matches when
//     any of its values does.
package policy

// MaxDocumentBytes is the length of the longest document Parse reads. Services
// set their own, lower quotas.
const MaxDocumentBytes = 64 << 10
