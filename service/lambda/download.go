package lambda

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/store"
)

// DownloadPath is the beginning of the paths GetFunction gives out; Download answers below it.
const DownloadPath = "/_lambda/package/"

// downloadTime is how long such a URL is good.
const downloadTime = 10 * time.Minute

// secrets has one row: the key that signs download URLs.
var secrets = store.NewTable[[]byte]("lambda/secret", store.Global)

// secret returns the key, made at its first use.
func (s *Service) secret(ctx context.Context) (key []byte, err error) {
	at := store.K("download")
	err = s.db.View(ctx, func(tx *store.Tx) error {
		key, _ = secrets.Get(tx, at)
		return nil
	})
	if err != nil || key != nil {
		return key, err
	}
	fresh := make([]byte, 32)
	s.world.Read(fresh)
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		var ok bool
		if key, ok = secrets.Get(tx, at); !ok {
			key = fresh
			secrets.Put(tx, at, key)
		}
		return nil
	})
	return key, err
}

func sign(key []byte, name, expires string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(name + "?" + expires))
	return hex.EncodeToString(h.Sum(nil))
}

// downloadURL is where a package can be fetched without further proof, for a while.
func (s *Service) downloadURL(ctx context.Context, name string) (string, error) {
	key, err := s.secret(ctx)
	if err != nil {
		return "", err
	}
	endpoint := aws.CallFrom(ctx).Endpoint
	if endpoint == "" {
		endpoint = s.o.Endpoint
	}
	expires := strconv.FormatInt(s.world.Now().Add(downloadTime).Unix(), 10)
	return endpoint + DownloadPath + name + "?expires=" + expires + "&signature=" + sign(key, name, expires), nil
}

// Download returns the package a URL of GetFunction names: path begins with DownloadPath, expires and
// signature are its parameters.
func (s *Service) Download(ctx context.Context, path, expires, signature string) ([]byte, error) {
	name := strings.TrimPrefix(path, DownloadPath)
	key, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	until, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || !hmac.Equal([]byte(signature), []byte(sign(key, name, expires))) || s.world.Now().Unix() > until {
		return nil, lambda.AccessDeniedException("The URL has expired or was not made by this server.")
	}
	return s.o.Code.Get(name)
}
