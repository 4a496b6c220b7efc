package wsproto_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// This file is the wire of the conformance suite: frames, masking, the opening
// handshake and the reading of what the endpoint under test sends. It uses
// nothing of the package under test, so that it can contradict it.

// probeSide says which end of a connection the endpoint under test is.
type probeSide uint8

const (
	probedServer probeSide = iota
	probedClient
)

// wireFrame is a frame as it is to be sent, legal or not (RFC 6455 §5.2).
type wireFrame struct {
	fin     bool
	rsv     byte // 4 is RSV1, 2 is RSV2, 1 is RSV3
	op      byte
	payload []byte
	form    int    // bits of the length field: 7, 16 or 64; 0 is the shortest
	length  uint64 // announced length if claimed
	claimed bool
	badMask bool // masked when it must not be, and the other way round
	key     []byte
}

func tx(op byte, payload []byte) wireFrame { return wireFrame{fin: true, op: op, payload: payload} }
func txText(s string) wireFrame            { return tx(1, []byte(s)) }
func txBinary(s string) wireFrame          { return tx(2, []byte(s)) }
func txMore(s string) wireFrame            { return tx(0, []byte(s)) }
func txPing(s string) wireFrame            { return tx(9, []byte(s)) }
func txPong(s string) wireFrame            { return tx(10, []byte(s)) }

// txClose is a Close frame with a status code, valid or not, and a reason.
func txClose(code int, reason string) wireFrame {
	return tx(8, append([]byte{byte(code >> 8), byte(code)}, reason...))
}

func (f wireFrame) part() wireFrame           { f.fin = false; return f }
func (f wireFrame) bits(rsv byte) wireFrame   { f.rsv = rsv; return f }
func (f wireFrame) inForm(bits int) wireFrame { f.form = bits; return f }
func (f wireFrame) wrongMask() wireFrame      { f.badMask = true; return f }
func (f wireFrame) keyed(k string) wireFrame  { f.key = []byte(k); return f }
func (f wireFrame) announcing(n uint64) wireFrame {
	f.length, f.claimed = n, true
	return f
}

// header is everything in front of the masking key.
func (f wireFrame) header(masked bool) []byte {
	n := uint64(len(f.payload))
	if f.claimed {
		n = f.length
	}
	form := f.form
	if form == 0 {
		switch {
		case n < 126:
			form = 7
		case n < 65536:
			form = 16
		default:
			form = 64
		}
	}
	b := []byte{f.rsv<<4 | f.op, 0}
	if f.fin {
		b[0] |= 0x80
	}
	switch form {
	case 7:
		b[1] = byte(n)
	case 16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, n)
	}
	if masked {
		b[1] |= 0x80
	}
	return b
}

// grade is Autobahn's: what a case came to.
type grade uint8

const (
	gradeOK grade = iota
	gradeInformational
	gradeNonStrict
	gradeUnimplemented
	gradeFailed
)

func (g grade) String() string {
	return [...]string{"OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED"}[g]
}

// finding is a case that came out other than OK.
type finding struct {
	grade   grade
	text    string
	silence bool // the endpoint did nothing
}

func (f *finding) Error() string { return f.grade.String() + ": " + f.text }

func graded(g grade, format string, a ...any) *finding {
	return &finding{grade: g, text: fmt.Sprintf(format, a...)}
}

func failed(format string, a ...any) error    { return graded(gradeFailed, format, a...) }
func nonStrict(format string, a ...any) error { return graded(gradeNonStrict, format, a...) }

// rxEvent is what the endpoint under test did: a whole message, a control
// frame, the end of the stream, or nothing until the wait was over.
type rxEvent struct {
	kind   string // "text", "binary", "ping", "pong", "close", "end", "silence"
	data   []byte // payload; the reason of a close
	code   int    // of a close; 0 if it had none
	detail error  // of an end
}

func rxText(s string) rxEvent   { return rxEvent{kind: "text", data: []byte(s)} }
func rxBinary(s string) rxEvent { return rxEvent{kind: "binary", data: []byte(s)} }
func rxPong(s string) rxEvent   { return rxEvent{kind: "pong", data: []byte(s)} }

// rxMessage is the echo of a message that began with this opcode.
func rxMessage(op byte, s string) rxEvent {
	if op == 2 {
		return rxBinary(s)
	}
	return rxText(s)
}

