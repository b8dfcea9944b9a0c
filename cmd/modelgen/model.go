package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// model is an api-2.json file after our overlay was merged into it.
type model struct {
	Metadata   metadata           `json:"metadata"`
	Operations ordered[operation] `json:"operations"`
	Shapes     ordered[*shape]    `json:"shapes"`
	Fogbank    settings           `json:"fogbank"`
}

// metadata is the head of a model.
type metadata struct {
	APIVersion     string `json:"apiVersion"`
	EndpointPrefix string `json:"endpointPrefix"`
	JSONVersion    string `json:"jsonVersion"`
	Protocol       string `json:"protocol"`
	ServiceID      string `json:"serviceId"`
	SigningName    string `json:"signingName"`
	TargetPrefix   string `json:"targetPrefix"`
	XMLNamespace   string `json:"xmlNamespace"`
}

// settings is what only an overlay says about a service.
type settings struct {
	ActionPrefix string   `json:"actionPrefix"` // of IAM actions, where it is not the package's name
	Protocols    []string `json:"protocols"`    // json1.0, json1.1, query, rest-json; the preferred first
	Namespace    string   `json:"namespace"`    // of XML answers
	ErrorPrefix  string   `json:"errorPrefix"`  // before "#" in __type of modelled errors
	CommonPrefix string   `json:"commonPrefix"` // before "#" in __type of all others
	Checksum     bool     `json:"checksum"`     // answers carry x-amz-crc32
	Invalid      string   `json:"invalid"`      // code of a broken constraint
	Missing      string   `json:"missing"`      // code of an absent member, where it has its own wording
	MissingText  string   `json:"missingText"`  // wording of an absent member; %s is its path
	Malformed    string   `json:"malformed"`    // code of bytes that cannot be read
	ErrorType    bool     `json:"errorType"`    // errors have a member Type saying User or Service
}

type operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input     *ref   `json:"input"`
	Output    *ref   `json:"output"`
	IAMAction string `json:"iamAction"`
}

// ref is a use of a shape: by a member, a list, a map or an operation.
type ref struct {
	Shape           string `json:"shape"`
	Location        string `json:"location"`
	LocationName    string `json:"locationName"`
	QueryName       string `json:"queryName"`
	Flattened       bool   `json:"flattened"`
	TimestampFormat string `json:"timestampFormat"`
	JSONValue       bool   `json:"jsonvalue"`
	Unchecked       bool   `json:"unchecked"`
	EventPayload    bool   `json:"eventpayload"` // the whole payload of its event
	Payload         string `json:"payload"`      // only in protocol tests; elsewhere the shape has it
}

type shape struct {
	Type            string       `json:"type"`
	Members         ordered[ref] `json:"members"`
	Required        []string     `json:"required"`
	Payload         string       `json:"payload"`
	Location        string       `json:"location"`     // only in protocol tests; elsewhere the member has it
	LocationName    string       `json:"locationName"` // the same
	Member          *ref         `json:"member"`
	Key             *ref         `json:"key"`
	Value           *ref         `json:"value"`
	Flattened       bool         `json:"flattened"`
	Enum            []string     `json:"enum"`
	Pattern         string       `json:"pattern"`
	Regexp          string       `json:"regexp"` // the pattern again where package regexp cannot express it
	Min             *float64     `json:"min"`
	Max             *float64     `json:"max"`
	TimestampFormat string       `json:"timestampFormat"`
	Sensitive       bool         `json:"sensitive"`
	Union           bool         `json:"union"`
	EventStream     bool         `json:"eventstream"` // a sequence of its members
	Exception       bool         `json:"exception"`
	Fault           bool         `json:"fault"`
	Error           struct {
		Code           string `json:"code"`
		HTTPStatusCode int    `json:"httpStatusCode"`
	} `json:"error"`
	GoType    string `json:"goType"`    // a hand-written type in place of a generated one
	Unchecked bool   `json:"unchecked"` // the service words its own complaints
}

// ordered is a JSON object whose members keep the order of the file.
type ordered[V any] struct {
	keys []string
	vals map[string]V
}

func (o *ordered[V]) UnmarshalJSON(b []byte) error {
	keys, err := objectKeys(b)
	if err != nil {
		return err
	}
	o.keys = keys
	return json.Unmarshal(b, &o.vals)
}

// objectKeys lists the member names of a JSON object in their order.
func objectKeys(b []byte) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var keys []string
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		keys = append(keys, t.(string))
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// merge applies an overlay to a model as a JSON merge patch (RFC 7396) with one
// addition: a member whose name ends in "+" appends its array to the one without it.
// Members keep the model's order; new ones come last.
func merge(base, patch []byte) ([]byte, error) {
	if kind(patch) != '{' || kind(base) != '{' {
		return patch, nil
	}
	var b, p ordered[json.RawMessage]
	if err := json.Unmarshal(base, &b); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, err
	}
	for _, k := range p.keys {
		if err := mergeMember(&b, k, p.vals[k]); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
	}
	return b.bytes(), nil
}

func mergeMember(b *ordered[json.RawMessage], k string, v json.RawMessage) error {
	if name, ok := strings.CutSuffix(k, "+"); ok {
		var old, more []json.RawMessage
		if have, ok := b.vals[name]; ok {
			if err := json.Unmarshal(have, &old); err != nil {
				return err
			}
		}
		if err := json.Unmarshal(v, &more); err != nil {
			return err
		}
		v, _ = json.Marshal(append(old, more...))
		k = name
	} else if string(v) == "null" {
		delete(b.vals, k)
		return nil
	}
	have, ok := b.vals[k]
	if !ok {
		b.keys = append(b.keys, k)
		have = json.RawMessage("{}")
		if b.vals == nil {
			b.vals = map[string]json.RawMessage{}
		}
	}
	merged, err := merge(have, v)
	b.vals[k] = merged
	return err
}

// bytes writes the object back as JSON.
func (o *ordered[V]) bytes() []byte {
	out := []byte{'{'}
	for _, k := range o.keys {
		v, ok := o.vals[k]
		if !ok {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(k)
		val, _ := json.Marshal(v)
		out = append(append(append(out, key...), ':'), val...)
	}
	return append(out, '}')
}

// kind is the first significant byte of a JSON value.
func kind(b []byte) byte {
	if b = bytes.TrimSpace(b); len(b) > 0 {
		return b[0]
	}
	return 0
}
