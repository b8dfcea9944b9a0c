package gate

import (
	"slices"

	"fogbank/aws"
	"fogbank/wire"
)

// refusal is why a caller was not let in. Its code on the wire depends on the protocol.
type refusal uint8

const (
	missing    refusal = iota // no signature at all
	incomplete                // a signature that cannot be read
	unknownKey                // an access key or session token that does not exist
	mismatch                  // a signature that is wrong, too old or of another scope
	expired                   // temporary credentials past their end
	denied                    // policy says no
)

// codes are the names AWS gives a refusal: in JSON protocols, and in the query protocol.
var codes = [...]struct{ json, query string }{
	missing:    {"MissingAuthenticationTokenException", "MissingAuthenticationToken"},
	incomplete: {"IncompleteSignatureException", "IncompleteSignature"},
	unknownKey: {"UnrecognizedClientException", "InvalidClientTokenId"},
	mismatch:   {"InvalidSignatureException", "SignatureDoesNotMatch"},
	expired:    {"ExpiredTokenException", "ExpiredToken"},
	denied:     {"AccessDeniedException", "AccessDenied"},
}

// rejection is a refusal with AWS's words for it, before the protocol is chosen.
type rejection struct {
	why     refusal
	message string
}

func reject(why refusal, message string) *rejection { return &rejection{why, message} }

func (r *rejection) Error() string { return codes[r.why].json + ": " + r.message }

// in returns the error as a client of protocol p of an API (nil when unknown) expects it:
// JSON RPC services answer 400 throughout, query ones 403 except for what they cannot
// read, REST ones 403.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func (r *rejection) in(p wire.Protocol, api *wire.API) *aws.Error {
	c := codes[r.why]
	e := &aws.Error{Code: c.json, Status: 400, Message: r.message}
	switch p {
	case wire.Query:
		e.Code = c.query
		if r.why != incomplete {
			e.Status = 403
		}
		if r.why == denied && api != nil && api.Name == "sns" {
			e.Code = "AuthorizationError" // SNS alone calls it so
		}
	case wire.RESTJSON:
		e.Status = 403
		if r.why == missing {
			e.Message = "Missing Authentication Token"
		}
	default:
		if api != nil && slices.Contains(api.Protocols, wire.Query) {
			e.Query = c.query
		}
	}
	return e
}
