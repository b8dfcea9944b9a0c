package sns

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"

	"fogbank/api/sns"
	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
)

// Text messages cost money on AWS, and stop when a month's limit is reached. Here a part of one costs partPrice, which
// is near what AWS takes for the United States.
const (
	partPrice    = 6450      // in millionths of a dollar
	defaultLimit = 1_000_000 // a month
	maxText      = 1600      // characters
)

// phone is a number as E.164 has it.
var phone = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)

// smsAccount is what text messages of an account have in common in a region.
type smsAccount struct {
	Attributes map[string]string // those that were set
	Month      string            // "2026-01"
	Spent      int64             // in it, in millionths of a dollar
}

var accounts = store.NewTable[smsAccount]("sns/account", store.Regional)

// optOuts are the numbers that want no messages.
var optOuts = store.NewTable[time.Time]("sns/optout", store.Regional)

// smsAttributes check what SetSMSAttributes may set.
var smsAttributes = map[string]func(v string) bool{
	"MonthlySpendLimit":                 func(v string) bool { n, err := strconv.ParseUint(v, 10, 31); return err == nil && n > 0 },
	"DeliveryStatusIAMRole":             func(v string) bool { return checkFeedback("", "", v) == nil },
	"DeliveryStatusSuccessSamplingRate": func(v string) bool { n, err := strconv.Atoi(v); return err == nil && n >= 0 && n <= 100 },
	"DefaultSenderID":                   func(v string) bool { return senderID.MatchString(v) },
	"DefaultSMSType":                    func(v string) bool { return v == "Promotional" || v == "Transactional" },
	"UsageReportS3Bucket":               nil,
}

var senderID = regexp.MustCompile(`^[A-Za-z0-9]{1,11}$`)

// SetSMSAttributes sets what holds for all text messages of the account and region.
func (s *Service) SetSMSAttributes(ctx context.Context, in *sns.SetSMSAttributesInput) (*sns.SetSMSAttributesOutput, error) {
	for name, v := range in.Attributes {
		valid, known := smsAttributes[name]
		switch {
		case !known:
			return nil, invalid("Attributes Reason: Invalid attribute name: %s", name)
		case valid == nil:
			return nil, notYet("the SMS attribute " + name)
		case v != "" && !valid(v):
			return nil, invalid("Attributes Reason: Invalid value for attribute: %s", name)
		}
	}
	return &sns.SetSMSAttributesOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		a, _ := accounts.Get(tx, store.K())
		set := map[string]string{}
		maps.Copy(set, a.Attributes)
		maps.Copy(set, in.Attributes)
		maps.DeleteFunc(set, func(_, v string) bool { return v == "" })
		a.Attributes = set
		accounts.Put(tx, store.K(), a)
		return nil
	})
}

// GetSMSAttributes returns those attributes, or the ones asked for.
func (s *Service) GetSMSAttributes(ctx context.Context, in *sns.GetSMSAttributesInput) (*sns.GetSMSAttributesOutput, error) {
	out := &sns.GetSMSAttributesOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		a, _ := accounts.Get(tx, store.K())
		out.Attributes = map[string]string{"MonthlySpendLimit": "1"}
		maps.Copy(out.Attributes, a.Attributes)
		maps.DeleteFunc(out.Attributes, func(name, _ string) bool { return len(in.Attributes) > 0 && !slices.Contains(in.Attributes, name) })
		return nil
	})
}

// checkPhone checks a number.
func checkPhone(number string) error {
	if !phone.MatchString(number) {
		return invalid("PhoneNumber Reason: %s is not valid to publish to", number)
	}
	return nil
}

// CheckIfPhoneNumberIsOptedOut tells whether a number wants no messages.
func (s *Service) CheckIfPhoneNumberIsOptedOut(ctx context.Context, in *sns.CheckIfPhoneNumberIsOptedOutInput) (*sns.CheckIfPhoneNumberIsOptedOutOutput, error) {
	if err := checkPhone(in.PhoneNumber); err != nil {
		return nil, err
	}
	out := &sns.CheckIfPhoneNumberIsOptedOutOutput{}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		out.IsOptedOut = new(optOuts.Has(tx, store.K(in.PhoneNumber)))
		return nil
	})
}

