package wsproto

import (
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"sync"
)

// permessageDeflate is the extension's name (RFC 7692 §7).
const permessageDeflate = "permessage-deflate"

// DeflateParams is what was agreed for permessage-deflate (RFC 7692 §7.1): the
// parameters of the server's answer. Of the two sides it names the one that
// compresses.
type DeflateParams struct {
	ServerNoContextTakeover bool // no message refers to one before it
	ClientNoContextTakeover bool
	ServerMaxWindowBits     int // references reach 1<<bits bytes back at most: 8 to 15, 0 means 15
	ClientMaxWindowBits     int
}

// String returns p as an element of Sec-WebSocket-Extensions.
func (p DeflateParams) String() string {
	var room [160]byte
	b := append(room[:0], permessageDeflate...)
	if p.ServerNoContextTakeover {
		b = append(b, "; server_no_context_takeover"...)
	}
	if p.ClientNoContextTakeover {
		b = append(b, "; client_no_context_takeover"...)
	}
	if p.ServerMaxWindowBits != 0 {
		b = strconv.AppendInt(append(b, "; server_max_window_bits="...), int64(p.ServerMaxWindowBits), 10)
	}
	if p.ClientMaxWindowBits != 0 {
		b = strconv.AppendInt(append(b, "; client_max_window_bits="...), int64(p.ClientMaxWindowBits), 10)
	}
	return string(b)
}

// ErrDeflateParams says that the parameters of a permessage-deflate element are
// not such as RFC 7692 §7.1 allows.
var ErrDeflateParams = errors.New("invalid parameters of permessage-deflate")

// parseDeflate reads the parameters of an offer or an answer. Only an offer may
// have client_max_window_bits without a value, which then is 15: what the client
// can do is not limited.
func parseDeflate(params []Param, offer bool) (p DeflateParams, err error) {
	var seen [4]bool
	for _, q := range params {
		var which int
		var ok bool
		switch q.Name {
		case "server_no_context_takeover":
			which, p.ServerNoContextTakeover, ok = 0, true, !q.HasValue
		case "client_no_context_takeover":
			which, p.ClientNoContextTakeover, ok = 1, true, !q.HasValue
		case "server_max_window_bits":
			which = 2
			p.ServerMaxWindowBits, ok = windowBits(q.Value)
		case "client_max_window_bits":
			which = 3
			if p.ClientMaxWindowBits, ok = windowBits(q.Value); offer && !q.HasValue {
				p.ClientMaxWindowBits, ok = 15, true
			}
		}
		if !ok || seen[which] {
			return p, fmt.Errorf("%w: %.100q", ErrDeflateParams, q.Name+"="+q.Value)
		}
		seen[which] = true
	}
	return p, nil
}

// windowBits reads 8 to 15, without a leading zero.
func windowBits(s string) (int, bool) {
	switch {
	case len(s) == 1 && s[0] >= '8' && s[0] <= '9':
		return int(s[0] - '0'), true
	case len(s) == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '5':
		return 10 + int(s[1]-'0'), true
	}
	return 0, false
}

// acceptDeflate chooses the first of a client's offers that can be accepted, nil
// if none, and what to answer to it (RFC 7692 §5.1). Without takeover the answer asks
// both sides to keep no context, which a server may though it was not offered. The
// error wraps ErrExtensionList.
func acceptDeflate(lines []string, takeover bool) (*DeflateParams, error) {
	var chosen *DeflateParams
	s := extensionScanner{lines: lines}
	for s.next() {
		if chosen != nil || s.e.Name != permessageDeflate {
			continue
		}
		p, err := parseDeflate(s.e.Params, true)
		if err != nil {
			continue
		}
		if !takeover {
			p.ServerNoContextTakeover, p.ClientNoContextTakeover = true, true
		}
		if p.ClientMaxWindowBits == 15 {
			p.ClientMaxWindowBits = 0 // nothing to ask for
		}
		chosen = &p
	}
	return chosen, s.err
}

// offerDeflate is what a client offers: any window the server wants, whatever it
// wants for its own direction, and without takeover none in ours. That we will
// keep no context needs no consent (RFC 7692 §7.1.1.2).
func offerDeflate(takeover bool) string {
	if takeover {
		return permessageDeflate + "; client_max_window_bits"
	}
	return permessageDeflate + "; client_no_context_takeover; client_max_window_bits"
}

