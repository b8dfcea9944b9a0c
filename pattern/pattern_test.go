package pattern

import (
	"errors"
	"strings"
	"testing"
)

const instance = `{"version":"0","id":"6a7e8feb","detail-type":"EC2 Instance State-change Notification","source":"aws.ec2",
"account":"111122223333","time":"2017-12-22T18:43:48Z","region":"us-west-1",
"resources":["arn:aws:ec2:us-west-1:123456789012:instance/i-1","arn:aws:ec2:us-west-1:123456789012:instance/i-2"],
"detail":{"instance-id":"i-1","state":"terminated","c-count":5,"d-count":3.0,"x-limit":301.8,"source-ip":"10.0.0.33","empty":"","none":null,
"yes":true,"nothing":[],"v6":"2001:db8:0:0::1","items":[{"sku":"a","n":1},{"sku":"b","n":2}],"tags":["x",7,null],
"big":123456789012,"file":"dir/a/photo.png","deep":{"er":[{"k":[{"v":1,"w":2},{"v":3}]},{"k":[{"v":5,"w":6}]}]}}}`

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{`{"source":["aws.ec2"]}`, true},
		{`{"source":["aws.s3","aws.ec2"]}`, true},
		{`{"source":["AWS.ec2"]}`, false},
		{`{"source":["aws.ec2"],"detail":{"state":["running"]}}`, false},
		{`{"source":["aws.ec2"],"detail":{"state":["running","terminated"]}}`, true},
		{`{"resources":["arn:aws:ec2:us-west-1:123456789012:instance/i-2"]}`, true},
		{`{"missing":["x"]}`, false},
		{`{"detail":{"c-count":[5]}}`, true},
		{`{"detail":{"c-count":[5.0]}}`, true},
		{`{"detail":{"c-count":[50e-1]}}`, true},
		{`{"detail":{"c-count":["5"]}}`, false},
		{`{"detail":{"d-count":[3]}}`, true},
		{`{"detail":{"x-limit":[{"numeric":["=",3.018e2]}]}}`, true},
		{`{"detail":{"c-count":[{"numeric":[">",0,"<=",5]}]}}`, true},
		{`{"detail":{"c-count":[{"numeric":[">",5]}]}}`, false},
		{`{"detail":{"c-count":[{"numeric":[">=",5]}]}}`, true},
		{`{"detail":{"c-count":[{"numeric":["<",5]}]}}`, false},
		{`{"detail":{"source-ip":[{"numeric":["<",5]}]}}`, false},
		{`{"detail":{"big":[123456789012]}}`, true},
		{`{"detail":{"big":[1.23456789012e11]}}`, false},
		{`{"detail":{"big":[{"numeric":[">",0]}]}}`, false},
		{`{"detail":{"empty":[""]}}`, true},
		{`{"detail":{"none":[null]}}`, true},
		{`{"detail":{"none":[""]}}`, false},
		{`{"detail":{"yes":[true]}}`, true},
		{`{"detail":{"yes":[false]}}`, false},
		{`{"detail":{"yes":["true"]}}`, false},
		{`{"time":[{"prefix":"2017-12-22"}]}`, true},
		{`{"time":[{"prefix":""}]}`, true},
		{`{"detail":{"c-count":[{"prefix":""}]}}`, false},
		{`{"source":[{"prefix":{"equals-ignore-case":"AWS."}}]}`, true},
		{`{"source":[{"suffix":"ec2"}]}`, true},
		{`{"source":[{"suffix":{"equals-ignore-case":"EC2"}}]}`, true},
		{`{"source":[{"equals-ignore-case":"AWS.EC2"}]}`, true},
		{`{"detail":{"state":[{"anything-but":"initializing"}]}}`, true},
		{`{"detail":{"state":[{"anything-but":["stopped","terminated"]}]}}`, false},
		{`{"detail":{"x-limit":[{"anything-but":[100,200]}]}}`, true},
		{`{"detail":{"x-limit":[{"anything-but":301.80}]}}`, false},
		{`{"detail":{"state":[{"anything-but":[100]}]}}`, true},
		{`{"detail":{"c-count":[{"anything-but":"5"}]}}`, true},
		{`{"detail":{"missing":[{"anything-but":"x"}]}}`, false},
		{`{"detail":{"tags":[{"anything-but":"x"}]}}`, true},
		{`{"region":[{"anything-but":{"prefix":"us-"}}]}`, false},
		{`{"region":[{"anything-but":{"prefix":["eu-","ap-"]}}]}`, true},
		{`{"detail":{"file":[{"anything-but":{"suffix":".png"}}]}}`, false},
		{`{"detail":{"state":[{"anything-but":{"equals-ignore-case":["TERMINATED"]}}]}}`, false},
		{`{"detail":{"file":[{"anything-but":{"wildcard":"*/lib/*"}}]}}`, true},
		{`{"detail":{"file":[{"wildcard":"dir/*.png"}]}}`, true},
		{`{"detail":{"file":[{"wildcard":"dir/*/*"}]}}`, true},
		{`{"detail":{"file":[{"wildcard":"*"}]}}`, true},
		{`{"detail":{"file":[{"wildcard":"dir\\*"}]}}`, false},
		{`{"detail":{"source-ip":[{"cidr":"10.0.0.0/24"}]}}`, true},
		{`{"detail":{"source-ip":[{"cidr":"10.0.1.0/24"}]}}`, false},
		{`{"detail":{"v6":[{"cidr":"2001:db8::/32"}]}}`, true},
		{`{"detail":{"v6":["2001:db8::1"]}}`, true},
		{`{"detail":{"state":[{"cidr":"10.0.0.0/24"}]}}`, false},
		{`{"detail":{"c-count":[{"exists":true}]}}`, true},
		{`{"detail":{"none":[{"exists":true}]}}`, true},
		{`{"detail":{"nope":[{"exists":false}]}}`, true},
		{`{"detail":{"nothing":[{"exists":false}]}}`, true},
		{`{"detail":{"state":[{"exists":false}]}}`, false},
		{`{"detail":{"state":[{"exists":false},"terminated"]}}`, true},
		{`{"detail":[{"exists":false}]}`, true},
		{`{"detail":{"items":{"sku":["a"],"n":[1]}}}`, true},
		{`{"detail":{"items":{"sku":["a"],"n":[2]}}}`, false},
		{`{"detail":{"items":{"sku":["a","b"],"n":[2]}}}`, true},
		{`{"detail":{"deep":{"er":{"k":{"v":[3],"w":[2]}}}}}`, false},
		{`{"detail":{"deep":{"er":{"k":{"v":[5],"w":[6]}}}}}`, true},
		{`{"detail":{"deep":{"er":{"k":{"v":[3],"w":[{"exists":false}]}}}}}`, true},
		{`{"detail":{"tags":[7]}}`, true},
		{`{"detail":{"tags":[null]}}`, true},
		{`{"$or":[{"source":["x"]},{"region":["us-west-1"]}]}`, true},
		{`{"source":["x"],"$or":[{"source2":["x"]},{"region":["us-west-1"]}]}`, false},
		{`{"$or":[{"a":["x"]},{"b":["y"]}],"source":["aws.ec2"]}`, false},
		{`{"detail":{"$or":[{"state":["x"]},{"$or":[{"c-count":[5]},{"d-count":[9]}]}]}}`, true},
		{`{"detail.state":["terminated"]}`, true},
	} {
		p, err := Parse(Rule, []byte(c.pattern))
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got, err := p.Match([]byte(instance)); got != c.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", c.pattern, got, err, c.want)
		}
		if !strings.Contains(c.pattern, "detail.state") {
			if got := refMatch([]byte(c.pattern), []byte(instance)); got != c.want {
				t.Errorf("reference: %s: %v, want %v", c.pattern, got, c.want)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{`{"source": ["aws.health"], "detail": {}}`, `Empty objects are not allowed
 at [Source: (String)"{"source": ["aws.health"], "detail": {}}"; line: 1, column: 40]`},
		{`{"detail":{"slug":"x"}}`, `"slug" must be an object or an array
 at [Source: (String)"{"detail":{"slug":"x"}}"; line: 1, column: 20]`},
		{`{"Amount":[]}`, "Empty arrays are not allowed"},
		{`[]`, "Filter is not an object"},
		{`{}`, "Empty objects are not allowed"},
		{``, "Filter is not an object"},
		{`{"a":[[1]]}`, "Match value must be String, number, true, false, or null"},
		{`{"a":[{}]}`, "Match expression name not found"},
		{`{"a":[{"regex":"x"}]}`, "Unrecognized match type regex"},
		{`{"a":[{"prefix":1}]}`, "prefix match pattern must be a string"},
		{`{"a":[{"suffix":[":created"]}]}`, "suffix match pattern must be a string"},
		{`{"a":[{"prefix":{"wildcard":"x"}}]}`, "Unsupported prefix pattern: wildcard"},
		{`{"a":[{"prefix":"x","suffix":"y"}]}`, "Only one key allowed in match expression"},
		{`{"a":[{"equals-ignore-case":null}]}`, "equals-ignore-case match pattern must be a string"},
		{`{"a":[{"numeric":5}]}`, "Value of numeric must be an array."},
		{`{"a":[{"numeric":["=","x"]}]}`, "Value of equals must be numeric"},
		{`{"a":[{"numeric":["!",1]}]}`, "Unrecognized numeric range operator: !"},
		{`{"a":[{"numeric":[">",1,"=",2]}]}`, "Bad numeric range operator: ="},
		{`{"a":[{"numeric":[">",5,"<",1]}]}`, "Bottom must be less than top"},
		{`{"a":[{"numeric":["<",5,"<",1]}]}`, "Too many elements in numeric expression"},
		{`{"a":[{"numeric":[">",1,"<",5,1]}]}`, "Too many terms in numeric range expression"},
		{`{"a":[{"numeric":[">",6e9]}]}`, "Value must be between -5.0E9 and 5.0E9, inclusive"},
		{`{"a":[{"anything-but":null}]}`, "Value of anything-but must be an array or single string/number value."},
		{`{"a":[{"anything-but":["x",1]}]}`, "Inside anything but list, either all values are number or string, mixed type is not supported"},
		{`{"a":[{"anything-but":[]}]}`, "Inside anything but list, either all values are number or string, mixed type is not supported"},
		{`{"a":[{"anything-but":[true]}]}`, "Inside anything but list, start|null|boolean is not supported."},
		{`{"a":[{"anything-but":{"prefix":""}}]}`, "Null prefix/suffix not allowed"},
		{`{"a":[{"anything-but":{"numeric":["=",1]}}]}`, "Unsupported anything-but pattern: numeric"},
		{`{"a":[{"exists":"yes"}]}`, "exists match pattern must be either true or false."},
		{`{"a":[{"cidr":"10.0.0.0"}]}`, "Malformed CIDR, one '/' required"},
		{`{"a":[{"cidr":"10.0.0.0/x"}]}`, "Malformed CIDR, mask bits must be an integer"},
		{`{"a":[{"cidr":"host/8"}]}`, "Nonstandard IP address: host"},
		{`{"a":[{"cidr":"10.0.0.0/33"}]}`, "IPv4 mask bits must be < 32"},
		{`{"a":[{"wildcard":"a**b"}]}`, "Consecutive wildcard characters at pos 2"},
		{`{"a":[{"wildcard":"a\\b"}]}`, "Invalid escape character at pos 2"},
		{`{"$or":{"a":["x"]}}`, "It must be an Array followed with $or."},
		{`{"$or":[{"a":["x"]}]}`, "There must have at least 2 Objects in $or relationship."},
		{`{"$or":[{"a":["x"]},1]}`, "Only JSON object is allowed in array of $or relationship."},
		{`{"$or":[{"a":["x"]},{"prefix":["y"]}]}`, "prefix is Ruler reserved fieldName which cannot be used inside $or."},
		{`{"a":["x"],"a":["y"]}`, "Path `a` cannot be allowed multiple times"},
		{`{"a":["x"]`, "Unexpected end-of-input"},
		{`{"a":["x"]} x`, "Unexpected character ('x' (code 120))"},
		{`{'a':["x"]}`, "Unexpected character (''' (code 39))"},
		{`{"a":[01]}`, "Invalid numeric value"},
	} {
		_, err := Parse(Rule, []byte(c.pattern))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.pattern, err, c.want)
		}
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Errorf("%s: a %T", c.pattern, err)
		}
	}
}