// ListPhoneNumbersOptedOut returns the numbers that want no messages, 100 at a time.
func (s *Service) ListPhoneNumbersOptedOut(ctx context.Context, in *sns.ListPhoneNumbersOptedOutInput) (*sns.ListPhoneNumbersOptedOutOutput, error) {
	after, err := readToken(in.GetNextToken())
	if err != nil {
		return nil, err
	}
	out := &sns.ListPhoneNumbersOptedOutOutput{PhoneNumbers: []string{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		var last store.Key
		for key := range optOuts.Keys(tx, store.Range{After: after, Limit: pageSize + 1}) {
			if len(out.PhoneNumbers) == pageSize {
				out.NextToken = new(token(last))
				break
			}
			var number string
			if err := key.Parse(&number); err != nil {
				return err
			}
			out.PhoneNumbers, last = append(out.PhoneNumbers, number), key
		}
		return nil
	})
}

// OptInPhoneNumber lets a number be sent messages again.
func (s *Service) OptInPhoneNumber(ctx context.Context, in *sns.OptInPhoneNumberInput) (*sns.OptInPhoneNumberOutput, error) {
	if err := checkPhone(in.PhoneNumber); err != nil {
		return nil, err
	}
	return &sns.OptInPhoneNumberOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		optOuts.Delete(tx, store.K(in.PhoneNumber))
		return nil
	})
}

// OptOut notes that a number wants no more messages: its owner answered STOP.
func (s *Service) OptOut(ctx context.Context, number string) error {
	if err := checkPhone(number); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		optOuts.Put(tx, store.K(number), tx.World().Now())
		return nil
	})
}

// parts is how many text messages a text takes: 160 characters of the seven-bit alphabet or 70 others, a little less when
// there are several.
func parts(text string) int64 {
	n, single, several := 0, 160, 153
	for _, r := range text {
		n++
		if r > 127 {
			n, single, several = len(utf16.Encode([]rune(text))), 70, 67
			break
		}
	}
	if n <= single {
		return 1
	}
	return int64((n + several - 1) / several)
}

// pay takes the price of a text message from the month's limit, or returns why it must not be sent.
func pay(tx *store.Tx, number, text string) error {
	refused := func(why string) error {
		return &setback{cause: aws.Errorf("Blocked", 403, "%s", why), final: true}
	}
	if optOuts.Has(tx, store.K(number)) {
		return refused("Phone number is opted out")
	}
	a, _ := accounts.Get(tx, store.K())
	if month := tx.World().Now().Format("2006-01"); a.Month != month {
		a.Month, a.Spent = month, 0
	}
	limit := int64(defaultLimit)
	if dollars, err := strconv.ParseInt(a.Attributes["MonthlySpendLimit"], 10, 64); err == nil {
		limit = dollars * 1_000_000
	}
	if a.Spent += parts(text) * partPrice; a.Spent > limit {
		return refused("No quota left for account")
	}
	accounts.Put(tx, store.K(), a)
	return nil
}

// smsSender returns the name a text message comes from: the message's, the account's, or none.
func smsSender(tx *store.Tx, m *message) string {
	for _, a := range m.Attributes {
		if a.Name == "AWS.SNS.SMS.SenderID" {
			return a.Value
		}
	}
	a, _ := accounts.Get(tx, store.K())
	return a.Attributes["DefaultSenderID"]
}

// text delivers a text message: to the gateway when there is one, else to the outbox. A gateway that answers 410 says that the
// number wants no more.
func (s *Service) text(ctx context.Context, d *delivery) (status int, err error) {
	letter := d.letter(s.world.Now())
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := pay(tx, d.Endpoint, d.message.Body); err != nil {
			return err
		}
		letter.From = smsSender(tx, &d.message)
		if s.smsGateway == "" {
			drop(tx, letter)
		}
		return nil
	})
	if err != nil || s.smsGateway == "" {
		return 0, err
	}
	status, err = s.gateway(ctx, s.smsGateway, letter)
	if status == gone {
		return status, s.gone(ctx, err, func(tx *store.Tx) { optOuts.Put(tx, store.K(d.Endpoint), tx.World().Now()) })
	}
	return status, err
}

// gone is the status of a gateway that does not know the recipient any more.
const gone = 410

// gone notes what a gateway said in the same breath as it failed.
func (s *Service) gone(ctx context.Context, cause error, note func(tx *store.Tx)) error {
	if err := s.db.Update(ctx, func(tx *store.Tx) error { note(tx); return nil }); err != nil {
		return err
	}
	return cause
}

// gateway posts a letter as JSON to a URL of the operator's.
func (s *Service) gateway(ctx context.Context, url string, l Letter) (int, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	answer, err := s.network.Do(ctx, &egress.Request{URL: url, Body: body, Trusted: true, Headers: []egress.Header{{Name: "Content-Type", Value: "application/json"}}})
	if err != nil {
		return 0, &setback{cause: aws.Errorf("GatewayFailed", 503, "%s", err), final: egress.Refused(err)}
	}
	return answer.Status, judge(answer.Status, nil)
}
