package dynamodb

import (
	"context"
	"strconv"
	"strings"

	"fogbank/api/dynamodb"
	"fogbank/aws"
	"fogbank/service/dynamodb/expr"
	"fogbank/service/dynamodb/partiql"
	"fogbank/store"
	"fogbank/wire/attribute"
)

// ExecuteStatement runs one PartiQL statement: a SELECT reads as Query or Scan would, the others write one item.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.statements.html
func (s *Service) ExecuteStatement(ctx context.Context, in *dynamodb.ExecuteStatementInput) (*dynamodb.ExecuteStatementOutput, error) {
	st, err := partiql.Parse(in.Statement, in.Parameters)
	if err != nil {
		return nil, err
	}
	switch st.Kind {
	case partiql.Select:
		return s.executeSelect(ctx, in, st)
	case partiql.Exists:
		return nil, validation("EXISTS is only supported in ExecuteTransaction")
	}
	w := &write{}
	err = s.updateOne(ctx, w, func() error {
		t, err := s.schema(ctx, st.Table)
		if err != nil {
			return err
		}
		if err := w.state(t, st); err != nil {
			return err
		}
		w.look = w.look || asked(in.ReturnConsumedCapacity)
		return nil
	})
	if err != nil {
		return nil, w.failed(err, in.ReturnValuesOnConditionCheckFailure)
	}
	out := &dynamodb.ExecuteStatementOutput{Items: []attribute.Item{}, ConsumedCapacity: w.report(in.ReturnConsumedCapacity)}
	if item := w.returned(st.Returning); item != nil {
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// state makes w the write that a statement asks for; of SELECT and EXISTS it makes the check that the item is there.
// An UPDATE wants its item to exist, a DELETE does not mind.
func (w *write) state(t *schema, st *partiql.Statement) error {
	*w = write{t: t}
	if st.Kind == partiql.Insert {
		return w.stateInsert(st)
	}
	key, rest, ok := t.keyIn(st.Conjuncts())
	if !ok {
		return validation("Where clause does not contain a mandatory equality on all key attributes")
	}
	if err := t.checkKey(key); err != nil {
		return err
	}
	w.keys, w.key = key, t.itemKey(key)
	for _, name := range [...]string{t.hash.name, t.sort.name} {
		if name != "" && writes(st, name) {
			return validation(invalidParameter+"Cannot update attribute %s. This attribute is part of the key", name)
		}
	}
	there := &partiql.Condition{Op: partiql.Missing, Args: []partiql.Operand{{Path: partiql.Path{{Name: t.hash.name, Index: -1}}}}}
	var test *partiql.Condition
	switch st.Kind {
	case partiql.Delete:
		w.kind = deleteItem
		if rest != nil {
			test = &partiql.Condition{Op: partiql.Or, Kids: []*partiql.Condition{there, partiql.All(rest)}}
		}
	case partiql.Update:
		w.kind = updateItem
		test = partiql.All(append([]*partiql.Condition{{Op: partiql.Not, Kids: []*partiql.Condition{there}}}, rest...))
	default:
		w.kind = checkItem
		test = partiql.All(append([]*partiql.Condition{{Op: partiql.Not, Kids: []*partiql.Condition{there}}}, rest...))
	}
	return w.express(test, st)
}

// express binds the write's test and change.
func (w *write) express(test *partiql.Condition, st *partiql.Statement) (err error) {
	var h partiql.Placeholders
	condition, update := "", h.Update(st)
	if test != nil {
		condition = h.Condition(test)
	}
	r := expr.Request{Names: h.Names(), Values: h.Values()}
	if test != nil {
		if w.test, err = r.Test(expr.Condition, &condition); err != nil {
			return err
		}
	}
	if update != "" {
		w.change, err = r.Change(&update)
	}
	return err
}

func (w *write) stateInsert(st *partiql.Statement) error {
	w.kind, w.insert, w.keys = putItem, true, st.Item
	if err := st.Item.Check(); err != nil {
		return err
	}
	if err := w.t.checkItem(st.Item); err != nil {
		return err
	}
	w.key = w.t.itemKey(st.Item)
	absent := &partiql.Condition{Op: partiql.Missing, Args: []partiql.Operand{{Path: partiql.Path{{Name: w.t.hash.name, Index: -1}}}}}
	return w.express(absent, st)
}

// writes reports whether an UPDATE has a SET or REMOVE of the attribute or of something in it.
func writes(st *partiql.Statement, name string) bool {
	for i := range st.Sets {
		if st.Sets[i].Target[0].Name == name {
			return true
		}
	}
	for _, p := range st.Removes {
		if p[0].Name == name {
			return true
		}
	}
	return false
}

// keyIn finds the key that conditions fix by equality and returns it with the conditions left over.
func (t *schema) keyIn(conditions []*partiql.Condition) (key attribute.Item, rest []*partiql.Condition, ok bool) {
	var parts []attribute.Attribute
	found := map[string]bool{}
	for _, c := range conditions {
		name, v, is := equality(c)
		if is && t.isKey(name) && !found[name] {
			found[name] = true
			parts = append(parts, attribute.Attribute{Name: name, Value: v})
			continue
		}
		rest = append(rest, c)
	}
	return attribute.MakeItem(parts...), rest, found[t.hash.name] && (t.sort.name == "" || found[t.sort.name])
}

// equality takes a condition of the form attribute = value apart.
func equality(c *partiql.Condition) (name string, v attribute.Value, ok bool) {
	if c.Op != partiql.Equal {
		return "", v, false
	}
	a, b := &c.Args[0], &c.Args[1]
	if a.Path == nil {
		a, b = b, a
	}
	if len(a.Path) != 1 || a.Size || b.Path != nil {
		return "", v, false
	}
	return a.Path[0].Name, b.Value, true
}

var statementActions = map[partiql.Kind]string{partiql.Select: "dynamodb:PartiQLSelect", partiql.Exists: "dynamodb:PartiQLSelect",
	partiql.Insert: "dynamodb:PartiQLInsert", partiql.Update: "dynamodb:PartiQLUpdate", partiql.Delete: "dynamodb:PartiQLDelete"}

// onStatement is the access a statement needs: its own action on its table or index.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
func (s *Service) onStatement(ctx context.Context, st *partiql.Statement) aws.Access {
	call := aws.CallFrom(ctx)
	a := aws.Access{Action: statementActions[st.Kind], Resource: tableARN(call, st.Table)}
	if st.Index != "" {
		a.Resource += aws.ARN("/index/" + st.Index)
		return a
	}
	if st.Kind == partiql.Insert {
		return s.onItems(ctx, a.Action, st.Table, st.Item)[0]
	}
	if call.Principal.Kind == aws.Root && call.Principal.Account == call.Account && !strings.HasPrefix(st.Table, "arn:") {
		return a
	}
	a.Context = s.statementContext(ctx, st)
	return a
}

// statementContext returns the condition keys of a statement on a table: the partition keys its WHERE fixes, and for a
// SELECT whether it reads the whole table; nil when the table is not there.
func (s *Service) statementContext(ctx context.Context, st *partiql.Statement) map[string][]string {
	keys := map[string][]string{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if p, ok := aws.ARN(st.Table).Parse(); ok {
			tx = tx.In(p.Account, p.Region)
		}
		t, err := schemaIn(tx, tableName(st.Table))
		if err != nil {
			return err
		}
		fixed := []string{}
		for _, c := range st.Conjuncts() {
			values, _ := fixes(c, t.hash)
			for _, v := range values {
				fixed = append(fixed, v.Text())
			}
		}
		keys["dynamodb:LeadingKeys"] = fixed
		if st.Kind == partiql.Select {
			keys["dynamodb:FullTableScan"] = []string{strconv.FormatBool(len(fixed) == 0)}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return keys
}

// accessOf is the access of statements, given as texts and parameters. Those that cannot be read need none: they will be refused.
func (s *Service) accessOf(ctx context.Context, n int, at func(int) (string, []attribute.Value)) (list []aws.Access) {
	for i := range n {
		text, parameters := at(i)
		if st, err := partiql.Parse(text, parameters); err == nil {
			list = append(list, s.onStatement(ctx, st))
		}
	}
	return list
}
