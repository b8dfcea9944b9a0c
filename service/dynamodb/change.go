package dynamodb

import (
	"slices"
	"strings"
	"time"

	"fogbank/api/dynamodb"
)

// change is what an UPDATING table is changing. What is asked of it meanwhile is refused in words that name both,
// unless the two do not get in each other's way.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html
type change struct {
	What      string // one of those below
	Stream    string `json:",omitempty"` // the label of the stream that is being enabled or disabled
	Operation string `json:",omitempty"` // ENABLE or DISABLE
	Class     string `json:",omitempty"` // the table class that is wanted
}

const (
	throughputChange = "throughput" // of the table, or its billing mode
	streamChange     = "stream"
	classChange      = "class"
)

// refused are the beginnings of what is said to a change that meets another: what is asked, while what is going on.
var refused = map[[2]string]string{
	{throughputChange, throughputChange}: "Table IOPS are currently being updated.",
	{throughputChange, streamChange}:     "Can't change table IOPS when stream status is being updated.",
	{throughputChange, classChange}:      "Can't change table IOPS when a table class update is in progress.",
	{streamChange, throughputChange}:     "Can't enable or disable stream while table IOPS are being updated.",
	{streamChange, streamChange}:         "A stream status change is currently in progress.",
	{streamChange, classChange}:          "Can't enable or disable stream when a table class update is in progress.",
	{classChange, throughputChange}:      "Can't update table class while table IOPS are being updated.",
	{classChange, streamChange}:          "Can't update table class when stream status is being updated.",
	{classChange, classChange}:           "Can't update table class when a table class update is in progress.",
	{indexChange, throughputChange}:      "Can't create or delete indexes while table IOPS are being updated.",
	{indexChange, streamChange}:          "Can't create or delete an index when stream status is being updated.",
	{indexChange, classChange}:           "Can't create or delete an index when a table class update is in progress.",
}

// indexChange is the creation or deletion of an index; that one is going on shows in the index.
const indexChange = "index"

// refusedByIndexes are the beginnings of what is said to a change of the table while an index is created or deleted.
var refusedByIndexes = map[string]string{
	throughputChange: "Can't change table IOPS when an index is being %s.",
	streamChange:     "Can't change stream status when an index is being %s.",
	classChange:      "Can't update table class when an index is being %s.",
}

// admit refuses a change of the table that gets in the way of what is going on.
func (t *table) admit(asked string) error {
	if text, ok := refusedByIndexes[asked]; ok {
		if err := t.refuseBesideIndexes(text); err != nil {
			return err
		}
	}
	if t.Change == nil {
		return nil
	}
	text := refused[[2]string{asked, t.Change.What}] + " Table: " + t.Name
	switch t.Change.What {
	case streamChange:
		text += " Stream: " + t.Change.Stream + " Operation: " + t.Change.Operation
	case classChange:
		text += " TableClassUpdateInProgress: " + t.Change.Class
	}
	return t.inUse("%s", text)
}

// refuseBesideIndexes refuses a change while indexes are created, until they are being filled, or deleted.
func (t *table) refuseBesideIndexes(text string) error {
	for _, being := range [...]struct{ status, word string }{{dynamodb.IndexStatusCreating, "created"}, {dynamodb.IndexStatusDeleting, "deleted"}} {
		var names []string
		for _, x := range t.Indexes {
			if x.Status == being.status {
				names = append(names, x.Name)
			}
		}
		if names != nil {
			return t.inUse(text+" Table: %s Indexes: [%s]", being.word, t.Name, strings.Join(names, ", "))
		}
	}
	return nil
}

