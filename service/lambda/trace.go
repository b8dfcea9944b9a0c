package lambda

import (
	"fmt"
	"regexp"
	"strings"
)

// traceFields are the fields of an X-Ray header that are passed on. https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html
var traceFields = map[string]*regexp.Regexp{
	"Root":    regexp.MustCompile(`^1-[0-9a-f]{8}-[0-9a-f]{24}$`),
	"Parent":  regexp.MustCompile(`^[0-9a-f]{16}$`),
	"Sampled": regexp.MustCompile(`^[01]$`),
}

// trace is the X-Ray header of an invocation: what the caller's header says, and what it does not say made up. Nothing
// is traced unless the caller does.
func (s *Service) trace(header string) string {
	said := map[string]string{}
	for field := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if form := traceFields[name]; form != nil && form.MatchString(value) {
			said[name] = value
		}
	}
	if said["Root"] == "" {
		said = map[string]string{"Root": fmt.Sprintf("1-%08x-%s", uint32(s.world.Now().Unix()), s.world.Hex(12))}
	}
	if said["Parent"] == "" {
		said["Parent"] = s.world.Hex(8)
	}
	if said["Sampled"] == "" {
		said["Sampled"] = "0"
	}
	return "Root=" + said["Root"] + ";Parent=" + said["Parent"] + ";Sampled=" + said["Sampled"]
}
