package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/httpd"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/transfer"
	"socketsrv/wsproto"
)

// hostilePage is what a page tries with ports of this machine: bytes, as a request that
// needs no leave; messages of a WebSocket; files. It returns what it could open.
const hostilePage = `
	const opened = [];
	const within = p => Promise.race([p, new Promise(r => setTimeout(r, 8000))]);
	for (const url of %[1]s)
		await within(fetch(url, {method: 'POST', mode: 'no-cors', body: 'shutdown\nran\n'}).catch(() => {}));
	for (const url of %[2]s)
		await within(new Promise(done => {
			const ws = new WebSocket(url);
			ws.onopen = () => { opened.push(url); ws.send('ran'); };
			ws.onmessage = ws.onclose = done;
		}));
	for (const url of %[3]s) {
		const form = new FormData();
		form.append('file', new Blob(['x']), 'form');
		await within(fetch(url, {method: 'POST', mode: 'no-cors', body: form}).catch(() => {}));
		await within(fetch(url + 'put', {method: 'PUT', body: 'x'}).catch(() => {}));
	}
	return opened.join(' ');`

// TestHostilePage: a page of another origin, and one whose own name leads here, makes
// servers at their defaults do nothing.
func TestHostilePage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "--host-resolver-rules=MAP evil.example 127.0.0.1")
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	uploads := filepath.Join(dir, "uploads")
	if err := os.Mkdir(uploads, 0o700); err != nil {
		t.Fatal(err)
	}
	home := kit.Background(t, httpd.Mode, "-port", "0", "-allow-host", "evil.example", kit.WebRoot(t, map[string]string{"a.txt": "x"}))
	commands := kit.Background(t, line.Mode, "-port", "0", "-multi", "-exec", "touch "+mark)
	shows := kit.Background(t, dump.Mode, "-host", "0.0.0.0", "-tcp-port", "0", "-udp-port", "off", "-ws-port", "0", "-exec", "touch "+mark)
	hub := kit.Background(t, broadcast.Mode, "-host", "0.0.0.0", "-port", "0", "-tcp-port", "0", "-no-announce")
	relay := kit.Background(t, transfer.Transfer, "-port", "0")
	takes := kit.Background(t, httpd.Mode, "-port", "0", "-upload", uploads)
	hears := kit.Joins(t, hub, "/", wsproto.DialOptions{})

	port := func(p *kit.Run, proto string) string {
		addr := p.Addr(proto)
		return addr[strings.LastIndexByte(addr, ':'):]
	}
	list := func(scheme string, ports ...string) string {
		var urls []string
		for _, host := range []string{"127.0.0.1", "localhost", "evil.example"} {
			for _, port := range ports {
				urls = append(urls, fmt.Sprintf("%q", scheme+"://"+host+port+"/"))
			}
		}
		return "[" + strings.Join(urls, ", ") + "]"
	}
	b.open("http://evil.example" + port(home, "http") + "/a.txt")
	opened := b.eval(fmt.Sprintf(hostilePage,
		list("http", port(commands, "line"), port(shows, "tcp"), port(hub, "tcp")),
		list("ws", port(shows, "ws"), port(hub, "ws"), port(relay, "ws")),
		list("http", port(takes, "http"))))
	if opened != "" {
		t.Errorf("the page could open %s", opened)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the page had a program run")
	}
	if got := kit.Contents(t, uploads); len(got) > 0 {
		t.Errorf("the page brought %q", got)
	}
	kit.Swap(t, kit.DialTCP(t, commands.Addr("line")), "ping\n", "pong\n") // it did not end
	kit.Joins(t, hub, "/", wsproto.DialOptions{}).Says("mine")
	hears.Hears("text mine") // and nothing before it
}
