package rawio

import (
	"syscall"
	"time"
)

// Sleep is time.Sleep for moments that matter: exact to a tenth of a millisecond, where
// timers may be late by a whole one. It keeps a thread.
func Sleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	syscall.Nanosleep(&ts, nil)
}
