package credential

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"fogbank/aws"
)

// KeySize is the length of a sealing key in bytes.
const KeySize = 32

// MaxToken is the length of the longest token Open looks at; Seal makes none longer.
const MaxToken = 8 << 10

// ErrToken is the error of Open for whatever is not a token of the key id it is
// presented with.
var ErrToken = errors.New("credential: the session token is not valid")

// ErrTooLarge is the error of Seal for a session whose policies and tags do not fit a token.
var ErrTooLarge = errors.New("credential: the session does not fit a token")

// secretSize is how many bytes of chance are in a secret access key of 40 letters.
const secretSize = 30

// Sealer seals and opens session tokens under one key. It is safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns the sealer of a key of KeySize random bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, errors.New("credential: a sealing key has " + strconv.Itoa(KeySize) + " bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead}, nil
}

var base32Key = base32.StdEncoding

// tokenPrefix marks the format; base64 of the nonce and what is sealed follows: the secret, then the session.
const tokenPrefix = "Fog1"

// Seal issues temporary credentials for a session. Chance is read for the key id, the nonce and
// the secret, 47 bytes.
func (s *Sealer) Seal(chance io.Reader, session *Session) (Temporary, error) {
	var fresh [5 + 12 + secretSize]byte
	if _, err := io.ReadFull(chance, fresh[:]); err != nil {
		return Temporary{}, err
	}
	id := temporaryKeyID(session.Account, fresh[:5])
	nonce, secret := fresh[5:17], fresh[17:]
	raw := s.aead.Seal(slices.Clone(nonce), nonce, session.append(slices.Clone(secret)), []byte(id))
	token := tokenPrefix + base64.StdEncoding.EncodeToString(raw)
	if len(token) > MaxToken {
		return Temporary{}, ErrTooLarge
	}
	return Temporary{AccessKeyID: id, SecretAccessKey: base64.StdEncoding.EncodeToString(secret), SessionToken: token, Expires: session.Expires}, nil
}

// Open returns the session a token was sealed for and the secret access key that goes with it.
// Expiry is not looked at. The error is ErrToken, whatever is wrong.
func (s *Sealer) Open(keyID, token string) (session Session, secret string, err error) {
	body, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) > MaxToken {
		return Session{}, "", ErrToken
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return Session{}, "", ErrToken
	}
	nonce, sealed := raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():]
	plain, err := s.aead.Open(sealed[:0], nonce, sealed, []byte(keyID))
	if err != nil || len(plain) < secretSize {
		return Session{}, "", ErrToken
	}
	if session, err = parseSession(plain[secretSize:]); err != nil {
		return Session{}, "", ErrToken
	}
	return session, base64.StdEncoding.EncodeToString(plain[:secretSize]), nil
}

// temporaryKeyID returns ASIA and 16 letters that encode the account and five random bytes.
func temporaryKeyID(account string, chance []byte) string {
	n, _ := strconv.ParseUint(account, 10, 40)
	var b [10]byte
	binary.BigEndian.PutUint64(b[:], n<<24)
	copy(b[5:], chance)
	return "ASIA" + base32Key.EncodeToString(b[:])
}

// AccountOf returns the account a temporary access key id was issued in.
func AccountOf(keyID string) (string, bool) {
	body, ok := strings.CutPrefix(keyID, "ASIA")
	b, err := base32Key.DecodeString(body)
	if !ok || err != nil || len(b) != 10 {
		return "", false
	}
	s := strconv.FormatUint(binary.BigEndian.Uint64(b)>>24, 10)
	if len(s) > 12 {
		return "", false
	}
	return strings.Repeat("0", 12-len(s)) + s, true
}

// format is the first byte of a sealed session.
const format = 1

// append appends the session: numbers as varints, texts with their length before them.
func (x *Session) append(b []byte) []byte {
	chained := byte(0)
	if x.Chained {
		chained = 1
	}
	b = append(b, format, byte(x.Kind), chained)
	b = binary.AppendUvarint(b, uint64(x.Issued.Unix()))
	b = binary.AppendUvarint(b, uint64(x.Expires.Unix()))
	b = texts(b, x.Account, x.ID, x.Name, x.Policy)
	b = texts(binary.AppendUvarint(b, uint64(len(x.PolicyARNs))), x.PolicyARNs...)
	b = binary.AppendUvarint(b, uint64(len(x.Tags)))
	for k, v := range x.Tags {
		b = texts(b, k, v)
	}
	return b
}

func texts(b []byte, list ...string) []byte {
	for _, s := range list {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// reader reads what append wrote; bad stays set once something did not fit.
type reader struct {
	b   string
	bad bool
}

func (r *reader) number() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		if r.b == "" {
			break
		}
		c := r.b[0]
		r.b = r.b[1:]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *reader) text() string {
	n := r.number()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

// count reads how many elements follow; each takes at least a byte.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func parseSession(plain []byte) (Session, error) {
	if len(plain) < 3 || plain[0] != format {
		return Session{}, ErrToken
	}
	x := Session{Kind: aws.Kind(plain[1]), Chained: plain[2] == 1}
	r := reader{b: string(plain[3:])}
	x.Issued = time.Unix(int64(r.number()), 0).UTC()
	x.Expires = time.Unix(int64(r.number()), 0).UTC()
	x.Account, x.ID, x.Name, x.Policy = r.text(), r.text(), r.text(), r.text()
	for range r.count() {
		x.PolicyARNs = append(x.PolicyARNs, r.text())
	}
	if n := r.count(); n > 0 {
		x.Tags = make(map[string]string, n)
		for range n {
			k := r.text()
			x.Tags[k] = r.text()
		}
	}
	if r.bad || r.b != "" {
		return Session{}, ErrToken
	}
	return x, nil
}
