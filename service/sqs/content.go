package sqs

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"fogbank/api/sqs"
)

// checkText refuses text with characters XML 1.0 does not have, as SQS does.
func checkText(s string) error {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return badCharacters()
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
			return badCharacters()
		}
		i += n
	}
	return nil
}

func badCharacters() error {
	return sqs.InvalidMessageContents("Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
}

// checkToken checks a message group or deduplication id: letters, digits and punctuation, 1 to 128 of them.
func checkToken(value, parameter string) error {
	ok := 1 <= len(value) && len(value) <= 128
	for i := 0; ok && i < len(value); i++ {
		ok = '!' <= value[i] && value[i] <= '~'
	}
	if !ok {
		return invalidValue(clip(value), parameter,
			"%s can only include alphanumeric and punctuation characters. 1 to 128 in length.", parameter)
	}
	return nil
}

// userAttributes checks and converts message attributes.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func userAttributes(in map[string]sqs.MessageAttributeValue) ([]attribute, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > maxAttributes {
		return nil, invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(in), maxAttributes)
	}
	list := make([]attribute, 0, len(in))
	for name, v := range in {
		if err := checkAttributeName(name); err != nil {
			return nil, err
		}
		a := attribute{Name: name, Type: v.DataType}
		if err := a.read(v.StringValue, v.BinaryValue); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	sortAttributes(list)
	return list, nil
}

// traceHeader is the only system attribute that can be sent. A message without has the tracing header of the call that
// brought it. https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html
const traceHeader = sqs.MessageSystemAttributeNameForSendsAWSTraceHeader

// systemAttributes checks and converts message system attributes: only AWSTraceHeader, a text, can be sent.
func systemAttributes(in map[string]sqs.MessageSystemAttributeValue) ([]attribute, error) {
	if len(in) == 0 {
		return nil, nil
	}
	list := make([]attribute, 0, len(in))
	for name, v := range in {
		if name != traceHeader {
			return nil, invalidParameter("Message system attribute name '%s' is invalid.", clip(name))
		}
		a := attribute{Name: name, Type: v.DataType}
		if err := a.read(v.StringValue, v.BinaryValue); err != nil {
			return nil, err
		}
		if a.Type != "String" {
			return nil, invalidParameter("The type of message system attribute '%s' is invalid. It must be String.", name)
		}
		list = append(list, a)
	}
	return list, nil
}

// read takes the value of an attribute whose name and type are set.
func (a *attribute) read(text *string, bytes []byte) error {
	kind, _, _ := strings.Cut(a.Type, ".")
	if a.Type == "" {
		return invalidParameter("The message attribute '%s' must contain non-empty message attribute type.", a.Name)
	}
	if kind != "String" && kind != "Number" && kind != "Binary" {
		return invalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", a.Name)
	}
	if len(a.Type) > 256 || checkText(a.Type) != nil {
		return invalidParameter("The type of message (user) attribute '%s' is invalid. It can be at most 256 characters long.", a.Name)
	}
	if text != nil && len(bytes) > 0 {
		return invalidParameter("Message (user) attribute '%s' has multiple values.", a.Name)
	}
	if kind == "Binary" {
		a.Value, a.Binary = string(bytes), true
	} else if text != nil {
		a.Value = *text
	}
	if a.Value == "" {
		return invalidParameter("The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", a.Name, a.Type)
	}
	if a.Binary {
		return nil
	}
	if kind == "Number" && !isNumber(a.Value) {
		return invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", a.Name)
	}
	return checkText(a.Value)
}

// isNumber tells whether s is a decimal number of the range SQS documents.
func isNumber(s string) bool {
	if len(s) > 256 || strings.Trim(s, "+-.0123456789eE") != "" {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && f <= 1e126 && f >= -1e126
}

func checkAttributeName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "" || len(name) > 256:
		return invalidParameter("Length of message attribute name must be between 1 and 256 bytes.")
	case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return invalidParameter("Message (user) attribute name can't start with 'AWS.' or 'Amazon.'.")
	case name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, ".."):
		return invalidParameter("Message (user) attribute name can't start or end with a period or have periods in succession.")
	}
	for i := 0; i < len(name); i++ {
		if !isNameByte(name[i]) && name[i] != '.' {
			return invalidParameter("Message (user) attribute name can contain only the characters A-Z, a-z, 0-9, underscore, hyphen and period.")
		}
	}
	return nil
}

// attributesSize is what attributes count towards the size of their message: names, types and values.
func attributesSize(list []attribute) (n int) {
	for i := range list {
		n += len(list[i].Name) + len(list[i].Type) + len(list[i].Value)
	}
	return n
}

// selection says which message attributes a receiver wants.
type selection struct {
	all      bool
	names    []string
	prefixes []string
}

// selectionOf reads MessageAttributeNames: names, "All", ".*", and prefixes as "name.*".
func selectionOf(names []string) (s selection) {
	for _, name := range names {
		prefix, isPrefix := strings.CutSuffix(name, ".*")
		switch {
		case name == "All" || isPrefix && prefix == "":
			s.all = true
		case isPrefix:
			s.prefixes = append(s.prefixes, prefix)
		default:
			s.names = append(s.names, name)
		}
	}
	return s
}

func (s *selection) pick(list []attribute) []attribute {
	if s.all || len(list) == 0 {
		return list
	}
	var picked []attribute
	for _, a := range list {
		if s.wants(a.Name) {
			picked = append(picked, a)
		}
	}
	return picked
}

func (s *selection) wants(name string) bool {
	for _, n := range s.names {
		if n == name {
			return true
		}
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// attributeValues converts stored attributes to the API's type.
func attributeValues(list []attribute) map[string]sqs.MessageAttributeValue {
	if len(list) == 0 {
		return nil
	}
	values := make(map[string]sqs.MessageAttributeValue, len(list))
	for _, a := range list {
		v := sqs.MessageAttributeValue{DataType: a.Type}
		if a.Binary {
			v.BinaryValue = []byte(a.Value)
		} else {
			v.StringValue = new(a.Value)
		}
		values[a.Name] = v
	}
	return values
}

func hexOf(sum [16]byte) *string { return new(hex.EncodeToString(sum[:])) }
