package iam

import (
	"strings"
	"time"

	"fogbank/api/iam"
	"fogbank/aws"
	"fogbank/store"
)

// kind is what an entity is, as ARNs spell it.
type kind string

const (
	userKind  kind = "user"
	groupKind kind = "group"
	roleKind  kind = "role"
)

// kinds hold what differs between users, groups and roles.
var kinds = map[kind]struct {
	title    string // at the beginning of a message
	prefix   string // of unique ids
	quota    string // its name in LimitExceeded
	most     int    // per account
	inline   int    // characters of all inline policies
	attached string // the quota of attached policies
}{
	userKind:  {"User", "AIDA", "UsersPerAccount", 5000, 2048, "PoliciesPerUser"},
	groupKind: {"Group", "AGPA", "GroupsPerAccount", 300, 5120, "PoliciesPerGroup"},
	roleKind:  {"Role", "AROA", "RolesPerAccount", 1000, 10240, "PoliciesPerRole"},
}

// entity is a user, a group or a role.
type entity struct {
	Kind     kind
	Account  string
	Name     string
	Path     string
	ID       string
	Created  time.Time
	Tags     []iam.Tag `json:",omitempty"`
	Boundary string    `json:",omitempty"` // ARN of the permissions boundary

	// Of roles only.
	Trust       string `json:",omitempty"`
	Description string `json:",omitempty"`
	MaxSession  int32  `json:",omitempty"` // seconds
}

// mark is the row of a table whose keys say everything.
type mark struct{}

// Everything that belongs to an entity is kept under its unique id, so renaming moves nothing
// and what a deleted entity left in other places never fits its successor.
var (
	names    = store.NewTable[string]("iam/name", store.Account)   // kind, folded name → id
	entities = store.NewTable[entity]("iam/entity", store.Account) // id
	counts   = store.NewTable[int]("iam/count", store.Account)     // kind or "policy" → how many
)

func nameKey(k kind, name string) store.Key { return store.K(string(k), fold(name)) }

// arn returns the entity's ARN.
func (e *entity) arn() aws.ARN {
	return aws.ARN("arn:aws:iam::" + e.Account + ":" + string(e.Kind) + e.Path + e.Name)
}

// find returns the entity of a name.
func find(tx *store.Tx, k kind, name string) (entity, error) {
	if id, ok := names.Get(tx, nameKey(k, name)); ok {
		if e, ok := entities.Get(tx, store.K(id)); ok {
			return e, nil
		}
	}
	return entity{}, iam.NoSuchEntityException("The %s with name %s cannot be found.", string(k), name)
}

// create stores a new entity, its boundary included.
func (s *Service) create(tx *store.Tx, e entity) error {
	of := kinds[e.Kind]
	if names.Has(tx, nameKey(e.Kind, e.Name)) {
		return iam.EntityAlreadyExistsException("%s with name %s already exists.", of.title, e.Name)
	}
	if err := addCount(tx, string(e.Kind), of.quota, of.most); err != nil {
		return err
	}
	if err := s.bound(tx, &e, e.Boundary); err != nil {
		return err
	}
	names.Put(tx, nameKey(e.Kind, e.Name), e.ID)
	entities.Put(tx, store.K(e.ID), e)
	return nil
}

// remove deletes an entity that nothing hangs on any more.
func remove(tx *store.Tx, e *entity) error {
	switch {
	case any1(tx, inlines, store.K(e.ID)):
		return iam.DeleteConflictException("Cannot delete entity, must delete policies first.")
	case any1(tx, attachments, store.K(e.ID)):
		return iam.DeleteConflictException("Cannot delete entity, must detach all policies first.")
	}
	if e.Boundary != "" {
		bounded.Delete(tx, store.K(e.Boundary, e.ID))
	}
	names.Delete(tx, nameKey(e.Kind, e.Name))
	entities.Delete(tx, store.K(e.ID))
	counts.Put(tx, store.K(string(e.Kind)), count(tx, string(e.Kind))-1)
	return nil
}

// rename moves an entity to another name or path.
func rename(tx *store.Tx, e *entity, newName, newPath *string) error {
	if newName != nil && *newName != e.Name {
		if fold(*newName) != fold(e.Name) && names.Has(tx, nameKey(e.Kind, *newName)) {
			return iam.EntityAlreadyExistsException("%s with name %s already exists.", kinds[e.Kind].title, *newName)
		}
		names.Delete(tx, nameKey(e.Kind, e.Name))
		names.Put(tx, nameKey(e.Kind, *newName), e.ID)
		e.Name = *newName
	}
	if newPath != nil {
		e.Path = *newPath
	}
	entities.Put(tx, store.K(e.ID), *e)
	return nil
}

func count(tx *store.Tx, what string) int {
	n, _ := counts.Get(tx, store.K(what))
	return n
}

// addCount counts one more of what, unless that exceeds the quota.
func addCount(tx *store.Tx, what, quota string, most int) error {
	n := count(tx, what)
	if n >= most {
		return iam.LimitExceededException("Cannot exceed quota for %s: %d", quota, most)
	}
	counts.Put(tx, store.K(what), n+1)
	return nil
}

// any1 reports whether a table has a row under prefix.
func any1[V any](tx *store.Tx, t *store.Table[V], prefix store.Key) bool {
	for range t.Keys(tx, store.Range{Prefix: prefix, Limit: 1}) {
		return true
	}
	return false
}

// size counts the rows under prefix.
func size[V any](tx *store.Tx, t *store.Table[V], prefix store.Key) (n int) {
	for range t.Keys(tx, store.Range{Prefix: prefix}) {
		n++
	}
	return n
}

// under reports whether a path begins with the prefix a caller asked for.
func under(path, prefix string) bool { return prefix == "" || strings.HasPrefix(path, prefix) }
