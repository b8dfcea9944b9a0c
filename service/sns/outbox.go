package sns

import (
	"context"
	"time"

	"fogbank/store"
)

// maxOutbox is how many letters the outbox of a region keeps; older ones fall out.
const maxOutbox = 10_000

// Letter is something that would have left for a person: a mail, a text message or a push, where no relay or gateway is
// configured to take it.
type Letter struct {
	Number    uint64    `json:"number"` // in the order they were written
	At        time.Time `json:"at"`
	Protocol  string    `json:"protocol"` // email, email-json, sms, application
	To        string    `json:"to"`       // address, number, or ARN of an endpoint
	From      string    `json:"from,omitempty"`
	Device    string    `json:"device,omitempty"` // the token of a push's device
	Subject   string    `json:"subject,omitempty"`
	Body      string    `json:"body"`
	MessageID string    `json:"messageId"`
	Topic     string    `json:"topic,omitempty"`
}

// outbox is the letters of a region.
var outbox = store.NewLog[Letter]("sns/outbox", store.Regional)

// drop puts a letter in the outbox.
func drop(tx *store.Tx, l Letter) {
	last := outbox.Last(tx, store.K())
	outbox.Append(tx, store.K(), l)
	if last >= maxOutbox {
		outbox.Trim(tx, store.K(), last+1-maxOutbox)
	}
}

// letter is a delivery as the outbox keeps it.
func (d *delivery) letter(at time.Time) Letter {
	return Letter{At: at, Protocol: d.Protocol, To: d.Endpoint, Subject: d.message.Subject, Body: d.message.Body, MessageID: d.message.ID, Topic: d.message.Topic}
}

// Outbox returns letters of the call's account and region, those after a number, at most limit of them.
func (s *Service) Outbox(ctx context.Context, after uint64, limit int) (list []Letter, err error) {
	return list, s.db.View(ctx, func(tx *store.Tx) error {
		for _, e := range outbox.Read(tx, store.K(), after, limit) {
			e.Value.Number = e.Seq
			list = append(list, e.Value)
		}
		return nil
	})
}
