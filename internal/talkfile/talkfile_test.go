package talkfile

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// lines are talk files that are printed as they stand.
var lines = []string{
	"> 200 ready\\r\\n\n",
	">\n<\n",
	"< HELLO\n",
	">  blank before, and one after\\x20\n",
	"<~ ^SET (\\w+)=(\\d+)\n> OK $1 for $$2, $0\n< $2\n",
	"<~ bytes ^(..)\\x00\\x00\n> $1\\x00\\x00\n",
	"> bytes 02 \"ABCD\" 03\n< bytes\n",
	"> ping p\n< pong p\n> pong\n< ping\n",
	"> text ping\n> text bytes 41\n< text close\n",
	"wait 200ms\nwithin 2s\n< x\n",
	"close\nclose 1000 bye\nclose 4001\n< close 1001\n< close\n",
	"end\n< end\nreset\n< reset\n",
	"on ~ ^PING (.*)\n  > PONG $1\n  wait 5ms\n\n> next\n",
	"every 5s > heartbeat\nevery 20ms > bytes 00\n",
	"repeat 10\n  > a\n  repeat 2\n    < b\n  done\ndone\n",
	"raw 81 85 37 fa 21 3d\n",
	"split 1 20ms\nsplit 3\nsplit off\n",
	"> gr\u00fc\u00dfe \\\\n \\u202e \\xff\n",
	"> \\xe2\\x80 \\U000e0001\n",
}

// without has steps without what differs between two files that say the same.
func without(steps []Step) []Step {
	for i := range steps {
		steps[i].Line, steps[i].Column, steps[i].RE, steps[i].Lines = 0, 0, nil, nil
		without(steps[i].Body)
	}
	return steps
}

func TestPrint(t *testing.T) {
	for _, src := range lines {
		talk, err := Parse([]byte(src))
		if got := string(Append(nil, talk)); err != nil || got != src {
			t.Errorf("%q is printed as %q, %v", src, got, err)
		}
	}
}

// TestSpellings: what may be written otherwise means the same.
func TestSpellings(t *testing.T) {
	for src, want := range map[string]string{
		"\ufeff# a remark\r\n\r\n\t> a\r\n":   "> a\n",
		"> binary $02 \"\\r\"\n":              "> bytes 02 0d\n",
		"wait 2\nwait .5\nwait off":           "wait 2s\nwait 500ms\nwait off\n",
		"on  ~ a\n> b\n# c\n> d":              "on ~ a\n  > b\n  > d\n\n",
		"every 1 > text":                      "every 1s >\n",
		"> \\u{48}\\x49":                      "> HI\n",
		"> \u200b":                            "> \\u200b\n",
		"<~ a\r\r\n":                          "<~ a\n",
		"repeat 1\n> a\n\n> b\n  done  \n> c": "repeat 1\n  > a\n  > b\ndone\n> c\n",
	} {
		talk, err := Parse([]byte(src))
		if got := string(Append(nil, talk)); err != nil || got != want {
			t.Errorf("%q is printed as %q, %v; want %q", src, got, err, want)
		}
	}
}

