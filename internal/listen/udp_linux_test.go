package listen

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// TestAnswerSource is B1: an answer leaves from the address that was asked, also where
// the socket listens on all (RFC 1122 §4.1.3.5).
func TestAnswerSource(t *testing.T) {
	for _, tt := range []struct{ network, listen, ask string }{
		{"udp4", "0.0.0.0:0", "127.0.0.2"}, {"udp", "[::]:0", "127.0.0.3"}, {"udp", "[::]:0", "::1"}, {"udp4", "127.0.0.4:0", "127.0.0.4"},
	} {
		pc, err := net.ListenPacket(tt.network, tt.listen)
		if err != nil {
			t.Skip(err)
		}
		d := NewDatagrams(pc)
		done := make(chan error, 1)
		go func() {
			done <- d.Serve(make([]byte, 100), func(p []byte, from Source, why error) {
				if why != nil {
					t.Errorf("%s: not answered: %v", tt.ask, why)
				}
				d.Write(p, from)
			}, func(err error) { t.Error(err) })
		}()
		at := netip.AddrPortFrom(netip.MustParseAddr(tt.ask), pc.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		nc, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at)) // connected: it takes answers from there alone
		if err != nil {
			t.Fatal(err)
		}
		nc.Write([]byte("hello"))
		if n, err := nc.Read(make([]byte, 100)); n != 5 || err != nil {
			t.Errorf("asked at %s: %d bytes, %v", tt.ask, n, err)
		}
		nc.Close()
		pc.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestDatagramPanic: a fault of ours in one datagram is told, and the next one is served;
// so with Peers.
func TestDatagramPanic(t *testing.T) {
	faults := make(chan error, 10)
	served := make(chan string, 10)
	boom := func(p string) {
		if p == "boom" {
			panic(p)
		}
		served <- p
	}
	for name, serve := range map[string]func(d *Datagrams) error{
		"Datagrams": func(d *Datagrams) error {
			return d.Serve(make([]byte, 100), func(p []byte, _ Source, _ error) { boom(string(p)) }, func(err error) { faults <- err })
		},
		"Peers": func(d *Datagrams) error {
			s := &Peers{Datagrams: d, Max: 10, ErrorLog: func(err error) { faults <- err }, Handle: func(nc net.Conn, _ Source) {
				b := make([]byte, 100)
				n, _ := nc.Read(b)
				boom(string(b[:n]))
			}}
			return s.Serve()
		},
	} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- serve(NewDatagrams(pc)) }()
		for _, p := range []string{"boom", "hello"} {
			nc, err := net.Dial("udp", pc.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.Write([]byte(p))
		}
		if got := <-served; got != "hello" {
			t.Errorf("%s: served %q", name, got)
		}
		if err := <-faults; !strings.Contains(err.Error(), "127.0.0.1:") || !strings.Contains(err.Error(), "panic: boom") {
			t.Errorf("%s: told %v", name, err)
		}
		pc.Close()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPeersDrop: datagrams that a connection does not take are dropped, and that is said:
// at once that it begins, and at the end how many.
func TestPeersDrop(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 10)
	last, release := make(chan struct{}), make(chan struct{})
	s := &Peers{Datagrams: NewDatagrams(pc), Max: 10, ErrorLog: func(err error) { told <- err.Error() }, Handle: func(nc net.Conn, _ Source) {
		b := make([]byte, 100)
		if n, _ := nc.Read(b); string(b[:n]) == "last" {
			close(last)
			return
		}
		<-release
	}}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	send := func(p string, times int) {
		nc, err := net.Dial("udp", pc.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for range times {
			nc.Write([]byte(p))
		}
	}
	send("many", maxQueued+20)
	send("last", 1)
	<-last
	if got := <-told; !strings.HasPrefix(got, "127.0.0.1:") || !strings.HasSuffix(got, ": datagrams are dropped: 64 wait already") {
		t.Errorf("told %q", got)
	}
	pc.Close()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := <-told; got != "19 datagrams were dropped" && got != "20 datagrams were dropped" { // one is read, sooner or later
		t.Errorf("told %q at the end", got)
	}
}

// TestLoops: neither this server's own datagrams are answered, nor those of another
// server that answers ours (CVE-2024-2169).
func TestLoops(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	d := NewDatagrams(pc)
	port := pc.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	buf := make([]byte, 10)
	pc.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if _, from, why, err := d.Read(buf); why != errOurselves || err != nil {
		t.Errorf("from %v: %v, %v; want %v", from, why, err, errOurselves)
	}
	server := Source{AddrPort: netip.MustParseAddrPort("192.0.2.1:5000")}
	other := Source{AddrPort: netip.MustParseAddrPort("192.0.2.2:5000")}
	high := Source{AddrPort: netip.MustParseAddrPort("192.0.2.1:50000")}
	client := Source{AddrPort: netip.MustParseAddrPort("192.0.2.9:50000")}
	for i := range 2 * maxEqual { // all at once
		for _, from := range []Source{server, other} {
			if got, want := d.circling(from, buf), i >= maxRounds; got != want {
				t.Fatalf("datagram %d of a server: a loop: %v", i, got)
			}
		}
		if got, want := d.circling(high, buf), i > maxEqual; got != want {
			t.Fatalf("datagram %d of a server on a high port: a loop: %v", i, got)
		}
		if d.circling(client, strconv.AppendInt(nil, int64(i), 10)) {
			t.Fatalf("datagram %d of a client: a loop", i)
		}
	}
}

// TestMulticast is B3: a group given as address is joined.
func TestMulticast(t *testing.T) {
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Skip(err)
	}
	o := &opener{}
	pc, err := o.group("udp4", endpoint{host: "239.9.9.9", port: "0", iface: "lo"})
	if err != nil || pc == nil {
		t.Fatalf("joining: %v", err)
	}
	defer pc.Close()
	d, port := NewDatagrams(pc), pc.LocalAddr().(*net.UDPAddr).Port
	nc, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(239, 9, 9, 9), Port: port})
	if err != nil {
		t.Skip(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte("hello")); err != nil {
		t.Skip("no multicast over lo here: ", err)
	}
	n, from, why, err := d.Read(make([]byte, 100))
	if n != 5 || err != nil || why != errToMany {
		t.Errorf("%d bytes, answered: %v, %v", n, why, err)
	}
	if from.to.String() != "239.9.9.9" || from.local.String() != "127.0.0.1" {
		t.Errorf("it was sent to %v, and what is sent back leaves from %v", from.to, from.local)
	}
	if pc, err := o.group("udp4", endpoint{host: "192.0.2.1", port: "0"}); pc != nil || err != nil {
		t.Errorf("an address that is no group: %v, %v", pc, err)
	}
	if _, err := o.group("udp4", endpoint{host: "239.9.9.9", port: "0", iface: "nowhere0"}); err == nil {
		t.Error("an interface that is not there is taken")
	}
}
