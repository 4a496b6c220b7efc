//go:build !linux

package files

const openLarge = 0
