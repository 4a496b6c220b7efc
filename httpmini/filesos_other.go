//go:build !unix

package httpmini

import "io/fs"

const openFlags = 0

func stampOf(fs.FileInfo) (s stamp, ok bool) { return s, false }
