package mode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"socketsrv/wsproto"
)

// dumpAnswers makes the answers of -reply and -exec.
type dumpAnswers struct {
	text    string
	fixed   bool // -reply was given
	program answerProgram
	asked   atomic.Int64   // messages that wait for their answer
	late    sync.WaitGroup // goroutines that nobody reads for meanwhile
}

func (a *dumpAnswers) answerFlags(fs *Flags) {
	fs.Func("reply", "TEXT", "answer each message so; {} is the message", func(s string) error {
		if !utf8.ValidString(s) {
			return errors.New("want UTF-8")
		}
		a.text, a.fixed = s, true
		return nil
	})
	a.program.flags(fs, "answer each by what CMD prints, the message on its stdin")
	fs.Check(func() error {
		if a.fixed && a.program.given() {
			return Usagef("-reply and -exec exclude each other")
		}
		return nil
	})
}

func (a *dumpAnswers) answers() bool { return a.fixed || a.program.given() }

// answerTo returns the answer to m, of the same type if it can be, at most limit
// bytes. What fails is shown. It waits for its turn where many programs run.
func (d *dump) answerTo(ctx context.Context, c *dumpClient, m wsproto.Message, limit int64) (wsproto.Message, bool) {
	if d.text == "{}" {
		return m, true
	}
	if d.fixed {
		m.Data = bytes.ReplaceAll([]byte(d.text), []byte("{}"), m.Data)
		return m, true
	}
	d.asked.Add(1)
	defer d.asked.Add(-1)
	out, err := d.program.run(ctx, m.Data, limit, "SOCKETSRV_OPCODE="+opcodeName(m.Opcode), "SOCKETSRV_PROTO="+c.proto,
		"SOCKETSRV_CLIENT="+strconv.Itoa(c.number), "SOCKETSRV_PEER="+c.peer)
	if err != nil {
		if ctx.Err() == nil {
			d.refuse(fmt.Sprintf("%v: not answered: %s", c, errorText(err)))
		}
		return m, false
	}
	if m.Opcode == wsproto.OpText && !utf8.Valid(out) {
		m.Opcode = wsproto.OpBinary
	}
	m.Data = out
	return m, len(out) > 0
}