func (e rxEvent) same(o rxEvent) bool {
	return e.kind == o.kind && e.code == o.code && bytes.Equal(e.data, o.data)
}

func (e rxEvent) String() string {
	short := e.data
	if len(short) > 40 {
		short = short[:40]
	}
	switch e.kind {
	case "close":
		return fmt.Sprintf("close %d %q", e.code, e.data)
	case "end":
		return fmt.Sprintf("end of stream (%v)", e.detail)
	case "silence":
		return "silence"
	}
	return fmt.Sprintf("%s of %d bytes %q", e.kind, len(e.data), short)
}

// prober is our end of a connection to the endpoint under test.
type prober struct {
	nc        net.Conn
	br        *bufio.Reader
	side      probeSide     // of the endpoint under test
	wait      time.Duration // for the endpoint's next act
	writeWait time.Duration
	limit     int64 // the endpoint's largest message
	keys      *rand.Rand
	in        *probeInflater // nil: no permessage-deflate
	out       *probeDeflater
	refusable bool // the client under test has to refuse the handshake
	sentClose bool
	closedBy  int    // the code of the endpoint's Close frame
	rest      []byte // of a frame sent in part

	msgOp   byte // of the message being received, 0 if none
	msgZ    bool
	msgData []byte
	rxBytes int64 // data payload received on the wire

	mu      sync.Mutex
	changed *sync.Cond
	queue   [][]byte
	busy    bool
	stopped bool
	done    chan struct{}
}

func newProber(nc net.Conn, br *bufio.Reader, side probeSide, wait time.Duration, seed uint64) *prober {
	p := &prober{nc: nc, br: br, side: side, wait: wait, writeWait: wait, keys: rand.New(rand.NewPCG(seed, 6455)), done: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	go p.writeLoop()
	return p
}

// writeLoop writes what is queued, each piece by a call of its own: an endpoint
// that answers before it has read all must not block the prober.
func (p *prober) writeLoop() {
	defer close(p.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for len(p.queue) == 0 && !p.stopped {
			p.changed.Wait()
		}
		if len(p.queue) == 0 {
			return
		}
		b := p.queue[0]
		p.queue = p.queue[1:]
		p.busy = true
		p.mu.Unlock()
		_ = p.nc.SetWriteDeadline(time.Now().Add(p.writeWait))
		_, err := p.nc.Write(b)
		p.mu.Lock()
		p.busy = false
		if err != nil {
			p.queue = nil // what the endpoint did about it is seen by reading
		}
		p.changed.Broadcast()
	}
}

func (p *prober) write(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, b)
	p.changed.Broadcast()
}

// flush waits until all that was queued is written or given up.
func (p *prober) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 || p.busy {
		p.changed.Wait()
	}
}

func (p *prober) halfClose() {
	p.flush()
	if c, ok := p.nc.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (p *prober) close() {
	p.mu.Lock()
	p.stopped = true
	p.queue = nil
	p.changed.Broadcast()
	p.mu.Unlock()
	p.nc.Close()
	<-p.done
}

// masks tells whether the prober's frames are to be masked (§5.1).
func (p *prober) masks() bool { return p.side == probedServer }

func (p *prober) append(dst []byte, f wireFrame) []byte {
	masked := p.masks() != f.badMask
	dst = append(dst, f.header(masked)...)
	if !masked {
		return append(dst, f.payload...)
	}
	key := f.key
	if key == nil {
		key = binary.LittleEndian.AppendUint32(nil, p.keys.Uint32())
	}
	dst = append(dst, key...)
	at := len(dst)
	dst = append(dst, f.payload...)
	xorKey(dst[at:], key)
	return dst
}

// xorKey masks b in place (§5.3), eight bytes at a time.
func xorKey(b, key []byte) {
	k := uint64(binary.LittleEndian.Uint32(key))
	k |= k << 32
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], binary.LittleEndian.Uint64(b[i:])^k)
	}
	for ; i < len(b); i++ {
		b[i] ^= key[i%4]
	}
}

func (p *prober) note(frames []wireFrame) {
	for _, f := range frames {
		p.sentClose = p.sentClose || f.op == 8
	}
}

func (p *prober) encode(frames []wireFrame) []byte {
	var b []byte
	for _, f := range frames {
		b = p.append(b, f)
	}
	return b
}

