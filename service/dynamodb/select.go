package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"

	"fogbank/api/dynamodb"
	"fogbank/service/dynamodb/expr"
	"fogbank/service/dynamodb/partiql"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// A selectPlan is how a SELECT is read: partition after partition when the WHERE fixes the partition key,
// else as a scan.
type selectPlan struct {
	st         *partiql.Statement
	partitions []attribute.Value // nil for a scan
	sort       *expr.KeyTest     // nil when the sort key is not narrowed
	whole      bool              // the key is fixed, so there is one item at most in a partition
	base       page
	limit      int
}

// maxPartitions is how many values of the partition key a WHERE may name.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-operators.html
const maxPartitions = 50

// maxListed is how many items a page holds when the WHERE names several values of the partition key.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-operators.html
const maxListed = 10

// nextPage is where a SELECT goes on: what its NextToken says.
type nextPage struct {
	Statement []byte // which one it belongs to
	Partition int
	After     attribute.Item `json:",omitempty"`
}

func (s *Service) executeSelect(ctx context.Context, in *dynamodb.ExecuteStatementInput, st *partiql.Statement) (*dynamodb.ExecuteStatementOutput, error) {
	identity := statementDigest(in.Statement, in.Parameters)[:8]
	var from nextPage
	if in.NextToken != nil {
		text, err := base64.StdEncoding.DecodeString(*in.NextToken)
		if err != nil || json.Unmarshal(text, &from) != nil || string(from.Statement) != string(identity) || from.Partition < 0 {
			return nil, validation("The provided NextToken is invalid")
		}
	}
	from.Statement = identity
	var out *dynamodb.ExecuteStatementOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		plan := selectPlan{st: st, limit: int(deref(in.Limit)), base: page{consistent: deref(in.ConsistentRead), meters: &s.meters}}
		if err := plan.make(tx); err != nil {
			return err
		}
		next := from
		result, more, err := plan.read(tx, &next)
		if err != nil {
			return err
		}
		out = &dynamodb.ExecuteStatementOutput{Items: result.items, ConsumedCapacity: result.used.report(in.ReturnConsumedCapacity, plan.base.t, plan.base.t.Name)}
		if more {
			text, err := json.Marshal(next)
			if err != nil {
				return err
			}
			out.NextToken, out.LastEvaluatedKey = new(base64.StdEncoding.EncodeToString(text)), next.After
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// statementDigest identifies a statement with its parameters.
func statementDigest(text string, parameters []attribute.Value) []byte {
	b := append([]byte(text), 0)
	for _, v := range parameters {
		b, _ = v.AppendBinary(b)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// make fits the statement to its table or index.
func (l *selectPlan) make(tx *store.Tx) error {
	p := &l.base
	var index *string
	if l.st.Index != "" {
		index = &l.st.Index
	}
	if err := p.target(tx, l.st.Table, index); err != nil {
		return err
	}
	p.sel = expr.SelectNames(l.st.Roots())
	if err := p.want(nil, ""); err != nil {
		return err
	}
	rest := l.st.Conjuncts()
	hash, sort, _ := p.keys()
	for i, c := range rest {
		if values, ok := fixes(c, hash); ok {
			if len(values) > maxPartitions {
				return validation("The WHERE clause names too many values of the partition key: %d. Maximum number of values: %d", len(values), maxPartitions)
			}
			l.partitions = values
			rest = slices.Delete(slices.Clone(rest), i, i+1)
			break
		}
	}
	if l.partitions != nil && sort.name != "" {
		for i, c := range rest {
			if t, ok := keyTest(c, sort); ok {
				l.sort = &t
				rest = slices.Delete(slices.Clone(rest), i, i+1)
				break
			}
		}
	}
	if len(l.partitions) > 1 && (l.limit == 0 || l.limit > maxListed) {
		l.limit = maxListed
	}
	l.whole = p.x == nil && l.partitions != nil && (sort.name == "" || l.sort != nil && l.sort.Op == expr.Equal)
	if err := l.order(hash, sort); err != nil {
		return err
	}
	return l.filter(rest)
}

// filter makes the conditions that the key does not answer the page's filter.
func (l *selectPlan) filter(rest []*partiql.Condition) (err error) {
	if len(rest) == 0 {
		return nil
	}
	var h partiql.Placeholders
	text := h.Condition(partiql.All(rest))
	r := expr.Request{Names: h.Names(), Values: h.Values()}
	l.base.filter, err = r.Test(expr.Filter, &text)
	return err
}

// order applies the ORDER BY, which may name the keys of a query.
func (l *selectPlan) order(hash, sort keyAttribute) error {
	if l.st.Order != nil && l.partitions == nil {
		return validation("Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.")
	}
	for _, o := range l.st.Order {
		switch name := o.Path[0].Name; {
		case len(o.Path) == 1 && name == hash.name:
			slices.SortStableFunc(l.partitions, func(a, b attribute.Value) int {
				order, _ := a.Compare(b)
				if o.Descending {
					return -order
				}
				return order
			})
		case len(o.Path) == 1 && name == sort.name:
			l.base.r.Reverse = o.Descending
		default:
			return validation("Variable reference %s in ORDER BY clause must be part of the primary key", name)
		}
	}
	return nil
}

// read reads one page, from where next says and leaving there where the one after it begins.
func (l *selectPlan) read(tx *store.Tx, next *nextPage) (sum page, more bool, err error) {
	sum.items = []attribute.Item{}
	parts := max(1, len(l.partitions))
	for ; next.Partition < parts; next.Partition++ {
		if l.limit > 0 && int(sum.scanned) >= l.limit || sum.used.total() >= readUnits(maxPage, l.base.consistent) {
			return sum, true, nil
		}
		p := l.base
		if l.limit > 0 {
			p.limit = l.limit - int(sum.scanned)
		}
		if err := l.narrow(&p, next.Partition); err != nil {
			return sum, false, err
		}
		if err := p.startAfter(next.After); err != nil {
			return sum, false, err
		}
		p.read(tx)
		for _, item := range p.items {
			sum.items = append(sum.items, l.st.Project(item))
		}
		sum.scanned += p.scanned
		sum.used.merge(&p.used)
		if next.After = p.last; p.last != nil && !l.whole {
			return sum, true, nil
		}
		next.After = nil
	}
	return sum, false, nil
}

// narrow sets the range of keys of one partition, or of all.
func (l *selectPlan) narrow(p *page, partition int) error {
	if l.partitions == nil {
		p.segment(0, 1)
		return nil
	}
	hash, sort, prefix := p.keys()
	v := l.partitions[partition]
	if err := checkKeyTest(&expr.KeyTest{Name: hash.name, Op: expr.Equal, Value: v}, hash, hashLimit); err != nil {
		return err
	}
	if l.sort != nil {
		if err := checkKeyTest(l.sort, sort, sortLimit); err != nil {
			return err
		}
	}
	p.r.From, p.r.To = p.bounds(appendPartition([]byte(prefix), v), l.sort)
	return nil
}

// merge adds what another page used.
func (u *used) merge(o *used) {
	u.table += o.table
	for name, units := range o.indexes {
		u.add(name, units)
	}
}

func (u *used) total() float64 {
	sum := u.table
	for _, units := range u.indexes {
		sum += units
	}
	return sum
}

// fixes returns the values a condition leaves for the attribute: of =, of IN, or of such joined by OR. Each stands
// once.
func fixes(c *partiql.Condition, k keyAttribute) (values []attribute.Value, ok bool) {
	if c.Op == partiql.Or {
		for _, kid := range c.Kids {
			more, ok := fixes(kid, k)
			if !ok {
				return nil, false
			}
			values = append(values, more...)
		}
	} else if name, v, ok := equality(c); ok && name == k.name {
		values = []attribute.Value{v}
	} else if name, list, ok := membership(c); ok && name == k.name {
		values = list
	} else {
		return nil, false
	}
	if len(values) > 4*maxPartitions { // more is left to a scan
		return nil, false
	}
	var once []attribute.Value
	for _, v := range values {
		if !slices.ContainsFunc(once, v.Equal) {
			once = append(once, v)
		}
	}
	return once, true
}

// membership takes a condition of the form attribute IN [values] apart.
func membership(c *partiql.Condition) (name string, values []attribute.Value, ok bool) {
	if c.Op != partiql.In || len(c.Args[0].Path) != 1 || c.Args[0].Size {
		return "", nil, false
	}
	for i := range c.Args[1:] {
		if c.Args[i+1].Path != nil {
			return "", nil, false
		}
		values = append(values, c.Args[i+1].Value)
	}
	return c.Args[0].Path[0].Name, values, true
}

var keyOps = map[partiql.Operator]expr.KeyOp{partiql.Equal: expr.Equal, partiql.Less: expr.Less, partiql.LessOrEqual: expr.LessOrEqual,
	partiql.Greater: expr.Greater, partiql.GreaterOrEqual: expr.GreaterOrEqual, partiql.Between: expr.Between, partiql.BeginsWith: expr.BeginsWith}

var mirrored = map[expr.KeyOp]expr.KeyOp{expr.Equal: expr.Equal, expr.Less: expr.Greater, expr.LessOrEqual: expr.GreaterOrEqual,
	expr.Greater: expr.Less, expr.GreaterOrEqual: expr.LessOrEqual}

// keyTest turns a condition on the sort key into the test of a query, if it can be one.
func keyTest(c *partiql.Condition, k keyAttribute) (t expr.KeyTest, ok bool) {
	op, ok := keyOps[c.Op]
	if !ok {
		return t, false
	}
	at := slices.IndexFunc(c.Args, func(o partiql.Operand) bool { return o.Path != nil })
	switch {
	case at < 0 || len(c.Args[at].Path) != 1 || c.Args[at].Path[0].Name != k.name || c.Args[at].Size:
		return t, false
	case at == 0:
	case mirrored[op] != 0 && at == 1:
		op = mirrored[op]
		return expr.KeyTest{Name: k.name, Op: op, Value: c.Args[0].Value}, true
	default:
		return t, false
	}
	t = expr.KeyTest{Name: k.name, Op: op, Value: c.Args[1].Value}
	if c.Args[1].Path != nil || op == expr.BeginsWith && k.typ == attribute.TypeN {
		return t, false
	}
	if op == expr.Between {
		t.High = c.Args[2].Value
		if order, comparable := t.Value.Compare(t.High); c.Args[2].Path != nil || !comparable || order > 0 {
			return t, false
		}
	}
	return t, true
}
