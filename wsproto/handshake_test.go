package wsproto

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"socketsrv/httpmini"
)

// goodHandshake is S00 of the hardening cases.
const goodHandshake = "GET / HTTP/1.1\r\n" +
	"Host: 127.0.0.1:8008\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Version: 13\r\n\r\n"

const keyLine = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// plus is what is replaced to add lines.
const plus = "\r\n\r\n"

func more(line string) string { return "\r\n" + line + "\r\n\r\n" }

var (
	listed  = AcceptOptions{Origins: []string{"http://127.0.0.1:8008", "https://example.com", "example.org:8080"}}
	local   = AcceptOptions{AllowHost: LocalHost("lab.example:1234")}
	secure  = AcceptOptions{Secure: true}
	anyPage = AcceptOptions{Origins: []string{"*"}}
	speaks  = AcceptOptions{Subprotocols: []string{"chat", "superchat"}}
)

// handshakes are goodHandshake with old replaced by new, and the answer: status 101
// and the fields wanted, or a refusal and its reason.
var handshakes = []struct {
	name, old, new string
	opt            AcceptOptions
	status         int
	err            error
	fields         string // "Name: value", one a line; "-Name" if there must be none
}{
	{"S00 control", "", "", AcceptOptions{}, 101, nil, "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n" +
		"-Sec-WebSocket-Protocol\n-Sec-WebSocket-Extensions\n-Content-Length"},
	{"S01 POST", "GET", "POST", AcceptOptions{}, 405, ErrMethod, "Allow: GET"},
	{"S02 HTTP/1.0", "HTTP/1.1", "HTTP/1.0", AcceptOptions{}, 400, ErrHTTPVersion, ""},
	{"S03 no Upgrade", "Upgrade: websocket\r\n", "", AcceptOptions{}, 426, ErrUpgrade, "Upgrade: websocket\nSec-WebSocket-Version: 13\nConnection: Upgrade, close"},
	{"S04 no Connection", "Connection: Upgrade\r\n", "", AcceptOptions{}, 426, ErrUpgrade, "Upgrade: websocket\nSec-WebSocket-Version: 13"},
	{"S05 Connection is a list", "Connection: Upgrade", "Connection: keep-alive, Upgrade", AcceptOptions{}, 101, nil, ""},
	{"S06 in another case", "websocket", "WebSocket", AcceptOptions{}, 101, nil, ""},
	{"S07 Upgrade is a list", "websocket", "h2c, websocket", AcceptOptions{}, 101, nil, ""},
	{"S08 no key", keyLine, "", AcceptOptions{}, 400, ErrKey, ""},
	{"S09 a key of 15 bytes", "dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAA", AcceptOptions{}, 400, ErrKey, ""},
	{"S10 a key that is not base64", "dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!==", AcceptOptions{}, 400, ErrKey, ""},
	{"S11 the key twice", keyLine, keyLine + keyLine, AcceptOptions{}, 400, ErrKey, ""},
	{"S12 version 8", "Version: 13", "Version: 8", AcceptOptions{}, 426, ErrOtherVersion, "Upgrade: websocket\nSec-WebSocket-Version: 13"},
	{"S13 no version", "Sec-WebSocket-Version: 13\r\n", "", AcceptOptions{}, 400, ErrVersion, ""},
	{"S14 two versions in one line", "Version: 13", "Version: 13, 8", AcceptOptions{}, 400, ErrVersion, ""},
	{"S15 a leading zero", "Version: 13", "Version: 013", AcceptOptions{}, 400, ErrVersion, ""},
	{"S16 a strange origin", plus, more("Origin: http://evil.example"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"S17 origin null", plus, more("Origin: null"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"S20 another port, origins being listed", plus, more("Origin: http://127.0.0.1:1"), listed, 403, ErrOrigin, ""},
	{"another port of another host", "Host: 127.0.0.1:8008", "Host: box:8008\r\nOrigin: http://box:1", AcceptOptions{}, 403, ErrOrigin, ""},
	{"a loopback origin is welcome on any port", plus, more("Origin: http://127.0.0.1:1"), AcceptOptions{}, 101, nil, ""},
	{"a program that sends ws", plus, more("Origin: ws://127.0.0.1:8008"), AcceptOptions{}, 101, nil, ""},
	{"ws of another host", plus, more("Origin: ws://evil.example"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"wss is https", plus, more("Origin: wss://127.0.0.1:8008"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"wss, and so is the server", plus, more("Origin: wss://127.0.0.1:8008"), secure, 101, nil, ""},
	{"wss, https being listed", plus, more("Origin: wss://example.com"), listed, 101, nil, ""},
	{"hw-35 whatever subprotocol comes", plus, more("Sec-WebSocket-Protocol: mqtt, foo"), AcceptOptions{Subprotocols: []string{"*"}}, 101, nil, "Sec-WebSocket-Protocol: mqtt"},
	{"or one of ours before", plus, more("Sec-WebSocket-Protocol: mqtt, foo"), AcceptOptions{Subprotocols: []string{"foo", "*"}}, 101, nil, "Sec-WebSocket-Protocol: foo"},
	{"none being offered", "", "", AcceptOptions{Subprotocols: []string{"*"}}, 101, nil, "-Sec-WebSocket-Protocol"},
	{"IXWebSocket's ws, word for word", goodHandshake, "GET / HTTP/1.1\r\nHost: 127.0.0.1:8008\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" + keyLine +
		"User-Agent: ixwebsocket/11.4.6 linux ssl/OpenSSL OpenSSL 3.0.22 25 Aug 2026 zlib 1.2.13\r\nOrigin: ws://127.0.0.1:8008\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15; client_max_window_bits=15\r\n\r\n", local, 101, nil,
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"},
	{"S21 origin https, the server being http", plus, more("Origin: https://127.0.0.1:8008"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"S22 a name made to lead here", "Host: 127.0.0.1:8008", "Host: evil.example\r\nOrigin: http://evil.example", local, 403, ErrAllowHost, ""},
	{"S23 a body", plus, more("Content-Length: 5") + "hello", AcceptOptions{}, 400, ErrBody, ""},
	{"S24 a body in chunks", plus, more("Transfer-Encoding: chunked") + "0\r\n\r\n", AcceptOptions{}, 400, ErrBody, ""},
	{"no body, and saying so", plus, more("Content-Length: 0"), AcceptOptions{}, 101, nil, ""},
	{"S25 a broken list of extensions", plus, more("Sec-WebSocket-Extensions: permessage-deflate; ="), AcceptOptions{}, 400, ErrExtensionList, ""},
	{"a broken list, not compressing", plus, more("Sec-WebSocket-Extensions: permessage-deflate; ="), AcceptOptions{NoCompression: true}, 400, ErrExtensionList, ""},
	{"an empty list of extensions", plus, more("Sec-WebSocket-Extensions:"), AcceptOptions{}, 400, ErrExtensionList, ""},
	{"S26 a window of 7 bits", plus, more("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7"), AcceptOptions{}, 101, nil, "-Sec-WebSocket-Extensions"},
	{"S27 a parameter twice", plus, more("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; client_no_context_takeover"),
		AcceptOptions{}, 101, nil, "-Sec-WebSocket-Extensions"},
	{"S28 2000 offers", plus, more("Sec-WebSocket-Extensions: " + strings.Repeat("permessage-deflate; client_max_window_bits, ", 2000)), AcceptOptions{}, 431, nil, ""},
	{"S29 2000 fields", plus, more(strings.Repeat("X: y\r\n", 1999) + "X: y"), AcceptOptions{}, 431, nil, ""},
	{"S30 a subprotocol that is no token", plus, more("Sec-WebSocket-Protocol: a b"), AcceptOptions{}, 400, ErrSubprotocols, ""},
	{"S31 a subprotocol of 50,000 bytes", plus, more("Sec-WebSocket-Protocol: " + strings.Repeat("x", 50000)), AcceptOptions{}, 431, nil, ""},
	{"S32 a frame in the same segment", plus, plus + "\x81\x82\x01\x02\x03\x04ik", AcceptOptions{}, 101, nil, ""},

	// The defects of libraries in wide use.
	{"no Host", "Host: 127.0.0.1:8008\r\n", "", AcceptOptions{}, 400, httpmini.ErrHost, ""},
	{"two Hosts", "Upgrade: websocket", "Upgrade: websocket\r\nHost: 127.0.0.1:8008", AcceptOptions{}, 400, httpmini.ErrHost, ""},
	{"an empty Host", "Host: 127.0.0.1:8008", "Host:", AcceptOptions{}, 400, ErrHost, ""},
	{"a token that contains the token", "websocket", "xwebsocket", AcceptOptions{}, 426, ErrUpgrade, ""},
	{"a token that contains the token", "Connection: Upgrade", "Connection: xupgrade", AcceptOptions{}, 426, ErrUpgrade, ""},
	{"no comma", "Connection: Upgrade", "Connection: keep-alive Upgrade", AcceptOptions{}, 426, ErrUpgrade, ""},
	{"a token with a version", "websocket", "websocket/13", AcceptOptions{}, 426, ErrUpgrade, ""},
	{"Connection in two lines", "Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade", AcceptOptions{}, 101, nil, ""},
	{"Upgrade in two lines", "Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket", AcceptOptions{}, 101, nil, ""},
	{"tabs as white space", "Connection: Upgrade", "Connection:\tkeep-alive\t,\tUpgrade\t", AcceptOptions{}, 101, nil, ""},
	{"tabs as white space", "Key: dGhlIHNhbXBsZSBub25jZQ==", "Key:\tdGhlIHNhbXBsZSBub25jZQ==\t", AcceptOptions{}, 101, nil, ""},
	{"a key of 17 bytes", "dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAAA=", AcceptOptions{}, 400, ErrKey, ""},
	{"a key that is not canonical", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==", AcceptOptions{}, 400, ErrKey, ""},
	{"a key without padding", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", AcceptOptions{}, 400, ErrKey, ""},
	{"a key of the other base64", "dGhlIHNhbXBsZSBub25jZQ==", "__hlIHNhbXBsZSBub25jZQ==", AcceptOptions{}, 400, ErrKey, ""},
	{"an empty key", "dGhlIHNhbXBsZSBub25jZQ==", "", AcceptOptions{}, 400, ErrKey, ""},
	{"the version twice", "Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13", AcceptOptions{}, 400, ErrVersion, ""},
	{"version 0", "Version: 13", "Version: 0", AcceptOptions{}, 426, ErrOtherVersion, ""},
	{"version 255", "Version: 13", "Version: 255", AcceptOptions{}, 426, ErrOtherVersion, ""},
	{"version 256", "Version: 13", "Version: 256", AcceptOptions{}, 400, ErrVersion, ""},
	{"version +13", "Version: 13", "Version: +13", AcceptOptions{}, 400, ErrVersion, ""},
	{"an empty version", "Version: 13", "Version:", AcceptOptions{}, 400, ErrVersion, ""},
	{"HEAD", "GET", "HEAD", AcceptOptions{}, 405, ErrMethod, ""},
	{"lower case", "GET", "get", AcceptOptions{}, 405, ErrMethod, ""},
	{"a path, a query and other fields", "GET /", "GET /a/b?c=d%20e", AcceptOptions{Header: httpmini.Header{{Name: "Server", Value: "x"}}}, 101, nil, "Server: x"},
	{"an absolute target", "GET /", "GET http://box:1/", AcceptOptions{AllowHost: func(h string) bool { return h == "box" }}, 101, nil, ""},

	// Subprotocols: ours decide.
	{"a subprotocol", plus, more("Sec-WebSocket-Protocol: superchat"), speaks, 101, nil, "Sec-WebSocket-Protocol: superchat"},
	{"the one we prefer", plus, more("Sec-WebSocket-Protocol: superchat, chat"), speaks, 101, nil, "Sec-WebSocket-Protocol: chat"},
	{"in two lines", plus, more("Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: chat"), speaks, 101, nil, "Sec-WebSocket-Protocol: chat"},
	{"none that we speak", plus, more("Sec-WebSocket-Protocol: Chat, mqtt"), speaks, 101, nil, "-Sec-WebSocket-Protocol"},
	{"we speak none", plus, more("Sec-WebSocket-Protocol: chat"), AcceptOptions{}, 101, nil, "-Sec-WebSocket-Protocol"},
	{"an empty list", plus, more("Sec-WebSocket-Protocol: ,"), speaks, 400, ErrSubprotocols, ""},
	{"one in quotes", plus, more("Sec-WebSocket-Protocol: \"chat\""), speaks, 400, ErrSubprotocols, ""},

	// Compression, see also TestAcceptDeflate.
	{"as browsers offer it", plus, more("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), AcceptOptions{}, 101, nil,
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
	{"with context", plus, more("Sec-WebSocket-Extensions: x, y\r\nSec-WebSocket-Extensions: permessage-deflate"), AcceptOptions{ContextTakeover: true}, 101, nil,
		"Sec-WebSocket-Extensions: permessage-deflate"},
	{"declined", plus, more("Sec-WebSocket-Extensions: permessage-deflate"), AcceptOptions{NoCompression: true}, 101, nil, "-Sec-WebSocket-Extensions"},

	// Origins.
	{"the same host", plus, more("Origin: http://127.0.0.1:8008"), AcceptOptions{}, 101, nil, ""},
	{"localhost", plus, more("Origin: http://LocalHost:3000"), AcceptOptions{}, 101, nil, ""},
	{"below localhost", plus, more("Origin: http://app.localhost"), AcceptOptions{}, 101, nil, ""},
	{"loopback, version 6", plus, more("Origin: http://[::1]:3000"), AcceptOptions{}, 101, nil, ""},
	{"loopback, version 4 in 6", plus, more("Origin: http://[::ffff:127.0.0.2]"), AcceptOptions{}, 101, nil, ""},
	{"a name that only looks like it", plus, more("Origin: http://localhost.evil.example"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"a name that only looks like it", plus, more("Origin: http://127.0.0.1.evil.example"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"a name that only looks like it", plus, more("Origin: http://evil-localhost"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"a user", plus, more("Origin: http://127.0.0.1:8008@evil.example"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"a path", plus, more("Origin: http://127.0.0.1:8008/"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"two in a line", plus, more("Origin: http://127.0.0.1:8008 http://evil.example"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"in two lines", plus, more("Origin: http://127.0.0.1:8008\r\nOrigin: http://127.0.0.1:8008"), anyPage, 400, ErrOrigin, ""},
	{"an empty one", plus, more("Origin:"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"no scheme", plus, more("Origin: 127.0.0.1:8008"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"another scheme", plus, more("Origin: file://127.0.0.1"), AcceptOptions{}, 403, ErrOrigin, ""},
	{"the default port said and unsaid", "Host: 127.0.0.1:8008", "Host: box\r\nOrigin: http://BOX.:80", AcceptOptions{}, 101, nil, ""},
	{"the default port unsaid and said", "Host: 127.0.0.1:8008", "Host: box:80\r\nOrigin: http://box", AcceptOptions{}, 101, nil, ""},
	{"https on wss", "Host: 127.0.0.1:8008", "Host: box\r\nOrigin: https://box:443", secure, 101, nil, ""},
	{"http on wss", "Host: 127.0.0.1:8008", "Host: box:443\r\nOrigin: http://box:443", secure, 403, ErrOrigin, ""},
	{"any", plus, more("Origin: null"), anyPage, 101, nil, ""},
	{"none, origins being listed", "", "", listed, 101, nil, ""},
	{"a listed one", plus, more("Origin: http://127.0.0.1:8008"), listed, 101, nil, ""},
	{"a listed one with its port", plus, more("Origin: https://example.com:443"), listed, 101, nil, ""},
	{"a listed one with another scheme", plus, more("Origin: http://example.com"), listed, 403, ErrOrigin, ""},
	{"a listed host with any scheme", plus, more("Origin: https://example.org:8080"), listed, 101, nil, ""},
	{"a listed host on another port", plus, more("Origin: https://example.org"), listed, 403, ErrOrigin, ""},
	{"null, not being listed", plus, more("Origin: null"), listed, 403, ErrOrigin, ""},
	{"null, being listed", plus, more("Origin: null"), AcceptOptions{Origins: []string{"null"}}, 101, nil, ""},
	{"the same host, not being listed", "Host: 127.0.0.1:8008", "Host: box\r\nOrigin: http://box", listed, 403, ErrOrigin, ""},
	{"an empty list", plus, more("Origin: http://127.0.0.1:8008"), AcceptOptions{Origins: []string{}}, 403, ErrOrigin, ""},

	// Hosts, for a loopback listener (HARDENING rule 7).
	{"an address", "127.0.0.1:8008", "192.0.2.7", local, 101, nil, ""},
	{"an address, version 6", "127.0.0.1:8008", "[::1]:8008", local, 101, nil, ""},
	{"localhost", "127.0.0.1:8008", "LOCALHOST.:8008", local, 101, nil, ""},
	{"below localhost", "127.0.0.1:8008", "a.localhost", local, 101, nil, ""},
	{"an allowed name", "127.0.0.1:8008", "Lab.Example", local, 101, nil, ""},
	{"below an allowed name", "127.0.0.1:8008", "x.lab.example", local, 403, ErrAllowHost, ""},
	{"a strange name", "127.0.0.1:8008", "evil.example:8008", local, 403, ErrAllowHost, ""},
	{"a strange name, nobody asking", "127.0.0.1:8008", "evil.example", AcceptOptions{}, 101, nil, ""},
	{"the target's host counts", "GET /", "GET http://evil.example/", local, 403, ErrAllowHost, ""},

	{"not authorized", "", "", AcceptOptions{Authorize: func(*httpmini.Request) (int, httpmini.Header) {
		return 401, httpmini.Header{{Name: "WWW-Authenticate", Value: "Basic realm=\"x\""}}
	}}, 401, ErrAuthorize, "WWW-Authenticate: Basic realm=\"x\""},
	{"authorized", "", "", AcceptOptions{Authorize: func(*httpmini.Request) (int, httpmini.Header) { return 0, nil }}, 101, nil, ""},
	{"a refusal with the fields of all", "GET", "POST", AcceptOptions{Header: httpmini.Header{{Name: "Server", Value: "x"}}}, 405, ErrMethod, "Server: x"},
}

func TestAnswer(t *testing.T) {
	for _, tt := range handshakes {
		wire := strings.Replace(goodHandshake, tt.old, tt.new, 1)
		if tt.old != "" && wire == goodHandshake {
			t.Fatalf("%s: %q is not in the handshake", tt.name, tt.old)
		}
		req, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(wire)), httpmini.Limits{})
		if he, ok := errors.AsType[*httpmini.Error](err); ok { // refused before it is a handshake
			if he.Status != tt.status || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%s: ReadRequest: %d, %v; want %d, %v", tt.name, he.Status, err, tt.status, tt.err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		res, ag, err := Answer(req, tt.opt)
		if res.Status != tt.status || !errors.Is(err, tt.err) || (err == nil) != (tt.status == 101) {
			t.Errorf("%s: Answer = %d, %v; want %d, %v", tt.name, res.Status, err, tt.status, tt.err)
			continue
		}
		checkResponse(t, tt.name, res, ag, err)
		for line := range strings.Lines(tt.fields) {
			line = strings.TrimSuffix(line, "\n")
			if name, gone := strings.CutPrefix(line, "-"); gone {
				if res.Header.Has(name) {
					t.Errorf("%s: there is %s: %q", tt.name, name, res.Header.Get(name))
				}
			} else if name, value, _ := strings.Cut(line, ": "); !slices.Contains(res.Header.Values(name), value) {
				t.Errorf("%s: %s: %q; want %q", tt.name, name, res.Header.Values(name), value)
			}
		}
	}
}

// checkResponse looks for what every response has, as net/http reads it.
func checkResponse(t *testing.T, name string, res *httpmini.Response, ag Agreement, err error) {
	t.Helper()
	wire := res.AppendHead(nil)
	if res.Body != nil {
		body, _ := io.ReadAll(res.Body)
		wire = append(wire, body...)
	}
	std, stdErr := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil)
	if stdErr != nil || std.StatusCode != res.Status {
		t.Errorf("%s: net/http reads %q as %v, %v", name, wire, std, stdErr)
		return
	}
	if err == nil {
		if (ag.Subprotocol != "") != res.Header.Has("Sec-WebSocket-Protocol") || (ag.Deflate != nil) != res.Header.Has("Sec-WebSocket-Extensions") {
			t.Errorf("%s: agreed on %v, answered %q", name, ag, wire)
		}
		return
	}
	he, ok := errors.AsType[*HandshakeError](err)
	if !ok || he.Status != res.Status || he.Head == "" || ag != (Agreement{}) {
		t.Errorf("%s: the error is %#v with status %d and %v", name, err, res.Status, ag)
	}
	body, bodyErr := io.ReadAll(std.Body)
	if string(body) != he.Err.Error()+"\n" || bodyErr != nil || std.ContentLength != int64(len(body)) || !res.Header.HasToken("Connection", "close") {
		t.Errorf("%s: refused with %q", name, wire)
	}
}

// Every proper prefix of a handshake is no handshake, and byte by byte it is the same.
func TestAnswerCut(t *testing.T) {
	for n := range len(goodHandshake) {
		if req, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(goodHandshake[:n])), httpmini.Limits{}); err == nil {
			t.Errorf("the first %d bytes: a request %v", n, req)
		}
	}
	slow := io.MultiReader()
	for i := range goodHandshake {
		slow = io.MultiReader(slow, strings.NewReader(goodHandshake[i:i+1]))
	}
	req, err := httpmini.ReadRequest(bufio.NewReader(slow), httpmini.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if res, _, err := Answer(req, AcceptOptions{}); res.Status != 101 || err != nil {
		t.Errorf("byte by byte: %d, %v; want 101", res.Status, err)
	}
}

// A request need not have come over the wire.
func TestAnswerMadeUp(t *testing.T) {
	req := &httpmini.Request{Method: "GET", Target: "/", Minor: 1, Header: httpmini.Header{{Name: "Host", Value: "a"}, {Name: "Host", Value: "b"}}}
	if res, _, err := Answer(req, AcceptOptions{}); res.Status != 400 || !errors.Is(err, ErrHost) {
		t.Errorf("two Hosts: %d, %v; want 400, %v", res.Status, err, ErrHost)
	}
	if isKey("dGhlIHNhbXBsZSBub25jZ\r\n=") {
		t.Error("a line break in the key is skipped")
	}
}

func TestAnswerHint(t *testing.T) {
	req, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(strings.Replace(goodHandshake, plus, more("Origin: http://evil.example"), 1))), httpmini.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ hint, want string }{
		{"the flag -origin would allow it", ErrOrigin.Error() + "\nthe flag -origin would allow it\n"},
		{"", ErrOrigin.Error() + "\n"},
	} {
		res, _, _ := Answer(req, AcceptOptions{Hint: func(err error) string {
			if !errors.Is(err, ErrOrigin) {
				t.Errorf("Hint(%v); want %v", err, ErrOrigin)
			}
			return tt.hint
		}})
		if body, _ := io.ReadAll(res.Body); string(body) != tt.want || res.ContentLength != int64(len(body)) || res.Header.Get("Content-Length") != fmt.Sprint(len(body)) {
			t.Errorf("hint %q: refused with %q, %q; want %q", tt.hint, res.Header, body, tt.want)
		}
	}
}

// TestAdmit: the policy without a handshake.
func TestAdmit(t *testing.T) {
	opt := AcceptOptions{AllowHost: LocalHost(), Authorize: func(req *httpmini.Request) (int, httpmini.Header) {
		if req.Header.Has("Authorization") {
			return 0, nil
		}
		return 401, httpmini.Header{{Name: "WWW-Authenticate", Value: "Basic"}}
	}}
	for _, tt := range []struct {
		host, origin, authorization string
		status                      int // 0: let in
	}{
		{"localhost:80", "", "x", 0},
		{"127.0.0.1", "http://127.0.0.1", "x", 0},
		{"localhost", "", "", 401},
		{"localhost", "http://evil.example", "x", 403},
		{"evil.example", "", "x", 403},
		{"", "", "x", 403},
	} {
		req := &httpmini.Request{Method: "HEAD", Target: "/", Minor: 1}
		for name, value := range map[string]string{"Host": tt.host, "Origin": tt.origin, "Authorization": tt.authorization} {
			if value != "" {
				req.Header.Add(name, value)
			}
		}
		res := opt.Admit(req)
		if res == nil && tt.status != 0 || res != nil && res.Status != tt.status {
			t.Errorf("%+v: answered with %+v", tt, res)
		}
		if tt.status == 401 && res.Header.Get("WWW-Authenticate") != "Basic" {
			t.Errorf("401 with %q", res.Header)
		}
	}
}

func TestLocalHost(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Skip("this machine has no name")
	}
	if !LocalHost()(strings.ToLower(own)) {
		t.Errorf("LocalHost refuses %q, this machine's name", own)
	}
	if LocalHost()("evil.example") || LocalHost("a")("") {
		t.Error("LocalHost takes any name")
	}
}

// Accept over a connection of httpmini: frames that came with the handshake are
// there, those sent after it too, and a refusal leaves nothing behind.
func TestAccept(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		want       string // the status line
	}{
		{"S32", goodHandshake + "\x81\x82\x01\x02\x03\x04ik", "HTTP/1.1 101 Switching Protocols"},
		{"refused", strings.Replace(goodHandshake, "Version: 13", "Version: 8", 1), "HTTP/1.1 426 Upgrade Required"},
	} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
			c, err := AcceptExchange(x, AcceptOptions{}, Config{})
			if err != nil {
				done <- err
				return
			}
			m, err := c.ReadMessage()
			if err == nil {
				err = c.WriteMessage(m.Opcode, append(m.Data, '!'))
			}
			done <- err
			c.NetConn().Close()
		}}
		go s.ServeConn(server)
		go io.WriteString(client, tt.wire)
		br := bufio.NewReader(client)
		line, _ := br.ReadString('\n')
		if strings.TrimSpace(line) != tt.want {
			t.Errorf("%s: answered %q; want %q", tt.name, line, tt.want)
		}
		rest, _ := io.ReadAll(br)
		err := <-done
		if he, ok := errors.AsType[*HandshakeError](err); ok {
			if he.Status != 426 || !bytes.Contains(rest, []byte("Sec-WebSocket-Version: 13\r\n")) {
				t.Errorf("%s: %v, %q", tt.name, err, rest)
			}
		} else if err != nil || !bytes.HasSuffix(rest, []byte("\r\n\r\n\x81\x03hi!")) {
			t.Errorf("%s: %v, after the status line %q", tt.name, err, rest)
		}
	}
}

// verifyHandshake says by its own means what is wrong with a handshake, following
// RFC 6455 §4.2.1.
func verifyHandshake(wire []byte) error {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		return err
	}
	has := func(name, token string) bool {
		for _, e := range strings.Split(strings.Join(req.Header.Values(name), ","), ",") {
			if strings.EqualFold(strings.Trim(e, " \t"), token) {
				return true
			}
		}
		return false
	}
	key := req.Header.Values("Sec-Websocket-Key")
	version := req.Header.Values("Sec-Websocket-Version")
	switch {
	case req.Method != "GET" || req.Proto != "HTTP/1.1" || req.Host == "":
		return errors.New("request line or host")
	case req.ContentLength != 0 || len(req.TransferEncoding) > 0:
		return errors.New("body")
	case !has("Upgrade", "websocket") || !has("Connection", "upgrade"):
		return errors.New("no upgrade")
	case len(version) != 1 || version[0] != "13":
		return errors.New("version")
	case len(key) != 1:
		return errors.New("key")
	}
	nonce, err := base64.StdEncoding.DecodeString(key[0])
	if err != nil || len(nonce) != 16 || base64.StdEncoding.EncodeToString(nonce) != key[0] {
		return errors.New("nonce")
	}
	return nil
}

func FuzzAnswer(f *testing.F) {
	for _, tt := range handshakes {
		if wire := strings.Replace(goodHandshake, tt.old, tt.new, 1); len(wire) < 4000 {
			f.Add([]byte(wire))
		}
	}
	opt := AcceptOptions{Subprotocols: []string{"chat"}, ContextTakeover: true, AllowHost: LocalHost()}
	f.Fuzz(func(t *testing.T, wire []byte) {
		req, err := httpmini.ReadRequest(bufio.NewReader(bytes.NewReader(wire)), httpmini.Limits{})
		if err != nil {
			return
		}
		res, ag, err := Answer(req, opt)
		checkResponse(t, fmt.Sprintf("%q", wire), res, ag, err)
		if err != nil {
			return
		}
		if err := verifyHandshake(wire); err != nil {
			t.Errorf("%q is accepted, but: %v", wire, err)
		}
		if res.Header.Get("Sec-WebSocket-Accept") != AcceptKey(req.Header.Get("Sec-WebSocket-Key")) {
			t.Errorf("%q is answered %q", wire, res.Header)
		}
	})
}

func ExampleAcceptKey() { // the key and answer of RFC 6455 §1.3
	fmt.Println(AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="))
	// Output: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
}

func ExampleAnswer() {
	req, _ := httpmini.ReadRequest(bufio.NewReader(strings.NewReader("GET /chat HTTP/1.1\r\n"+
		"Host: server.example.com\r\n"+
		"Upgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Origin: http://example.com\r\n"+
		"Sec-WebSocket-Protocol: chat, superchat\r\n"+
		"Sec-WebSocket-Version: 13\r\n\r\n")), httpmini.Limits{})
	res, agreed, err := Answer(req, AcceptOptions{Origins: []string{"http://example.com"}, Subprotocols: []string{"chat"}})
	fmt.Printf("%s%v %v\n", strings.ReplaceAll(string(res.AppendHead(nil)), "\r", ""), agreed.Subprotocol, err)
	// Output:
	// HTTP/1.1 101 Switching Protocols
	// Upgrade: websocket
	// Connection: Upgrade
	// Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
	// Sec-WebSocket-Protocol: chat
	//
	// chat <nil>
}

func BenchmarkAnswer(b *testing.B) {
	browser := strings.Replace(goodHandshake, plus, more("Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"+
		"Origin: http://127.0.0.1:8008\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), 1)
	for _, bb := range []struct{ name, wire string }{{"plain", goodHandshake}, {"browser", browser}} {
		req, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(bb.wire)), httpmini.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bb.name, func(b *testing.B) {
			out := make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				res, _, err := Answer(req, AcceptOptions{})
				if err != nil {
					b.Fatal(err)
				}
				out = res.AppendHead(out[:0])
			}
		})
	}
}
