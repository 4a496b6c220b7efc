package dump

import (
	"fmt"
	"net"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/cli"
)

func TestDumpUDPSessions(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		udp.in <- fakeDatagram{data: "a", addr: udpAddr("192.0.2.1:4000")}
		d.want(`^< new UDP session #0: 192\.0\.2\.1:4000\n< received datagram from UDP session #0: a\n`)
		time.Sleep(4 * time.Minute)
		udp.in <- fakeDatagram{data: "b", addr: udpAddr("[::ffff:192.0.2.1]:4000")} // UD11: the same
		udp.in <- fakeDatagram{err: syscall.ECONNREFUSED}                           // UD09
		udp.in <- fakeDatagram{data: "c", addr: udpAddr("[fe80::1%lo]:4000")}
		d.want(`^< received datagram from UDP session #0: b\n< new UDP session #1: \[fe80::1%lo\]:4000\n< received datagram from UDP session #1: c\n`)
		time.Sleep(4 * time.Minute)
		d.do("send udp 0 x")
		if got := <-udp.sent; got.data != "x" || got.addr.String() != "192.0.2.1:4000" {
			t.Errorf("sent %+v", got)
		}
		d.want(`sent datagram`)
		time.Sleep(3 * time.Minute)
		d.want(`^< end of UDP session #1: reason silent for 5m\n`)
		d.do("send udp 0 x")
		d.want(`^> sent datagram to UDP session #0: x\n`)
		time.Sleep(7 * time.Minute)
		d.want(`^< end of UDP session #0: reason silent for 5m\n`)
		d.do("send udp 0 x", "close udp 1")
		d.want(`^X try to write on closed UDP session #0\nX closed UDP session #1\n`)
		udp.in <- fakeDatagram{data: "d", addr: udpAddr("192.0.2.1:4000")}
		d.want(`^< new UDP session #2: 192\.0\.2\.1:4000\n`)
		d.do("close udp 2", "l")
		d.want(`^> closed UDP session #2\nudp:\n\tNo client\n\t2 sessions forgotten, 10000 are kept at the most\n`)
		udp.in <- fakeDatagram{data: "e", addr: udpAddr("192.0.2.1:4000")}
		d.want(`^< new UDP session #3: 192\.0\.2\.1:4000\n`)
		d.do("close udp 3 1000")
		d.want(`^X codes are for WebSocket\n`)
	})
}

// TestDumpUDPFlood has UD08: sessions have a bound, and the one silent longest goes.
func TestDumpUDPFlood(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		for i := range maxSessions + 5 {
			if i == maxSessions {
				udp.in <- fakeDatagram{data: "kept", addr: udpAddr("192.0.2.1:1000")}
			}
			udp.in <- fakeDatagram{data: "x", addr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(1+i>>12)), Port: 1000 + i&0xfff}}
		}
		for i := 1; i <= 5; i++ {
			d.want(fmt.Sprintf(`^< end of UDP session #%d: reason forgotten\n`, i))
		}
		d.do("list_clients")
		d.want(`^\t#0: `)
		d.want(`^\t5 sessions forgotten, 10000 are kept at the most\n`)
		d.do("stats")
		d.want(`^udp: 10000 open of 10005; .*; 5 forgotten\n`)
		if got := strings.Count(d.err.String(), "those silent longest are forgotten"); got != 1 {
			t.Errorf("it was said %d times", got)
		}
	})
}

// TestDumpUDPReflectors has UD01 and UD03: shown, never answered, and counted.
func TestDumpUDPReflectors(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		ports := []int{0, 7, 13, 17, 19, 37, 53, 69, 111, 123, 137, 161, 389, 520, 1900, 5353, 11211}
		for i, port := range ports {
			udp.in <- fakeDatagram{data: "x", addr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}}
			d.want(fmt.Sprintf(`datagram from UDP session #%d: x\n`, i))
		}
		udp.in <- fakeDatagram{data: "x", addr: udpAddr("224.0.0.1:5000")}
		udp.in <- fakeDatagram{data: "x", addr: udpAddr("255.255.255.255:5000")}
		udp.in <- fakeDatagram{data: "control", addr: udpAddr("192.0.2.1:5000")}
		if got := <-udp.sent; got.data != "control" {
			t.Errorf("answered: %+v", got)
		}
		d.do("stats")
		d.want(fmt.Sprintf(`sent 1 message, 7 bytes; %d not answered\n`, len(ports)+2))
	}, "-reply", "{}")
}

// TestDumpUDPSizes has UD06 and UD10.
func TestDumpUDPSizes(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-reply", "{}", "-max-show", "1")
	c := d.dial("udp")
	for _, size := range []int{0, 1, 1472, 65507} {
		p := strings.Repeat("x", size)
		c.send(p)
		b := make([]byte, 70000)
		if n, err := c.Read(b); err != nil || string(b[:n]) != p {
			t.Errorf("of %d bytes %d came back, %v", size, n, err)
		}
	}
	d.want(`: x… \(\+65506 bytes\)\n`)
	d.do("send udp 0 "+strings.Repeat("y", 70000), "send udp 0 "+strings.Repeat("z", 65507))
	d.want(`^X message too long \(max 65507\)\n> sent datagram to UDP session #0: z… \(\+65506 bytes\)\n`)
	c.want(strings.Repeat("z", 65507))
	d.quit()
}

// TestDumpUDPDrops has the last part of UD07.
func TestDumpUDPDrops(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	stalled := make(stalledWriter)
	d := startDump(t, func(env *cli.Env) { env.Stdout = stalled }, "-tcp-port", "off", "-ws-port", "off")
	c := d.dial("udp")
	p := make([]byte, 60000)
	for range 2000 {
		c.Write(p)
	}
	d.signals <- syscall.SIGTERM
	close(stalled)
	d.end(0)
	if !regexp.MustCompile(`(?m)^socketsrv: udp: the system dropped \d+ datagrams for want of room\n`).MatchString(d.err.String()) {
		t.Errorf("stderr: %s", d.err)
	}
}