// TestMistakes: each error has its line and column.
func TestMistakes(t *testing.T) {
	for src, want := range map[string]string{
		"hello":                                  "1:1: want > < <~ wait",
		"\n  >text":                              "2:3: want > <",
		"> a\\q":                                 "1:4: not an escape",
		"> \u00fc\\x4":                           "1:4: not an escape",
		"> $1":                                   "1:3: no match before has a group 1; $$ is a dollar",
		"<~ (a)\n> x $1 $2":                      "2:8: no match before has a group 2",
		"on ~ (a)\n> $1\n\n> $1":                 "4:3: no match before",
		"<~ (a)\nevery 1s > $1":                  "2:12: no match before",
		"> bytes 0g":                             "1:10: 'g' is not a hexadecimal digit",
		"> bytes 123 ":                           "1:9: a hexadecimal digit is missing",
		"raw":                                    "1:4: want bytes",
		"<~ a(":                                  "1:4: missing closing ): \"a(\"",
		"<~ ":                                    "1:4: want a regular expression",
		"wait":                                   "1:5: want a duration",
		"wait long":                              "1:6: want a duration",
		"within -1s":                             "1:8: want a duration",
		"close 99":                               "1:7: want a status code",
		"close 1005":                             "1:7: 1005 may not be sent (RFC 6455 7.4); raw can",
		"< close 1000 bye":                       "1:14: nothing may follow here",
		"close 1000 " + strings.Repeat("x", 124): "1:12: a reason has at most 123 bytes",
		"end now":                                "1:5: nothing may follow here",
		"split 0":                                "1:7: want a number of bytes, or off",
		"split 1 x":                              "1:9: want a duration",
		"on ^a\n> b":                             "1:4: want on ~",
		"on ~ a\n\n> b":                          "1:4: want lines of what is to be done, right below",
		"on ~ a\n< b":                            "2:1: a block of on only sends",
		"on ~ a\n> b\non ~ c\n> d":               "3:1: a block of on only sends",
		"every 1s < b":                           "1:10: want > and",
		"every 1us > b":                          "1:7: want at least 1ms",
		"repeat\n> a\ndone":                      "1:7: want a number from 1",
		"repeat 2\ndone":                         "1:8: want lines to repeat",
		"repeat 2\n> a":                          "1:8: this repeat has no done",
		"repeat 2\non ~ a\n> b\n\ndone":          "2:4: on and every hold to the end, and cannot be repeated",
		"> \xff":                                 "1:3: not UTF-8",
		"> ping " + strings.Repeat("x", 126):     "1:8: 126 bytes: a control frame",
		strings.Repeat("every 1s > a\n", 65):     "65:7: at most 64",
		strings.Repeat("repeat 1\n", 9):          "9:8: at most 8 repeats",
		strings.Repeat("\n", MaxFile+1):          "1:1: a talk file has at most",
		"done":                                   "1:1: want >",
	} {
		_, err := Parse([]byte(src))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v; want %s", src, err, want)
		}
	}
}

func TestCursor(t *testing.T) {
	talk, err := Parse([]byte("> a\nrepeat 2\n> b\nrepeat 3\n> c\ndone\ndone\n> d\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got string
	c := talk.Cursor()
	for {
		s, err := c.Next()
		if err == io.EOF {
			break
		}
		got += string(s.Payload.Bytes(nil))
	}
	if got != "abcccbcccd" {
		t.Errorf("the steps are %q", got)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// TestCaptures: over bytes, each is a character, and comes back as one.
func TestCaptures(t *testing.T) {
	talk, err := Parse([]byte("<~ bytes (?s)^(..)\\xff(.)$\n> <$2$1>\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &talk[0]
	m := s.RE.FindSubmatch(s.Chars([]byte("\x80\n\xff\xe9")))
	if m == nil {
		t.Fatal("no match")
	}
	var captured [][]byte
	for _, chars := range m {
		captured = append(captured, s.FromChars(chars))
	}
	if got := string(talk[1].Payload.Bytes(captured)); got != "<\xe9\x80\n>" {
		t.Errorf("sent %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, src := range lines {
		f.Add([]byte(src))
	}
	f.Add([]byte("on ~ (?s)^a(.)\n> $1$$\n\nrepeat 3\n<~ x\ndone\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		talk, err := Parse(src)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Line == 0 || e.Column == 0 {
				t.Errorf("%q: %v is an error without a place", src, err)
			}
			return
		}
		text := Append(nil, talk)
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%q is printed as %q, which is not read: %v", src, text, err)
		}
		if !reflect.DeepEqual(without(talk), without(again)) {
			t.Errorf("%q is printed as %q, which says something else", src, text)
		}
	})
}
