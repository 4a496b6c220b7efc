//go:build !unix

package httpmini

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }
