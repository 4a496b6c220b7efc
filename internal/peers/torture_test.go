package peers

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// TestTorture cuts clients off in the middle of everything, in rounds, in front of
// servers that must be after each round what they were before: in goroutines, in
// descriptors, in memory, and to an honest client (RL10, RL11).
func TestTorture(t *testing.T) {
	rounds, clients := 6, 400
	if testing.Short() {
		rounds, clients = 3, 100
	}
	var victims []*victim
	lines := []string{
		"echo -v -ws-port 0 -tcp-port 0",
		"echo -ws-port off -tcp-port 0 -framing length",
		"echo -ws-port 0 -tcp-port 0 -framing line",
		"broadcast -v -ws-port 0 -tcp-port 0 -queue 64k -slow drop",
		"broadcast -ws-port 0 -tcp-port 0 -queue 64k -rooms",
		"dump -v -host 127.0.0.1 -ws-port 0 -tcp-port 0 -udp-port off -reply {}",
	}
	if tlsconf.Available {
		lines = append(lines, "echo -tls -ws-port 0 -tcp-port 0", "dump -tls -v -host 127.0.0.1 -ws-port 0 -tcp-port 0 -udp-port off -reply {}")
	}
	for _, line := range lines {
		victims = append(victims, newVictims(t, line)...)
	}
	for range 4 * runtime.GOMAXPROCS(0) { // a server has opened all the loops it may
		for _, v := range victims {
			v.check(t)
		}
	}
	before := usage{goroutines: runtime.NumGoroutine(), files: openFiles()}
	for round := range rounds {
		rnd := rand.New(rand.NewPCG(1, uint64(round)))
		var all sync.WaitGroup
		stay := make(chan struct{})
		for range clients {
			v, seed := victims[rnd.IntN(len(victims))], rnd.Uint64()
			all.Go(func() { v.hurt(t, rand.New(rand.NewPCG(2, seed)), stay) })
		}
		for _, v := range victims {
			v.check(t) // meanwhile
		}
		close(stay)
		all.Wait()
		for _, v := range victims {
			v.check(t)
			v.forget()
		}
		settle(t, before)
		switch {
		case round == 1: // pools have filled, tables have grown
			before.heap = heap(0) + 2<<20
		case round > 1:
			if now := heap(before.heap); now > before.heap {
				t.Errorf("after round %d the heap has %d KiB, more than the %d of the second and then some", round, now>>10, before.heap>>10)
			}
		}
	}
}

// usage is what must not grow.
type usage struct {
	goroutines, files int
	heap              uint64
}

