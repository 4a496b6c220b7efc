package event

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format says how AppendText shows payloads.
type Format uint8

const (
	FormatAuto Format = iota // text where it is text, else a hex dump
	FormatText               // escaped text always
	FormatHex                // a hex dump always
	FormatRaw                // the payloads received and nothing else: no lines, no escapes
)

var formatNames = [...]string{"auto", "text", "hex", "raw"}

// String returns the name ParseFormat takes.
func (f Format) String() string { return formatNames[f] }

// ParseFormat takes auto, text, hex or raw.
func ParseFormat(s string) (Format, error) {
	for i, name := range formatNames {
		if s == name {
			return Format(i), nil
		}
	}
	return 0, fmt.Errorf("unknown format %s: want auto, text, hex or raw", Field(s))
}

// DefaultMaxShow is how many bytes of a payload a line of text shows where
// Style.MaxShow is 0.
const DefaultMaxShow = 64 << 10

// TimeLayout is how the time before a line looks.
const TimeLayout = "2006-01-02 15:04:05.000000 "

// Style says how lines of text look. The zero value is plain text that is safe
// on a terminal.
type Style struct {
	Format  Format
	Time    bool  // begin each line with the local date and time
	Color   bool  // colour what stands before a payload
	MaxShow int64 // bytes of a payload shown; 0: DefaultMaxShow for text, all for JSON; negative: all
	Raw     bool  // payloads as they came, unescaped, in the line; Format is not looked at unless FormatRaw

	Untouched bool // by AppendPayload with FormatAuto: payloads of UTF-8 as they came, for pipes and files
}

// cut returns what is shown of payload: limit bytes at most, and no part of a
// character at the end of them.
func (st *Style) cut(payload []byte, limit int64) []byte {
	if limit < 0 || int64(len(payload)) <= limit {
		return payload
	}
	return payload[:cutLen(payload, int(limit))]
}

// AppendText appends e as lines in the manner of SocketSrv, each ended by a
// line feed:
//
//	< new TCP connection #0: 127.0.0.1:4567
//	< received payload on TCP connection #0: hello\n
//	> sent message to WebSocket connection #1: hi
//	< end of TCP connection #0
//	X reason
//	X reason, at byte 5: the bytes that broke a rule
//
// A payload is one line however long, or the lines of AppendHexDump below a
// line that tells its size; where not all of it is shown the number of bytes
// left out follows, … (+N bytes).
func AppendText(dst []byte, e *Event, st *Style) []byte {
	if st.Format == FormatRaw {
		if e.Event == Message && e.Dir != Out {
			dst = append(dst, e.Payload...)
		}
		return dst
	}
	if st.Time && !e.Time.IsZero() {
		dst = e.Time.AppendFormat(dst, TimeLayout)
	}
	if st.Color {
		dst = append(dst, colorOf(e)...)
	}
	switch e.Event {
	case Open:
		dst = appendOpen(dst, e)
	case Message, Ping, Pong:
		dst = appendMessageHead(dst, e)
	case Close, End:
		dst = appendClose(dst, e)
	case Error:
		dst = AppendField(append(dst, "X "...), e.Err)
	default:
		dst = appendOther(dst, e)
	}
	if e.Offset > 0 {
		dst = strconv.AppendInt(append(dst, ", at byte "...), e.Offset, 10)
	}
	if st.Color {
		dst = append(dst, "\x1b[0m"...)
	}
	if e.Event == Message || e.size() > 0 {
		return appendPayload(append(dst, ": "...), e, st)
	}
	return append(dst, '\n')
}

// AppendPayload appends e's payload alone, for what shows messages without saying
// whose they are, and a line feed. With st.Untouched what is UTF-8 comes as it is,
// whatever its opcode, and gets no second line feed if it has no opcode and ends in
// one; what is not is a hex dump, or with st.Raw as it is, without a line feed.
func AppendPayload(dst []byte, e *Event, st *Style) []byte {
	if st.Format == FormatRaw {
		return append(dst, e.Payload...)
	}
	text := utf8.Valid(e.Payload)
	if !st.Untouched || st.Format != FormatAuto || !text && !st.Raw || st.MaxShow > 0 && e.size() > st.MaxShow {
		return appendPayload(dst, e, st)
	}
	dst = append(dst, e.Payload...)
	if !text || e.Opcode == "" && bytes.HasSuffix(e.Payload, []byte{'\n'}) {
		return dst
	}
	return append(dst, '\n')
}

// AppendHead appends head, the start line and fields of an HTTP message, a line
// each behind prefix, escaped and cut at 4 KiB; the empty line at its end is left
// out.
func AppendHead(dst []byte, prefix, head string) []byte {
	for line := range strings.Lines(head) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			dst = append(AppendCut(append(dst, prefix...), line, 4<<10), '\n')
		}
	}
	return dst
}

// colorOf returns the sequence that begins e's colour: red for what failed,
// cyan for what came, yellow for what went, green for the rest.
func colorOf(e *Event) string {
	switch {
	case e.Event == Error || e.Err != "":
		return "\x1b[31m"
	case !e.isMessage():
		return "\x1b[32m"
	case e.Dir == Out:
		return "\x1b[33m"
	}
	return "\x1b[36m"
}

// appendOpen appends "< new TCP connection #0: PEER", with the path of one that
// has one.
func appendOpen(dst []byte, e *Event) []byte {
	dst = appendMark(dst, e)
	dst = appendClient(append(dst, "new "...), e)
	if e.Peer != "" || e.Path != "" {
		dst = AppendField(append(dst, ": "...), e.Peer)
	}
	if e.Path != "" {
		dst = AppendField(append(dst, ':'), e.Path)
	}
	return dst
}