// admitIndexes refuses updates of indexes that are not there or in transition. One index at a time may be created, filled or
// deleted.
func (t *table) admitIndexes(updates []dynamodb.GlobalSecondaryIndexUpdate) error {
	made := 0
	for _, u := range updates {
		var err error
		switch {
		case u.Create != nil:
			made++
			err = t.admitCreation(u.Create.IndexName)
		case u.Delete != nil:
			made++
			err = t.admitDeletion(u.Delete.IndexName)
		default:
			err = t.admitThroughput(u.Update.IndexName)
		}
		if err != nil {
			return err
		}
	}
	if made == 0 {
		return nil
	}
	if err := t.admit(indexChange); err != nil {
		return err
	}
	for _, u := range updates {
		if u.Update != nil {
			continue
		}
		deleted := deref(u.Delete).IndexName // may be deleted while it is filled
		if made > 1 || slices.ContainsFunc(t.Indexes, func(x index) bool { return x.Name != deleted && x.moving() }) {
			return dynamodb.LimitExceededException("Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
		}
	}
	return nil
}

// moving reports whether the index is being created, filled or deleted.
func (x *index) moving() bool {
	return x.Filling || x.Status == dynamodb.IndexStatusCreating || x.Status == dynamodb.IndexStatusDeleting
}

// lasting returns the indexes that a copy of the table of that billing mode has: those that are not being deleted, in no transition.
func (t *table) lasting(billing string) (list []index) {
	for _, x := range t.Indexes {
		if x.Status == dynamodb.IndexStatusDeleting {
			continue
		}
		x.Filling, x.Status, x.Ends, x.Wanted = false, "", time.Time{}, nil
		if billing == dynamodb.BillingModePayPerRequest {
			x.Throughput = throughput{}
		}
		list = append(list, x)
	}
	return list
}

func (t *table) indexInUse(x *index, being string) error {
	return t.inUse("Index is being %s.  Table: %s Index: %s", being, t.Name, x.Name) // DynamoDB's two blanks
}

// find returns the index with the name, nil when there is none.
func (t *table) find(name string) *index {
	if i := slices.IndexFunc(t.Indexes, func(x index) bool { return x.Name == name }); i >= 0 {
		return &t.Indexes[i]
	}
	return nil
}

func (t *table) admitCreation(name string) error {
	switch x := t.find(name); {
	case x == nil:
		return nil
	case x.Status == dynamodb.IndexStatusDeleting:
		return t.indexInUse(x, "deleted")
	case x.Status == dynamodb.IndexStatusCreating || x.Filling:
		return t.indexInUse(x, "created")
	}
	return validation("Attempting to create an index which already exists")
}

// findGlobal returns the global index with the name; deed is what it is wanted for.
func (t *table) findGlobal(name, deed string) (*index, error) {
	x := t.find(name)
	switch {
	case x == nil:
		return nil, dynamodb.ResourceNotFoundException("Requested resource not found: Index %s for table %s", name, t.Name)
	case x.Local:
		return nil, validation("Cannot %s an index that is not a GlobalSecondaryIndex: %s", deed, name)
	}
	return x, nil
}

func (t *table) admitDeletion(name string) error {
	x, err := t.findGlobal(name, "delete")
	if err != nil {
		return err
	}
	if x.Status == dynamodb.IndexStatusCreating {
		return t.inUse("Index creation is in resource allocation phase. Retry deletion during backfilling phase or when the index is active. Table: %s Index: %s", t.Name, name)
	}
	return t.admitChange(x)
}

func (t *table) admitThroughput(name string) error {
	x, err := t.findGlobal(name, "update")
	if err != nil {
		return err
	}
	if x.Status == dynamodb.IndexStatusCreating {
		return t.indexInUse(x, "created but is not backfilling yet")
	}
	return t.admitChange(x)
}

// admitChange refuses to change an index while it is changed or deleted.
func (t *table) admitChange(x *index) error {
	switch x.Status {
	case dynamodb.IndexStatusUpdating:
		return t.indexInUse(x, "updated")
	case dynamodb.IndexStatusDeleting:
		return t.indexInUse(x, "deleted")
	}
	return nil
}

// admitEnd refuses to delete a table while it, or an index, is changed.
func (t *table) admitEnd() error {
	switch {
	case slices.ContainsFunc(t.Indexes, func(x index) bool { return x.Filling || x.Status != "" }):
		return t.inUse("Cannot delete table while indexes are being created, updated, or deleted.")
	case t.Change != nil && t.Change.What == streamChange:
		return t.inUse("Cannot delete table while stream is being enabled/disabled.")
	case t.Status == dynamodb.TableStatusUpdating:
		return t.inUse("Table: %s is in the process of being updated.", t.Name)
	}
	return nil
}
