package dump

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/talk"
	"socketsrv/internal/term"
)

const (
	promptText = "socketsrv> "
	historyOf  = "dump" // the file with the lines typed before
)

// A prompt is where commands come from: a person at a terminal, or a file.
type prompt struct {
	lines   lineSource
	history *term.History // nil: not at a terminal
	person  bool          // the end of the input is the end of the program
}

// A lineSource is a source of lines; *term.Editor is one.
type lineSource interface {
	ReadLine() (string, error)
	Close() error // ReadLine returns
}

// scannedLines are those of a stdin that is no file.
type scannedLines struct {
	*bufio.Scanner
	from io.Reader
}

func scanLines(from io.Reader) scannedLines {
	s := bufio.NewScanner(from)
	s.Buffer(nil, term.MaxLine)
	return scannedLines{s, from}
}

func (s scannedLines) ReadLine() (string, error) {
	if s.Scan() {
		return s.Text(), nil
	}
	return "", cmp.Or(s.Err(), io.EOF)
}

// Close ends ReadLine where the reader can be closed.
func (s scannedLines) Close() error {
	if c, ok := s.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// openPrompt begins to read commands. Where stdin and stdout are a terminal the
// environment it returns writes above the line being typed.
func (d *dump) openPrompt(env *cli.Env) (*prompt, *cli.Env, error) {
	stdin, isFile := env.Stdin.(*os.File)
	switch {
	case !isFile:
		return &prompt{lines: scanLines(env.Stdin)}, env, nil
	case env.TTYIn == nil || env.TTYOut == nil || d.batch:
		lines, err := term.NewEditor(stdin, nil, term.Options{})
		if err != nil { // there is no stdin
			return &prompt{lines: scanLines(strings.NewReader(""))}, env, nil
		}
		return &prompt{lines: lines, person: env.TTYIn != nil}, env, nil
	}
	history := new(term.History)
	unread := history.Load(term.HistoryFile(historyOf))
	editor, err := term.NewEditor(env.TTYIn, env.TTYOut, term.Options{Prompt: promptText, History: history, Complete: d.complete})
	if err != nil {
		return nil, nil, err
	}
	if unread != nil {
		fmt.Fprintf(editor, "%s: %s\n", cli.Program, cli.ErrorLine(unread))
	}
	return &prompt{lines: editor, history: history, person: true}, talk.Besides(env, editor), nil
}

// close makes ReadLine return and gives the terminal back. It may be called twice.
func (p *prompt) close() {
	p.lines.Close()
	if p.history != nil {
		p.history.Save() // a history that cannot be kept is no reason to fail
	}
}

// converse carries out commands until they end, and calls quit if that is the end
// of the program.
func (d *dump) converse(ctx context.Context, quit context.CancelCauseFunc) {
	defer d.stopTalking()
	if d.batch {
		select {
		case <-d.met:
		case <-ctx.Done():
			return
		}
	}
	for ctx.Err() == nil {
		line, err := d.prompt.lines.ReadLine()
		switch {
		case err == nil:
			if d.command(line) {
				quit(nil)
				return
			}
		case errors.Is(err, term.ErrTooLong):
			d.notDone(err)
		case errors.Is(err, os.ErrClosed) || ctx.Err() != nil:
			return
		default:
			var failure error
			if err != io.EOF && err != term.ErrInterrupted {
				failure = cli.Fail(cli.ExitRead, fmt.Errorf("stdin: %w", err))
			}
			if failure != nil && !d.batch && !d.prompt.person { // it goes on
				d.con.Error(failure)
			}
			d.endOfCommands(ctx, err, func() { quit(failure) })
			return
		}
	}
}

func (d *dump) endOfCommands(ctx context.Context, err error, quit func()) {
	switch {
	case d.batch && err != term.ErrInterrupted:
		d.talk.Do(func() { close(d.talked) })
		d.drain(ctx)
		quit()
	case d.batch, d.prompt.person:
		quit()
	}
}

// stopTalking lets those clients go that only waited for commands.
func (d *dump) stopTalking() {
	d.talking.Store(false)
	d.talk.Do(func() { close(d.talked) })
	if d.tcp != nil {
		d.tcp.releaseHalfOpen()
	}
}

const (
	drainSilence = time.Second      // without a byte from anybody -batch ends
	drainTime    = 30 * time.Second // and after that anyway
)

// drain lets replies come until all clients are gone or silent; what -count and
// -expect ask for is waited for.
func (d *dump) drain(ctx context.Context) {
	late := time.NewTimer(drainTime)
	defer late.Stop()
	if d.goal.given() {
		late.Stop()
	}
	silence := time.NewTicker(drainSilence)
	defer silence.Stop()
	for seen := d.moved.Load(); d.mayHear(); {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			d.con.Status("clients still send after %v", drainTime)
			return
		case <-d.left:
		case <-silence.C:
			moved := d.moved.Load()
			if moved == seen && d.asked.Load() == 0 && !d.waits() && !d.goal.given() {
				return
			}
			seen = moved
		}
	}
}

// mayHear says whether a client is there that can still send.
func (d *dump) mayHear() bool {
	for _, p := range d.protocols {
		for _, t := range p.all() {
			if !t.about().halfOpen.Load() {
				return true
			}
		}
	}
	return false
}
