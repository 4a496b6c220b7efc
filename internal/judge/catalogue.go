package judge

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The cases of Autobahn's catalogue under its numbers, judged as it judges them; those
// that stand for themselves are in cases.txt.

// framing is sections 1 to 5.
func framing() cases {
	all := fixed("2.*", "3.*", "4.*", "5.*")
	for sub, kind := range []string{"text", "binary"} {
		for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
			send := "send"
			if i == 7 {
				send = "chops 997"
			}
			message := fmt.Sprintf("%s%q*%d", kind, []string{"*", "\xfe"}[sub], n)
			all.add("1.%d.%d a %s message of %d bytes comes back (§5.2, §5.6) | %s %s; end %s", sub+1, i+1, kind, n, send, message, message)
		}
	}
	var pings, pongs string
	for i := range 10 {
		pings += fmt.Sprintf(`ping"payload-%d" `, i)
		pongs += fmt.Sprintf(`pong"payload-%d" `, i)
	}
	all.add("2.10 ten pings, ten pongs in order | frames %s; end %s", pings, pongs)
	all.add("2.11 ten pings byte by byte, ten pongs in order | chops 1 %s; end %s", pings, pongs)
	return all
}

const kosme = "κ\u1f79σμε"

// texts is section 6.
func texts() cases {
	all := fixed("6.*")
	for i, group := range utf8Sequences() {
		for j, s := range group {
			end := "fail 1007"
			if utf8.ValidString(s) {
				end = fmt.Sprintf("end text%q", s)
			}
			all.add("6.%d.%d text of the bytes %x (§5.6, §8.1) | send text%q; %s", i+5, j+1, s, s, end)
		}
	}
	return all
}

// utf8Sequences is Markus Kuhn's decoder test, in the catalogue's groups 6.5 to
// 6.23.
func utf8Sequences() [][]string {
	var prefixes, nonCharacters []string
	for i := range len(kosme) {
		prefixes = append(prefixes, kosme[:i+1])
	}
	nonCharacters = append(nonCharacters, "\ufffe", "\uffff")
	for plane := rune(1); plane <= 16; plane++ {
		nonCharacters = append(nonCharacters, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	run := func(from, to int) (s string) {
		for c := from; c < to; c++ {
			s += string([]byte{byte(c)})
		}
		return s
	}
	spaced := func(from, to int) (s string) {
		for c := from; c < to; c++ {
			s += string([]byte{byte(c), ' '})
		}
		return s
	}
	cut := []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}
	return [][]string{
		{"hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", kosme},
		prefixes,
		{"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
		{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		{"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		{"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80"},
		{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", run(0x80, 0xbf)},
		{spaced(0xc0, 0xdf), spaced(0xe0, 0xef), spaced(0xf0, 0xf7), spaced(0xf8, 0xfb), spaced(0xfc, 0xfd)},
		cut,
		{strings.Join(cut, "")},
		{"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
			"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"},
		nonCharacters,
		{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"},
	}
}

// closing is sections 7 and 10.
func closing() cases {
	all := fixed("7.*", "10.*")
	long := strings.Repeat("BAsd7&jh23", 256<<10/10+1)[:256<<10]
	all.add("7.1.6 256 KiB of text, more text, close and a ping at once: the end is clean, the echoes are up to the endpoint | "+
		`frames text%q text"Hello World!" close1000"" ping""; answer 1000,0 text%q text"Hello World!"`, long, long).info = true
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all.add(`7.7.%d close with the valid code %d (§7.4) | send close%d""; answer 1000,0,%d`, i+1, code, code, code)
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		all.add(`7.9.%d close with the invalid code %d (§7.4) | send close%d""; fail 1002`, i+1, code, code)
	}
	for i, code := range []int{5000, 65535} {
		all.add(`7.13.%d close with the code %d, of which RFC 6455 says nothing (§7.4.2) | send close%d""; fail 1002`, i+1, code, code).info = true
	}
	return all
}