func (p *prober) sendAll(frames []wireFrame) {
	p.note(frames)
	p.write(p.encode(frames))
}

// rawFrame is a frame as received.
type rawFrame struct {
	fin     bool
	rsv, op byte
	payload []byte
}

// readFrame reads a frame of the endpoint and refuses what RFC 6455 §5.2
// forbids a sender.
func (p *prober) readFrame() (rawFrame, error) {
	var h [14]byte
	if _, err := io.ReadFull(p.br, h[:2]); err != nil {
		return rawFrame{}, err
	}
	f := rawFrame{fin: h[0]&0x80 != 0, rsv: h[0] >> 4 & 7, op: h[0] & 15}
	n := uint64(h[1] & 127)
	size := map[uint64]int{126: 2, 127: 8}[n]
	if _, err := io.ReadFull(p.br, h[2:2+size]); err != nil {
		return f, cutShort(err)
	}
	switch size {
	case 2:
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 8:
		n = binary.BigEndian.Uint64(h[2:])
	}
	if size == 2 && n < 126 || size == 8 && n < 65536 {
		return f, failed("sent the length %d in %d bytes (§5.2)", n, size)
	}
	masked := h[1]&0x80 != 0
	if masked == p.masks() {
		return f, failed("sent a frame with MASK = %t (§5.1)", masked)
	}
	if n > 1<<28 {
		return f, failed("announced a frame of %d bytes", n)
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(p.br, key[:]); err != nil {
			return f, cutShort(err)
		}
	}
	f.payload = make([]byte, n)
	if _, err := io.ReadFull(p.br, f.payload); err != nil {
		return f, cutShort(err)
	}
	if masked {
		xorKey(f.payload, key[:])
	}
	return f, nil
}

func cutShort(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failed("stopped in the middle of a frame")
	}
	return failed("the stream ended in the middle of a frame: %v", err)
}

// next is what the endpoint did next. An error is a rule that it broke.
func (p *prober) next() (rxEvent, error) {
	for {
		_ = p.nc.SetReadDeadline(time.Now().Add(p.wait))
		f, err := p.readFrame()
		var broken *finding
		switch {
		case errors.As(err, &broken):
			return rxEvent{}, err
		case errors.Is(err, os.ErrDeadlineExceeded):
			return rxEvent{kind: "silence"}, nil
		case err != nil:
			return rxEvent{kind: "end", detail: err}, nil
		}
		e, done, err := p.take(f)
		if err != nil || done {
			return e, err
		}
	}
}

// take judges a frame and adds it to its message.
func (p *prober) take(f rawFrame) (e rxEvent, done bool, err error) {
	if f.rsv&3 != 0 || f.rsv == 4 && (p.in == nil || f.op == 0 || f.op >= 8) {
		return e, false, failed("sent RSV %03b with opcode %d (§5.2, RFC 7692 §6)", f.rsv, f.op)
	}
	if f.op >= 8 {
		e, err = takeControl(f)
		return e, true, err
	}
	if f.op > 2 {
		return e, false, failed("sent opcode %d (§5.2)", f.op)
	}
	if (f.op == 0) != (p.msgOp != 0) {
		return e, false, failed("sent opcode %d with a message of opcode %d under way (§5.4)", f.op, p.msgOp)
	}
	p.rxBytes += int64(len(f.payload))
	if f.op != 0 {
		p.msgOp, p.msgZ, p.msgData = f.op, f.rsv == 4, f.payload
	} else {
		p.msgData = append(p.msgData, f.payload...)
	}
	if !f.fin {
		return e, false, nil
	}
	e = rxEvent{kind: "text", data: p.msgData}
	if p.msgOp == 2 {
		e.kind = "binary"
	}
	if p.msgZ {
		if e.data, err = p.in.message(p.msgData); err != nil {
			return e, false, failed("sent a compressed message that does not inflate: %v", err)
		}
	}
	p.msgOp, p.msgData = 0, nil
	if e.kind == "text" && !utf8.Valid(e.data) {
		return e, false, failed("sent a text message that is not UTF-8 (§5.6)")
	}
	return e, true, nil
}

