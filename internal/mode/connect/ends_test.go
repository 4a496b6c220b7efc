package connect

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// Ten kinds of peer at the end of a conversation, over each kind of stream, with little,
// more and much in both directions: what arrived is what was sent, or the exit code is
// not 0 and a line says how much was not.

// A far is the peer's side of a stream. Of a WebSocket it is as plain as of the others:
// nothing is answered by itself.
type far struct {
	net.Conn
	br      *bufio.Reader // of a WebSocket
	ws      bool
	frame   int64 // bytes left of the message that is read
	key     [4]byte
	release <-chan struct{} // closed when the client has ended

	got, sent []byte
}

// Read reads bytes, or those of messages up to a Close.
func (f *far) Read(p []byte) (n int, err error) {
	for f.ws && f.frame == 0 {
		head, err := f.br.Peek(2)
		if err != nil {
			return 0, err
		}
		size := map[byte]int{126: 4, 127: 10}[head[1]&0x7f]
		head, err = f.br.Peek(max(size, 2) + 4)
		if err != nil {
			return 0, err
		}
		h, n, err := wsproto.ParseHeader(head)
		if err != nil || h.Opcode == wsproto.OpClose {
			return 0, io.EOF
		}
		f.br.Discard(n)
		f.frame, f.key = h.PayloadLen, h.MaskingKey
	}
	if f.ws {
		p = p[:min(int64(len(p)), f.frame)]
	}
	if !f.ws { // what is not asked for stays with the system
		n, err = f.Conn.Read(p)
	} else {
		n, err = f.br.Read(p)
		for i := range p[:n] {
			p[i] ^= f.key[i&3]
		}
		f.key = [4]byte{f.key[n&3], f.key[(n+1)&3], f.key[(n+2)&3], f.key[(n+3)&3]}
		f.frame -= int64(n)
	}
	f.got = append(f.got, p[:n]...)
	return n, err
}

// Write sends p; what was sent is noted.
func (f *far) Write(p []byte) (n int, err error) {
	if f.ws {
		h := wsproto.Header{Fin: true, Opcode: wsproto.OpBinary, PayloadLen: int64(len(p))}
		_, err = f.Conn.Write(append(wsproto.AppendHeader(nil, h), p...))
	} else {
		_, err = f.Conn.Write(p)
	}
	if err == nil {
		f.sent = append(f.sent, p...)
	}
	return len(p), err
}

func (f *far) readAll() { io.Copy(io.Discard, struct{ io.Reader }{f}) }

// writeAll sends size bytes in pieces.
func (f *far) writeAll(size int) {
	for p := payload(size); len(p) > 0; {
		n := min(len(p), 64<<10)
		if _, err := f.Write(p[:n]); err != nil {
			return
		}
		p = p[n:]
	}
}

