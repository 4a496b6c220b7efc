//go:build !linux

package rawio

import "time"

// Sleep is time.Sleep: see Linux, where there is something better.
func Sleep(d time.Duration) { time.Sleep(d) }
