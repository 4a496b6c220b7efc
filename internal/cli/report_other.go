//go:build !unix

package cli

import "os"

func reportSignals() (asked <-chan os.Signal, stop func()) { return nil, func() {} }
