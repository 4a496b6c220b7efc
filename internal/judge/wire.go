package judge

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
	"unicode/utf8"
)

// This file is the wire: frames and masking, and the strict reading of what the
// endpoint sends.

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

// finding is a case that came out other than OK, or a remark on one that did.
type finding struct {
	grade, close Grade
	text         string
	silence      bool // the endpoint did nothing
}

func (f *finding) Error() string { return f.text }

func graded(g, end Grade, format string, a ...any) *finding {
	return &finding{grade: g, close: end, text: fmt.Sprintf(format, a...)}
}

func failed(format string, a ...any) error    { return graded(Failed, Failed, format, a...) }
func nonStrict(format string, a ...any) error { return graded(NonStrict, OK, format, a...) }
func remark(format string, a ...any) error    { return graded(OK, OK, format, a...) }

// rxEvent is what the judged endpoint did: a whole message, a control
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

// The most that is accepted of an endpoint in one message, in bytes: in the catalogue's
// heavy cases, of which there are two at once, 16 MiB come, in the others 1 MiB.
const largest, large = 20 << 20, 2 << 20

// maxFrames is how many frames are accepted that are no message, pong or close.
const maxFrames = 1 << 18

// prober is our end of a connection to the judged endpoint.
type prober struct {
	*tap
	br        *bufio.Reader
	side      Side // of the judged endpoint
	catalogue bool // the case is Autobahn's, and judged as loosely as there
	limit     int  // of the endpoint's messages
	keys      *rand.Rand
	in        *inflater // nil: no permessage-deflate
	out       *deflater
	doubt     error // a remark on the opening handshake
	refusable bool  // the judged client has to refuse the handshake
	sentClose bool
	closedBy  int    // the code of the endpoint's Close frame
	rest      []byte // of a frame sent in part

	msgOp   byte // of the message being received, 0 if none
	msgZ    bool
	msgData []byte

	mu      sync.Mutex
	changed *sync.Cond
	queue   [][]byte
	busy    bool
	stopped bool
	done    chan struct{}
}

// newProber takes over the connection, which close ends.
func newProber(t *tap, br *bufio.Reader, side Side, c Case, o Options) *prober {
	t.end = time.Now().Add(max(c.total, 12*o.Wait))
	p := &prober{tap: t, br: br, side: side, catalogue: c.catalogued(), limit: large,
		keys: rand.New(rand.NewPCG(seed(c.ID), 6455)), done: make(chan struct{})}
	if c.heavy {
		p.limit = largest
	}
	p.changed = sync.NewCond(&p.mu)
	go p.writeLoop()
	return p
}

func seed(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
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
		_, err := p.tap.Write(b)
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
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (p *prober) close() {
	p.mu.Lock()
	p.stopped = true
	p.queue = nil
	p.changed.Broadcast()
	p.mu.Unlock()
	p.Conn.Close()
	<-p.done
}

// masks tells whether the prober's frames are to be masked (§5.1).
func (p *prober) masks() bool { return p.side == ServerSide }

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

// noteClose: after a Close frame of ours the endpoint is to say no more.
func (p *prober) noteClose(frames []wireFrame) {
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
	p.noteClose(frames)
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
	if limit := uint64(p.limit); n > limit || n+uint64(len(p.msgData)) > limit {
		return f, failed("announced a frame of %d bytes, in a message larger than any that was sent", n)
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(p.br, key[:]); err != nil {
			return f, cutShort(err)
		}
	}
	var err error
	if f.payload, err = readPayload(p.br, int(n)); err != nil {
		return f, cutShort(err)
	}
	if masked {
		xorKey(f.payload, key[:])
	}
	return f, nil
}

// readPayload grows with the bytes that come: a length is only a claim.
func readPayload(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, 64<<10))
	got, err := io.ReadFull(r, b)
	for err == nil && got < n {
		b = append(b, make([]byte, min(n-got, got))...)
		var more int
		more, err = io.ReadFull(r, b[got:])
		got += more
	}
	return b, err
}

func cutShort(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failed("stopped in the middle of a frame")
	}
	return failed("the stream ended in the middle of a frame: %v", err)
}

// next is what the endpoint did next. An error is a rule that it broke.
func (p *prober) next() (rxEvent, error) {
	for n := 0; ; n++ {
		if n == maxFrames {
			return rxEvent{}, failed("sent %d pings and fragments without end", n)
		}
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
		if err == nil && done && e.kind == "ping" {
			p.answer(e.data)
			continue
		}
		if err != nil || done {
			return e, err
		}
	}
}

// answer answers a ping: an endpoint may ask whether we are there (§5.5.2). One that
// asks faster than it reads gets no more answers.
func (p *prober) answer(ping []byte) {
	p.mu.Lock()
	waiting := len(p.queue)
	p.mu.Unlock()
	if !p.sentClose && waiting < 16 {
		p.sendAll([]wireFrame{txPong(string(ping))})
	}
}

// take judges a frame and adds it to its message.
func (p *prober) take(f rawFrame) (e rxEvent, done bool, err error) {
	if f.rsv&3 != 0 || f.rsv == 4 && (p.in == nil || f.op == 0 || f.op >= 8) {
		return e, false, failed("sent RSV %03b with opcode %d (§5.2, RFC 7692 §6)", f.rsv, f.op)
	}
	if !known(f.op) {
		return e, false, failed("sent opcode %d (§5.2)", f.op)
	}
	if f.op >= 8 {
		e, err = p.takeControl(f)
		return e, true, err
	}
	if (f.op == 0) != (p.msgOp != 0) {
		return e, false, failed("sent opcode %d with a message of opcode %d under way (§5.4)", f.op, p.msgOp)
	}
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

func (p *prober) takeControl(f rawFrame) (rxEvent, error) {
	if !f.fin || len(f.payload) > 125 {
		return rxEvent{}, failed("sent a control frame with FIN = %t and %d bytes (§5.5)", f.fin, len(f.payload))
	}
	switch f.op {
	case 9:
		return rxEvent{kind: "ping", data: f.payload}, nil
	case 10:
		return rxEvent{kind: "pong", data: f.payload}, nil
	}
	return p.takeClose(f.payload)
}

func (p *prober) takeClose(b []byte) (rxEvent, error) {
	e := rxEvent{kind: "close"}
	if len(b) == 0 {
		return e, nil
	}
	if len(b) == 1 {
		return e, failed("sent a Close frame of one byte (§5.5.1)")
	}
	e.code, e.data = int(binary.BigEndian.Uint16(b)), b[2:]
	p.closedBy = e.code
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