func TestPolicyLimits(t *testing.T) {
	many := `["` + strings.Repeat(`x","`, 5) + `y"]` // six values
	for _, c := range []struct {
		kind   Kind
		policy string
		want   error
	}{
		{Attributes, `{"a":["x"],"b":["x"],"c":["x"],"d":["x"],"e":["x"]}`, nil},
		{Attributes, `{"a":["x"],"b":["x"],"c":["x"],"d":["x"],"e":["x"],"f":["x"]}`, ErrTooManyKeys},
		{Attributes, `{"a":{"b":["x"]}}`, ErrNested},
		{Body, `{"a":{"b":["x"],"c":["x"],"d":["x"],"e":["x"],"f":["x"],"g":["x"]}}`, nil},
		{Attributes, `{"a":` + many + `,"b":` + many + `}`, nil},
		{Attributes, `{"a":` + many + `,"b":` + many + `,"c":` + many + `}`, ErrTooComplex},
		{Body, `{"a":{"b":` + many + `},"c":{"d":` + many + `}}`, nil},                 // 6×2 × 6×2 = 144
		{Body, `{"a":{"b":` + many + `},"c":{"d":{"e":` + many + `}}}`, ErrTooComplex}, // 6×2 × 6×3
		{Rule, `{"a":` + many + `,"b":` + many + `,"c":` + many + `}`, nil},
		{Rule, `{` + strings.TrimSuffix(strings.Repeat(`"$or":[{"a":["x"]},{"b":["x"]}],`, 11), ",") + `}`, nil},
	} {
		_, err := Parse(c.kind, []byte(c.policy))
		if _, syntax := errors.AsType[*SyntaxError](err); err != c.want && !syntax {
			t.Errorf("%s: %v, want %v", c.policy, err, c.want)
		}
	}
}

