package transfer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/files"
	wiremsg "socketsrv/internal/wire"
	"socketsrv/wsproto"
)

const (
	// wireLinger is how long ws receive stays for another file after it has
	// answered to one, and so do we.
	wireLinger  = time.Second
	maxWireJobs = 16
)

// takeWire takes a message of IXWebSocket's ws, of either generation: a whole file;
// false if b is none. What is not a file is passed over, not answered: there may be
// anything on a broadcast server.
func (g *receiving) takeWire(b []byte) bool {
	m, format, err := wiremsg.Parse(b)
	if err != nil || g.code.key != nil {
		return false
	}
	f, ok := m.File()
	if !ok {
		_, answer := m.Answer() // of another receiver
		return answer
	}
	if g.wireJobs >= maxWireJobs {
		g.con.Error(fmt.Errorf("%s: ignored: too many files at once", cli.Field(f.Name)))
		return true
	}
	answer := wiremsg.Answer{ID: f.ID, Name: f.Name}
	err = g.saveWire(&f)
	if err != nil {
		answer = wiremsg.Answer{Err: told(err)}
		err = g.failed(f.Name, err)
	}
	g.answerWire(wiremsg.AppendAnswer(nil, format, answer), err)
	return true
}

//lint:ignore ST1005 the other side looks for these very words
var errWireHash = errors.New(wiremsg.HashMismatch)

// saveWire saves a file. Its sender gives the name as it was typed, with folders.
func (g *receiving) saveWire(f *wiremsg.File) error {
	name := f.Name[strings.LastIndexByte(f.Name, '/')+1:]
	switch err := files.CheckTarget(g.root, name, g.overwrite); {
	case !f.Intact():
		return errWireHash
	case err != nil:
		return fmt.Errorf("refused: %w", err)
	case int64(len(f.Content)) > g.maxSize:
		return errTooBig
	}
	if wait, err := g.contest(name); wait || err != nil {
		return errUnderWay // no waiting: it does not come again
	}
	began := g.con.Now()
	part, err := files.NewPart(g.root, name)
	if err != nil {
		return cli.Fail(cli.ExitWrite, err)
	}
	_, err = part.Write(f.Content)
	if err == nil {
		err = part.Publish(g.overwrite)
	}
	if err != nil {
		part.Discard(false)
		if errors.Is(err, files.ErrFileExists) {
			return err
		}
		return cli.Fail(cli.ExitWrite, err)
	}
	g.saved(name, part.Size, part.Sum(), g.con.Now().Sub(began))
	return nil
}

// answerWire answers after the time of -ack-delay: ws send only sees an answer
// that comes when it has begun to wait, half a second after it sent. The program ends,
// and that with err, if no other file comes soon, and none is coming in our format.
func (g *receiving) answerWire(answer []byte, err error) {
	g.wireJobs++
	g.wireFiles++
	number := g.wireFiles
	g.tasks.Go(func() {
		g.sleep(g.ackDelay)
		g.mu.Lock()
		g.wireJobs--
		if g.conn != nil {
			g.conn.WriteMessage(wsproto.OpBinary, answer) // its reader finds out about errors
		}
		g.mu.Unlock()
		g.sleep(wireLinger)
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.wireFiles == number && g.batch == "" {
			g.rest(err)
		}
	})
}

// sleep waits, until the program ends at the most.
func (g *receiving) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.quit:
	}
}
