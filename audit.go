package fogbank

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fogbank/aws"
	"fogbank/service/events"
	"fogbank/wire"
)

// dataPlane are the operations on what resources hold, which CloudTrail calls data events: no audit event has them.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-data-events-with-cloudtrail.html
var dataPlane = map[string][]string{
	"sqs": {"SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch"},
	"sns": {"Publish", "PublishBatch"},
	"dynamodb": {"BatchExecuteStatement", "BatchGetItem", "BatchWriteItem", "DeleteItem", "ExecuteStatement", "ExecuteTransaction", "GetItem", "PutItem",
		"Query", "Scan", "TransactGetItems", "TransactWriteItems", "UpdateItem"},
	"dynamodbstreams": {"GetRecords", "GetShardIterator"},
	"lambda":          {"Invoke", "InvokeAsync", "InvokeWithResponseStream"},
	"events":          {"PutEvents", "PutPartnerEvents", "TestEventPattern"},
	"logs":            {"PutLogEvents", "GetLogEvents", "FilterLogEvents", "GetLogRecord", "GetQueryResults", "StartLiveTail"},
}

// readOnly reports whether an operation changes nothing, by EventBridge's rule.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html
func readOnly(op *wire.Operation) bool {
	if op.Name == "GetFederationToken" || op.Name == "GetSessionToken" {
		return false
	}
	return strings.HasPrefix(op.Name, "Get") || strings.HasPrefix(op.Name, "List") || strings.HasPrefix(op.Name, "Describe")
}

// trail is a CloudTrail record of a management event.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type trail struct {
	EventVersion       string          `json:"eventVersion"`
	UserIdentity       *trailIdentity  `json:"userIdentity"`
	EventTime          string          `json:"eventTime"`
	EventSource        string          `json:"eventSource"`
	EventName          string          `json:"eventName"`
	AwsRegion          string          `json:"awsRegion"`
	SourceIPAddress    string          `json:"sourceIPAddress"`
	UserAgent          string          `json:"userAgent"`
	ErrorCode          string          `json:"errorCode,omitempty"`
	ErrorMessage       string          `json:"errorMessage,omitempty"`
	RequestParameters  json.RawMessage `json:"requestParameters"`
	ResponseElements   json.RawMessage `json:"responseElements"`
	RequestID          string          `json:"requestID"`
	EventID            string          `json:"eventID"`
	ReadOnly           bool            `json:"readOnly"`
	EventType          string          `json:"eventType"`
	ManagementEvent    bool            `json:"managementEvent"`
	RecipientAccountID string          `json:"recipientAccountId"`
	EventCategory      string          `json:"eventCategory"`
}

// trailIdentity is who called.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type trailIdentity struct {
	Type           string        `json:"type"`
	PrincipalID    string        `json:"principalId,omitempty"`
	ARN            string        `json:"arn,omitempty"`
	AccountID      string        `json:"accountId,omitempty"`
	AccessKeyID    string        `json:"accessKeyId,omitempty"`
	UserName       string        `json:"userName,omitempty"`
	SessionContext *trailSession `json:"sessionContext,omitempty"`
}

type trailSession struct {
	SessionIssuer trailIdentity `json:"sessionIssuer"`
}

// identityOf is a principal as CloudTrail shows it.
func identityOf(p *aws.Principal) *trailIdentity {
	id := &trailIdentity{PrincipalID: p.UserID, ARN: string(p.ARN), AccountID: p.Account, AccessKeyID: p.Key}
	switch p.Kind {
	case aws.Root:
		id.Type = "Root"
	case aws.User:
		id.Type, id.UserName = "IAMUser", p.ARN.Name()
	case aws.AssumedRole:
		id.Type = "AssumedRole"
		issuer, _, _ := strings.Cut(p.UserID, ":")
		id.SessionContext = &trailSession{trailIdentity{Type: "Role", PrincipalID: issuer, ARN: string(p.Role), AccountID: p.Account, UserName: p.Role.Name()}}
	case aws.FederatedUser:
		id.Type = "FederatedUser"
	default:
		id = &trailIdentity{Type: "Unknown"}
	}
	return id
}

