package peers

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

// What is here has the program run short of descriptors and of memory, both as the
// system counts them.

// TestProcess has what only a process of its own can show.
func TestProcess(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts programs")
	}
	for name, test := range map[string]func(*testing.T, string){
		"few descriptors": fewDescriptors, "no descriptors": noDescriptors, "memory limit": memoryLimit, "idle": idleMemory, "empty root": emptyRoot,
		"sockets given": socketsGiven, "inetd": inetd, "systemd": systemd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, kit.Program(t))
		})
	}
}

// startServer runs a command line of the program by a command that ends in running
// another, such as env, "" for none.
func startServer(t *testing.T, bin, by, line string) (p *kit.Process, addr string) {
	t.Helper()
	words := append(append(strings.Fields(by), bin), strings.Fields(line)...)
	if _, err := exec.LookPath(words[0]); err != nil {
		t.Skip(err)
	}
	p = kit.StartProcess(t, words[0], words[1:]...)
	return p, p.WaitFor(`listening on ws (\S+)`)[1]
}

// A plainWS is a WebSocket client of which nothing is hidden.
type plainWS struct {
	net.Conn
	br     *bufio.Reader
	status int // of the handshake, 0: there was no answer
}

// upgrade connects and asks for a WebSocket.
func upgrade(t *testing.T, addr string) *plainWS {
	t.Helper()
	c := &plainWS{Conn: kit.DialTCP(t, addr)}
	c.br = bufio.NewReader(c)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	return c
}

func (c *plainWS) answer() int {
	if res, err := http.ReadResponse(c.br, nil); err == nil {
		c.status = res.StatusCode
	}
	return c.status
}

// letIn tries until it is let in: a server learns of those who left when it can.
func letIn(t *testing.T, addr string) *plainWS {
	t.Helper()
	for {
		c := upgrade(t, addr)
		if c.answer() == 101 {
			return c
		}
		c.Close()
	}
}

// frameOf is a frame that begins with first, masked with a key of zeros.
func frameOf(first byte, payload []byte) []byte {
	b := wsproto.AppendHeader(nil, wsproto.Header{Masked: true, PayloadLen: int64(len(payload))})
	b[0] = first
	return append(b, payload...)
}

// echoes checks that a message comes back.
func (c *plainWS) echoes(t *testing.T, text string) {
	t.Helper()
	c.Write(frameOf(0x81, []byte(text)))
	got := make([]byte, 2+len(text))
	if _, err := io.ReadFull(c.br, got); err != nil || string(got) != "\x81"+string(rune(len(text)))+text {
		t.Fatalf("got %q, %v; want %q back", got, err, text)
	}
}

// fewDescriptors: 200 clients where only 64 files may be open (RL05).
func fewDescriptors(t *testing.T, bin string) {
	p, addr := startServer(t, bin, "prlimit --nofile=64", "echo -port 0 -grace 0.1")
	var in []*plainWS
	for range 200 {
		c := upgrade(t, addr)
		switch c.answer() {
		case 101:
			in = append(in, c)
		case 503, 0: // 0: too many to be told
			c.Close()
		default:
			t.Fatalf("answered %d", c.status)
		}
	}
	if len(in) != 32 {
		t.Errorf("%d clients were let in, want 32", len(in))
	}
	for i, c := range in {
		c.echoes(t, fmt.Sprint("client ", i))
	}
	for _, c := range in[:8] {
		c.Close()
	}
	for range 8 {
		letIn(t, addr).echoes(t, "again")
	}
	p.End()
	if got := p.Stderr.String(); strings.Contains(got, "too many") {
		t.Errorf("it ran out of descriptors: %q", got)
	}
}

