//go:build unix

package cli

import (
	"math"
	"syscall"
)

// descriptors is how many files this process may have open, which is the hard
// limit: the runtime raises the soft one at its start. 0 means no limit.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > math.MaxInt32 {
		return 0
	}
	return int(limit.Cur)
}
