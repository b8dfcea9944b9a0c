package credential

import (
	"errors"
	"io"
	"slices"
)

// nonceSize is how many random bytes precede what Hide sealed.
const nonceSize = 12

// ErrHidden is that Reveal was given what was not sealed by Hide, under this key, for this use.
var ErrHidden = errors.New("credential: not a sealed secret")

// Hide seals a secret for a use, such as the name of the row it is stored in: only for that use is it revealed.
func (s *Sealer) Hide(chance io.Reader, secret []byte, use string) ([]byte, error) {
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(chance, nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(slices.Clone(nonce), nonce, secret, []byte("secret\x00"+use)), nil
}

// Reveal returns the secret Hide sealed for the use, or ErrHidden.
func (s *Sealer) Reveal(sealed []byte, use string) ([]byte, error) {
	if len(sealed) < nonceSize {
		return nil, ErrHidden
	}
	secret, err := s.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], []byte("secret\x00"+use))
	if err != nil {
		return nil, ErrHidden
	}
	return secret, nil
}
