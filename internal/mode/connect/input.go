package connect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/talk"
	"socketsrv/wsproto"
)

// What is to be sent comes one at a time: the messages of -m, or else stdin, as lines
// or as bytes.

// input returns the Next of a one-shot client; nil: it only listens.
func (r *run) input(stdin io.Reader) func() (talk.Outgoing, error) {
	switch {
	case r.resend:
		return nil // it goes out at each connection
	case len(r.messages) > 0:
		return r.eachMessage()
	case r.noInput || r.answer.Answers():
		return nil
	case r.target.Stream() && r.given("eol") && !r.binary:
		return r.linesOfStream(stdin)
	case r.binary, r.target.Stream(), r.target.Datagrams() && r.given("framing"):
		return r.pieces(stdin)
	}
	return talk.Lines(stdin, r.MaxMessage, func(line []byte) (talk.Outgoing, error) {
		if r.target.WebSocket() && !utf8.Valid(line) {
			return talk.Outgoing{}, errors.New("it is not UTF-8: -b sends bytes as binary messages")
		}
		return talk.Outgoing{Message: r.dressed(wsproto.Message{Opcode: wsproto.OpText, Data: line}, true)}, nil
	})
}

func (r *run) eachMessage() func() (talk.Outgoing, error) {
	rest := r.messages
	return func() (talk.Outgoing, error) {
		if len(rest) == 0 {
			return talk.Outgoing{}, io.EOF
		}
		m := rest[0]
		rest = rest[1:]
		return r.outgoing(m), nil
	}
}

func (r *run) outgoing(m outgoing) talk.Outgoing {
	return talk.Outgoing{Message: r.dressed(wsproto.Message{Opcode: m.op, Data: m.data}, m.file == "")}
}

// pieces sends bytes as they come.
func (r *run) pieces(stdin io.Reader) func() (talk.Outgoing, error) {
	buf := make([]byte, 64<<10)
	if r.target.Datagrams() {
		buf = buf[:cli.MaxDatagram:cli.MaxDatagram]
	}
	return func() (talk.Outgoing, error) {
		n, err := stdin.Read(buf)
		for n == 0 && err == nil {
			n, err = stdin.Read(buf)
		}
		if n > 0 { // an error comes again
			return talk.Outgoing{Message: r.dressed(wsproto.Message{Opcode: wsproto.OpBinary, Data: bytes.Clone(buf[:n])}, false)}, nil
		}
		return talk.Outgoing{}, ofStdin(err)
	}
}

// ofStdin makes err a failure to read stdin, but for its end.
func ofStdin(err error) error {
	if err == io.EOF {
		return err
	}
	return cli.Fail(cli.ExitRead, fmt.Errorf("stdin: %w", err))
}

// linesOfStream sends bytes with their ends of lines made what -eol says.
func (r *run) linesOfStream(stdin io.Reader) func() (talk.Outgoing, error) {
	br := bufio.NewReaderSize(stdin, 64<<10)
	return func() (talk.Outgoing, error) {
		line, err := br.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			return talk.Outgoing{}, ofStdin(err)
		}
		text, ended := bytes.CutSuffix(line, []byte{'\n'})
		if text = bytes.Clone(text); ended {
			text = append(bytes.TrimSuffix(text, []byte{'\r'}), talk.LineEnds[r.eol]...)
		}
		return talk.Outgoing{Message: wsproto.Message{Data: text}}, nil
	}
}

// dressed makes m what goes to the target: messages of a WebSocket alone have types,
// and a line gets an end where nothing else ends it.
func (r *run) dressed(m wsproto.Message, line bool) wsproto.Message {
	if r.target.WebSocket() {
		return m
	}
	if line && m.Opcode == wsproto.OpText {
		eol := r.target.LineEnd(talk.LineEnds[r.eol])
		if eol != "" && eol != "\n" { // for those that were pasted, too
			text := bytes.ReplaceAll(m.Data, []byte("\r\n"), []byte{'\n'})
			m.Data = bytes.ReplaceAll(text, []byte{'\n'}, []byte("\r\n"))
		}
		m.Data = append(slices.Clip(m.Data), eol...)
	}
	m.Opcode = 0
	return m
}
