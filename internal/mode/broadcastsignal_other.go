//go:build !unix

package mode

import "os"

func reportSignals() (asked <-chan os.Signal, stop func()) { return nil, func() {} }