// end says the peer's end.
func (f *far) end() {
	if f.ws {
		f.Conn.Write([]byte(kit.CloseFrame(1000, "")))
	} else if half, ok := f.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// reset ends it the hard way, where there is one.
func (f *far) reset() {
	nc := f.Conn
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = inner.NetConn()
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	nc.Close()
}

func payload(size int) []byte {
	return bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
}

const failure, anyCode, skipped = -1, -2, -3 // in place of an exit code

const pause = 300 * time.Millisecond // of those that are slow

// patient are flags by which nobody is given up who is only slow, also where the
// machine is. Of a WebSocket -linger is what we wait before we close: a peer that leaves
// by itself gets the long one, else a slow machine's silence has us close first.
var patient = map[string]string{"": "-linger 60s -stall 60s", "ws": "-linger 300ms -stall 60s"}

var kinds = []struct {
	name string
	play func(f *far, size int)
	args string
	exit map[string]int // by transport, "" for the others
}{
	{"an echo", func(f *far, size int) {
		io.Copy(struct{ io.Writer }{f}, struct{ io.Reader }{f})
		f.end()
	}, "", nil},
	{"ends first and reads on", func(f *far, size int) {
		f.writeAll(size)
		f.end()
		f.readAll()
	}, "", map[string]int{"ws": anyCode}}, // after a Close nothing may follow
	{"answers while it reads slowly", func(f *far, size int) {
		for p := make([]byte, size/16+1); ; time.Sleep(time.Millisecond) {
			n, err := f.Read(p)
			if f.Write(p[:n]); err != nil {
				break
			}
		}
		f.end()
	}, "", nil},
	{"answers late", func(f *far, size int) {
		if f.ws {
			io.ReadFull(f, make([]byte, size))
		} else {
			f.readAll()
		}
		time.Sleep(pause)
		f.writeAll(size)
		f.readAll()
		f.end()
	}, "", nil},
	{"resets", func(f *far, size int) {
		io.ReadFull(f, make([]byte, size/2))
		f.writeAll(size / 2)
		f.reset()
	}, patient[""], map[string]int{"": failure}},
	{"closes over what it has not read", func(f *far, size int) {
		io.ReadFull(f, make([]byte, size/2))
		f.writeAll(size / 2)
		f.Conn.Close()
	}, patient[""], map[string]int{"": failure, "tls": skipped}}, // TLS has read what its user has not, and resets over a close_notify too
	{"never ends", func(f *far, size int) {
		f.readAll()
		f.writeAll(size)
		<-f.release
	}, "-linger 300ms", map[string]int{"": failure}},
	{"sends after our end", func(f *far, size int) {
		f.readAll()
		f.writeAll(size)
		f.end()
	}, "", nil},
	{"never reads", func(f *far, size int) { <-f.release }, "-linger 300ms -stall 300ms", map[string]int{"": failure}},
	{"meets a stdout that stalls", func(f *far, size int) {
		io.Copy(struct{ io.Writer }{f}, struct{ io.Reader }{f})
		f.end()
	}, "stall", nil},
}

var lossLine = regexp.MustCompile(`(?m)^socketsrv: .*(not delivered: \d+ of \d+ bytes|not written: \d+ of \d+ bytes|bytes received: \d+|bytes sent: \d+)`)

func TestEnds(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	defer running.Wait()
	large := make(chan struct{}, 4) // of those at once
	for _, kind := range kinds {
		for _, transport := range []string{"tcp", "tls", "unix", "ws"} {
			for _, size := range []int{1, 64 << 10, 10 << 20} {
				exit, ok := kind.exit[transport]
				if !ok {
					exit = kind.exit[""]
				}
				if exit == skipped || transport == "tls" && !tlsconf.Available || (testing.Short() || kit.Race) && size > 64<<10 {
					continue
				}
				name := fmt.Sprint(kind.name, ", ", transport, ", ", size)
				running.Go(func() { // most of the time they sleep
					if size > 64<<10 {
						large <- struct{}{}
						defer func() { <-large }()
					}
					checkEnd(t, name, transport, size, exit, kind.args, kind.play)
				})
			}
		}
	}
}

func checkEnd(t *testing.T, name, transport string, size, exit int, args string, play func(f *far, size int)) {
	release := make(chan struct{})
	url, played := farEnd(t, transport, release, func(f *far) {
		f.got, f.sent = make([]byte, 0, size), make([]byte, 0, size)
		play(f, size)
	})
	out := &slowWriter{}
	switch args {
	case "stall":
		out.stall = pause
		fallthrough
	case "":
		if args = patient[transport]; args == "" {
			args = patient[""]
		}
	}
	line := append([]string{"-connect", url, "-b"}, kit.Words(args)...)
	if transport == "tls" {
		line = append(line, "-k")
	}
	code, stderr := runWith(bytes.NewReader(payload(size)), out, line...)
	close(release)
	f := <-played
	whole := bytes.Equal(f.got, payload(size)) && bytes.Equal(out.Bytes(), f.sent)
	state := fmt.Sprintf("%s: exit %d, %d of %d bytes arrived there, %d of %d here\n%s", name, code, len(f.got), size, out.Len(), len(f.sent), stderr)
	switch {
	case !whole && code == 0:
		t.Errorf("bytes are missing: %s", state)
	case code == cli.ExitConnect && len(f.sent)+len(f.got) == 0: // reset before we were connected
	case code != 0 && !lossLine.MatchString(stderr):
		t.Errorf("no line says how many bytes: %s", state)
	case exit == anyCode:
	case exit == failure && code == 0, exit >= 0 && code != exit:
		t.Errorf("want exit %d: %s", exit, state)
	}
}

// farEnd listens for one connection and plays it; what came of it comes by the
// channel.
func farEnd(t *testing.T, transport string, release <-chan struct{}, play func(f *far)) (url string, played <-chan *far) {
	t.Helper()
	done := make(chan *far, 1)
	network := "tcp"
	if transport == "unix" {
		network = transport
	}
	var config *tlsconf.Config
	if transport == "tls" {
		var err error
		if config, err = tlsconf.Server(tlsconf.Options{Hosts: []string{"127.0.0.1"}}); err != nil {
			t.Fatal(err)
		}
	}
	address := kit.ListenFor(t, network, func(nc net.Conn) {
		f := &far{Conn: nc, release: release}
		defer func() { done <- f }()
		if config != nil {
			secure, err := config.Handshake(t.Context(), nc)
			if err != nil {
				t.Error(err)
				return
			}
			f.Conn = secure
		}
		if f.ws = transport == "ws"; f.ws {
			f.br = bufio.NewReaderSize(f.Conn, 64<<10)
			req, err := httpmini.ReadRequest(f.br, httpmini.Limits{})
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(nc, kit.GoodAnswer("")(req.Header.Get("Sec-WebSocket-Key")))
		}
		play(f)
		f.Conn.Close()
	})
	scheme := map[string]string{"tcp": "tcp://", "tls": "tls://", "unix": "unix:", "ws": "ws://"}[transport]
	return scheme + address, done
}

// A slowWriter is a stdout that stalls once.
type slowWriter struct {
	mu sync.Mutex
	bytes.Buffer
	stall time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	time.Sleep(w.stall)
	w.stall = 0
	return w.Buffer.Write(p)
}

func runWith(stdin io.Reader, stdout io.Writer, args ...string) (code int, stderr string) {
	var errs bytes.Buffer
	env := cli.System()
	env.Stdin, env.Stdout, env.Stderr = stdin, stdout, &errs
	env.TTYIn, env.TTYOut = nil, nil
	code = cli.Table{Mode}.Run(context.Background(), append([]string{"socketsrv"}, args...), env)
	return code, errs.String()
}
