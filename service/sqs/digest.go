package sqs

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unsafe"
)

// attribute is one message attribute or message system attribute, as stored.
type attribute struct {
	Name   string
	Type   string // "String", "Number", "Binary", each with an optional ".label"
	Value  string // the text, or the bytes when Binary
	Binary bool
}

// bodyDigest is the MD5 of a message's body, which SDKs compare with their own. Converted, the body would be copied.
func bodyDigest(body string) [md5.Size]byte {
	return md5.Sum(unsafe.Slice(unsafe.StringData(body), len(body)))
}

// attributesDigest is the MD5 of message attributes in hexadecimal, or "" when there are none. It covers, in the
// order of names, the name, the type, a byte telling text (1) from bytes (2) and the value; everything but
// that byte goes after its length in four bytes, big end first. SDKs compute the same to verify what they sent
// and what they received.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func attributesDigest(list []attribute) string {
	if len(list) == 0 {
		return ""
	}
	if !slices.IsSortedFunc(list, byName) {
		list = slices.SortedFunc(slices.Values(list), byName)
	}
	var b []byte
	for _, a := range list {
		b = appendSized(appendSized(b, a.Name), a.Type)
		if a.Binary {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		b = appendSized(b, a.Value)
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func byName(a, b attribute) int { return strings.Compare(a.Name, b.Name) }

func sortAttributes(list []attribute) { slices.SortFunc(list, byName) }

func appendSized(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