// noDescriptors: where they do run out, who is in is served, and the others
// are once there are some again (RL05).
func noDescriptors(t *testing.T, bin string) {
	p, addr := startServer(t, bin, "", "echo -port 0 -grace 0.1")
	p.Limit("--nofile=48")
	var clients []*plainWS
	for range 80 { // those beyond wait in the system's queue
		clients = append(clients, upgrade(t, addr))
	}
	p.WaitFor("too many open files")
	first, last := clients[0], clients[79]
	if first.answer() != 101 {
		t.Fatalf("the first client is answered %d", first.status)
	}
	first.echoes(t, "meanwhile")
	for _, c := range clients[1:60] {
		c.Close()
	}
	if last.answer() != 101 {
		t.Fatalf("the last client is answered %d", last.status)
	}
	last.echoes(t, "at last")
	first.echoes(t, "still")
	p.End()
	if got := p.Stderr.String(); strings.Count(got, "too many") > 5 {
		t.Errorf("want a line about the shortage now and then: %q", got)
	}
}

func needPlainMemory(t *testing.T) {
	if kit.Race {
		t.Skip("the race detector takes memory of its own")
	}
}

// memoryLimit: 500 clients at the default flags, which send messages of 1 MiB that nobody
// reads and half what inflates to 64 MiB (RL07).
func memoryLimit(t *testing.T, bin string) {
	needPlainMemory(t)
	p, addr := startServer(t, bin, "env GOMEMLIMIT=64MiB", "broadcast -port 0 -no-announce -grace 0.1")
	large := frameOf(0x82, bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, flate.BestCompression)
	w.Write(make([]byte, 64<<20))
	w.Flush()
	bomb := frameOf(0xC2, bytes.TrimSuffix(z.Bytes(), []byte("\x00\x00\xff\xff")))
	var all sync.WaitGroup
	for n := range 500 {
		what := large
		if n%2 == 0 {
			what = bomb
		}
		all.Go(func() {
			c := letIn(t, addr)
			defer c.Close()
			c.SetWriteDeadline(time.Now().Add(time.Second)) // it need not wait until it is cut
			for range 8 {
				if _, err := c.Write(what); err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	letIn(t, addr)
	peak := p.Memory("VmHWM")
	t.Logf("at most %d MiB", peak>>20)
	if peak > 128<<20 {
		t.Errorf("it took %d MiB", peak>>20)
	}
	p.End()
}

// idleMemory: what a client costs that is idle, and one that announces a message
// of 1 MiB and sends one byte of it (RL08, RL09).
func idleMemory(t *testing.T, bin string) {
	needPlainMemory(t)
	const clients = 1000
	p, addr := startServer(t, bin, "", "echo -port 0 -max-conns 4000 -grace 0.1")
	letIn(t, addr).echoes(t, "warm")
	start := p.Memory("VmRSS")
	var in []*plainWS
	for range clients {
		in = append(in, letIn(t, addr))
	}
	idle := p.Memory("VmRSS")
	for _, c := range in {
		c.Write([]byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 'x'})
	}
	in[0].Write(make([]byte, 1<<20-1)) // comes back when what came before it was read
	if _, err := in[0].br.ReadByte(); err != nil {
		t.Fatal(err)
	}
	begun := p.Memory("VmRSS")
	each, more := (idle-start)/clients, (begun-idle)/clients
	t.Logf("%d bytes for each that is idle, %d more for each message begun", each, more)
	if each > 12<<10 || more > 8<<10 {
		t.Errorf("a client takes %d bytes and %d more for one of a message, want at most 12 KiB and 8 KiB", each, more)
	}
	p.End()
}

// emptyRoot: process 1 of a system in which there is nothing else, not even an
// environment (RL12).
func emptyRoot(t *testing.T, bin string) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	root := t.TempDir()
	put(t, root, bin, "/socketsrv")
	libraries, _ := exec.Command("ldd", bin).Output() // which the static program has none of
	for _, word := range strings.Fields(string(libraries)) {
		if filepath.IsAbs(word) {
			put(t, root, word, word)
		}
	}
	cmd := exec.Command("/socketsrv", "echo", "-port", "0")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWPID}
	p := kit.StartCommand(t, cmd)
	c := letIn(t, p.WaitFor(`listening on ws (\S+)`)[1])
	c.echoes(t, "hello")
	c.Close()
	p.WaitFor("Closed connection")
	p.End()

	cmd = exec.Command("/socketsrv", "-selftest")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("-selftest: %v\n%s", err, out)
	}
}

// put copies a file to a place below root.
func put(t *testing.T, root, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	to = filepath.Join(root, to)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
