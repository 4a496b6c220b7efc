package proxy

import (
	"bufio"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"socketsrv/httpmini"
	"socketsrv/internal/kit"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

// FuzzHandshake: what a client asks for and a target answers, whatever they are, passes
// as one request and one answer, without a field that is not for the other side, and
// never above the target's path.
func FuzzHandshake(f *testing.F) {
	for _, head := range []string{
		kit.Opening(),
		kit.Opening("Connection: Upgrade, X-A", "X-A: 1", "X_Forwarded_For: 10.0.0.1", "X-Real-IP: 10.0.0.1", "Via: 1.1 other"),
		kit.Opening("Sec_WebSocket_Key: x", "Transfer_Encoding: chunked", "Content_Length: 5", "Sec-WebSocket-Protocol: a, b"),
		strings.Replace(kit.Opening("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), "/path", "/a/%2e%2e/..;x/\\..", 1),
		strings.Replace(kit.Opening(), "/path", "http://127.0.0.1/%2e%2e%2f%zz", 1),
	} {
		f.Add(head, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n")
		f.Add(head, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n")
	}
	p := &proxy{name: "socketsrv-test", ws: &listen.WebSocket{}, tls: &listen.TLS{}}
	target, err := parseTarget("ws://box/below/here")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, answer string) {
		req, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(head)), httpmini.Limits{})
		if err != nil {
			return
		}
		if _, _, err := wsproto.Answer(req, wsproto.AcceptOptions{Origins: []string{"*"}}); err != nil {
			return
		}
		fields, err := p.forwarded(req, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000})
		if err != nil || leaves(req.Path()) {
			return
		}
		checkFields(t, fields)
		out := &httpmini.Request{Method: "GET", Target: target.Path + originForm(req), Header: append(httpmini.Header{{Name: "Host", Value: "box"}}, fields...)}
		wire := string(out.AppendHead(nil))
		br := bufio.NewReader(strings.NewReader(wire))
		again, err := httpmini.ReadRequest(br, httpmini.ClientLimits)
		if err != nil || br.Buffered() > 0 || !slices.Equal(again.Header, out.Header) {
			t.Fatalf("%q becomes %q: %v", head, wire, err)
		}
		if plain, err := url.PathUnescape(again.Path()); err == nil && !strings.HasPrefix(path.Clean(strings.ReplaceAll(plain, `\`, "/"))+"/", "/below/here/") {
			t.Errorf("%q leads to %q", req.Target, plain)
		}
		res, err := httpmini.ReadFinal(bufio.NewReader(strings.NewReader(answer+"Sec-WebSocket-Accept: "+wsproto.AcceptKey(kit.ExampleKey)+"\r\n\r\n")), "GET", true, httpmini.ClientLimits)
		if err != nil || res.Status != 101 {
			return
		}
		deflate, err := judge(res, kit.ExampleKey, fields)
		if err != nil {
			return
		}
		if offered := fields.List("Sec-WebSocket-Extensions"); deflate && len(offered) == 0 {
			t.Errorf("%q agrees to what was not offered", answer)
		}
		if chosen := res.Header.Get("Sec-WebSocket-Protocol"); chosen != "" && !slices.Contains(req.Header.List("Sec-WebSocket-Protocol"), chosen) {
			t.Errorf("%q agrees to the subprotocol %q", answer, chosen)
		}
	})
}

// checkFields checks what a target is told of a client's fields.
func checkFields(t *testing.T, fields httpmini.Header) {
	for _, f := range fields {
		name := readAs(f.Name)
		disguised := strings.Contains(f.Name, "_") && (slices.Contains(forwardedBy, name) || strings.HasPrefix(name, "sec-websocket-"))
		if slices.Contains(hopByHop, name) || disguised {
			t.Errorf("the target is told %s: %s", f.Name, f.Value)
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
		if fields.Count(name) != 1 {
			t.Errorf("%s is there %d times", name, fields.Count(name))
		}
	}
	if got := fields.Get("X-Forwarded-For"); got != "192.0.2.1" {
		t.Errorf("X-Forwarded-For: %s", got)
	}
	if via := fields.Values("Via"); len(via) == 0 || via[len(via)-1] != "1.1 socketsrv-test" {
		t.Errorf("Via: %q", via)
	}
}
