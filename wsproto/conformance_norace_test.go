//go:build !race

package wsproto_test

// raceDetector makes the heavy cases of the conformance suite lighter.
const raceDetector = false
