//go:build !unix

package fogbank

import "time"

func processorTime() time.Duration { return 0 }
