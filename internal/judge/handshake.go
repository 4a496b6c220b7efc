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
	"strconv"
	"strings"
)

// This file is the opening handshake (RFC 6455 §4), both ways, and reads the cases that
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

// handshakes is group x.handshake: one thing in our side of the handshake is changed. A
// line of cases.txt says who is judged, and what becomes what; behind that, for what
// has to be refused, the status that begins so, or of a client yes.
func handshakes() (all cases) {
	for line := range strings.Lines(caseLines) {
		head, change, _ := strings.Cut(strings.TrimSpace(line), " | ")
		id, title, _ := strings.Cut(head, " ")
		if !strings.HasPrefix(id, "x.handshake.") {
			continue
		}
		words := append(wordsOf(change), "")
		before, err := strconv.Unquote(words[1])
		after, err2 := strconv.Unquote(words[2])
		if err != nil || err2 != nil {
			panic("judge: no change of a handshake: " + line)
		}
		c := newCase(id, "opening handshake: "+title, doSend(txText("opened")), mustEnd(rxText("opened")))
		if c.refuses = words[3]; c.refuses != "" {
			c.steps = []step{mustHangUp}
		}
		side, whole := ServerSide, request
		if words[0] == "client" {
			side, whole = ClientSide, response
		}
		c.open = strings.HasPrefix(id, "x.handshake.open.")
		c.head = strings.Replace(whole, before, strings.ReplaceAll(after, "{long}", strings.Repeat("j", 2000)), 1)
		all = append(all, c.of(side))
	}
	return all
}
