// Package order is what the shop means by an order: what a customer may send, what is kept,
// and what the rest of the company is told.
package order

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Cents is an amount of money in hundredths; in JSON a number with two decimals.
type Cents int64

// MarshalJSON writes 1234 as 12.34.
func (c Cents) MarshalJSON() ([]byte, error) {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Appendf(nil, "%s%d.%02d", sign, c/100, c%100), nil
}

// UnmarshalJSON reads a number with at most two decimals.
func (c *Cents) UnmarshalJSON(b []byte) error {
	whole, part, _ := strings.Cut(string(b), ".")
	if len(part) > 2 {
		return fmt.Errorf("amount %s has more than two decimals", b)
	}
	n, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	if err != nil {
		return fmt.Errorf("%.20q is not an amount", b)
	}
	*c = Cents(n)
	return nil
}

// Item is one line of an order.
type Item struct {
	SKU       string `json:"sku" dynamodbav:"sku"`
	Title     string `json:"title" dynamodbav:"title"`
	Kind      string `json:"kind" dynamodbav:"kind"` // "physical" or "digital"
	Quantity  int    `json:"quantity" dynamodbav:"quantity"`
	UnitPrice Cents  `json:"unitPrice" dynamodbav:"unitPrice"`
}

// Customer is who orders.
type Customer struct {
	Name  string `json:"name" dynamodbav:"name"`
	Email string `json:"email" dynamodbav:"email"`
}

// Request is what POST /orders takes: a new order, or the refund of one.
type Request struct {
	ClientToken string    `json:"clientToken"` // makes a repeated request harmless
	Customer    *Customer `json:"customer,omitempty"`
	Currency    string    `json:"currency,omitempty"`
	Items       []Item    `json:"items,omitempty"`
	Note        string    `json:"note,omitempty"`
	RefundOf    string    `json:"refundOf,omitempty"` // the client token of the order to refund
	Reason      string    `json:"reason,omitempty"`
}

// The states of an order.
const (
	Placed   = "PLACED"
	Refunded = "REFUNDED"
)

// Order is a row of the orders table, and the body of GET /orders/{id}.
type Order struct {
	OrderID     string   `json:"orderId" dynamodbav:"orderId"`
	Version     int      `json:"version" dynamodbav:"version"` // 1 when placed, then one more with each change
	Status      string   `json:"status" dynamodbav:"status"`
	Customer    Customer `json:"customer" dynamodbav:"customer"`
	Currency    string   `json:"currency" dynamodbav:"currency"`
	Items       []Item   `json:"items" dynamodbav:"items"`
	TotalCents  Cents    `json:"total" dynamodbav:"totalCents"`
	Physical    bool     `json:"physical" dynamodbav:"physical"` // has something to ship
	Note        string   `json:"note,omitempty" dynamodbav:"note,omitempty"`
	RefundToken string   `json:"-" dynamodbav:"refundToken,omitempty"`
	Reason      string   `json:"reason,omitempty" dynamodbav:"reason,omitempty"`
	ChangedAtMs int64    `json:"changedAtMs" dynamodbav:"changedAtMs"`
}

// Event is what the rest of the company hears of an order's change.
type Event struct {
	OrderID     string `json:"orderId"`
	Version     int    `json:"version"`
	Status      string `json:"status"`
	Total       Cents  `json:"total"`
	Currency    string `json:"currency"`
	Physical    bool   `json:"physical"`
	Customer    string `json:"customer"`
	ChangedAtMs int64  `json:"changedAtMs"` // when the table was written
	SentAtMs    int64  `json:"sentAtMs"`    // when order-changed passed it on
}

// ID returns the id of the order a client token stands for: the same token is the same order.
func ID(clientToken string) string {
	sum := sha256.Sum256([]byte("order/" + clientToken))
	return "ord-" + hex.EncodeToString(sum[:8])
}

// maxItems and its kin bound what one order may hold.
const (
	maxItems    = 50
	maxQuantity = 1000
	maxText     = 500
)

var currencies = []string{"EUR", "USD", "GBP", "JPY", "CHF", "SEK"}

// ParseRequest reads the body of POST /orders; the error is the reason to give for a 400.
func ParseRequest(body string) (*Request, error) {
	var r Request
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, errors.New("the body is not JSON")
		}
		return nil, fmt.Errorf("the body is not an order: %v", err)
	}
	return &r, r.check()
}

func (r *Request) check() error {
	if n := len(r.ClientToken); n < 1 || n > 64 {
		return errors.New("clientToken must have 1 to 64 characters")
	}
	if utf8.RuneCountInString(r.Note) > maxText || utf8.RuneCountInString(r.Reason) > maxText {
		return fmt.Errorf("note and reason may have %d characters", maxText)
	}
	if r.RefundOf != "" {
		return nil
	}
	if r.Customer == nil || strings.TrimSpace(r.Customer.Name) == "" {
		return errors.New("customer.name is missing")
	}
	if a, err := mail.ParseAddress(r.Customer.Email); err != nil || a.Name != "" {
		return errors.New("customer.email is not an e-mail address")
	}
	if !slices.Contains(currencies, r.Currency) {
		return fmt.Errorf("currency must be one of %s", strings.Join(currencies, ", "))
	}
	if len(r.Items) == 0 || len(r.Items) > maxItems {
		return fmt.Errorf("an order has 1 to %d items", maxItems)
	}
	for i, it := range r.Items {
		if err := it.check(); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

func (it Item) check() error {
	switch {
	case it.SKU == "":
		return errors.New("sku is missing")
	case it.Kind != "physical" && it.Kind != "digital":
		return errors.New("kind must be physical or digital")
	case it.Quantity < 1 || it.Quantity > maxQuantity:
		return fmt.Errorf("quantity must be 1 to %d", maxQuantity)
	case it.UnitPrice < 0 || it.UnitPrice > 100_000_000:
		return errors.New("unitPrice must be 0 to 1000000.00")
	}
	return nil
}

// New returns the order a checked request asks for.
func (r *Request) New(nowMs int64) Order {
	o := Order{OrderID: ID(r.ClientToken), Version: 1, Status: Placed, Customer: *r.Customer, Currency: r.Currency,
		Items: r.Items, Note: r.Note, ChangedAtMs: nowMs}
	for _, it := range r.Items {
		o.TotalCents += Cents(it.Quantity) * it.UnitPrice
		o.Physical = o.Physical || it.Kind == "physical"
	}
	return o
}
