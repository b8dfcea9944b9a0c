package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// guarded are the prefixes no request may go to unless they are allowed: what is not the public internet.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var guarded = prefixes("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 " +
	"192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 " +
	"::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8")

// loopback is what a server that only this machine can reach may reach.
var loopback = prefixes("127.0.0.0/8 ::1/128")

func prefixes(list string) (all []netip.Prefix) {
	for text := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// Guard decides which addresses requests may go to. The zero value allows public ones only.
type Guard struct{ allowed []netip.Prefix }

// NewGuard reads a list of addresses and prefixes, separated by commas, that are allowed besides the public ones.
// "loopback" stands for this machine. When the list is empty, local says whether this machine is allowed.
func NewGuard(list string, local bool) (Guard, error) {
	var g Guard
	if list == "" && local {
		g.allowed = loopback
	}
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		switch {
		case text == "":
			continue
		case text == "loopback":
			g.allowed = append(g.allowed, loopback...)
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, bad := netip.ParseAddr(text)
			if bad != nil || a.Zone() != "" {
				return g, fmt.Errorf("%q is neither an address, nor a prefix such as 10.1.0.0/16, nor \"loopback\"", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	return g, nil
}

var errGuard = errors.New("the address is not a public one, and not on the list of those allowed")

// Check returns an error unless a connection may be made to a.
func (g Guard) Check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if within(a, g.allowed) {
		return nil
	}
	inner, ok := embedded(a)
	if !a.IsValid() || within(a, guarded) || ok && within(inner, guarded) && !within(inner, g.allowed) {
		return &refusal{errGuard}
	}
	return nil
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// embedded returns the IPv4 address a gateway would turn an IPv6 one into: of NAT64 and of 6to4.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return a, false
	}
	b := a.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case b[0] == 0x00 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b:
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return a, false
}
