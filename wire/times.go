package wire

import "time"

func newTime() *time.Time { return new(time.Time) }
