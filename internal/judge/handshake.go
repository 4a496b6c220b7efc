package judge

import (
	"bufio"
	"cmp"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// This file is the opening handshake (RFC 6455 §4), both ways, and the cases that
// break or bend it.

// request and response are handshakes word for word. {…} is filled in.
const (
	request = "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{ext}\r\n"
	response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: {accept}\r\n{ext}\r\n"
)

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readHead reads a start line and its fields, with names in lower case; several
// lines of one name are joined by commas.
func readHead(br *bufio.Reader) (start string, fields map[string]string, err error) {
	fields = map[string]string{}
	for n := 0; n < 200; n++ {
		b, err := br.ReadSlice('\n')
		if err != nil {
			return start, nil, err
		}
		line := strings.TrimRight(string(b), "\r\n")
		if n == 0 {
			start = line
			continue
		}
		if line == "" {
			return start, fields, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return start, nil, fmt.Errorf("field line %q", line)
		}
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		if old, ok := fields[name]; ok {
			value = old + ", " + value
		}
		fields[name] = value
	}
	return start, nil, errors.New("more than 200 field lines")
}

// fill puts values for the {names} of a head.
func fill(head, fields, ext string, pairs ...string) string {
	if ext != "" {
		ext = "Sec-WebSocket-Extensions: " + ext + "\r\n"
	}
	return strings.NewReplacer(append(pairs, "{ext}", ext+fields)...).Replace(head)
}

// openAsClient does the opening handshake with a judged server (§4.1); server is
// what it calls itself. When refused, the case is over.
func (p *prober) openAsClient(host, path, fields string, c Case) (server string, refused bool, err error) {
	r := rand.New(rand.NewPCG(seed(c.ID), 4))
	key := base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, r.Uint64()), r.Uint64()))
	offer := cmp.Or(c.offer, offerAll(c.ext))
	p.write(append([]byte(fill(cmp.Or(c.head, request), fields, offer, "{path}", path, "{host}", host, "{key}", key)), p.encode(c.first)...))
	start, f, err := readHead(p.br)
	for err == nil && strings.HasPrefix(start, "HTTP/1.1 1") && !strings.HasPrefix(start, "HTTP/1.1 101") {
		start, f, err = readHead(p.br)
	}
	upgraded := err == nil && strings.HasPrefix(start, "HTTP/1.1 101 ")
	switch {
	case err != nil && c.refuses != "":
		return "", true, nonStrict("no answer but %v, want the status %s (§4.2.1)", err, c.refuses)
	case err != nil:
		return "", false, failed("opening handshake: %v", err)
	case c.refuses != "":
		return f["server"], true, judgeRefusal(start, f, c)
	case !upgraded && c.offer != "" && len(usable(c.offer)) == 0:
		return f["server"], false, nonStrict("opening handshake answered %q, want the offer declined (RFC 7692 §7.1)", start)
	case !upgraded:
		return f["server"], false, failed("opening handshake answered %q", start)
	case !strings.EqualFold(f["upgrade"], "websocket"), !listHas(f["connection"], "upgrade"):
		return f["server"], false, failed("answered Upgrade %q, Connection %q (§4.2.2)", f["upgrade"], f["connection"])
	case f["sec-websocket-accept"] != acceptFor(key):
		return f["server"], false, failed("answered Sec-WebSocket-Accept %q, want %q (§4.2.2)", f["sec-websocket-accept"], acceptFor(key))
	}
	if got, ok := f["sec-websocket-protocol"]; ok && !strings.Contains(c.head, "Protocol: "+got+"\r\n") {
		return f["server"], false, failed("answered the subprotocol %q, which was not offered (§4.2.2)", got)
	}
	return f["server"], false, p.agreed(f["sec-websocket-extensions"], offer)
}

