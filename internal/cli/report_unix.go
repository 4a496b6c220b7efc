//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

func reportSignals() (asked <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	return signals, func() { signal.Stop(signals) }
}
