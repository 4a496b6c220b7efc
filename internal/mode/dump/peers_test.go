package dump

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// TestDumpNetcat has nc and ncat, as a user starts them.
func TestDumpNetcat(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nc", "ncat"} {
		t.Run(name, func(t *testing.T) {
			d := startDump(t, nil)
			host, tcp, _ := net.SplitHostPort(d.tcp)
			_, udp, _ := net.SplitHostPort(d.udp)
			p := kit.StartPeer(t, name, host, tcp)
			p.Send("hello\nworld\n")
			d.want(`payload on TCP connection #0: hello\\nworld\\n\n`)
			d.do("send tcp 0 hello dear tcp client")
			p.Want(`\Ahello dear tcp client\n\z`)
			d.do("close tcp 0")
			p.In.Close()
			p.WantEnd()
			d.want(`(> closed|< end of) TCP connection #0\n`)
			u := kit.StartPeer(t, name, "-u", host, udp)
			u.Send("dgram\n")
			d.want(`datagram from UDP session #0: dgram\\n\n`)
			d.do("send udp 0 back")
			u.Want(`\Aback`)
			d.quit()
		})
	}
}

// pythonClients talk to the addresses in argv: over TCP with a half-close, over UDP,
// and over WebSocket, whose frames they make by hand.
const pythonClients = `
import base64, hashlib, os, socket, struct, sys
def at(s):
    host, port = s.rsplit(":", 1)
    return host, int(port)
def recvall(s, n):
    b = b""
    while len(b) < n:
        p = s.recv(n - len(b))
        assert p, "the end after %r" % b
        b += p
    return b
tcp = socket.create_connection(at(sys.argv[1]), 20)
tcp.sendall(b"caf\xc3\xa9 \x00\xff")
tcp.shutdown(socket.SHUT_WR)
assert recvall(tcp, 6) == b"reply\n"
assert tcp.recv(1) == b""

udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(20)
udp.connect(at(sys.argv[2]))
udp.send(b"")
udp.send(b"x" * 65507)
assert udp.recv(65536) == b"back"

ws = socket.create_connection(at(sys.argv[3]), 20)
key = base64.b64encode(os.urandom(16))
ws.sendall(b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: " + key + b"\r\nSec-WebSocket-Version: 13\r\n\r\n")
head = b""
while not head.endswith(b"\r\n\r\n"):
    head += recvall(ws, 1)
assert head.startswith(b"HTTP/1.1 101 "), head
accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
assert b"\r\nsec-websocket-accept: " + accept.lower() + b"\r\n" in head.lower(), head
def frame(opcode, payload):
    mask = os.urandom(4)
    size = bytes([128 | len(payload)]) if len(payload) < 126 else struct.pack("!BH", 254, len(payload))
    ws.sendall(bytes([128 | opcode]) + size + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload)))
frame(1, "h\u00e9llo".encode())
frame(2, bytes(range(200)))
assert recvall(ws, 4) == b"\x81\x02hi"
frame(8, struct.pack("!H", 4242) + b"so long")
assert recvall(ws, 11) == b"\x88\x09" + struct.pack("!H", 4242) + b"so long"
assert ws.recv(1) == b""
print("fine")
`

func TestDumpPython(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-max-show", "20")
	p := kit.StartPeer(t, "python3", "-c", pythonClients, d.tcp, d.udp, d.ws)
	d.want(`payload on TCP connection #0: 8 bytes\n00000000  63 61 66 c3 a9 20 00 ff .*\n< end of TCP connection #0\n`)
	d.do("send tcp 0 reply", "close tcp 0")
	d.want(`datagram from UDP session #0: \n.*session #0: x{20}… \(\+65487 bytes\)\n`)
	d.do("send udp 0 back")
	d.want(`new WebSocket connection #0: ` + port + `:/chat\n(?:> sent datagram .*\n)?.*WebSocket connection #0: héllo\n(?:> sent datagram .*\n)?.*binary message on WebSocket connection #0: 200 bytes\n`)
	d.do("send ws 0 hi")
	d.want(`end of WebSocket connection #0: code 4242, reason so long\n`)
	p.Want(`\Afine\n\z`)
	p.WantEnd()
	d.quit()
}

// TestDumpTLS has TLS below TCP and WebSocket.
func TestDumpTLS(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	t.Parallel()
	d := startDump(t, nil, "-tls", "-v", "-reply", "<{}>")
	if !strings.Contains(d.err.String()+d.err.Want(t, `certificate sha256:`), "sha256:") {
		t.Error("no fingerprint")
	}
	c, err := tls.Dial("tcp", d.tcp, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(kit.Patience))
	stream := wirePeer{t, c}
	stream.send("hello")
	stream.want("<hello>")
	d.want(`< new TLS connection #0: ` + port + `\n< received payload on TLS connection #0: hello\n> sent payload to TLS connection #0: <hello>\n`)
	d.err.Want(t, `TCP connection #0: TLS 1\.3, `)
	large := strings.Repeat("x", 300<<10)
	go io.WriteString(c, large)
	got := make([]byte, 0, len(large))
	for buf := make([]byte, 64<<10); len(got) < len(large); {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.NewReplacer("<", "", ">", "").Replace(string(buf[:n]))...)
	}
	if string(got) != large {
		t.Error("what came back is not what was sent")
	}
	d.do("send tls 0 last", "close tcp 0")
	d.want(`^> sent payload to TLS connection #0: last\\n\n`)
	if rest, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(rest), "last\n") {
		t.Errorf("the end: %q, %v", rest, err)
	}
	c.Close()
	d.want(`> closed TLS connection #0\n`)

	plain := d.dial("tcp")
	plain.send("this is not TLS")
	d.want(`< TLS connection #1 cut: .*TLS`)

	w, err := tls.Dial("tcp", d.ws, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.SetDeadline(time.Now().Add(kit.Patience))
	fmt.Fprintf(w, "GET /secure HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	wirePeer{t, w}.want("HTTP/1.1 101 ")
	d.want(`< new WebSocket connection #0: ` + port + `:/secure\n`)
	w.Close()
	d.want(`WebSocket connection #0 cut: code 1006`)
	d.quit()
}

// TestDumpSlowTLS: a client that never finishes its handshake is cut.
func TestDumpSlowTLS(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	t.Parallel()
	d := startDump(t, nil, "-tls", "-handshake-timeout", "2s")
	c := d.dial("tcp")
	c.send("\x16\x03\x01")
	d.want(`< TLS connection #0 cut: .*(time|deadline)`)
	other := d.dialTLS()
	other.send("hi")
	d.want(`TLS connection #1: hi\n`)
	d.quit()
}

func (d *dumpTest) dialTLS() wirePeer {
	d.t.Helper()
	c, err := tls.Dial("tcp", d.tcp, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(kit.Patience))
	return wirePeer{d.t, c}
}

// TestDumpCompressed: a client that offers compression is shown what it meant.
func TestDumpCompressed(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	w := d.dialWS("/", wsproto.DialOptions{})
	if w.Agreement().Deflate == nil {
		t.Fatal("no compression was agreed on")
	}
	text := strings.Repeat("again and ", 1000)
	w.WriteMessage(wsproto.OpText, []byte(text))
	d.want(`WebSocket connection #0: ` + text + `\n`)
	d.do("send ws 0 " + text)
	w.want(wsproto.OpText, text)
	w.Close(1000, "")
	d.quit()
}