// ErrExtension says that the server agreed to an extension that was not offered,
// or more than once.
var ErrExtension = errors.New("the server chose an extension that was not offered")

// agreeDeflate judges the server's answer to offerDeflate: nil if it declined.
func agreeDeflate(lines []string, offered, takeover bool) (*DeflateParams, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	list, err := ParseExtensions(lines...)
	if err != nil {
		return nil, err
	}
	if !offered || len(list) > 1 || list[0].Name != permessageDeflate {
		return nil, fmt.Errorf("%w: %.200q", ErrExtension, AppendExtensions(nil, list))
	}
	p, err := parseDeflate(list[0].Params, false)
	if err != nil {
		return nil, err
	}
	if !takeover {
		p.ClientNoContextTakeover = true
	}
	return &p, nil
}

// CheckDeflate judges a server's answer to what a client offered, for who passes both
// on: the values of all lines of Sec-WebSocket-Extensions. It tells whether they agree
// on permessage-deflate. The error says that the answer is malformed, or not what an
// element of the offer allows (RFC 7692 §7.1).
func CheckDeflate(offered, answered []string) (agreed bool, err error) {
	p, err := agreeDeflate(answered, len(offered) > 0, true)
	if p == nil || err != nil {
		return false, err
	}
	offers, err := ParseExtensions(offered...)
	for _, o := range offers {
		q, err := parseDeflate(o.Params, true)
		if err == nil && o.Name == permessageDeflate && (p.ClientMaxWindowBits == 0 || q.ClientMaxWindowBits != 0) &&
			(q.ServerMaxWindowBits == 0 || p.ServerMaxWindowBits != 0 && p.ServerMaxWindowBits <= q.ServerMaxWindowBits) &&
			(p.ServerNoContextTakeover || !q.ServerNoContextTakeover) {
			return true, nil
		}
	}
	return false, cmp.Or(err, fmt.Errorf("%w: %v", ErrExtension, p))
}

// A Deflate is the state of permessage-deflate on one connection. Without
// context takeover that is next to nothing. Compress and Decompress may run at the
// same time, each in one goroutine.
type Deflate struct {
	send, receive flow

	writer  *deflater // where what was sent is kept in view; nil until then
	history []byte    // the end of what was received, if that is kept in view
}

// A flow is one direction: how far back references reach, and whether into the
// messages before.
type flow struct {
	window   int // bytes
	takeover bool
}

const maxWindow = 1 << 15 // bytes; RFC 1951 §2

func newDeflate(role Role, p DeflateParams) *Deflate {
	server := flow{windowSize(p.ServerMaxWindowBits), !p.ServerNoContextTakeover}
	client := flow{windowSize(p.ClientMaxWindowBits), !p.ClientNoContextTakeover}
	if role == RoleServer {
		return &Deflate{send: server, receive: client}
	}
	return &Deflate{send: client, receive: server}
}

func windowSize(bits int) int {
	switch {
	case bits == 0:
		return maxWindow
	case bits < 8 || bits > 15:
		panic(fmt.Sprintf("wsproto: DeflateParams: a window of %d bits", bits))
	}
	return 1 << bits
}

// wants reports whether a message of n bytes is worth compressing. Where no
// message helps the next, flate.BestSpeed does not look for repetitions in fewer
// than 128 bytes, and saves hardly anything.
func (d *Deflate) wants(n int) bool {
	if d.keepsWriter() {
		return n >= 16
	}
	return n >= 128
}

// keepsWriter reports whether our messages refer to those before. flate.Writer
// knows only the largest window; with a smaller one no context is kept, which is
// always allowed.
func (d *Deflate) keepsWriter() bool { return d.send.takeover && d.send.window == maxWindow }

// contextLevel is for writers that keep their context. flate.BestSpeed loses it
// with every short message; the next level keeps it, and as it is never reset,
// which costs most, it is no slower.
const contextLevel = 2

// syncTail ends what Flush writes, and is left out of every message (RFC 7692
// §7.2.1). finalBlock, an empty block with BFINAL, lets the reader end after it.
const (
	syncTail   = "\x00\x00\xff\xff"
	finalBlock = "\x01\x00\x00\xff\xff"
	wholeTail  = syncTail + finalBlock
)

// A deflater is a flate.Writer, 1.2 MiB, and where it writes to.
type deflater struct {
	w   *flate.Writer
	out []byte
}