// audit makes an event of the default bus of a client's call that manages resources. It is not kept for later
// when it cannot be made, as CloudTrail delivers on a best effort basis: the call itself has been answered for.
func (c *Cloud) audit(ctx context.Context, op *wire.Operation, in, out any, failure *aws.Error) {
	if slices.Contains(dataPlane[op.API.Name], op.Name) {
		return
	}
	call := *aws.CallFrom(ctx)
	if op.API.Name == "iam" { // a global service, whose events are those of one region
		call.Region = DefaultRegion
	}
	at := c.world.Now().UTC()
	t := trail{EventVersion: "1.11", UserIdentity: identityOf(&call.Principal), EventTime: at.Format(time.RFC3339), EventSource: op.API.Signing + ".amazonaws.com",
		EventName: op.Name, AwsRegion: call.Region, SourceIPAddress: "127.0.0.1", UserAgent: call.UserAgent, RequestID: call.RequestID, EventID: c.world.UUID(), ReadOnly: readOnly(op),
		EventType: "AwsApiCall", ManagementEvent: true, RecipientAccountID: call.Account, EventCategory: "Management", RequestParameters: told(op.Input, in)}
	if call.SourceIP.IsValid() {
		t.SourceIPAddress = call.SourceIP.String()
	}
	if failure != nil {
		t.ErrorCode, t.ErrorMessage = failure.Code, failure.Message
		if failure.Status == 403 && (strings.HasPrefix(failure.Code, "AccessDenied") || failure.Code == "AuthorizationError") {
			t.ErrorCode = "AccessDenied"
		}
	} else if !t.ReadOnly {
		t.ResponseElements = told(op.Output, out)
	}
	detail, err := json.Marshal(t)
	if err == nil {
		err = c.services.buses.Announce(aws.WithCall(ctx, &call), &events.Notice{Source: "aws." + op.API.Signing, DetailType: events.APICall, Detail: detail, At: at})
	}
	if err != nil {
		c.log.Warn("a call was not audited", slog.String("operation", op.Action), slog.Any("cause", err))
	}
}

const (
	// maxTold is how many bytes of parameters or answer an event tells; bigger ones are left out whole.
	maxTold = 100 << 10
	hidden  = "HIDDEN_DUE_TO_SECURITY_REASONS"
)

// secret are members, and keys of maps, that hold secrets, besides those the model calls sensitive.
var secret = []string{"Token", "PlatformPrincipal", "AuthParameters", "Password", "OldPassword", "NewPassword", "SecretAccessKey", "SessionToken", "WebIdentityToken", "SAMLAssertion",
	"TokenCode", "PlatformCredential", "PrivateKey", "Environment", "AuthenticationCode1", "AuthenticationCode2", "Base32StringSeed", "QRCodePNG"}

// told is an input or output as CloudTrail shows it: members begin in lower case, and secrets are hidden.
func told(shape *wire.Shape, v any) json.RawMessage {
	if v == nil || shape == nil {
		return nil
	}
	b := wire.AppendJSON(nil, shape, v)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var doc any
	if len(b) > maxTold || d.Decode(&doc) != nil {
		return nil
	}
	doc = tell(shape, doc)
	if m, ok := doc.(map[string]any); ok && len(m) == 0 {
		return nil
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil
	}
	return b
}

// tell rewrites a decoded value of a shape.
func tell(shape *wire.Shape, v any) any {
	switch {
	case v == nil:
		return nil
	case shape.Sensitive:
		return hidden
	}
	switch shape.Kind {
	case wire.Structure:
		m, _ := v.(map[string]any)
		out := make(map[string]any, len(m))
		for name, value := range m {
			member := shape.Member(name)
			switch {
			case member == nil || member.Shape.Kind == wire.Blob:
			case slices.Contains(secret, member.Name):
				out[lowerFirst(name)] = hidden
			default:
				out[lowerFirst(name)] = tell(member.Shape, value)
			}
		}
		return out
	case wire.List:
		list, _ := v.([]any)
		for i := range list {
			list[i] = tell(shape.Elem.Shape, list[i])
		}
		return list
	case wire.Map:
		m, _ := v.(map[string]any)
		for k := range m {
			if m[k] = tell(shape.Elem.Shape, m[k]); slices.Contains(secret, k) {
				m[k] = hidden
			}
		}
		return m
	}
	return v
}

func lowerFirst(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(r)) + name[n:]
}
