package connect

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// A printer puts received messages on stdout, each a line. To a pipe goes what is
// UTF-8, of whatever type, untouched; other messages as a hex dump; with -b bytes and
// nothing else. On a terminal all is escaped, or a hex dump where it is no text. What a
// stream without framing brings to a pipe is untouched.
type printer struct {
	con      *cli.Console
	proto    string
	terminal bool
	json     bool
	verbose  bool
	binary   bool // bytes to a pipe
	stream   bool // no messages, but bytes
	style    event.Style
	limit    int64  // bytes shown of a message; negative: all
	prefix   string // of each message, to tell it from what was typed
}

func (r *run) printer(env *cli.Env, con *cli.Console) *printer {
	p := &printer{con: con, proto: r.target.Scheme, terminal: env.TTYOut != nil, json: r.Output.JSON, verbose: r.Output.Verbose,
		binary: r.binary, stream: r.target.Stream(), style: con.Style(), limit: -1}
	if p.terminal || r.given("max-show") {
		p.limit = p.style.MaxShow
	}
	switch {
	case !r.Person || !p.terminal || p.stream:
	case p.style.Color:
		p.prefix = "\x1b[36m<\x1b[0m "
	default:
		p.prefix = "< "
	}
	return p
}

func (p *printer) received(m wsproto.Message) {
	if p.con.Event(p.event(event.In, m)); p.json {
		return
	}
	b := make([]byte, 0, len(m.Data)+64)
	if p.style.Format != event.FormatRaw {
		if p.style.Time {
			b = p.con.Now().AppendFormat(b, event.TimeLayout)
		}
		b = append(b, p.prefix...)
	}
	p.con.Write(p.append(b, m))
}

// sent shows what goes to the peer: with -v on stderr, as a terminal would show it.
func (p *printer) sent(m wsproto.Message) {
	p.con.Event(p.event(event.Out, m))
	if p.verbose && !p.json {
		shown := *p
		shown.terminal, shown.limit, shown.style.Raw = true, p.style.MaxShow, false
		if shown.style.Format == event.FormatRaw {
			shown.style.Format = event.FormatAuto
		}
		for line := range bytes.Lines(shown.append(nil, m)) {
			p.con.Line("> " + string(bytes.TrimSuffix(line, []byte{'\n'})))
		}
	}
}

func (p *printer) event(dir string, m wsproto.Message) event.Event {
	return event.Event{Event: event.Message, Proto: p.proto, Client: -1, Dir: dir, Opcode: cli.OpcodeName(m.Opcode), Payload: m.Data}
}

// append appends what is printed of m.
func (p *printer) append(b []byte, m wsproto.Message) []byte {
	st := p.style
	st.MaxShow, st.Untouched = p.limit, !p.terminal || st.Raw
	auto := st.Format == event.FormatAuto
	switch {
	case auto && !p.terminal && p.binary:
		st.Format = event.FormatRaw
	case auto && p.stream && st.Untouched:
		return append(b, m.Data...)
	case p.stream && (auto || st.Format == event.FormatText):
		return appendStream(b, m.Data)
	}
	e := p.event(event.In, m)
	return event.AppendPayload(b, &e, &st)
}

// appendStream appends bytes escaped, but with their ends of lines.
func appendStream(b, data []byte) []byte {
	for line := range bytes.Lines(data) {
		text, ended := bytes.CutSuffix(line, []byte{'\n'})
		if ended {
			text = bytes.TrimSuffix(text, []byte{'\r'})
		}
		b = event.AppendEscaped(b, text)
		if ended {
			b = append(b, '\n')
		}
	}
	return b
}

// unpacked returns m as it was before gzip, zlib or deflate, at most limit bytes; one
// that is none of them comes back as it is. Of a binary message that turns out as
// UTF-8 a text is made.
func unpacked(m wsproto.Message, limit int64) (wsproto.Message, error) {
	r, sure, err := unpacker(m)
	if r == nil {
		return m, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil && !sure:
		return m, nil
	case err != nil:
		return m, fmt.Errorf("gunzip: %w", err)
	case int64(len(plain)) > limit:
		return m, fmt.Errorf("gunzip: more than %d bytes come out", limit)
	}
	if m.Data = plain; m.Opcode == wsproto.OpBinary && utf8.Valid(plain) {
		m.Opcode = wsproto.OpText
	}
	return m, nil
}

// unpacker reads what is packed in m; nil: it is not. sure says that m begins as such
// things do, which deflate alone (RFC 1951) has no sign for.
func unpacker(m wsproto.Message) (r io.Reader, sure bool, err error) {
	p := m.Data
	switch packed := bytes.NewReader(p); {
	case len(p) < 2 || utf8.Valid(p):
		return nil, false, nil
	case p[0] == 0x1f && p[1] == 0x8b: // RFC 1952 2.3.1
		r, err = gzip.NewReader(packed)
	case p[0]&0x0f == 8 && (int(p[0])<<8|int(p[1]))%31 == 0: // RFC 1950 2.2
		r, err = zlib.NewReader(packed)
	case m.Opcode == wsproto.OpBinary:
		return flate.NewReader(packed), false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("gunzip: %w", err)
	}
	return r, true, nil
}
