package files

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/term"
)

// A Progress is the line at the bottom of a terminal that says how far a file is.
// Its methods may be called from any goroutine; they do nothing where there is no
// terminal. What else is written to env.Stderr goes above the line.
type Progress struct {
	Env *cli.Env // what the program writes to

	mu    sync.Mutex
	Out   io.Writer // nil: no terminal
	Now   func() time.Time
	Width func() int
	drawn bool
	name  string
	size  int64
	done  int64
	first int64 // what was there before
	began time.Time
	shown time.Time
}

const barPeriod = 100 * time.Millisecond

func NewProgress(env *cli.Env, output *cli.Output) *Progress {
	here := *env
	p := &Progress{Env: &here, Now: env.Now}
	terminal := (env.TTYIn != nil || env.TTYOut != nil) && term.IsTerminal(os.Stderr)
	if terminal && !output.Quiet && env.Getenv("TERM") != "dumb" {
		p.Out = env.Stderr
		p.Width = func() int { return term.Width(os.Stderr) }
		here.Stderr = (*AboveBar)(p)
	}
	return p
}

// AboveBar writes what is no part of the line.
type AboveBar Progress

func (a *AboveBar) Write(b []byte) (int, error) {
	p := (*Progress)(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	return p.Out.Write(b)
}

// Begin begins a file of size bytes.
func (p *Progress) Begin(name string, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.size, p.done, p.first, p.began, p.shown = name, size, 0, -1, time.Time{}, time.Time{}
}

// At says how many bytes are there.
func (p *Progress) At(done int64) {
	if p.Out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	if p.first < 0 || done < p.done {
		p.first, p.began = done, now // begun, or gone back
	}
	p.done = done
	if now.Sub(p.shown) < barPeriod && done < p.size {
		return
	}
	p.shown = now
	p.erase()
	io.WriteString(p.Out, cli.Clip(p.line(now), max(p.Width()-1, 20)))
	p.drawn = true
}

// line is the line: name, share, bytes, rate, time left.
func (p *Progress) line(now time.Time) string {
	share := 100
	if p.size > 0 {
		share = int(float64(p.done) / float64(p.size) * 100)
	}
	text := fmt.Sprintf("%3d%% %s/%s", share, ShortSize(p.done), ShortSize(p.size))
	if took := now.Sub(p.began).Seconds(); took > 0.2 && p.done > p.first {
		rate := float64(p.done-p.first) / took
		left := time.Duration(float64(p.size-p.done) / rate * float64(time.Second))
		text += fmt.Sprintf(" %s/s %s left", ShortSize(int64(rate)), RoundTime(left))
	}
	return text + " " + event.Field(p.name)
}

// Clear takes the line away.
func (p *Progress) Clear() {
	if p.Out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *Progress) erase() {
	if p.drawn {
		io.WriteString(p.Out, "\r\x1b[J")
		p.drawn = false
	}
}

// ShortSize is a number of bytes for people: 1.5M.
func ShortSize(n int64) string {
	for i, unit := range []string{"T", "G", "M", "k"} {
		if one := int64(1) << (40 - 10*i); n >= one {
			return fmt.Sprintf("%.1f%s", float64(n)/float64(one), unit)
		}
	}
	return fmt.Sprint(n)
}

// RoundTime leaves out what nobody wants to know.
func RoundTime(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
