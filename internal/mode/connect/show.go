package connect

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// A printer puts received messages on stdout, each a line. To a pipe text goes
// untouched, and binary too where -b or -raw ask for it, then without an end of
// line; else it is escaped. On a terminal all is escaped, or a hex dump where it
// is no text. What a stream without framing brings to a pipe is untouched.
type printer struct {
	con      *cli.Console
	proto    string
	terminal bool
	json     bool
	binary   bool // binary to a pipe untouched
	stream   bool // no messages, but bytes
	style    event.Style
	limit    int64  // bytes shown of a message; negative: all
	prefix   string // of each line
}

func (c *connect) printer(env *cli.Env, con *cli.Console, t dial.Target) *printer {
	p := &printer{con: con, proto: t.Scheme, terminal: env.TTYOut != nil, json: c.Output.JSON,
		binary: c.binary, stream: t.Stream(), style: con.Style(), limit: -1}
	if p.terminal || c.cutShow {
		p.limit = p.style.MaxShow
	}
	return p
}

func (p *printer) received(m wsproto.Message) {
	if p.json {
		p.con.Emit(&event.Event{Event: event.Message, Proto: p.proto, Client: -1, Dir: event.In, Opcode: cli.OpcodeName(m.Opcode), Payload: m.Data})
		return
	}
	b := make([]byte, 0, len(m.Data)+64)
	if p.style.Format != event.FormatRaw {
		if p.style.Time {
			b = p.con.Now().AppendFormat(b, "2006-01-02 15:04:05.000000 ")
		}
		b = append(b, p.prefix...)
	}
	p.con.Write(p.append(b, m))
}

func (p *printer) sent(m wsproto.Message) {
	if p.json {
		p.con.Emit(&event.Event{Event: event.Message, Proto: p.proto, Client: -1, Dir: event.Out, Opcode: cli.OpcodeName(m.Opcode), Payload: m.Data})
	}
}

// append appends what is printed of m.
func (p *printer) append(b []byte, m wsproto.Message) []byte {
	data := m.Data
	if p.style.Format != event.FormatRaw {
		data = p.cut(data)
	}
	rest := len(m.Data) - len(data)
	text := p.isText(m.Opcode, data)
	auto := p.style.Format == event.FormatAuto
	switch {
	case p.style.Format == event.FormatRaw:
		return append(b, data...)
	case p.style.Format == event.FormatHex, auto && p.terminal && !text && !p.style.Raw:
		b = fmt.Appendf(b, "%d bytes%s\n", len(m.Data), leftOut(rest))
		return event.AppendHexDump(b, data)
	case p.style.Raw, auto && !p.terminal && (text || p.stream || p.binary):
		b = append(b, data...)
		if p.stream || !text && m.Opcode != 0 || m.Opcode == 0 && bytes.HasSuffix(data, []byte{'\n'}) {
			return b
		}
	case p.stream:
		return appendStream(b, data)
	default:
		b = event.AppendEscaped(b, data)
	}
	return append(append(b, leftOut(rest)...), '\n')
}

// cut returns what is shown of data: limit bytes, but no part of a character at
// their end.
func (p *printer) cut(data []byte) []byte {
	if p.limit < 0 || int64(len(data)) <= p.limit {
		return data
	}
	n := int(p.limit)
	for n > max(int(p.limit)-utf8.UTFMax, 0) && !utf8.RuneStart(data[n]) {
		n--
	}
	return data[:n]
}

func leftOut(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("… (+%d bytes)", n)
}

func (p *printer) isText(op wsproto.Opcode, data []byte) bool {
	switch op {
	case wsproto.OpText:
		return true
	case wsproto.OpBinary:
		return false
	}
	return p.stream || utf8.Valid(data)
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

// gunzipped returns m as it was before gzip, at most limit bytes; one that is not
// compressed comes back as it is. Of a binary message that turns out as UTF-8 a
// text is made.
func gunzipped(m wsproto.Message, limit int64) (wsproto.Message, error) {
	if len(m.Data) < 2 || m.Data[0] != 0x1f || m.Data[1] != 0x8b {
		return m, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(m.Data))
	if err != nil {
		return m, fmt.Errorf("gunzip: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, limit+1))
	switch {
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
