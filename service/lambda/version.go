package lambda

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"iter"
	"strconv"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/store"
)

var (
	versions = store.NewTable[function]("lambda/version", store.Regional)
	// decodedVersions are versions as they are stored, kept decoded.
	decodedVersions = store.Derive(versions, func(_ store.Key, f function) (*function, error) { return &f, nil })
	// published is the last number given to a version of a function's name: none is given twice, not even
	// to a function that was deleted and made again.
	published = store.NewTable[uint64]("lambda/published", store.Regional)
)

// maxListed is the most functions, versions or aliases a page of a list has.
const maxListed = 50

// version is the version's number, or $LATEST.
func (f *function) version() string {
	if f.Version == "" {
		return latest
	}
	return f.Version
}

// holder is who uses the function's packages, as lambda/package names it.
func (f *function) holder() string {
	if f.Version == "" {
		return f.Name
	}
	return f.Name + ":" + f.Version
}

// versionNumber reads a qualifier that is the number of a version.
func versionNumber(qualifier string) (uint64, bool) {
	n, err := strconv.ParseUint(qualifier, 10, 63)
	return n, err == nil
}

func versionKey(name string, n uint64) store.Key { return store.K(name, n) }

// versionsOf are the published versions of a function, the oldest first.
func versionsOf(tx *store.Tx, name string) iter.Seq2[store.Key, function] {
	return versions.All(tx, store.K(name))
}

// PublishVersion makes a version of the code and configuration $LATEST has now. When nothing has changed since the last
// version, it is that version.
func (s *Service) PublishVersion(ctx context.Context, in *lambda.PublishVersionInput) (*lambda.PublishVersionOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	r.qualifier = ""
	revision := s.world.UUID()
	var v *function
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		f, err := find(tx, r)
		if err != nil {
			return err
		}
		if have := f.sum(); in.GetCodeSha256() != "" && in.GetCodeSha256() != have {
			return lambda.InvalidParameterValueException("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", in.GetCodeSha256(), have)
		}
		if in.RevisionId != nil && *in.RevisionId != f.Revision {
			return staleRevision()
		}
		v = f.publish(tx, in.Description, revision)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.describe(v, r.at(v.Version)), nil
}

// publish makes a version of f, which is $LATEST, unless the last one is the same.
func (f *function) publish(tx *store.Tx, description *string, revision string) *function {
	for _, last := range versions.Scan(tx, store.Range{Prefix: store.K(f.Name), Reverse: true, Limit: 1}) {
		if string(mustJSON(last.content())) == string(mustJSON(f.content())) {
			return &last
		}
	}
	n, _ := published.Get(tx, store.K(f.Name))
	published.Put(tx, store.K(f.Name), n+1)
	v := *f
	v.Version, v.Revision, v.Tags, v.Reserved = strconv.FormatUint(n+1, 10), revision, nil, nil
	put(&v.Description, description)
	v.save(tx)
	return &v
}

// content is f without what may differ between a version and the $LATEST it was made from.
func (f *function) content() function {
	c := *f
	c.Version, c.Description, c.Revision, c.Environment, c.Tags, c.Reserved = "", "", "", "", nil, nil
	c.Modified, c.RuntimeUpdate, c.RuntimeARN = time.Time{}, "", ""
	return c
}

// sum is the SHA-256 of the function's package in base64.
func (f *function) sum() string { return base64Sum(f.Package) }

// base64Sum turns a package's name into the form the API shows.
func base64Sum(name string) string {
	sum, err := hex.DecodeString(name)
	if err != nil {
		panic("lambda: a package's name is its SHA-256 in hexadecimal, not " + name)
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// staleRevision is the error of a change that was made for another revision.
func staleRevision() error {
	return lambda.PreconditionFailedException("The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias API to retrieve the latest RevisionId")
}

// ListVersionsByFunction lists $LATEST and then the published versions, the oldest first.
func (s *Service) ListVersionsByFunction(ctx context.Context, in *lambda.ListVersionsByFunctionInput) (*lambda.ListVersionsByFunctionOutput, error) {
	r, err := refer(ctx, in.FunctionName, "")
	if err != nil {
		return nil, err
	}
	after, err := readMarker(in.GetMarker())
	if err != nil {
		return nil, err
	}
	r.qualifier = ""
	out := &lambda.ListVersionsByFunctionOutput{Versions: []lambda.FunctionConfiguration{}}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		f, err := find(tx, r)
		if err != nil {
			return err
		}
		out.Versions, out.NextMarker = out.Versions[:0], nil
		limit := pageSize(in.GetMaxItems())
		for v := range f.all(tx) {
			if after != "" {
				if store.K(v.version()) == after {
					after = ""
				}
				continue
			}
			if len(out.Versions) == limit {
				out.NextMarker = new(writeMarker(*out.Versions[limit-1].Version))
				break
			}
			out.Versions = append(out.Versions, *s.describe(v, r.at(v.version())))
		}
		return nil
	})
	return out, err
}

// all is $LATEST, which f is, and its versions.
func (f *function) all(tx *store.Tx) iter.Seq[*function] {
	return func(yield func(*function) bool) {
		if !yield(f) {
			return
		}
		for _, v := range versionsOf(tx, f.Name) {
			if !yield(&v) {
				return
			}
		}
	}
}

// pageSize is how many entries of a list a request wants.
func pageSize(asked int32) int {
	if asked <= 0 || asked > maxListed {
		return maxListed
	}
	return int(asked)
}

// deleteVersion removes one published version.
func (r reference) deleteVersion(tx *store.Tx, n uint64) error {
	v, err := find(tx, r)
	if err != nil {
		return err
	}
	var users []string
	for _, a := range aliases.All(tx, store.K(r.name)) {
		if a.uses(v.Version) {
			users = append(users, a.Name)
		}
	}
	if len(users) > 0 {
		return lambda.ResourceConflictException("Unable to delete version because the following aliases reference it: [%s]", strings.Join(users, ", "))
	}
	versions.Delete(tx, versionKey(r.name, n))
	r.deleteConfigs(tx)
	v.release(tx)
	return nil
}

// deleteConfigs removes what belongs to a qualifier.
func (r reference) deleteConfigs(tx *store.Tx) {
	policies.Delete(tx, r.key())
	asyncConfigs.Delete(tx, r.key())
	deleteURL(tx, r)
	r.deleteProvision(tx)
}
