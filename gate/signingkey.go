package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"sync"
)

// signingKey is a derived key in the form HMAC starts from: the key, padded to a
// block, combined with the inner and the outer pad. Keeping both saves two of the
// five hashes of every verification and all of hmac.New's allocation.
type signingKey struct {
	secret       string
	inner, outer [sha256.BlockSize]byte
}

// deriveKey computes the signing key of one secret for one day, region and service.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html#calculate-signature
func deriveKey(secret, date, region, service string) *signingKey {
	k := []byte("AWS4" + secret)
	for _, part := range [...]string{date, region, service, "aws4_request"} {
		h := hmac.New(sha256.New, k)
		h.Write([]byte(part))
		k = h.Sum(nil)
	}
	key := &signingKey{secret: secret}
	copy(key.inner[:], k)
	copy(key.outer[:], k)
	for i := range key.inner {
		key.inner[i] ^= 0x36
		key.outer[i] ^= 0x5c
	}
	return key
}

// finish turns the message, already preceded by the key's inner pad, into its HMAC.
func (k *signingKey) finish(padded []byte) [sha256.Size]byte {
	sum := sha256.Sum256(padded)
	var b [sha256.BlockSize + sha256.Size]byte
	copy(b[:], k.outer[:])
	copy(b[sha256.BlockSize:], sum[:])
	return sha256.Sum256(b[:])
}

// maxSigningKeys bounds the cache; a full cache is emptied, which costs each
// caller one derivation.
const maxSigningKeys = 1024

type keyName struct{ id, date, region, service string }

// signingKeys keeps derived keys, since deriving one costs more than a verification.
// The zero value is ready.
type signingKeys struct {
	mu   sync.RWMutex
	keys map[keyName]*signingKey
}

// get returns the key of the secret now belonging to id, derived anew when the secret
// changed; cached is false for one that is not kept yet.
func (c *signingKeys) get(id, secret, date, region, service string) (key *signingKey, cached bool) {
	c.mu.RLock()
	key = c.keys[keyName{id, date, region, service}]
	c.mu.RUnlock()
	if key != nil && sameSecret(key.secret, secret) {
		return key, true
	}
	return deriveKey(secret, date, region, service), false
}

// put keeps a key, once a request proved that its holder asks for it: nobody else can fill the cache.
func (c *signingKeys) put(key *signingKey, id, date, region, service string) {
	// The parts alias a request's header, which a kept name must not keep alive.
	name := keyName{strings.Clone(id), strings.Clone(date), strings.Clone(region), strings.Clone(service)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxSigningKeys {
		c.keys = make(map[keyName]*signingKey)
	}
	c.keys[name] = key
}

// sameSecret compares two secrets in a time that depends on their lengths only.
func sameSecret(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
