package sns

import (
	"context"
	"crypto/subtle"
	"time"

	"fogbank/api/sns"
	"fogbank/store"
)

// No account here is in the sandbox in which AWS keeps new ones, but its list of verified numbers works: the one-time
// password goes out as a text message.
//
// https://docs.aws.amazon.com/sns/latest/dg/sns-sms-sandbox.html
const (
	maxSandbox       = 10
	passwordLife     = 15 * time.Minute
	passwordTries    = 5
	passwordAlphabet = "0123456789"
)

// sandboxNumber is the record of a number on that list.
type sandboxNumber struct {
	Password string // "" once it is verified
	Expires  time.Time
	Wrong    int // passwords tried
}

var sandbox = store.NewTable[sandboxNumber]("sns/sandbox", store.Regional)

// GetSMSSandboxAccountStatus tells that the account is not in the sandbox.
func (s *Service) GetSMSSandboxAccountStatus(context.Context, *sns.GetSMSSandboxAccountStatusInput) (*sns.GetSMSSandboxAccountStatusOutput, error) {
	return &sns.GetSMSSandboxAccountStatusOutput{}, nil
}

// ListOriginationNumbers tells that there are none: they are bought elsewhere.
func (s *Service) ListOriginationNumbers(context.Context, *sns.ListOriginationNumbersInput) (*sns.ListOriginationNumbersOutput, error) {
	return &sns.ListOriginationNumbersOutput{PhoneNumbers: []sns.PhoneNumberInformation{}}, nil
}

// CreateSMSSandboxPhoneNumber puts a number on the list and sends it a one-time password, a new one each time.
func (s *Service) CreateSMSSandboxPhoneNumber(ctx context.Context, in *sns.CreateSMSSandboxPhoneNumberInput) (*sns.CreateSMSSandboxPhoneNumberOutput, error) {
	if err := checkPhone(in.PhoneNumber); err != nil {
		return nil, err
	}
	password, id := s.world.Text(6, passwordAlphabet), s.world.UUID()
	return &sns.CreateSMSSandboxPhoneNumberOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		key, count := store.K(in.PhoneNumber), 0
		for range sandbox.Keys(tx, store.Range{}) {
			count++
		}
		if optOuts.Has(tx, key) {
			return sns.OptedOutException("Phone number is opted out")
		}
		if !sandbox.Has(tx, key) && count >= maxSandbox {
			return sns.UserErrorException("The sandbox has room for %d phone numbers", maxSandbox)
		}
		now := tx.World().Now()
		sandbox.Put(tx, key, sandboxNumber{Password: password, Expires: now.Add(passwordLife)})
		s.add(tx, delivery{target: target{ID: in.PhoneNumber, Protocol: "sms", Endpoint: in.PhoneNumber},
			message: message{ID: id, Body: "Your verification code is " + password, At: now.UnixMilli()}})
		return nil
	})
}

// VerifySMSSandboxPhoneNumber checks the one-time password.
func (s *Service) VerifySMSSandboxPhoneNumber(ctx context.Context, in *sns.VerifySMSSandboxPhoneNumberInput) (*sns.VerifySMSSandboxPhoneNumberOutput, error) {
	wrong := false
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		key := store.K(in.PhoneNumber)
		n, ok := sandbox.Get(tx, key)
		if !ok {
			return errNoNumber()
		}
		wrong = n.Password == "" || n.Wrong >= passwordTries || tx.World().Now().After(n.Expires) ||
			subtle.ConstantTimeCompare([]byte(n.Password), []byte(in.OneTimePassword)) != 1
		if wrong {
			n.Wrong++
		} else {
			n = sandboxNumber{}
		}
		sandbox.Put(tx, key, n)
		return nil
	})
	if err == nil && wrong {
		err = sns.VerificationException("The one-time password is wrong or has expired")
	}
	return &sns.VerifySMSSandboxPhoneNumberOutput{}, err
}

func errNoNumber() error {
	return sns.ResourceNotFoundException("The phone number is not in the sandbox")
}

// DeleteSMSSandboxPhoneNumber takes a number off the list.
func (s *Service) DeleteSMSSandboxPhoneNumber(ctx context.Context, in *sns.DeleteSMSSandboxPhoneNumberInput) (*sns.DeleteSMSSandboxPhoneNumberOutput, error) {
	return &sns.DeleteSMSSandboxPhoneNumberOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		if !sandbox.Has(tx, store.K(in.PhoneNumber)) {
			return errNoNumber()
		}
		sandbox.Delete(tx, store.K(in.PhoneNumber))
		return nil
	})
}

// ListSMSSandboxPhoneNumbers returns the list, which fits a page.
func (s *Service) ListSMSSandboxPhoneNumbers(ctx context.Context, _ *sns.ListSMSSandboxPhoneNumbersInput) (*sns.ListSMSSandboxPhoneNumbersOutput, error) {
	out := &sns.ListSMSSandboxPhoneNumbersOutput{PhoneNumbers: []sns.SMSSandboxPhoneNumber{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		for key, n := range sandbox.All(tx, "") {
			var number string
			if err := key.Parse(&number); err != nil {
				return err
			}
			status := "Verified"
			if n.Password != "" {
				status = "Pending"
			}
			out.PhoneNumbers = append(out.PhoneNumbers, sns.SMSSandboxPhoneNumber{PhoneNumber: &number, Status: &status})
		}
		return nil
	})
}
