package lambda

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"fogbank/api/lambda"
	"fogbank/compute"
)

// hotBucket is the name of a bucket there is not: its keys are directories of the server's machine, from which a
// function runs without an upload.
const hotBucket = "hot-reload"

// takeCode notes in f where its code is: in a zip file, or in a directory.
func (s *Service) takeCode(f *function, zip []byte, bucket, key *string) error {
	switch {
	case bucket == nil && key == nil:
		return s.putCode(f, zip)
	case bucket == nil || *bucket != hotBucket:
		return unwritten("code from S3; pass the zip file itself as ZipFile")
	case key == nil || *key == "":
		return lambda.InvalidParameterValueException("S3Key must be the directory of the code.")
	}
	if _, _, err := s.openHot(*key); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(hotBucket + *key))
	f.Dir, f.Package = *key, hex.EncodeToString(sum[:])
	return nil
}

// openHot is compute.Hot.Open.
func (s *Service) openHot(dir string) (real, fingerprint string, err error) {
	hot := s.o.Hot
	if hot == nil {
		hot = new(compute.Hot)
	}
	if real, fingerprint, err = hot.Open(dir); err != nil {
		return "", "", lambda.InvalidParameterValueException("The code cannot be used where it lies: %v.", err)
	}
	return real, fingerprint, nil
}

// code is where an invocation of f finds its code, and what environments share that may run it.
func (s *Service) code(f *function) (dir, environment string, err error) {
	if f.Dir == "" {
		return "", f.Environment, nil
	}
	dir, fingerprint, err := s.openHot(f.Dir)
	return dir, f.Environment + fingerprint, err
}

// location is where the code of f can be had for a while; nil for code that was not uploaded.
func (s *Service) location(ctx context.Context, f *function) (*string, error) {
	if f.Dir != "" {
		return nil, nil
	}
	url, err := s.downloadURL(ctx, f.Package)
	return &url, err
}
