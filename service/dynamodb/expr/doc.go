// Package expr is DynamoDB's expression language: conditions, filters, key
// conditions, projections and updates, with the names and values that stand in
// them.
//
// An expression's text is parsed once into a tree in which placeholders are
// numbers; a request binds its own names and values to it, which checks what
// depends on them (undefined placeholders, operand types, overlapping
// paths), and the bound form is evaluated on attribute.Item without further allocation.
//
// # Cache
//
// Programs send the same few texts again and again, and parsing one costs more than
// evaluating it a hundred times over. So parsed texts are kept, by kind and text: at most
// 1,024 of them, 4 KB of text each, the whole cache forgotten when full. A
// tree depends on its text alone and never changes, so the cache can show no stale
// data; this is why it may live here although services keep no state. The benchmark
// BenchmarkParse shows what it saves.
//
// # Limits
//
// 4,096 bytes of text, 300 operators and functions, 100 operands of IN, 32 steps of
// a path, 255 bytes of a placeholder; parentheses nest at most 100 deep.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
package expr
