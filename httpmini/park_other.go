//go:build !unix

package httpmini

const canPark = false

func readFD(uintptr, []byte) (int, error) { return 0, errAgain }