func TestFromAttributes(t *testing.T) {
	ev := FromAttributes([]Attribute{
		{"store", "String", "example_corp"},
		{"price", "Number", "100.50"},
		{"interests", "String.Array", `["rugby", "football", 7, true]`},
		{"image", "Binary", "store"},
		{"broken", "String.Array", `["rugby", `},
		{"word", "Number", "ten"},
		{"a.b", "String", "x"},
	})
	for _, c := range []struct {
		policy string
		want   bool
	}{
		{`{"store":["example_corp"]}`, true},
		{`{"store":[{"prefix":"example"}],"price":[{"numeric":[">=",100]}]}`, true},
		{`{"price":["100.50"]}`, false},
		{`{"interests":["football"]}`, true},
		{`{"interests":[7]}`, true},
		{`{"interests":[true]}`, true},
		{`{"interests":[{"anything-but":["rugby"]}]}`, true},
		{`{"image":[{"exists":true}]}`, false},
		{`{"broken":[{"exists":false}],"word":[{"exists":false}]}`, true},
		{`{"a.b":["x"]}`, true},
	} {
		p, err := Parse(Attributes, []byte(c.policy))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.MatchEvent(ev); got != c.want {
			t.Errorf("%s: %v", c.policy, got)
		}
	}
}

func TestFlattenErrors(t *testing.T) {
	for _, event := range []string{``, `[]`, `1`, `{`, `{"a"}`, `{"a":1,}`, `{"a":[1,]}`, `{"a":tru}`, `{"a":"\x"}`, "{\"a\":\"\x01\"}",
		`{"a":1} {}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":"\u12g4"}`, `{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`} {
		if _, err := Flatten([]byte(event)); err == nil {
			t.Errorf("%.60s: no error", event)
		}
	}
}

func TestComparable(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"-0", 0, true}, {"1", 1e6, true}, {"-1.5", -15e5, true}, {"300", 3e8, true}, {"3.0e2", 3e8, true},
		{"0.000001", 1, true}, {"0.0000010", 1, true}, {"0.0000001", 0, false}, {"5000000000", 5e15, true},
		{"-5e9", -5e15, true}, {"5000000000.000001", 0, false}, {"5e10", 0, false}, {"1e-6", 1, true}, {"1e-7", 0, false},
		{"1e999999999999", 0, false}, {"0e999999999999", 0, true}, {"4999999999.999999", 4999999999999999, true},
		{"10000000000000000000000e-20", 1e8, true}, {"1.10", 11e5, true}, {"0." + strings.Repeat("0", 3000) + "1e3001", 1e6, true},
	} {
		got, ok := comparable([]byte(c.text))
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%.30s: %d, %v; want %d, %v", c.text, got, ok, c.want, c.ok)
		}
	}
}
