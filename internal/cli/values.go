package cli

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The errors of these parsers say what would be right; who calls them says what
// was wrong, and where.
var (
	errDuration = errors.New("want a duration such as 500ms, 5s, 2m or 10 (seconds)")
	errSize     = errors.New("want a size such as 512, 64k, 16M or 1G (powers of 1024)")
	errPort     = errors.New("want a port from 0 to 65535")
	errPortOff  = errors.New("want a port from 0 to 65535, or off")
	errSwitch   = errors.New("want true or false, or no value at all")
)

// ParseDuration reads 500ms, 5s, 1h30m; a plain number is in seconds, off is 0.
// Negative durations are refused.
func ParseDuration(s string) (time.Duration, error) {
	if s == "off" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil && isDecimal("0"+s) { // .5 too
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < 0 {
		return 0, errDuration
	}
	return d, nil
}

// ParseSize reads a number of bytes: 512, 64k, 1.5M, 1G; units are powers of
// 1024 in either case, and B or iB may follow them.
func ParseSize(s string) (int64, error) {
	number := strings.ToLower(s)
	for _, suffix := range []string{"ib", "b"} {
		if rest, ok := strings.CutSuffix(number, suffix); ok {
			number = rest
			break
		}
	}
	shift := 0
	if i := len(number) - 1; i >= 0 {
		if unit := strings.IndexByte("kmgt", number[i]); unit >= 0 {
			number, shift = number[:i], 10*(unit+1)
		}
	}
	if !isDecimal(number) {
		return 0, errSize
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64>>shift {
			return 0, errSize
		}
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if f *= float64(int64(1) << shift); err != nil || f >= math.MaxInt64 {
		return 0, errSize
	}
	return int64(f), nil
}

// isDecimal keeps out what the parsers of strconv take beyond digits with a
// point: signs, exponents, underscores, hexadecimal, Inf.
func isDecimal(s string) bool {
	whole, fraction, point := strings.Cut(s, ".")
	return IsDigits(whole) && (!point || IsDigits(fraction))
}

func IsDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// ParsePort returns a port in canonical form.
func ParsePort(s string) (string, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return "", errPort
	}
	return strconv.FormatUint(n, 10), nil
}

func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "off"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func formatSize(n int64) string {
	for i, unit := range []string{"T", "G", "M", "k"} {
		if shift := 40 - 10*i; n != 0 && n&(1<<shift-1) == 0 {
			return strconv.FormatInt(n>>shift, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// Clip cuts s to at most n bytes, at a rune, and says so.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	for n -= len(mark); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + mark
}