// appendMessageHead appends "< received payload on TCP connection #0".
func appendMessageHead(dst []byte, e *Event) []byte {
	dst = appendMark(dst, e)
	w := wordsOf(e.Proto)
	if e.Event != Message {
		w.verb, w.unit = "received ", e.Event
	}
	if e.Dir == Out {
		w.verb, w.from = "sent ", " to "
	}
	dst = append(dst, w.verb...)
	if e.Opcode == "binary" {
		dst = append(dst, "binary "...)
	}
	dst = append(dst, w.unit...)
	dst = append(dst, w.from...)
	return appendClient(dst, e)
}

// appendClose appends "< end of WebSocket connection #0: code 1000 reason bye",
// or "< TCP connection #0 cut: ERROR" where it was not a clean end.
func appendClose(dst []byte, e *Event) []byte {
	dst = appendMark(dst, e)
	switch {
	case e.Err != "":
		dst = append(appendClient(dst, e), " cut"...)
	case e.Dir == Out && e.Event == Close:
		dst = appendClient(append(dst, "closed "...), e)
	default:
		dst = appendClient(append(dst, "end of "...), e)
	}
	sep := ": "
	if e.Code != 0 {
		dst = strconv.AppendInt(append(dst, ": code "...), int64(e.Code), 10)
		sep = ", "
	}
	if e.Reason != "" {
		dst = AppendField(append(append(dst, sep...), "reason "...), e.Reason)
		sep = ", "
	}
	if e.Err != "" {
		dst = AppendField(append(dst, sep...), e.Err)
	}
	return dst
}

// appendOther appends what has no line of its own: what happened, then whatever
// is known of it.
func appendOther(dst []byte, e *Event) []byte {
	if e.Event == Listening {
		dst = AppendField(append(dst, "listening on "...), e.Proto)
		return AppendField(append(dst, ' '), e.Addr)
	}
	dst = AppendField(dst, e.Event)
	if e.Client >= 0 {
		dst = appendClient(append(dst, ' '), e)
	}
	sep := ": "
	for _, s := range [...]string{e.Peer, e.Path, e.Addr, e.Reason, e.Err} {
		if s != "" {
			dst = AppendField(append(dst, sep...), s)
			sep = ", "
		}
	}
	for i := range e.Fields {
		d := &e.Fields[i]
		dst = AppendField(append(dst, sep...), d.Key)
		dst = append(dst, ' ')
		if d.kind >= kindText {
			dst = AppendField(dst, d.text)
		} else {
			dst = appendNumber(dst, d)
		}
		sep = ", "
	}
	return dst
}

// words are what SocketSrv says of the clients of a protocol and what they send.
type words struct{ name, kind, verb, unit, from string }

func wordsOf(proto string) words {
	w := words{proto, "connection", "received ", "payload", " on "}
	switch proto {
	case "udp":
		return words{"UDP", "session", "received ", "datagram", " from "}
	case "ws", "wss":
		return words{"WebSocket", "connection", "Received ", "message", " on "}
	case "tcp":
		w.name = "TCP"
	case "tls":
		w.name = "TLS"
	case "unix":
		w.name = "Unix"
	case "http", "https":
		w.name = "HTTP"
	}
	return w
}

// appendClient appends "TCP connection #0", or without number, or with its name.
func appendClient(dst []byte, e *Event) []byte {
	w := wordsOf(e.Proto)
	dst = AppendField(dst, w.name)
	if w.name != "" {
		dst = append(dst, ' ')
	}
	dst = append(dst, w.kind...)
	switch {
	case e.Client >= 0:
		dst = strconv.AppendInt(append(dst, " #"...), int64(e.Client), 10)
	case e.ID != "":
		dst = AppendField(append(dst, ' '), e.ID)
	}
	return dst
}

func appendMark(dst []byte, e *Event) []byte {
	if e.Dir == Out {
		return append(dst, "> "...)
	}
	return append(dst, "< "...)
}

// appendPayload appends what follows the head of a message, and ends the line.
func appendPayload(dst []byte, e *Event, st *Style) []byte {
	limit := st.MaxShow
	if limit == 0 {
		limit = DefaultMaxShow
	}
	p := st.cut(e.Payload, limit)
	hex := !st.Raw && (st.Format == FormatHex || st.Format == FormatAuto && !isText(e, p))
	switch {
	case st.Raw:
		dst = append(dst, p...)
	case hex:
		dst = append(appendBytes(dst, e.size()), '\n')
		dst = AppendHexDump(dst, p)
	default:
		dst = AppendEscaped(dst, p)
	}
	rest := e.size() - int64(len(p))
	if hex && rest == 0 {
		return dst
	}
	if rest > 0 {
		dst = append(appendBytes(append(dst, "… (+"...), rest), ')')
	}
	return append(dst, '\n')
}

func appendBytes(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(dst, n, 10)
	if n == 1 {
		return append(dst, " byte"...)
	}
	return append(dst, " bytes"...)
}

// isText tells whether p, which is what is shown of e's payload, reads as text.
func isText(e *Event, p []byte) bool {
	switch {
	case e.Opcode == "binary":
		return false
	case !e.isMessage(): // evidence, of which nobody knows what it is
		return IsPrintable(p)
	case e.Opcode != "" || e.Proto == "udp":
		return utf8.Valid(p)
	}
	return utf8.Valid(inner(p))
}

// inner returns p without the parts of characters at its ends: a stream is read
// in pieces that do not care where characters end.
func inner(p []byte) []byte {
	n := 0
	for n < len(p) && n < utf8.UTFMax-1 && !utf8.RuneStart(p[n]) {
		n++
	}
	if rest := p[n:]; len(rest) > 0 {
		if rest = rest[:len(rest)-len(Partial(rest))]; len(rest) > 0 {
			return rest
		}
	}
	return p
}
