package sns

import (
	"context"
	"strings"

	"fogbank/aws"
	"fogbank/egress"
	"fogbank/store"
)

// defaultSender is the name mail comes from when the topic has no DisplayName.
const defaultSender = "AWS Notifications"

// mail delivers by mail: to the relay when there is one, else to the outbox.
func (s *Service) mail(ctx context.Context, d *delivery, once string) error {
	m := &d.message
	letter := d.letter(s.world.Now())
	letter.From = defaultSender
	err := s.db.View(ctx, func(tx *store.Tx) error {
		f, ok, err := facts.Get(tx, store.K(aws.ARN(m.Topic).Resource()))
		if ok && f.display != "" {
			letter.From = f.display
		}
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case m.Kind == confirmation:
		letter.Subject = "AWS Notification - Subscription Confirmation"
	case m.Kind == endConfirmation:
		letter.Subject = "AWS Notification - Unsubscribe Confirmation"
	case !m.HasSubject:
		letter.Subject = "AWS Notification Message"
	}
	if d.Protocol == "email" {
		letter.Body = m.text(d.subscription())
	} else {
		stamp, err := s.signer.sign(ctx, m, webKey)
		if err != nil {
			return err
		}
		e := m.envelope(stamp)
		letter.Body = e.to(d.ID)
	}
	if !s.network.Mails() {
		return s.db.Update(ctx, func(tx *store.Tx) error { drop(tx, letter); return nil })
	}
	err = s.network.Send(ctx, &egress.Mail{ID: strings.ReplaceAll(once, "/", "."), Name: letter.From, To: letter.To, Subject: letter.Subject, Body: letter.Body, At: letter.At})
	if err != nil {
		return &setback{cause: aws.Errorf("MailFailed", 503, "%s", err), final: egress.Refused(err)}
	}
	return nil
}

// text is a message as a person reads it.
func (m *message) text(subscription string) string {
	switch m.Kind {
	case confirmation:
		return "Somebody asked for the messages of this topic to be sent to you:\r\n" + m.Topic +
			"\r\n\r\nIf you want them, open this link within two days:\r\n" + m.confirm() +
			"\r\n\r\nIf you do not, there is nothing to do.\r\n"
	case endConfirmation:
		return "You will get no more messages of this topic:\r\n" + m.Topic +
			"\r\n\r\nIf you did not mean that, open this link within two days:\r\n" + m.confirm() + "\r\n"
	}
	return m.Body + "\r\n\r\n--\r\nTo stop getting messages of this topic, open this link:\r\n" + m.unsubscribe(subscription) + "\r\n"
}