// settle waits until no more goroutines and files are in use than in want.
func settle(t *testing.T, want usage) {
	t.Helper()
	for late := time.Now().Add(kit.Patience); runtime.NumGoroutine() > want.goroutines || openFiles() > want.files; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d files, before %d and %d:\n%s", runtime.NumGoroutine(), openFiles(), want.goroutines, want.files,
				stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// heap returns how much is in use, after as many collections as it takes until that
// is no more than want: pools take two, what is freed by a cleanup one more.
func heap(want uint64) uint64 {
	var m runtime.MemStats
	for range 20 {
		runtime.GC()
		runtime.GC()
		if runtime.ReadMemStats(&m); m.HeapAlloc <= want {
			break
		}
		runtime.Gosched()
	}
	return m.HeapAlloc
}

// openFiles is how many descriptors this process has, 0 where the system does not say.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// A victim is a port of a server.
type victim struct {
	*kit.Run
	line, proto, addr string
	secure            bool
}

// dial connects, over TLS where the port speaks it; through nc if that is not nil.
func (v *victim) dial(nc net.Conn) (net.Conn, error) {
	if nc == nil {
		var err error
		if nc, err = net.Dial("tcp", v.addr); err != nil {
			return nil, err
		}
	}
	nc.SetDeadline(time.Now().Add(kit.Patience))
	if v.secure {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	return nc, nil
}

// newVictims starts a server and returns its ports.
func newVictims(t *testing.T, line string) (ports []*victim) {
	t.Helper()
	r := kit.Background(t, map[string]cli.Mode{"echo": echo.Mode, "broadcast": broadcast.Mode, "dump": dump.Mode}[strings.Fields(line)[0]], strings.Fields(line)[1:]...)
	secure := strings.Contains(line, " -tls ")
	for _, proto := range []string{"ws", "tcp"} {
		announced := proto
		if secure {
			announced = map[string]string{"ws": "wss", "tcp": "tls"}[proto]
		}
		if !strings.Contains(line, proto+"-port off") {
			ports = append(ports, &victim{r, line, proto, r.Addr(announced), secure})
		}
	}
	return ports
}

// forget drops what the server wrote, which takes memory, too.
func (v *victim) forget() {
	for _, r := range []*cli.Record{v.Stdout.Record, v.Stderr.Record} {
		r.Reset()
	}
}

// check has an honest client send a message and get it back.
func (v *victim) check(t *testing.T) {
	t.Helper()
	if v.proto == "ws" {
		c, _, err := wsproto.Dial(t.Context(), "ws://"+v.addr+"/honest", wsproto.DialOptions{
			NetDial: func(context.Context, string, string) (net.Conn, error) { return v.dial(nil) },
		})
		if err != nil {
			t.Fatalf("%s: %v", v.line, err)
		}
		defer c.Close(wsproto.StatusNormalClosure, "")
		c.SetReadDeadline(time.Now().Add(kit.Patience))
		c.WriteMessage(wsproto.OpText, []byte("honest"))
		for {
			m, err := c.ReadMessage()
			if err != nil {
				t.Fatalf("%s: %v", v.line, err)
			}
			if string(m.Data) == "honest" {
				return
			}
		}
	}
	nc, err := v.dial(nil)
	if err != nil {
		t.Fatalf("%s: %v", v.line, err)
	}
	defer nc.Close()
	fmt.Fprint(nc, v.packet("honest"))
	for got := []byte(nil); !bytes.Contains(got, []byte("honest")); {
		p := make([]byte, 4096)
		n, err := nc.Read(p)
		if err != nil {
			t.Fatalf("%s: %v after %q", v.line, err, got)
		}
		got = append(got, p[:n]...)
	}
}

// packet is a message in the framing of the port.
func (v *victim) packet(s string) string {
	if strings.Contains(v.line, "-framing length") {
		return string([]byte{0, 0, byte(len(s) >> 8), byte(len(s))}) + s
	}
	return s + "\n"
}

// hurt is a client that does a part of what one may do, and then goes, in one of
// several ways.
func (v *victim) hurt(t *testing.T, rnd *rand.Rand, stay <-chan struct{}) {
	nc, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	script := v.script(rnd)
	script = script[:rnd.IntN(len(script)+1)]
	how := rnd.IntN(5)
	through := nc
	if v.secure && rnd.IntN(3) > 0 { // else it does not speak TLS
		through, _ = v.dial(&cutConn{nc, 1 << rnd.IntN(20)})
	}
	nc.SetDeadline(time.Now().Add(kit.Patience))
	if how != 0 { // who does not read
		go io.Copy(io.Discard, through)
	}
	for len(script) > 0 {
		n := min(1+rnd.IntN(1<<rnd.IntN(17)), len(script))
		if _, err := through.Write(script[:n]); err != nil {
			return // refused, or cut
		}
		script = script[n:]
		runtime.Gosched()
	}
	switch how {
	case 1:
		nc.(*net.TCPConn).SetLinger(0) // a reset
	case 2:
		nc.(*net.TCPConn).CloseWrite()
	case 3:
		<-stay
	}
}

// A cutConn is cut once so many bytes are written.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	n, err := c.Conn.Write(p[:n])
	if n < len(p) {
		c.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

// script is what a client might send from its first byte to its last.
func (v *victim) script(rnd *rand.Rand) []byte {
	text := func() string { return strings.Repeat("grüße ", rnd.IntN(1<<rnd.IntN(13))) }
	var b []byte
	if v.proto == "tcp" {
		for range 1 + rnd.IntN(5) {
			s := text()
			b = append(b, v.packet(s[:min(len(s), 65535)])...)
		}
		return b
	}
	switch rnd.IntN(8) {
	case 0:
		return []byte("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	case 1:
		return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + text())
	}
	b = []byte("GET /torture HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	frame := func(first byte, payload string) {
		head := wsproto.AppendHeader(nil, wsproto.Header{Masked: true, PayloadLen: int64(len(payload))})
		head[0] = first
		b = append(append(b, head...), payload...)
	}
	for range 1 + rnd.IntN(6) {
		switch rnd.IntN(8) {
		case 0:
			frame(0x01, text())
			frame(0x00, text())
			frame(0x89, "between")
			frame(0x80, text())
		case 1:
			frame(0xC1, "\xf2\x48\xcd\xc9\xc9\x07\x00") // "Hello", RFC 7692 §7.2.3.1
		case 2:
			frame(0x89, "ping")
		case 3:
			frame(0x82, string(make([]byte, rnd.IntN(200_000))))
		case 4:
			frame([]byte{0x83, 0xF1, 0x80, 0x8B, 0x09}[rnd.IntN(5)], text()) // against the rules
		case 5:
			frame(0x88, "\x03\xe8bye")
		default:
			frame(0x81, text())
		}
	}
	return b
}