var deflaters = sync.Pool{New: func() any { return newDeflater(flate.BestSpeed) }}

func newDeflater(level int) *deflater {
	z := new(deflater)
	z.w, _ = flate.NewWriter(z, level) // the level is valid
	return z
}

// Write appends to out.
func (z *deflater) Write(p []byte) (int, error) {
	z.out = append(grow(z.out, len(p)), p...)
	return len(p), nil
}

// Compress appends the payload of the compressed message for p, which has at
// least one byte (RFC 7692 §7.2.1). The error is always nil.
func (d *Deflate) Compress(dst, p []byte) ([]byte, error) {
	z := d.writer
	switch {
	case z != nil:
	case d.keepsWriter():
		z = newDeflater(contextLevel)
		d.writer = z
	default:
		z = deflaters.Get().(*deflater)
		defer deflaters.Put(z)
		z.w.Reset(z)
	}
	z.out = dst
	if d.send.window == maxWindow {
		z.w.Write(p)
		z.w.Flush()
	} else {
		d.pieces(z, p)
	}
	dst = z.out[:len(z.out)-len(syncTail)]
	z.out = nil
	return dst, nil
}

// pieces compresses p so that no reference reaches further back than the window:
// in pieces of its length, which do not refer to each other.
func (d *Deflate) pieces(z *deflater, p []byte) {
	for {
		n := min(len(p), d.send.window)
		z.w.Write(p[:n])
		z.w.Flush()
		if p = p[n:]; len(p) == 0 {
			return
		}
		z.w.Reset(z)
	}
}

// Decompress appends the message that the payload p of a compressed one stands
// for. The capacity of dst beyond its length is used first, and grows with what
// comes out, never by what is announced. The error is a *ProtocolError: 1009
// wrapping ErrMessageTooBig as soon as the message would have more than limit bytes
// (negative: no limit), 1007 wrapping ErrCompressedData for anything that is not
// whole and valid (RFC 7692 §7.2.2); the connection must be failed then. A payload
// of no bytes is taken for an empty message.
func (d *Deflate) Decompress(dst, p []byte, limit int64) ([]byte, error) {
	if len(p) == 0 {
		return dst, nil
	}
	z := inflaters.Get().(*inflater)
	defer inflaters.Put(z)
	out, err := z.inflate(dst, payload{p: p, tail: wholeTail}, d.window(), limit)
	if err == nil && z.src.odd && !z.endsWith(p, len(out)-len(dst), d.window()) {
		err = errCut
	}
	at := min(z.src.at, len(p))
	z.src = payload{}
	switch {
	case err == ErrMessageTooBig:
		return out[:len(dst)], brokeAt(StatusMessageTooBig, fmt.Errorf("%w of %d bytes", err, limit), p, at)
	case err != nil:
		return out[:len(dst)], brokeAt(StatusInvalidFramePayloadData, fmt.Errorf("%w: %w", ErrCompressedData, err), p, at)
	case d.receive.takeover:
		d.remember(out[len(dst):])
	}
	return out, nil
}

// window returns what the next message may refer to.
func (d *Deflate) window() []byte { return d.history[max(0, len(d.history)-d.receive.window):] }

// remember adds b to the history. There is some room beyond the window, so that
// it is not moved for every message.
func (d *Deflate) remember(b []byte) {
	window, most := d.receive.window, d.receive.window+d.receive.window/4
	b = b[max(0, len(b)-window):]
	need := len(d.history) + len(b)
	if need > most {
		keep := d.history[len(d.history)-(window-len(b)):]
		d.history = d.history[:copy(d.history, keep)]
		need = window
	}
	if need > cap(d.history) {
		size := min(max(need, 2*cap(d.history)), most)
		d.history = append(make([]byte, 0, size), d.history...)
	}
	d.history = append(d.history, b...)
}

var (
	errCut     = errors.New("cut short")
	errStreams = fmt.Errorf("more than %d blocks with BFINAL in a message", maxStreams)
)

// An inflater is a flate reader, 40 KiB, and what it reads.
type inflater struct {
	r interface {
		io.Reader
		flate.Resetter
	}
	src payload
}

// maxStreams bounds how often a block with BFINAL may end the stream of DEFLATE
// within one message: each time costs as much as many bytes do.
const maxStreams = 4096

var inflaters = sync.Pool{New: func() any {
	z := new(inflater)
	z.r = flate.NewReader(&z.src).(interface {
		io.Reader
		flate.Resetter
	})
	return z
}}

