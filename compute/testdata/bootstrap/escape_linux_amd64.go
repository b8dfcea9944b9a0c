package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// escapesHere are attempts that only this processor has.
var escapesHere = map[string]func() error{
	"iopl":   func() error { return unix.Iopl(3) },
	"ioperm": func() error { return unix.Ioperm(0x80, 1, 1) },
	"modify_ldt": func() error {
		entry := [4]uint32{0, 0, 0, 1<<3 | 1<<5} // empty
		_, _, e := unix.Syscall(unix.SYS_MODIFY_LDT, 1, uintptr(unsafe.Pointer(&entry)), 16)
		if int32(e) != 0 {
			return e
		}
		return nil
	},
}
