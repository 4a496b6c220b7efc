//go:build !(linux || darwin || freebsd || openbsd || netbsd || dragonfly)

package files

import "os"

const OpenNonblock = 0

// lockFile is left to the system: where this is built for, a file that another
// program has open cannot be renamed, which comes next.
func lockFile(*os.File) error { return nil }

func hasLinks(os.FileInfo) bool { return false }
