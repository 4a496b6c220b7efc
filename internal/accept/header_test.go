package accept

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// v2 is a header of version 2: command, family, and what follows in hexadecimal.
func v2(head string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(head, " ", ""))
	if err != nil {
		panic(err)
	}
	return signature + string(b)
}

func header(from, to string) Header {
	return Header{netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)}
}

var headers = []struct {
	name, wire string
	want       Header
	err        string // in the error; "" for none
}{
	{"v1 (section 2.1)", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", header("192.168.0.1:56324", "192.168.0.11:443"), ""},
	{"v1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", header("[2001:db8::1]:1", "[2001:db8::2]:65535"), ""},
	{"v1, the longest", "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		header("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"), ""},
	{"v1, unknown", "PROXY UNKNOWN\r\n", Header{}, ""},
	{"v1, unknown and more", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Header{}, ""},
	{"v2, TCP over IPv4", v2("21 11 000c c0000201 c6336401 d903 01bb"), header("192.0.2.1:55555", "198.51.100.1:443"), ""},
	{"v2, TCP over IPv6", v2("21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 0001 0002"),
		header("[2001:db8::1]:1", "[2001:db8::2]:2"), ""},
	{"v2, UDP", v2("21 12 000c c0000201 c6336401 d903 01bb"), header("192.0.2.1:55555", "198.51.100.1:443"), ""},
	{"v2, with a TLV", v2("21 11 0013 c0000201 c6336401 d903 01bb 04 0004 00000000"), header("192.0.2.1:55555", "198.51.100.1:443"), ""},
	{"v2, local", v2("20 00 0000"), Header{}, ""},
	{"v2, local, addresses to be ignored", v2("20 11 000c c0000201 c6336401 d903 01bb"), Header{}, ""},
	{"v2, local, half of addresses", v2("20 11 0004 c0000201"), Header{}, ""},
	{"v2, unspecified, skipped", v2("21 00 0003 010203"), Header{}, ""},
	{"v2, Unix socket", v2("21 31 00d8 " + strings.Repeat("00", 216)), Header{}, ""},

	{"nothing", "", Header{}, "does not begin with"},
	{"HTTP", "GET / HTTP/1.1\r\n\r\n", Header{}, `"GET / HTTP/1.1\r"`},
	{"escapes", "\x1b[2J\x1b[2J\x1b[2J\x1b[2J", Header{}, `"\x1b[2J`},
	{"lower case", "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, LF alone", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", Header{}, "does not begin with"},
	{"v1, two blanks", "PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, no port", "PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", Header{}, "does not begin with"},
	{"v1, a port too much", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, port 65536", "PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", Header{}, "does not begin with"},
	{"v1, port 01", "PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", Header{}, "does not begin with"},
	{"v1, port -1", "PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n", Header{}, "does not begin with"},
	{"v1, a leading zero", "PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, IPv6 as IPv4", "PROXY TCP4 ::1 ::1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, IPv4 as IPv6", "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, a zone", "PROXY TCP6 fe80::1%eth0 fe80::1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, a name", "PROXY TCP4 localhost localhost 1 1\r\n", Header{}, "does not begin with"},
	{"v1, another family", "PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n", Header{}, "does not begin with"},
	{"v1, too long", "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", Header{}, "no end of the line in 107 bytes"},
	{"v2, another version", v2("11 11 000c c0000201 c6336401 d903 01bb"), Header{}, "11 11 00 0c"},
	{"v2, another command", v2("22 11 000c c0000201 c6336401 d903 01bb"), Header{}, "22 11 00 0c"},
	{"v2, another family", v2("21 41 000c c0000201 c6336401 d903 01bb"), Header{}, "21 41 00 0c"},
	{"v2, too short for its family", v2("21 21 000c c0000201 c6336401 d903 01bb"), Header{}, "21 21 00 0c"},
	{"v2, no addresses", v2("21 11 0000"), Header{}, "21 11 00 00"},
}

// TestReadHeader: nothing behind the header is read, whole or byte by byte, and no
// proper prefix is one.
func TestReadHeader(t *testing.T) {
	for _, tt := range headers {
		for _, cut := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			rest := strings.NewReader(tt.wire + "and more of what comes")
			if tt.wire == "" {
				rest.Reset("")
			}
			got, err := ReadHeader(cut(rest))
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, %v; want %v, %q", tt.name, got, err, tt.want, tt.err)
			}
			if left, _ := io.ReadAll(rest); err == nil && string(left) != "and more of what comes" {
				t.Errorf("%s: what follows has become %q", tt.name, left)
			}
		}
		for n := range len(tt.wire) {
			if got, err := ReadHeader(strings.NewReader(tt.wire[:n])); err == nil {
				t.Errorf("%s: %q is taken for %v", tt.name, tt.wire[:n], got)
			}
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, tt := range headers {
		f.Add([]byte(tt.wire))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, err := ReadHeader(bytes.NewReader(wire))
		if err != nil {
			return
		}
		for _, again := range [][]byte{h.AppendLine(nil), h.AppendBinary(nil)} {
			if got, err := ReadHeader(bytes.NewReader(again)); got != h || err != nil {
				t.Errorf("%q means %v, %q means %v, %v", wire, h, again, got, err)
			}
		}
	})
}

func TestHeaderOf(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, tt := range []struct {
		remote, local net.Addr
		want          string
	}{
		{tcp("[::ffff:192.0.2.1]:5"), tcp("127.0.0.1:80"), "PROXY TCP4 192.0.2.1 127.0.0.1 5 80\r\n"},
		{tcp("[fe80::1%eth0]:5"), tcp("[fe80::2]:80"), "PROXY TCP6 fe80::1 fe80::2 5 80\r\n"},
		{tcp("[2001:db8::1]:5"), tcp("127.0.0.1:80"), "PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 5 80\r\n"},
		{&net.UnixAddr{Name: "@"}, &net.UnixAddr{Name: "/s"}, "PROXY UNKNOWN\r\n"},
		{nil, nil, "PROXY UNKNOWN\r\n"},
	} {
		h := HeaderOf(tt.remote, tt.local)
		if got := string(h.AppendLine(nil)); got != tt.want {
			t.Errorf("from %v to %v: %q, want %q", tt.remote, tt.local, got, tt.want)
		}
		if again, err := ReadHeader(bytes.NewReader(h.AppendBinary(nil))); again != h || err != nil {
			t.Errorf("%v in binary is %v, %v", h, again, err)
		}
	}
}

// TestNamed: who is slow or lies keeps nobody waiting, and is closed.
func TestNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &pipes{make(chan net.Conn), make(chan struct{})}
		bound := &Bound{Max: 9}
		var mu sync.Mutex
		var logged []string
		ln := Named(bound.Listen(inner), 10*time.Second, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			logged = append(logged, err.Error())
		})
		slow, liar := inner.connect(), inner.connect()
		io.WriteString(slow, "PROXY TCP4")
		go io.WriteString(liar, "GET / HTTP/1.1\r\n\r\n")
		good := inner.connect()
		go io.WriteString(good, "PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\nhello")

		c, err := ln.Accept()
		if err != nil || c.RemoteAddr().String() != "192.0.2.1:5" {
			t.Fatalf("Accept: %v, %v", c, err)
		}
		if p, err := io.ReadAll(io.LimitReader(c, 5)); string(p) != "hello" || err != nil {
			t.Errorf("behind the header comes %q, %v", p, err)
		}
		start := time.Now()
		for _, closed := range []net.Conn{liar, slow} {
			io.Copy(io.Discard, closed)
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("who does not end its header has %v", d)
		}
		synctest.Wait()
		if n := bound.open.Load(); n != 1 || len(logged) != 2 || !strings.Contains(logged[0], `"GET / HTTP/1.1\r"`) {
			t.Errorf("%d are open, the log has %q", n, logged)
		}
		waits := inner.connect()
		synctest.Wait()
		ln.Close()
		if _, err := waits.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("who had not sent its header when we stopped reads %v", err)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if len(logged) != 2 {
			t.Errorf("our own stop is logged: %q", logged)
		}
		c.Close()
		if n := bound.open.Load(); n != 0 {
			t.Errorf("%d are still counted", n)
		}
	})
}
