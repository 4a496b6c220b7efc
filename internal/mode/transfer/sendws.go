package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	wiremsg "socketsrv/internal/wire"
	"socketsrv/wsproto"
)

// sendWire sends the files in a format of IXWebSocket's ws: each is one message,
// and is answered by one. There is no offer: who is not there misses it.
func (s *send) sendWire(ctx context.Context, con *cli.Console, conn *wsproto.Conn, files []*source) error {
	format, err := wiremsg.ParseFormat(s.wire)
	if err != nil {
		return err // the flag has the same names
	}
	w := &wireSending{send: s, ctx: ctx, conn: conn, answers: make(chan wiremsg.Answer, maxPeers), ended: make(chan error, 1)}
	go func() { w.ended <- w.read() }()
	defer conn.Close(wsproto.StatusNormalClosure, "")
	for _, f := range files {
		hash, err := w.one(format, f)
		if err != nil {
			return fmt.Errorf("%s: %w", cli.Field(f.name), err)
		}
		con.Status("sent %s: %d bytes, %s, djb2 %s", cli.Field(f.name), f.size, cli.Plural(int64(s.receivers), "receiver"), hash)
		if s.Output.JSON {
			con.Emit(fileEvent(event.Out, f.name, f.size, f.sum()))
		}
	}
	return nil
}

// A wireSending is a connection over which files go as one message each.
type wireSending struct {
	*send
	ctx     context.Context
	conn    *wsproto.Conn
	answers chan wiremsg.Answer
	ended   chan error
}

// read reads the connection to its end; answers beyond what anybody waits for are lost.
func (w *wireSending) read() error {
	for {
		m, err := w.conn.ReadMessage()
		if err != nil {
			return err
		}
		fields, _, err := wiremsg.Parse(m.Data)
		if err != nil {
			continue // not of a transfer
		}
		if a, ok := fields.Answer(); ok {
			select {
			case w.answers <- a:
			default:
			}
		}
	}
}

// one sends a file and returns its hash.
func (w *wireSending) one(format wiremsg.Format, f *source) (hash string, err error) {
	if f.size > w.MaxMessage {
		return "", cli.Fail(cli.ExitTooLarge, errors.New("larger than -max-message"))
	}
	content := make([]byte, f.size)
	if err = f.read(content, 0); err == nil {
		err = f.unchanged()
	}
	if err != nil {
		return "", err
	}
	hash = wiremsg.HashText(content)
	id := newTransferID().String() + newTransferID().String()
	message := wiremsg.AppendFile(nil, format, wiremsg.File{ID: id, Name: f.name, Content: content, Hash: hash})
	if int64(len(message)) > w.MaxMessage {
		return "", cli.Fail(cli.ExitTooLarge, fmt.Errorf("as a message it has %d bytes, more than -max-message", len(message)))
	}
	if err = w.conn.WriteMessage(wsproto.OpBinary, message); err == nil {
		return hash, w.wait(id)
	}
	select {
	case end := <-w.ended: // what the server said tells more than the error of a write
		return "", lost(end)
	case <-time.After(dial.CutTime):
		return "", err
	}
}

// wait waits until all receivers have answered. An error has no id: it is for us
// if it comes while we wait.
func (w *wireSending) wait(id string) error {
	late := time.NewTimer(w.timeout)
	defer late.Stop()
	for have := 0; have < w.receivers; {
		select {
		case a := <-w.answers:
			switch {
			case a.Err != "" && (a.ID == "" || a.ID == id):
				return fmt.Errorf("a receiver says: %s", cli.Field(a.Err))
			case a.Err == "" && a.ID == id:
				have++
			}
		case err := <-w.ended:
			return lost(err)
		case <-late.C:
			return cli.Fail(cli.ExitTimeout, fmt.Errorf("%d of %d receivers have answered within %v", have, w.receivers, w.timeout))
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
	return nil
}