// inflate appends what src stands for after the bytes in dict.
func (z *inflater) inflate(dst []byte, src payload, dict []byte, limit int64) ([]byte, error) {
	start := len(dst)
	most := math.MaxInt // bytes in dst: one too many tells
	if limit >= 0 && limit < int64(most-start) {
		most = start + int(limit) + 1
	}
	z.src = src
	z.r.Reset(&z.src, dict)
	for streams := 1; ; {
		if len(dst) == most {
			return dst, ErrMessageTooBig
		}
		dst = grow(dst, 1)
		n, err := z.r.Read(dst[len(dst):min(cap(dst), most)])
		dst = dst[:len(dst)+n]
		switch {
		case err == nil || len(dst) == most:
		case err == io.ErrUnexpectedEOF:
			return dst, errCut
		case err != io.EOF:
			return dst, err
		case z.src.ended():
			return dst, nil
		case streams == maxStreams:
			return dst, errStreams
		default:
			// A block with BFINAL ends a stream, not a message: the next byte
			// begins another block, with all before in view (RFC 7692 §7.2.3.4).
			streams++
			z.r.Reset(&z.src, lastWindow(dict, dst[start:]))
		}
	}
}

// endsWith reports whether p, of which n bytes came out, is whole, however flate
// reads: then the tail adds nothing.
func (z *inflater) endsWith(p []byte, n int, dict []byte) bool {
	out, _ := z.inflate(nil, payload{p: p}, dict, int64(n))
	return len(out) == n
}

// lastWindow returns the end of a and b together.
func lastWindow(a, b []byte) []byte {
	if len(a) == 0 || len(b) >= maxWindow {
		return b[max(0, len(b)-maxWindow):]
	}
	return append(a[max(0, len(a)+len(b)-maxWindow):len(a):len(a)], b...)
}

// grow makes room for n more bytes in b, at least doubling: to a power of two, as
// the pools of blocks like it.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	size := max(len(b)+n, 2*cap(b), 512)
	if size <= 1<<30 {
		size = 1 << bits.Len(uint(size-1))
	}
	return append(make([]byte, 0, size), b...)
}

// A payload is what flate reads: a message's payload, and a tail. It is an
// io.ByteReader, which makes flate take no more than it needs.
//
// The tail must be read as the lengths of an empty block. A message that was cut
// can end as well, its last block taking the tail for codes or data. flate asks for
// codes byte by byte and for lengths and data at once, lengths always after a byte;
// whoever asks for the tail in another way makes it odd.
type payload struct {
	p    []byte
	tail string
	at   int  // in p, then in the tail
	one  bool // the last thing asked for was a byte
	odd  bool

	more func() ([]byte, error) // what follows p, nil for nothing; nil if p is all
}

// ended reports whether a stream of DEFLATE that ends here is the last one: the
// tail's, or one that ends with p, whose sender left out the 00 that should follow
// (RFC 7692 §7.2.3.4), so that the tail makes no block.
func (s *payload) ended() bool {
	s.refill()
	return s.at == len(s.p) || s.at == len(s.p)+len(s.tail)
}

// refill gets more of a payload that comes in pieces when p has been read.
func (s *payload) refill() error {
	for s.more != nil && s.at == len(s.p) {
		p, err := s.more()
		if err != nil {
			return err
		}
		if p == nil {
			s.more = nil
			break
		}
		s.p, s.at = p, 0
	}
	return nil
}

func (s *payload) ReadByte() (byte, error) {
	s.one = true
	if err := s.refill(); err != nil {
		return 0, err
	}
	at := s.at
	if at < len(s.p) {
		s.at++
		return s.p[at], nil
	}
	if at -= len(s.p); at == len(s.tail) {
		return 0, io.EOF
	}
	s.odd = s.odd || at < len(syncTail)
	s.at++
	return s.tail[at], nil
}

func (s *payload) Read(b []byte) (n int, err error) {
	if err := s.refill(); err != nil {
		return 0, err
	}
	if s.at < len(s.p) {
		n = copy(b, s.p[s.at:])
	} else {
		at := s.at - len(s.p)
		if n = copy(b, s.tail[at:]); n == 0 {
			return 0, io.EOF
		}
		s.odd = s.odd || !s.one
	}
	s.at += n
	s.one = false
	return n, nil
}
