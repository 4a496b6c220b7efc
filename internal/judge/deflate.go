package judge

import (
	"bytes"
	"cmp"
	"compress/flate"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// This file is the judge's permessage-deflate (RFC 7692): an inflater that refuses
// what reaches behind the agreed window, a deflater that keeps to any window, and one
// that is told each symbol.

// Tables of RFC 1951 §3.2.5.
var (
	lengthBase = [...]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthMore = [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [...]int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distMore   = [...]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// inflater inflates messages one after another.
type inflater struct {
	window int  // no distance may be greater
	keep   bool // context takeover
	limit  int  // of a message; 0: largest
	hist   []byte

	in   []byte
	acc  uint64
	nacc uint
	out  []byte
	err  error // the first; from then on all is 0
}

// message inflates one message (RFC 7692 §7.2.2).
func (z *inflater) message(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	z.in, z.acc, z.nacc, z.err = append(bytes.Clone(b), 0, 0, 0xff, 0xff), 0, 0, nil
	if !z.keep {
		z.hist = nil
	}
	from := len(z.hist)
	z.out = append([]byte(nil), z.hist...)
	for z.err == nil && (len(z.in) > 0 || z.nacc >= 8) {
		z.block()
	}
	if z.err != nil {
		return nil, z.err
	}
	z.hist = bytes.Clone(z.out[max(0, len(z.out)-z.window):])
	return z.out[from:], nil
}

// refuse keeps the first fault.
func (z *inflater) refuse(format string, a ...any) {
	if z.err == nil {
		z.err = fmt.Errorf(format, a...)
	}
}

func (z *inflater) fill(n uint) bool {
	for z.nacc < n && len(z.in) > 0 {
		z.acc |= uint64(z.in[0]) << z.nacc
		z.in = z.in[1:]
		z.nacc += 8
	}
	return z.nacc >= n
}

func (z *inflater) take(n uint) int {
	if !z.fill(n) {
		z.refuse("the stream ends in the middle of a block")
	}
	if z.err != nil {
		return 0
	}
	v := int(z.acc & (1<<n - 1))
	z.acc >>= n
	z.nacc -= n
	return v
}

func (z *inflater) align() {
	z.acc >>= z.nacc % 8
	z.nacc -= z.nacc % 8
}

func (z *inflater) block() {
	head := z.take(3)
	switch head >> 1 {
	case 0:
		z.stored()
	case 1:
		z.symbols(fixedLiterals, fixedDistances)
	case 2:
		z.symbols(z.tables())
	default:
		z.refuse("a block of type 3")
	}
	if head&1 != 0 {
		z.align() // what follows a final block begins on a byte (§7.2.3.4)
	}
}

func (z *inflater) stored() {
	z.align()
	n, inv := z.take(16), z.take(16)
	if n^inv != 0xffff {
		z.refuse("a stored block with LEN %04x, NLEN %04x", n, inv)
	}
	for ; n > 0 && z.err == nil; n-- {
		z.out = append(z.out, byte(z.take(8)))
	}
}

func (z *inflater) symbols(lit, dist *huffTable) {
	for z.err == nil {
		sym := lit.decode(z)
		switch {
		case sym < 256:
			z.out = append(z.out, byte(sym))
		case sym == 256:
			return
		case sym > 285:
			z.refuse("length symbol %d", sym)
		default:
			z.match(sym-257, dist)
		}
		if len(z.out) > cmp.Or(z.limit, largest)+z.window {
			z.refuse("more than any message that was sent")
		}
	}
}

func (z *inflater) match(sym int, dist *huffTable) {
	n := z.take(lengthMore[sym]) + lengthBase[sym]
	d := dist.decode(z)
	if d > 29 {
		z.refuse("distance symbol %d", d)
		return
	}
	back := z.take(distMore[d]) + distBase[d]
	if back > z.window {
		z.refuse("a distance of %d with a window of %d (RFC 7692 §7.1.2)", back, z.window)
	}
	if back > len(z.out) {
		z.refuse("a distance of %d with %d bytes before it (context takeover %t)", back, len(z.out), z.keep)
	}
	for ; n > 0 && z.err == nil; n-- {
		z.out = append(z.out, z.out[len(z.out)-back])
	}
}

// tables reads the codes of a dynamic block (RFC 1951 §3.2.7).
func (z *inflater) tables() (lit, dist *huffTable) {
	head := z.take(14)
	nlit, ndist, ncode := head&31+257, head>>5&31+1, head>>10+4
	var lens [320 + 138]byte
	order := [...]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	for i := range ncode {
		lens[order[i]] = byte(z.take(3))
	}
	code := z.newTable(lens[:19])
	clear(lens[:])
	for i := 0; i < nlit+ndist && z.err == nil; {
		sym, value, repeat := code.decode(z), byte(0), 1
		switch {
		case sym < 16:
			value = byte(sym)
		case sym == 16 && i == 0:
			z.refuse("a repeat of nothing")
		case sym == 16:
			value, repeat = lens[i-1], z.take(2)+3
		case sym == 17:
			repeat = z.take(3) + 3
		default:
			repeat = z.take(7) + 11
		}
		for ; repeat > 0; repeat-- {
			lens[i] = value
			i++
		}
		if i > nlit+ndist {
			z.refuse("code lengths beyond the last")
		}
	}
	return z.newTable(lens[:nlit]), z.newTable(lens[nlit : nlit+ndist])
}

// huffTable maps the next width bits to a symbol and the length of its code.
type huffTable struct {
	width uint
	entry []uint16 // symbol<<4 | length; 0: no code
}

func (z *inflater) newTable(lens []byte) *huffTable {
	var count [16]int
	t := &huffTable{}
	for _, n := range lens {
		count[n]++
		t.width = max(t.width, uint(n))
	}
	count[0] = 0
	var next [17]int
	for n := 1; n < 16; n++ {
		next[n+1] = (next[n] + count[n]) << 1
		if next[n]+count[n] > 1<<n {
			z.refuse("more codes than there are")
			return t
		}
	}
	t.entry = make([]uint16, 1<<t.width)
	for sym, n := range lens {
		if n == 0 {
			continue
		}
		code := bits.Reverse16(uint16(next[n])) >> (16 - n)
		next[n]++
		for i := int(code); i < len(t.entry); i += 1 << n {
			t.entry[i] = uint16(sym)<<4 | uint16(n)
		}
	}
	return t
}

func (t *huffTable) decode(z *inflater) int {
	if z.err != nil {
		return 0
	}
	z.fill(t.width)
	e := t.entry[z.acc&(1<<t.width-1)]
	n := uint(e & 15)
	if n == 0 || n > z.nacc {
		z.refuse("the stream ends in the middle of a block")
		return 0
	}
	z.acc >>= n
	z.nacc -= n
	return int(e >> 4)
}

var fixedLiterals, fixedDistances = fixedTables()

func fixedTables() (lit, dist *huffTable) {
	var l [288]byte
	for i := range l {
		switch {
		case i < 144 || i >= 280:
			l[i] = 8
		case i < 256:
			l[i] = 9
		default:
			l[i] = 7
		}
	}
	lit = new(inflater).newTable(l[:])
	dist = new(inflater).newTable(bytes.Repeat([]byte{5}, 30))
	return lit, dist
}

// bitWriter builds deflate streams symbol by symbol with the fixed codes.
type bitWriter struct {
	b    []byte
	acc  uint64
	nacc uint
}

func (w *bitWriter) put(v, n uint) {
	w.acc |= uint64(v) << w.nacc
	for w.nacc += n; w.nacc >= 8; w.nacc -= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
}

func (w *bitWriter) code(v, n uint) { w.put(uint(bits.Reverse16(uint16(v)))>>(16-n), n) }

func (w *bitWriter) align() {
	if w.nacc > 0 {
		w.put(0, 8-w.nacc)
	}
}

// open begins a block with the fixed codes.
func (w *bitWriter) open(final uint) { w.put(final|1<<1, 3) }

func (w *bitWriter) symbol(s uint) {
	switch {
	case s < 144:
		w.code(0x30+s, 8)
	case s < 256:
		w.code(0x190+s-144, 9)
	case s < 280:
		w.code(s-256, 7)
	default:
		w.code(0xc0+s-280, 8)
	}
}

func (w *bitWriter) literals(s string) {
	for i := range len(s) {
		w.symbol(uint(s[i]))
	}
}

// match copies n bytes, 3 to 258, from dist bytes back.
func (w *bitWriter) match(n, dist int) {
	l := len(lengthBase) - 1
	for lengthBase[l] > n {
		l--
	}
	d := len(distBase) - 1
	for distBase[d] > dist {
		d--
	}
	w.symbol(uint(257 + l))
	w.put(uint(n-lengthBase[l]), lengthMore[l])
	w.code(uint(d), 5)
	w.put(uint(dist-distBase[d]), distMore[d])
}

func (w *bitWriter) shut() { w.symbol(256) }

// stored appends a stored block.
func (w *bitWriter) stored(final uint, s string) {
	w.put(final, 3)
	w.align()
	n := uint(len(s))
	w.b = append(w.b, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
	w.b = append(w.b, s...)
}

// message ends the stream as RFC 7692 §7.2.1 asks: an empty stored block whose
// last four bytes are left out.
func (w *bitWriter) message() []byte {
	w.put(0, 3)
	w.align()
	return w.b
}

// deflater deflates messages one after another. In a window smaller than that of
// compress/flate it refers to nothing.
type deflater struct {
	window int
	keep   bool // context takeover
	buf    bytes.Buffer
	fw     *flate.Writer
}

func (z *deflater) message(b []byte) []byte {
	z.buf.Reset()
	switch {
	case z.fw != nil && !z.keep:
		z.fw.Reset(&z.buf)
	case z.fw == nil && z.window < 32768:
		z.fw, _ = flate.NewWriter(&z.buf, flate.HuffmanOnly)
	case z.fw == nil:
		z.fw, _ = flate.NewWriter(&z.buf, flate.BestSpeed)
	}
	_, _ = z.fw.Write(b)
	_ = z.fw.Flush()
	return bytes.Clone(z.buf.Bytes()[:z.buf.Len()-4])
}

// pmd is what the prober asks of the way the judged endpoint compresses:
// as client it asks for server_no_context_takeover and server_max_window_bits,
// as server for client_no_context_takeover and client_max_window_bits.
type pmd struct {
	noContext bool
	bits      int  // 0: not asked for
	bare      bool // offer nothing but the name: the server is not to answer client_…
}

func (o pmd) offer() string {
	s := "permessage-deflate; client_no_context_takeover; client_max_window_bits"
	if o.bare {
		s = "permessage-deflate"
	}
	return s + o.of(ServerSide)
}

// of is the parameters about what that side sends.
func (o pmd) of(side Side) (s string) {
	if o.noContext {
		s = "; " + side.String() + "_no_context_takeover"
	}
	if o.bits > 0 {
		s += "; " + side.String() + "_max_window_bits=" + strconv.Itoa(o.bits)
	}
	return s
}

func offerAll(list []pmd) string {
	var s []string
	for _, o := range list {
		s = append(s, o.offer())
	}
	return strings.Join(s, ", ")
}

// deflateParams is a permessage-deflate element taken apart; a parameter without
// a value has the value "".
type deflateParams map[string]string

func (d deflateParams) has(name string) bool { _, ok := d[name]; return ok }

func (d deflateParams) bits(name string) int {
	if n, err := strconv.Atoi(d[name]); err == nil {
		return n
	}
	return 15
}

// parseDeflate takes the elements of an extension list that are
// permessage-deflate; an error names what RFC 7692 §7.1 forbids in them.
func parseDeflate(list string) ([]deflateParams, error) {
	var all []deflateParams
	for element := range strings.SplitSeq(list, ",") {
		params := strings.Split(element, ";")
		if name := strings.TrimSpace(params[0]); name != "permessage-deflate" {
			if name != "" {
				return all, fmt.Errorf("extension %q", name)
			}
			continue
		}
		d := deflateParams{}
		for _, param := range params[1:] {
			name, value, hasValue := strings.Cut(strings.TrimSpace(param), "=")
			if d.has(name) {
				return all, fmt.Errorf("parameter %q twice", name)
			}
			d[name] = value
			if err := checkParam(name, value, hasValue); err != nil {
				return all, err
			}
		}
		all = append(all, d)
	}
	return all, nil
}

func checkParam(name, value string, hasValue bool) error {
	switch name {
	case "server_no_context_takeover", "client_no_context_takeover":
		if hasValue {
			return fmt.Errorf("%s with the value %q", name, value)
		}
	case "server_max_window_bits", "client_max_window_bits":
		n, err := strconv.Atoi(value)
		if !hasValue && name == "client_max_window_bits" {
			return nil
		}
		if err != nil || n < 8 || n > 15 || value != strconv.Itoa(n) {
			return fmt.Errorf("%s with the value %q", name, value)
		}
	default:
		return fmt.Errorf("parameter %q", name)
	}
	return nil
}

// fits tells whether a server may give this answer to the offer (RFC 7692 §7.1).
func (answer deflateParams) fits(offer deflateParams) bool {
	if answer.has("client_max_window_bits") && (!offer.has("client_max_window_bits") || answer["client_max_window_bits"] == "" ||
		answer.bits("client_max_window_bits") > offer.bits("client_max_window_bits")) {
		return false
	}
	if offer.has("server_max_window_bits") && (!answer.has("server_max_window_bits") || answer.bits("server_max_window_bits") > offer.bits("server_max_window_bits")) {
		return false
	}
	return !offer.has("server_no_context_takeover") || answer.has("server_no_context_takeover")
}

// usable are the elements of an offer that a server can accept; the others it has
// to decline (RFC 7692 §7.1).
func usable(offer string) []deflateParams {
	var all []deflateParams
	for element := range strings.SplitSeq(offer, ",") {
		if d, err := parseDeflate(element); err == nil {
			all = append(all, d...)
		}
	}
	return all
}

// adopt sets the prober's compression to what was agreed.
func (p *prober) adopt(d deflateParams) {
	in, out := p.side.String(), (1 - p.side).String()
	p.in = &inflater{window: 1 << d.bits(in+"_max_window_bits"), keep: !d.has(in + "_no_context_takeover"), limit: p.limit}
	p.out = &deflater{window: 1 << d.bits(out+"_max_window_bits"), keep: !d.has(out + "_no_context_takeover")}
}

// agreed judges what the judged server answered to an offer. In the catalogue's cases
// an answer that does not fit is only remarked on, as Autobahn does not look at it.
func (p *prober) agreed(answer, offer string) error {
	offers := usable(offer)
	if answer == "" {
		if len(offers) > 0 {
			return graded(Unimplemented, OK, "permessage-deflate declined")
		}
		return nil
	}
	if len(offers) == 0 {
		return failed("answered the extension %q to %q (RFC 6455 §4.2.2, RFC 7692 §7.1)", answer, offer)
	}
	all, err := parseDeflate(answer)
	if err != nil || len(all) != 1 {
		return failed("answered the extensions %q: %v (RFC 7692 §7.1)", answer, err)
	}
	if !slices.ContainsFunc(offers, all[0].fits) {
		f := graded(Failed, Failed, "answered %q to %q (RFC 7692 §7.1)", answer, offer)
		if !p.catalogue {
			return f
		}
		f.grade, f.close, p.doubt = OK, OK, f
	}
	p.adopt(all[0])
	return nil
}

// accept answers the offer of the judged client with the first of the
// prober's wishes that it allows.
func (p *prober) accept(offer string, wanted []pmd) (string, error) {
	if len(wanted) == 0 {
		return "", nil
	}
	offers, err := parseDeflate(offer)
	if err != nil {
		return "", failed("offered the extensions %q: %v (RFC 7692 §7.1)", offer, err)
	}
	for _, o := range wanted {
		for _, d := range offers {
			answer := o.answer(d)
			if all, err := parseDeflate(answer); err == nil && all[0].fits(d) {
				p.adopt(all[0])
				return answer, nil
			}
		}
	}
	return "", graded(Unimplemented, OK, "the offer %q does not allow what is asked for", offer)
}

// answer is what the prober as server answers to an offer to have its wish.
func (o pmd) answer(offer deflateParams) string {
	s := "permessage-deflate" + o.of(ClientSide)
	if offer.has("server_no_context_takeover") {
		s += "; server_no_context_takeover"
	}
	if offer.has("server_max_window_bits") {
		s += "; server_max_window_bits=" + offer["server_max_window_bits"]
	}
	return s
}

// insist answers with these extensions whatever the client offered, and notes
// whether it has to refuse them.
func (p *prober) insist(offer, answer string) string {
	all, err := parseDeflate(answer)
	if err == nil && len(all) == 1 && slices.ContainsFunc(usable(offer), all[0].fits) {
		p.adopt(all[0])
	} else {
		p.refusable = true
	}
	return answer
}
