package compute

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// deniedHere are the calls to be refused that only this processor has.
var deniedHere []uint32