// judgeRefusal: the RFC wants an error, and names its status only as an example.
func judgeRefusal(start string, f map[string]string, c Case) error {
	_, status, _ := strings.Cut(start, " ")
	want := (c.refuses + "xx")[:3]
	switch {
	case strings.HasPrefix(status, "101") && c.offer != "" && f["sec-websocket-extensions"] == "":
		return nonStrict("accepted without an extension, want the handshake refused with %s", want)
	case strings.HasPrefix(status, "101"):
		return failed("accepted, want the handshake refused with %s", want)
	case c.refuses == "426" && f["sec-websocket-version"] == "":
		return failed("answered %q without Sec-WebSocket-Version (§4.2.2, §4.4)", start)
	case !strings.HasPrefix(status, c.refuses):
		return graded(Informational, OK, "answered %q, want the status %s", start, want)
	}
	return nil
}

// openAsServer answers the opening handshake of a judged client (§4.2), of which
// the head has been read.
func (p *prober) openAsServer(start string, f map[string]string, c Case) error {
	key, err := base64.StdEncoding.DecodeString(f["sec-websocket-key"])
	switch {
	case !strings.HasPrefix(start, "GET /") || !strings.HasSuffix(start, " HTTP/1.1"):
		return failed("opening handshake begins %q (§4.1)", start)
	case f["host"] == "":
		return failed("opening handshake without Host (§4.1)")
	case !strings.EqualFold(f["upgrade"], "websocket"), !listHas(f["connection"], "upgrade"):
		return failed("Upgrade %q, Connection %q (§4.1)", f["upgrade"], f["connection"])
	case f["sec-websocket-version"] != "13":
		return failed("Sec-WebSocket-Version %q (§4.1)", f["sec-websocket-version"])
	case err != nil || len(key) != 16:
		return failed("Sec-WebSocket-Key %q is not 16 bytes of base64 (§4.1)", f["sec-websocket-key"])
	}
	var judged error
	ext, offer := "", f["sec-websocket-extensions"]
	if c.answer != "" {
		ext = p.insist(offer, c.answer)
	} else {
		ext, judged = p.accept(offer, c.ext)
	}
	head := fill(cmp.Or(c.head, response), "", ext, "{accept}", acceptFor(f["sec-websocket-key"]))
	p.write(append([]byte(head), p.encode(c.first)...))
	return judged
}

func listHas(list, token string) bool {
	for e := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(e), token) {
			return true
		}
	}
	return false
}

// bend is a handshake with one thing changed: old to new. A server has to refuse
// it with a status that begins with refuses, a client if that is not "".
type bend struct{ name, title, old, new, refuses string }

var badRequests = []bend{
	{"method", "POST (§4.2.1)", "GET", "POST", "4"},
	{"http10", "HTTP/1.0 (§4.2.1)", "HTTP/1.1", "HTTP/1.0", "4"},
	{"no-host", "no Host (§4.2.1)", "Host: {host}\r\n", "", "4"},
	{"two-hosts", "two Host fields (RFC 9112 §3.2)", "Host:", "Host: other\r\nHost:", "4"},
	{"no-upgrade", "no Upgrade (§4.2.1)", "Upgrade: websocket\r\n", "", "4"},
	{"upgrade-prefix", "Upgrade: xwebsocket (§4.2.1)", ": websocket", ": xwebsocket", "4"},
	{"upgrade-suffix", "Upgrade: websockets (§4.2.1)", ": websocket", ": websockets", "4"},
	{"no-connection", "no Connection (§4.2.1)", "Connection: Upgrade\r\n", "", "4"},
	{"keep-alive", "Connection: keep-alive (§4.2.1)", "Connection: Upgrade", "Connection: keep-alive", "4"},
	{"connection-prefix", "Connection: xupgrade (§4.2.1)", "Connection: Upgrade", "Connection: xupgrade", "4"},
	{"connection-space", "Connection: keep-alive Upgrade, which is no list (§4.2.1)", "Connection: Upgrade", "Connection: keep-alive Upgrade", "4"},
	{"no-key", "no Sec-WebSocket-Key (§4.2.1)", "Sec-WebSocket-Key: {key}\r\n", "", "4"},
	{"key-empty", "an empty Sec-WebSocket-Key (§4.2.1)", "{key}", "", "4"},
	{"no-version", "no Sec-WebSocket-Version (§4.2.1)", "Sec-WebSocket-Version: 13\r\n", "", "4"},
	{"version-8", "version 8 (§4.4)", "Version: 13", "Version: 8", "426"},
	{"version-14", "version 14 (§4.4)", "Version: 13", "Version: 14", "426"},
	{"space-colon", "white space before a colon (RFC 9112 §5.1)", "Upgrade:", "Upgrade :", "4"},
}

