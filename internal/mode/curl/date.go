package curl

import (
	"strconv"
	"strings"
	"time"
)

const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110 §5.6.7

// zones are the names that curl knows besides those of the military, in minutes
// east of Greenwich.
var zones = map[string]int{
	"GMT": 0, "UT": 0, "UTC": 0, "WET": 0, "Z": 0, "BST": 60, "CET": 60, "MET": 60, "MEZ": 60, "CEST": 120, "MEST": 120, "MESZ": 120,
	"EET": 120, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420,
	"YST": -540, "HST": -600, "JST": 540, "NZST": 720,
}

// A date is what the words of a date have told so far; -1: nothing.
type date struct {
	year, month, day, clock int // clock: seconds of the day
	zone                    int // minutes
	zoned                   bool
}

// parseDate reads a date as curl does, words and numbers in any order, each known by
// its form; or one that begins with the year, which curl cannot read. Without a zone
// it is GMT, without a time midnight.
func parseDate(s string) (at time.Time, ok bool) {
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	d := date{year: -1, month: -1, day: -1, clock: -1}
	isWord := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == ':' || r == '+'
	}
	for s != "" {
		start := strings.IndexFunc(s, isWord)
		if start < 0 {
			break
		}
		sign := start > 0 && s[start-1] == '-' && d.clock >= 0 // -0500 behind a time
		end := strings.IndexFunc(s[start:]+" ", func(r rune) bool { return !isWord(r) })
		word := s[start : start+end]
		s = s[start+end:]
		if sign && len(word) == 4 {
			word = "-" + word
		}
		if !d.take(word) {
			return at, false
		}
	}
	if d.day < 1 || d.month < 1 || d.year < 0 {
		return at, false
	}
	at = time.Date(d.year, time.Month(d.month), d.day, 0, 0, max(d.clock, 0)-60*d.zone, 0, time.UTC)
	return at, time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, time.UTC).Day() == d.day
}

// take reads one word.
func (d *date) take(word string) bool {
	digits := strings.TrimLeft(word, "+-")
	n, err := strconv.Atoi(digits)
	switch {
	case strings.Contains(word, ":"):
		return d.time(word)
	case err != nil:
		return d.name(word)
	case digits != word:
		if d.zone, d.zoned = n/100*60+n%100, true; word[0] == '-' {
			d.zone = -d.zone
		}
		return n <= 1400
	case len(word) == 8 && d.year < 0:
		d.year, d.month, d.day = n/10000, n/100%100, n%100
		return d.month >= 1 && d.month <= 12
	case d.day < 0 && len(word) <= 2 && n >= 1 && n <= 31:
		d.day = n
	case d.year < 0:
		if d.year = n; n < 70 {
			d.year += 2000
		} else if n < 100 {
			d.year += 1900
		}
	default:
		return false
	}
	return true
}

// time reads 15:04 or 15:04:05.
func (d *date) time(word string) bool {
	d.clock = 0
	parts := strings.Split(word, ":")
	for i, unit := range []int{3600, 60, 1} {
		if i == len(parts) {
			break
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n > 60 || n < 0 {
			return false
		}
		d.clock += n * unit
	}
	return len(parts) == 2 || len(parts) == 3
}

// name reads a month, a day of the week, which says nothing, or a zone.
func (d *date) name(word string) bool {
	short := strings.ToLower(word[:min(3, len(word))])
	if i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", short); d.month < 0 && len(short) == 3 && i%3 == 0 {
		d.month = i/3 + 1
		return true
	}
	if i := strings.Index("sunmontuewedthufrisat", short); len(short) == 3 && i%3 == 0 {
		return true
	}
	minutes, ok := zones[strings.ToUpper(word)]
	if d.zoned || !ok {
		return false
	}
	d.zone, d.zoned = minutes, true
	return true
}
