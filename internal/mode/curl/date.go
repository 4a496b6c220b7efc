package curl

import (
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

// days are the ways to write one, without the day of the week and with short months.
var days = []string{"2 Jan 2006", "2 Jan 06", "Jan 2 2006", "Jan 2 06", "2006 Jan 2", "06 2 Jan", "20060102"}

// parseDate reads a date as curl does: day, time and zone in any order, each known by
// its form; or one that begins with the year, which curl cannot read. Without a zone
// it is GMT, without a time midnight.
func parseDate(s string) (at time.Time, ok bool) {
	if at, ok = parseFirst(s, time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly); ok {
		return at, true
	}
	var day []string
	var clock time.Time
	zone := 0
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(" \t,./", r) }) {
		if minutes, ok := zoneOf(word); ok {
			zone = minutes
		} else if strings.Contains(word, ":") {
			if clock, ok = parseFirst(word, "15:4:5", "15:4"); !ok {
				return at, false
			}
		} else {
			day = append(day, dayWords(word)...)
		}
	}
	at, ok = parseFirst(strings.Join(day, " "), days...)
	return at.Add(time.Duration(clock.Hour()*3600+clock.Minute()*60+clock.Second()-60*zone) * time.Second), ok
}

// parseFirst reads s by the first layout that it has.
func parseFirst(s string, layouts ...string) (at time.Time, ok bool) {
	for _, layout := range layouts {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	return at, false
}

// zoneOf is a zone in minutes.
func zoneOf(word string) (minutes int, ok bool) {
	if minutes, ok = zones[strings.ToUpper(word)]; ok {
		return minutes, true
	}
	at, err := time.Parse("-0700", word)
	_, seconds := at.Zone()
	return seconds / 60, err == nil
}

// dayWords are the parts of a day in a word such as 06-November-94. A day of the week
// says nothing.
func dayWords(word string) (parts []string) {
	for part := range strings.SplitSeq(word, "-") {
		if part != "" && part[0] > '9' {
			part = part[:min(len(part), 3)]
		}
		if i := strings.Index("sunmontuewedthufrisat", strings.ToLower(part)); len(part) != 3 || i%3 != 0 {
			parts = append(parts, part)
		}
	}
	return parts
}
