package dynamodb

import (
	"slices"
	"strings"

	"fogbank/api/dynamodb"
)

// The most secondary indexes a table may have, and the attributes they may project by name in all.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
const (
	maxLocal    = 5
	maxGlobal   = 20
	maxProjects = 100
)

// define checks the definition of a new table and takes its billing and indexes over.
func (t *table) define(in *dynamodb.CreateTableInput) error {
	if err := t.bill(deref(in.BillingMode), in.ProvisionedThroughput); err != nil {
		return err
	}
	if err := checkKeySchema(in.KeySchema); err != nil {
		return err
	}
	if err := checkDefined(t.Attributes, in.KeySchema); err != nil {
		return err
	}
	if in.LocalSecondaryIndexes != nil && len(in.LocalSecondaryIndexes) == 0 {
		return validation(invalidParameter + "List of LocalSecondaryIndexes is empty")
	}
	if in.GlobalSecondaryIndexes != nil && len(in.GlobalSecondaryIndexes) == 0 {
		return validation(invalidParameter + "List of GlobalSecondaryIndexes is empty")
	}
	if err := t.checkUsed(in); err != nil {
		return err
	}
	for _, x := range in.LocalSecondaryIndexes {
		if err := t.addLocal(x); err != nil {
			return err
		}
	}
	for _, x := range in.GlobalSecondaryIndexes {
		c := dynamodb.CreateGlobalSecondaryIndexAction{IndexName: x.IndexName, KeySchema: x.KeySchema, Projection: x.Projection, ProvisionedThroughput: x.ProvisionedThroughput}
		if err := t.addGlobal(&c); err != nil {
			return err
		}
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if len(in.Tags) > maxTags {
		return errTooManyTags
	}
	for _, tag := range in.Tags {
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		t.Tags[tag.Key] = tag.Value
	}
	if spec := in.StreamSpecification; spec != nil && !spec.StreamEnabled && spec.StreamViewType != nil {
		return validation(invalidParameter + "Table is being created with a stream disabled, UpdateViewType should not be specified")
	}
	if spec := in.StreamSpecification; spec != nil && spec.StreamEnabled && spec.StreamViewType == nil {
		return validation(invalidParameter + "Table is being created with a stream enabled, UpdateViewType is required")
	}
	return nil
}

func checkStream(spec *dynamodb.StreamSpecification) error {
	switch {
	case spec == nil:
	case spec.StreamEnabled && spec.StreamViewType == nil:
		return validation(invalidParameter + "If stream is being enabled then UpdateViewType is required")
	case !spec.StreamEnabled && spec.StreamViewType != nil:
		return validation(invalidParameter + "If stream is being disabled, then UpdateViewType must not be specified")
	}
	return nil
}

// bill sets the billing mode and throughput.
func (t *table) bill(mode string, p *dynamodb.ProvisionedThroughput) error {
	if mode == dynamodb.BillingModePayPerRequest {
		if p != nil {
			return validation(invalidParameter + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
		}
		t.Billing, t.Throughput = mode, throughput{}
		return nil
	}
	if p == nil {
		return validation(invalidParameter + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	t.Billing = dynamodb.BillingModeProvisioned
	t.Throughput = throughput{Read: p.ReadCapacityUnits, Write: p.WriteCapacityUnits}
	return nil
}

func checkKeySchema(keys []dynamodb.KeySchemaElement) error {
	switch {
	case len(keys) == 0 || keys[0].KeyType != dynamodb.KeyTypeHash:
		return validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	case len(keys) > 2:
		return validation("Invalid KeySchema: Too many KeySchemaElements")
	case len(keys) == 2 && keys[0].AttributeName == keys[1].AttributeName:
		return validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
	case len(keys) == 2 && keys[1].KeyType != dynamodb.KeyTypeRange:
		return validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
	}
	return nil
}

// checkDefined refuses keys that AttributeDefinitions does not name.
func checkDefined(defined []dynamodb.AttributeDefinition, keys []dynamodb.KeySchemaElement) error {
	var names, wanted []string
	for _, a := range defined {
		if slices.Contains(names, a.AttributeName) {
			return validation("Attribute Name is duplicated: %s", a.AttributeName)
		}
		names = append(names, a.AttributeName)
	}
	missing := false
	for _, k := range keys {
		wanted = append(wanted, k.AttributeName)
		missing = missing || !slices.Contains(names, k.AttributeName)
	}
	if missing {
		return validation(invalidParameter+"Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]",
			strings.Join(wanted, ", "), strings.Join(names, ", "))
	}
	return nil
}

// checkUsed refuses a new table whose indexes have keys that are not defined, or with definitions that no key uses. DynamoDB looks
// at that before anything else in the indexes.
func (t *table) checkUsed(in *dynamodb.CreateTableInput) error {
	var used []string
	note := func(keys []dynamodb.KeySchemaElement) {
		for _, k := range keys {
			if !slices.Contains(used, k.AttributeName) {
				used = append(used, k.AttributeName)
			}
		}
	}
	keys := [][]dynamodb.KeySchemaElement{in.KeySchema}
	for _, x := range in.LocalSecondaryIndexes {
		keys = append(keys, x.KeySchema)
	}
	for _, x := range in.GlobalSecondaryIndexes {
		keys = append(keys, x.KeySchema)
	}
	for _, k := range keys {
		if err := checkDefined(t.Attributes, k); err != nil {
			return err
		}
		note(k)
	}
	var names []string
	for _, a := range t.Attributes {
		names = append(names, a.AttributeName)
	}
	switch {
	case len(names) == len(used):
		return nil
	case len(keys) == 1:
		return validation(invalidParameter + "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	return validation(invalidParameter+"Some AttributeDefinitions are not used. AttributeDefinitions: [%s], keys used: [%s]", strings.Join(names, ", "), strings.Join(used, ", "))
}

func (t *table) addLocal(in dynamodb.LocalSecondaryIndex) error {
	x := index{Name: in.IndexName, Local: true, Keys: in.KeySchema}
	if len(t.Keys) < 2 {
		return validation(invalidParameter + "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
	}
	if err := t.checkIndex(&x, in.Projection); err != nil {
		return err
	}
	if x.Keys[0].AttributeName != t.Keys[0].AttributeName {
		return validation(invalidParameter+"Index KeySchema does not have the same leading hash key as table KeySchema for index: %s. index hash key: %s, table hash key: %s",
			x.Name, x.Keys[0].AttributeName, t.Keys[0].AttributeName)
	}
	if len(x.Keys) < 2 {
		return validation(invalidParameter+"Index KeySchema does not have a range key for index: %s", x.Name)
	}
	return t.addIndex(x, maxLocal, "Number of LocalSecondaryIndexes exceeds per-table limit of %d")
}

func (t *table) addGlobal(in *dynamodb.CreateGlobalSecondaryIndexAction) error {
	x := index{Name: in.IndexName, Keys: in.KeySchema}
	if err := t.checkIndex(&x, in.Projection); err != nil {
		return err
	}
	switch p := in.ProvisionedThroughput; {
	case p != nil && t.Billing == dynamodb.BillingModePayPerRequest:
		return validation(invalidParameter+"ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST", x.Name)
	case p == nil && t.Billing == dynamodb.BillingModeProvisioned:
		return validation(invalidParameter+"ProvisionedThroughput is not specified for index: %s", x.Name)
	case p != nil:
		x.Throughput = throughput{Read: p.ReadCapacityUnits, Write: p.WriteCapacityUnits}
	}
	return t.addIndex(x, maxGlobal, "GlobalSecondaryIndex count exceeds the per-table limit of %d")
}

// checkIndex checks what both kinds of index have in common.
func (t *table) checkIndex(x *index, p dynamodb.Projection) error {
	if err := checkDefined(t.Attributes, x.Keys); err != nil {
		return err
	}
	if err := checkKeySchema(x.Keys); err != nil {
		return err
	}
	x.Projection, x.Include = deref(p.ProjectionType), p.NonKeyAttributes
	switch x.Projection {
	case dynamodb.ProjectionTypeInclude:
		if len(x.Include) == 0 {
			return validation(invalidParameter + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
		}
		for i, name := range x.Include {
			if slices.Contains(x.Include[:i], name) {
				return validation(invalidParameter+"Duplicate element in NonKeyAttributes: %s", name)
			}
		}
	case dynamodb.ProjectionTypeAll, dynamodb.ProjectionTypeKeysOnly:
		if x.Include != nil {
			return validation(invalidParameter+"ProjectionType is %s, but NonKeyAttributes is specified", x.Projection)
		}
	default:
		return validation(invalidParameter + "Unknown ProjectionType: null")
	}
	return nil
}

// addIndex adds an index of which a table may have so many; tooMany says so.
func (t *table) addIndex(x index, most int, tooMany string) error {
	alike, projected := 1, len(x.Include)
	for _, y := range t.Indexes {
		if y.Name == x.Name {
			return validation(invalidParameter+"Duplicate index name: %s", x.Name)
		}
		if y.Local == x.Local {
			alike++
		}
		projected += len(y.Include)
	}
	if alike > most {
		return validation(invalidParameter+tooMany, most)
	}
	if projected > maxProjects {
		return validation(invalidParameter+"Number of attributes projected to all indexes exceeds per-table limit of %d", maxProjects)
	}
	t.LastIndex++
	x.ID = t.LastIndex
	t.Indexes = append(t.Indexes, x)
	return nil
}
