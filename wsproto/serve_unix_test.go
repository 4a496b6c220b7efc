//go:build unix

package wsproto

const _ uint = untilHot - hotReads - 1 // does not compile if it is not more
