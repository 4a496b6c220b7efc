//go:build !unix

package dial

func socketError(uintptr) error { return nil }
