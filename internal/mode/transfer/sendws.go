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
	answers, ended := make(chan wiremsg.Answer, maxPeers), make(chan error, 1)
	go func() { ended <- readAnswers(conn, answers) }()
	for _, f := range files {
		w := &wireFile{send: s, ctx: ctx, answers: answers, ended: ended}
		if err = w.one(conn, format, f); err != nil {
			err = fmt.Errorf("%s: %w", cli.Field(f.name), err)
			break
		}
		con.Status("sent %s: %d bytes, %s, djb2 %s", cli.Field(f.name), f.size, cli.Plural(int64(s.receivers), "receiver"), w.hash)
		if s.Output.JSON {
			con.Emit(fileEvent(event.Out, f.name, f.size, f.sum()))
		}
	}
	conn.Close(wsproto.StatusNormalClosure, "")
	return err
}

// readAnswers reads a connection to its end; answers beyond what anybody waits for
// are lost.
func readAnswers(conn *wsproto.Conn, answers chan<- wiremsg.Answer) error {
	for {
		m, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		fields, _, err := wiremsg.Parse(m.Data)
		if err != nil {
			continue // not of a transfer
		}
		if a, ok := fields.Answer(); ok {
			select {
			case answers <- a:
			default:
			}
		}
	}
}

// A wireFile is a file on its way as one message.
type wireFile struct {
	*send
	ctx     context.Context
	answers <-chan wiremsg.Answer
	ended   <-chan error
	hash    string
}

func (w *wireFile) one(conn *wsproto.Conn, format wiremsg.Format, f *source) error {
	if f.size > w.MaxMessage {
		return cli.Fail(cli.ExitTooLarge, errors.New("larger than -max-message"))
	}
	content := make([]byte, f.size)
	err := f.read(content, 0)
	if err == nil {
		err = f.unchanged()
	}
	if err != nil {
		return err
	}
	w.hash = wiremsg.HashText(content)
	id := newTransferID().String() + newTransferID().String()
	message := wiremsg.AppendFile(nil, format, wiremsg.File{ID: id, Name: f.name, Content: content, Hash: w.hash})
	if int64(len(message)) > w.MaxMessage {
		return cli.Fail(cli.ExitTooLarge, fmt.Errorf("as a message it has %d bytes, more than -max-message", len(message)))
	}
	if err := conn.WriteMessage(wsproto.OpBinary, message); err != nil {
		return w.writeFailed(err)
	}
	return w.wait(id)
}

// writeFailed prefers what the server said to the error of a write.
func (w *wireFile) writeFailed(err error) error {
	select {
	case end := <-w.ended:
		return lost(end)
	case <-time.After(dial.CutTime):
		return err
	}
}

// wait waits until all receivers have answered. An error has no id: it is for us
// if it comes while we wait.
func (w *wireFile) wait(id string) error {
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
