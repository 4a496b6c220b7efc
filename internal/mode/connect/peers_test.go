package connect

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
)

// TestConnectPython: a server of a few lines of Python, which knows nothing of
// ours. It sends a text in fragments with a ping between them, a binary message
// and a close; it prints the frames it gets.
func TestConnectPython(t *testing.T) {
	t.Parallel()
	s := kit.StartForeign(t, "python3", `
import base64, hashlib, socket, struct
ln = socket.create_server(("127.0.0.1", 0))
print(ln.getsockname()[1], flush=True)
c, _ = ln.accept()
f = c.makefile("rb")
key = b""
while True:
    line = f.readline().strip()
    if not line:
        break
    name, _, value = line.partition(b": ")
    if name.lower() == b"sec-websocket-key":
        key = value
accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-accept: " + accept + b"\r\n\r\n")
c.sendall(b"\x01\x03h\xc3\xa9\x89\x02pi\x80\x04llo!" + b"\x82\x02\x00\xff" + b"\x81\x7e" + struct.pack(">H", 300) + b"x" * 300)
while True:
    head = f.read(2)
    n = head[1] & 127
    if n == 126:
        n, = struct.unpack(">H", f.read(2))
    key, data = f.read(4), f.read(n)
    data = bytes(b ^ key[i % 4] for i, b in enumerate(data))
    print(hex(head[0]), head[1] >> 7, len(data), data[:8])
    if head[0] == 0x88:
        c.sendall(b"\x88" + bytes([len(data)]) + data)
        break
`)
	got := runReal(nil, "-connect", "127.0.0.1:"+s.Port, "-reply", "<{}>", "-count", "3", "-v")
	if got.Code != 0 || got.Stdout != "héllo!\n2 bytes\n00000000  00 ff                                             |..|\n"+strings.Repeat("x", 300)+"\n" {
		t.Errorf("exit %d, %q, %q", got.Code, got.Stdout, got.Stderr)
	}
	const want = `0x8a 1 2 b'pi'
0x81 1 9 b'<h\xc3\xa9llo!'
0x82 1 4 b'<\x00\xff>'
0x81 1 302 b'<xxxxxxx'
0x88 1 2 b'\x03\xe8'
`
	if rest := <-s.Rest; rest != want {
		t.Errorf("Python got\n%swant\n%s", rest, want)
	}
}

// TestConnectNode: node's ws as the server, with compression.
func TestConnectNode(t *testing.T) {
	t.Parallel()
	module := os.Getenv("SOCKETSRV_NODE_WS")
	if module == "" {
		t.Skip("SOCKETSRV_NODE_WS does not say where node's ws is")
	}
	s := kit.StartForeign(t, "node", `
const { WebSocketServer } = require(process.argv[2]);
const wss = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 0 }, maxPayload: 1 << 26,
  verifyClient: (info, done) => info.req.url === '/no' ? done(false, 403, 'go away') : done(true) });
wss.on('listening', () => console.log(wss.address().port));
wss.on('connection', (c, req) => {
  if (req.url === '/close') return c.close(4005, 'as asked');
  if (req.url === '/vanish') return c.terminate();
  if (req.url === '/drive') {
    const sent = ['', 'é', 'x'.repeat(100000), Buffer.alloc(1 << 20, 7), Buffer.alloc(0)];
    let bad = 0, n = 0;
    c.on('message', (m, binary) => {
      const want = sent[n++];
      if (binary !== Buffer.isBuffer(want) || Buffer.compare(Buffer.from(want), m) !== 0) bad++;
      if (n == sent.length) c.close(1000, 'bad: ' + bad);
    });
    for (const m of sent) c.send(m);
    return;
  }
  c.on('message', (m, binary) => c.send(m, { binary }));
});
`, module)
	base := "ws://127.0.0.1:" + s.Port
	var many strings.Builder
	for i := range 10000 {
		fmt.Fprintln(&many, "line", i)
	}
	for _, tt := range []struct {
		args, stdin string
		code        int
		stdout      string
		stderr      string
	}{
		{base, many.String(), 0, many.String(), ""},
		{base + " -x", many.String(), 0, many.String(), ""},
		{base + " -m hello -m-binary 00ff -count 2", "", 0, "hello\n2 bytes\n00000000  00 ff                                             |..|\n", ""},
		{base + "/close", "", 9, "", `code 4005 reason "as asked"`},
		{base + "/vanish", "", 56, "", "code 1006"},
		{base + "/no", "", 22, "", "403 Forbidden"},
		{base + "/drive -reply {}", "", 0, "", `code 1000 reason "bad: 0"`},
		{base + "/drive -x -reply {}", "", 0, "", `code 1000 reason "bad: 0"`},
	} {
		got := runReal(strings.NewReader(tt.stdin), append([]string{"-connect", "-linger", "300ms"}, strings.Fields(tt.args)...)...)
		if got.Code != tt.code || got.Stdout != tt.stdout || !strings.Contains(got.Stderr, tt.stderr) {
			t.Errorf("%s: exit %d, %d bytes %q, %q; want %d, %d bytes, %q", tt.args, got.Code, len(got.Stdout), cli.Clip(got.Stdout, 99), got.Stderr,
				tt.code, len(tt.stdout), tt.stderr)
		}
	}
}
