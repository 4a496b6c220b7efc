package linesrv

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// textTests: what ParseBytes makes of the input, or what the error says.
var bytesTests = []struct {
	in, want string
	err      string
}{
	// SPEC "Text and bytes", and the spellings that people were found to have.
	{"0d0a", "\r\n", ""},
	{"0d 0a", "\r\n", ""},
	{"0d:0a", "\r\n", ""},
	{"0d-0a", "\r\n", ""},
	{"0x0d,0x0a", "\r\n", ""},
	{`\x0d\x0a`, "\r\n", ""},
	{"$0D$0A", "\r\n", ""},
	{"02:45:31", "\x02E1", ""},
	{"0x00,0x01", "\x00\x01", ""},
	{"0x00 0x01", "\x00\x01", ""},
	{`\x00\x01`, "\x00\x01", ""},
	{"00-01", "\x00\x01", ""},
	{"{0x00, 0x01}", "\x00\x01", ""},
	{" { 0X00, 0X01, } ", "\x00\x01", ""},
	{"00h 01h", "\x00\x01", ""},
	{"0DH,0AH", "\r\n", ""},
	{"0 1 2", "\x00\x01\x02", ""},
	{`02 "AB" 03`, "\x02AB\x03", ""},
	{`02"AB"03`, "\x02AB\x03", ""},
	{`02 "a\x22b\\c\r, {" 03`, "\x02a\"b\\c\r, {\x03", ""},
	{"deadBEEF", "\xde\xad\xbe\xef", ""},
	{"0xdeadbeef", "\xde\xad\xbe\xef", ""},
	{"0d\n0a\t00", "\r\n\x00", ""},
	{"", "", ""},
	{"{}", "", ""},
	{`""`, "", ""},

	{"4x", "", `character 2: 'x' is not a hexadecimal digit`},
	{"é4", "", `character 1: 'é' is not a hexadecimal digit`},
	{"é 4x", "", `character 1: 'é'`},
	{"00 \xff", "", `character 4: '�'`},
	{"abc", "", `a hexadecimal digit is missing: there are 3 in "abc"`},
	{"0x", "", `a hexadecimal digit is missing after "0x"`},
	{"0x 41", "", `character 3: ' ' is not`},
	{`02 "AB`, "", `no quote after "AB`},
	{`02 "A\B" 03`, "", `byte 2: not an escape`},
	{"02,,03", "", `character 4: no byte before ','`},
	{":02", "", `character 1: no byte before ':'`},
	{"{00", "", `character 1: '{' is not`},
	{"0b1h1", "", `character 4: 'h' is not`},
	{"0b1 00", "", `there are 3 in "0b1"`},
	{"hello", "", `character 1: 'h' is not`},
}

func TestParseBytes(t *testing.T) {
	for _, tt := range bytesTests {
		got, err := ParseBytes(tt.in)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("ParseBytes(%q) = %q, %v; want %q, %q", tt.in, got, err, tt.want, tt.err)
		}
	}
}

var escapeTests = []struct {
	in, want string
	err      string
}{
	{`\x02AB\x03\r\n`, "\x02AB\x03\r\n", ""},
	{`ACK\r\n\x06`, "ACK\r\n\x06", ""},
	{`\n\r\t\0\\`, "\n\r\t\x00\\", ""},
	{`\x00\xff\xFf`, "\x00\xff\xff", ""},
	{`\u{e9}\u{1F600}\u{0}`, "é😀\x00", ""},
	{`\u0085\U0001f600`, "\u0085😀", ""}, // as the dump shows them
	{`plain é`, "plain é", ""},
	{`\\n`, `\n`, ""},
	{"", "", ""},

	{`a\qb`, "", `byte 2: not an escape`},
	{`é\`, "", `byte 3: not an escape`},
	{`\x4`, "", `byte 1: not an escape`},
	{`\x+4`, "", `byte 1: not an escape`},
	{`\u{}`, "", `byte 1: not an escape`},
	{`\u{110000}`, "", `byte 1: not an escape`},
	{`\u{d800}`, "", `byte 1: not an escape`},
	{`\u{41`, "", `byte 1: not an escape`},
	{`\u41`, "", `byte 1: not an escape`},
}

func TestParseEscapes(t *testing.T) {
	for _, tt := range escapeTests {
		got, err := ParseEscapes(tt.in)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("ParseEscapes(%q) = %q, %v; want %q, %q", tt.in, got, err, tt.want, tt.err)
		}
	}
}

// FuzzParseBytes: bytes are the same in each spelling, and what was read once is read
// again as digits.
func FuzzParseBytes(f *testing.F) {
	for _, tt := range bytesTests {
		f.Add(tt.in)
	}
	for _, tt := range escapeTests {
		f.Add(`"` + tt.in + `"`)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		var each, escaped []string
		for _, c := range b {
			each = append(each, fmt.Sprintf("%02x", c))
			escaped = append(escaped, fmt.Sprintf(`\x%02X`, c))
		}
		for _, spelling := range []string{strings.Join(each, ""), strings.Join(each, ":"), "{0x" + strings.Join(each, ", 0x") + "}",
			strings.Join(escaped, ""), `"` + strings.Join(escaped, "") + `"`} {
			if len(b) == 0 {
				continue
			}
			if again, err := ParseBytes(spelling); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%q is %x, but %q is %x, %v", s, b, spelling, again, err)
			}
		}
		if again, err := ParseEscapes(strings.Join(escaped, "")); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q is %x, with escapes %x, %v", s, b, again, err)
		}
	})
}

func TestLooksLikeHTTP(t *testing.T) {
	for line, want := range map[string]bool{
		"POST / HTTP/1.1\r":                    true,
		"GET /a?b=c HTTP/1.0":                  true,
		"PRI * HTTP/2.0":                       true,
		"OPTIONS * HTTP/1.1":                   true,
		"CONNECT a:1 HTTP/1.1":                 true,
		"M-SEARCH * HTTP/1.1":                  true,
		"Host: 127.0.0.1":                      true,
		"host:":                                true,
		"":                                     false,
		"ping":                                 false,
		"GET key":                              false,
		"GET / HTTP/":                          false,
		"get a b HTTP/1.1":                     false,
		"HTTP/1.1 200 OK":                      false,
		"the page said GET / HTTP/1.1":         false,
		" / HTTP/1.1":                          false,
		"hostname: a":                          false,
		"Content-Type: text/plain;charset=UTF": false,
	} {
		if got := LooksLikeHTTP([]byte(line)); got != want {
			t.Errorf("LooksLikeHTTP(%q) = %v", line, got)
		}
	}
}