var goodRequests = []bend{
	{"plain", "nothing out of the ordinary (§4.2)", "", "", ""},
	{"lower-case", "names and values in lower case (§4.2.1)", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key", "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key", ""},
	{"upper-case", "names and values in upper case (§4.2.1)", "Upgrade: websocket\r\nConnection: Upgrade", "UPGRADE: WEBSOCKET\r\nCONNECTION: UPGRADE", ""},
	{"list", "Connection: keep-alive, Upgrade (§4.2.1)", "Connection: Upgrade", "Connection: keep-alive, Upgrade", ""},
	{"list-empty", "a Connection list with empty elements (RFC 9110 §5.6.1)", "Connection: Upgrade", "Connection: , keep-alive,,Upgrade ,", ""},
	{"two-lines", "two Connection lines (RFC 9110 §5.3)", "Connection:", "Connection: keep-alive\r\nConnection:", ""},
	{"no-space", "no white space after colons (RFC 9112 §5)", "Upgrade: websocket\r\nConnection: ", "Upgrade:websocket\r\nConnection:", ""},
	{"tabs", "tabs around values (RFC 9112 §5)", "Upgrade: websocket\r\nConnection: Upgrade", "Upgrade:\twebsocket\t\r\nConnection:\tUpgrade \t", ""},
	{"unknown", "fields nobody knows (RFC 9110 §5.1)", "Upgrade:", "X-Judge: {}\r\nAccept-Language: *\r\nUpgrade:", ""},
	{"long-field", "a field of 2,000 bytes (RFC 9110 §5.4)", "Upgrade:", "X-Judge: " + strings.Repeat("j", 2000) + "\r\nUpgrade:", ""},
	{"protocol", "a subprotocol that nobody knows (§4.2.2)", "Upgrade:", "Sec-WebSocket-Protocol: x-judge.nobody.speaks.this\r\nUpgrade:", ""},
}

// openRequests may be accepted or refused.
var openRequests = []bend{
	{"key-15", "a key of 15 bytes, which a server need not decode (§4.2.2)", "{key}", "MTIzNDU2Nzg5MDEyMzQ1", ""},
	{"key-17", "a key of 17 bytes, which a server need not decode (§4.2.2)", "{key}", "MTIzNDU2Nzg5MDEyMzQ1Njc=", ""},
	{"key-no-base64", "a key that is not base64 (§4.2.2)", "{key}", "!!!!NDU2Nzg5MDEyMzQ1Ng==", ""},
	{"key-twice", "two keys (§11.3.1)", "Sec-WebSocket-Key", "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\nSec-WebSocket-Key", ""},
	{"version-013", "version 013, which is no number of a version (§4.3)", "Version: 13", "Version: 013", ""},
	{"upgrade-list", "Upgrade: websocket, other (RFC 9110 §7.8)", ": websocket", ": websocket, other", ""},
	{"absolute", "the target as a whole URL (RFC 9112 §3.2.2)", "{path}", "http://{host}{path}", ""},
	{"bare-lf", "lines that end with LF alone (RFC 9112 §2.2)", "\r\nUpgrade: websocket\r\n", "\nUpgrade: websocket\n", ""},
	{"empty-line", "an empty line before the request (RFC 9112 §2.2)", "GET", "\r\nGET", ""},
	{"folded", "a folded field (RFC 9112 §5.2)", "Upgrade:", "X-Judge: a\r\n b\r\nUpgrade:", ""},
}

var badResponses = []bend{
	{"accept-wrong", "the Sec-WebSocket-Accept of another key (§4.1)", "{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "yes"},
	{"accept-cut", "a Sec-WebSocket-Accept without its last sign (§4.1)", "{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", "yes"},
	{"accept-empty", "an empty Sec-WebSocket-Accept (§4.1)", "{accept}", "", "yes"},
	{"no-accept", "no Sec-WebSocket-Accept (§4.1)", "Sec-WebSocket-Accept: {accept}\r\n", "", "yes"},
	{"no-upgrade", "no Upgrade (§4.1)", "Upgrade: websocket\r\n", "", "yes"},
	{"upgrade-other", "Upgrade: xwebsocket (§4.1)", ": websocket", ": xwebsocket", "yes"},
	{"no-connection", "no Connection (§4.1)", "Connection: Upgrade\r\n", "", "yes"},
	{"connection-other", "Connection: close (§4.1)", "Connection: Upgrade", "Connection: close", "yes"},
	{"connection-prefix", "Connection: xupgrade (§4.1)", "Connection: Upgrade", "Connection: xupgrade", "yes"},
	{"status-200", "status 200 (§4.1)", "101 Switching Protocols", "200 OK\r\nContent-Length: 0", "yes"},
	{"status-400", "status 400 (§4.1)", "101 Switching Protocols", "400 Bad Request\r\nContent-Length: 0", "yes"},
	{"protocol", "a subprotocol that was not offered (§4.1)", "Upgrade:", "Sec-WebSocket-Protocol: chat\r\nUpgrade:", "yes"},
	{"extension", "an extension that was not offered (§4.1)", "Upgrade:", "Sec-WebSocket-Extensions: x-judge\r\nUpgrade:", "yes"},
}

var goodResponses = []bend{
	{"plain", "nothing out of the ordinary (§4.1)", "", "", ""},
	{"lower-case", "names and values in lower case (§4.1)", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept", "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept", ""},
	{"upper-case", "names and values in upper case (§4.1)", "Upgrade: websocket\r\nConnection: Upgrade", "UPGRADE: WebSocket\r\nCONNECTION: UPGRADE", ""},
	{"list", "Connection: keep-alive, Upgrade (§4.1)", "Connection: Upgrade", "Connection: keep-alive, Upgrade", ""},
	{"space", "white space around values (RFC 9112 §5)", "{accept}", "\t {accept} \t", ""},
	{"no-space", "no white space after colons (RFC 9112 §5)", "Upgrade: websocket\r\nConnection: ", "Upgrade:websocket\r\nConnection:", ""},
	{"reason", "another reason phrase (RFC 9112 §4)", "Switching Protocols", "Web Socket Protocol Handshake", ""},
	{"no-reason", "no reason phrase (RFC 9112 §4)", "Switching Protocols", "", ""},
	{"unknown", "fields nobody knows (RFC 9110 §5.1)", "Upgrade:", "X-Judge: {}\r\nSet-Cookie: a=b\r\nUpgrade:", ""},
}

var openResponses = []bend{
	{"http10", "the version HTTP/1.0 (§4.1)", "HTTP/1.1", "HTTP/1.0", ""},
	{"early-hints", "status 103 before it (RFC 9110 §15.2)", "HTTP/1.1", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1", ""},
	{"content-length", "a Content-Length (RFC 9112 §6.3)", "Upgrade:", "Content-Length: 0\r\nUpgrade:", ""},
}

// handshakes is group x.handshake.
func handshakes() cases {
	var all cases
	add := func(s Side, head, refuse string, open bool, bends []bend) {
		for _, b := range bends {
			c := newCase("x.handshake."+refuse+b.name, "opening handshake: "+b.title, doSend(txText("opened")), mustEnd(rxText("opened")))
			if b.refuses != "" {
				c.steps = []step{mustHangUp}
			}
			c.open = open
			all = append(all, c.of(s).opening(strings.Replace(head, b.old, b.new, 1), b.refuses))
		}
	}
	add(ServerSide, request, "", false, goodRequests)
	add(ServerSide, request, "bad.", false, badRequests)
	add(ServerSide, request, "open.", true, openRequests)
	add(ClientSide, response, "", false, goodResponses)
	add(ClientSide, response, "bad.", false, badResponses)
	add(ClientSide, response, "open.", true, openResponses)
	return all
}
