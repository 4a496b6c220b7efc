package peers

import (
	"fmt"
	"io"
	"os"
	"testing"

	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/chat"
	"socketsrv/wsproto"
)

// newPage opens one more page in b's browser.
func (b *browser) newPage() *browser {
	b.t.Helper()
	page := &browser{t: b.t, conn: b.conn, id: b.id + 1000000}
	var target struct{ TargetID string }
	page.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	page.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	page.session = session.SessionID
	return page
}

// join has the page connect and keep what it hears, in got.
const join = `
	window.got = [];
	window.ws = new WebSocket(%q);
	ws.binaryType = 'arraybuffer';
	const show = d => typeof d === 'string' ? 't' + (d.length > 50 ? d.length : d) : 'b' + Array.from(new Uint8Array(d)).map(c => c < 32 || c > 126 ? '<' + c + '>' : String.fromCharCode(c)).join('');
	ws.onmessage = e => { got.push(show(e.data)); if (window.news) window.news(); };
	return await new Promise(done => { ws.onopen = () => done('open ' + ws.extensions); ws.onerror = () => done('refused'); });`

// hear waits until so many messages came and returns them.
const hear = `
	while (got.length < %d) await new Promise(done => { window.news = done; });
	return got.splice(0).join(' | ');`

// TestBroadcastBrowser: two pages and a chat client hear each other.
func TestBroadcastBrowser(t *testing.T) {
	t.Parallel()
	one := newBrowser(t)
	two := one.newPage()
	p := kit.Background(t, broadcast.Mode, "-port", "0", "-no-announce", "-exclude-sender", "-origin", "null")
	url := "ws://" + p.Addr("ws")
	for _, page := range []*browser{one, two} {
		if got := page.eval(fmt.Sprintf(join, url+"/")); got[:len("open permessage-deflate")] != "open permessage-deflate" {
			t.Fatalf("the page is %q, want open, with compression", got)
		}
	}
	p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION`)
	one.eval(`ws.send('héllo 日本'); ws.send(new Uint8Array([0, 65, 255])); ws.send('z'.repeat(300000)); ws.send(''); return ''`)
	if got, want := two.eval(fmt.Sprintf(hear, 4)), "théllo 日本 | b<0>A<255> | t300000 | t"; got != want {
		t.Errorf("the second page heard %q, want %q", got, want)
	}
	talker := kit.Background(t, chat.Mode, url, "bob", "-linger", "1h")
	p.Stderr.WaitFor(t, `(?s)(CONNECTION.*){3}`)
	two.eval(`ws.send(new TextEncoder().encode('text 6869\nuser 706167652032\n')); return ''`)
	talker.Stdout.WaitFor(t, `^page 2\(28 bytes\) > hi\n`)
	io.WriteString(talker.Stdin, "you\n")
	want := "btext 796f75<10>user 626f62<10>"
	if got := two.eval(fmt.Sprintf(hear, 1)); got != want {
		t.Errorf("the second page heard %q, want %q", got, want)
	}
	if got, want := one.eval(fmt.Sprintf(hear, 2)), "btext 6869<10>user 706167652032<10> | "+want; got != want {
		t.Errorf("the first page heard %q, want %q", got, want)
	}
	one.eval(`ws.close(4000, 'grüße'); return ''`)
	p.Stderr.WaitFor(t, "DISCONNECTION")
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}

	p = kit.Background(t, broadcast.Mode, "-port", "0")
	if got := one.eval(fmt.Sprintf(join, "ws://"+p.Addr("ws")+"/")); got != "refused" {
		t.Errorf("a page of another origin is %q, want refused", got)
	}
}

// TestBroadcastNode: node's ws as a client, compressed and fragmented.
func TestBroadcastNode(t *testing.T) {
	module := os.Getenv("SOCKETSRV_NODE_WS")
	if module == "" {
		t.Skip("SOCKETSRV_NODE_WS does not say where node's ws is")
	}
	p := kit.Background(t, broadcast.Mode, "-port", "0", "-no-announce")
	h := kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, "CONNECTION")
	go func() {
		for {
			m, err := h.ReadMessage()
			if err != nil {
				return
			}
			if string(m.Data) == "ready" {
				h.WriteMessage(wsproto.OpBinary, []byte("\x00from us"))
			}
		}
	}()
	got := kit.RunPeer(t, "node", `
const WebSocket = require(process.argv[2]);
const ws = new WebSocket(process.argv[3], {perMessageDeflate: {threshold: 0}});
ws.on('error', e => { console.log('error ' + e); process.exit(1); });
ws.on('open', () => { ws.send('x'.repeat(200000)); ws.send('frag', {fin: false}); ws.send('ment', {fin: true}); ws.send('ready'); });
let n = 0;
ws.on('message', (m, binary) => { console.log(binary, m.length, JSON.stringify(m.toString().slice(0, 8))); if (++n == 4) ws.close(4002, 'done'); });
ws.on('close', (code, reason) => console.log('close ' + code + ' ' + reason + ' ' + ws.extensions));
`, module, "ws://"+p.Addr("ws")+"/")
	const want = `false 200000 "xxxxxxxx"
false 8 "fragment"
false 5 "ready"
true 8 "\u0000from us"
close 4002 done permessage-deflate
`
	if got != want {
		t.Errorf("node: %s\nwant\n%s", got, want)
	}
}

// TestChatPython: a client of a few lines of Python, which knows nothing of ours.
func TestChatPython(t *testing.T) {
	t.Parallel()
	p := kit.Background(t, broadcast.Mode, "-port", "0", "-no-announce", "-exclude-sender")
	for i, format := range []string{"pdu", "msgpack"} {
		talker := kit.Background(t, chat.Mode, "ws://"+p.Addr("ws"), "bob", "-wire", format, "-linger", "1h")
		p.Stderr.WaitFor(t, fmt.Sprintf(`(?s)(\[CONNECTION\].*){%d}`, 2*i+1))
		go func() {
			if _, err := talker.Stdout.Record.WaitFor(t.Context(), `eve\(\d+ bytes\) > hi é there\n`); err == nil {
				io.WriteString(talker.Stdin, "hello, eve\n")
			}
		}()
		got := kit.RunPeer(t, "python3", `
import base64, os, socket, struct, sys
host, port = sys.argv[1].rsplit(':', 1)
s = socket.create_connection((host, int(port)), 20)
s.sendall(('GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n'
	% base64.b64encode(os.urandom(16)).decode()).encode())
f = s.makefile('rb')
print(f.readline().split()[1].decode())
while f.readline() != b'\r\n': pass
def send(opcode, p):
	mask = os.urandom(4)
	s.sendall(bytes([0x80 | opcode, 0x80 | len(p)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(p)))
text = 'hi é there'.encode()
if sys.argv[2] == 'pdu':
	send(2, b'text ' + text.hex().encode() + b'\nuser ' + b'eve'.hex().encode() + b'\n')
else:
	send(2, b'\x82\xa4text' + bytes([0xa0 | len(text)]) + text + b'\xa4user\xa3eve')
head = f.read(2)
print(hex(head[0]), f.read(head[1]))
send(8, struct.pack('!H', 1000))
head = f.read(2)
print(hex(head[0]), f.read(head[1]), f.read())
`, p.Addr("ws"), format)
		want := map[string]string{
			"pdu":     "101\n0x82 b'text 68656c6c6f2c20657665\\nuser 626f62\\n'\n0x88 b'\\x03\\xe8' b''\n",
			"msgpack": "101\n0x82 b'\\x82\\xa4text\\xaahello, eve\\xa4user\\xa3bob'\n0x88 b'\\x03\\xe8' b''\n",
		}[format]
		if got != want {
			t.Errorf("python: %s\nwant\n%s", got, want)
		}
		talker.Stop()
	}
}
