//go:build !linux

package mode

const openLarge = 0
