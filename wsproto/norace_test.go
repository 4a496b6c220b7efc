//go:build !race

package wsproto_test

const raceDetector = false