func takeControl(f rawFrame) (rxEvent, error) {
	if !f.fin || len(f.payload) > 125 {
		return rxEvent{}, failed("sent a control frame with FIN = %t and %d bytes (§5.5)", f.fin, len(f.payload))
	}
	switch f.op {
	case 9:
		return rxEvent{kind: "ping", data: f.payload}, nil
	case 10:
		return rxEvent{kind: "pong", data: f.payload}, nil
	case 8:
		return takeClose(f.payload)
	}
	return rxEvent{}, failed("sent opcode %d (§5.2)", f.op)
}

func takeClose(b []byte) (rxEvent, error) {
	e := rxEvent{kind: "close"}
	if len(b) == 0 {
		return e, nil
	}
	if len(b) == 1 {
		return e, failed("sent a Close frame of one byte (§5.5.1)")
	}
	e.code, e.data = int(binary.BigEndian.Uint16(b)), b[2:]
	if !sendableCode(e.code) {
		return e, failed("sent the close code %d (§7.4)", e.code)
	}
	if !utf8.Valid(e.data) {
		return e, failed("sent the close reason %x, which is not UTF-8 (§5.5.1)", e.data)
	}
	return e, nil
}

// sendableCode tells whether a status code may be on the wire: RFC 6455 §7.4 and
// the IANA registry, which adds 1012, 1013 and 1014.
func sendableCode(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code < 1000 || code > 1014:
		return false
	}
	return code != 1004 && code != 1005 && code != 1006
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readHead reads a start line and its fields, with names in lower case; several
// lines of one name are joined by commas.
func readHead(br *bufio.Reader) (start string, fields map[string]string, err error) {
	fields = map[string]string{}
	for n := 0; ; n++ {
		line, err := br.ReadString('\n')
		if err != nil {
			return start, nil, err
		}
		line = strings.TrimRight(line, "\r\n")
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
}

// openAsClient does the opening handshake with a server under test (§4.1) and
// returns the extensions it agreed to. What is early goes out with the request. An
// answer with another status is a *refusal.
func openAsClient(nc net.Conn, br *bufio.Reader, host, path, extensions string, early []byte, seed uint64) (string, error) {
	r := rand.New(rand.NewPCG(seed, 4))
	key := base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, r.Uint64()), r.Uint64()))
	req := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Version: 13\r\n"
	if extensions != "" {
		req += "Sec-WebSocket-Extensions: " + extensions + "\r\n"
	}
	if _, err := nc.Write(append([]byte(req+"\r\n"), early...)); err != nil {
		return "", failed("opening handshake: %v", err)
	}
	start, f, err := readHead(br)
	if err != nil {
		return "", failed("opening handshake: %v", err)
	}
	switch {
	case !strings.HasPrefix(start, "HTTP/1.1 101 "):
		return "", &refusal{start}
	case !strings.EqualFold(f["upgrade"], "websocket"), !strings.EqualFold(f["connection"], "upgrade"):
		return "", failed("answered Upgrade %q, Connection %q (§4.2.2)", f["upgrade"], f["connection"])
	case f["sec-websocket-accept"] != acceptFor(key):
		return "", failed("answered Sec-WebSocket-Accept %q, want %q (§4.2.2)", f["sec-websocket-accept"], acceptFor(key))
	}
	if _, ok := f["sec-websocket-protocol"]; ok {
		return "", failed("answered a subprotocol that was not offered (§4.2.2)")
	}
	return f["sec-websocket-extensions"], nil
}

// refusal is a status line other than 101.
type refusal struct{ start string }

func (r *refusal) Error() string { return "opening handshake answered " + r.start }

// openAsServer does the opening handshake with a client under test (§4.2);
// answer turns the client's offer into the extensions of the response. What is
// early goes out with the response.
func openAsServer(nc net.Conn, br *bufio.Reader, early []byte, answer func(offer string) (string, error)) error {
	start, f, err := readHead(br)
	if err != nil {
		return failed("opening handshake: %v", err)
	}
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
	ext, judged := answer(f["sec-websocket-extensions"])
	resp := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptFor(f["sec-websocket-key"]) + "\r\n"
	if ext != "" {
		resp += "Sec-WebSocket-Extensions: " + ext + "\r\n"
	}
	if _, err := nc.Write(append([]byte(resp+"\r\n"), early...)); err != nil {
		return failed("opening handshake: %v", err)
	}
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
