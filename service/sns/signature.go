package sns

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"fogbank/store"
	"fogbank/world"
)

// Signatures are RSA with PKCS #1 v1.5, over SHA1 or SHA256: nothing else verifies with AWS's SDKs. Signing costs
// with the third power of the key's size. Messages to queues and functions never leave this process before
// SQS or Lambda has checked who may read them, so a 1,024-bit key, which costs a quarter of
// what 2,048 bits cost, signs them; keys with more bits are for deliveries over a network.
//
// A publish that needs a signature has it computed while its commit is being synced, and
// every delivery of the message uses the same one: the signatures lately made are kept in memory,
// which is the one thing the service remembers. They can be made again at any time.
const (
	queueKey   = "queue"
	webKey     = "web"
	keptStamps = 512
)

// keyBits is the size of each key.
var keyBits = map[string]int{queueKey: 1024, webKey: 2048}

// keyFor names the key that signs messages of a protocol.
func keyFor(protocol string) string {
	if inside(protocol) {
		return queueKey
	}
	return webKey
}

// certificateLife is how long a certificate is valid.
const certificateLife = 20 * 365 * 24 * time.Hour

// keyRecord is a signing key: PKCS #1, and its certificate, both DER.
type keyRecord struct {
	Key, Certificate []byte
}

var keys = store.NewTable[keyRecord]("sns/key", store.Global)

// signingKey is a key ready for use.
type signingKey struct {
	private *rsa.PrivateKey
	path    string
	pem     []byte
}

var signingKeys = store.Derive(keys, func(_ store.Key, r keyRecord) (*signingKey, error) {
	private, err := x509.ParsePKCS1PrivateKey(r.Key)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	sum := sha256.Sum256(r.Certificate)
	return &signingKey{private, certificatePrefix + hex.EncodeToString(sum[:16]) + ".pem",
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate})}, nil
})

// signer makes and remembers signatures.
type signer struct {
	db    *store.DB
	world *world.World

	mu   sync.Mutex
	made map[string]*pending // by message id and protocol's body: see begin
	ring [keptStamps]string  // the keys of made, oldest at next
	next int
}

// pending is a signature being made.
type pending struct {
	done  chan struct{} // closed when stamp and err are set
	stamp stamp
	err   error
}

func newSigner(db *store.DB, w *world.World) *signer {
	return &signer{db: db, world: w, made: map[string]*pending{}}
}

// begin has a message signed in the background.
func (s *signer) begin(m *message, key string) {
	p, mine := s.slot(m, key)
	if mine {
		m := *m
		s.world.Go(func(ctx context.Context) { s.fill(ctx, p, &m, key) })
	}
}

// sign returns the message's signature, from memory when it was made lately.
func (s *signer) sign(ctx context.Context, m *message, key string) (stamp, error) {
	p, mine := s.slot(m, key)
	if mine {
		s.fill(ctx, p, m, key)
	}
	select {
	case <-p.done:
		if p.err == nil {
			return p.stamp, nil
		}
	case <-ctx.Done():
		return stamp{}, ctx.Err()
	}
	retried := &pending{done: make(chan struct{})}
	s.fill(ctx, retried, m, key)
	return retried.stamp, retried.err
}

// slot finds the message's signature or makes room for it, which is then the caller's to fill.
func (s *signer) slot(m *message, key string) (p *pending, mine bool) {
	sum := sha256.Sum256([]byte(m.Body))
	id := key + m.ID + string(sum[:8])
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.made[id]; ok {
		return p, false
	}
	delete(s.made, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % keptStamps
	p = &pending{done: make(chan struct{})}
	s.made[id] = p
	return p, true
}

// fill makes the signature.
func (s *signer) fill(ctx context.Context, p *pending, m *message, name string) {
	defer close(p.done)
	key, err := s.key(ctx, name)
	if err != nil {
		p.err = err
		return
	}
	hash, digest := crypto.SHA1, []byte(nil)
	if m.Version == "2" {
		sum := sha256.Sum256(m.signed())
		hash, digest = crypto.SHA256, sum[:]
	} else {
		sum := sha1.Sum(m.signed())
		digest = sum[:]
	}
	signature, err := rsa.SignPKCS1v15(nil, key.private, hash, digest)
	p.stamp, p.err = stamp{base64.StdEncoding.EncodeToString(signature), key.path}, err
}

// key returns a signing key, made when there is none yet.
func (s *signer) key(ctx context.Context, name string) (*signingKey, error) {
	var key *signingKey
	read := func(tx *store.Tx) (err error) {
		key, _, err = signingKeys.Get(tx, store.K(name))
		return err
	}
	if err := s.db.View(ctx, read); err != nil || key != nil {
		return key, err
	}
	record, err := newKey(s.world, keyBits[name])
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if !keys.Has(tx, store.K(name)) {
			keys.Put(tx, store.K(name), record)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return key, s.db.View(ctx, read)
}

// newKey makes a key of chance from the world, and a certificate it signs itself.
func newKey(w *world.World, bits int) (keyRecord, error) {
	private, err := generate(w, bits)
	if err != nil {
		return keyRecord{}, err
	}
	serial := new(big.Int).SetUint64(w.Uint64() >> 1)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "sns.amazonaws.com"},
		DNSNames:     []string{"sns.amazonaws.com"},
		NotBefore:    w.Now().Add(-time.Hour),
		NotAfter:     w.Now().Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(w, template, template, &private.PublicKey, private)
	if err != nil {
		return keyRecord{}, fmt.Errorf("make the signing certificate: %w", err)
	}
	return keyRecord{x509.MarshalPKCS1PrivateKey(private), certificate}, nil
}

// generate is rsa.GenerateKey with chance from the world, so that seeded worlds have the same key.
func generate(w *world.World, bits int) (*rsa.PrivateKey, error) {
	one, e := big.NewInt(1), big.NewInt(65537)
	for {
		p, q := prime(w, bits/2), prime(w, bits/2)
		n := new(big.Int).Mul(p, q)
		totient := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, totient)
		if p.Cmp(q) == 0 || d == nil || n.BitLen() != bits {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		if err := key.Validate(); err != nil {
			return nil, fmt.Errorf("make a signing key: %w", err)
		}
		return key, nil
	}
}

// prime draws primes whose two highest bits are set, so that the product of two has all its bits.
func prime(w *world.World, bits int) *big.Int {
	b := make([]byte, bits/8)
	for {
		w.Read(b)
		b[0] |= 0xc0
		b[len(b)-1] |= 1
		if p := new(big.Int).SetBytes(b); p.ProbablyPrime(20) {
			return p
		}
	}
}

// certificatePrefix begins the path of every certificate.
const certificatePrefix = "/SimpleNotificationService-"

// IsCertificate reports whether a path may be that of a signing certificate.
func IsCertificate(path string) bool {
	return strings.HasPrefix(path, certificatePrefix) && strings.HasSuffix(path, ".pem")
}

// Certificate returns the PEM form of the signing certificate served at a path, "/SimpleNotificationService-….pem".
func (s *Service) Certificate(ctx context.Context, path string) (pem []byte, found bool, err error) {
	return pem, found, s.db.View(ctx, func(tx *store.Tx) error {
		for name := range keyBits {
			key, ok, err := signingKeys.Get(tx, store.K(name))
			if err != nil {
				return err
			}
			if ok && key.path == path {
				pem, found = key.pem, true
			}
		}
		return nil
	})
}
