// Package lambda is AWS Lambda: functions, their invocation, and the mappings that feed them from streams
// and queues. How functions run is package compute's business.
//
// Promises:
//   - A function is there when CreateFunction has answered: its package is synced before its row is.
//   - An event accepted with 202 is on disk. It is tried three times, a minute and then two apart, and for up to six
//     hours while the function is throttled; then it goes to the dead-letter queue and the failure destination.
//   - What one event causes invokes a function sixteen times, unless its loops are allowed.
//   - A mapping delivers each record of a stream at least once, in order within a shard; its position
//     survives restarts. A message of a queue is deleted only after the function took it.
//   - A function's calls are made with its execution role, and so are a mapping's: what the role may not
//     do does not happen.
//
// Tables (Regional unless noted):
//
//	lambda/function   name → the function
//	lambda/version    (name, number) → a published version, which does not change
//	lambda/published  name → the last number given to a version; it outlives the function
//	lambda/alias      (name, alias) → an alias
//	lambda/policy     (name, qualifier) → its resource policy's statements; no qualifier for $LATEST
//	lambda/async      (name, qualifier) → configuration of asynchronous invocation
//	lambda/url        (name, alias) → a function URL
//	lambda/urlplace   Global: identifier of a function URL → whose it is
//	lambda/layer      (layer, number) → a version of a layer; lambda/layerpolicy: its policy
//	lambda/layernumber layer → the last number given to a version
//	lambda/mapping    uuid → an event-source mapping
//	relay/cursor      "uuid/shard/lane" → how far a stream was delivered; source/window: its open window
//	lambda/known      Global: (account, region, uuid) → nothing; every mapping there is
//	lambda/package    Global: (package, account, region, holder) → nothing; who uses which package: a
//	                  function, a version "name:1" or a layer "layer:name:1"
//
// Limits are AWS's: 128–10,240 MB, 1–900 s, 4 KB of variables, 50 MB a package and 250 MB unpacked, 6 MB of
// synchronous and 1 MB of asynchronous payload, 200 MB of a streamed response, 1,000 concurrent invocations, 20 KB of policy, 50 tags, 75 GB
// of code is not enforced. Log lines waiting to be written: 16,384.
//
// Differences from AWS are listed in docs/divergences.md.
package lambda
